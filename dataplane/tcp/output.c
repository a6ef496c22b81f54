/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/output.c: what a connection sends when tcp_output comes to it: its SYN, duplicate
 * ACKs, a fast retransmission, new data as the windows allow, FIN, or an ACK alone.
 *
 * All that was written in a turn lies in the queue by then, so it leaves in full segments. There is
 * no Nagle delay: the application batches its writes.
 *
 * Promise: state changes only after tcp_emit took the segment.
 * Trap:    after a timeout snd_nxt may lie before snd_max: what lies between is sent again.
 */
#include "dataplane/tcp/core.h"

/* The window field for `edge`. It is rounded down to units of the scale, so the peer may see an
 * edge that lies less than one unit to the left; what was advertised before stays acceptable (RFC
 * 7323 section 2.4). */
static uint16_t output_window(const struct tcp_conn *conn, uint32_t edge)
{
    uint32_t window = (edge - conn->rcv_nxt) >> conn->rcv_wscale;
    return (uint16_t)min_u32(window, UINT16_MAX);
}

static void output_note_ack(struct tcp_conn *conn, uint16_t window)
{
    uint32_t promised = conn->rcv_nxt + ((uint32_t)window << conn->rcv_wscale);
    conn->rcv_adv = seq_later(conn->rcv_adv, promised);
    conn->last_ack_sent = conn->rcv_nxt;
    conn->is_ack_due = false;
    conn->segments_unacked = 0;
    conn->delayed_ack_ns = 0;
}

static void output_note_sent(struct tcp_conn *conn, uint32_t seq, uint32_t len)
{
    struct tcp_stack *stack = conn->stack;
    if (seq_before(seq, conn->snd_max)) {
        stack->stats.retransmits++;
        conn->resent_ms = tcp_clock_ms(stack);
        conn->is_timing = conn->is_timing && seq_before(conn->timed_seq, seq);
    } else if (!conn->is_timing) {
        conn->is_timing = true;
        conn->timed_seq = seq;
        conn->timed_ns = stack->now_ns;
    }
    conn->snd_max = seq_later(conn->snd_max, seq + len);
    conn->sent_ns = stack->now_ns;
}

/* Sends one segment of a synchronized connection: `len` bytes of the queue from `offset` on. */
static bool output_segment(struct tcp_conn *conn, uint32_t seq, uint32_t offset, uint32_t len,
                           uint8_t flags)
{
    struct tcp_stack *stack = conn->stack;
    struct tcp_segment_out out = {
        .tuple = &conn->tuple,
        .seq = seq,
        .ack = conn->rcv_nxt,
        .window = output_window(conn, tcp_receive_edge(conn)),
        .flags = flags | TCP_FLAG_ACK,
    };
    if (conn->has_timestamps) {
        tcp_option_put_timestamps(&out, tcp_clock_ms(stack) + conn->ts_offset, conn->ts_recent);
    }
    if (len == 0 && conn->has_sack) { /* a full segment has no room for the option */
        struct tcp_range sack[TCP_SACKS_MAX];
        tcp_option_put_sack(&out, sack, tcp_reassembly_sacks(conn, sack));
    }
    if (len > 0) {
        tcp_queue_slice(stack, &conn->queue, offset, len, out.payload);
        if (offset + len == conn->queue.bytes) {
            out.flags |= TCP_FLAG_PSH;
        }
    }
    if (!tcp_emit(stack->shell, &out)) {
        return false;
    }
    output_note_ack(conn, out.window);
    uint32_t space = len + ((flags & TCP_FLAG_FIN) != 0 ? 1 : 0);
    if (space > 0) {
        output_note_sent(conn, seq, space);
    }
    return true;
}

