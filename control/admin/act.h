/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/act.h: what the commands that change something share. */
#ifndef HOLDFAST_CONTROL_ADMIN_ACT_H
#define HOLDFAST_CONTROL_ADMIN_ACT_H

#include "control/admin/admin.h"
#include "control/admin/sieve.h"
#include "control/shell/store.h"

/* What a selection comes to. */
struct act_plan {
    uint64_t deliveries;
    uint64_t rcpts;
    uint64_t in_flight;
};

/* One transaction with the database, in its lane: the audit entry and what goes with it. */
struct act_txn {
    struct work work;
    struct job *job;
    /* What goes with the entry; may be NULL. 0 or -errno. Sets what the entry tells of it. */
    int (*change)(struct act_txn *txn, struct store *store, char *result, size_t result_size);
    const char *result; /* without `change` */
    uint64_t wall_ms;
    uint64_t count; /* as the entry tells */
    bool over;      /* it was tried */
    int error;
    char text[160]; /* of the database, on an error */
};

void act_plan_add(struct act_plan *plan, const struct delivery *d, const struct rcptset *mask);
/* A new answer with the plan's numbers. */
json_t *act_plan_answer(const struct act_plan *plan);
/* Hands it to the lane. */
void act_txn_submit(struct act_txn *txn, struct job *job, struct control *control, uint64_t count);
/* A new answer: the database failed, nothing was changed. */
json_t *act_txn_failed(const struct act_txn *txn);

#endif
