/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/timer.c: all timers.
 *
 *   deadline         runs while                            when due
 *   resend_ns        RTO: something is in flight           back off, send again from snd_una;
 *                    (SYN and FIN included)                after give_up_ms without progress (SYN:
 *                                                          connect_give_up_ms): TIMEOUT
 *   resend_ns        early (is_early): at least two full   fast recovery from snd_una, then RTO;
 *                    segments are in flight, once each     after RFC 8985 section 7, at
 *                    time snd_una moves                    max(2 SRTT, SRTT + 4 RTTVAR, 10 ms)
 *   resend_ns        persist (is_persisting): nothing is   send what fits, or one byte; back off;
 *                    in flight, bytes wait for a window    TIMEOUT only if the peer says nothing
 *   delayed_ack_ns   a data segment is unacknowledged      ACK
 *   linger_ns        FIN_WAIT_2                            RST, CLOSED
 *   keep_alive_ns    tcp_keep_alive asked for it           after its time of silence, with nothing
 *                                                          in flight: ask; TIMEOUT at give_up_ms
 *   (timewait.c)     TIME_WAIT, a ring by age              forget the pair
 *
 * A connection waits in the wheel at its earliest deadline. Deadlines that move later, as the RTO
 * does with each ACK, do not touch the wheel: it fires, finds nothing due, waits for the next.
 *
 * Promise: never early by the true deadline, late by at most the wheel's tick of 1 ms.
 * Trap:    due timers only mark; tcp_output sends.
 */
#include "dataplane/tcp/core.h"

static void timer_wait(struct tcp_conn *conn, uint64_t at_ns)
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
    timer_wait(conn, at_ns);
}

static uint64_t timer_give_up_ns(const struct tcp_conn *conn)
{
    const struct tcp_settings *settings = &conn->stack->settings;
    bool syn = conn->state == TCP_STATE_SYN_SENT || conn->state == TCP_STATE_SYN_RECEIVED;
    return (syn ? settings->connect_give_up_ms : settings->give_up_ms) * TCP_NS_PER_MS;
}

/* A peer acknowledges two full segments at once (RFC 9293 section 3.8.6.3), so silence after them
 * is a loss long before the RTO, whose floor is there for delayed ACKs. */
static bool timer_early_ns(const struct tcp_conn *conn, uint64_t *wait_ns_out)
{
    if (conn->is_persisting || conn->is_early_spent || conn->backoff > 0 || conn->srtt_us == 0 ||
        conn->state < TCP_STATE_ESTABLISHED || conn->snd_max - conn->snd_una < 2u * conn->mss) {
        return false;
    }
    uint32_t us = conn->srtt_us + max_u32(conn->srtt_us, 4 * conn->rttvar_us);
    *wait_ns_out = max_u32(us, TCP_EARLY_MIN_US) * UINT64_C(1000);
    return *wait_ns_out < tcp_recovery_rto_ns(conn);
}

