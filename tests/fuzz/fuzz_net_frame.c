/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_net_frame.c: frames from a stranger, with a nic in this file.
 *
 * Input: records of { control byte, length byte, that many bytes of frame }. Bit 0 of the control
 * byte is the port; bit 1: the frame gets our MAC, and right checksums of IPv4, ICMP and TCP, so
 * that the parsers behind them are reached; bit 2: time passes; bit 3: we send to an address
 * taken from the frame; bit 4: the transmit pool is empty; the rest times 8 is added to the length.
 */
#include "common/counters.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/ip4.h"
#include "dataplane/net/net.h"
#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(dropped), MARK(tcp), MARK(unreachable), MARK(bad_checksum), MARK(fragment),               \
        MARK(arp_request_sent), MARK(arp_reply_sent), MARK(echo_reply_sent), MARK(tcp_sent),       \
        MARK(no_buffer), MARK(neighbour_gave_up), MARK(second_port)
REACH_TABLE

struct nic {
    uint32_t taken_count;
    bool empty;
};

uint32_t nic_port_count(const struct nic *nic)
{
    assert(nic != NULL);
    return 2;
}

void nic_mac(const struct nic *nic, uint32_t port, uint8_t mac_out[NIC_MAC_BYTES])
{
    assert(nic != NULL);
    memset(mac_out, 0, NIC_MAC_BYTES);
    mac_out[0] = 2;
    mac_out[5] = (uint8_t)port;
}

uint16_t nic_mtu(const struct nic *nic, uint32_t port)
{
    assert(nic != NULL);
    return port == 0 ? 1500 : 576;
}

uint32_t nic_receive(struct nic *nic, uint32_t port, struct nic_frame frames_out[NIC_BURST])
{
    assert(nic != NULL && port < 2 && frames_out != NULL);
    return 0;
}

void nic_release(struct nic *nic, struct nic_frame *frame)
{
    assert(nic->taken_count > 0);
    nic->taken_count--;
    free(frame->owner);
}

bool nic_take(struct nic *nic, uint32_t port, struct nic_frame *frame_out)
{
    REACH_IF(nic->empty, no_buffer);
    uint8_t *data = nic->empty ? NULL : malloc(NIC_FRAME_BYTES);
    if (data == NULL) {
        return false;
    }
    nic->taken_count++;
    *frame_out = (struct nic_frame){.data = data, .port = (uint8_t)port, .owner = data};
    return true;
}

void nic_send_take(struct nic *nic, struct nic_frame *frame)
{
    uint16_t type = get_be16(frame->data + 12);
    REACH_IF(type == 0x0806 && frame->data[21] == 1, arp_request_sent);
    REACH_IF(type == 0x0806 && frame->data[21] == 2, arp_reply_sent);
    REACH_IF(type == 0x0800 && frame->data[23] == 1, echo_reply_sent);
    REACH_IF(type == 0x0800 && frame->data[23] == 6, tcp_sent);
    assert(frame->len >= 14 && frame->len <= 14 + nic_mtu(nic, frame->port));
    nic_release(nic, frame);
}

void nic_flush(struct nic *nic)
{
    assert(nic != NULL);
}

uint64_t nic_tx_dropped(const struct nic *nic)
{
    assert(nic != NULL);
    return 0;
}

static void make_plausible(const struct nic *nic, uint32_t port, uint8_t *data, size_t len)
{
    if (len < 14 + 20) {
        return;
    }
    nic_mac(nic, port, data);
    uint8_t *ip = data + 14;
    size_t header_len = (size_t)(ip[0] & 15) * 4;
    if (get_be16(data + 12) != 0x0800 || header_len < 20 || header_len > len - 14) {
        return;
    }
    put_be16(ip + 10, 0);
    put_be16(ip + 10, checksum_finish(checksum_add(0, ip, header_len)));
    size_t end = get_be16(ip + 2);
    if (ip[9] == 6 && end >= header_len + 20 && end <= len - 14) {
        struct ip4_packet packet = {.src = ip_from_v4(ip + 12),
                                    .dst = ip_from_v4(ip + 16),
                                    .protocol = 6,
                                    .payload = bytes_of(ip + header_len, end - header_len)};
        put_be16(ip + header_len + 16, 0);
        put_be16(ip + header_len + 16, ip4_transport_checksum(&packet));
    }
    if (ip[9] == 1 && end >= header_len + 8 && end <= len - 14) {
        uint8_t *icmp = ip + header_len;
        put_be16(icmp + 2, 0);
        put_be16(icmp + 2, checksum_finish(checksum_add(0, icmp, end - header_len)));
    }
}

