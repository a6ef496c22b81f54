/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/hold.c: hold, and the end of a rule.
 *
 *   hold:  plan ─▶ database ─▶ in force ─▶ what waits goes aside ─▶ fence ─▶ answer
 *   end:   database ─▶ out of force ─▶ what it held goes to its place anew ─▶ answer
 *
 * A rule with envelope terms is in the rule book from the first step of its plan on. A delivery
 * that comes meanwhile is matched while its envelope is in memory; one that was there before is
 * matched by the plan. So when the rule takes force, it knows all deliveries that it means, and no
 * envelope is read twice.
 *
 * Promise: nothing that the rule means is sent after the answer. What could not be recalled is
 *          counted. Of several requests that end one rule, one does; the others are told that it is
 *          not there.
 * Trap:    a hold is answered only when no worker has a DELIVER queued that was put there before
 *          it. The fence tells.
 */
#include "control/admin/act.h"
#include "common/limits/admin.h"
#include "common/limits/rules.h"

#include <stdio.h>
#include <string.h>

enum {
    REVIEW_DAYS_DEFAULT = 7, /* after a week that nobody looked at it, a rule is reported */
};

#define DAY_MS        UINT64_C(86400000)
#define REVIEW_MS_MAX UINT64_C(253402300799000) /* the year 9999 */

enum hold_phase {
    HOLD_PLAN,
    HOLD_STORE,
    HOLD_APPLY,
    HOLD_FENCE,
};

struct hold_job {
    struct job job;
    struct sieve sieve;
    struct act_txn txn;
    struct act_plan plan;
    enum hold_phase phase;
    struct rule rule; /* as it will be stored */
    uint32_t planned; /* its id in the core, from the plan on */
    uint32_t slot;
    uint64_t fence;
};

static void plan_visit(struct sieve *s, struct control *c, struct delivery *d,
                       const struct rcptset *mask)
{
    struct hold_job *j = s->ctx;
    act_plan_add(&j->plan, d, mask);
    struct rule *rule = rules_find(&c->core.rules, j->planned);
    if (rule != NULL && rule->asks_envelope) {
        image_touch(&c->core, index_slot(&c->core.index, d));
        rules_note(rule, d, index_slot(&c->core.index, d));
    }
}

static int add_rule(struct act_txn *txn, struct store *store, char *result, size_t result_size)
{
    struct hold_job *j = (struct hold_job *)txn->job;
    int r = store_rule_add(store, &j->rule, j->job.request.select_text);
    (void)snprintf(result, result_size, "rule %u", j->rule.id);
    return r;
}

/* Ends the job without a rule: nothing of it stays. */
static bool give_up(struct hold_job *j, struct control *c, json_t *answer)
{
    struct rule *rule = rules_find(&c->core.rules, j->planned);
    if (rule != NULL) {
        rules_remove(&c->core.rules, rule);
    }
    j->job.answer = answer;
    return true;
}

static bool step_plan(struct hold_job *j, struct control *c)
{
    if (!sieve_step(&j->sieve, c)) {
        return true;
    }
    if (j->job.request.dry_run) {
        return give_up(j, c, act_plan_answer(&j->plan));
    }
    json_t *refused = admin_check_count(&j->job.request, j->plan.deliveries);
    if (refused != NULL) {
        return give_up(j, c, refused);
    }
    j->txn.change = add_rule;
    act_txn_submit(&j->txn, &j->job, c, j->plan.deliveries);
    j->phase = HOLD_STORE;
    return true;
}

static bool step_store(struct hold_job *j, struct control *c)
{
    assert(j->txn.over);
    if (j->txn.error < 0) {
        return give_up(j, c, act_txn_failed(&j->txn));
    }
    rules_enforce(&c->core.rules, rules_find(&c->core.rules, j->planned), j->rule.id);
    c->core.journal.dirty = true;
    control_say(c, 4, "hold: rule %u by %s: %s", j->rule.id, j->rule.author, j->rule.reason);
    j->phase = HOLD_APPLY;
    return true;
}

