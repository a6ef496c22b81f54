/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/extent.h: what can be the place of one message in the log. For all who read it from a disk,
 * a ring or a checkpoint, and for the writer, which keeps to it. Pure.
 *
 * Promise: what passes here may be counted segment by segment, and asserted about. What does not
 *          pass is no message that this relay ever answered 250.
 */
#ifndef HOLDFAST_SPOOL_EXTENT_H
#define HOLDFAST_SPOOL_EXTENT_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

/* From the segment of the first record to that of the last. There are at most LIMIT_SEGMENTS files;
 * a transaction during which the log went around as often as that is refused by the writer. */
#define SPOOL_EXTENT_SEGMENTS 65536u

/* A record can begin there: a block's border behind a segment's header. */
must_check bool spool_pos_valid(uint64_t pos);
/* FIRST and LAST of one message can lie there. */
must_check bool spool_extent_valid(uint64_t first_pos, uint64_t last_pos);
/* The next record of a message that began at `first_pos` may lie in segment `seq` or the next.
 * first_pos 0: it has no record yet. */
must_check bool spool_extent_may_reach(uint64_t first_pos, uint64_t seq);
/* A COMMIT of delivery `id` can be: its message's extent, its route's index, its recipients. */
must_check bool spool_commit_valid(uint64_t id, uint64_t first_pos, uint64_t commit_pos,
                                   uint32_t rcpt_count);

#endif
