/* SPDX-License-Identifier: BSD-3-Clause */
/* common/envelope_ring.h: envelopes on their way from the writer thread to control, in shared
 * memory. A COMMIT in the up ring says where the envelope of its message lies here, so that a rule
 * that asks for the sender costs no disk read.
 *
 *                 own of the consumer                    own of the producer
 *                        ▼                                      ▼
 *   area   │   free      │ entry │ entry │ entry │ ... │ entry  │      free      │
 *
 * An entry is the encoded envelope (envelope.h), padded to 8 bytes, in one piece: where the rest
 * of the area is too short, the entry begins at the start of the area. Positions are bytes since
 * the ring was made, and run freely over 64 bits. A message carries the lower 32 bits of a
 * position in words of 8 bytes. The area is far shorter than 32 GiB, so the consumer knows the
 * rest.
 *
 * Promise: put never waits. A full ring is an answer, not an error: that message comes without an
 *          envelope. The consumer looks at nothing outside the area, whatever a message says.
 * Trap:    one producer and one consumer for the life of a ring. Entries have to be released in
 *          the order of their messages; an entry that is never released makes the ring full.
 *
 * Memory ordering: the producer writes an entry, then puts its message into the up ring (a store
 * with release). The consumer takes the message (a load with acquire), then reads the entry; so no
 * position of the producer is shared. The consumer stores its position with release after it has
 * copied entries out; the producer loads it with acquire before it overwrites them.
 */
#ifndef HOLDFAST_COMMON_ENVELOPE_RING_H
#define HOLDFAST_COMMON_ENVELOPE_RING_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits/message.h"
#include "common/limits/ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The shared part. */
struct envelope_ring {
    alignas(64) _Atomic uint64_t released; /* by the consumer: entries below are free */
    alignas(64) uint8_t area[LIMIT_ENVELOPE_RING_BYTES];
};

/* One side's private part. */
struct envelope_ring_end {
    struct envelope_ring *ring;
    uint64_t own;   /* producer: end of the newest entry; consumer: end of what it has released */
    uint64_t other; /* producer: what it last knew of the consumer's position */
};

/* Makes an empty ring of memory that is 64-byte aligned. */
void envelope_ring_init(struct envelope_ring *ring);
/* Both ends open a ring before its first entry. */
void envelope_ring_open(struct envelope_ring_end *end, struct envelope_ring *ring);

/* Producer: copies an encoded envelope in (1 to LIMIT_ENVELOPE_BYTES bytes) and says where it lies.
 * false: there is no room. */
must_check bool envelope_ring_put(struct envelope_ring_end *producer, struct bytes encoded,
                                  uint32_t *at_out);

/* Consumer: copies the `bytes` bytes at `at` out. They are copied because the producer could alter
 * them while they are looked at; what they mean has to be checked as well (envelope_decode). false:
 * there can be no such entry. */
must_check bool envelope_ring_get(const struct envelope_ring_end *consumer, uint32_t at,
                                  uint32_t bytes, uint8_t out[LIMIT_ENVELOPE_BYTES]);
/* Consumer: frees all entries that lie before this one. The entry itself stays, since the next
 * message may name it too. Call it for each message that names an entry, also when the consumer
 * does not need the envelope. An entry that is not possible is ignored. */
void envelope_ring_release(struct envelope_ring_end *consumer, uint32_t at, uint32_t bytes);

#endif
