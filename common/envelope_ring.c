/* SPDX-License-Identifier: BSD-3-Clause */
/* common/envelope_ring.c: envelopes beside the up ring. See envelope_ring.h, also for the memory
 * ordering.
 *
 * Promise: each index into the area comes from a position that was checked against it.
 * Trap:    the other process writes the shared part and the messages: what they say is compared,
 *          never asserted.
 */
#include "common/envelope_ring.h"

#include <string.h>

enum { WORD_BYTES = 8, AREA_MASK = LIMIT_ENVELOPE_RING_BYTES - 1 };

_Static_assert((LIMIT_ENVELOPE_RING_BYTES & AREA_MASK) == 0, "positions are masked");
_Static_assert(
    LIMIT_ENVELOPE_RING_BYTES >= 4 * LIMIT_ENVELOPE_BYTES,
    "the longest envelope finds room beside one that stays and a rest that is too short");
_Static_assert(LIMIT_ENVELOPE_BYTES <= UINT16_MAX, "a COMMIT tells the length in 16 bits");

static uint32_t padded(uint32_t bytes)
{
    return (bytes + WORD_BYTES - 1) / WORD_BYTES * WORD_BYTES;
}

void envelope_ring_init(struct envelope_ring *ring)
{
    assert((uintptr_t)ring % 64 == 0);
    atomic_store_explicit(&ring->released, 0, memory_order_release);
}

void envelope_ring_open(struct envelope_ring_end *end, struct envelope_ring *ring)
{
    assert(end != NULL && ring != NULL);
    *end = (struct envelope_ring_end){.ring = ring};
}

/* True when the entry that would end there overwrites nothing that the consumer still needs. A
 * consumer that lies about what it released only makes its own reading garbage. */
static bool has_room(struct envelope_ring_end *producer, uint64_t end)
{
    if (end - producer->other > LIMIT_ENVELOPE_RING_BYTES) {
        producer->other = atomic_load_explicit(&producer->ring->released, memory_order_acquire);
    }
    return end - producer->other <= LIMIT_ENVELOPE_RING_BYTES;
}

bool envelope_ring_put(struct envelope_ring_end *producer, struct bytes encoded, uint32_t *at_out)
{
    assert(encoded.len > 0 && encoded.len <= LIMIT_ENVELOPE_BYTES);
    assert(producer->own % WORD_BYTES == 0);
    uint32_t len = padded((uint32_t)encoded.len);
    uint32_t rest = LIMIT_ENVELOPE_RING_BYTES - (uint32_t)(producer->own & AREA_MASK);
    uint64_t pos = producer->own + (rest < len ? rest : 0);
    if (!has_room(producer, pos + len)) {
        return false;
    }
    assert((pos & AREA_MASK) + len <= LIMIT_ENVELOPE_RING_BYTES);
    memcpy(producer->ring->area + (pos & AREA_MASK), encoded.data, encoded.len);
    producer->own = pos + len;
    *at_out = (uint32_t)(pos / WORD_BYTES);
    return true;
}

/* Finds the full position of the entry that a message names. false: no such entry is possible. */
static bool find(const struct envelope_ring_end *consumer, uint32_t at, uint32_t bytes,
                 uint64_t *pos_out)
{
    assert(consumer->own % WORD_BYTES == 0);
    if (bytes == 0 || bytes > LIMIT_ENVELOPE_BYTES) {
        return false;
    }
    uint32_t words_ahead = at - (uint32_t)(consumer->own / WORD_BYTES);
    uint64_t ahead = (uint64_t)words_ahead * WORD_BYTES;
    uint64_t pos = consumer->own + ahead;
    uint32_t len = padded(bytes);
    if (ahead + len > LIMIT_ENVELOPE_RING_BYTES ||
        (pos & AREA_MASK) + len > LIMIT_ENVELOPE_RING_BYTES) {
        return false;
    }
    *pos_out = pos;
    return true;
}

bool envelope_ring_get(const struct envelope_ring_end *consumer, uint32_t at, uint32_t bytes,
                       uint8_t out[LIMIT_ENVELOPE_BYTES])
{
    uint64_t pos;
    if (!find(consumer, at, bytes, &pos)) {
        return false;
    }
    assert((pos & AREA_MASK) + bytes <= LIMIT_ENVELOPE_RING_BYTES);
    memcpy(out, consumer->ring->area + (pos & AREA_MASK), bytes);
    return true;
}

void envelope_ring_release(struct envelope_ring_end *consumer, uint32_t at, uint32_t bytes)
{
    uint64_t pos;
    if (!find(consumer, at, bytes, &pos)) {
        return;
    }
    assert(pos - consumer->own <= LIMIT_ENVELOPE_RING_BYTES && pos % WORD_BYTES == 0);
    consumer->own = pos;
    atomic_store_explicit(&consumer->ring->released, pos, memory_order_release);
}
