/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/neighbour.h: who on our links has which MAC address, by ARP (RFC 826).
 *
 * Promise: bounded in entries, waiting packets and requests sent, whatever strangers do. What
 *          nobody asked for changes nothing: an address is learned from a reply that we wait for,
 *          or from a request addressed to us by someone who has no entry yet.
 * Trap:    entries are shared by all connections to a neighbour; a gateway has one for all.
 */
#ifndef HOLDFAST_DATAPLANE_NET_NEIGHBOUR_H
#define HOLDFAST_DATAPLANE_NET_NEIGHBOUR_H

#include "dataplane/net/eth.h"
#include "dataplane/net/net.h"

void neighbour_init(struct net *net);
/* Sends a finished frame (but for its destination MAC) to a neighbour, now or when it answers.
 * `dst` is what to call unreachable if it never does. */
void neighbour_send_take(struct net *net, uint32_t interface, const struct ip_addr *next_hop,
                         const struct ip_addr *dst, struct nic_frame *frame, uint64_t now_ns);
/* An ARP frame that arrived at `port`. false: dropped. */
bool neighbour_input(struct net *net, uint32_t port, const struct eth_frame *eth, uint64_t now_ns);
void neighbour_tick(struct net *net, uint64_t now_ns);

#endif
