/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/object.c: connection objects: where they come from, what is marked on them for
 * tcp_output and for the caller, and how they end.
 *
 * Connections lie in one array and are named by their index; all lists through them are
 * intrusive. An object goes  free ▶ in use ▶ ended ▶ CLOSED handed out ▶ free.
 *
 * Promise: where no object is free and none is half-open, a SYN is not answered, and a counter
 *          says so.
 * Trap:    an ended connection that the caller never saw is free at once.
 */
#include "dataplane/tcp/core.h"

/* The events that still mean something after the end. Readable bytes, for one, are gone. */
#define EVENTS_KEPT_AT_END (TCP_EVENT_OPENED | TCP_EVENT_SENT)

void tcp_stack_set_now(struct tcp_stack *stack, uint64_t now_ns)
{
    if (!stack->is_started) {
        stack->is_started = true;
        stack->wheel.tick = now_ns / TCP_NS_PER_MS;
    }
    if (now_ns > stack->now_ns) {
        stack->now_ns = now_ns;
    }
}

/* --- beginning and ending --------------------------------------------------------------------- */

static void conn_free(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    assert(conn->state == TCP_STATE_CLOSED && list_is_empty(&conn->half_open));
    list_remove(&conn->ready);
    list_append(&stack->free_conns, &conn->half_open);
    stack->stats.conn_count--;
}

static struct tcp_conn *conn_find_free(struct tcp_stack *stack)
{
    if (list_is_empty(&stack->free_conns)) {
        if (stack->conns_touched < stack->settings.conn_count_max) {
            return &stack->conns[stack->conns_touched++];
        }
        if (list_is_empty(&stack->half_open)) {
            stack->stats.no_memory++;
            return NULL;
        }
        tcp_conn_end(list_entry(stack->half_open.next, struct tcp_conn, half_open), 0);
    }
    struct tcp_conn *conn = list_entry(stack->free_conns.next, struct tcp_conn, half_open);
    list_remove(&conn->half_open);
    return conn;
}

struct tcp_conn *tcp_conn_begin(struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    struct tcp_conn *conn = conn_find_free(stack);
    if (conn == NULL) {
        return NULL;
    }
    *conn = (struct tcp_conn){
        .tuple = *tuple,
        .stack = stack,
        .hash = (uint32_t)tcp_tuple_hash(stack, tuple),
        .ts_offset = tcp_timestamp_offset(stack, tuple),
        .resent_ms = tcp_clock_ms(stack),
        .rto_us = (uint32_t)(TCP_RTO_FIRST_NS / 1000),
    };
    list_init(&conn->ready);
    list_init(&conn->dirty);
    list_init(&conn->short_of_blocks);
    list_init(&conn->half_open);
    list_init(&conn->wheel_node.link);
    tcp_table_add(stack, conn->hash, (uint32_t)(conn - stack->conns) + 1);
    stack->stats.conn_count++;
    return conn;
}

void tcp_conn_set_half_open(struct tcp_conn *conn, bool half_open)
{
    struct tcp_stack *stack = conn->stack;
    if (half_open == conn->is_half_open) {
        return;
    }
    conn->is_half_open = half_open;
    if (half_open) {
        list_append(&stack->half_open, &conn->half_open);
        stack->half_open_count++;
    } else {
        list_remove(&conn->half_open);
        stack->half_open_count--;
    }
}

void tcp_conn_end(struct tcp_conn *conn, uint32_t kinds)
{
    struct tcp_stack *stack = conn->stack;
    if (conn->state == TCP_STATE_CLOSED) {
        return;
    }
    conn->state = TCP_STATE_CLOSED;
    if (stack->in_place_conn == conn) {
        stack->in_place_conn = NULL;
    }
    tcp_reassembly_clear(conn);
    tcp_scoreboard_clear(conn);
    tcp_queue_drop(stack, &conn->queue, conn->queue.bytes);
    tcp_table_remove(stack, conn->hash, (uint32_t)(conn - stack->conns) + 1);
    tcp_wheel_clear(&stack->wheel, &conn->wheel_node);
    tcp_conn_set_half_open(conn, false);
    list_remove(&conn->dirty);
    list_remove(&conn->short_of_blocks);
    conn->events &= EVENTS_KEPT_AT_END;
    if (conn->is_announced) {
        tcp_conn_event(conn, kinds | TCP_EVENT_CLOSED);
    } else {
        conn_free(conn);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

void tcp_conn_event(struct tcp_conn *conn, uint32_t kinds)
{
    conn->events |= kinds;
    if (list_is_empty(&conn->ready)) {
        list_append(&conn->stack->ready, &conn->ready);
    }
}

void tcp_stack_reap(struct tcp_stack *stack)
{
    if (stack->handed_out != NULL) {
        conn_free(stack->handed_out);
        stack->handed_out = NULL;
    }
}

bool tcp_next_event(struct tcp_stack *stack, struct tcp_event *event_out)
{
    tcp_stack_reap(stack);
    if (list_is_empty(&stack->ready)) {
        return false;
    }
    struct tcp_conn *conn = list_entry(stack->ready.next, struct tcp_conn, ready);
    list_remove(&conn->ready);
    *event_out = (struct tcp_event){.conn = conn, .kinds = conn->events, .user = conn->user};
    conn->events = 0;
    conn->is_announced = true;
    if ((event_out->kinds & TCP_EVENT_CLOSED) != 0) {
        stack->handed_out = conn;
    }
    return true;
}

/* --- what is to be sent ----------------------------------------------------------------------- */

void tcp_conn_dirty(struct tcp_conn *conn)
{
    if (list_is_empty(&conn->dirty) && conn->state != TCP_STATE_CLOSED) {
        list_append(&conn->stack->dirty, &conn->dirty);
    }
}

void tcp_conn_ack_now(struct tcp_conn *conn)
{
    conn->is_ack_due = true;
    tcp_conn_dirty(conn);
}

void tcp_conn_reset(struct tcp_conn *conn)
{
    tcp_reply_add(conn->stack, &(struct tcp_reply){
                                   .tuple = conn->tuple,
                                   .seq = tcp_conn_ack_seq(conn),
                                   .ack = conn->rcv_nxt,
                                   .flags = TCP_FLAG_RST | TCP_FLAG_ACK,
                               });
}

/* --- numbers ---------------------------------------------------------------------------------- */

uint16_t tcp_mss_own(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    /* The setting is MTU - 40; an IPv6 header is 20 bytes longer. */
    unsigned longer = ip_is_v4(&tuple->remote_addr) ? 0 : 20;
    return (uint16_t)(stack->settings.mss_bytes - longer);
}

uint32_t tcp_conn_queue_seq(const struct tcp_conn *conn)
{
    bool syn = conn->state == TCP_STATE_SYN_SENT || conn->state == TCP_STATE_SYN_RECEIVED;
    return syn ? conn->iss + 1 : conn->snd_una;
}

uint32_t tcp_conn_ack_seq(const struct tcp_conn *conn)
{
    uint32_t edge = conn->snd_una + conn->snd_wnd;
    return seq_before(edge, conn->snd_max) ? seq_later(edge, conn->snd_una) : conn->snd_max;
}
