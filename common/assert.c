/* SPDX-License-Identifier: BSD-3-Clause */
/* common/assert.c: what happens when an assertion fails: say where, abort. */
#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "holdfast: bug: %s:%d: %s: assertion failed: %s\n", file, line, func, expr);
    abort();
}
