/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/conn.c: what the caller can do with a connection (RFC 9293 section 3.9.1), and what
 * a handshake sets in it.
 *
 *                       SYN_SENT ──▶ ESTABLISHED ◀── SYN_RECEIVED ◀── (listener)
 *             tcp_close │                 │ peer's FIN
 *         FIN_WAIT_1 ◀──┴───────┐         ▼
 *      ACK │     │ peer's FIN   └──── CLOSE_WAIT ──tcp_close──▶ LAST_ACK ──ACK──▶ CLOSED
 *  FIN_WAIT_2   CLOSING ──ACK──▶ TIME_WAIT (table)
 *
 * Promise: every call is safe in every state; on an ended connection it does nothing.
 * Trap:    after tcp_close arriving bytes are acknowledged and thrown away. A RST in their place
 *          would destroy our last reply at a peer that writes after its QUIT (RFC 2525 section
 *          2.17).
 */
#include "dataplane/tcp/core.h"

#include <errno.h>

/* An option is used only when both SYNs have it, and we offer them all (RFC 7323 sections 1.3, 2.5
 * and 3.2): so the peer's SYN decides. */
void tcp_conn_init_options(struct tcp_conn *conn, const struct tcp_segment *syn)
{
    struct tcp_stack *stack = conn->stack;
    uint32_t preset = ip_is_v4(&conn->tuple.remote_addr) ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
    uint32_t mss = syn->has_mss ? syn->mss : preset;
    mss = max_u32(mss, LIMIT_TCP_MSS_MIN_BYTES);
    mss = min_u32(mss, min_u32(tcp_mss_own(stack, &conn->tuple), TCP_BLOCK_BYTES));
    conn->has_timestamps = syn->has_timestamps;
    if (syn->has_timestamps) {
        conn->ts_recent = syn->ts_value;
        conn->ts_recent_ms = tcp_clock_ms(stack);
        mss -= TCP_TIMESTAMPS_BYTES; /* RFC 6691: the MSS does not count options */
    }
    conn->mss = (uint16_t)mss;
    conn->has_sack = syn->has_sack_permitted;
    conn->has_wscale = syn->has_wscale;
    if (syn->has_wscale) {
        conn->snd_wscale = (uint8_t)min_u32(syn->wscale, TCP_WSCALE_MAX);
        conn->rcv_wscale = stack->rcv_wscale;
    }
    conn->irs = syn->seq;
    conn->rcv_nxt = syn->seq + 1;
    conn->last_ack_sent = conn->rcv_nxt;
    conn->receive.read = conn->rcv_nxt;
    /* The window of a SYN is never scaled (RFC 7323 section 2.2). */
    conn->rcv_adv = conn->rcv_nxt + min_u32(stack->settings.receive_window_bytes, UINT16_MAX);
    conn->snd_wnd = syn->window;
    conn->snd_wnd_max = syn->window;
    conn->snd_wl1 = syn->seq;
    conn->snd_wl2 = syn->ack;
}

void tcp_conn_challenge(struct tcp_conn *conn)
{
    uint32_t now_s = (uint32_t)(conn->stack->now_ns / TCP_NS_PER_S);
    if (conn->challenge_s != now_s) {
        conn->challenge_s = now_s;
        conn->challenge_count = 0;
    }
    if (conn->challenge_count < LIMIT_TCP_CHALLENGES_PER_S) {
        conn->challenge_count++;
        tcp_conn_ack_now(conn);
    }
}

void tcp_conn_established(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    assert(conn->state == TCP_STATE_SYN_SENT || conn->state == TCP_STATE_SYN_RECEIVED);
    tcp_conn_set_half_open(conn, false);
    tcp_recovery_init(conn);
    if (conn->backoff > 0 && conn->srtt_us == 0) {
        conn->rto_us = 3000000; /* RFC 6298 section 5.7 */
    }
    conn->backoff = 0;
    conn->state = conn->is_closed ? TCP_STATE_FIN_WAIT_1 : TCP_STATE_ESTABLISHED;
    if (conn->is_passive) {
        stack->stats.accepted++;
    } else {
        stack->stats.connected++;
    }
    tcp_conn_event(conn, TCP_EVENT_OPENED);
    tcp_conn_dirty(conn);
}

