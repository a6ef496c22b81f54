/* SPDX-License-Identifier: BSD-3-Clause */
/* common/rcptset.h: a set of recipients of one delivery, by their index within it. */
#ifndef HOLDFAST_COMMON_RCPTSET_H
#define HOLDFAST_COMMON_RCPTSET_H

#include "common/assert.h"
#include "common/limits/rcpts.h"

#include <stdbool.h>
#include <stdint.h>

struct rcptset {
    uint64_t word[LIMIT_RCPTS / 64];
};

static inline bool rcptset_has(const struct rcptset *set, unsigned index)
{
    assert(index < LIMIT_RCPTS);
    return (set->word[index / 64] >> (index % 64) & 1) != 0;
}

static inline void rcptset_add(struct rcptset *set, unsigned index)
{
    assert(index < LIMIT_RCPTS);
    set->word[index / 64] |= UINT64_C(1) << (index % 64);
}

static inline void rcptset_remove(struct rcptset *set, unsigned index)
{
    assert(index < LIMIT_RCPTS);
    set->word[index / 64] &= ~(UINT64_C(1) << (index % 64));
}

static inline unsigned rcptset_count(const struct rcptset *set)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LIMIT_RCPTS / 64; i++) {
        uint64_t word = set->word[i];
        bool few = (word & (word - 1)) == 0; /* none or one, as in most sets: cheaper than a call */
        count += few ? word != 0 : (unsigned)__builtin_popcountll(word);
    }
    return count;
}

static inline bool rcptset_is_empty(const struct rcptset *set)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < LIMIT_RCPTS / 64; i++) {
        any |= set->word[i];
    }
    return any == 0;
}

/* The set {0 .. count-1}. */
static inline struct rcptset rcptset_first(unsigned count)
{
    assert(count <= LIMIT_RCPTS);
    struct rcptset set = {{0}};
    for (unsigned i = 0; i < count; i++) {
        rcptset_add(&set, i);
    }
    return set;
}

static inline void rcptset_union(struct rcptset *set, const struct rcptset *other)
{
    for (unsigned i = 0; i < LIMIT_RCPTS / 64; i++) {
        set->word[i] |= other->word[i];
    }
}

static inline void rcptset_subtract(struct rcptset *set, const struct rcptset *other)
{
    for (unsigned i = 0; i < LIMIT_RCPTS / 64; i++) {
        set->word[i] &= ~other->word[i];
    }
}

static inline bool rcptset_is_subset(const struct rcptset *set, const struct rcptset *of)
{
    for (unsigned i = 0; i < LIMIT_RCPTS / 64; i++) {
        if ((set->word[i] & ~of->word[i]) != 0) {
            return false;
        }
    }
    return true;
}

#endif
