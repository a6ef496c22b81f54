/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/criterion/criterion.h: stands in for Criterion where a unit test's harness is built
 * for a fuzz target, in which no test of Criterion's runs: its checks are assertions here. */
#ifndef HOLDFAST_TESTS_FUZZ_CRITERION_CRITERION_H
#define HOLDFAST_TESTS_FUZZ_CRITERION_CRITERION_H

#include "common/assert.h"

#include <string.h>

#define cr_assert(cond, ...)            assert(cond)
#define cr_assert_not(cond, ...)        assert(!(cond))
#define cr_assert_not_null(p, ...)      assert((p) != NULL)
#define cr_assert_eq(left, right, ...)  assert((left) == (right))
#define cr_assert_neq(left, right, ...) assert((left) != (right))
#define cr_assert_lt(left, right, ...)  assert((left) < (right))
#define cr_assert_leq(left, right, ...) assert((left) <= (right))
#define cr_assert_fail(...)             assert(!"the harness gave up")

#endif
