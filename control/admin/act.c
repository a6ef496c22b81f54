/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/act.c: the commands that change something: hold, release, retry, rules, audit.
 *
 *   plan (counts) ─▶ database, with the audit entry, in one transaction ─▶ memory ─▶ answer
 *
 * Promise: what is answered ok is durable; what fails changed nothing.
 * Trap:    a hold is answered only when no worker has a DELIVER queued from before it: the fence.
 */
#include "control/admin/admin.h"

#include "common/limits/admin.h"
#include "control/core/mem.h"
#include "control/core/select_delivery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REVIEW_DAYS_DEFAULT = 7, /* a rule that nobody looks at for a week is asked about */
    AUDIT_LIMIT_DEFAULT = 50,
};

#define DAY_MS        UINT64_C(86400000)
#define REVIEW_MS_MAX UINT64_C(253402300799000) /* the year 9999 */

/* What a selection comes to now. */
struct plan {
    struct control *c;
    const struct select *select;
    bool for_hold; /* unreadable envelopes count, as in rules_hold */
    uint64_t deliveries;
    uint64_t rcpts;
    uint64_t in_flight;
};

typedef void (*plan_fn)(struct plan *plan, struct delivery *d, const struct rcptset *mask,
                        void *ctx);

static void walk(struct plan *plan, plan_fn fn, void *ctx)
{
    struct control *c = plan->c;
    size_t at = 0;
    for (struct route *r = map_next(&c->routes, &at); r != NULL; r = map_next(&c->routes, &at)) {
        for (struct list *l = r->all.next; l != &r->all; l = l->next) {
            struct delivery *d = list_entry(l, struct delivery, route_node);
            struct rcptset mask = {{0}};
            enum select_verdict verdict = select_match(c, plan->select, d, &mask);
            if (verdict == SELECT_YES || (verdict == SELECT_UNREADABLE && plan->for_hold)) {
                fn(plan, d, &mask, ctx);
            }
        }
    }
}

static void plan_any(struct plan *plan, struct delivery *d, const struct rcptset *mask, void *ctx)
{
    (void)ctx;
    plan->deliveries++;
    plan->rcpts += rcptset_count(mask);
    plan->in_flight += d->flight != NULL;
}

static json_t *plan_answer(const struct plan *plan)
{
    json_t *o = admin_ok();
    admin_set_number(o, "deliveries", plan->deliveries);
    admin_set_number(o, "rcpts", plan->rcpts);
    admin_set_number(o, "in_flight", plan->in_flight);
    return o;
}

/* The operator agreed to a number; if it is another by now, he is asked again. */
static json_t *check_count(const struct admin_request *request, uint64_t count)
{
    const json_t *agreed = json_object_get(request->json, "yes_count");
    if (agreed == NULL || (json_is_integer(agreed) && json_integer_value(agreed) >= 0 &&
                           (uint64_t)json_integer_value(agreed) == count)) {
        return NULL;
    }
    return admin_error(ADMIN_EXIT_USAGE, "the selection has %" PRIu64 " deliveries now", count);
}

static json_t *store_failed(struct control *c)
{
    json_t *answer = admin_error(ADMIN_EXIT_CRITICAL, "policy database: %s; nothing was changed",
                                 store_error(c->store));
    store_rollback(c->store);
    return answer;
}

static int audit(struct control *c, const struct admin_request *request, uint64_t count,
                 const char *result)
{
    const struct store_audit entry = {
        .time_ms = c->now.wall_ms,
        .who = request->who,
        .cmd = request->cmd,
        .select = request->select_text == NULL ? "[]" : request->select_text,
        .reason = request->reason,
        .count = count,
        .result = result,
    };
    return store_audit_add(c->store, &entry);
}

/* --- hold --------------------------------------------------------------------------------- */

