/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/operator.c: what an operator does, and when. See operator.h. */
#include "tests/sim/operator.h"

#include "common/id.h"
#include "tests/sim/feature.h"
#include "tests/sim/trace.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint64_t ms = 1000000;
static const uint64_t look_gap_ns = UINT64_C(500000000);
static const int64_t clock_ms_max = INT64_C(12) * 3600000;

void operator_plan(struct world *w)
{
    struct operator* o = & w->operator;
    rng_init(&o->rng, w->seed, RNG_OPERATOR);
    o->gap_ns_max = rng_spread(&o->rng, 1000 * ms, 30000 * ms);
    o->next_ns = rng_spread(&o->rng, 100 * ms, o->gap_ns_max);
    o->look_ns = UINT64_MAX;
    o->rots_left = (uint32_t)rng_range(&o->rng, 1, 3);
}

static uint64_t number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static bool is_ok(const json_t *answer)
{
    return json_is_true(json_object_get(answer, "ok"));
}

static bool is_attached(struct world *w)
{
    json_t *status = relay_ask(w->relay, "{\"v\":1,\"cmd\":\"status\"}");
    bool attached = json_is_true(json_object_get(json_object_get(status, "dataplane"), "attached"));
    json_decref(status);
    return attached;
}

/* --- holds --------------------------------------------------------------------------------- */

/* Sets or clears the exemption of all mail that is in that state now. false: control crashed. */
static bool exempt(struct world *w, struct hold *hold, const char *state, bool on)
{
    char request[128];
    snprintf(request, sizeof request,
             "{\"v\":1,\"cmd\":\"list\",\"limit\":10000,\"select\":[\"state=%s\"]}", state);
    json_t *answer = relay_ask(w->relay, request);
    bool good = is_ok(answer);
    size_t i;
    const json_t *delivery;
    json_array_foreach(json_object_get(answer, "deliveries"), i, delivery)
    {
        size_t k;
        const json_t *rcpt;
        json_array_foreach(json_object_get(delivery, "rcpts"), k, rcpt)
        {
            struct mail *mail;
            uint32_t n;
            if (mail_find_address(w->ledger, json_string_value(rcpt), &mail, &n)) {
                uint8_t *bits = &hold->exempt[mail->id - 1];
                *bits = (uint8_t)(on ? *bits | 1u << n : *bits & ~(1u << n));
            }
        }
    }
    json_decref(answer);
    return good;
}

static void forget_hold(struct operator_hold *h)
{
    hold_end(h->hold);
    *h = (struct operator_hold){.state = OPERATOR_HOLD_FREE};
}

/* The ledger checks from the moment that control says what is in flight. */
static void watch(struct world *w, struct operator_hold *h)
{
    char term[64];
    if (!is_attached(w)) {
        return;
    }
    hold_begin(h->hold);
    if (!exempt(w, h->hold, "in_flight", true)) {
        h->hold->active = false;
        return;
    }
    h->state = OPERATOR_HOLD_CHECKED;
    trace_say("operator: %s is held from now on", hold_term(h->hold, term));
}

static void take_answer(struct operator_hold *h, json_t *answer)
{
    if (is_ok(answer)) {
        h->state = OPERATOR_HOLD_KNOWN;
        h->rule = h->rule != 0 ? h->rule : (uint32_t)number(answer, "rule");
    } else {
        trace_break(BREACH_OTHER, "a hold was refused: %s",
                    json_string_value(json_object_get(answer, "error")));
        forget_hold(h);
    }
    json_decref(answer);
}

static void look_at_hold(struct world *w, struct operator_hold *h)
{
    struct relay *r = w->relay;
    if (h->state == OPERATOR_HOLD_PENDING && h->control_start != r->control.start_count) {
        trace_say("operator: never heard of a hold again");
        forget_hold(h); /* its rule may exist, and ends at the end */
        return;
    }
    if (h->state == OPERATOR_HOLD_PENDING) {
        json_t *answer = relay_answer(r, h->token);
        if (answer != NULL) {
            take_answer(h, answer);
        }
    }
    if (h->state == OPERATOR_HOLD_KNOWN) {
        watch(w, h);
    } else if (h->state == OPERATOR_HOLD_CHECKED && is_attached(w)) {
        /* What was in flight and came back is held now, too. */
        (void)exempt(w, h->hold, h->rule != 0 ? "held" : "orphan", false);
        if (h->hold->kind == HOLD_AGE && exempt(w, h->hold, "in_flight", true)) {
            h->hold->looked_ns = trace.now_ns;
        }
    }
}

