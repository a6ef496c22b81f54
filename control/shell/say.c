/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/say.c: lines for the operator's log, from any part of control's loop. */
#include "control/shell/parts.h"

#include <stdarg.h>
#include <stdio.h>

void control_say(struct control *c, int level, const char *format, ...)
{
    char line[512];
    if (c->event == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->event(c->event_ctx, level, line);
}

void control_on_event(struct control *c, control_event_fn fn, void *ctx)
{
    c->event = fn;
    c->event_ctx = ctx;
}
