/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/tick.c: what happens when a timer is due. The timers are listed in timer.c.
 *
 * Promise: nothing happens before its deadline, nor more than the wheel's tick of 1 ms after it.
 * Trap:    a timer that is due only marks what is to be sent; tcp_output sends it. A timer that
 *          gives up ends the connection.
 */
#include "dataplane/tcp/core.h"

static void tick_give_up(struct tcp_conn *conn)
{
    /* The address of a half-open connection may be forged: it gets no RST. */
    if (conn->state >= TCP_STATE_ESTABLISHED) {
        tcp_conn_reset(conn);
    }
    tcp_conn_end(conn, TCP_EVENT_TIMEOUT);
}

static void tick_resend_fire(struct tcp_conn *conn)
{
    conn->resend_ns = 0;
    if (conn->is_early) {
        conn->is_early_spent = true;
        tcp_recovery_early(conn);
        tcp_timer_resend(conn);
        return;
    }
    if (conn->stack->now_ns - conn->stalled_ns >= tcp_timer_give_up_ns(conn)) {
        tick_give_up(conn);
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

static void tick_linger_fire(struct tcp_conn *conn)
{
    tcp_conn_reset(conn);
    tcp_conn_end(conn, 0);
}

/* While something is in flight, the RTO notices a dead peer; after tcp_close, linger_ns ends the
 * wait. No question is asked then. */
static void tick_keep_alive_fire(struct tcp_conn *conn)
{
    uint64_t silent_ns = conn->stack->now_ns - conn->heard_ns;
    conn->keep_alive_ns = 0;
    if (conn->is_closed) {
        return;
    }
    bool idle = conn->snd_una == conn->snd_max;
    if (idle && silent_ns >= conn->stack->settings.give_up_ms * TCP_NS_PER_MS &&
        conn->keep_alive_asked >= TCP_KEEP_ALIVE_ASKED_MIN) {
        tick_give_up(conn);
        return;
    }
    if (idle && silent_ns >= conn->keep_alive_ms * TCP_NS_PER_MS) {
        conn->is_keep_alive_due = true;
        conn->keep_alive_asked++;
        tcp_conn_dirty(conn);
    }
    tcp_timer_keep_alive(conn);
}

static void tick_fire(struct tcp_conn *conn)
{
    uint64_t now_ns = conn->stack->now_ns;
    if (conn->delayed_ack_ns != 0 && conn->delayed_ack_ns <= now_ns) {
        conn->delayed_ack_ns = 0;
        tcp_conn_ack_now(conn);
    }
    if (conn->linger_ns != 0 && conn->linger_ns <= now_ns) {
        tick_linger_fire(conn);
        return;
    }
    if (conn->resend_ns != 0 && conn->resend_ns <= now_ns) {
        tick_resend_fire(conn);
        if (conn->state == TCP_STATE_CLOSED) {
            return;
        }
    }
    if (conn->keep_alive_ns != 0 && conn->keep_alive_ns <= now_ns) {
        tick_keep_alive_fire(conn);
        if (conn->state == TCP_STATE_CLOSED) {
            return;
        }
    }
    const uint64_t deadline[] = {conn->resend_ns, conn->delayed_ack_ns, conn->linger_ns,
                                 conn->keep_alive_ns};
    for (unsigned i = 0; i < sizeof deadline / sizeof deadline[0]; i++) {
        if (deadline[i] != 0) {
            tcp_timer_wait(conn, deadline[i]);
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
        tick_fire(list_entry(node, struct tcp_conn, wheel_node));
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
