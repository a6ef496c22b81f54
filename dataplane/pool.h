/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/pool.h: objects of one size from one block of memory, taken and given in O(1). The
 * object that was given last is taken first, because its cache lines are warm. For one thread. */
#ifndef HOLDFAST_DATAPLANE_POOL_H
#define HOLDFAST_DATAPLANE_POOL_H

#include "common/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool {
    uint8_t *memory;
    uint32_t *free_index; /* stack */
    uint32_t free_count;
    uint32_t count;
    size_t object_bytes;
    bool owned;
};

/* `memory`: as worker_settings.memory; NULL: anonymous pages. Objects are zeroed at first, aligned
 * to `align`. */
must_check int pool_init(struct pool *pool, size_t object_bytes, uint32_t count, size_t align,
                         void *(*memory)(size_t size, size_t align));
void pool_fini(struct pool *pool);
/* NULL when empty. The object has the content that its last user left. */
must_check void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *object);
/* The object with this index, taken or not: to walk over all objects. */
void *pool_at(const struct pool *pool, uint32_t index);
uint32_t pool_index(const struct pool *pool, const void *object);

#endif
