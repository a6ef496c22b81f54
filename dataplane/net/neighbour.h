/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/neighbour.h: which neighbour on our links has which MAC address, by ARP (RFC 826).
 *
 * Promise: entries, waiting packets and requests are bounded, whatever strangers do. An unsolicited
 *          reply changes nothing: an address is learned from a reply that we wait for, or from a
 *          request to us whose sender has no entry yet.
 * Trap:    all connections to a neighbour share its entry; all that go through a gateway share the
 *          gateway's.
 */
#ifndef HOLDFAST_DATAPLANE_NET_NEIGHBOUR_H
#define HOLDFAST_DATAPLANE_NET_NEIGHBOUR_H

#include "dataplane/net/eth.h"
#include "dataplane/net/net.h"

void neighbour_init(struct net *net);
/* Sends a finished frame, except for its destination MAC, to a neighbour: now, or when the
 * neighbour answers. `dst` is reported as unreachable if it never does. */
void neighbour_send_take(struct net *net, uint32_t interface, const struct ip_addr *next_hop,
                         const struct ip_addr *dst, struct nic_frame *frame, uint64_t now_ns);
/* An ARP frame that arrived at `port`. false: dropped. */
bool neighbour_input(struct net *net, uint32_t port, const struct eth_frame *eth, uint64_t now_ns);
void neighbour_tick(struct net *net, uint64_t now_ns);

#endif