static void begin_hold(struct world *w)
{
    struct operator* o = & w->operator;
    struct operator_hold *h = NULL;
    for (int i = 0; i < HOLD_BOOK_MAX && h == NULL; i++) {
        h = o->hold[i].state == OPERATOR_HOLD_FREE ? &o->hold[i] : NULL;
    }
    enum hold_kind kind = (enum hold_kind)rng_below(&o->rng, HOLD_KIND_COUNT);
    uint32_t arg = (uint32_t)rng_below(&o->rng, w->campus.route_count);
    if (kind == HOLD_AGE && (w->campus.features & FEATURE_CLOCK) != 0) {
        kind = HOLD_ALL;
    }
    arg = kind == HOLD_SENDER || kind == HOLD_AGE ? (uint32_t)rng_range(&o->rng, 1, 9) : arg;
    struct hold *hold =
        h == NULL || !w->relay->control.up ? NULL : hold_take(w->ledger->holds, kind, arg);
    if (hold == NULL) {
        return;
    }
    char term[64];
    char request[192];
    *h = (struct operator_hold){.hold = hold,
                                .control_start = w->relay->control.start_count,
                                .end_ns = trace.now_ns + rng_spread(&o->rng, 500 * ms, 40000 * ms)};
    snprintf(request, sizeof request,
             "{\"v\":1,\"cmd\":\"hold\",\"select\":[\"%s\"],\"reason\":\"to see\"}",
             hold_term(hold, term));
    json_t *answer = relay_ask(w->relay, request);
    trace_say("operator: hold %s", term);
    if (answer == NULL) {
        forget_hold(h);
    } else if (json_object_get(answer, "pending") != NULL) {
        h->state = OPERATOR_HOLD_PENDING;
        h->token = number(answer, "pending");
        json_decref(answer);
    } else {
        take_answer(h, answer);
    }
    o->look_ns = trace.now_ns;
}

static bool end_rule(struct world *w, uint32_t rule)
{
    char request[128];
    snprintf(request, sizeof request,
             "{\"v\":1,\"cmd\":\"release\",\"select\":[\"rule=%" PRIu32 "\"],\"reason\":\"seen\"}",
             rule);
    json_t *answer = relay_ask(w->relay, request);
    bool good = is_ok(answer);
    trace_say("operator: rule %" PRIu32 " ends: %s", rule, good ? "done" : "no answer");
    json_decref(answer);
    return good;
}

/* The ledger stops checking first: the request may be carried out and its answer lost. */
static void end_hold(struct world *w, struct operator_hold *h)
{
    uint32_t rule = h->rule;
    if (w->relay->control.up) {
        forget_hold(h);
        if (rule != 0) {
            (void)end_rule(w, rule);
        }
    }
}

static void end_all_rules(struct world *w)
{
    json_t *answer = relay_ask(w->relay, "{\"v\":1,\"cmd\":\"rules\"}");
    bool good = is_ok(answer);
    size_t i;
    const json_t *rule;
    json_array_foreach(json_object_get(answer, "rules"), i, rule)
    {
        good = end_rule(w, (uint32_t)number(rule, "id")) && good;
    }
    json_decref(answer);
    w->operator.rules_ended = good;
}

/* --- the rest ------------------------------------------------------------------------------ */

static void arm(struct world *w)
{
    struct rng *rng = &w->operator.rng;
    if (relay_is_armed(w->relay)) {
        return;
    }
    bool by_op = rng_percent(rng, 50);
    relay_arm(w->relay, (enum relay_crash)rng_range(rng, 1, RELAY_CRASH_COUNT - 1),
              by_op ? (uint32_t)rng_spread(rng, 1, 12) : 0,
              by_op ? 0 : (uint32_t)rng_spread(rng, 1, 12));
}

