/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_tcp_segment.c: sequences of hostile segments to a listening stack.
 *
 * Target functions: tcp_input, tcp_segment_parse (options), tcp_ack_take, tcp_receive_text and the
 * reassembly behind it, tcp_time_wait_input, tcp_tick, tcp_output; tcp_peek, tcp_consume,
 * tcp_write, tcp_close, tcp_abort in every state that segments lead to.
 *
 * Input: steps of one command byte and its arguments:
 *   0..127    a segment: flags, delta of seq, delta of ack (both from where the connection stands),
 *             option length, payload length, then those bytes; the command's bits pick the port
 *   128..159  time passes
 *   160..191  the application closes, aborts, writes, stops or starts reading
 *   192..255  a raw segment: length, bytes
 *
 * Promise: no crash, no read outside the segment, and in the end no block and no connection left.
 */
#include "dataplane/tcp/core.h"
#include "tests/fuzz/reach.h"

#define REACH_MARKS(MARK) MARK(event_opened) MARK(event_closed)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PORTS = 4, WIRE_BYTES = 600 };

struct world {
    struct tcp_stack *stack;
    struct ip_addr here;
    struct ip_addr there;
    uint64_t now_ns;
    struct tcp_conn *conn[PORTS]; /* by the peer's port - 1 */
    uint32_t last_seq[PORTS];     /* of our SYN-ACKs and after */
    bool reads;
    bool emits;
};

bool tcp_emit(void *shell, const struct tcp_segment_out *segment)
{
    struct world *world = shell;
    if (!world->emits) {
        return false;
    }
    uint8_t wire[2200];
    size_t len = tcp_segment_write(segment, wire);
    struct tcp_segment parsed;
    bool ok = tcp_segment_parse(bytes_of(wire, len), &parsed);
    assert(ok);
    uint32_t port = segment->tuple->remote_port;
    if (port >= 1 && port <= PORTS) {
        world->last_seq[port - 1] = segment->seq + tcp_segment_length(&parsed);
    }
    return true;
}

static void world_events(struct world *world)
{
    struct tcp_event event;
    while (tcp_next_event(world->stack, &event)) {
        uint32_t i = tcp_conn_tuple(event.conn)->remote_port - 1u;
        bool known = i < PORTS;
        REACH_IF((event.kinds & TCP_EVENT_OPENED) != 0, event_opened);
        REACH_IF((event.kinds & TCP_EVENT_CLOSED) != 0, event_closed);
        if ((event.kinds & TCP_EVENT_CLOSED) != 0) {
            if (known && world->conn[i] == event.conn) {
                world->conn[i] = NULL;
            }
            continue;
        }
        if (!known) {
            tcp_abort(event.conn);
            continue;
        }
        world->conn[i] = event.conn;
        struct bytes b;
        while (world->reads && (b = tcp_peek(event.conn)).len > 0) {
            volatile uint8_t touch = b.data[b.len - 1];
            (void)touch;
            tcp_consume(event.conn, b.len > 3 ? b.len - 1 : b.len);
        }
    }
}

static void world_input(struct world *world, struct bytes wire)
{
    tcp_input(world->stack, &world->there, &world->here, wire, world->now_ns);
    world_events(world);
    tcp_input_done(world->stack);
    world_events(world);
    tcp_output(world->stack, world->now_ns);
}

static void step_segment(struct world *world, uint8_t command, struct cursor *c)
{
    uint32_t i = command % PORTS;
    uint8_t wire[WIRE_BYTES] = {0};
    uint8_t flags = cursor_u8(c);
    uint32_t seq = (uint32_t)(int32_t)(int16_t)cursor_le16(c);
    uint32_t ack = (uint32_t)(int32_t)(int8_t)cursor_u8(c);
    size_t option_len = cursor_u8(c) % 11 * 4u;
    size_t payload_len = cursor_u8(c);
    const struct tcp_conn *conn = world->conn[i];
    seq += conn != NULL ? conn->rcv_nxt : 1000;
    ack += conn != NULL ? conn->snd_una : world->last_seq[i];
    put_be16(wire, (uint16_t)(i + 1));
    put_be16(wire + 2, 25);
    put_be32(wire + 4, seq);
    put_be32(wire + 8, ack);
    wire[12] = (uint8_t)((20 + option_len) / 4 << 4);
    wire[13] = flags;
    put_be16(wire + 14, (uint16_t)(command << 5));
    struct bytes rest = cursor_take(c, option_len);
    if (rest.len > 0) {
        memcpy(wire + 20, rest.data, rest.len);
    }
    world_input(world, bytes_of(wire, 20 + option_len + payload_len));
}

static void step_application(struct world *world, uint8_t command)
{
    static const uint8_t text[5000];
    struct tcp_conn *conn = world->conn[command % PORTS];
    switch (command / PORTS % 8) {
    case 0:
        world->reads = !world->reads;
        break;
    case 1:
        world->emits = !world->emits;
        break;
    case 2:
        if (conn != NULL) {
            tcp_close(conn);
        }
        break;
    case 3:
        if (conn != NULL) {
            tcp_abort(conn);
        }
        break;
    default:
        if (conn != NULL) {
            tcp_write(conn, text, sizeof text);
        }
        break;
    }
    world_events(world);
    tcp_output(world->stack, world->now_ns);
}

static void world_run(struct world *world, struct cursor *c)
{
    while (c->rest.len > 0 && !c->failed) {
        uint8_t command = cursor_u8(c);
        if (command < 128) {
            step_segment(world, command, c);
        } else if (command < 160) {
            world->now_ns += (UINT64_C(1) << (command - 128)) * 50;
            tcp_tick(world->stack, world->now_ns);
            world_events(world);
            tcp_output(world->stack, world->now_ns);
        } else if (command < 192) {
            step_application(world, command);
        } else {
            world_input(world, cursor_take(c, cursor_u8(c)));
        }
    }
}

static void world_end(struct world *world)
{
    world->emits = true;
    for (uint32_t i = 0; i < PORTS; i++) {
        if (world->conn[i] != NULL) {
            tcp_abort(world->conn[i]);
        }
    }
    world_events(world);
    for (uint32_t i = 0; i < 400; i++) {
        world->now_ns += TCP_NS_PER_S;
        tcp_tick(world->stack, world->now_ns);
        world_events(world);
        tcp_output(world->stack, world->now_ns);
    }
    struct tcp_stats stats;
    tcp_stack_stats(world->stack, &stats);
    assert(stats.conn_count == 0 && stats.time_wait_count == 0);
    assert(world->stack->blocks_free == world->stack->settings.block_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tcp_settings settings = {
        .conn_count_max = 8,
        .time_wait_count_max = 4,
        .block_count = 24,
        .receive_window_bytes = 20000,
        .send_buffer_bytes = 20000,
        .mss_bytes = 1460,
        .isn_key = {.k0 = 1, .k1 = 2},
    };
    struct world world = {.now_ns = TCP_NS_PER_S, .reads = true, .emits = true};
    int result = tcp_stack_create(&settings, &world, &world.stack);
    assert(result == 0);
    bool ok = ip_parse("10.0.0.1", &world.here) && ip_parse("10.0.0.2", &world.there);
    assert(ok);
    struct ip_endpoint local = {.port = 25};
    result = tcp_listen(world.stack, &local);
    assert(result == 0);
    struct cursor c = cursor_of(bytes_of(data, size));
    world_run(&world, &c);
    world_end(&world);
    tcp_stack_destroy(world.stack);
    return 0;
}
