/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/state.h: what struct net is made of; for the files of this folder only.
 *
 * Promise: everything is in one allocation of known size; every table has a bound here.
 * Trap:    a frame between net_begin_tcp and net_send is held in `building`; there is one at most.
 */
#ifndef HOLDFAST_DATAPLANE_NET_STATE_H
#define HOLDFAST_DATAPLANE_NET_STATE_H

#include "common/limits/net.h"
#include "common/list.h"
#include "dataplane/net/net.h"

enum {
    /* Neighbours on all links: gateways, hops, clients on the same link. When there are more, the
     * one that was used longest ago is forgotten. */
    NET_NEIGHBOURS = 1024,
    NET_NEIGHBOUR_BUCKETS = 1024,
    /* How many of them may be without an answer. Forged source addresses on our own link land here.
     * They evict each other, and not the neighbours that are known. */
    NET_NEIGHBOURS_ASKING = 256,
    /* Packets that wait for an address. RFC 1122 section 2.3.2.2 asks for one, but everything
     * beyond a gateway waits for the gateway. */
    NET_PENDING_EACH = 4,
    NET_PENDING_GATEWAY = 32,
    NET_PENDING = 256,
    /* Destinations to report. More than these are not reported, and time out. */
    NET_UNREACHABLE_COUNT = 256,
    NET_PORTS = LIMIT_INTERFACES,
};

/* A rate with a burst, in one number (the generic cell rate algorithm, ITU-T I.371): the time at
 * which the bucket would be full again. */
struct net_budget {
    uint64_t full_ns;
};

static inline bool net_budget_take(struct net_budget *budget, uint32_t per_second, uint32_t burst,
                                   uint64_t now_ns)
{
    assert(per_second > 0 && burst > 0);
    uint64_t each_ns = UINT64_C(1000000000) / per_second;
    uint64_t full_ns = budget->full_ns > now_ns ? budget->full_ns : now_ns;
    if (full_ns + each_ns > now_ns + each_ns * burst) {
        return false;
    }
    budget->full_ns = full_ns + each_ns;
    return true;
}

enum net_neighbour_state {
    NET_NEIGHBOUR_FREE,
    NET_NEIGHBOUR_ASKING,  /* no address yet; packets wait */
    NET_NEIGHBOUR_KNOWN,   /* an address that was confirmed lately */
    NET_NEIGHBOUR_PROBING, /* an address in use that is being confirmed again */
};

struct net_neighbour {
    struct list node; /* in net.neighbour_free, _asking or _known (PROBING, too) */
    struct list pending;
    struct net_neighbour *next_in_bucket;
    struct ip_addr addr;
    uint64_t due_ns; /* KNOWN: when to confirm it; else when to send the next request */
    uint64_t used_ns;
    uint32_t pending_count;
    uint8_t state; /* enum net_neighbour_state */
    uint8_t interface;
    uint8_t attempts;
    bool broadcast; /* PROBING: the known MAC is in doubt, so ask everyone */
    uint8_t mac[NIC_MAC_BYTES];
};

struct net_pending {
    struct list node; /* in net.pending_free or a neighbour's pending */
    struct ip_addr dst;
    uint16_t len;
    uint8_t data[NIC_FRAME_BYTES];
};

struct net_link {
    struct net_interface conf;
    struct ip_prefix prefix;
    struct ip_addr lowest;  /* of the prefix: the old form of broadcast (RFC 1122 3.2.1.3) */
    struct ip_addr highest; /* its directed broadcast */
    bool has_broadcast;     /* false for /31 (RFC 3021) and /32 */
    uint8_t mac[NIC_MAC_BYTES];
    uint16_t mtu;
    uint8_t announcements_left;
    uint64_t announce_ns;
    struct net_budget defences;
};

struct net {
    struct nic *nic;
    struct counters *counters;
    uint32_t link_count;
    uint32_t port_count;
    struct net_link link[LIMIT_INTERFACES];

    struct {
        bool active;
        uint8_t interface;
        struct nic_frame frame;
        struct ip_addr next_hop;
        struct ip_addr dst;
    } building;

    struct net_budget echo_budget;
    struct net_budget request_budget;
    uint64_t tick_ns; /* when to look at the neighbours next */

    struct list neighbour_free;
    struct list neighbour_asking; /* oldest first */
    struct list neighbour_known;
    uint32_t asking_count;
    struct net_neighbour *bucket[NET_NEIGHBOUR_BUCKETS];
    struct net_neighbour neighbour[NET_NEIGHBOURS];

    struct list pending_free;
    struct net_pending pending[NET_PENDING];

    uint32_t unreachable_first;
    uint32_t unreachable_count;
    struct ip_addr unreachable[NET_UNREACHABLE_COUNT];
};

/* out.c */
/* Hands a finished frame to the port and counts it. */
void net_transmit_take(struct net *net, struct nic_frame *frame);
/* Remembers a destination for net_next_unreachable. */
void net_unreachable_add(struct net *net, const struct ip_addr *dst);

#endif
