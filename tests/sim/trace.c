/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/trace.c: see trace.h. The hash is multiply-xorshift over words: fast, and any change
 * of any event changes it. */
#include "tests/sim/trace.h"

#include "common/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct trace trace;

static const char *const names[BREACH_COUNT] = {
    [BREACH_LOST] = "lost",
    [BREACH_BOUNCED] = "bounced",
    [BREACH_FABRICATED] = "fabricated",
    [BREACH_DUPLICATE] = "duplicate",
    [BREACH_REJECTED] = "rejected",
    [BREACH_HELD] = "held",
    [BREACH_OTHER] = "other",
};

void trace_begin(uint64_t seed, bool verbose)
{
    trace = (struct trace){.seed = seed, .verbose = verbose, .hash = seed};
}

static void mix(uint64_t word)
{
    uint64_t h = (trace.hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
    trace.hash = h ^ h >> 32;
}

void trace_event(uint32_t tag, uint64_t a, uint64_t b)
{
    trace.event_count++;
    mix(trace.now_ns);
    mix(tag);
    mix(a);
    mix(b);
}

void trace_bytes(uint32_t tag, const void *data, size_t len)
{
    trace_event(tag, len, 0);
    const uint8_t *at = data;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        mix(word);
    }
    uint64_t last = 0;
    memcpy(&last, at, len);
    mix(last);
}

static void stamp(void)
{
    printf("%12.6f  ", (double)trace.now_ns / 1e9);
}

void trace_say(const char *format, ...)
{
    if (!trace.verbose) {
        return;
    }
    va_list args;
    va_start(args, format);
    stamp();
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

void trace_break(enum breach breach, const char *format, ...)
{
    assert(breach < BREACH_COUNT);
    char text[TRACE_TEXT_SIZE - 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (trace_breach_count() == 0) {
        snprintf(trace.first_breach, sizeof trace.first_breach, "%s at %.6f s: %s", names[breach],
                 (double)trace.now_ns / 1e9, text);
    }
    trace.breaches[breach]++;
    trace_event(0xb0, breach, 0);
    trace_say("BROKEN (%s): %s", names[breach], text);
}

const char *trace_breach_name(enum breach breach)
{
    assert(breach < BREACH_COUNT);
    return names[breach];
}

uint32_t trace_breach_count(void)
{
    uint32_t sum = 0;
    for (int i = 0; i < BREACH_COUNT; i++) {
        sum += trace.breaches[i];
    }
    return sum;
}
