/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/stack.c: one worker's TCP as a whole: its memory, its listeners, its turns.
 *
 * Promise: all memory is taken at create.
 * Trap:    a connection that waits for blocks goes on only when tcp_stack_wake comes to it, and it
 *          looks at TCP_WAKES_MAX of them in a turn.
 */
#include "dataplane/tcp/core.h"

#include <errno.h>
#include <stdlib.h>

/* Zeroed memory, aligned for cache lines; the kernel gives a page when it is first touched.
 * *memory is what free() takes. */
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

/* --- turns ------------------------------------------------------------------------------------ */

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

void tcp_input_done(struct tcp_stack *stack)
{
    tcp_receive_settle(stack);
    tcp_stack_wake(stack);
}

void tcp_output(struct tcp_stack *stack, uint64_t now_ns)
{
    tcp_stack_set_now(stack, now_ns);
    tcp_stack_reap(stack);
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
