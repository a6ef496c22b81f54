/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/buffers.h: the record buffers of a worker: first they gather a message, then they are
 * written from, then, durable, they serve as a cache that deliveries send from until somebody
 * needs the memory.
 *
 *   FREE ──take──▶ owned ──keep(pos)──▶ CACHED ──find──▶ CACHED + pins
 *     ▲              │ give                │ evicted when a take finds none free and pins are 0
 *     └──────────────┴─────────────────────┘
 *
 * Promise: a durable buffer pins nothing: one unfinished delivery costs its own few buffers only.
 * Trap:    what a found buffer holds is a record as on disk: parse it before trusting it.
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
    struct list link;    /* in its class's free list or cache order; self when owned */
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
    uint32_t owned_count[BUFFER_CLASS_COUNT]; /* owned or pinned: not to be had */
    struct buffer *hash[BUFFERS_HASH_SLOTS];
};

must_check int buffers_init(struct buffers *buffers, uint32_t mib,
                            void *(*memory)(size_t size, size_t align));
void buffers_fini(struct buffers *buffers);
/* A buffer of the class; NULL when taking it would leave fewer than `reserve` to be had. */
must_check struct buffer *buffer_take(struct buffers *buffers, enum buffer_class class,
                                      uint32_t reserve);
/* How many could be taken with no reserve. */
uint32_t buffers_available(const struct buffers *buffers, enum buffer_class class);
/* An owned buffer back, its content forgotten. */
void buffer_give(struct buffers *buffers, struct buffer *buffer);
/* An owned buffer whose record lies at `pos`, durable: from now on it is cache. */
void buffer_keep(struct buffers *buffers, struct buffer *buffer, uint64_t pos);
/* The cached record at `pos`, pinned; NULL when it is not in memory. */
must_check struct buffer *buffer_find(struct buffers *buffers, uint64_t pos);
void buffer_unpin(struct buffers *buffers, struct buffer *buffer);

#endif
