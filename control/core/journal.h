/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/journal.h: how far the logs are applied, what they still hold for us, and the sums
 * of what they said. */
#ifndef HOLDFAST_CONTROL_CORE_JOURNAL_H
#define HOLDFAST_CONTROL_CORE_JOURNAL_H

#include "control/core/liveness.h"
#include "control/core/seen.h"

struct journal {
    struct seen messages;
    struct seen states;
    struct liveness liveness;
    uint64_t message_damage_top; /* damage below was told already */
    uint64_t state_damage_top;
    uint64_t told_seq; /* state segments below it are given back: their replies lie in the store */
    uint64_t accepted_rcpts;
    uint64_t delivered_rcpts;
    uint64_t possible_duplicates;
    uint64_t damaged; /* places in the logs that should be good and are not */
    bool dirty;       /* something changed since the last image began */
};

static inline void journal_fini(struct journal *journal)
{
    seen_fini(&journal->messages);
    seen_fini(&journal->states);
    liveness_fini(&journal->liveness);
}

#endif
