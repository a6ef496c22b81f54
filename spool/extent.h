/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/extent.h: which places in the log one message can have. Everything that reads such a place
 * from a disk, a ring or a checkpoint checks it here, and the writer makes no others. Pure.
 *
 * Promise: code may walk over the segments of an extent that passes here, and may assert about it.
 *          One that does not pass belongs to no message that this relay answered 250.
 */
#ifndef HOLDFAST_SPOOL_EXTENT_H
#define HOLDFAST_SPOOL_EXTENT_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

/* The segments from that of the first record to that of the last. There are at most LIMIT_SEGMENTS
 * files. When the log reuses all of them during one transaction, the writer refuses the
 * transaction. */
#define SPOOL_EXTENT_SEGMENTS 65536u

/* True when a record can begin there: at a block's border, behind a segment's header. */
must_check bool spool_pos_valid(uint64_t pos);
/* True when FIRST and LAST of one message can lie there. */
must_check bool spool_extent_valid(uint64_t first_pos, uint64_t last_pos);
/* True when the next record of a message that began at `first_pos` may lie in segment `seq` or the
 * one after it. first_pos 0: the message has no record yet. */
must_check bool spool_extent_may_reach(uint64_t first_pos, uint64_t seq);
/* True when a COMMIT of delivery `id` is possible: its message's extent, its route's index, its
 * recipients. */
must_check bool spool_commit_valid(uint64_t id, uint64_t first_pos, uint64_t commit_pos,
                                   uint32_t rcpt_count);

#endif
