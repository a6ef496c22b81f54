/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/number.c: numbers a stranger must not guess: initial sequence numbers, timestamp
 * offsets, ephemeral ports.
 *
 * Promise: each is a keyed hash of the pair, so that knowing one pair's says nothing of another's,
 *          plus a clock or counter, so that a pair used again goes forward.
 * Trap:    every use has its own domain: the same hash must not show in two of them.
 */
#include "dataplane/tcp/core.h"

enum { NUMBER_ISN = 1, NUMBER_TIMESTAMP = 2, NUMBER_PORT_OFFSET = 3, NUMBER_PORT_COUNTER = 4 };

static uint64_t number_hash(const struct tcp_stack *stack, const struct tcp_tuple *tuple,
                            uint64_t domain)
{
    struct siphash_key key = stack->settings.isn_key;
    key.k1 ^= domain << 56;
    return siphash(&key, tuple, sizeof *tuple);
}

/* RFC 6528 section 3: ISN = M + F(tuple, secret), M a clock of 4 us (RFC 9293 section 3.4.1). */
uint32_t tcp_initial_seq(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    uint32_t clock = (uint32_t)(stack->now_ns / 4000);
    return clock + (uint32_t)number_hash(stack, tuple, NUMBER_ISN);
}

/* RFC 7323 section 5.4: an offset per pair keeps our uptime to ourselves. */
uint32_t tcp_timestamp_offset(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    return (uint32_t)number_hash(stack, tuple, NUMBER_TIMESTAMP);
}

static bool port_is_free(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    if (tcp_listener_find(stack, &tuple->local_addr, tuple->local_port) != NULL) {
        return false;
    }
    uint32_t ref = tcp_table_find(stack, (uint32_t)tcp_tuple_hash(stack, tuple), tuple);
    if (ref == 0) {
        return true;
    }
    return (ref & TCP_REF_TIME_WAIT) != 0 &&
           !tcp_time_wait_is_live(stack, ref & ~TCP_REF_TIME_WAIT);
}

/* RFC 6056 section 3.3.4, algorithm 4 (double hash): successive connects to one peer take
 * successive ports, those to different peers tell nothing of each other. */
bool tcp_port_pick(struct tcp_stack *stack, struct tcp_tuple *tuple)
{
    tuple->local_port = 0;
    uint32_t offset = (uint32_t)number_hash(stack, tuple, NUMBER_PORT_OFFSET);
    uint32_t which = (uint32_t)number_hash(stack, tuple, NUMBER_PORT_COUNTER) % TCP_PORT_COUNTERS;
    for (uint32_t tries = 0; tries < TCP_PORT_COUNT; tries++) {
        uint32_t count = stack->port_counter[which]++;
        tuple->local_port = (uint16_t)(TCP_PORT_FIRST + (offset + count) % TCP_PORT_COUNT);
        if (port_is_free(stack, tuple)) {
            return true;
        }
    }
    tuple->local_port = 0;
    return false;
}
