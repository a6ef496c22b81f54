/* SPDX-License-Identifier: BSD-3-Clause */
/* common/ring.c: the SPSC ring. The ordering argument is in ring.h. */
#include "common/ring.h"

#include <string.h>

size_t ring_size(uint32_t slot_count)
{
    return sizeof(struct ring) + (size_t)slot_count * sizeof(struct ring_slot);
}

void ring_init(struct ring *ring, uint32_t slot_count)
{
    assert(slot_count > 0 && (slot_count & (slot_count - 1)) == 0);
    memset(ring, 0, sizeof *ring);
    ring->slot_count = slot_count;
    atomic_store_explicit(&ring->head, 0, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, 0, memory_order_release);
}

void ring_open(struct ring_end *end, struct ring *ring, uint32_t slot_count)
{
    assert(slot_count > 0 && (slot_count & (slot_count - 1)) == 0);
    *end = (struct ring_end){.ring = ring, .mask = slot_count - 1};
}

uint32_t ring_free(struct ring_end *producer)
{
    producer->other = atomic_load_explicit(&producer->ring->head, memory_order_acquire);
    uint32_t used = producer->own - producer->other;
    return used > producer->mask ? 0 : producer->mask + 1 - used;
}

bool ring_put(struct ring_end *producer, const void *message)
{
    if (producer->own - producer->other > producer->mask && ring_free(producer) == 0) {
        return false;
    }
    memcpy(producer->ring->slot[producer->own & producer->mask].data, message, RING_SLOT_BYTES);
    producer->own++;
    atomic_store_explicit(&producer->ring->tail, producer->own, memory_order_release);
    return true;
}

bool ring_is_empty(struct ring_end *consumer)
{
    if (consumer->own == consumer->other) {
        consumer->other = atomic_load_explicit(&consumer->ring->tail, memory_order_acquire);
    }
    return consumer->own == consumer->other;
}

bool ring_take(struct ring_end *consumer, void *message_out)
{
    if (ring_is_empty(consumer)) {
        return false;
    }
    memcpy(message_out, consumer->ring->slot[consumer->own & consumer->mask].data, RING_SLOT_BYTES);
    consumer->own++;
    atomic_store_explicit(&consumer->ring->head, consumer->own, memory_order_release);
    return true;
}
