/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/timewait.c: TIME_WAIT (RFC 9293 section 3.6) without a connection object.
 *
 * All entries wait equally long, so they lie in a ring in the order of their end. An entry whose
 * pair is used again is marked dead where it lies. An entry whose wait began anew is put at the end
 * of the ring when its first time is over.
 *
 * Promise: a late segment of an ended connection finds the entry, and reaches no new connection; a
 *          RST does not end the wait (RFC 1337). A full ring gives up its oldest entry.
 * Trap:    an entry may outlive its time in the ring: ask tcp_time_wait_is_live.
 */
#include "dataplane/tcp/core.h"

static struct tcp_time_wait *time_wait_oldest(struct tcp_stack *stack)
{
    assert(stack->time_wait_used > 0);
    return &stack->time_waits[stack->time_wait_head];
}

static uint32_t time_wait_ref(const struct tcp_stack *stack, const struct tcp_time_wait *entry)
{
    return TCP_REF_TIME_WAIT | (uint32_t)(entry - stack->time_waits);
}

static void time_wait_kill(struct tcp_stack *stack, struct tcp_time_wait *entry)
{
    assert(!entry->is_dead);
    tcp_table_remove(stack, (uint32_t)tcp_tuple_hash(stack, &entry->tuple),
                     time_wait_ref(stack, entry));
    entry->is_dead = true;
    stack->stats.time_wait_count--;
}

static void time_wait_pop(struct tcp_stack *stack)
{
    struct tcp_time_wait *entry = time_wait_oldest(stack);
    if (!entry->is_dead) {
        time_wait_kill(stack, entry);
    }
    stack->time_wait_head = (stack->time_wait_head + 1) % stack->settings.time_wait_count_max;
    stack->time_wait_used--;
}

static void time_wait_push(struct tcp_stack *stack, const struct tcp_time_wait *entry)
{
    uint32_t count_max = stack->settings.time_wait_count_max;
    if (stack->time_wait_used == count_max) {
        time_wait_pop(stack);
    }
    uint32_t i = (stack->time_wait_head + stack->time_wait_used) % count_max;
    stack->time_waits[i] = *entry;
    stack->time_wait_used++;
    stack->stats.time_wait_count++;
    tcp_table_add(stack, (uint32_t)tcp_tuple_hash(stack, &entry->tuple), TCP_REF_TIME_WAIT | i);
}

static void time_wait_ack(struct tcp_stack *stack, const struct tcp_time_wait *entry)
{
    tcp_reply_add(
        stack,
        &(struct tcp_reply){
            .tuple = entry->tuple,
            .seq = entry->snd_nxt,
            .ack = entry->rcv_nxt,
            .flags = TCP_FLAG_ACK,
            .has_timestamps = entry->has_timestamps,
            .ts_value = tcp_clock_ms(stack) +
                        (entry->has_timestamps ? tcp_timestamp_offset(stack, &entry->tuple) : 0),
            .ts_echo = entry->ts_recent,
        });
}

/* For a moment the connection and its entry both lie in the flow table under one tuple; their refs
 * differ. */
static void time_wait_add(struct tcp_conn *conn)
{
    struct tcp_stack *stack = conn->stack;
    struct tcp_time_wait entry = {
        .tuple = conn->tuple,
        .snd_nxt = conn->snd_max,
        .rcv_nxt = conn->rcv_nxt,
        .ts_recent = conn->ts_recent,
        .expires_ms = tcp_clock_ms(stack) + stack->settings.time_wait_ms,
        .has_timestamps = conn->has_timestamps,
    };
    if (stack->settings.time_wait_count_max > 0) {
        time_wait_push(stack, &entry);
    }
    time_wait_ack(stack, &entry); /* of the peer's FIN */
}

void tcp_conn_time_wait(struct tcp_conn *conn)
{
    time_wait_add(conn);
    tcp_conn_end(conn, 0);
}

bool tcp_time_wait_is_live(const struct tcp_stack *stack, uint32_t index)
{
    assert(index < stack->settings.time_wait_count_max);
    const struct tcp_time_wait *entry = &stack->time_waits[index];
    return !entry->is_dead && seq_before(tcp_clock_ms(stack), entry->expires_ms);
}

void tcp_time_wait_release(struct tcp_stack *stack, uint32_t index)
{
    assert(!tcp_time_wait_is_live(stack, index));
    time_wait_kill(stack, &stack->time_waits[index]);
}

bool tcp_time_wait_input(struct tcp_stack *stack, uint32_t index, const struct tcp_segment *segment,
                         uint32_t *iss_min_out)
{
    struct tcp_time_wait *entry = &stack->time_waits[index];
    *iss_min_out = entry->snd_nxt + 1;
    if (!tcp_time_wait_is_live(stack, index)) {
        time_wait_kill(stack, entry);
        return false;
    }
    if ((segment->flags & TCP_FLAG_RST) != 0) {
        return true; /* RFC 1337 section 3, fix F1 */
    }
    if ((segment->flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN) {
        /* RFC 9293 section 3.10.7.4 (MAY-2) with RFC 6191: the SYN is newer than all that the old
         * connection sent. */
        bool newer_time = entry->has_timestamps && segment->has_timestamps &&
                          seq_before(entry->ts_recent, segment->ts_value);
        bool newer_seq = seq_before(entry->rcv_nxt, segment->seq) &&
                         !(entry->has_timestamps && segment->has_timestamps &&
                           seq_before(segment->ts_value, entry->ts_recent));
        if (newer_time || newer_seq) {
            time_wait_kill(stack, entry);
            return false;
        }
    }
    uint32_t len = tcp_segment_length(segment);
    if ((segment->flags & TCP_FLAG_FIN) != 0 && segment->seq + len == entry->rcv_nxt) {
        entry->expires_ms = tcp_clock_ms(stack) + stack->settings.time_wait_ms;
        entry->is_restarted = true;
    }
    if (len > 0) { /* two TIME_WAITs must not answer each other's ACKs */
        time_wait_ack(stack, entry);
    }
    return true;
}

void tcp_time_wait_expire(struct tcp_stack *stack)
{
    while (stack->time_wait_used > 0) {
        struct tcp_time_wait entry = *time_wait_oldest(stack);
        if (entry.is_dead) {
            time_wait_pop(stack);
        } else if (entry.is_restarted) {
            time_wait_pop(stack);
            entry.is_restarted = false;
            time_wait_push(stack, &entry);
        } else if (seq_upto(entry.expires_ms, tcp_clock_ms(stack))) {
            time_wait_pop(stack);
        } else {
            return;
        }
    }
}

uint64_t tcp_time_wait_next_ns(const struct tcp_stack *stack)
{
    if (stack->time_wait_used == 0) {
        return UINT64_MAX;
    }
    const struct tcp_time_wait *entry = &stack->time_waits[stack->time_wait_head];
    uint64_t now_ms = stack->now_ns / TCP_NS_PER_MS;
    int32_t left_ms = (int32_t)(entry->expires_ms - (uint32_t)now_ms);
    if (entry->is_dead || entry->is_restarted || left_ms <= 0) {
        return stack->now_ns;
    }
    return (now_ms + (uint32_t)left_ms) * TCP_NS_PER_MS;
}
