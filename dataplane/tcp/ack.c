/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/ack.c: the acknowledgement field (RFC 9293 section 3.10.7.4, step 5).
 *
 * Promise: an acknowledgement of what was never sent, or one older than a window, changes nothing
 *          (RFC 5961 section 5).
 * Trap:    the ACK of our FIN may end the connection.
 */
#include "dataplane/tcp/core.h"

static void ack_sample_rtt(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    struct tcp_stack *stack = conn->stack;
    bool timed = conn->is_timing && seq_before(conn->timed_seq, conn->snd_una);
    if (timed) {
        conn->is_timing = false;
    }
    if (conn->has_timestamps && segment->has_timestamps) {
        /* RFC 7323 section 4.1. An echo from the future, or from longer ago than the largest RTO,
         * is the peer's mistake. An echo from before a retransmission would count the time that
         * the loss took into the RTT: by Karn's rule it is not used. */
        uint32_t echo_ms = segment->ts_echo - conn->ts_offset;
        uint32_t rtt_ms = tcp_clock_ms(stack) - echo_ms;
        if (rtt_ms <= TCP_RTO_MAX_NS / TCP_NS_PER_MS && seq_upto(conn->resent_ms, echo_ms)) {
            conn->resent_ms = echo_ms;
            tcp_recovery_sample(conn, rtt_ms * UINT64_C(1000));
        }
    } else if (timed) {
        tcp_recovery_sample(conn, (stack->now_ns - conn->timed_ns) / 1000);
    }
}

static void ack_free_queue(struct tcp_conn *conn, uint32_t acked)
{
    struct tcp_stack *stack = conn->stack;
    uint32_t data = min_u32(acked, conn->queue.bytes);
    if (conn->is_closed && acked > conn->queue.bytes) {
        conn->is_fin_acked = true;
    }
    if (data == 0) {
        return;
    }
    tcp_queue_drop(stack, &conn->queue, data);
    if (conn->queue.bytes == 0) {
        tcp_conn_event(conn, TCP_EVENT_SENT);
    }
    /* The writer is not woken for a few bytes: it would write a few bytes. */
    size_t space = tcp_write_space(conn);
    if (conn->is_write_short && space > 0 &&
        (conn->queue.bytes == 0 || space >= stack->settings.send_buffer_bytes / 4)) {
        conn->is_write_short = false;
        tcp_conn_event(conn, TCP_EVENT_WRITABLE);
    }
}

static void ack_new(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    uint32_t acked = segment->ack - conn->snd_una;
    uint32_t flight = conn->snd_nxt - conn->snd_una;
    bool syn = conn->snd_una == conn->iss && !conn->is_syn_acked;
    ack_free_queue(conn, acked - (syn ? 1 : 0));
    conn->is_syn_acked = true;
    conn->snd_una = segment->ack;
    conn->snd_nxt = seq_later(conn->snd_nxt, conn->snd_una);
    ack_sample_rtt(conn, segment);
    tcp_scoreboard_take(conn, segment);
    conn->backoff = 0;
    conn->is_early_spent = false;
    if (!syn) {
        tcp_recovery_ack(conn, acked, flight);
    }
    if (conn->snd_una == conn->snd_max) {
        conn->resend_ns = 0;
        conn->stalled_ns = 0;
    } else {
        /* RFC 6298 section 5.3 */
        conn->stalled_ns = conn->stack->now_ns;
        tcp_timer_resend(conn);
    }
    conn->is_probe_due = false;
    tcp_conn_dirty(conn);
}

/* RFC 5681 section 2: the five signs of a duplicate acknowledgement. */
static bool ack_is_duplicate(const struct tcp_conn *conn, const struct tcp_segment *segment)
{
    return conn->snd_una != conn->snd_max && conn->snd_una != conn->snd_nxt &&
           segment->payload.len == 0 && (segment->flags & (TCP_FLAG_SYN | TCP_FLAG_FIN)) == 0 &&
           segment->ack == conn->snd_una &&
           (uint32_t)segment->window << conn->snd_wscale == conn->snd_wnd;
}

void tcp_ack_window(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    /* RFC 7323 section 2.2: the window of a SYN is never scaled. */
    bool syn = (segment->flags & TCP_FLAG_SYN) != 0;
    uint32_t window = (uint32_t)segment->window << (syn ? 0 : conn->snd_wscale);
    bool newer = seq_before(conn->snd_wl1, segment->seq) ||
                 (conn->snd_wl1 == segment->seq && seq_upto(conn->snd_wl2, segment->ack));
    if (!newer) {
        return;
    }
    conn->snd_wl1 = segment->seq;
    conn->snd_wl2 = segment->ack;
    if (window != conn->snd_wnd) {
        conn->snd_wnd = window;
        conn->snd_wnd_max = max_u32(conn->snd_wnd_max, window);
        tcp_conn_dirty(conn);
    }
    /* RFC 9293 section 3.8.6.1 (MUST-37): a peer that answers probes is never given up for its
     * closed window, as long as the application has not closed: it can give up by itself. */
    if (conn->is_persisting && conn->resend_ns != 0 && !conn->is_closed) {
        conn->stalled_ns = conn->stack->now_ns;
    }
}

/* Our FIN is acknowledged: what follows in each state. */
static void ack_of_fin(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    switch ((enum tcp_state)conn->state) {
    case TCP_STATE_FIN_WAIT_1:
        conn->state = TCP_STATE_FIN_WAIT_2;
        tcp_timer_set(conn, &conn->linger_ns,
                      stack->now_ns + stack->settings.linger_ms * TCP_NS_PER_MS);
        break;
    case TCP_STATE_CLOSING:
        tcp_conn_time_wait(conn);
        break;
    case TCP_STATE_LAST_ACK:
        tcp_conn_end(conn, 0);
        break;
    case TCP_STATE_CLOSED:
    case TCP_STATE_SYN_SENT:
    case TCP_STATE_SYN_RECEIVED:
    case TCP_STATE_ESTABLISHED:
    case TCP_STATE_FIN_WAIT_2:
    case TCP_STATE_CLOSE_WAIT:
        break;
    }
}

bool tcp_ack_take(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    uint32_t ack = segment->ack;
    if (seq_before(conn->snd_max, ack) ||
        seq_before(ack, conn->snd_una - min_u32(conn->snd_wnd_max, INT32_MAX))) {
        tcp_conn_challenge(conn);
        return false;
    }
    if (conn->keep_alive_ms != 0) {
        conn->heard_ns = conn->stack->now_ns;
        conn->keep_alive_asked = 0;
    }
    if (seq_before(conn->snd_una, ack)) {
        ack_new(conn, segment);
    } else {
        bool duplicate = ack_is_duplicate(conn, segment);
        bool news = tcp_scoreboard_take(conn, segment);
        if (news || duplicate) {
            tcp_recovery_dup_ack(conn);
        }
    }
    if (seq_upto(conn->snd_una, ack)) {
        tcp_ack_window(conn, segment);
    }
    if (conn->is_fin_acked) {
        ack_of_fin(conn);
    }
    return true;
}