static bool output_syn(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    bool active = conn->state == TCP_STATE_SYN_SENT;
    if (conn->snd_nxt != conn->iss) {
        return true;
    }
    uint32_t window = min_u32(stack->settings.receive_window_bytes, UINT16_MAX);
    struct tcp_segment_out out = {
        .tuple = &conn->tuple,
        .seq = conn->iss,
        .ack = active ? 0 : conn->rcv_nxt,
        .window = (uint16_t)window,
        .flags = active ? TCP_FLAG_SYN : TCP_FLAG_SYN | TCP_FLAG_ACK,
    };
    bool scale = active || conn->has_wscale;
    tcp_option_put_syn(&out, tcp_mss_own(stack, &conn->tuple), scale ? &stack->rcv_wscale : NULL,
                       active || conn->has_sack);
    if (active || conn->has_timestamps) {
        tcp_option_put_timestamps(&out, tcp_clock_ms(stack) + conn->ts_offset, conn->ts_recent);
    }
    if (!tcp_emit(stack->shell, &out)) {
        return false;
    }
    output_note_sent(conn, conn->iss, 1);
    conn->snd_nxt = conn->iss + 1;
    conn->is_ack_due = false;
    tcp_timer_resend(conn);
    return true;
}

static bool output_dup_acks(struct tcp_conn *conn)
{
    while (conn->dup_acks_due > 0) {
        if (!output_segment(conn, tcp_conn_ack_seq(conn), 0, 0, 0)) {
            return false;
        }
        conn->dup_acks_due--;
    }
    return true;
}

static bool output_fin_is_due(const struct tcp_conn *conn, uint32_t offset, uint32_t len)
{
    return conn->is_closed && !conn->is_fin_acked && offset + len == conn->queue.bytes;
}

/* Sends the first unacknowledged segment again (RFC 5681 section 3.2, step 3). */
static bool output_resend(struct tcp_conn *conn)
{
    uint32_t flight = conn->snd_max - conn->snd_una;
    if (!conn->is_resend_due || flight == 0) {
        conn->is_resend_due = false;
        return true;
    }
    uint32_t len = min_u32(min_u32(conn->mss, conn->queue.bytes), flight);
    bool fin = output_fin_is_due(conn, 0, len) && flight > len;
    if (!output_segment(conn, conn->snd_una, 0, len, fin ? TCP_FLAG_FIN : 0)) {
        return false;
    }
    conn->is_resend_due = false;
    conn->resent_max = conn->snd_max;
    conn->hole_nxt = seq_later(conn->hole_nxt, conn->snd_una + len);
    return true;
}

/* RFC 6675 section 5, step C: sends holes again, in their order, while the window has room. */
static bool output_holes(struct tcp_conn *conn)
{
    uint32_t queue_seq = tcp_conn_queue_seq(conn);
    while (conn->is_recovering && tcp_recovery_room(conn) >= conn->mss) {
        bool any = conn->snd_nxt - queue_seq >= conn->queue.bytes;
        struct tcp_range hole;
        if (!tcp_scoreboard_hole(conn, any, &hole)) {
            break;
        }
        uint32_t offset = hole.start - queue_seq;
        uint32_t left = conn->queue.bytes - min_u32(offset, conn->queue.bytes);
        uint32_t len = min_u32(min_u32(hole.end - hole.start, conn->mss), left);
        if (len == 0) {
            break;
        }
        if (!output_segment(conn, hole.start, offset, len, 0)) {
            return false;
        }
        conn->hole_nxt = hole.start + len;
    }
    return true;
}

/* Sends what the window takes, or one byte where the window is closed (RFC 9293 section 3.8.6.1).
 * This also overrides the sender's SWS avoidance (section 3.8.6.2.1). snd_nxt stays: a probe does
 * not count as in flight. */
static bool output_probe(struct tcp_conn *conn)
{
    if (!conn->is_probe_due) {
        return true;
    }
    if (conn->snd_nxt != conn->snd_una) {
        conn->is_probe_due = false;
        return true;
    }
    uint32_t len = min_u32(max_u32(conn->snd_wnd, 1), conn->mss);
    len = min_u32(len, conn->queue.bytes);
    bool fin = output_fin_is_due(conn, 0, len) && (len == 0 || len < conn->snd_wnd);
    if (len > 0 || fin) {
        if (!output_segment(conn, conn->snd_una, 0, len, fin ? TCP_FLAG_FIN : 0)) {
            return false;
        }
        tcp_timer_persist(conn);
    }
    conn->is_probe_due = false;
    return true;
}

