/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/out.c: hands frames to the ports, and keeps the list of destinations that could not
 * be reached, for the connections above. */
#include "common/counters.h"
#include "dataplane/net/eth.h"
#include "dataplane/net/state.h"

void net_transmit_take(struct net *net, struct nic_frame *frame)
{
    assert(frame->len >= ETH_HEADER_BYTES && frame->len <= NIC_FRAME_BYTES);
    counter_add(net->counters, COUNTER_tx_packets, 1);
    nic_send_take(net->nic, frame);
}

void net_unreachable_add(struct net *net, const struct ip_addr *dst)
{
    for (uint32_t i = 0; i < net->unreachable_count; i++) {
        uint32_t at = (net->unreachable_first + i) % NET_UNREACHABLE_COUNT;
        if (ip_equal(&net->unreachable[at], dst)) {
            return;
        }
    }
    if (net->unreachable_count == NET_UNREACHABLE_COUNT) {
        return;
    }
    uint32_t at = (net->unreachable_first + net->unreachable_count) % NET_UNREACHABLE_COUNT;
    net->unreachable[at] = *dst;
    net->unreachable_count++;
}

bool net_next_unreachable(struct net *net, struct ip_addr *dst_out)
{
    if (net->unreachable_count == 0) {
        return false;
    }
    *dst_out = net->unreachable[net->unreachable_first];
    net->unreachable_first = (net->unreachable_first + 1) % NET_UNREACHABLE_COUNT;
    net->unreachable_count--;
    return true;
}