static void timer_resend_set(struct tcp_conn *conn)
{
    uint64_t now_ns = conn->stack->now_ns;
    if (conn->stalled_ns == 0) {
        conn->stalled_ns = now_ns;
    }
    uint64_t give_up_ns = timer_give_up_ns(conn);
    uint64_t wait_ns = tcp_recovery_rto_ns(conn);
    conn->is_early = timer_early_ns(conn, &wait_ns);
    if (conn->is_persisting && wait_ns > give_up_ns / 4) {
        wait_ns = give_up_ns / 4; /* several probes before silence counts as death */
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

/* RFC 9293 section 3.8.6.1: the first probe after an RTO, then with backoff. */
void tcp_timer_persist(struct tcp_conn *conn)
{
    if (conn->is_persisting && conn->resend_ns != 0) {
        return;
    }
    conn->is_persisting = true;
    timer_resend_set(conn);
}

static void timer_give_up(struct tcp_conn *conn)
{
    /* A half-open peer may never have existed: no RST to a forged address. */
    if (conn->state >= TCP_STATE_ESTABLISHED) {
        tcp_conn_reset(conn);
    }
    tcp_conn_end(conn, TCP_EVENT_TIMEOUT);
}

static void timer_resend_fire(struct tcp_conn *conn)
{
    conn->resend_ns = 0;
    if (conn->is_early) {
        conn->is_early_spent = true;
        tcp_recovery_early(conn);
        tcp_timer_resend(conn);
        return;
    }
    if (conn->stack->now_ns - conn->stalled_ns >= timer_give_up_ns(conn)) {
        timer_give_up(conn);
        return;
    }
    if (conn->is_persisting) {
        conn->is_probe_due = true;
    } else if (conn->state == TCP_STATE_SYN_SENT || conn->state == TCP_STATE_SYN_RECEIVED) {
        conn->snd_nxt = conn->iss;
        conn->is_timing = false;
    } else if (conn->snd_una != conn->snd_max) {
        tcp_recovery_timeout(conn);
    } else {
        return;
    }
    if (conn->backoff < UINT8_MAX) {
        conn->backoff++;
    }
    tcp_conn_dirty(conn);
}

static void timer_linger_fire(struct tcp_conn *conn)
{
    tcp_conn_reset(conn);
    tcp_conn_end(conn, 0);
}

void tcp_timer_keep_alive(struct tcp_conn *conn)
{
    uint64_t interval_ns = conn->keep_alive_ms * TCP_NS_PER_MS;
    uint64_t now_ns = conn->stack->now_ns;
    uint64_t at_ns = conn->heard_ns + interval_ns;
    tcp_timer_set(conn, &conn->keep_alive_ns, at_ns > now_ns ? at_ns : now_ns + interval_ns);
}

/* What is in flight has the RTO to watch over it, and after tcp_close there is linger_ns. */
static void timer_keep_alive_fire(struct tcp_conn *conn)
{
    uint64_t silent_ns = conn->stack->now_ns - conn->heard_ns;
    conn->keep_alive_ns = 0;
    if (conn->is_closed) {
        return;
    }
    bool idle = conn->snd_una == conn->snd_max;
    if (idle && silent_ns >= conn->stack->settings.give_up_ms * TCP_NS_PER_MS &&
        conn->keep_alive_asked >= TCP_KEEP_ALIVE_ASKED_MIN) {
        timer_give_up(conn);
        return;
    }
    if (idle && silent_ns >= conn->keep_alive_ms * TCP_NS_PER_MS) {
        conn->is_keep_alive_due = true;
        conn->keep_alive_asked++;
        tcp_conn_dirty(conn);
    }
    tcp_timer_keep_alive(conn);
}

static void timer_fire(struct tcp_conn *conn)
{
    uint64_t now_ns = conn->stack->now_ns;
    if (conn->delayed_ack_ns != 0 && conn->delayed_ack_ns <= now_ns) {
        conn->delayed_ack_ns = 0;
        tcp_conn_ack_now(conn);
    }
    if (conn->linger_ns != 0 && conn->linger_ns <= now_ns) {
        timer_linger_fire(conn);
        return;
    }
    if (conn->resend_ns != 0 && conn->resend_ns <= now_ns) {
        timer_resend_fire(conn);
        if (conn->state == TCP_STATE_CLOSED) {
            return;
        }
    }
    if (conn->keep_alive_ns != 0 && conn->keep_alive_ns <= now_ns) {
        timer_keep_alive_fire(conn);
        if (conn->state == TCP_STATE_CLOSED) {
            return;
        }
    }
    const uint64_t deadline[] = {conn->resend_ns, conn->delayed_ack_ns, conn->linger_ns,
                                 conn->keep_alive_ns};
    for (unsigned i = 0; i < sizeof deadline / sizeof deadline[0]; i++) {
        if (deadline[i] != 0) {
            timer_wait(conn, deadline[i]);
        }
    }
}

void tcp_tick(struct tcp_stack *stack, uint64_t now_ns)
{
    tcp_stack_set_now(stack, now_ns);
    tcp_receive_settle(stack);
    uint64_t tick = stack->now_ns / TCP_NS_PER_MS;
    struct tcp_wheel_node *node;
    while ((node = tcp_wheel_pop(&stack->wheel, tick)) != NULL) {
        timer_fire(list_entry(node, struct tcp_conn, wheel_node));
    }
    tcp_time_wait_expire(stack);
    tcp_stack_wake(stack);
}

uint64_t tcp_next_timer_ns(const struct tcp_stack *stack)
{
    uint64_t tick = tcp_wheel_next(&stack->wheel);
    uint64_t wheel_ns = tick == UINT64_MAX ? UINT64_MAX : tick * TCP_NS_PER_MS;
    uint64_t time_wait_ns = tcp_time_wait_next_ns(stack);
    return wheel_ns < time_wait_ns ? wheel_ns : time_wait_ns;
}
