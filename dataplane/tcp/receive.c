/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/receive.c: segment text and FIN (RFC 9293 section 3.10.7.4, steps 7 and 8), the
 * window we advertise, and the caller's reading.
 *
 * When nothing is buffered, text in order is not copied: the application reads it where it lies in
 * the packet. rcv_nxt moves when the application consumes it, or when the rest is stored because
 * the packet goes back. What could not be stored is not acknowledged, so the peer sends it again.
 *
 * Promise: each byte is readable once, in order; a FIN shows when the last byte before it is
 *          received.
 * Trap:    between tcp_input and tcp_input_done rcv_nxt may lie behind what was peeked.
 */
#include "dataplane/tcp/core.h"

static uint32_t receive_buffered(const struct tcp_conn *conn)
{
    return tcp_conn_data_end(conn) - conn->receive.read;
}

/* RFC 9293 section 3.8.6.3 (MUST-58, SHLD-18): an ACK after every second segment, or after 40
 * ms. */
static void receive_ack_later(struct tcp_conn *conn)
{
    conn->segments_unacked++;
    if (conn->segments_unacked >= 2) {
        tcp_conn_ack_now(conn);
    } else if (conn->delayed_ack_ns == 0) {
        tcp_timer_set(conn, &conn->delayed_ack_ns, conn->stack->now_ns + TCP_DELAYED_ACK_NS);
    }
}

/* RFC 5681 section 4.2: each segment ahead of a hole is answered at once with a duplicate ACK. */
static void receive_ack_duplicate(struct tcp_conn *conn)
{
    if (conn->dup_acks_due < LIMIT_TCP_DUP_ACKS_DUE) {
        conn->dup_acks_due++;
    }
    tcp_conn_dirty(conn);
}

/* --- the window ------------------------------------------------------------------------------- */

uint32_t tcp_receive_edge(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    uint32_t most =
        min_u32(stack->settings.receive_window_bytes, (uint32_t)UINT16_MAX << conn->rcv_wscale);
    uint32_t buffered = receive_buffered(conn);
    uint32_t space = most > buffered ? most - buffered : 0;
    uint32_t mss = tcp_mss_own(stack, &conn->tuple);
    uint32_t step = min_u32(most / 2, mss);
    if (tcp_blocks_are_low(stack)) {
        /* One segment at a time can still be read in place. Its size is rounded up to units of the
         * scale: rounded down on the wire, the window would not take a whole segment. */
        uint32_t unit = UINT32_C(1) << conn->rcv_wscale;
        space = buffered > 0 ? 0 : min_u32(space, (mss + unit - 1) & ~(unit - 1));
        step = 1;
        if (list_is_empty(&conn->short_of_blocks)) {
            list_append(&stack->short_of_blocks, &conn->short_of_blocks);
        }
    }
    uint32_t adv = seq_later(conn->rcv_adv, conn->rcv_nxt);
    uint32_t edge = conn->rcv_nxt + space;
    /* SHLD-14: never shrink. Section 3.8.6.2.2 (MUST-39): never open in small steps. */
    if (seq_upto(edge, adv) || edge - adv < step) {
        return adv;
    }
    return edge;
}

void tcp_receive_window_update(struct tcp_conn *conn)
{
    if (conn->state < TCP_STATE_ESTABLISHED || conn->is_fin_taken) {
        return;
    }
    uint32_t edge = tcp_receive_edge(conn);
    uint32_t adv = seq_later(conn->rcv_adv, conn->rcv_nxt);
    uint32_t grown = edge - adv;
    uint32_t half = conn->stack->settings.receive_window_bytes / 2;
    if (grown > 0 && grown >= min_u32(half, 2u * tcp_mss_own(conn->stack, &conn->tuple))) {
        tcp_conn_ack_now(conn);
    } else if (grown > 0 && (adv - conn->rcv_nxt) >> conn->rcv_wscale == 0) {
        tcp_conn_ack_now(conn); /* for the peer, which sees units of the scale, it was closed */
    }
}

/* --- FIN -------------------------------------------------------------------------------------- */

/* RFC 9293 section 3.10.7.4, step 8. */
void tcp_receive_fin_check(struct tcp_conn *conn)
{
    if (!conn->is_fin_known || conn->is_fin_taken || conn->rcv_nxt != conn->fin_seq) {
        return;
    }
    conn->is_fin_taken = true;
    conn->rcv_nxt++;
    tcp_conn_ack_now(conn);
    if (!conn->is_closed) {
        tcp_conn_event(conn, TCP_EVENT_FIN);
    }
    switch ((enum tcp_state)conn->state) {
    case TCP_STATE_ESTABLISHED:
        conn->state = TCP_STATE_CLOSE_WAIT;
        break;
    case TCP_STATE_FIN_WAIT_1:
        conn->state = TCP_STATE_CLOSING;
        break;
    case TCP_STATE_FIN_WAIT_2:
        tcp_conn_time_wait(conn);
        break;
    case TCP_STATE_CLOSED:
    case TCP_STATE_SYN_SENT:
    case TCP_STATE_SYN_RECEIVED:
    case TCP_STATE_CLOSE_WAIT:
    case TCP_STATE_CLOSING:
    case TCP_STATE_LAST_ACK:
        break;
    }
}

