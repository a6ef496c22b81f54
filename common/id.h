/* SPDX-License-Identifier: BSD-3-Clause */
/* common/id.h: names of messages and deliveries.
 *
 * A delivery id is 64 bits: start number (32) | counter (28) | route index in the message (4).
 * A message's id is the same with the index zero. Start numbers are made durable before an id with
 * them is handed out, so no id is ever used twice. A run that has used up the counter takes the
 * next start number; the writer has made it durable long before (spool/writer.c, reserve_start).
 *
 * Each start uses two start numbers, and each 268 million messages use one more. With one start in
 * each second they last for 68 years; with 400 000 messages a second, for 90 000 years.
 */
#ifndef HOLDFAST_COMMON_ID_H
#define HOLDFAST_COMMON_ID_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ID_INDEX_BITS = 4,
    ID_COUNTER_BITS = 28,
    ID_START_BITS = 32,
    ID_TEXT_SIZE = 14, /* 13 base32 digits and the NUL */
};

static inline uint64_t id_make(uint32_t start, uint64_t counter, unsigned index)
{
    assert(counter < UINT64_C(1) << ID_COUNTER_BITS);
    assert(index < 1u << ID_INDEX_BITS);
    return (uint64_t)start << (ID_COUNTER_BITS + ID_INDEX_BITS) | counter << ID_INDEX_BITS | index;
}

static inline uint64_t id_message(uint64_t id)
{
    return id & ~(uint64_t)((1u << ID_INDEX_BITS) - 1);
}

static inline unsigned id_index(uint64_t id)
{
    return (unsigned)(id & ((1u << ID_INDEX_BITS) - 1));
}

static inline uint32_t id_start(uint64_t id)
{
    return (uint32_t)(id >> (ID_COUNTER_BITS + ID_INDEX_BITS));
}

/* Where new ids come from: after {start, counter}. */
struct id_source {
    uint32_t start;
    uint64_t counter;
};

/* The next message id. `start_last` is the last start number that is durable. 0: there is none now,
 * for the next start number is not durable yet. */
static inline uint64_t id_source_next(struct id_source *source, uint32_t start_last)
{
    assert(source->start <= start_last);
    if (source->counter + 1 >= UINT64_C(1) << ID_COUNTER_BITS) {
        if (source->start == start_last) {
            return 0;
        }
        source->start++;
        source->counter = 0;
    }
    return id_make(source->start, ++source->counter, 0);
}

/* Crockford base32, lower case, no leading zeros. Returns out. */
const char *id_format(uint64_t id, char out[ID_TEXT_SIZE]);
/* Accepts what id_format writes, either case. false on anything else. */
must_check bool id_parse(const char *text, uint64_t *id_out);

#endif
