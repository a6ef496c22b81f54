/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/net.h: Ethernet, ARP, IPv4 and ICMP over a table of interfaces. A pure core above
 * nic.h: it reads no clock and allocates nothing after net_create.
 *
 * Promise: what net_input calls a TCP segment is addressed to us, unfragmented, of true length,
 *          with a verified checksum. Everything else is answered (ARP, echo) or dropped and
 *          counted here.
 * Trap:    addresses are 16 bytes everywhere; only the codecs in this folder know IPv4. IPv6
 *          joins as further codecs.
 */
#ifndef HOLDFAST_DATAPLANE_NET_NET_H
#define HOLDFAST_DATAPLANE_NET_NET_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/ip.h"
#include "dataplane/net/nic.h"

#include <stdbool.h>
#include <stdint.h>

struct net_interface {
    uint32_t port; /* of the nic */
    struct ip_addr addr;
    uint8_t prefix_bits;    /* of 128 */
    struct ip_addr gateway; /* zero: none */
};

struct counters;
struct net;

/* The nic and the counters must outlive it. -EINVAL for an impossible table, -ENOMEM. */
must_check int net_create(struct nic *nic, const struct net_interface *interface,
                          uint32_t interface_count, struct counters *counters,
                          struct net **net_out);
void net_destroy(struct net *net);

enum net_verdict {
    NET_HANDLED,     /* answered or dropped */
    NET_TCP,         /* segment_out, src_out, dst_out are set; borrowed from the frame */
    NET_UNREACHABLE, /* ICMP says that dst of an own TCP segment cannot be reached: src_out,
                        dst_out are of our packet, ports_out and seq_out of its TCP header in host
                        order (RFC 5927). Anyone can have sent it. */
};

struct net_packet {
    struct ip_addr src;
    struct ip_addr dst;
    struct bytes segment;
    uint16_t ports[2]; /* NET_UNREACHABLE: our source port, the destination port */
    uint32_t seq;      /* and the sequence number */
};

enum net_verdict net_input(struct net *net, const struct nic_frame *frame, uint64_t now_ns,
                           struct net_packet *packet_out);

/* The address from which to send to `remote`: that of the interface through which its route goes.
 * false: no route. */
must_check bool net_source_for(const struct net *net, const struct ip_addr *remote,
                               struct ip_addr *source_out);
bool net_is_ours(const struct net *net, const struct ip_addr *addr);

/* Begins an IP packet for TCP: returns room for transport_len bytes behind a finished link and IP
 * header, or NULL (no buffer, or no route). Fill it, then call net_send. When the neighbour's MAC
 * is not known, the packet is queued and ARP asks. DF is set. `src` is ours; 20 + transport_len
 * fits the smallest MTU of our links. A `dst` without a route is reported by
 * net_next_unreachable. */
uint8_t *net_begin_tcp(struct net *net, const struct ip_addr *src, const struct ip_addr *dst,
                       size_t transport_len);
bool net_has_route(const struct net *net, const struct ip_addr *src, const struct ip_addr *dst);
void net_send(struct net *net, uint64_t now_ns);

/* Repeats ARP requests and removes old entries. When a neighbour did not answer, its packets are
 * dropped, and net_next_unreachable hands out their destinations one by one, so that connects fail
 * fast. */
void net_tick(struct net *net, uint64_t now_ns);
bool net_next_unreachable(struct net *net, struct ip_addr *dst_out);

#endif
