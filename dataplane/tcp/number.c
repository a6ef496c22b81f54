/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/number.c: numbers that a stranger must not guess: initial sequence numbers,
 * timestamp offsets, where the search for an ephemeral port begins.
 *
 * Promise: each is a keyed hash of the pair: who knows the number of one pair knows nothing about
 *          another's. An initial sequence number has a clock added, so that the numbers of a pair
 *          that is used again go on.
 * Trap:    every use has its own domain: no two of them may use the same hash.
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

/* RFC 7323 section 5.4: with an offset for each pair, timestamps do not show our uptime. */
uint32_t tcp_timestamp_offset(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    return (uint32_t)number_hash(stack, tuple, NUMBER_TIMESTAMP);
}

uint32_t tcp_port_offset(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    return (uint32_t)number_hash(stack, tuple, NUMBER_PORT_OFFSET);
}

uint32_t tcp_port_counter(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    return (uint32_t)number_hash(stack, tuple, NUMBER_PORT_COUNTER) % TCP_PORT_COUNTERS;
}
