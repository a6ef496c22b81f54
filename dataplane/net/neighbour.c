/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/neighbour.c: the neighbour table and the ARP conversation. See neighbour.h.
 *
 *      (none) ──send──▶ ASKING ──reply──▶ KNOWN ──60 s, in use──▶ PROBING ──reply──▶ KNOWN
 *                         │ 3 requests      │ 60 s, unused          │ 3 requests
 *                         ▼                 ▼                       ▼
 *                    unreachable          (none)                  (none)
 *
 * A probe goes to the known MAC alone (RFC 1122 section 2.3.2.1, method 2); packets go on
 * meanwhile. When somebody claims a known neighbour's address with another MAC, as a gateway does
 * after a failover, the claim is not believed. It makes us ask everyone at once, and the reply
 * decides.
 *
 * All timers of this layer: due_ns of each neighbour, announce_ns of each link.
 */
#include "dataplane/net/neighbour.h"

#include "common/counters.h"
#include "dataplane/net/arp.h"
#include "dataplane/net/route.h"
#include "dataplane/net/state.h"

#include <string.h>

enum {
    REQUESTS_MAX = 3,
    /* The most requests per second that strangers can cause, all links together. Gateways are
     * always asked. */
    REQUESTS_PER_SECOND = 200,
    REQUESTS_BURST = 64,
    ANNOUNCEMENTS = 2, /* RFC 5227 section 2.3: ANNOUNCE_NUM */
};

#define SECOND_NS            UINT64_C(1000000000)
#define TICK_NS              (SECOND_NS / 20)
#define RETRY_NS             SECOND_NS
#define CONFIRM_NS           (60 * SECOND_NS) /* RFC 1122 section 2.3.2.1: of the order of 1 min */
#define DOUBT_NS             SECOND_NS        /* at most one request for a claim in this time */
#define ANNOUNCE_INTERVAL_NS (2 * SECOND_NS)  /* RFC 5227: ANNOUNCE_INTERVAL */
#define DEFEND_PER_SECOND    1

