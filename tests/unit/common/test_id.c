/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_id.c: ids as text and back. */
#include "common/id.h"

#include <criterion/criterion.h>
#include <string.h>

Test(id, parts_come_back)
{
    uint64_t id = id_make(UINT32_MAX, (UINT64_C(1) << ID_COUNTER_BITS) - 1, 15);
    cr_assert_eq(id, UINT64_MAX);
    id = id_make(3, 77, 5);
    cr_assert_eq(id_index(id), 5);
    cr_assert_eq(id_message(id), id_make(3, 77, 0));
    cr_assert_eq(id_start(id), 3);
    cr_assert_eq(id_start(UINT64_MAX), UINT32_MAX);
}

/* Later starts and counters are larger numbers: ids sort by age. */
Test(id, sort_by_age)
{
    cr_assert_lt(id_make(1, 9, 15), id_make(1, 10, 0));
    cr_assert_lt(id_make(1, (UINT64_C(1) << ID_COUNTER_BITS) - 1, 15), id_make(2, 0, 0));
}

/* When a run has used its counter up, it goes on with the next start number, if that is durable. */
Test(id, source_carries_into_the_next_start_and_gives_nothing_twice)
{
    const uint64_t end = UINT64_C(1) << ID_COUNTER_BITS;
    struct id_source source = {.start = 7, .counter = end - 3};
    cr_assert_eq(id_source_next(&source, 7), id_make(7, end - 2, 0));
    cr_assert_eq(id_source_next(&source, 7), id_make(7, end - 1, 0));
    cr_assert_eq(id_source_next(&source, 7), 0);
    cr_assert_eq(id_source_next(&source, 7), 0, "it stays so");
    cr_assert_eq(id_source_next(&source, 8), id_make(8, 1, 0));
    cr_assert_eq(id_source_next(&source, 8), id_make(8, 2, 0));
    source = (struct id_source){.start = UINT32_MAX, .counter = end - 2};
    cr_assert_eq(id_source_next(&source, UINT32_MAX), UINT64_MAX - 15);
    cr_assert_eq(id_source_next(&source, UINT32_MAX), 0, "there is nothing behind");
}

/* The first id of all is not 0, which names no message. */
Test(id, source_begins_with_one)
{
    struct id_source source = {.start = 1};
    cr_assert_eq(id_source_next(&source, 2), id_make(1, 1, 0));
}

Test(id, text_round_trips)
{
    char text[ID_TEXT_SIZE];
    uint64_t back;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (uint64_t low = 0; low < 3; low++) {
            uint64_t id = (UINT64_C(1) << shift) + low;
            cr_assert(id_parse(id_format(id, text), &back));
            cr_assert_eq(back, id);
        }
    }
    cr_assert_str_eq(id_format(0, text), "0");
    cr_assert_str_eq(id_format(UINT64_MAX, text), "fzzzzzzzzzzzz");
    cr_assert(id_parse("FZZZZZZZZZZZZ", &back) && back == UINT64_MAX);
}

/* No I, L, O, U; nothing that overflows; nothing empty. */
Test(id, refuses_what_format_does_not_write)
{
    static const char *const bad[] = {
        "", "i", "l", "o", "u", " 1", "1 ", "-1", "g000000000000", "00000000000000", "a\x80"};
    uint64_t id;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert(!id_parse(bad[i], &id), "%s", bad[i]);
    }
}
