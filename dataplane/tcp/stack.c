/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/stack.c: one worker's TCP: its memory, its listeners, its events.
 *
 * Connections lie in one array and are named by their index; all lists through them are
 * intrusive. An object goes  free ▶ in use ▶ ended ▶ CLOSED handed out ▶ free.
 *
 * Promise: all memory is taken at create; an empty table answers a SYN with silence and a counter.
 * Trap:    an ended connection that the caller never saw is free at once.
 */
#include "dataplane/tcp/core.h"

#include <errno.h>
#include <stdlib.h>

/* What goes on meaning something after the end; readable bytes are gone. */
#define EVENTS_KEPT_AT_END (TCP_EVENT_OPENED | TCP_EVENT_SENT)

/* Zeroed lazily by the kernel and aligned for cache lines; *memory is for free(). */
static void *stack_array(void **memory, size_t count, size_t size)
{
    *memory = calloc(1, count * size + 63);
    return *memory == NULL ? NULL : (void *)(((uintptr_t)*memory + 63) & ~(uintptr_t)63);
}

static void settings_fill(struct tcp_settings *settings)
{
    struct {
        uint32_t *value;
        uint32_t preset;
    } table[] = {
        {&settings->time_wait_ms, TCP_TIME_WAIT_DEFAULT_MS},
        {&settings->min_rto_ms, TCP_RTO_MIN_DEFAULT_MS},
        {&settings->give_up_ms, TCP_GIVE_UP_DEFAULT_MS},
        {&settings->connect_give_up_ms, TCP_CONNECT_DEFAULT_MS},
        {&settings->linger_ms, TCP_LINGER_DEFAULT_MS},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (*table[i].value == 0) {
            *table[i].value = table[i].preset;
        }
    }
}

static bool settings_are_sane(const struct tcp_settings *s)
{
    return s->conn_count_max > 0 && s->conn_count_max < (UINT32_C(1) << 24) &&
           s->time_wait_count_max < (UINT32_C(1) << 26) && s->block_count > 0 &&
           s->block_count < (UINT32_C(1) << 26) && s->mss_bytes >= LIMIT_TCP_MSS_MIN_BYTES + 20 &&
           s->receive_window_bytes >= s->mss_bytes && s->receive_window_bytes <= (1u << 24) &&
           s->send_buffer_bytes >= s->mss_bytes && s->send_buffer_bytes <= (1u << 24);
}

static int stack_allocate(struct tcp_stack *stack)
{
    const struct tcp_settings *s = &stack->settings;
    size_t slot_count = 16;
    while (slot_count < 2 * ((size_t)s->conn_count_max + s->time_wait_count_max + 1)) {
        slot_count *= 2;
    }
    stack->slot_mask = (uint32_t)(slot_count - 1);
    stack->conns = stack_array(&stack->memory[0], s->conn_count_max, sizeof stack->conns[0]);
    stack->slots = stack_array(&stack->memory[1], slot_count, sizeof stack->slots[0]);
    stack->blocks = stack_array(&stack->memory[2], s->block_count + 1, sizeof stack->blocks[0]);
    stack->block_data = stack_array(&stack->memory[3], s->block_count, TCP_BLOCK_BYTES);
    stack->time_waits =
        stack_array(&stack->memory[4], s->time_wait_count_max + 1, sizeof stack->time_waits[0]);
    bool ok = stack->conns != NULL && stack->slots != NULL && stack->blocks != NULL &&
              stack->block_data != NULL && stack->time_waits != NULL;
    return ok ? 0 : -ENOMEM;
}

int tcp_stack_create(const struct tcp_settings *settings, void *shell, struct tcp_stack **stack_out)
{
    if (!settings_are_sane(settings)) {
        return -EINVAL;
    }
    struct tcp_stack *stack = calloc(1, sizeof *stack);
    if (stack == NULL) {
        return -ENOMEM;
    }
    stack->settings = *settings;
    settings_fill(&stack->settings);
    stack->shell = shell;
    stack->is_accepting = true;
    stack->blocks_free = settings->block_count;
    while (settings->receive_window_bytes >> stack->rcv_wscale > UINT16_MAX) {
        stack->rcv_wscale++;
    }
    assert(stack->rcv_wscale <= TCP_WSCALE_MAX);
    list_init(&stack->free_conns);
    list_init(&stack->half_open);
    list_init(&stack->ready);
    list_init(&stack->dirty);
    list_init(&stack->short_of_blocks);
    tcp_wheel_init(&stack->wheel);
    int result = stack_allocate(stack);
    if (result != 0) {
        tcp_stack_destroy(stack);
        return result;
    }
    *stack_out = stack;
    return 0;
}

