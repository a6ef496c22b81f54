/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/reach.h: what a fuzz target reached, by name.
 *
 *     #define REACH_MARKS(MARK) MARK(accepted), MARK(refused)
 *     REACH_TABLE
 *     ...
 *     REACH(accepted);
 *
 * Promise: each mark is counted. The sums are printed when the target ends, under libFuzzer and
 *          after a replay, and a replay fails where its corpus leaves a mark at zero.
 * Trap:    the list is a minimum: it must hold what a target was written for, and can hold only
 *          what the corpus reaches. */
#ifndef HOLDFAST_TESTS_FUZZ_REACH_H
#define HOLDFAST_TESTS_FUZZ_REACH_H

#include <stddef.h>
#include <stdint.h>

struct reach_mark {
    const char *name;
    uint64_t count;
};

/* Each target has one table. */
extern struct reach_mark reach_table[];
extern const size_t reach_table_count;

#define REACH_ENUM_ENTRY(name) REACH_##name
#define REACH_TABLE_ENTRY(name)                                                                    \
    {                                                                                              \
#name, 0                                                                                   \
    }
#define REACH_TABLE                                                                                \
    enum { REACH_MARKS(REACH_ENUM_ENTRY), REACH_COUNT };                                           \
    struct reach_mark reach_table[] = {REACH_MARKS(REACH_TABLE_ENTRY)};                            \
    const size_t reach_table_count = REACH_COUNT;

#define REACH(name)          ((void)reach_table[REACH_##name].count++)
#define REACH_IF(cond, name) ((void)((cond) ? reach_table[REACH_##name].count++ : 0))

/* Prints each mark and its count. Returns how many are zero. */
size_t reach_print(void);

#endif