int tcp_connect(struct tcp_stack *stack, const struct ip_endpoint *local,
                const struct ip_endpoint *remote, void *user, uint64_t now_ns,
                struct tcp_conn **conn_out)
{
    assert(remote->port != 0 && !ip_is_zero(&local->addr));
    tcp_stack_set_now(stack, now_ns);
    struct tcp_tuple tuple = {
        .local_addr = local->addr,
        .remote_addr = remote->addr,
        .local_port = local->port,
        .remote_port = remote->port,
    };
    if (local->port == 0 && !tcp_port_pick(stack, &tuple)) {
        return -EADDRNOTAVAIL;
    }
    uint32_t ref = tcp_table_find(stack, (uint32_t)tcp_tuple_hash(stack, &tuple), &tuple);
    if (ref != 0) {
        uint32_t index = ref & ~TCP_REF_TIME_WAIT;
        if ((ref & TCP_REF_TIME_WAIT) == 0 || tcp_time_wait_is_live(stack, index)) {
            return -EADDRNOTAVAIL;
        }
        tcp_time_wait_release(stack, index);
    }
    struct tcp_conn *conn = tcp_conn_begin(stack, &tuple);
    if (conn == NULL) {
        return -ENOMEM;
    }
    conn->state = TCP_STATE_SYN_SENT;
    conn->is_announced = true;
    conn->user = user;
    conn->iss = tcp_initial_seq(stack, &tuple);
    conn->snd_una = conn->iss;
    conn->snd_nxt = conn->iss;
    conn->snd_max = conn->iss;
    tcp_conn_dirty(conn);
    *conn_out = conn;
    return 0;
}

void tcp_conn_set_user(struct tcp_conn *conn, void *user)
{
    conn->user = user;
}

const struct tcp_tuple *tcp_conn_tuple(const struct tcp_conn *conn)
{
    return &conn->tuple;
}

const char *tcp_conn_state_name(const struct tcp_conn *conn)
{
    static const char *const name[] = {
        [TCP_STATE_CLOSED] = "CLOSED",
        [TCP_STATE_SYN_SENT] = "SYN_SENT",
        [TCP_STATE_SYN_RECEIVED] = "SYN_RECEIVED",
        [TCP_STATE_ESTABLISHED] = "ESTABLISHED",
        [TCP_STATE_FIN_WAIT_1] = "FIN_WAIT_1",
        [TCP_STATE_FIN_WAIT_2] = "FIN_WAIT_2",
        [TCP_STATE_CLOSE_WAIT] = "CLOSE_WAIT",
        [TCP_STATE_CLOSING] = "CLOSING",
        [TCP_STATE_LAST_ACK] = "LAST_ACK",
    };
    assert(conn->state < sizeof name / sizeof name[0]);
    return name[conn->state];
}

void tcp_keep_alive(struct tcp_conn *conn, uint32_t interval_ms)
{
    conn->keep_alive_ms = interval_ms;
    conn->keep_alive_ns = 0;
    conn->keep_alive_asked = 0;
    if (interval_ms != 0 && conn->state != TCP_STATE_CLOSED) {
        conn->heard_ns = conn->stack->now_ns;
        tcp_timer_keep_alive(conn);
    }
}

size_t tcp_write_space(const struct tcp_conn *conn)
{
    bool may_write = conn->state == TCP_STATE_SYN_SENT || conn->state == TCP_STATE_SYN_RECEIVED ||
                     conn->state == TCP_STATE_ESTABLISHED || conn->state == TCP_STATE_CLOSE_WAIT;
    uint32_t limit = conn->stack->settings.send_buffer_bytes;
    if (!may_write || conn->is_closed || conn->queue.bytes >= limit) {
        return 0;
    }
    size_t room = tcp_queue_room(conn->stack, &conn->queue);
    return min_u32(limit - conn->queue.bytes, room > limit ? limit : (uint32_t)room);
}

