/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_id.c: ids as text and back. */
#include "common/id.h"

#include <criterion/criterion.h>
#include <string.h>

Test(id, parts_come_back)
{
    uint64_t id = id_make((1u << ID_START_BITS) - 1, (UINT64_C(1) << ID_COUNTER_BITS) - 1, 15);
    cr_assert_eq(id, UINT64_MAX);
    id = id_make(3, 77, 5);
    cr_assert_eq(id_index(id), 5);
    cr_assert_eq(id_message(id), id_make(3, 77, 0));
}

/* Later starts and counters are larger numbers: ids sort by age. */
Test(id, sort_by_age)
{
    cr_assert_lt(id_make(1, 9, 15), id_make(1, 10, 0));
    cr_assert_lt(id_make(1, (UINT64_C(1) << ID_COUNTER_BITS) - 1, 15), id_make(2, 0, 0));
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
