/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/index.h: where deliveries lie, and how one is found by its id.
 *
 *   slabs     places for deliveries, never moved. A place has a number among all: its slot
 *   shards    4 096 small hash tables of slots, chosen by the message's id: all deliveries of a
 *             message lie in one shard; each grows by itself, so no step is long
 *
 * A walk goes over the slots in order. A delivery stays in its slot, so a walk that rests between
 * two turns meets each delivery that was there all the time exactly once.
 *
 * Promise: find, add and remove take constant time; the longest step is the growth of one shard.
 * Trap:    a freed slot is used again. Who remembers a delivery over turns remembers its id.
 */
#ifndef HOLDFAST_CONTROL_CORE_INDEX_H
#define HOLDFAST_CONTROL_CORE_INDEX_H

#include "control/core/delivery.h"

#include <stddef.h>

enum {
    INDEX_SHARDS = 4096,
    INDEX_SLAB_SLOTS = 4096,
};

struct index_shard {
    uint32_t *entry; /* slot + 1; 0: empty */
    uint32_t size;   /* a power of two; 0 before the first delivery */
    uint32_t count;
};

struct index {
    struct delivery **slab;
    size_t slab_count;
    size_t slab_capacity;
    uint64_t free_slot; /* + 1; 0: none */
    size_t count;
    struct index_shard shard[INDEX_SHARDS];
};

void index_fini(struct index *index);
/* NULL: not here. */
struct delivery *index_find(const struct index *index, uint64_t id);
/* Some delivery of that message is here. */
bool index_has_message(const struct index *index, uint64_t id);
/* One of them, NULL without any: all have the message's positions. */
struct delivery *index_find_message(const struct index *index, uint64_t id);
/* The id must be new and not 0. All recipients wait. */
struct delivery *index_add(struct index *index, uint64_t id, uint64_t first_pos,
                           uint64_t commit_pos, unsigned rcpt_count);
/* The slot that index_add takes next. */
uint32_t index_next_slot(const struct index *index);
void index_remove(struct index *index, struct delivery *d);
uint32_t index_slot(const struct index *index, const struct delivery *d);

static inline uint32_t index_slots(const struct index *index)
{
    return (uint32_t)(index->slab_count * INDEX_SLAB_SLOTS);
}

/* The place, whether it is free or not. */
static inline struct delivery *index_at(const struct index *index, uint32_t slot)
{
    assert(slot / INDEX_SLAB_SLOTS < index->slab_count);
    return &index->slab[slot / INDEX_SLAB_SLOTS][slot % INDEX_SLAB_SLOTS];
}

/* The next delivery at or after *slot, which is left behind it. Looks at *budget places at most and
 * takes what it looked at from it. NULL: the budget is used up, or (*slot == index_slots) the end
 * is reached. */
struct delivery *index_next(const struct index *index, uint32_t *slot, uint32_t *budget);

#endif
