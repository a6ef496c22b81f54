/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_rcptset.c: sets of recipients. */
#include "common/rcptset.h"

#include <criterion/criterion.h>

Test(rcptset, has_exactly_what_was_added)
{
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) {
        struct rcptset set = {{0}};
        rcptset_add(&set, i);
        for (unsigned j = 0; j < LIMIT_RCPTS; j++) {
            cr_assert_eq(rcptset_has(&set, j), i == j);
        }
        cr_assert_eq(rcptset_count(&set), 1);
        rcptset_remove(&set, i);
        cr_assert(rcptset_is_empty(&set));
    }
}

Test(rcptset, first_is_a_run_from_zero)
{
    for (unsigned count = 0; count <= LIMIT_RCPTS; count++) {
        struct rcptset set = rcptset_first(count);
        cr_assert_eq(rcptset_count(&set), count);
        cr_assert(count == 0 || rcptset_has(&set, count - 1));
        cr_assert(count == LIMIT_RCPTS || !rcptset_has(&set, count));
    }
}

Test(rcptset, union_subtract_subset)
{
    struct rcptset all = rcptset_first(LIMIT_RCPTS);
    struct rcptset some = {{0}};
    struct rcptset none = {{0}};
    rcptset_add(&some, 0);
    rcptset_add(&some, 63);
    rcptset_add(&some, 64);
    rcptset_add(&some, LIMIT_RCPTS - 1);
    cr_assert(rcptset_is_subset(&some, &all) && !rcptset_is_subset(&all, &some));
    cr_assert(rcptset_is_subset(&none, &none) && rcptset_is_subset(&none, &some));
    struct rcptset rest = all;
    rcptset_subtract(&rest, &some);
    cr_assert_eq(rcptset_count(&rest), LIMIT_RCPTS - 4);
    cr_assert(!rcptset_has(&rest, 64) && rcptset_has(&rest, 65));
    rcptset_union(&rest, &some);
    cr_assert(rcptset_is_subset(&all, &rest));
}
