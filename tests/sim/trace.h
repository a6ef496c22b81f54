/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/trace.h: what happened: a running hash over all events, a story for people, and the
 * list of broken promises.
 *
 * Promise: two runs of one seed give the same hash, or the simulator itself is broken.
 * Trap:    one run in one process: this is the process's one trace.
 */
#ifndef HOLDFAST_TESTS_SIM_TRACE_H
#define HOLDFAST_TESTS_SIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum breach {
    BREACH_LOST,       /* answered 250 and not delivered after everything was healed */
    BREACH_BOUNCED,    /* a message with a null sender that no client sent */
    BREACH_FABRICATED, /* delivered, but not as it was sent: altered, or to somebody else */
    BREACH_DUPLICATE,  /* delivered twice with no crash and no lost reply to excuse it */
    BREACH_REJECTED,   /* a good client was answered 5xx */
    BREACH_HELD,       /* delivered while an acknowledged hold was on it */
    BREACH_OTHER,      /* a process failed to start, a scan found damage, no progress, a leak */
    BREACH_COUNT,
};

enum { TRACE_TEXT_SIZE = 400 };

struct trace {
    uint64_t now_ns;
    uint64_t hash;
    uint64_t event_count;
    uint64_t seed;
    bool verbose;
    uint32_t breaches[BREACH_COUNT];
    char first_breach[TRACE_TEXT_SIZE];
};

extern struct trace trace;

void trace_begin(uint64_t seed, bool verbose);
/* Mixes an event into the hash: the time, a tag, two values. */
void trace_event(uint32_t tag, uint64_t a, uint64_t b);
void trace_bytes(uint32_t tag, const void *data, size_t len);
/* Prints a line of the story, when verbose. It is not hashed. */
__attribute__((format(printf, 1, 2))) void trace_say(const char *format, ...);
__attribute__((format(printf, 2, 3))) void trace_break(enum breach breach, const char *format, ...);
const char *trace_breach_name(enum breach breach);
uint32_t trace_breach_count(void);

#endif
