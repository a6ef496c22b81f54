/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/act.c: see act.h.
 *
 *   plan (a sieve counts) ─▶ database, with the audit entry, in one transaction ─▶ core ─▶ answer
 *
 * Promise: what is answered ok is durable; what fails changed nothing.
 */
#include "control/admin/act.h"

#include <stdio.h>

void act_plan_add(struct act_plan *plan, const struct delivery *d, const struct rcptset *mask)
{
    plan->deliveries++;
    plan->rcpts += rcptset_count(mask);
    plan->in_flight += d->state == DELIVERY_IN_FLIGHT;
}

json_t *act_plan_answer(const struct act_plan *plan)
{
    json_t *o = admin_ok();
    admin_set_number(o, "deliveries", plan->deliveries);
    admin_set_number(o, "rcpts", plan->rcpts);
    admin_set_number(o, "in_flight", plan->in_flight);
    return o;
}

static int write_all(struct act_txn *txn, struct store *store)
{
    char result[48] = "";
    const struct admin_request *request = &txn->job->request;
    int r = store_begin(store);
    if (r == 0 && txn->change != NULL) {
        r = txn->change(txn, store, result, sizeof result);
    }
    const struct store_audit entry = {
        .time_ms = txn->wall_ms,
        .who = request->who,
        .cmd = request->cmd,
        .select = request->select_text == NULL ? "[]" : request->select_text,
        .reason = request->reason,
        .count = txn->count,
        .result = txn->change != NULL ? result : txn->result,
    };
    r = r == 0 ? store_audit_add(store, &entry) : r;
    r = r == 0 ? store_commit(store) : r;
    if (r < 0) {
        (void)snprintf(txn->text, sizeof txn->text, "%s", store_error(store));
        store_rollback(store);
    }
    return r;
}

static void txn_run(struct work *work, struct work_tools *tools)
{
    struct act_txn *txn = (struct act_txn *)work;
    txn->error = write_all(txn, tools->store);
}

static bool txn_done(struct work *work, struct control *c)
{
    struct act_txn *txn = (struct act_txn *)work;
    (void)c;
    txn->over = true;
    txn->job->under_way = false;
    return true;
}

void act_txn_submit(struct act_txn *txn, struct job *job, struct control *c, uint64_t count)
{
    assert(!txn->over);
    txn->work = (struct work){.lane = WORK_STORE, .run = txn_run, .done = txn_done};
    txn->job = job;
    txn->wall_ms = c->core.now.wall_ms;
    txn->count = count;
    job_submit(job, c, &txn->work);
}

json_t *act_txn_failed(const struct act_txn *txn)
{
    assert(txn->over && txn->error < 0);
    return admin_error(ADMIN_EXIT_CRITICAL, "policy database: %s; nothing was changed", txn->text);
}
