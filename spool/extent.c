/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/extent.c: see extent.h. */
#include "spool/extent.h"

#include "common/id.h"
#include "common/limits/message.h"
#include "common/limits/rcpts.h"
#include "common/limits/spool.h"
#include "spool/format.h"
#include "spool/spool.h"

_Static_assert(SPOOL_EXTENT_SEGMENTS >= LIMIT_SEGMENTS, "a message may lie in all there are");
_Static_assert((uint64_t)SPOOL_EXTENT_SEGMENTS *FORMAT_SEGMENT_BYTES_MIN >= LIMIT_MESSAGE_BYTES,
               "the largest message fits, in the smallest segments");

bool spool_pos_valid(uint64_t pos)
{
    uint32_t offset = spool_pos_offset(pos);
    return spool_pos_seq(pos) > 0 && offset >= FORMAT_SEGMENT_START &&
           offset < FORMAT_SEGMENT_BYTES_MAX && offset % SPOOL_BLOCK_BYTES == 0;
}

bool spool_extent_valid(uint64_t first_pos, uint64_t last_pos)
{
    return spool_pos_valid(first_pos) && spool_pos_valid(last_pos) && first_pos <= last_pos &&
           spool_pos_seq(last_pos) - spool_pos_seq(first_pos) < SPOOL_EXTENT_SEGMENTS;
}

bool spool_extent_may_reach(uint64_t first_pos, uint64_t seq)
{
    return first_pos == 0 || seq + 1 < spool_pos_seq(first_pos) + SPOOL_EXTENT_SEGMENTS;
}

bool spool_commit_valid(uint64_t id, uint64_t first_pos, uint64_t commit_pos, uint32_t rcpt_count)
{
    return id_message(id) != 0 && id_index(id) < LIMIT_ROUTES_PER_MESSAGE && rcpt_count > 0 &&
           rcpt_count <= LIMIT_RCPTS && spool_extent_valid(first_pos, commit_pos);
}
