/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_tcp_segment.c: hostile segments to a stack that listens and connects.
 *
 * Target functions: tcp_input, tcp_segment_parse (options), tcp_ack_take, tcp_receive_text and the
 * reassembly behind it, tcp_time_wait_input, tcp_tick, tcp_output; tcp_peek, tcp_consume,
 * tcp_write, tcp_close, tcp_abort, tcp_keep_alive, tcp_unreachable in every state that segments
 * lead to; tcp_connect, also over a pair that is in TIME_WAIT.
 *
 * Input: steps of one command byte and its arguments:
 *   0..127    a segment: flags, delta of seq, delta of ack (both from where the connection stands,
 *             127: all that was sent), option length, payload length, then the options; the
 *             command's bits pick the port
 *   128..159  time passes
 *   160..191  the application, by (command - 160) / 4: it stops or starts reading, no buffer is
 *             left to send with, close, abort, write, keep-alive, connect, ICMP "unreachable"
 *   192..255  a raw segment: length, bytes
 *
 * Promise: no crash, no read outside the segment, and in the end no block and no connection left.
 */
#include "dataplane/tcp/core.h"
#include "tests/fuzz/reach.h"

#define REACH_MARKS(MARK)                                                                          \
    MARK(syn_sent), MARK(syn_received), MARK(established), MARK(fin_wait_1), MARK(fin_wait_2),     \
        MARK(close_wait), MARK(closing), MARK(last_ack), MARK(time_wait), MARK(time_wait_input),   \
        MARK(time_wait_reused), MARK(time_wait_over), MARK(connected), MARK(keep_alive_asked),     \
        MARK(keep_alive_answered), MARK(keep_alive_gave_up), MARK(event_opened),                   \
        MARK(event_readable), MARK(event_writable), MARK(event_fin), MARK(event_sent),             \
        MARK(event_refused), MARK(event_unreachable), MARK(event_reset), MARK(event_timeout),      \
        MARK(event_closed), MARK(reassembled), MARK(resent)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PORTS = 4, WIRE_BYTES = 600 };