/* RFC 9293 section 3.8.4: the segment has a sequence number that the peer has acknowledged, and no
 * text. The peer cannot accept it: if it knows the connection, it answers with an ACK, otherwise
 * with RST. */
static bool output_keep_alive(struct tcp_conn *conn)
{
    bool owed = conn->is_ack_due || conn->delayed_ack_ns != 0;
    if (conn->is_keep_alive_due && conn->snd_una == conn->snd_max) {
        if (!output_segment(conn, conn->snd_una - 1, 0, 0, 0)) {
            return false;
        }
        conn->is_ack_due |= owed; /* the peer does not read the ACK of such a segment */
    }
    conn->is_keep_alive_due = false;
    return true;
}

enum output_step { OUTPUT_SENT, OUTPUT_DONE, OUTPUT_FAILED };

static enum output_step output_next(struct tcp_conn *conn)
{
    struct tcp_range stretch = tcp_scoreboard_skip(conn, conn->snd_nxt);
    conn->snd_nxt = stretch.start; /* after a timeout, what the peer holds is left out */
    uint32_t flight = conn->snd_nxt - conn->snd_una;
    uint32_t offset = conn->snd_nxt - tcp_conn_queue_seq(conn);
    if (offset > conn->queue.bytes) {
        return OUTPUT_DONE; /* the FIN is out */
    }
    uint32_t left = conn->queue.bytes - offset;
    if (left == 0 && !output_fin_is_due(conn, offset, 0)) {
        return OUTPUT_DONE;
    }
    if (flight == 0 && conn->sent_ns + tcp_timer_rto_ns(conn) < conn->stack->now_ns) {
        tcp_recovery_idle(conn);
    }
    uint32_t window = conn->snd_wnd > flight ? conn->snd_wnd - flight : 0;
    uint32_t room = min_u32(window, tcp_recovery_room(conn));
    uint32_t most = min_u32(stretch.end - stretch.start, conn->mss);
    uint32_t len = min_u32(min_u32(left, room), most);
    bool fin = output_fin_is_due(conn, offset, len) && room > len;
    /* Sender's SWS avoidance: a full segment, all there is, or half of the largest window. */
    bool worth = len == most || len == left || len >= conn->snd_wnd_max / 2;
    if ((len == 0 && !fin) || !worth) {
        if (flight == 0) {
            tcp_timer_persist(conn);
        }
        return OUTPUT_DONE;
    }
    if (!output_segment(conn, conn->snd_nxt, offset, len, fin ? TCP_FLAG_FIN : 0)) {
        return OUTPUT_FAILED;
    }
    conn->snd_nxt += len + (fin ? 1 : 0);
    if (conn->is_persisting) {
        conn->is_probe_due = false;
        conn->backoff = 0;
        conn->stalled_ns = 0;
        conn->resend_ns = 0;
    }
    tcp_timer_sent(conn);
    return OUTPUT_SENT;
}

bool tcp_conn_output(struct tcp_conn *conn)
{
    assert(conn->state != TCP_STATE_CLOSED);
    if (conn->state == TCP_STATE_SYN_SENT) {
        return output_syn(conn);
    }
    if (conn->state == TCP_STATE_SYN_RECEIVED) {
        if (!output_syn(conn)) {
            return false;
        }
    } else {
        if (!output_dup_acks(conn) || !output_resend(conn) || !output_probe(conn) ||
            !output_keep_alive(conn) || !output_holes(conn)) {
            return false;
        }
        enum output_step step;
        do {
            step = output_next(conn);
        } while (step == OUTPUT_SENT);
        if (step == OUTPUT_FAILED) {
            return false;
        }
    }
    if (conn->is_ack_due) {
        return output_segment(conn, tcp_conn_ack_seq(conn), 0, 0, 0);
    }
    return true;
}
