/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/route.h: the interface table and the choice of a way out.
 *
 * Promise: a packet of ours leaves by the interface that owns its source address when that has a
 *          way to the destination (the strong end system of RFC 1122 section 3.3.4.2), so that
 *          answers go back the way the question came.
 * Trap:    no route leads to ourselves, to a broadcast or to a group.
 */
#ifndef HOLDFAST_DATAPLANE_NET_ROUTE_H
#define HOLDFAST_DATAPLANE_NET_ROUTE_H

#include "dataplane/net/net.h"

struct net_link;

struct net_route {
    uint32_t interface;
    struct ip_addr next_hop; /* a neighbour on that interface */
};

/* Checks one entry and derives the other fields. -EINVAL for an impossible one. */
must_check int route_link_init(struct net_link *link, const struct net_interface *interface,
                               struct nic *nic);
/* `src` NULL: no source address is chosen yet. */
must_check bool route_find(const struct net *net, const struct ip_addr *src,
                           const struct ip_addr *dst, struct net_route *route_out);
/* An address that a neighbour on this link can have: on the link, one host's, not our own. */
bool route_is_neighbour(const struct net_link *link, const struct ip_addr *addr);
/* A directed broadcast of one of our links, in the old or the new form. */
bool route_is_broadcast(const struct net *net, const struct ip_addr *addr);
/* The interface at `port` that has this address, or LIMIT_INTERFACES. */
uint32_t route_interface_of(const struct net *net, uint32_t port, const struct ip_addr *addr);

#endif
