/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/act.h: what the commands that change something share. */
#ifndef HOLDFAST_CONTROL_ADMIN_ACT_H
#define HOLDFAST_CONTROL_ADMIN_ACT_H

#include "control/admin/admin.h"
#include "control/admin/sieve.h"
#include "control/shell/store.h"

/* How many deliveries and recipients a selection means. */
struct act_plan {
    uint64_t deliveries;
    uint64_t rcpts;
    uint64_t in_flight;
};

/* One transaction with the database, in its lane: the audit entry, and the change that goes with
 * it. */
struct act_txn {
    struct work work;
    struct job *job;
    /* Makes the change; may be NULL. 0 or -errno. Writes what the audit entry says of the
     * result. */
    int (*change)(struct act_txn *txn, struct store *store, char *result, size_t result_size);
    const char *result; /* when `change` is NULL */
    uint64_t wall_ms;
    uint64_t count; /* the count in the audit entry */
    bool over;      /* it was tried, with or without success */
    int error;
    char text[160]; /* the database's error text */
};

void act_plan_add(struct act_plan *plan, const struct delivery *d, const struct rcptset *mask);
/* A new answer with the plan's numbers. */
json_t *act_plan_answer(const struct act_plan *plan);
/* Hands the transaction to the lane. */
void act_txn_submit(struct act_txn *txn, struct job *job, struct control *control, uint64_t count);
/* A new answer that says: the database failed, nothing was changed. */
json_t *act_txn_failed(const struct act_txn *txn);

#endif