struct world {
    struct tcp_stack *stack;
    struct ip_addr here;
    struct ip_addr there;
    uint64_t now_ns;
    struct tcp_conn *conn[PORTS]; /* by the peer's port - 1 */
    uint32_t last_seq[PORTS];     /* one past what we sent last */
    uint32_t next_seq[PORTS];     /* the peer's next one, as we last expected it */
    uint16_t local_port[PORTS];   /* of the last connection; 25 before */
    bool asked[PORTS];            /* a keep-alive is out */
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

static void reach_events(uint32_t kinds, const struct tcp_conn *conn)
{
    bool timeout = (kinds & TCP_EVENT_TIMEOUT) != 0;
    REACH_IF((kinds & TCP_EVENT_OPENED) != 0, event_opened);
    REACH_IF((kinds & TCP_EVENT_OPENED) != 0 && !conn->is_passive, connected);
    REACH_IF((kinds & TCP_EVENT_READABLE) != 0, event_readable);
    REACH_IF((kinds & TCP_EVENT_WRITABLE) != 0, event_writable);
    REACH_IF((kinds & TCP_EVENT_FIN) != 0, event_fin);
    REACH_IF((kinds & TCP_EVENT_SENT) != 0, event_sent);
    REACH_IF((kinds & TCP_EVENT_REFUSED) != 0, event_refused);
    REACH_IF((kinds & TCP_EVENT_UNREACHABLE) != 0, event_unreachable);
    REACH_IF((kinds & TCP_EVENT_RESET) != 0, event_reset);
    REACH_IF(timeout, event_timeout);
    REACH_IF(timeout && conn->keep_alive_asked >= TCP_KEEP_ALIVE_ASKED_MIN, keep_alive_gave_up);
    REACH_IF((kinds & TCP_EVENT_CLOSED) != 0, event_closed);
}

static void reach_state(enum tcp_state state)
{
    switch (state) {
    case TCP_STATE_CLOSED:
        break;
    case TCP_STATE_SYN_SENT:
        REACH(syn_sent);
        break;
    case TCP_STATE_SYN_RECEIVED:
        REACH(syn_received);
        break;
    case TCP_STATE_ESTABLISHED:
        REACH(established);
        break;
    case TCP_STATE_FIN_WAIT_1:
        REACH(fin_wait_1);
        break;
    case TCP_STATE_FIN_WAIT_2:
        REACH(fin_wait_2);
        break;
    case TCP_STATE_CLOSE_WAIT:
        REACH(close_wait);
        break;
    case TCP_STATE_CLOSING:
        REACH(closing);
        break;
    case TCP_STATE_LAST_ACK:
        REACH(last_ack);
        break;
    }
}

/* After each step: notes which states were reached, and the numbers that the peer would use when
 * the connection is gone. */
static void world_look(struct world *world)
{
    struct tcp_stats stats;
    tcp_stack_stats(world->stack, &stats);
    REACH_IF(stats.time_wait_count > 0, time_wait);
    REACH_IF(stats.retransmits > 0, resent);
    for (uint32_t i = 0; i < world->stack->conns_touched; i++) {
        reach_state(world->stack->conns[i].state);
    }
    for (uint32_t i = 0; i < PORTS; i++) {
        const struct tcp_conn *conn = world->conn[i];
        if (conn == NULL) {
            world->asked[i] = false;
            continue;
        }
        bool asked = conn->keep_alive_asked > 0;
        REACH_IF(asked, keep_alive_asked);
        REACH_IF(!asked && world->asked[i], keep_alive_answered);
        world->asked[i] = asked;
        world->next_seq[i] = conn->rcv_nxt;
        world->local_port[i] = conn->tuple.local_port;
    }
}

static void world_events(struct world *world)
{
    struct tcp_event event;
    while (tcp_next_event(world->stack, &event)) {
        uint32_t i = tcp_conn_tuple(event.conn)->remote_port - 1u;
        bool known = i < PORTS;
        reach_events(event.kinds, event.conn);
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

static bool is_time_wait(const struct world *world, const struct tcp_tuple *tuple)
{
    uint32_t ref =
        tcp_table_find(world->stack, (uint32_t)tcp_tuple_hash(world->stack, tuple), tuple);
    return (ref & TCP_REF_TIME_WAIT) != 0 &&
           tcp_time_wait_is_live(world->stack, ref & ~TCP_REF_TIME_WAIT);
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
    struct tcp_tuple tuple = {.local_addr = world->here,
                              .remote_addr = world->there,
                              .local_port = world->local_port[i],
                              .remote_port = (uint16_t)(i + 1)};
    bool waited = is_time_wait(world, &tuple);
    seq += conn != NULL ? conn->rcv_nxt : world->next_seq[i];
    ack = conn == NULL      ? ack + world->last_seq[i]
          : ack == INT8_MAX ? conn->snd_max
                            : ack + conn->snd_una;
    put_be16(wire, (uint16_t)(i + 1));
    put_be16(wire + 2, tuple.local_port);
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
    REACH_IF(waited, time_wait_input);
    REACH_IF(waited && (flags & TCP_FLAG_SYN) != 0 && !is_time_wait(world, &tuple),
             time_wait_reused);
    REACH_IF(conn != NULL && world->conn[i] == conn &&
                 seq_before(world->next_seq[i] + payload_len, conn->rcv_nxt),
             reassembled);
}

static void step_connect(struct world *world, uint32_t i)
{
    struct ip_endpoint local = {.addr = world->here};
    struct ip_endpoint remote = {.addr = world->there, .port = (uint16_t)(i + 1)};
    struct tcp_conn *conn;
    if (world->conn[i] == NULL &&
        tcp_connect(world->stack, &local, &remote, NULL, world->now_ns, &conn) == 0) {
        world->conn[i] = conn;
    }
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
    case 4:
        if (conn != NULL) {
            tcp_write(conn, text, sizeof text);
        }
        break;
    case 5:
        if (conn != NULL) {
            tcp_keep_alive(conn, 10000);
        }
        break;
    case 6:
        step_connect(world, command % PORTS);
        break;
    default:
        if (conn != NULL) {
            tcp_unreachable(world->stack, tcp_conn_tuple(conn), conn->snd_una);
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
        world_look(world);
    }
}

static void world_end(struct world *world)
{
    bool waits = world->stack->stats.time_wait_count > 0;
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
    REACH_IF(waits, time_wait_over);
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
    for (uint32_t i = 0; i < PORTS; i++) {
        world.next_seq[i] = 1000;
        world.local_port[i] = 25;
    }
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
