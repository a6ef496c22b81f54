/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/node.c: see node.h. */
#include "tests/sim/node.h"

#include "tests/sim/trace.h"

#include <stdlib.h>
#include <string.h>

struct ip_addr node_addr(uint8_t last_octet)
{
    return ip_from_v4((const uint8_t[4]){192, 0, 2, last_octet});
}

void node_mac(uint8_t last_octet, uint8_t mac_out[NIC_MAC_BYTES])
{
    const uint8_t mac[NIC_MAC_BYTES] = {0x02, 0, 0, 0, 0, last_octet};
    memcpy(mac_out, mac, sizeof mac);
}

static struct tcp_stack *make_stack(struct node *node, struct rng *keys, uint16_t mtu,
                                    uint32_t conns)
{
    struct tcp_settings settings = {
        .conn_count_max = conns,
        .time_wait_count_max = conns,
        .block_count = conns * 48,
        .receive_window_bytes = 32768,
        .send_buffer_bytes = 32768,
        .mss_bytes = (uint16_t)(mtu - 40),
        .isn_key = {.k0 = rng_u64(keys), .k1 = rng_u64(keys)},
        .time_wait_ms = 1000,
    };
    struct tcp_stack *stack;
    int error = tcp_stack_create(&settings, &node->shell, &stack);
    assert(error == 0);
    return stack;
}

struct node *node_create(struct wire *wire, struct rng *keys, uint8_t last_octet, uint16_t mtu,
                         uint32_t conns)
{
    struct node *node = calloc(1, sizeof *node);
    assert(node != NULL);
    uint8_t mac[NIC_MAC_BYTES];
    node_mac(last_octet, mac);
    node->nic = wire_plug(wire, mac, mtu);
    node->addr = node_addr(last_octet);
    struct net_interface interface = {.port = 0, .addr = node->addr, .prefix_bits = 120};
    int error = net_create(node->nic, &interface, 1, &node->counters, &node->net);
    assert(error == 0);
    node->shell.net = node->net;
    node->tcp = make_stack(node, keys, mtu, conns);
    node->deaf = make_stack(node, keys, mtu, 4);
    node->app_next_ns = UINT64_MAX;
    return node;
}

void node_destroy(struct node *node)
{
    tcp_stack_destroy(node->tcp);
    tcp_stack_destroy(node->deaf);
    net_destroy(node->net);
    free(node);
}

void node_listen(struct node *node, uint16_t port)
{
    struct ip_endpoint local = {.addr = node->addr, .port = port};
    int error = tcp_listen(node->tcp, &local);
    assert(error == 0);
}

uint64_t node_next_ns(const struct node *node)
{
    if (wire_nic_has_frames(node->nic)) {
        return 0;
    }
    uint64_t next = tcp_next_timer_ns(node->tcp);
    uint64_t deaf = tcp_next_timer_ns(node->deaf);
    next = deaf < next ? deaf : next;
    return node->app_next_ns < next ? node->app_next_ns : next;
}

static void events(struct node *node)
{
    struct tcp_event event;
    while (tcp_next_event(node->tcp, &event)) {
        node->event(node->ctx, &event);
    }
    while (tcp_next_event(node->deaf, &event)) {
        /* Nobody lives here. */
    }
}

static bool opens(struct bytes segment)
{
    return segment.len >= 20 && (segment.data[13] & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN;
}

static void frame_in(struct node *node, const struct nic_frame *frame)
{
    struct net_packet packet;
    if (node->mood == NODE_OFF || net_input(node->net, frame, trace.now_ns, &packet) != NET_TCP ||
        node->mood == NODE_SILENT) {
        return;
    }
    bool refused = node->mood == NODE_REFUSING && opens(packet.segment);
    struct tcp_stack *stack = refused ? node->deaf : node->tcp;
    tcp_input(stack, &packet.src, &packet.dst, packet.segment, trace.now_ns);
    events(node);
    tcp_input_done(stack);
}

void node_turn(struct node *node)
{
    struct nic_frame frames[NIC_BURST];
    uint32_t count;
    node->shell.now_ns = trace.now_ns;
    while ((count = nic_receive(node->nic, 0, frames)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            frame_in(node, &frames[i]);
            nic_release(node->nic, &frames[i]);
        }
    }
    net_tick(node->net, trace.now_ns);
    struct ip_addr unreachable;
    while (net_next_unreachable(node->net, &unreachable)) {
        /* Its connects end by timeout, which is a peer's own affair. */
    }
    tcp_tick(node->tcp, trace.now_ns);
    tcp_tick(node->deaf, trace.now_ns);
    events(node);
    if (node->turn != NULL) {
        node->app_next_ns = node->turn(node->ctx);
        events(node);
    }
    tcp_output(node->tcp, trace.now_ns);
    tcp_output(node->deaf, trace.now_ns);
    nic_flush(node->nic);
}
