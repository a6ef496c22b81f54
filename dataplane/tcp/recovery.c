/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/recovery.c: how much may be in flight, and what loss does to it.
 *
 *   RTO                         RFC 6298, with the timestamps of RFC 7323
 *   initial window              RFC 6928
 *   slow start, avoidance       RFC 5681, counting bytes (RFC 3465)
 *   fast retransmit, recovery   RFC 6582 (NewReno)
 *   recovery with SACK          RFC 6675, where the peer speaks it (scoreboard.c)
 *   limited transmit            RFC 3042
 *   early retransmit            RFC 5827: a short flight cannot cause three duplicate ACKs
 *
 * Promise: a lost segment after which at least two arrive is sent again without waiting for the
 *          RTO, most of the time.
 * Trap:    without SACK one hole is mended per round trip, and a lost retransmission waits for the
 *          RTO. With SACK the loss of the first hole's retransmission is noticed when later data
 *          arrives.
 */
#include "dataplane/tcp/core.h"

/* RFC 6928 section 2. */
static uint32_t recovery_initial_window(const struct tcp_conn *conn)
{
    uint32_t mss = conn->mss;
    return min_u32(10 * mss, max_u32(2 * mss, 14600));
}

void tcp_recovery_init(struct tcp_conn *conn)
{
    /* RFC 6928 section 2: only a SYN that was lost twice is a sign of congestion. */
    conn->cwnd = conn->backoff >= 2 ? conn->mss : recovery_initial_window(conn);
    conn->ssthresh = INT32_MAX;
    conn->recover = conn->iss;
    conn->dup_acks = 0;
}

/* RFC 6298 section 2; gains 1/8 and 1/4. */
void tcp_recovery_sample(struct tcp_conn *conn, uint64_t rtt_us)
{
    uint32_t most = (uint32_t)(TCP_RTO_MAX_NS / 1000);
    uint32_t rtt = rtt_us > most ? most : (uint32_t)rtt_us;
    rtt = max_u32(rtt, 1);
    if (conn->srtt_us == 0) {
        conn->srtt_us = rtt;
        conn->rttvar_us = rtt / 2;
    } else {
        uint32_t error = rtt > conn->srtt_us ? rtt - conn->srtt_us : conn->srtt_us - rtt;
        conn->rttvar_us = conn->rttvar_us - conn->rttvar_us / 4 + error / 4;
        conn->srtt_us = max_u32(conn->srtt_us - conn->srtt_us / 8 + rtt / 8, 1);
    }
    /* The minimum is added to SRTT, not compared with the sum: a peer may hold an ACK back for
     * that long (delayed ACKs of 200 ms are common), on top of the path. */
    uint32_t floor_us = conn->stack->settings.min_rto_ms * 1000;
    conn->rto_us = min_u32(conn->srtt_us + max_u32(4 * conn->rttvar_us, floor_us), most);
}

uint32_t tcp_recovery_room(const struct tcp_conn *conn)
{
    uint32_t window = conn->cwnd;
    uint32_t flight = conn->snd_nxt - conn->snd_una;
    if (conn->is_recovering && conn->scoreboard != 0) {
        flight = tcp_scoreboard_pipe(conn);
    } else if (!conn->is_recovering) {
        window += min_u32(conn->dup_acks, 2) * conn->mss;
    }
    return window > flight ? window - flight : 0;
}

static uint32_t recovery_half_flight(const struct tcp_conn *conn)
{
    return max_u32((conn->snd_max - conn->snd_una) / 2, 2u * conn->mss);
}

/* RFC 6582 section 3.2, step 3: a full or a partial acknowledgement. */
static void recovery_ack_in_recovery(struct tcp_conn *conn, uint32_t acked)
{
    uint32_t mss = conn->mss;
    if (seq_before(conn->recover, conn->snd_una)) {
        uint32_t flight = conn->snd_max - conn->snd_una;
        conn->cwnd = min_u32(conn->ssthresh, max_u32(flight, mss) + mss);
        conn->is_recovering = false;
        conn->dup_acks = 0;
        return;
    }
    conn->resent_max = conn->snd_max;
    if (conn->has_sack) {
        /* RFC 6675 keeps cwnd and counts what is on the way. */
        conn->is_resend_due = conn->scoreboard == 0 && !seq_before(conn->snd_una, conn->hole_nxt);
        return;
    }
    conn->is_resend_due = true;
    conn->cwnd -= min_u32(acked, conn->cwnd);
    if (acked >= mss) {
        conn->cwnd += mss;
    }
    conn->cwnd = max_u32(conn->cwnd, mss);
}

