/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/map.h: a hash map from 64-bit keys to pointers.
 *
 * Promise: find, put and remove in constant time on average; no tombstones, so a map that has seen
 *          a hundred million ids is as fast as a new one.
 * Trap:    keys are ids that our own dataplane counts up, not chosen by strangers: the hash is a
 *          multiplication, not SipHash. A stored pointer is never NULL. Removing while iterating
 *          is not allowed.
 */
#ifndef HOLDFAST_CONTROL_CORE_MAP_H
#define HOLDFAST_CONTROL_CORE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    void *value; /* NULL: empty */
};

struct map {
    struct map_slot *slot;
    size_t count;
    size_t mask; /* slots - 1; slots is a power of two, 0 slots before the first put */
};

void map_fini(struct map *map);
void *map_find(const struct map *map, uint64_t key);
/* The key must not be there. */
void map_put(struct map *map, uint64_t key, void *value);
/* Returns what was there, NULL when nothing was. */
void *map_remove(struct map *map, uint64_t key);
/* Iteration: starts with *at = 0; NULL at the end. */
void *map_next(const struct map *map, size_t *at);

#endif
