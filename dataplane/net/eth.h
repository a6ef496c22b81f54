/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/eth.h: the Ethernet II header.
 *
 * Promise: eth_parse reads nothing outside the frame. Trap: the payload still holds whatever
 *          padding the link added; the layer above knows its true length.
 */
#ifndef HOLDFAST_DATAPLANE_NET_ETH_H
#define HOLDFAST_DATAPLANE_NET_ETH_H

#include "common/assert.h"
#include "common/bytes.h"
#include "dataplane/net/nic.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    ETH_HEADER_BYTES = 14,
    ETH_TYPE_IP4 = 0x0800,
    ETH_TYPE_ARP = 0x0806,
};

struct eth_frame {
    const uint8_t *dst_mac; /* NIC_MAC_BYTES, in the frame */
    const uint8_t *src_mac;
    uint16_t type; /* host order; a VLAN tag is a type like any other and nobody here takes it */
    struct bytes payload;
};

must_check static inline bool eth_parse(struct bytes frame, struct eth_frame *eth_out)
{
    if (frame.len < ETH_HEADER_BYTES) {
        return false;
    }
    eth_out->dst_mac = frame.data;
    eth_out->src_mac = frame.data + NIC_MAC_BYTES;
    eth_out->type = get_be16(frame.data + 12);
    eth_out->payload = bytes_from(frame, ETH_HEADER_BYTES);
    return true;
}

static inline void eth_write(uint8_t out[ETH_HEADER_BYTES], const uint8_t dst_mac[NIC_MAC_BYTES],
                             const uint8_t src_mac[NIC_MAC_BYTES], uint16_t type)
{
    memcpy(out, dst_mac, NIC_MAC_BYTES);
    memcpy(out + NIC_MAC_BYTES, src_mac, NIC_MAC_BYTES);
    put_be16(out + 12, type);
}

static inline bool eth_mac_equal(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, NIC_MAC_BYTES) == 0;
}

/* Broadcast or multicast: IEEE 802 group bit. */
static inline bool eth_mac_is_group(const uint8_t *mac)
{
    return (mac[0] & 1) != 0;
}

static inline bool eth_mac_is_broadcast(const uint8_t *mac)
{
    static const uint8_t all[NIC_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return eth_mac_equal(mac, all);
}

static inline bool eth_mac_is_zero(const uint8_t *mac)
{
    static const uint8_t zero[NIC_MAC_BYTES];
    return eth_mac_equal(mac, zero);
}

#endif