void tcp_recovery_ack(struct tcp_conn *conn, uint32_t acked, uint32_t flight_before)
{
    uint32_t mss = conn->mss;
    if (conn->is_recovering) {
        recovery_ack_in_recovery(conn, acked);
        return;
    }
    conn->dup_acks = 0;
    if (seq_before(conn->recover, conn->snd_una - acked)) {
        /* Nothing is being repaired. `recover` moves along: left behind by 2 GiB, it would seem to
         * lie ahead. */
        conn->recover = conn->snd_una - 1;
    }
    bool slow_start = conn->cwnd < conn->ssthresh;
    /* A window that was not used says nothing about the path: it does not grow (RFC 7661 section
     * 4.3). */
    uint32_t used = slow_start ? 2 * flight_before : flight_before + mss;
    uint32_t most = 2 * max_u32(conn->stack->settings.send_buffer_bytes, 65536);
    if (used < conn->cwnd || conn->cwnd >= most) {
        return;
    }
    if (slow_start) {
        /* RFC 3465 section 2.3: L = 2, but 1 while a timeout is being repaired. */
        uint32_t limit = seq_before(conn->recover, conn->snd_una) ? 2 * mss : mss;
        conn->cwnd += min_u32(acked, limit);
        return;
    }
    conn->cwnd_acked += acked;
    if (conn->cwnd_acked >= conn->cwnd) {
        conn->cwnd_acked -= conn->cwnd;
        conn->cwnd += mss;
    }
}

/* How many duplicate ACKs mean a loss. RFC 5681 section 3.2: three. RFC 5827 section 2.1: fewer,
 * when fewer than four segments are in flight and no more can follow. */
static uint32_t recovery_threshold(const struct tcp_conn *conn)
{
    uint32_t flight = conn->snd_max - conn->snd_una;
    uint32_t segments = (flight + conn->mss - 1) / conn->mss;
    bool more = conn->queue.bytes > flight && flight < conn->snd_wnd;
    if (segments >= 4 || segments < 2 || more) {
        return 3;
    }
    return segments - 1;
}

static void recovery_enter(struct tcp_conn *conn)
{
    conn->ssthresh = recovery_half_flight(conn);
    conn->cwnd = conn->ssthresh + (conn->has_sack ? 0 : 3u * conn->mss);
    conn->hole_nxt = conn->snd_una;
    conn->recover = conn->snd_max - 1;
    conn->is_recovering = true;
    conn->is_resend_due = true;
}

/* True when an RTO has already reacted to the loss at snd_una (RFC 6582 section 4). */
static bool recovery_is_answered(const struct tcp_conn *conn)
{
    return !seq_before(conn->recover, conn->snd_una);
}

void tcp_recovery_early(struct tcp_conn *conn)
{
    if (!conn->is_recovering && !recovery_is_answered(conn)) {
        recovery_enter(conn);
    }
    conn->is_resend_due = true;
    tcp_conn_dirty(conn);
}

void tcp_recovery_dup_ack(struct tcp_conn *conn)
{
    if (conn->dup_acks < UINT8_MAX) {
        conn->dup_acks++;
    }
    tcp_conn_dirty(conn);
    if (conn->is_recovering && conn->has_sack) {
        conn->is_resend_due |= tcp_scoreboard_is_relost(conn);
        return;
    }
    if (conn->is_recovering) {
        /* Each duplicate says that a segment left the network (section 3.2, step 2). */
        uint32_t most = 2 * max_u32(conn->stack->settings.send_buffer_bytes, 65536);
        conn->cwnd = min_u32(conn->cwnd + conn->mss, most);
        return;
    }
    bool third = conn->dup_acks >= recovery_threshold(conn);
    if (recovery_is_answered(conn)) {
        if (third && conn->scoreboard != 0) {
            /* After an RTO, what is new in the scoreboard was sent after the segment at snd_una was
             * sent again: so the retransmission is lost, too. */
            conn->is_resend_due = true;
            conn->dup_acks = 0;
        }
        return;
    }
    if (third || tcp_scoreboard_is_lost(conn)) {
        recovery_enter(conn);
        tcp_timer_resend(conn); /* the retransmission gets an RTO of its own */
    }
}

/* RFC 5681 section 3.1, equation 4; RFC 6582 section 4. */
void tcp_recovery_timeout(struct tcp_conn *conn)
{
    if (conn->backoff == 0) {
        conn->ssthresh = recovery_half_flight(conn);
    }
    conn->cwnd = conn->mss;
    conn->cwnd_acked = 0;
    conn->recover = conn->snd_max - 1;
    conn->is_recovering = false;
    conn->is_resend_due = false;
    conn->is_timing = false; /* Karn: RFC 6298 section 3 */
    conn->dup_acks = 0;
    conn->snd_nxt = conn->snd_una;
    if (conn->backoff > 0) {
        tcp_scoreboard_clear(conn); /* the peer may have taken back what it said: RFC 2018, 8 */
    }
}

/* RFC 5681 section 4.1: after an RTO without sending, the old window says little about the path. */
void tcp_recovery_idle(struct tcp_conn *conn)
{
    conn->cwnd = min_u32(conn->cwnd, recovery_initial_window(conn));
}