static void apply(struct hold_job *j, struct control *c, struct delivery *d)
{
    struct life_view view;
    const struct rule *rule = rules_find(&c->core.rules, j->rule.id);
    if (rule == NULL || (d->state != DELIVERY_WAITING && d->state != DELIVERY_IN_FLIGHT)) {
        return; /* the rule has ended meanwhile, or the delivery does not wait now */
    }
    life_view_init(&view, &c->core, d);
    if (!rules_match(rule, d, d->noted ? index_slot(&c->core.index, d) : 0, &view.facts)) {
        return;
    }
    if (d->state == DELIVERY_WAITING) {
        life_replace(&c->core, d);
    } else {
        schedule_live(&c->core.schedule, d)->flight->rule = j->rule.id;
    }
}

static bool step_apply(struct hold_job *j, struct control *c)
{
    uint32_t budget = (c->pace + 1) / 2;
    struct delivery *d;
    while ((d = index_next(&c->core.index, &j->slot, &budget)) != NULL) {
        apply(j, c, d);
    }
    if (j->slot >= index_slots(&c->core.index)) {
        j->fence = outbox_fence(&c->core.outbox, &c->core.attach);
        j->phase = HOLD_FENCE;
    }
    return true;
}

/* The deliveries that the hold found under way and that still are. They cannot be recalled, and are
 * reported. */
static uint64_t under_way(const struct control *c, uint32_t rule)
{
    uint64_t count = 0;
    const struct list *all = &c->core.flights.all;
    for (const struct list *n = all->next; n != all; n = n->next) {
        const struct flight *flight = list_entry(n, struct flight, node);
        count += flight->rule == rule && flight->delivery != NULL;
    }
    return count;
}

static bool step_fence(struct hold_job *j, struct control *c)
{
    if (!outbox_fence_passed(&c->core.outbox, &c->core.attach, j->fence)) {
        return false;
    }
    j->plan.in_flight = under_way(c, j->rule.id);
    json_t *answer = act_plan_answer(&j->plan);
    admin_set_number(answer, "rule", j->rule.id);
    j->job.answer = answer;
    return true;
}

static bool hold_step(struct job *job, struct control *c)
{
    struct hold_job *j = (struct hold_job *)job;
    switch (j->phase) {
    case HOLD_PLAN:
        return step_plan(j, c);
    case HOLD_STORE:
        return step_store(j, c);
    case HOLD_APPLY:
        return step_apply(j, c);
    case HOLD_FENCE:
        return step_fence(j, c);
    }
    assert(false);
    return false;
}

static json_t *check_hold(const struct control *c, const struct admin_request *request,
                          uint64_t *review_ms_out)
{
    if (select_has(&request->select, SELECT_STATE) || select_has(&request->select, SELECT_RULE)) {
        return admin_error(ADMIN_EXIT_USAGE, "hold: state= and rule= are no properties of mail");
    }
    if (select_has(&request->select, SELECT_YOUNGER)) { /* mail grows out of it, and would go */
        return admin_error(ADMIN_EXIT_USAGE,
                           "hold: age< (newer=) would not keep mail: it grows older and leaves the "
                           "rule. Hold by what stays, such as route=, sender= or domain=; to hold "
                           "mail that is young now, list it and hold each by id=");
    }
    if (c->core.rules.count >= LIMIT_RULES) {
        return admin_error(ADMIN_EXIT_FAILED, "there are %d rules: end some first", LIMIT_RULES);
    }
    if (c->core.rules.count - rules_in_force(&c->core.rules) >= LIMIT_ADMIN_FENCES ||
        c->core.outbox.fence_count >= LIMIT_ADMIN_FENCES) {
        return admin_error(ADMIN_EXIT_FAILED, "too many holds pending");
    }
    const json_t *review = json_object_get(request->json, "review_ms");
    *review_ms_out = c->core.now.wall_ms + REVIEW_DAYS_DEFAULT * DAY_MS;
    if (review != NULL) {
        json_int_t ms = json_is_integer(review) ? json_integer_value(review) : 0;
        if (ms <= 0 || ms > (json_int_t)REVIEW_MS_MAX) {
            return admin_error(ADMIN_EXIT_USAGE, "review_ms: a time, in ms since 1970");
        }
        *review_ms_out = (uint64_t)ms;
    }
    return NULL;
}