static json_t *check_hold(struct control *c, const struct admin_request *request)
{
    if (select_has(&request->select, SELECT_STATE) || select_has(&request->select, SELECT_RULE)) {
        return admin_error(ADMIN_EXIT_USAGE, "hold: state= and rule= are no properties of mail");
    }
    if (rules_at(c, LIMIT_RULES - 1) != NULL) {
        return admin_error(ADMIN_EXIT_FAILED, "there are %d rules: end some first", LIMIT_RULES);
    }
    size_t pending = 0;
    for (const struct list *l = c->fences.next; l != &c->fences; l = l->next) {
        pending++;
    }
    return pending < LIMIT_ADMIN_FENCES ? NULL
                                        : admin_error(ADMIN_EXIT_FAILED, "too many holds pending");
}

static json_t *fenced(struct control *c, json_t *answer, uint32_t rule)
{
    if (c->attach.phase == ATTACH_NONE) {
        return answer;
    }
    struct fence *fence = mem_zalloc(sizeof *fence);
    fence->token = ++c->fence_token;
    fence->rule = rule;
    fence->answer = answer;
    fence->waiting = fence_all_workers(c);
    fence->unsent = fence->waiting;
    list_append(&c->fences, &fence->node);
    return json_pack("{sI}", "pending", (json_int_t)fence->token);
}

json_t *admin_hold(struct control *c, struct admin_request *request)
{
    json_t *refused = check_hold(c, request);
    if (refused != NULL) {
        return refused;
    }
    struct plan plan = {.c = c, .select = &request->select, .for_hold = true};
    walk(&plan, plan_any, NULL);
    if (request->dry_run) {
        return plan_answer(&plan);
    }
    refused = check_count(request, plan.deliveries);
    if (refused != NULL) {
        return refused;
    }
    const json_t *review = json_object_get(request->json, "review_ms");
    if (review != NULL && (!json_is_integer(review) || json_integer_value(review) <= 0 ||
                           json_integer_value(review) > (json_int_t)REVIEW_MS_MAX)) {
        return admin_error(ADMIN_EXIT_USAGE, "review_ms: a time, in ms since 1970");
    }
    struct rule rule = {.select = request->select,
                        .created_ms = c->now.wall_ms,
                        .review_ms = review != NULL
                                         ? (uint64_t)json_integer_value(review)
                                         : c->now.wall_ms + REVIEW_DAYS_DEFAULT * DAY_MS};
    memcpy(rule.author, request->who, sizeof rule.author);
    memcpy(rule.reason, request->reason, sizeof rule.reason);
    char result[32];
    int r = store_begin(c->store);
    r = r == 0 ? store_rule_add(c->store, &rule, request->select_text) : r;
    snprintf(result, sizeof result, "rule %u", rule.id);
    r = r == 0 ? audit(c, request, plan.deliveries, result) : r;
    r = r == 0 ? store_commit(c->store) : r;
    if (r < 0) {
        return store_failed(c);
    }
    rules_add(c, &rule);
    rules_hold_existing(c, &rule);
    control_say(c, 4, "hold: rule %u by %s: %s", rule.id, rule.author, rule.reason);
    json_t *answer = plan_answer(&plan);
    admin_set_number(answer, "rule", rule.id);
    return fenced(c, answer, rule.id);
}

/* --- release ------------------------------------------------------------------------------ */

static json_t *end_rule(struct control *c, struct admin_request *request, uint32_t id)
{
    struct rule *rule = rules_find(c, id);
    if (rule == NULL) {
        return admin_error(ADMIN_EXIT_FAILED, "no rule %u is in force", id);
    }
    uint64_t held = rule->matches;
    if (request->dry_run) {
        json_t *o = admin_ok();
        admin_set_number(o, "deliveries", held);
        admin_set_number(o, "released", held);
        admin_set_number(o, "rcpts", rule->rcpts);
        json_object_set_new(o, "rules_ended", json_pack("[I]", (json_int_t)id));
        return o;
    }
    json_t *refused = check_count(request, held);
    if (refused != NULL) {
        return refused;
    }
    char result[32];
    snprintf(result, sizeof result, "rule %u ended", id);
    int r = store_begin(c->store);
    r = r == 0 ? store_rule_end(c->store, id, c->now.wall_ms, request->who) : r;
    r = r == 0 ? audit(c, request, held, result) : r;
    r = r == 0 ? store_commit(c->store) : r;
    if (r < 0) {
        return store_failed(c);
    }
    uint64_t rcpts = 0;
    uint64_t released = rules_end(c, id, &rcpts);
    control_say(c, 4, "rule %u ended by %s: %s", id, request->who, request->reason);
    json_t *o = admin_ok();
    admin_set_number(o, "released", released);
    admin_set_number(o, "rcpts", rcpts);
    json_object_set_new(o, "rules_ended", json_pack("[I]", (json_int_t)id));
    return o;
}