static const uint8_t mac_broadcast[NIC_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t mac_zero[NIC_MAC_BYTES];

/* --- the table ------------------------------------------------------------------------------- */

/* The hash has no key: with 1024 entries the longest chain that a neighbour can choose costs a
 * microsecond. */
static struct net_neighbour **bucket_of(struct net *net, uint32_t interface,
                                        const struct ip_addr *addr)
{
    uint32_t hash = (get_be32(addr->octet + 8) ^ get_be32(addr->octet + 12)) + interface;
    hash *= UINT32_C(2654435761);
    return &net->bucket[hash >> 16 & (NET_NEIGHBOUR_BUCKETS - 1)];
}

_Static_assert((NET_NEIGHBOUR_BUCKETS & (NET_NEIGHBOUR_BUCKETS - 1)) == 0, "bucket masks");
_Static_assert(NET_NEIGHBOURS_ASKING < NET_NEIGHBOURS, "room for known ones");
_Static_assert(NET_PENDING_GATEWAY <= NET_PENDING, "a gateway's queue fits");

void neighbour_init(struct net *net)
{
    list_init(&net->neighbour_free);
    list_init(&net->neighbour_asking);
    list_init(&net->neighbour_known);
    list_init(&net->pending_free);
    for (uint32_t i = 0; i < NET_NEIGHBOURS; i++) {
        list_init(&net->neighbour[i].pending);
        list_append(&net->neighbour_free, &net->neighbour[i].node);
    }
    for (uint32_t i = 0; i < NET_PENDING; i++) {
        list_append(&net->pending_free, &net->pending[i].node);
    }
    for (uint32_t i = 0; i < net->link_count; i++) {
        net->link[i].announcements_left = ANNOUNCEMENTS;
    }
}

static struct net_neighbour *neighbour_find(struct net *net, uint32_t interface,
                                            const struct ip_addr *addr)
{
    struct net_neighbour *n = *bucket_of(net, interface, addr);
    while (n != NULL && (n->interface != interface || !ip_equal(&n->addr, addr))) {
        n = n->next_in_bucket;
    }
    return n;
}

static bool is_gateway(const struct net *net, const struct net_neighbour *n)
{
    return ip_equal(&n->addr, &net->link[n->interface].conf.gateway);
}

static void pending_drop(struct net *net, struct net_neighbour *n, struct net_pending *p)
{
    assert(n->pending_count > 0);
    list_remove(&p->node);
    list_append(&net->pending_free, &p->node);
    n->pending_count--;
    counter_add(net->counters, COUNTER_arp_unresolved, 1);
}

/* Forgets an entry. `tell`: the packets that waited for it are reported as unreachable. */
static void neighbour_remove(struct net *net, struct net_neighbour *n, bool tell)
{
    assert(n->state != NET_NEIGHBOUR_FREE);
    while (!list_is_empty(&n->pending)) {
        struct net_pending *p = list_entry(n->pending.next, struct net_pending, node);
        if (tell) {
            net_unreachable_add(net, &p->dst);
        }
        pending_drop(net, n, p);
    }
    assert(n->pending_count == 0);
    struct net_neighbour **link = bucket_of(net, n->interface, &n->addr);
    while (*link != n) {
        assert(*link != NULL);
        link = &(*link)->next_in_bucket;
    }
    *link = n->next_in_bucket;
    if (n->state == NET_NEIGHBOUR_ASKING) {
        net->asking_count--;
    }
    n->state = NET_NEIGHBOUR_FREE;
    list_remove(&n->node);
    list_append(&net->neighbour_free, &n->node);
}

/* The entry to remove when room is needed: the one that has been asked for longest, except
 * gateways. Without such an entry, the known one that was used longest ago. */
static struct net_neighbour *neighbour_victim(struct net *net)
{
    for (struct list *l = net->neighbour_asking.next; l != &net->neighbour_asking; l = l->next) {
        struct net_neighbour *n = list_entry(l, struct net_neighbour, node);
        if (!is_gateway(net, n)) {
            return n;
        }
    }
    struct net_neighbour *oldest = NULL;
    for (struct list *l = net->neighbour_known.next; l != &net->neighbour_known; l = l->next) {
        struct net_neighbour *n = list_entry(l, struct net_neighbour, node);
        if (!is_gateway(net, n) && (oldest == NULL || n->used_ns < oldest->used_ns)) {
            oldest = n;
        }
    }
    assert(oldest != NULL);
    return oldest;
}

static struct net_neighbour *neighbour_add(struct net *net, uint32_t interface,
                                           const struct ip_addr *addr)
{
    if (list_is_empty(&net->neighbour_free) || net->asking_count >= NET_NEIGHBOURS_ASKING) {
        neighbour_remove(net, neighbour_victim(net), false);
    }
    struct net_neighbour *n = list_entry(net->neighbour_free.next, struct net_neighbour, node);
    struct net_neighbour **bucket = bucket_of(net, interface, addr);
    assert(n->state == NET_NEIGHBOUR_FREE && n->pending_count == 0);
    n->addr = *addr;
    n->interface = (uint8_t)interface;
    n->state = NET_NEIGHBOUR_ASKING;
    n->attempts = 0;
    n->broadcast = false;
    n->due_ns = 0;
    n->used_ns = 0;
    n->next_in_bucket = *bucket;
    *bucket = n;
    list_remove(&n->node);
    list_append(&net->neighbour_asking, &n->node);
    net->asking_count++;
    return n;
}

/* --- speaking ARP ---------------------------------------------------------------------------- */

static void arp_send(struct net *net, uint32_t interface, enum arp_op op,
                     const uint8_t dst_mac[NIC_MAC_BYTES], const struct ip_addr *target)
{
    const struct net_link *link = &net->link[interface];
    struct nic_frame frame;
    if (!nic_take(net->nic, link->conf.port, &frame)) {
        return; /* as if the frame were lost: it is asked again */
    }
    struct arp_packet arp = {.op = op, .sender = link->conf.addr, .target = *target};
    memcpy(arp.sender_mac, link->mac, NIC_MAC_BYTES);
    memcpy(arp.target_mac, op == ARP_OP_REPLY ? dst_mac : mac_zero, NIC_MAC_BYTES);
    eth_write(frame.data, dst_mac, link->mac, ETH_TYPE_ARP);
    arp_write(&arp, frame.data + ETH_HEADER_BYTES);
    frame.len = ETH_HEADER_BYTES + ARP_PACKET_BYTES;
    net_transmit_take(net, &frame);
}

static void announce(struct net *net, uint32_t interface)
{
    arp_send(net, interface, ARP_OP_REQUEST, mac_broadcast, &net->link[interface].conf.addr);
}

static void neighbour_ask(struct net *net, struct net_neighbour *n, uint64_t now_ns)
{
    assert(n->state == NET_NEIGHBOUR_ASKING || n->state == NET_NEIGHBOUR_PROBING);
    if (!is_gateway(net, n) &&
        !net_budget_take(&net->request_budget, REQUESTS_PER_SECOND, REQUESTS_BURST, now_ns)) {
        n->due_ns = now_ns + TICK_NS;
        return;
    }
    bool unicast = n->state == NET_NEIGHBOUR_PROBING && !n->broadcast;
    n->attempts++;
    n->due_ns = now_ns + RETRY_NS;
    arp_send(net, n->interface, ARP_OP_REQUEST, unicast ? n->mac : mac_broadcast, &n->addr);
}

static void neighbour_probe(struct net *net, struct net_neighbour *n, bool broadcast,
                            uint64_t now_ns)
{
    n->state = NET_NEIGHBOUR_PROBING;
    n->attempts = 0;
    n->broadcast = broadcast;
    neighbour_ask(net, n, now_ns);
}

/* --- sending --------------------------------------------------------------------------------- */

/* Keeps a copy of the frame. When the neighbour has too many already, the oldest is dropped: RFC
 * 1122 section 2.3.2.2 wants the latest kept. */
static void pending_add(struct net *net, struct net_neighbour *n, const struct nic_frame *frame,
                        const struct ip_addr *dst)
{
    uint32_t most = is_gateway(net, n) ? NET_PENDING_GATEWAY : NET_PENDING_EACH;
    if (n->pending_count > 0 && (n->pending_count >= most || list_is_empty(&net->pending_free))) {
        pending_drop(net, n, list_entry(n->pending.next, struct net_pending, node));
    }
    if (list_is_empty(&net->pending_free)) {
        counter_add(net->counters, COUNTER_arp_unresolved, 1);
        return;
    }
    struct net_pending *p = list_entry(net->pending_free.next, struct net_pending, node);
    assert(frame->len <= sizeof p->data);
    memcpy(p->data, frame->data, frame->len);
    p->len = frame->len;
    p->dst = *dst;
    list_remove(&p->node);
    list_append(&n->pending, &p->node);
    n->pending_count++;
}

void neighbour_send_take(struct net *net, uint32_t interface, const struct ip_addr *next_hop,
                         const struct ip_addr *dst, struct nic_frame *frame, uint64_t now_ns)
{
    assert(interface < net->link_count);
    struct net_neighbour *n = neighbour_find(net, interface, next_hop);
    bool fresh = n == NULL;
    if (fresh) {
        n = neighbour_add(net, interface, next_hop);
    }
    n->used_ns = now_ns;
    if (n->state == NET_NEIGHBOUR_ASKING) {
        pending_add(net, n, frame, dst);
        nic_release(net->nic, frame);
        if (fresh) {
            neighbour_ask(net, n, now_ns);
        }
        return;
    }
    memcpy(frame->data, n->mac, NIC_MAC_BYTES);
    net_transmit_take(net, frame);
}

/* --- listening ------------------------------------------------------------------------------- */

/* The neighbour has this MAC address: sends the packets that waited. */
static void neighbour_resolve(struct net *net, struct net_neighbour *n,
                              const uint8_t mac[NIC_MAC_BYTES], uint64_t now_ns)
{
    assert(n->state != NET_NEIGHBOUR_FREE);
    if (n->state == NET_NEIGHBOUR_ASKING) {
        net->asking_count--;
        list_remove(&n->node);
        list_append(&net->neighbour_known, &n->node);
    }
    n->state = NET_NEIGHBOUR_KNOWN;
    n->due_ns = now_ns + CONFIRM_NS;
    n->attempts = 0;
    memcpy(n->mac, mac, NIC_MAC_BYTES);
    while (!list_is_empty(&n->pending)) {
        struct net_pending *p = list_entry(n->pending.next, struct net_pending, node);
        struct nic_frame frame;
        if (!nic_take(net->nic, net->link[n->interface].conf.port, &frame)) {
            pending_drop(net, n, p);
            continue;
        }
        memcpy(frame.data, p->data, p->len);
        memcpy(frame.data, mac, NIC_MAC_BYTES);
        frame.len = p->len;
        net_transmit_take(net, &frame);
        list_remove(&p->node);
        list_append(&net->pending_free, &p->node);
        n->pending_count--;
    }
}

/* Somebody claims a known neighbour's address with another MAC, and we did not ask. */
static void neighbour_doubt(struct net *net, struct net_neighbour *n,
                            const uint8_t mac[NIC_MAC_BYTES], uint64_t now_ns)
{
    bool lately = n->due_ns > now_ns + CONFIRM_NS - DOUBT_NS; /* confirmed within DOUBT_NS */
    if (n->state == NET_NEIGHBOUR_KNOWN && !eth_mac_equal(n->mac, mac) && !lately) {
        neighbour_probe(net, n, true, now_ns);
    }
}

/* Answers a request for an address of ours. Its sender is about to talk to us (RFC 826), so it gets
 * an entry, if that takes none from others. */
static void request_for_us(struct net *net, uint32_t interface, const struct arp_packet *arp,
                           uint64_t now_ns)
{
    arp_send(net, interface, ARP_OP_REPLY, arp->sender_mac, &arp->sender);
    if (!route_is_neighbour(&net->link[interface], &arp->sender)) {
        return; /* a probe with a zero sender, or nonsense */
    }
    struct net_neighbour *n = neighbour_find(net, interface, &arp->sender);
    if (n == NULL) {
        if (list_is_empty(&net->neighbour_free) || net->asking_count >= NET_NEIGHBOURS_ASKING) {
            return;
        }
        n = neighbour_add(net, interface, &arp->sender);
        n->used_ns = now_ns;
    }
    if (n->state == NET_NEIGHBOUR_ASKING) {
        neighbour_resolve(net, n, arp->sender_mac, now_ns);
    } else {
        neighbour_doubt(net, n, arp->sender_mac, now_ns);
    }
}

/* True when the packet was about an address of this interface. */
static bool input_at(struct net *net, uint32_t interface, const struct arp_packet *arp,
                     uint64_t now_ns)
{
    struct net_link *link = &net->link[interface];
    if (ip_equal(&arp->sender, &link->conf.addr)) {
        /* Somebody else has our address. RFC 5227 section 2.4 (c): defend it, but not as often as
         * they claim it. Our own broadcast that comes back is not somebody else. */
        if (!eth_mac_equal(arp->sender_mac, link->mac) &&
            net_budget_take(&link->defences, DEFEND_PER_SECOND, 1, now_ns)) {
            announce(net, interface);
        }
        return true;
    }
    bool for_us = ip_equal(&arp->target, &link->conf.addr);
    if (for_us && arp->op == ARP_OP_REQUEST) {
        request_for_us(net, interface, arp, now_ns);
        return true;
    }
    struct net_neighbour *n = neighbour_find(net, interface, &arp->sender);
    if (n == NULL) {
        return false;
    }
    bool awaited = n->state == NET_NEIGHBOUR_ASKING || n->state == NET_NEIGHBOUR_PROBING;
    if (for_us && awaited && n->attempts > 0) {
        neighbour_resolve(net, n, arp->sender_mac, now_ns);
        return true;
    }
    if (ip_equal(&arp->sender, &arp->target)) {
        neighbour_doubt(net, n, arp->sender_mac, now_ns); /* an announcement */
    }
    return true;
}

bool neighbour_input(struct net *net, uint32_t port, const struct eth_frame *eth, uint64_t now_ns)
{
    struct arp_packet arp;
    if (!arp_parse(eth->payload, &arp)) {
        return false;
    }
    bool taken = false;
    for (uint32_t i = 0; i < net->link_count; i++) {
        if (net->link[i].conf.port == port && input_at(net, i, &arp, now_ns)) {
            taken = true;
        }
    }
    return taken;
}

/* --- time ------------------------------------------------------------------------------------ */

static void neighbour_due(struct net *net, struct net_neighbour *n, uint64_t now_ns)
{
    if (n->state == NET_NEIGHBOUR_KNOWN) {
        if (now_ns - n->used_ns < CONFIRM_NS) {
            neighbour_probe(net, n, false, now_ns);
        } else {
            neighbour_remove(net, n, false);
        }
        return;
    }
    if (n->attempts >= REQUESTS_MAX) {
        neighbour_remove(net, n, true);
        return;
    }
    neighbour_ask(net, n, now_ns);
}

static void list_tick(struct net *net, struct list *head, uint64_t now_ns)
{
    struct list *l = head->next;
    while (l != head) {
        struct net_neighbour *n = list_entry(l, struct net_neighbour, node);
        l = l->next;
        if (n->due_ns <= now_ns) {
            neighbour_due(net, n, now_ns);
        }
    }
}

void neighbour_tick(struct net *net, uint64_t now_ns)
{
    if (now_ns < net->tick_ns) {
        return;
    }
    net->tick_ns = now_ns + TICK_NS;
    for (uint32_t i = 0; i < net->link_count; i++) {
        struct net_link *link = &net->link[i];
        if (link->announcements_left > 0 && link->announce_ns <= now_ns) {
            link->announcements_left--;
            link->announce_ns = now_ns + ANNOUNCE_INTERVAL_NS;
            announce(net, i);
        }
    }
    list_tick(net, &net->neighbour_asking, now_ns);
    list_tick(net, &net->neighbour_known, now_ns);
}
