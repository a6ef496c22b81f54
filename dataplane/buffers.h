/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/buffers.h: the record buffers of a worker. First a buffer gathers a message, then the
 * writer writes from it. When its record is durable, the buffer is a cache, from which deliveries
 * send until somebody needs the memory.
 *
 *   FREE ──take──▶ owned ──keep(pos)──▶ CACHED ──find──▶ CACHED + pins
 *     ▲              │ give                │ evicted when a take finds none free and pins are 0
 *     └──────────────┴─────────────────────┘
 *
 * Promise: the cache keeps no memory from new mail: an unfinished delivery pins only its own few
 *          buffers.
 * Trap:    a found buffer holds a record as it is on disk: parse it before you trust it.
 */
#ifndef HOLDFAST_DATAPLANE_BUFFERS_H
#define HOLDFAST_DATAPLANE_BUFFERS_H

#include "common/list.h"
#include "dataplane/pool.h"

#include <stdint.h>

enum buffer_class {
    BUFFER_SMALL, /* LIMIT_CHUNK_SMALL_BYTES */
    BUFFER_LARGE, /* LIMIT_CHUNK_LARGE_BYTES */
    BUFFER_CLASS_COUNT,
};

struct buffer {
    struct list link;    /* in its class's free list or cache order; linked to itself when owned */
    struct buffer *next; /* hash chain */
    uint8_t *data;
    uint32_t size;
    enum buffer_class class;
    uint32_t pin_count;
    uint64_t pos; /* cached: the record's position; 0 otherwise */
};

enum { BUFFERS_HASH_SLOTS = 16384 };

struct buffers {
    struct pool memory[BUFFER_CLASS_COUNT];
    struct pool descriptors[BUFFER_CLASS_COUNT];
    struct list free[BUFFER_CLASS_COUNT];
    struct list cached[BUFFER_CLASS_COUNT];   /* oldest first */
    uint32_t owned_count[BUFFER_CLASS_COUNT]; /* owned or pinned: cannot be taken */
    struct buffer *hash[BUFFERS_HASH_SLOTS];
};

must_check int buffers_init(struct buffers *buffers, uint32_t mib,
                            void *(*memory)(size_t size, size_t align));
void buffers_fini(struct buffers *buffers);
/* Takes a buffer of the class; NULL when fewer than `reserve` could be taken after that. */
must_check struct buffer *buffer_take(struct buffers *buffers, enum buffer_class class,
                                      uint32_t reserve);
/* How many buffers can be taken when `reserve` is 0. */
uint32_t buffers_available(const struct buffers *buffers, enum buffer_class class);
/* Gives an owned buffer back; its content is forgotten. */
void buffer_give(struct buffers *buffers, struct buffer *buffer);
/* An owned buffer whose record is durable at `pos` becomes part of the cache. */
void buffer_keep(struct buffers *buffers, struct buffer *buffer, uint64_t pos);
/* Finds the cached record at `pos` and pins it; NULL when it is not in memory. */
must_check struct buffer *buffer_find(struct buffers *buffers, uint64_t pos);
void buffer_unpin(struct buffers *buffers, struct buffer *buffer);

#endif
