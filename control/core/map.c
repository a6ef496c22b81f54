/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/map.c: open addressing with linear probing. Removal shifts the run back. See map.h.
 * Pure. */
#include "control/core/map.h"

#include "control/core/mem.h"

#include "common/assert.h"

static size_t home(const struct map *map, uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 32 ^ h >> 7) & map->mask;
}

void map_fini(struct map *map)
{
    mem_free(map->slot);
    *map = (struct map){0};
}

static struct map_slot *slot_of(const struct map *map, uint64_t key)
{
    assert(map->slot != NULL && map->count <= map->mask);
    size_t i = home(map, key);
    while (map->slot[i].value != NULL && map->slot[i].key != key) {
        i = (i + 1) & map->mask;
    }
    return &map->slot[i];
}

void *map_find(const struct map *map, uint64_t key)
{
    return map->count == 0 ? NULL : slot_of(map, key)->value;
}

static void resize(struct map *map, size_t slots)
{
    assert((slots & (slots - 1)) == 0 && slots > map->count);
    struct map old = *map;
    map->slot = mem_zalloc(slots * sizeof *map->slot);
    map->mask = slots - 1;
    for (size_t i = 0; old.slot != NULL && i <= old.mask; i++) {
        if (old.slot[i].value != NULL) {
            *slot_of(map, old.slot[i].key) = old.slot[i];
        }
    }
    assert(map->count == old.count && map->mask + 1 == slots);
    mem_free(old.slot);
}

void map_put(struct map *map, uint64_t key, void *value)
{
    assert(value != NULL);
    if (map->slot == NULL) {
        resize(map, 64);
    } else if (map->count * 3 >= map->mask * 2) {
        resize(map, (map->mask + 1) * 2);
    }
    struct map_slot *slot = slot_of(map, key);
    assert(slot->value == NULL);
    *slot = (struct map_slot){.key = key, .value = value};
    map->count++;
    assert(map->count <= map->mask); /* an empty slot ends each search */
}

void *map_remove(struct map *map, uint64_t key)
{
    if (map->count == 0) {
        return NULL;
    }
    struct map_slot *slot = slot_of(map, key);
    void *value = slot->value;
    if (value == NULL) {
        return NULL;
    }
    size_t hole = (size_t)(slot - map->slot);
    assert(slot->key == key && hole <= map->mask);
    for (size_t i = (hole + 1) & map->mask; map->slot[i].value != NULL; i = (i + 1) & map->mask) {
        size_t want = home(map, map->slot[i].key);
        if (((i - want) & map->mask) >= ((i - hole) & map->mask)) {
            map->slot[hole] = map->slot[i];
            hole = i;
        }
    }
    map->slot[hole].value = NULL;
    map->count--;
    assert(map->count < map->mask);
    return value;
}

void *map_next(const struct map *map, size_t *at)
{
    while (map->slot != NULL && *at <= map->mask) {
        void *value = map->slot[(*at)++].value;
        if (value != NULL) {
            assert(map->count > 0);
            return value;
        }
    }
    return NULL;
}
