/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/index.c: slabs and shards. See index.h. Pure.
 *
 * A shard is a table with linear probing. Removal shifts the run back, so there are no tombstones.
 * It is filled to three quarters at most: 5.3 to 10.7 bytes for each delivery.
 */
#include "control/core/index.h"

#include "control/core/mem.h"

#include "common/id.h"

enum { SHARD_SIZE_MIN = 16 };

static uint64_t mix(uint64_t id)
{
    /* Ids are counted up by our own dataplane: a multiplication spreads them well enough. */
    uint64_t h = (id_message(id) >> ID_INDEX_BITS) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static struct index_shard *shard_of(const struct index *index, uint64_t id)
{
    return (struct index_shard *)&index->shard[mix(id) >> 52];
}

static uint32_t home(const struct index_shard *shard, uint64_t id)
{
    return (uint32_t)(mix(id) >> 8) & (shard->size - 1);
}

static struct delivery *at(const struct index *index, uint32_t entry)
{
    assert(entry != 0);
    return index_at(index, entry - 1);
}

struct delivery *index_find(const struct index *index, uint64_t id)
{
    const struct index_shard *shard = shard_of(index, id);
    if (shard->count == 0) {
        return NULL;
    }
    assert(shard->count < shard->size); /* an empty entry ends each search */
    for (uint32_t i = home(shard, id); shard->entry[i] != 0; i = (i + 1) & (shard->size - 1)) {
        struct delivery *d = at(index, shard->entry[i]);
        if (d->id == id) {
            return d;
        }
    }
    return NULL;
}

struct delivery *index_find_message(const struct index *index, uint64_t id)
{
    const struct index_shard *shard = shard_of(index, id);
    if (shard->count == 0) {
        return NULL;
    }
    assert(shard->count < shard->size);
    for (uint32_t i = home(shard, id); shard->entry[i] != 0; i = (i + 1) & (shard->size - 1)) {
        struct delivery *d = at(index, shard->entry[i]);
        if (id_message(d->id) == id_message(id)) {
            return d;
        }
    }
    return NULL;
}

bool index_has_message(const struct index *index, uint64_t id)
{
    return index_find_message(index, id) != NULL;
}

static void put(const struct index *index, struct index_shard *shard, uint32_t entry)
{
    uint32_t i = home(shard, at(index, entry)->id);
    assert(shard->size > 0 && i < shard->size);
    while (shard->entry[i] != 0) {
        i = (i + 1) & (shard->size - 1);
    }
    shard->entry[i] = entry;
    shard->count++;
    assert(shard->count < shard->size);
}

static void grow(const struct index *index, struct index_shard *shard)
{
    struct index_shard old = *shard;
    shard->size = old.size == 0 ? SHARD_SIZE_MIN : old.size * 2;
    assert(shard->size > old.size && (shard->size & (shard->size - 1)) == 0);
    shard->entry = mem_zalloc(shard->size * sizeof *shard->entry);
    shard->count = 0;
    for (uint32_t i = 0; i < old.size; i++) {
        if (old.entry[i] != 0) {
            put(index, shard, old.entry[i]);
        }
    }
    assert(shard->count == old.count);
    mem_free(old.entry);
}

static void add_slab(struct index *index)
{
    index->slab = mem_grow(index->slab, &index->slab_capacity, index->slab_count + 1,
                           sizeof(struct delivery *));
    struct delivery *slab = mem_zalloc(INDEX_SLAB_SLOTS * sizeof *slab);
    uint64_t first = index->slab_count * INDEX_SLAB_SLOTS;
    assert(index->free_slot == 0 && first + INDEX_SLAB_SLOTS < UINT32_MAX);
    index->slab[index->slab_count++] = slab;
    for (uint64_t i = 0; i < INDEX_SLAB_SLOTS - 1; i++) {
        slab[i].next_free = first + i + 2;
    }
    index->free_slot = first + 1; /* the lowest slots first: they lie close together */
    assert(slab[INDEX_SLAB_SLOTS - 1].next_free == 0 && index->free_slot <= index_slots(index));
}

struct delivery *index_add(struct index *index, uint64_t id, uint64_t first_pos,
                           uint64_t commit_pos, unsigned rcpt_count)
{
    assert(index_find(index, id) == NULL);
    if (index->free_slot == 0) {
        add_slab(index);
    }
    uint32_t slot = (uint32_t)(index->free_slot - 1);
    struct delivery *d = index_at(index, slot);
    assert(d->id == 0);
    index->free_slot = d->next_free;
    delivery_init(d, id, first_pos, commit_pos, rcpt_count);
    struct index_shard *shard = shard_of(index, id);
    if (shard->count + 1 > shard->size / 4 * 3) {
        grow(index, shard);
    }
    put(index, shard, slot + 1);
    index->count++;
    assert(index->count <= index_slots(index) && index_at(index, slot) == d);
    return d;
}

uint32_t index_next_slot(const struct index *index)
{
    return index->free_slot != 0 ? (uint32_t)(index->free_slot - 1) : index_slots(index);
}

static void forget(const struct index *index, struct index_shard *shard, uint32_t hole)
{
    uint32_t mask = shard->size - 1;
    assert(shard->count > 0 && shard->entry[hole] != 0);
    for (uint32_t i = (hole + 1) & mask; shard->entry[i] != 0; i = (i + 1) & mask) {
        uint32_t want = home(shard, at(index, shard->entry[i])->id);
        if (((i - want) & mask) >= ((i - hole) & mask)) {
            shard->entry[hole] = shard->entry[i];
            hole = i;
        }
    }
    assert(shard->entry[hole] != 0);
    shard->entry[hole] = 0;
    shard->count--;
}

void index_remove(struct index *index, struct delivery *d)
{
    uint32_t slot = index_slot(index, d);
    struct index_shard *shard = shard_of(index, d->id);
    uint32_t i = home(shard, d->id);
    assert(index->count > 0 && shard->count > 0);
    while (shard->entry[i] != slot + 1) {
        assert(shard->entry[i] != 0);
        i = (i + 1) & (shard->size - 1);
    }
    forget(index, shard, i);
    assert(index_find_message(index, d->id) != d);
    delivery_fini(d);
    d->next_free = index->free_slot;
    index->free_slot = (uint64_t)slot + 1;
    index->count--;
    assert(index_next_slot(index) == slot && index_at(index, slot)->id == 0);
}

uint32_t index_slot(const struct index *index, const struct delivery *d)
{
    /* The index knows its deliveries by their ids: the shard says the slot. */
    const struct index_shard *shard = shard_of(index, d->id);
    assert(d->id != 0 && shard->size > 0);
    for (uint32_t i = home(shard, d->id);; i = (i + 1) & (shard->size - 1)) {
        assert(shard->entry[i] != 0);
        if (at(index, shard->entry[i]) == d) {
            return shard->entry[i] - 1;
        }
    }
}

struct delivery *index_next(const struct index *index, uint32_t *slot, uint32_t *budget)
{
    uint32_t slots = index_slots(index);
    assert(*slot <= slots);
    while (*budget > 0 && *slot < slots) {
        struct delivery *d = index_at(index, (*slot)++);
        (*budget)--;
        if (d->id != 0) {
            assert(*slot <= slots && index_at(index, *slot - 1) == d);
            return d;
        }
    }
    return NULL;
}

void index_fini(struct index *index)
{
    uint32_t slot = 0;
    uint32_t budget = UINT32_MAX;
    struct delivery *d;
    while ((d = index_next(index, &slot, &budget)) != NULL) {
        delivery_fini(d);
    }
    assert(slot == index_slots(index)); /* all were met */
    for (size_t i = 0; i < index->slab_count; i++) {
        mem_free(index->slab[i]);
    }
    mem_free(index->slab);
    for (size_t i = 0; i < INDEX_SHARDS; i++) {
        mem_free(index->shard[i].entry);
    }
    *index = (struct index){0};
}
