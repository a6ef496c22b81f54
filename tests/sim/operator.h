/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/operator.h: the operators of the relay and their troubles: holds, releases, another
 * configuration, a clock that jumps, a control that sleeps, a disk that rots.
 *
 * Promise: what they were told is checked: a hold from its acknowledgement on (hold.h), a release
 *          of frozen mail even when the processes crash right after the answer.
 * Trap:    a request may end in a crash: then nothing was promised, and nothing is checked.
 */
#ifndef HOLDFAST_TESTS_SIM_OPERATOR_H
#define HOLDFAST_TESTS_SIM_OPERATOR_H

#include "tests/sim/hold.h"
#include "tests/sim/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum { OPERATOR_IDS_MAX = 4096 };

enum operator_hold_state {
    OPERATOR_HOLD_FREE,
    OPERATOR_HOLD_PENDING, /* asked for; the dataplane has not confirmed it */
    OPERATOR_HOLD_KNOWN,   /* acknowledged; what was in flight is not known yet */
    OPERATOR_HOLD_CHECKED, /* the ledger checks it */
};

struct operator_hold {
    enum operator_hold_state state;
    struct hold *hold;
    uint32_t rule; /* 0: an orphaned route, not a rule */
    uint64_t token;
    uint32_t control_start; /* the run of control to which the token belongs */
    uint64_t end_ns;
};

struct world;

struct operator
{
    struct rng rng;
    uint64_t next_ns;
    uint64_t look_ns;
    uint64_t gap_ns_max;
    int64_t clock_ms; /* the sum of the wall clock's jumps */
    uint32_t rots_left;
    struct operator_hold hold[HOLD_BOOK_MAX];
    uint64_t route_back_ns;
    struct operator_hold orphans;
    bool rules_ended;              /* at the end, when everything works */
    char id[OPERATOR_IDS_MAX][16]; /* released frozen deliveries */
    uint32_t id_count;
};

void operator_plan(struct world *world);
void operator_turn(struct world *world);
uint64_t operator_next_ns(const struct world *world);
/* Makes everything work again: no more holds, every route back. */
void operator_heal(struct world *world);
/* Releases all frozen mail and lets processes crash meanwhile. From then on all of it must be sent
 * without another request. false: control was not there. */
bool operator_release_under_fire(struct world *world);
/* Checks that nothing that was released is frozen again. */
void operator_check_released(struct world *world);

/* rot.c: flips a bit in a record of a message that was accepted and has not arrived. */
bool rot_one(struct world *world);

#endif
