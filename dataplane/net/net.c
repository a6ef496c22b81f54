/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/net.c: what happens to each frame that arrives, and how one is begun.
 *
 *      frame ─▶ eth ─▶ ARP ─▶ neighbour.c
 *                  └─▶ ip4 ─▶ to us? from a host? ─▶ TCP  ─▶ checksum ─▶ the caller
 *                                                 └─▶ ICMP ─▶ echo reply
 *                                                        └──▶ unreachable ─▶ the caller
 *
 * Promise: each frame is handed on, handled here (ARP, echo), or counted as dropped in exactly one
 *          counter.
 * Trap:    an address that is ours on one interface is not ours on another (the strong end system
 *          of RFC 1122 section 3.3.4.2): the outside cannot talk to the inside's address.
 */
#include "dataplane/net/net.h"

#include "common/counters.h"
#include "dataplane/net/eth.h"
#include "dataplane/net/icmp.h"
#include "dataplane/net/ip4.h"
#include "dataplane/net/neighbour.h"
#include "dataplane/net/route.h"
#include "dataplane/net/state.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TCP_HEADER_BYTES = 20,
    LINK_IP_BYTES = ETH_HEADER_BYTES + IP4_HEADER_BYTES,
};

int net_create(struct nic *nic, const struct net_interface *interface, uint32_t interface_count,
               struct counters *counters, struct net **net_out)
{
    if (interface_count == 0 || interface_count > LIMIT_INTERFACES) {
        return -EINVAL;
    }
    struct net *net = calloc(1, sizeof *net);
    if (net == NULL) {
        return -ENOMEM;
    }
    net->nic = nic;
    net->counters = counters;
    net->port_count = nic_port_count(nic);
    for (uint32_t i = 0; i < interface_count; i++) {
        if (net_is_ours(net, &interface[i].addr) ||
            route_link_init(&net->link[i], &interface[i], nic) != 0) {
            free(net);
            return -EINVAL;
        }
        net->link_count++;
    }
    neighbour_init(net);
    *net_out = net;
    return 0;
}

void net_destroy(struct net *net)
{
    if (net == NULL) {
        return;
    }
    if (net->building.active) {
        nic_release(net->nic, &net->building.frame);
    }
    free(net);
}

/* --- sending --------------------------------------------------------------------------------- */

static uint8_t *packet_begin(struct net *net, uint8_t protocol, const struct ip_addr *src,
                             const struct ip_addr *dst, size_t payload_len)
{
    assert(!net->building.active);
    struct net_route route;
    if (!route_find(net, src, dst, &route)) {
        net_unreachable_add(net, dst);
        return NULL;
    }
    const struct net_link *link = &net->link[route.interface];
    size_t len = LINK_IP_BYTES + payload_len;
    if (len > NIC_FRAME_BYTES || len > (size_t)ETH_HEADER_BYTES + link->mtu) {
        assert(protocol != IP4_PROTOCOL_TCP); /* its MSS is chosen by the smallest MTU */
        return NULL;
    }
    struct nic_frame *frame = &net->building.frame;
    if (!nic_take(net->nic, link->conf.port, frame)) {
        return NULL;
    }
    /* The destination's MAC is written when it is known. */
    static const uint8_t unknown[NIC_MAC_BYTES];
    eth_write(frame->data, unknown, link->mac, ETH_TYPE_IP4);
    ip4_write(frame->data + ETH_HEADER_BYTES, src, dst, protocol, payload_len);
    frame->len = (uint16_t)len;
    net->building.active = true;
    net->building.interface = (uint8_t)route.interface;
    net->building.next_hop = route.next_hop;
    net->building.dst = *dst;
    return frame->data + LINK_IP_BYTES;
}

bool net_has_route(const struct net *net, const struct ip_addr *src, const struct ip_addr *dst)
{
    struct net_route route;
    return route_find(net, src, dst, &route);
}

uint8_t *net_begin_tcp(struct net *net, const struct ip_addr *src, const struct ip_addr *dst,
                       size_t transport_len)
{
    assert(transport_len >= TCP_HEADER_BYTES);
    assert(net_is_ours(net, src));
    return packet_begin(net, IP4_PROTOCOL_TCP, src, dst, transport_len);
}

void net_send(struct net *net, uint64_t now_ns)
{
    assert(net->building.active);
    net->building.active = false;
    neighbour_send_take(net, net->building.interface, &net->building.next_hop, &net->building.dst,
                        &net->building.frame, now_ns);
}

/* --- arriving -------------------------------------------------------------------------------- */

static enum net_verdict drop(struct net *net, enum counter counter)
{
    counter_add(net->counters, counter, 1);
    return NET_HANDLED;
}

static enum net_verdict input_tcp(struct net *net, const struct ip4_packet *ip, bool checksum_good,
                                  struct net_packet *packet_out)
{
    if (ip->payload.len < TCP_HEADER_BYTES) {
        return drop(net, COUNTER_rx_dropped);
    }
    /* RFC 9293 section 3.1 (MUST-3): the receiver MUST check it. */
    if (!checksum_good && ip4_transport_checksum(ip) != 0) {
        return drop(net, COUNTER_rx_bad_checksum);
    }
    packet_out->src = ip->src;
    packet_out->dst = ip->dst;
    packet_out->segment = ip->payload;
    return NET_TCP;
}

