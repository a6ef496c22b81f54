/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/timer.c: the list of all timers of a connection, and what sets them.
 *
 *   deadline         runs while                            when due
 *   resend_ns        RTO: something is in flight           back off, send again from snd_una;
 *                    (SYN and FIN included)                after give_up_ms without progress (SYN:
 *                                                          connect_give_up_ms): TIMEOUT
 *   resend_ns        early (is_early): at least two full   fast recovery from snd_una, then RTO
 *                    segments are in flight; once each     (as RFC 8985 section 7; waits
 *                    time snd_una moves                    max(2 SRTT, SRTT + 4 RTTVAR, 10 ms))
 *   resend_ns        persist (is_persisting): nothing is   send what fits, or one byte; back off;
 *                    in flight, bytes wait for a window    TIMEOUT only if the peer says nothing
 *   delayed_ack_ns   a data segment is unacknowledged      ACK
 *   linger_ns        FIN_WAIT_2                            RST, CLOSED
 *   keep_alive_ns    tcp_keep_alive asked for it           if nothing is in flight: ask the peer;
 *                                                          TIMEOUT after give_up_ms of silence
 *   (timewait.c)     TIME_WAIT, a ring by age              forget the pair
 *
 * A connection waits in the wheel at its earliest deadline. A deadline that moves to a later time,
 * as the RTO does with each ACK, does not touch the wheel: the wheel fires, nothing is due, and the
 * connection waits for its next deadline.
 *
 * Promise: the wheel comes to a connection no later than its tick of 1 ms after the earliest
 *          deadline.
 * Trap:    resend_ns stands for three timers; is_early and is_persisting say which of them runs.
 */
#include "dataplane/tcp/core.h"

void tcp_timer_wait(struct tcp_conn *conn, uint64_t at_ns)
{
    struct tcp_wheel_node *node = &conn->wheel_node;
    uint64_t tick = (at_ns + TCP_NS_PER_MS - 1) / TCP_NS_PER_MS;
    if (node->tick == 0 || tick < node->tick) {
        tcp_wheel_set(&conn->stack->wheel, node, tick);
    }
}

void tcp_timer_set(struct tcp_conn *conn, uint64_t *deadline, uint64_t at_ns)
{
    assert(at_ns != 0 && conn->state != TCP_STATE_CLOSED);
    *deadline = at_ns;
    tcp_timer_wait(conn, at_ns);
}

uint64_t tcp_timer_rto_ns(const struct tcp_conn *conn)
{
    uint64_t rto_ns = (uint64_t)conn->rto_us * 1000 << min_u32(conn->backoff, 16);
    return rto_ns < TCP_RTO_MAX_NS ? rto_ns : TCP_RTO_MAX_NS;
}

uint64_t tcp_timer_give_up_ns(const struct tcp_conn *conn)
{
    const struct tcp_settings *settings = &conn->stack->settings;
    bool syn = conn->state == TCP_STATE_SYN_SENT || conn->state == TCP_STATE_SYN_RECEIVED;
    return (syn ? settings->connect_give_up_ms : settings->give_up_ms) * TCP_NS_PER_MS;
}

/* A peer acknowledges two full segments without delay (RFC 9293 section 3.8.6.3), so silence after
 * them means a loss long before the RTO, whose minimum is there for delayed ACKs. */
static bool timer_early_ns(const struct tcp_conn *conn, uint64_t *wait_ns_out)
{
    if (conn->is_persisting || conn->is_early_spent || conn->backoff > 0 || conn->srtt_us == 0 ||
        conn->state < TCP_STATE_ESTABLISHED || conn->snd_max - conn->snd_una < 2u * conn->mss) {
        return false;
    }
    uint32_t us = conn->srtt_us + max_u32(conn->srtt_us, 4 * conn->rttvar_us);
    *wait_ns_out = max_u32(us, TCP_EARLY_MIN_US) * UINT64_C(1000);
    return *wait_ns_out < tcp_timer_rto_ns(conn);
}

static void timer_resend_set(struct tcp_conn *conn)
{
    uint64_t now_ns = conn->stack->now_ns;
    if (conn->stalled_ns == 0) {
        conn->stalled_ns = now_ns;
    }
    uint64_t give_up_ns = tcp_timer_give_up_ns(conn);
    uint64_t wait_ns = tcp_timer_rto_ns(conn);
    conn->is_early = timer_early_ns(conn, &wait_ns);
    if (conn->is_persisting && wait_ns > give_up_ns / 4) {
        wait_ns = give_up_ns / 4; /* several probes before the peer is given up */
    }
    uint64_t at_ns = now_ns + wait_ns;
    uint64_t end_ns = conn->stalled_ns + give_up_ns;
    if (end_ns > now_ns && end_ns < at_ns) {
        at_ns = end_ns;
    }
    tcp_timer_set(conn, &conn->resend_ns, at_ns);
}

/* Starts the RTO anew (RFC 6298 section 5). */
void tcp_timer_resend(struct tcp_conn *conn)
{
    conn->is_persisting = false;
    timer_resend_set(conn);
}

void tcp_timer_sent(struct tcp_conn *conn)
{
    uint64_t wait_ns;
    if (conn->resend_ns == 0) {
        tcp_timer_resend(conn); /* RFC 6298 section 5.1 */
    } else if (!conn->is_early && timer_early_ns(conn, &wait_ns)) {
        uint64_t at_ns = conn->stack->now_ns + wait_ns;
        if (at_ns < conn->resend_ns) {
            conn->is_early = true;
            tcp_timer_set(conn, &conn->resend_ns, at_ns);
        }
    }
}

/* RFC 9293 section 3.8.6.1: the first probe is due after an RTO, the next ones with backoff. */
void tcp_timer_persist(struct tcp_conn *conn)
{
    if (conn->is_persisting && conn->resend_ns != 0) {
        return;
    }
    conn->is_persisting = true;
    timer_resend_set(conn);
}

void tcp_timer_keep_alive(struct tcp_conn *conn)
{
    uint64_t interval_ns = conn->keep_alive_ms * TCP_NS_PER_MS;
    uint64_t now_ns = conn->stack->now_ns;
    uint64_t at_ns = conn->heard_ns + interval_ns;
    tcp_timer_set(conn, &conn->keep_alive_ns, at_ns > now_ns ? at_ns : now_ns + interval_ns);
}
