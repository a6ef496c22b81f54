/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/table.c: the flow table: tuple to connection or TIME_WAIT entry.
 *
 * Open addressing with linear probing over slots of 8 bytes (half of the hash, and where the
 * object is), at most half full. A hit costs one line of slots and the object's own first line.
 * Removal shifts the followers back, so there are no tombstones to clean up.
 *
 * Promise: the hash is SipHash with a secret key, so nobody outside can make many tuples meet in
 *          one slot.
 * Trap:    connections and TIME_WAIT entries share the table: TCP_REF_TIME_WAIT tells them apart.
 */
#include "dataplane/tcp/core.h"

_Static_assert(sizeof(struct tcp_tuple) == 36, "hashed and compared as bytes: no padding");

uint64_t tcp_tuple_hash(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    return siphash(&stack->settings.isn_key, tuple, sizeof *tuple);
}

const struct tcp_tuple *tcp_table_tuple(const struct tcp_stack *stack, uint32_t ref)
{
    assert(ref != 0);
    if ((ref & TCP_REF_TIME_WAIT) != 0) {
        return &stack->time_waits[ref & ~TCP_REF_TIME_WAIT].tuple;
    }
    return &stack->conns[ref - 1].tuple;
}

uint32_t tcp_table_find(const struct tcp_stack *stack, uint32_t hash, const struct tcp_tuple *tuple)
{
    for (uint32_t i = hash & stack->slot_mask;; i = (i + 1) & stack->slot_mask) {
        const struct tcp_slot *slot = &stack->slots[i];
        if (slot->ref == 0) {
            return 0;
        }
        if (slot->hash == hash &&
            memcmp(tcp_table_tuple(stack, slot->ref), tuple, sizeof *tuple) == 0) {
            return slot->ref;
        }
    }
}

void tcp_table_add(struct tcp_stack *stack, uint32_t hash, uint32_t ref)
{
    assert(ref != 0);
    uint32_t i = hash & stack->slot_mask;
    while (stack->slots[i].ref != 0) {
        i = (i + 1) & stack->slot_mask;
    }
    stack->slots[i] = (struct tcp_slot){.hash = hash, .ref = ref};
}

void tcp_table_remove(struct tcp_stack *stack, uint32_t hash, uint32_t ref)
{
    uint32_t mask = stack->slot_mask;
    uint32_t i = hash & mask;
    while (stack->slots[i].ref != ref) {
        assert(stack->slots[i].ref != 0);
        i = (i + 1) & mask;
    }
    /* Move back each follower that would not be found across the gap (Knuth 6.4 R). */
    for (uint32_t j = (i + 1) & mask; stack->slots[j].ref != 0; j = (j + 1) & mask) {
        uint32_t home = stack->slots[j].hash & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            stack->slots[i] = stack->slots[j];
            i = j;
        }
    }
    stack->slots[i] = (struct tcp_slot){0};
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
