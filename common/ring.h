/* SPDX-License-Identifier: BSD-3-Clause */
/* common/ring.h: the single-producer, single-consumer ring of 64-byte messages, in shared memory
 * or between two threads.
 *
 * Promise: put and take never block, never call the kernel, and a message is seen whole or not
 *          at all. A full ring is an answer, not an error.
 * Trap:    one producer and one consumer for the life of a ring; a new attach gets a new ring.
 *
 * Memory ordering: the producer copies the slot, then stores `tail` with release; the consumer
 * loads `tail` with acquire, so it reads the slot as written. The consumer stores `head` with
 * release after it copied the slot out; the producer loads `head` with acquire before it writes
 * that slot again. Each side keeps a private copy of the other's index and reloads it only when
 * the ring looks full (or empty), so a cache line moves between the two only when it has to.
 * Indexes run freely over 32 bits; slot_count is a power of two. Every index from the shared part
 * is masked: a hostile process at the other end can spoil messages, but cannot lead us out of the
 * slots.
 */
#ifndef HOLDFAST_COMMON_RING_H
#define HOLDFAST_COMMON_RING_H

#include "common/assert.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_SLOT_BYTES = 64 };

struct ring_slot {
    alignas(64) uint8_t data[RING_SLOT_BYTES];
};

/* The shared part. */
struct ring {
    alignas(64) _Atomic uint32_t tail; /* written by the producer */
    alignas(64) _Atomic uint32_t head; /* written by the consumer */
    alignas(64) uint32_t slot_count;
    uint32_t reserved[15];
    struct ring_slot slot[];
};

/* One side's private part. */
struct ring_end {
    struct ring *ring;
    uint32_t mask;
    uint32_t own;   /* our index */
    uint32_t other; /* the other side's index, as it was when last loaded */
};

/* Bytes that a ring of slot_count (a power of two) takes. */
size_t ring_size(uint32_t slot_count);
/* Lays an empty ring into memory of ring_size bytes, 64-byte aligned. */
void ring_init(struct ring *ring, uint32_t slot_count);
/* slot_count comes from the caller, never from the shared memory. */
void ring_open(struct ring_end *end, struct ring *ring, uint32_t slot_count);
/* Copies 64 bytes in; false when full. */
must_check bool ring_put(struct ring_end *producer, const void *message);
/* Copies 64 bytes out; false when empty. */
must_check bool ring_take(struct ring_end *consumer, void *message_out);
/* Free slots as the producer sees them now. */
uint32_t ring_free(struct ring_end *producer);
/* True when the consumer would find nothing now. */
bool ring_is_empty(struct ring_end *consumer);

#endif
