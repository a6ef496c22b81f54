/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/node.h: a host beside the relay: its own card, network and TCP, over which a peer's
 * SMTP runs.
 *
 * Promise: what the application writes in its turn or in an event leaves in the same turn.
 * Trap:    the application must not touch a connection after its TCP_EVENT_CLOSED.
 */
#ifndef HOLDFAST_TESTS_SIM_NODE_H
#define HOLDFAST_TESTS_SIM_NODE_H

#include "common/counter_block.h"
#include "common/ip.h"
#include "dataplane/net/net.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp_shell.h"
#include "tests/sim/rng.h"
#include "tests/sim/wire.h"

#include <stdbool.h>
#include <stdint.h>

enum node_mood {
    NODE_UP,
    NODE_REFUSING, /* answers SYNs with RST */
    NODE_SILENT,   /* answers ARP, drops TCP */
    NODE_OFF,      /* answers nothing */
};

struct node {
    struct nic *nic;
    struct net *net;
    struct tcp_stack *tcp;
    struct tcp_stack *deaf; /* without listeners: takes the SYNs for a refusing node */
    struct tcp_shell shell;
    struct counters counters;
    struct ip_addr addr;
    enum node_mood mood;
    /* An event of one of its connections. */
    void (*event)(void *ctx, const struct tcp_event *event);
    /* The application's own turn; returns when it wants the next one. */
    uint64_t (*turn)(void *ctx);
    void *ctx;
    uint64_t app_next_ns;
};

struct node *node_create(struct wire *wire, struct rng *keys, uint8_t last_octet, uint16_t mtu,
                         uint32_t conns);
/* Frees all but its card, which is the wire's. */
void node_destroy(struct node *node);
/* Listens at this port. */
void node_listen(struct node *node, uint16_t port);
/* 192.0.2.n, a documentation network (RFC 5737). */
struct ip_addr node_addr(uint8_t last_octet);
void node_mac(uint8_t last_octet, uint8_t mac_out[NIC_MAC_BYTES]);
/* When it has something to do next; `now` or earlier means at once. */
uint64_t node_next_ns(const struct node *node);
void node_turn(struct node *node);

#endif
