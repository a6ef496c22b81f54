/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/operators.h: operators at work, each with one request at a time: one lists, one
 * counts, one holds and releases, and again from the first.
 *
 * Promise: operators_turn asks and takes answers as the admin socket would in one turn of the loop.
 *          An operator who was told to stop leaves no rule behind. */
#ifndef HOLDFAST_BENCH_CONTROL_OPERATORS_H
#define HOLDFAST_BENCH_CONTROL_OPERATORS_H

#include "bench/control/subject.h"

enum { OPERATORS_MAX = 32 };

enum operators_act {
    OPERATORS_LIST,
    OPERATORS_COUNT,
    OPERATORS_HOLD,
    OPERATORS_RELEASE,
    OPERATORS_ACT_COUNT,
};

struct operators {
    uint32_t count;
    bool stopping;
    struct {
        uint32_t step;
        enum operators_act act;
        bool pending;
        uint64_t token;
        uint64_t asked_ns;
        uint64_t next_ns;
        char after[32]; /* where its list continues */
        int64_t rule;   /* its hold in force; 0: none */
    } one[OPERATORS_MAX];
    /* For each act: how long the loop stood still for it, and how long its operator waited. */
    struct bench_histogram still[OPERATORS_ACT_COUNT];
    struct bench_histogram answer[OPERATORS_ACT_COUNT];
};

void operators_init(struct operators *o, uint32_t count);
const char *operators_act_name(enum operators_act act);
/* Returns true when something was asked or answered. */
bool operators_turn(struct operators *o, struct subject *s);
/* They ask nothing more, but still end their own rules. */
void operators_stop(struct operators *o);
bool operators_are_done(const struct operators *o);
/* True when every act was answered at least once. With fewer than three operators: every act of
 * theirs. */
bool operators_did_all(const struct operators *o);

#endif