json_t *admin_hold(struct control *c, struct admin_request *request)
{
    uint64_t review_ms = 0;
    json_t *refused = check_hold(c, request, &review_ms);
    if (refused != NULL) {
        return refused;
    }
    struct hold_job *j = job_create(c, sizeof *j, request, hold_step);
    j->rule = (struct rule){
        .select = j->job.request.select, .created_ms = c->core.now.wall_ms, .review_ms = review_ms};
    memcpy(j->rule.author, j->job.request.who, sizeof j->rule.author);
    memcpy(j->rule.reason, j->job.request.reason, sizeof j->rule.reason);
    j->planned = rules_add(&c->core.rules, &j->rule)->id;
    sieve_init(&j->sieve, &j->job, &j->job.request.select, plan_visit, j);
    j->sieve.unreadable_counts = true;
    return NULL;
}

/* --- the end of a rule ----------------------------------------------------------------------- */

struct end_job {
    struct job job;
    struct act_txn txn;
    uint32_t rule;
    bool ended;
    uint32_t slot;
    uint64_t released;
    uint64_t rcpts;
};

static int end_in_store(struct act_txn *txn, struct store *store, char *result, size_t result_size)
{
    struct end_job *j = (struct end_job *)txn->job;
    (void)snprintf(result, result_size, "rule %u ended", j->rule);
    return store_rule_end(store, j->rule, txn->wall_ms, j->job.request.who);
}

static void set_free(struct end_job *j, struct control *c, struct delivery *d)
{
    if (d->state != DELIVERY_HELD || d->live != j->rule) {
        return;
    }
    unsigned waiting = delivery_waiting_count(d);
    life_replace(&c->core, d);
    if (d->state == DELIVERY_WAITING) { /* else another rule holds it, too */
        j->released++;
        j->rcpts += waiting;
    }
}

static json_t *ended_answer(uint32_t rule, uint64_t released, uint64_t rcpts)
{
    json_t *o = admin_ok();
    admin_set_number(o, "released", released);
    admin_set_number(o, "rcpts", rcpts);
    json_object_set_new(o, "rules_ended", json_pack("[I]", (json_int_t)rule));
    return o;
}

static bool end_step(struct job *job, struct control *c)
{
    struct end_job *j = (struct end_job *)job;
    if (!j->ended) {
        struct rule *rule = rules_find(&c->core.rules, j->rule);
        assert(rule != NULL && rule->ending); /* nobody else ends it meanwhile */
        if (j->txn.error < 0) {
            rule->ending = false;
            job->answer = act_txn_failed(&j->txn);
            return true;
        }
        rules_remove(&c->core.rules, rule);
        j->ended = true;
        control_say(c, 4, "rule %u ended by %s: %s", j->rule, job->request.who,
                    job->request.reason);
    }
    uint32_t budget = (c->pace + 1) / 2;
    struct delivery *d;
    while ((d = index_next(&c->core.index, &j->slot, &budget)) != NULL) {
        set_free(j, c, d);
    }
    if (j->slot >= index_slots(&c->core.index)) {
        job->answer = ended_answer(j->rule, j->released, j->rcpts);
    }
    return true;
}

json_t *admin_end_rule(struct control *c, struct admin_request *request, uint32_t id)
{
    struct rule *rule = rules_find(&c->core.rules, id);
    if (rule == NULL || !rule->in_force || rule->ending) {
        return admin_error(ADMIN_EXIT_FAILED, "no rule %u is in force", id);
    }
    if (request->dry_run) {
        json_t *o = ended_answer(id, rule->matches, rule->rcpts);
        admin_set_number(o, "deliveries", rule->matches);
        return o;
    }
    json_t *refused = admin_check_count(request, rule->matches);
    if (refused != NULL) {
        return refused;
    }
    struct end_job *j = job_create(c, sizeof *j, request, end_step);
    rule->ending = true;
    j->rule = id;
    j->txn.change = end_in_store;
    act_txn_submit(&j->txn, &j->job, c, rule->matches);
    return NULL;
}
