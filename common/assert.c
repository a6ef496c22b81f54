/* SPDX-License-Identifier: BSD-3-Clause */
/* common/assert.c: what happens when an assertion fails: say where, run the hook, abort. */
#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

static void (*panic_hook)(void);

void assert_set_hook(void (*hook)(void))
{
    panic_hook = hook;
}

_Noreturn void assert_failed(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "holdfast: bug: %s:%d: %s: assertion failed: %s\n", file, line, func, expr);
    void (*hook)(void) = panic_hook;
    panic_hook = NULL; /* a hook that fails an assertion itself must not come back here */
    if (hook != NULL) {
        hook();
    }
    abort();
}