/* --- text ------------------------------------------------------------------------------------- */

static void receive_in_order(struct tcp_conn *conn, struct bytes text)
{
    struct tcp_stack *stack = conn->stack;
    uint32_t len = (uint32_t)text.len;
    if (conn->is_closed) {
        conn->rcv_nxt += len;
        conn->receive.read = conn->rcv_nxt;
        receive_ack_later(conn);
        return;
    }
    bool had_ranges = conn->receive.ranges != 0;
    if (had_ranges || receive_buffered(conn) > 0) {
        uint32_t stored = tcp_reassembly_store(conn, conn->rcv_nxt, text, TCP_BLOCK_IN_ORDER);
        if (stored == 0 && had_ranges) {
            /* Bytes ahead of the hole give way to bytes in order; else a full pool would stay
             * full. */
            tcp_reassembly_forget(conn);
            stored = tcp_reassembly_store(conn, conn->rcv_nxt, text, TCP_BLOCK_IN_ORDER);
        }
        conn->rcv_nxt += stored;
        tcp_reassembly_join(conn);
        if (had_ranges || stored < len) {
            tcp_conn_ack_now(conn); /* a hole is filled, or memory is short: say so at once */
        } else {
            receive_ack_later(conn);
        }
        if (stored > 0) {
            tcp_conn_event(conn, TCP_EVENT_READABLE);
        }
        if (stored > 0 || receive_buffered(conn) > 0) {
            return;
        }
    } else {
        receive_ack_later(conn);
    }
    assert(stack->in_place_conn == NULL);
    stack->in_place_conn = conn;
    stack->in_place = text;
    tcp_conn_event(conn, TCP_EVENT_READABLE);
}

/* Notes where the peer's FIN is, unless that contradicts what has arrived. */
static void receive_note_fin(struct tcp_conn *conn, uint32_t fin_seq)
{
    if (!conn->is_fin_known && seq_upto(tcp_reassembly_end(conn), fin_seq)) {
        conn->is_fin_known = true;
        conn->fin_seq = fin_seq;
    }
}

/* `seq` may lie before rcv_nxt, and the end of the text to the right of the window: a segment is
 * acceptable when a part of it lies in the window. */
void tcp_receive_text(struct tcp_conn *conn, uint32_t seq, struct bytes text, bool fin)
{
    if (conn->is_fin_taken) {
        tcp_conn_ack_now(conn); /* nothing follows a FIN: this was sent before */
        return;
    }
    if (seq_before(seq, conn->rcv_nxt)) {
        text = bytes_from(text, conn->rcv_nxt - seq);
        seq = conn->rcv_nxt;
        tcp_conn_ack_now(conn);
    }
    uint32_t edge = seq_later(conn->rcv_adv, seq);
    if (conn->is_fin_known && seq_before(conn->fin_seq, edge)) {
        edge = seq_later(conn->fin_seq, seq);
    }
    if (text.len > edge - seq) {
        text = bytes_first(text, edge - seq);
        fin = false;
        tcp_conn_ack_now(conn);
    }
    if (fin) {
        receive_note_fin(conn, seq + (uint32_t)text.len);
    }
    if (seq != conn->rcv_nxt) {
        if (text.len > 0 && !conn->is_closed) {
            tcp_reassembly_keep(conn, seq, text);
        }
        receive_ack_duplicate(conn);
    } else if (text.len > 0) {
        receive_in_order(conn, text);
    }
    tcp_receive_fin_check(conn);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct bytes tcp_peek(struct tcp_conn *conn)
{
    if (conn->state == TCP_STATE_CLOSED || conn->is_closed) {
        return bytes_of(NULL, 0);
    }
    if (conn->stack->in_place_conn == conn) {
        return conn->stack->in_place;
    }
    return tcp_reassembly_peek(conn);
}

void tcp_consume(struct tcp_conn *conn, size_t len)
{
    struct tcp_stack *stack = conn->stack;
    if (len == 0 || conn->state == TCP_STATE_CLOSED || conn->is_closed) {
        return;
    }
    if (stack->in_place_conn == conn) {
        assert(len <= stack->in_place.len);
        conn->rcv_nxt += (uint32_t)len;
        conn->receive.read = conn->rcv_nxt;
        stack->in_place = bytes_from(stack->in_place, len);
        if (stack->in_place.len == 0) {
            stack->in_place_conn = NULL;
        }
        tcp_receive_fin_check(conn);
    } else {
        tcp_reassembly_consume(conn, (uint32_t)len);
    }
    tcp_receive_window_update(conn);
}

/* Copies aside what was not consumed in place. */
void tcp_receive_settle(struct tcp_stack *stack)
{
    struct tcp_conn *conn = stack->in_place_conn;
    if (conn == NULL) {
        return;
    }
    stack->in_place_conn = NULL;
    assert(conn->receive.ranges == 0 && receive_buffered(conn) == 0);
    uint32_t stored =
        tcp_reassembly_store(conn, conn->rcv_nxt, stack->in_place, TCP_BLOCK_IN_ORDER);
    conn->rcv_nxt += stored;
    if (stored < stack->in_place.len) {
        tcp_conn_ack_now(conn);
    }
    tcp_receive_fin_check(conn);
}
