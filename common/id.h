/* SPDX-License-Identifier: BSD-3-Clause */
/* common/id.h: names of messages and deliveries.
 *
 * A delivery id is 64 bits: start number (20) | counter (40) | route index in the message (4).
 * A message's id is the same with the index zero. The start number is made durable before the
 * dataplane hands out the first id of a run, so no id is ever used twice.
 */
#ifndef HOLDFAST_COMMON_ID_H
#define HOLDFAST_COMMON_ID_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ID_INDEX_BITS = 4,
    ID_COUNTER_BITS = 40,
    ID_START_BITS = 20,
    ID_TEXT_SIZE = 14, /* 13 base32 digits and the NUL */
};

static inline uint64_t id_make(uint32_t start, uint64_t counter, unsigned index)
{
    assert(start < 1u << ID_START_BITS && counter < UINT64_C(1) << ID_COUNTER_BITS);
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

/* Crockford base32, lower case, no leading zeros. Returns out. */
const char *id_format(uint64_t id, char out[ID_TEXT_SIZE]);
/* Accepts what id_format writes, either case. false on anything else. */
must_check bool id_parse(const char *text, uint64_t *id_out);

#endif