struct release {
    struct release_item {
        uint64_t id;
        struct rcptset rcpts;
    } * list;
    size_t count;
    size_t capacity;
};

static void plan_frozen(struct plan *plan, struct delivery *d, const struct rcptset *mask,
                        void *ctx)
{
    struct release *release = ctx;
    struct rcptset frozen = delivery_rcpts(d, RCPT_FROZEN);
    struct rcptset rcpts = {{0}};
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        if (rcptset_has(mask, i) && rcptset_has(&frozen, i)) {
            rcptset_add(&rcpts, i);
        }
    }
    if (rcptset_is_empty(&rcpts)) {
        return;
    }
    plan->deliveries++;
    plan->rcpts += rcptset_count(&rcpts);
    plan->in_flight += d->flight != NULL;
    release->list =
        mem_grow(release->list, &release->capacity, release->count + 1, sizeof *release->list);
    release->list[release->count++] = (struct release_item){.id = d->id, .rcpts = rcpts};
}

static int store_releases(struct control *c, const struct admin_request *request,
                          const struct release *release)
{
    int r = store_flush(c->store); /* old ones done must not erase these */
    r = r == 0 ? store_begin(c->store) : r;
    for (size_t i = 0; i < release->count && r == 0; i++) {
        r = store_release_add(c->store, release->list[i].id, &release->list[i].rcpts,
                              seen_top(&c->states));
    }
    r = r == 0 ? audit(c, request, release->count, "released") : r;
    return r == 0 ? store_commit(c->store) : r;
}

static json_t *release_frozen(struct control *c, struct admin_request *request,
                              struct release *release)
{
    struct plan plan = {.c = c, .select = &request->select};
    walk(&plan, plan_frozen, release);
    if (request->dry_run) {
        json_t *o = plan_answer(&plan);
        admin_set_number(o, "released", plan.deliveries);
        json_object_set_new(o, "rules_ended", json_array());
        return o;
    }
    json_t *refused = check_count(request, plan.deliveries);
    if (refused != NULL) {
        return refused;
    }
    if (store_releases(c, request, release) < 0) {
        return store_failed(c);
    }
    for (size_t i = 0; i < release->count; i++) {
        struct delivery *d = index_find(c, release->list[i].id);
        assert(d != NULL);
        d->releasing = true;
        pending_add(c, d->id, ABI_STATE_RELEASE, OUTCOME_NONE, &release->list[i].rcpts);
    }
    json_t *o = admin_ok();
    admin_set_number(o, "released", plan.deliveries);
    admin_set_number(o, "rcpts", plan.rcpts);
    json_object_set_new(o, "rules_ended", json_array());
    return o;
}

json_t *admin_release(struct control *c, struct admin_request *request)
{
    if (select_has(&request->select, SELECT_RULE)) {
        if (request->select.count != 1) {
            return admin_error(ADMIN_EXIT_USAGE,
                               "a hold ends as a whole: rule=N goes with no other term");
        }
        return end_rule(c, request, (uint32_t)select_number(&request->select, SELECT_RULE));
    }
    struct release release = {0};
    json_t *answer = release_frozen(c, request, &release);
    free(release.list);
    return answer;
}

/* --- retry -------------------------------------------------------------------------------- */

struct retry {
    struct delivery **list;
    size_t count;
    size_t capacity;
};

static void plan_waiting(struct plan *plan, struct delivery *d, const struct rcptset *mask,
                         void *ctx)
{
    struct retry *retry = ctx;
    if (d->state != DELIVERY_WAITING) {
        return;
    }
    plan_any(plan, d, mask, NULL);
    retry->list =
        mem_grow(retry->list, &retry->capacity, retry->count + 1, sizeof(struct delivery *));
    retry->list[retry->count++] = d;
}