static void release(struct world *w)
{
    static const char *const terms[] = {"all",           "all",           "state=frozen",
                                        "route=route0",  "class=policy",  "class=loop",
                                        "class=suspect", "domain=d0.test"};
    struct operator* o = & w->operator;
    char request[160];
    snprintf(request, sizeof request,
             "{\"v\":1,\"cmd\":\"%s\",\"select\":[\"%s\"],\"reason\":\"try it\"%s}",
             rng_percent(&o->rng, 20) ? "retry" : "release",
             terms[rng_below(&o->rng, sizeof terms / sizeof terms[0])],
             rng_percent(&o->rng, 10) ? ",\"dry_run\":true" : "");
    mail_pardon_loops(w->ledger); /* also when the answer is lost */
    w->relay->curse.budget += 2;
    w->relay->ask.hasty = true;
    json_t *answer = relay_ask(w->relay, request);
    w->relay->ask.hasty = false;
    trace_say("operator: %s: %" PRIu64, request, number(answer, "released"));
    json_decref(answer);
    if (rng_percent(&o->rng, 60)) {
        arm(w);
    }
}

static void jump(struct world *w)
{
    struct operator* o = & w->operator;
    int64_t by = (int64_t)rng_spread(&o->rng, 1, 6 * 3600 * 1000);
    by = rng_percent(&o->rng, 50) ? by : -by;
    int64_t to = o->clock_ms + by;
    if (to > clock_ms_max || to < -clock_ms_max) {
        return;
    }
    o->clock_ms = to;
    w->relay->wall_base_ms = (uint64_t)((int64_t)w->relay->wall_base_ms + by);
    trace_say("clock: jumps by %.3f s", (double)by / 1e3);
}

/* Without a route its mail must stay. The ledger checks that as it checks a hold. */
static void remove_route(struct world *w)
{
    struct operator* o = & w->operator;
    if (w->relay->removed != 0 || w->campus.route_count < 2 || !w->relay->control.up ||
        o->orphans.state != OPERATOR_HOLD_FREE) {
        return;
    }
    uint32_t route = (uint32_t)rng_below(&o->rng, w->campus.route_count);
    struct hold *hold = hold_take(w->ledger->holds, HOLD_ROUTE, route);
    o->route_back_ns = trace.now_ns + rng_spread(&o->rng, 200 * ms, 30000 * ms);
    relay_set_routes(w->relay, 1u << route);
    if (hold != NULL) {
        o->orphans = (struct operator_hold){.state = OPERATOR_HOLD_KNOWN, .hold = hold};
        o->look_ns = trace.now_ns;
    }
}

static void restore_route(struct world *w)
{
    struct operator* o = & w->operator;
    if (w->relay->removed == 0) {
        return;
    }
    if (o->orphans.state != OPERATOR_HOLD_FREE) {
        forget_hold(&o->orphans);
    }
    o->route_back_ns = 0;
    relay_set_routes(w->relay, 0);
}

static void deafen(struct world *w)
{
    struct operator* o = & w->operator;
    if (w->relay->deaf_until_ns == 0) {
        relay_deafen(w->relay, trace.now_ns + rng_spread(&o->rng, 10 * ms, 8000 * ms),
                     rng_percent(&o->rng, 50));
    }
}

static void act(struct world *w)
{
    struct operator* o = & w->operator;
    uint32_t feature = 1u << rng_below(&o->rng, 9);
    switch ((enum feature)(feature & w->campus.features)) {
    case FEATURE_HOLD:
        begin_hold(w);
        break;
    case FEATURE_RELEASE:
        release(w);
        break;
    case FEATURE_ROT:
        if (o->rots_left > 0 && rot_one(w)) {
            o->rots_left--;
        }
        break;
    case FEATURE_DEAF:
        deafen(w);
        break;
    case FEATURE_CLOCK:
        jump(w);
        break;
    case FEATURE_RELOAD:
        remove_route(w);
        break;
    case FEATURE_VOLUME:
    case FEATURE_FAULT:
    case FEATURE_LOOP:
    case FEATURE_ALL:
        break;
    }
}

static void look(struct world *w)
{
    struct operator* o = & w->operator;
    bool busy = false;
    for (int i = 0; i < HOLD_BOOK_MAX; i++) {
        struct operator_hold *h = &o->hold[i];
        if (h->state != OPERATOR_HOLD_FREE && trace.now_ns >= h->end_ns) {
            end_hold(w, h);
        } else if (h->state != OPERATOR_HOLD_FREE) {
            look_at_hold(w, h);
        }
        busy |= h->state != OPERATOR_HOLD_FREE;
    }
    if (o->orphans.state != OPERATOR_HOLD_FREE) {
        look_at_hold(w, &o->orphans);
        busy = true;
    }
    o->look_ns = busy ? trace.now_ns + look_gap_ns : UINT64_MAX;
}