static enum net_verdict echo_reply(struct net *net, const struct ip4_packet *ip,
                                   struct bytes request, uint64_t now_ns)
{
    if (!net_budget_take(&net->echo_budget, LIMIT_ICMP_ECHOES_PER_S, LIMIT_ICMP_ECHOES_BURST,
                         now_ns)) {
        return drop(net, COUNTER_rx_dropped);
    }
    uint8_t *reply = packet_begin(net, IP4_PROTOCOL_ICMP, &ip->dst, &ip->src, request.len);
    if (reply == NULL) {
        return drop(net, COUNTER_rx_dropped);
    }
    icmp_write_echo_reply(request, reply);
    net_send(net, now_ns);
    return NET_HANDLED;
}

static enum net_verdict input_icmp(struct net *net, const struct ip4_packet *ip, uint64_t now_ns,
                                   struct net_packet *packet_out)
{
    struct icmp_message message;
    switch (icmp_parse(ip->payload, &message)) {
    case ICMP_IGNORED:
        return drop(net, COUNTER_rx_dropped);
    case ICMP_BAD_CHECKSUM:
        return drop(net, COUNTER_rx_bad_checksum);
    case ICMP_ECHO_REQUEST:
        return echo_reply(net, ip, message.body, now_ns);
    case ICMP_UNREACHABLE:
        break;
    }
    /* Only about packets of ours, and only when sent to the address that the packet came from. */
    if (!ip_equal(&message.quoted.src, &ip->dst)) {
        return drop(net, COUNTER_rx_dropped);
    }
    packet_out->src = message.quoted.src;
    packet_out->dst = message.quoted.dst;
    packet_out->ports[0] = get_be16(message.quoted.payload.data);
    packet_out->ports[1] = get_be16(message.quoted.payload.data + 2);
    packet_out->seq = get_be32(message.quoted.payload.data + 4);
    return NET_UNREACHABLE;
}

/* A source that cannot be: RFC 1122 section 3.2.1.3, RFC 1812 section 5.3.7. */
static bool is_martian(const struct net *net, const struct ip_addr *src)
{
    return !ip4_is_host(src) || net_is_ours(net, src) || route_is_broadcast(net, src);
}

static enum net_verdict input_ip4(struct net *net, const struct nic_frame *frame, struct bytes data,
                                  uint64_t now_ns, struct net_packet *packet_out)
{
    struct ip4_packet ip;
    switch (ip4_parse(data, frame->checksum_good, &ip)) {
    case IP4_OK:
        break;
    case IP4_MALFORMED:
    case IP4_SOURCE_ROUTED:
        return drop(net, COUNTER_rx_dropped);
    case IP4_BAD_CHECKSUM:
        return drop(net, COUNTER_rx_bad_checksum);
    case IP4_FRAGMENT:
        return drop(net, COUNTER_ip_fragments);
    }
    if (route_interface_of(net, frame->port, &ip.dst) == LIMIT_INTERFACES ||
        is_martian(net, &ip.src)) {
        return drop(net, COUNTER_rx_dropped);
    }
    if (ip.protocol == IP4_PROTOCOL_TCP) {
        return input_tcp(net, &ip, frame->checksum_good, packet_out);
    }
    if (ip.protocol == IP4_PROTOCOL_ICMP) {
        return input_icmp(net, &ip, now_ns, packet_out);
    }
    return drop(net, COUNTER_rx_dropped);
}

/* The link layer's address filter, for devices that also give us frames for others. */
static bool is_for_mac(const struct net *net, uint32_t port, const uint8_t *mac)
{
    for (uint32_t i = 0; i < net->link_count; i++) {
        if (net->link[i].conf.port == port) {
            return eth_mac_equal(net->link[i].mac, mac);
        }
    }
    return false;
}

enum net_verdict net_input(struct net *net, const struct nic_frame *frame, uint64_t now_ns,
                           struct net_packet *packet_out)
{
    assert(frame->port < net->port_count);
    counter_add(net->counters, COUNTER_rx_packets, 1);
    struct eth_frame eth;
    if (!eth_parse(bytes_of(frame->data, frame->len), &eth)) {
        return drop(net, COUNTER_rx_dropped);
    }
    bool to_us = is_for_mac(net, frame->port, eth.dst_mac);
    /* An IP packet for one host in a broadcast frame is dropped: RFC 1122 section 3.3.6. */
    if (eth.type == ETH_TYPE_IP4 && to_us) {
        return input_ip4(net, frame, eth.payload, now_ns, packet_out);
    }
    if (eth.type == ETH_TYPE_ARP && (to_us || eth_mac_is_broadcast(eth.dst_mac)) &&
        neighbour_input(net, frame->port, &eth, now_ns)) {
        return NET_HANDLED;
    }
    return drop(net, COUNTER_rx_dropped);
}

/* --- time ------------------------------------------------------------------------------------ */

void net_tick(struct net *net, uint64_t now_ns)
{
    neighbour_tick(net, now_ns);
    counter_set(net->counters, COUNTER_tx_dropped, nic_tx_dropped(net->nic));
}
