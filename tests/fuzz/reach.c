/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/reach.c: see reach.h. */
#include "tests/fuzz/reach.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

size_t reach_print(void)
{
    size_t missing = 0;
    for (size_t i = 0; i < reach_table_count; i++) {
        const struct reach_mark *mark = &reach_table[i];
        (void)fprintf(stderr, "reached %-24s %llu\n", mark->name, (unsigned long long)mark->count);
        missing += mark->count == 0;
    }
    return missing;
}

static void at_exit(void)
{
    (void)reach_print();
}

/* libFuzzer calls it once; a replay does not. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return atexit(at_exit);
}
