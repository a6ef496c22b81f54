/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_extent.c: which places one message can have, at each of the bounds. */
#include "spool/extent.h"

#include "common/id.h"
#include "common/limits/message.h"
#include "common/limits/rcpts.h"
#include "spool/format.h"
#include "spool/spool.h"

#include <criterion/criterion.h>

static uint64_t at(uint64_t seq, uint32_t offset)
{
    return seq << 32 | offset;
}

Test(extent, a_record_begins_at_a_block_of_a_segment)
{
    uint32_t start = FORMAT_SEGMENT_START;
    cr_assert(spool_pos_valid(at(1, start)));
    cr_assert(spool_pos_valid(at(UINT32_MAX, start)));
    cr_assert_not(spool_pos_valid(0));
    cr_assert_not(spool_pos_valid(at(0, start)), "no segment has 0");
    cr_assert_not(spool_pos_valid(at(1, 0)), "in the header");
    cr_assert_not(spool_pos_valid(at(1, start - SPOOL_BLOCK_BYTES)));
    cr_assert_not(spool_pos_valid(at(1, start + 1)));
    cr_assert_not(spool_pos_valid(at(1, start + SPOOL_BLOCK_BYTES - 1)));
    cr_assert(spool_pos_valid(at(1, FORMAT_SEGMENT_BYTES_MAX - SPOOL_BLOCK_BYTES)));
    cr_assert_not(spool_pos_valid(at(1, FORMAT_SEGMENT_BYTES_MAX)));
    cr_assert_not(spool_pos_valid(UINT64_MAX));
}

Test(extent, the_last_record_is_not_before_the_first_nor_too_far_behind)
{
    uint32_t o = FORMAT_SEGMENT_START;
    uint64_t most = SPOOL_EXTENT_SEGMENTS - 1;
    cr_assert(spool_extent_valid(at(5, o), at(5, o)));
    cr_assert(spool_extent_valid(at(5, o), at(6, o)));
    cr_assert_not(spool_extent_valid(at(5, o + SPOOL_BLOCK_BYTES), at(5, o)));
    cr_assert_not(spool_extent_valid(at(6, o), at(5, o)));
    cr_assert(spool_extent_valid(at(5, o), at(5 + most, o)));
    cr_assert_not(spool_extent_valid(at(5, o), at(6 + most, o)));
    cr_assert_not(spool_extent_valid(at(1, o), at(UINT32_MAX, o)));
    cr_assert_not(spool_extent_valid(at(1, o), at(UINT32_MAX / 2, o)), "4 GiB of counts");
    cr_assert_not(spool_extent_valid(0, at(5, o)));
    cr_assert_not(spool_extent_valid(at(5, o), at(5, o + 1)));
}

/* The writer lets a message grow exactly as far as readers accept it. */
Test(extent, a_message_grows_no_further_than_readers_go)
{
    uint32_t o = FORMAT_SEGMENT_START;
    uint64_t seq = 5;
    cr_assert(spool_extent_may_reach(0, 4711), "it has no record yet");
    while (spool_extent_may_reach(at(5, o), seq)) {
        seq++;
    }
    cr_assert_eq(seq, 5 + SPOOL_EXTENT_SEGMENTS - 1);
    cr_assert(spool_extent_valid(at(5, o), at(seq, o)), "the last one asked for, or the next");
    cr_assert_not(spool_extent_valid(at(5, o), at(seq + 1, o)));
}

Test(extent, a_commit_has_an_id_a_route_and_recipients)
{
    uint64_t pos = at(5, FORMAT_SEGMENT_START);
    uint64_t id = id_make(1, 1, 0);
    cr_assert(spool_commit_valid(id, pos, pos, 1));
    cr_assert(spool_commit_valid(id, pos, pos, LIMIT_RCPTS));
    cr_assert_not(spool_commit_valid(id, pos, pos, 0));
    cr_assert_not(spool_commit_valid(id, pos, pos, LIMIT_RCPTS + 1));
    cr_assert_not(spool_commit_valid(id, pos, pos, UINT16_MAX));
    cr_assert_not(spool_commit_valid(0, pos, pos, 1));
    cr_assert_not(spool_commit_valid(3, pos, pos, 1), "an index of no message");
    cr_assert(spool_commit_valid(id | (LIMIT_ROUTES_PER_MESSAGE - 1), pos, pos, 1));
    cr_assert_not(spool_commit_valid(id | LIMIT_ROUTES_PER_MESSAGE, pos, pos, 1));
    cr_assert_not(spool_commit_valid(id, pos, pos - SPOOL_BLOCK_BYTES, 1));
    cr_assert_not(spool_commit_valid(id, UINT64_MAX, UINT64_MAX, 1));
}
