/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/checkpoint_file.h: what writing and reading a checkpoint share: the list of those that
 * exist, and the walk over the blocks of one.
 *
 * Promise: a walk hands out only blocks that verify, in order, and reaches its end only when the
 *          whole file is one checkpoint. */
#ifndef HOLDFAST_SPOOL_CHECKPOINT_FILE_H
#define HOLDFAST_SPOOL_CHECKPOINT_FILE_H

#include "spool/format.h"

/* Two are usual. There are more when removals failed. */
enum { CHECKPOINT_LISTED_MAX = 16 };

/* The newest numbers, descending. */
struct checkpoint_listing {
    uint64_t number[CHECKPOINT_LISTED_MAX];
    uint32_t count;
};

/* 0 or -errno. */
must_check int checkpoint_list(struct spool_io *io, struct checkpoint_listing *listing_out);

struct checkpoint_walk {
    struct spool_io *io;
    uint8_t *buffer; /* FORMAT_CHECKPOINT_PAYLOAD_MAX, the caller's */
    int file;
    uint64_t number;
    uint64_t offset;
    uint64_t block_count;
    uint64_t payload_bytes;
    uint8_t stamp[FORMAT_CHECKPOINT_STAMP_BYTES];
    bool stamped;
};

/* 0 or -errno. */
must_check int checkpoint_walk_open(struct spool_io *io, uint64_t number, uint8_t *buffer,
                                    struct checkpoint_walk *walk_out);
/* 1: a payload, in the buffer; 0: the end, and all of it verified; -EBADMSG, -errno. */
must_check int checkpoint_walk_next(struct checkpoint_walk *walk, struct bytes *payload_out,
                                    struct format_checkpoint_end *end_out);
/* Goes back to the first block. It has to be of the same checkpoint as before. */
void checkpoint_walk_rewind(struct checkpoint_walk *walk);
void checkpoint_walk_close(struct checkpoint_walk *walk);

/* Walks over the whole file. 0, -EBADMSG, -errno. */
must_check int checkpoint_verify(struct checkpoint_walk *walk,
                                 struct format_checkpoint_end *end_out);

#endif
