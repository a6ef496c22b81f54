/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/pool.c: objects of one size. See pool.h. */
#include "dataplane/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int pool_init(struct pool *pool, size_t object_bytes, uint32_t count, size_t align,
              void *(*memory)(size_t size, size_t align))
{
    assert(count > 0 && align > 0 && align <= 4096 && (align & (align - 1)) == 0);
    size_t bytes = (object_bytes + align - 1) & ~(align - 1);
    *pool = (struct pool){.count = count, .object_bytes = bytes, .owned = memory == NULL};
    pool->free_index = malloc(count * sizeof *pool->free_index);
    if (memory != NULL) {
        pool->memory = memory(bytes * count, align);
    } else {
        /* Anonymous pages are zeroed, page-aligned, and take no memory until they are touched. */
        void *pages =
            mmap(NULL, bytes * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pool->memory = pages == MAP_FAILED ? NULL : pages;
    }
    if (pool->free_index == NULL || pool->memory == NULL) {
        pool_fini(pool);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        pool->free_index[i] = count - 1 - i;
    }
    pool->free_count = count;
    return 0;
}

void pool_fini(struct pool *pool)
{
    free(pool->free_index);
    if (pool->owned && pool->memory != NULL) {
        munmap(pool->memory, pool->object_bytes * pool->count);
    }
    *pool = (struct pool){0};
}

void *pool_take(struct pool *pool)
{
    if (pool->free_count == 0) {
        return NULL;
    }
    return pool_at(pool, pool->free_index[--pool->free_count]);
}

void pool_give(struct pool *pool, void *object)
{
    assert(pool->free_count < pool->count);
    pool->free_index[pool->free_count++] = pool_index(pool, object);
}

void *pool_at(const struct pool *pool, uint32_t index)
{
    assert(index < pool->count);
    return pool->memory + (size_t)index * pool->object_bytes;
}

uint32_t pool_index(const struct pool *pool, const void *object)
{
    size_t offset = (size_t)((const uint8_t *)object - pool->memory);
    assert(offset % pool->object_bytes == 0 && offset / pool->object_bytes < pool->count);
    return (uint32_t)(offset / pool->object_bytes);
}