static void send_to(struct net *net, const uint8_t *data, size_t len, uint64_t now_ns)
{
    if (len < 34) {
        return;
    }
    struct ip_addr dst = ip_from_v4(data + 26);
    struct ip_addr src;
    if (!net_source_for(net, &dst, &src)) {
        return;
    }
    size_t transport_len = 20 + data[33];
    uint8_t *room = net_begin_tcp(net, &src, &dst, transport_len);
    if (room != NULL) {
        memset(room, 0, transport_len);
        net_send(net, now_ns);
    }
}

static void feed(struct net *net, struct nic *nic, uint8_t control, struct bytes frame,
                 uint64_t now_ns)
{
    uint8_t *data = malloc(frame.len > 0 ? frame.len : 1);
    assert(data != NULL);
    if (frame.len > 0) {
        memcpy(data, frame.data, frame.len);
    }
    uint32_t port = control & 1;
    nic->empty = (control & 16) != 0;
    if ((control & 2) != 0) {
        make_plausible(nic, port, data, frame.len);
    }
    struct nic_frame f = {.data = data, .len = (uint16_t)frame.len, .port = (uint8_t)port};
    struct net_packet packet;
    enum net_verdict verdict = net_input(net, &f, now_ns, &packet);
    REACH_IF(verdict == NET_TCP, tcp);
    REACH_IF(verdict == NET_TCP && port == 1, second_port);
    REACH_IF(verdict == NET_UNREACHABLE, unreachable);
    if (verdict == NET_TCP) {
        assert(packet.segment.data >= data && packet.segment.len >= 20);
        assert(packet.segment.data + packet.segment.len <= data + frame.len);
    } else if (verdict == NET_UNREACHABLE) {
        assert(net_is_ours(net, &packet.src));
    }
    if ((control & 8) != 0) {
        send_to(net, data, frame.len, now_ns);
    }
    net_tick(net, now_ns);
    struct ip_addr dst;
    while (net_next_unreachable(net, &dst)) {
        assert(!ip_is_zero(&dst));
        REACH(neighbour_gave_up);
    }
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct counters counters;
    memset(&counters, 0, sizeof counters);
    struct nic nic = {0};
    const struct net_interface interface[] = {
        {.port = 0,
         .addr = ip_from_v4((uint8_t[4]){192, 0, 2, 10}),
         .prefix_bits = 120,
         .gateway = ip_from_v4((uint8_t[4]){192, 0, 2, 1})},
        {.port = 1, .addr = ip_from_v4((uint8_t[4]){10, 0, 0, 10}), .prefix_bits = 112},
    };
    struct net *net;
    if (net_create(&nic, interface, 2, &counters, &net) != 0) {
        abort();
    }
    uint64_t now_ns = 0;
    struct cursor c = cursor_of(bytes_of(input, size));
    while (c.rest.len > 0) {
        uint8_t control = cursor_u8(&c);
        size_t len = cursor_u8(&c) + (size_t)(control >> 5) * 8;
        struct bytes frame = cursor_take(&c, len < c.rest.len ? len : c.rest.len);
        now_ns += (control & 4) != 0 ? UINT64_C(700000000) : 1000;
        feed(net, &nic, control, frame, now_ns);
    }
    REACH_IF(counters.value[COUNTER_rx_dropped] > 0, dropped);
    REACH_IF(counters.value[COUNTER_rx_bad_checksum] > 0, bad_checksum);
    REACH_IF(counters.value[COUNTER_ip_fragments] > 0, fragment);
    net_destroy(net);
    assert(nic.taken_count == 0);
    return 0;
}