void operator_turn(struct world *w)
{
    struct operator* o = & w->operator;
    if (trace.now_ns >= o->look_ns) {
        look(w);
    }
    if (w->healed) {
        if (!o->rules_ended && w->relay->control.up) {
            end_all_rules(w);
        }
        return;
    }
    if (o->route_back_ns != 0 && trace.now_ns >= o->route_back_ns) {
        restore_route(w);
    }
    if (trace.now_ns >= o->next_ns) {
        o->next_ns = trace.now_ns + rng_spread(&o->rng, 20 * ms, o->gap_ns_max);
        act(w);
    }
}

uint64_t operator_next_ns(const struct world *w)
{
    const struct operator* o = & w->operator;
    if (w->healed) {
        return UINT64_MAX;
    }
    uint64_t next = o->look_ns < o->next_ns ? o->look_ns : o->next_ns;
    return o->route_back_ns != 0 && o->route_back_ns < next ? o->route_back_ns : next;
}

void operator_heal(struct world *w)
{
    struct operator* o = & w->operator;
    restore_route(w);
    for (int i = 0; i < HOLD_BOOK_MAX; i++) {
        if (o->hold[i].state != OPERATOR_HOLD_FREE) {
            forget_hold(&o->hold[i]);
        }
    }
    o->look_ns = UINT64_MAX;
    w->relay->curse.percent = 0;
    if (w->relay->deaf_until_ns != 0) {
        w->relay->deaf_until_ns = trace.now_ns;
    }
}

/* --- a release that nothing may undo --------------------------------------------------------- */

/* A delivery that made the dataplane crash twice is frozen as suspect, unless it was released. */
static void check_suspect(struct world *w, const json_t *deliveries)
{
    const struct relay *r = w->relay;
    char id[ID_TEXT_SIZE];
    if (r->curse.recorded < 2 || r->curse.budget > 0) {
        return;
    }
    size_t i;
    const json_t *d;
    id_format(r->curse.id, id);
    json_array_foreach(deliveries, i, d)
    {
        if (strcmp(json_string_value(json_object_get(d, "id")), id) == 0 &&
            strcmp(json_string_value(json_object_get(d, "class")), "suspect") == 0) {
            return;
        }
    }
    trace_break(BREACH_OTHER, "delivery %s faulted twice and is not frozen as suspect", id);
}

static json_t *list_frozen(struct world *w)
{
    return relay_ask(w->relay, "{\"v\":1,\"cmd\":\"list\",\"limit\":10000,"
                               "\"select\":[\"state=frozen\"]}");
}

bool operator_release_under_fire(struct world *w)
{
    struct operator* o = & w->operator;
    json_t *frozen = is_attached(w) ? list_frozen(w) : NULL;
    if (!is_ok(frozen)) {
        json_decref(frozen);
        return false;
    }
    const json_t *deliveries = json_object_get(frozen, "deliveries");
    check_suspect(w, deliveries);
    size_t i;
    const json_t *d;
    o->id_count = 0;
    json_array_foreach(deliveries, i, d)
    {
        const char *class = json_string_value(json_object_get(d, "class"));
        if (o->id_count < OPERATOR_IDS_MAX && strcmp(class, "damaged") != 0) {
            snprintf(o->id[o->id_count++], sizeof o->id[0], "%s",
                     json_string_value(json_object_get(d, "id")));
        }
    }
    json_decref(frozen);
    mail_pardon_loops(w->ledger);
    json_t *answer = relay_ask(w->relay, "{\"v\":1,\"cmd\":\"release\",\"select\":[\"all\"],"
                                         "\"reason\":\"all is well\"}");
    bool good = is_ok(answer);
    trace_say("operator: released %" PRIu64 " under fire", number(answer, "released"));
    json_decref(answer);
    o->id_count = good ? o->id_count : 0;
    arm(w);
    return good;
}

void operator_check_released(struct world *w)
{
    struct operator* o = & w->operator;
    json_t *frozen = list_frozen(w);
    size_t i;
    const json_t *d;
    json_array_foreach(json_object_get(frozen, "deliveries"), i, d)
    {
        const char *id = json_string_value(json_object_get(d, "id"));
        const char *class = json_string_value(json_object_get(d, "class"));
        for (uint32_t k = 0; k < o->id_count && strcmp(class, "damaged") != 0; k++) {
            if (strcmp(o->id[k], id) == 0) {
                trace_break(BREACH_OTHER, "delivery %s was released and is frozen still: %s", id,
                            class);
            }
        }
    }
    json_decref(frozen);
}
