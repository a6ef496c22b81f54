/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/log.c: lines for the journal, rate-limited.
 *
 * Promise: a storm of events costs a bounded number of lines, and a line says how many were left
 *          out.
 */
#include "control/shell/shell.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum {
    LINES_BURST = 100,     /* a start, or many breakers at once, is logged whole */
    LINES_PER_SECOND = 20, /* what a person can still follow */
};

uint64_t shell_now_ns(void)
{
    struct timespec t;
    int r = clock_gettime(CLOCK_MONOTONIC, &t);
    assert(r == 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct control_time shell_time(void)
{
    struct timespec t;
    int r = clock_gettime(CLOCK_REALTIME, &t);
    assert(r == 0);
    return (struct control_time){
        .now_ns = shell_now_ns(),
        .wall_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000,
    };
}

static bool may_speak(void)
{
    static uint64_t tokens = LINES_BURST;
    static uint64_t filled_s;
    static uint64_t swallowed;
    uint64_t now_s = shell_now_ns() / 1000000000;
    if (now_s > filled_s) {
        uint64_t more = (now_s - filled_s) * LINES_PER_SECOND;
        tokens = tokens + more < LINES_BURST ? tokens + more : LINES_BURST;
        filled_s = now_s;
    }
    if (tokens == 0) {
        swallowed++;
        return false;
    }
    tokens--;
    if (swallowed > 0) {
        fprintf(stderr, "<5>%llu lines left out\n", (unsigned long long)swallowed);
        swallowed = 0;
    }
    return true;
}

void log_line(int level, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (may_speak()) {
        fprintf(stderr, "<%d>%s\n", level, line);
    }
}

void log_event(void *ctx, int level, const char *line)
{
    (void)ctx;
    log_line(level, "%s", line);
}