static json_t *run_retry(struct control *c, struct admin_request *request, struct retry *retry)
{
    struct plan plan = {.c = c, .select = &request->select};
    walk(&plan, plan_waiting, retry);
    if (request->dry_run) {
        json_t *o = plan_answer(&plan);
        admin_set_number(o, "retried", plan.deliveries);
        return o;
    }
    json_t *refused = check_count(request, plan.deliveries);
    if (refused != NULL) {
        return refused;
    }
    if (audit(c, request, plan.deliveries, "due now") < 0) {
        return store_failed(c);
    }
    for (size_t i = 0; i < retry->count; i++) {
        struct delivery *d = retry->list[i];
        delivery_lift(c, d);
        d->due_ns = c->now.now_ns;
        for (uint32_t h = 0; h < d->route->hop_count; h++) {
            hopside_close(c, d->route->hop[h]);
        }
        delivery_settle(c, d);
    }
    for (uint32_t i = 0; i < request->select.count; i++) { /* also one without waiting mail */
        const struct select_term *term = &request->select.term[i];
        struct hop *hop = term->key == SELECT_HOP ? routes_find_hop_name(c, term->text) : NULL;
        if (hop != NULL) {
            hopside_close(c, hop);
        }
    }
    json_t *o = admin_ok();
    admin_set_number(o, "retried", plan.deliveries);
    return o;
}

json_t *admin_retry(struct control *c, struct admin_request *request)
{
    struct retry retry = {0};
    json_t *answer = run_retry(c, request, &retry);
    free(retry.list);
    return answer;
}

/* --- rules, audit ------------------------------------------------------------------------- */

json_t *admin_rules(struct control *c, struct admin_request *request)
{
    const json_t *remove = json_object_get(request->json, "remove");
    if (remove != NULL) {
        json_int_t id = json_integer_value(remove);
        if (id <= 0 || id > UINT32_MAX) {
            return admin_error(ADMIN_EXIT_USAGE, "remove: which rule?");
        }
        if (!request->dry_run && request->reason[0] == '\0') {
            return admin_error(ADMIN_EXIT_USAGE, "say why: a reason is required");
        }
        return end_rule(c, request, (uint32_t)id);
    }
    json_t *list = json_array();
    const struct rule *rule;
    for (size_t i = 0; (rule = rules_at(c, i)) != NULL; i++) {
        json_t *terms = store_rule_select(c->store, rule->id);
        json_t *o = json_object();
        admin_set_number(o, "id", rule->id);
        admin_set_text(o, "kind", bytes_str("hold"));
        json_object_set_new(o, "select", terms == NULL ? json_array() : terms);
        admin_set_text(o, "author", bytes_str(rule->author));
        admin_set_words(o, "reason", rule->reason);
        admin_set_number(o, "created_ms", rule->created_ms);
        admin_set_number(o, "review_ms", rule->review_ms);
        admin_set_number(o, "matches", rule->matches);
        json_array_append_new(list, o);
    }
    json_t *o = admin_ok();
    json_object_set_new(o, "rules", list);
    return o;
}

json_t *admin_audit(struct control *c, struct admin_request *request)
{
    const json_t *limit_value = json_object_get(request->json, "limit");
    json_int_t limit = limit_value == NULL ? AUDIT_LIMIT_DEFAULT : json_integer_value(limit_value);
    if (limit < 1 || limit > LIMIT_ADMIN_AUDIT) {
        return admin_error(ADMIN_EXIT_USAGE, "limit: 1 to %d", LIMIT_ADMIN_AUDIT);
    }
    json_t *entries = json_array();
    if (store_audit_list(c->store, (uint32_t)limit, entries) < 0) {
        json_decref(entries);
        return admin_error(ADMIN_EXIT_CRITICAL, "policy database: %s", store_error(c->store));
    }
    json_t *o = admin_ok();
    json_object_set_new(o, "entries", entries);
    return o;
}
