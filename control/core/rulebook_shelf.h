/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook_shelf.h: how the book of rules lies in memory. Only rulebook.c, which
 * changes it, rulebook_match.c, which asks it, and rulebook_check.c see this.
 *
 *   book ─ map by key ─▶ shelf ─▶ slot, slot, slot …   in the order of the rules' ids
 *    │                              │
 *    └──── map by id ───────────▶ booked               one for each rule: its terms
 *
 * One map finds all shelves. A key has 64 bits. Two things that have the same key by chance only
 * cost time, because every rule on a shelf is asked in full.
 *
 * Trap:    the filter must have the bit of every shelf of characters. A bit too many costs a
 *          lookup. A bit too few lets mail through that is to be held. */
#ifndef HOLDFAST_CONTROL_CORE_RULEBOOK_SHELF_H
#define HOLDFAST_CONTROL_CORE_RULEBOOK_SHELF_H

#include "control/core/map.h"
#include "control/core/rulebook_key.h"

#include "common/limits/rules.h"

enum { BOOK_FILTER_SHIFT = 48, BOOK_FILTER_WORDS = (1 << 16) / 64 };

struct booked;

struct slot {
    uint64_t older_min_ms; /* of age>, age<: a rule out of these bounds is not asked */
    uint64_t younger_ms;
    struct book_sign sign; /* of the side that the key is of: without it a rule is not asked */
    struct booked *rule;
    uint32_t id;
    uint32_t number; /* of the rule in a bitmap of all */
};

struct shelf {
    uint64_t key;
    enum book_kind kind;
    size_t count;
    size_t capacity;
    struct slot *slot;
};

struct booked {
    struct shelf *shelf;
    uint32_t number;
    uint32_t term_count;
    bool asks_envelope;
    struct select_term term[];
};

struct book {
    struct siphash_key hash_key;
    struct map rules;   /* by id */
    struct map shelves; /* by key */
    struct shelf rest_envelope;
    struct shelf rest_now;
    size_t kind_count[BOOK_KINDS]; /* shelves */
    size_t envelope_count;
    uint64_t numbers[LIMIT_RULES / 64]; /* those in use */
    uint64_t filter[BOOK_FILTER_WORDS];
};

static inline uint32_t book_filter_bit(uint64_t key)
{
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> BOOK_FILTER_SHIFT);
}

static inline bool book_filter_has(const struct book *book, uint64_t key)
{
    uint32_t bit = book_filter_bit(key);
    return (book->filter[bit / 64] >> (bit % 64) & 1) != 0;
}

#endif