void tcp_stack_destroy(struct tcp_stack *stack)
{
    if (stack == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof stack->memory / sizeof stack->memory[0]; i++) {
        free(stack->memory[i]);
    }
    free(stack);
}

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

/* --- listeners -------------------------------------------------------------------------------- */

int tcp_listen(struct tcp_stack *stack, const struct ip_endpoint *local)
{
    assert(local->port != 0);
    for (uint32_t i = 0; i < stack->listener_count; i++) {
        const struct ip_endpoint *other = &stack->listener[i];
        if (other->port == local->port && ip_equal(&other->addr, &local->addr)) {
            return -EADDRINUSE;
        }
    }
    if (stack->listener_count == LIMIT_LISTENERS) {
        return -ENOSPC;
    }
    stack->listener[stack->listener_count++] = *local;
    return 0;
}

void tcp_set_accepting(struct tcp_stack *stack, bool accepting)
{
    stack->is_accepting = accepting;
}

const struct ip_endpoint *tcp_listener_find(const struct tcp_stack *stack,
                                            const struct ip_addr *addr, uint16_t port)
{
    for (uint32_t i = 0; i < stack->listener_count; i++) {
        const struct ip_endpoint *local = &stack->listener[i];
        if (local->port == port && (ip_is_zero(&local->addr) || ip_equal(&local->addr, addr))) {
            return local;
        }
    }
    return NULL;
}

/* --- connection objects ----------------------------------------------------------------------- */

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

void tcp_conn_dirty(struct tcp_conn *conn)
{
    if (list_is_empty(&conn->dirty) && conn->state != TCP_STATE_CLOSED) {
        list_append(&conn->stack->dirty, &conn->dirty);
    }
}

static void stack_reap(struct tcp_stack *stack)
{
    if (stack->handed_out != NULL) {
        conn_free(stack->handed_out);
        stack->handed_out = NULL;
    }
}

bool tcp_next_event(struct tcp_stack *stack, struct tcp_event *event_out)
{
    stack_reap(stack);
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

void tcp_stack_wake(struct tcp_stack *stack)
{
    for (unsigned i = 0; i < TCP_WAKES_MAX && !list_is_empty(&stack->short_of_blocks); i++) {
        struct list *link = stack->short_of_blocks.next;
        struct tcp_conn *conn = list_entry(link, struct tcp_conn, short_of_blocks);
        list_remove(link);
        bool low = tcp_blocks_are_low(stack);
        if (conn->is_write_short && tcp_write_space(conn) > 0) {
            conn->is_write_short = false;
            tcp_conn_event(conn, TCP_EVENT_WRITABLE);
        }
        if (!low) {
            tcp_receive_window_update(conn);
        }
        bool wants = conn->is_write_short && tcp_queue_room(stack, &conn->queue) == 0;
        if ((low || wants) && list_is_empty(link)) {
            list_append(&stack->short_of_blocks, link);
        }
    }
}

void tcp_output(struct tcp_stack *stack, uint64_t now_ns)
{
    tcp_stack_set_now(stack, now_ns);
    stack_reap(stack);
    tcp_receive_settle(stack);
    tcp_stack_wake(stack);
    if (!tcp_reply_output(stack)) {
        return;
    }
    while (!list_is_empty(&stack->dirty)) {
        struct tcp_conn *conn = list_entry(stack->dirty.next, struct tcp_conn, dirty);
        if (!tcp_conn_output(conn)) {
            return;
        }
        list_remove(&conn->dirty);
    }
}

void tcp_stack_stats(const struct tcp_stack *stack, struct tcp_stats *stats_out)
{
    *stats_out = stack->stats;
    stats_out->half_open_count = stack->half_open_count;
}
