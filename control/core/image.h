/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/image.h: the delivery table as it was at one moment, taken while it changes.
 *
 * image_begin marks the moment. From then on the chunks of the index (some slots each) are encoded
 * one after the other, some in each turn. A chunk that is about to change is encoded first. So the
 * image shows that one moment, whatever happens meanwhile. Nothing is copied but what goes out.
 *
 *   image_begin ─▶ image_step … image_step ─▶ done     pieces go out through image_take
 *                    ▲
 *   life_lift ─▶ image_touch: before a delivery changes
 *
 * Promise: an image loaded, with both logs read on from its positions, is the table.
 * Trap:    every change of a delivery, and every use of a free slot, must be announced by
 *          image_touch.
 */
#ifndef HOLDFAST_CONTROL_CORE_IMAGE_H
#define HOLDFAST_CONTROL_CORE_IMAGE_H

#include "control/core/image_record.h"
#include "control/core/mem.h"

#include <stddef.h>

struct core;

enum {
    IMAGE_CHUNK_SLOTS = 64,
    IMAGE_PIECE_BYTES = MEM_LENT_BYTES - 16,
    IMAGE_SPARE_MAX = 32, /* pieces that wait for their next use */
    IMAGE_KEEP_POSITIONS = 8190,
};

/* Encoded records, as they go to the disk. No record is split over two pieces. */
struct image_piece {
    struct image_piece *next;
    uint64_t len;
    uint8_t bytes[IMAGE_PIECE_BYTES];
};

/* Positions of replies, in pages: a list of millions grows without a copy. */
struct image_keep {
    struct image_keep *next;
    uint32_t count;
    uint64_t pos[IMAGE_KEEP_POSITIONS];
};

struct image {
    bool active;
    uint32_t epoch;
    uint32_t cursor;      /* the next chunk */
    uint32_t chunk_count; /* when it began: later slots are later mail */
    uint32_t *saved;      /* by chunk: the epoch in which it was encoded */
    size_t saved_capacity;
    size_t saved_count;
    uint64_t deliveries;  /* encoded so far */
    uint64_t message_pos; /* the floors of that moment */
    uint64_t state_pos;
    uint64_t keep_below_seq; /* replies of frozen mail below are to be kept elsewhere; 0: none */
    struct image_keep *keep; /* such replies, the newest page first */
    struct image_piece *out; /* the oldest first; the last one is being filled */
    struct image_piece *out_last;
    uint32_t out_count;
    struct image_piece *spare;
    uint32_t spare_count;

    struct { /* loading */
        bool head_seen;
        bool end_seen;
        bool judged; /* every rule in force has judged what is in it */
        uint32_t rules;
        uint64_t deliveries;
    } load;
};

void image_fini(struct image *image);
/* `keep_below_seq`: the state segments below will be given back once this image is durable. */
void image_begin(struct core *core, uint64_t keep_below_seq);
/* Encodes up to `chunks` chunks. true: the image is whole, and its last bytes can be taken. */
bool image_step(struct core *core, uint32_t chunks);
/* That slot is about to change. */
void image_touch(struct core *core, uint32_t slot);
/* The oldest piece, which the caller gives back with image_give. NULL: none is full, or, once the
 * image is whole, none is left. */
struct image_piece *image_take(struct image *image);
void image_give(struct image *image, struct image_piece *piece);
/* The replies to keep, for the caller to free with image_keep_free. NULL: none. */
struct image_keep *image_take_keep(struct image *image);
void image_keep_free(struct image_keep *keep);

#endif