size_t tcp_write(struct tcp_conn *conn, const void *data, size_t len)
{
    struct tcp_stack *stack = conn->stack;
    size_t space = tcp_write_space(conn);
    size_t taken = 0;
    if (len > 0 && space > 0) {
        taken = tcp_queue_append(stack, &conn->queue, bytes_of(data, len < space ? len : space));
        tcp_conn_dirty(conn);
    }
    if (taken < len) {
        tcp_want_writable(conn);
    }
    return taken;
}

void tcp_want_writable(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    if (conn->state == TCP_STATE_CLOSED || conn->is_closed) {
        return;
    }
    conn->is_write_short = true;
    /* Where the pool has blocks, an ACK will make room. Where it has none, the connection waits
     * for blocks. */
    if (tcp_queue_room(stack, &conn->queue) == 0 && list_is_empty(&conn->short_of_blocks)) {
        list_append(&stack->short_of_blocks, &conn->short_of_blocks);
    }
}

size_t tcp_unsent(const struct tcp_conn *conn)
{
    return conn->queue.bytes;
}

/* The application reads no more: bytes that have arrived count as read. */
static void conn_discard(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    if (stack->in_place_conn == conn) {
        conn->rcv_nxt += (uint32_t)stack->in_place.len;
        stack->in_place_conn = NULL;
    }
    tcp_reassembly_clear(conn);
    conn->receive.read = tcp_conn_data_end(conn);
    conn->events &= ~(uint32_t)(TCP_EVENT_READABLE | TCP_EVENT_FIN | TCP_EVENT_WRITABLE);
    tcp_receive_fin_check(conn);
    tcp_receive_window_update(conn);
}

void tcp_close(struct tcp_conn *conn)
{
    if (conn->is_closed || conn->state == TCP_STATE_CLOSED) {
        return;
    }
    conn->is_closed = true;
    conn->is_write_short = false;
    switch ((enum tcp_state)conn->state) {
    case TCP_STATE_SYN_SENT:
        tcp_conn_end(conn, 0);
        return;
    case TCP_STATE_ESTABLISHED:
        conn->state = TCP_STATE_FIN_WAIT_1;
        break;
    case TCP_STATE_CLOSE_WAIT:
        conn->state = TCP_STATE_LAST_ACK;
        break;
    case TCP_STATE_SYN_RECEIVED: /* tcp_conn_established goes on to FIN_WAIT_1 */
    case TCP_STATE_CLOSED:
    case TCP_STATE_FIN_WAIT_1:
    case TCP_STATE_FIN_WAIT_2:
    case TCP_STATE_CLOSING:
    case TCP_STATE_LAST_ACK:
        break;
    }
    tcp_conn_dirty(conn);
    conn_discard(conn);
}

void tcp_abort(struct tcp_conn *conn)
{
    if (conn->state == TCP_STATE_CLOSED) {
        return;
    }
    if (conn->state != TCP_STATE_SYN_SENT) {
        tcp_conn_reset(conn);
    }
    tcp_conn_end(conn, 0);
}

void tcp_conn_unreachable(struct tcp_conn *conn)
{
    if (conn->state == TCP_STATE_SYN_SENT) {
        tcp_conn_end(conn, TCP_EVENT_UNREACHABLE);
    }
}

void tcp_unreachable(struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t seq)
{
    uint32_t ref = tcp_table_find(stack, (uint32_t)tcp_tuple_hash(stack, tuple), tuple);
    if (ref == 0 || (ref & TCP_REF_TIME_WAIT) != 0) {
        return;
    }
    struct tcp_conn *conn = &stack->conns[ref - 1];
    if (seq == conn->iss) { /* RFC 5927 section 4.1: only who saw our SYN knows this number */
        tcp_conn_unreachable(conn);
    }
}
