/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/buffers.c: record buffers and the cache they turn into. See buffers.h. */
#include "dataplane/buffers.h"

#include "common/limits/chunk.h"

#include <errno.h>

static const uint32_t class_bytes[BUFFER_CLASS_COUNT] = {
    [BUFFER_SMALL] = LIMIT_CHUNK_SMALL_BYTES,
    [BUFFER_LARGE] = LIMIT_CHUNK_LARGE_BYTES,
};

/* Most messages are small, but most bytes are in large messages: a third of the memory is for the
 * small class. */
static uint32_t class_count(enum buffer_class class, uint32_t mib)
{
    uint64_t bytes = (uint64_t)mib << 20;
    uint64_t part = class == BUFFER_SMALL ? bytes / 3 : bytes - bytes / 3;
    return (uint32_t)(part / class_bytes[class]);
}

int buffers_init(struct buffers *b, uint32_t mib, void *(*memory)(size_t size, size_t align))
{
    *b = (struct buffers){0};
    for (int c = 0; c < BUFFER_CLASS_COUNT; c++) {
        list_init(&b->free[c]);
        list_init(&b->cached[c]);
    }
    for (int c = 0; c < BUFFER_CLASS_COUNT; c++) {
        uint32_t count = class_count((enum buffer_class)c, mib);
        if (pool_init(&b->memory[c], class_bytes[c], count, 4096, memory) < 0 ||
            pool_init(&b->descriptors[c], sizeof(struct buffer), count, 64, NULL) < 0) {
            buffers_fini(b);
            return -ENOMEM;
        }
        for (uint32_t i = 0; i < count; i++) {
            struct buffer *buffer = pool_at(&b->descriptors[c], i);
            buffer->data = pool_at(&b->memory[c], i);
            buffer->size = class_bytes[c];
            buffer->class = (enum buffer_class)c;
            list_append(&b->free[c], &buffer->link);
        }
    }
    return 0;
}

void buffers_fini(struct buffers *b)
{
    for (int c = 0; c < BUFFER_CLASS_COUNT; c++) {
        pool_fini(&b->memory[c]);
        pool_fini(&b->descriptors[c]);
    }
}

static struct buffer **hash_slot(struct buffers *b, uint64_t pos)
{
    /* Positions are numbers of our own, so a multiplicative hash is enough. */
    return &b->hash[pos * UINT64_C(0x9e3779b97f4a7c15) >> 50];
}
_Static_assert(BUFFERS_HASH_SLOTS == 1 << 14, "hash_slot keeps 14 bits");

static void forget(struct buffers *b, struct buffer *buffer)
{
    struct buffer **at = hash_slot(b, buffer->pos);
    while (*at != buffer) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = buffer->next;
    buffer->next = NULL;
    buffer->pos = 0;
}

struct buffer *buffer_take(struct buffers *b, enum buffer_class class, uint32_t reserve)
{
    if (b->owned_count[class] + reserve >= b->memory[class].count) {
        return NULL;
    }
    struct list *from = list_is_empty(&b->free[class]) ? &b->cached[class] : &b->free[class];
    assert(!list_is_empty(from)); /* whatever is not owned or pinned is in one of the two lists */
    struct buffer *buffer = list_entry(from->next, struct buffer, link);
    list_remove(&buffer->link);
    if (buffer->pos != 0) {
        forget(b, buffer);
    }
    b->owned_count[class]++;
    return buffer;
}

uint32_t buffers_available(const struct buffers *b, enum buffer_class class)
{
    return b->memory[class].count - b->owned_count[class];
}

void buffer_give(struct buffers *b, struct buffer *buffer)
{
    assert(buffer->pos == 0 && buffer->pin_count == 0);
    assert(b->owned_count[buffer->class] > 0);
    b->owned_count[buffer->class]--;
    list_append(&b->free[buffer->class], &buffer->link);
}

void buffer_keep(struct buffers *b, struct buffer *buffer, uint64_t pos)
{
    assert(buffer->pos == 0 && pos != 0);
    struct buffer *twin = buffer_find(b, pos);
    if (twin != NULL) { /* two reads of the same record */
        buffer_unpin(b, twin);
        buffer_give(b, buffer);
        return;
    }
    struct buffer **at = hash_slot(b, pos);
    buffer->pos = pos;
    buffer->next = *at;
    *at = buffer;
    b->owned_count[buffer->class]--;
    list_append(&b->cached[buffer->class], &buffer->link);
}

struct buffer *buffer_find(struct buffers *b, uint64_t pos)
{
    for (struct buffer *buffer = *hash_slot(b, pos); buffer != NULL; buffer = buffer->next) {
        if (buffer->pos == pos) {
            if (buffer->pin_count++ == 0) {
                list_remove(&buffer->link);
                b->owned_count[buffer->class]++;
            }
            return buffer;
        }
    }
    return NULL;
}

void buffer_unpin(struct buffers *b, struct buffer *buffer)
{
    assert(buffer->pin_count > 0 && buffer->pos != 0);
    if (--buffer->pin_count == 0) {
        b->owned_count[buffer->class]--;
        list_append(&b->cached[buffer->class], &buffer->link);
    }
}
