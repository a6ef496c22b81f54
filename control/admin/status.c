/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/status.c: how it stands: sums that are kept, not counted. */
#include "control/admin/admin.h"

#include "common/config.h"
#include "common/counters.h"

static json_t *dataplane(const struct control *c)
{
    const struct attach *a = &c->attach;
    uint32_t state = ABI_SPOOL_OK;
    uint64_t unread = 0;
    if (a->region != NULL) {
        state = atomic_load_explicit(&a->region->spool_state, memory_order_relaxed);
        uint64_t told = atomic_load_explicit(&a->region->up_count, memory_order_acquire);
        unread = told > a->number ? told - a->number : 0;
    }
    const char *spool = state == ABI_SPOOL_OK ? "ok" : state == ABI_SPOOL_FULL ? "full" : "fenced";
    return json_pack("{sb sI sI sI ss}", "attached", a->phase == ATTACH_RUNNING, "start",
                     (json_int_t)a->start, "heartbeat_age_ms", (json_int_t)c->heartbeat_age_ms,
                     "unread", (json_int_t)unread, "spool", spool);
}

struct sums {
    struct tally state[DELIVERY_STATE_COUNT];
    uint64_t frozen_rcpts;
};

static void add_sums(const struct control *c, struct sums *sums)
{
    size_t at = 0;
    for (const struct route *r = map_next(&c->routes, &at); r != NULL;
         r = map_next(&c->routes, &at)) {
        for (int i = 0; i < DELIVERY_STATE_COUNT; i++) {
            sums->state[i].deliveries += r->tally[i].deliveries;
            sums->state[i].rcpts += r->tally[i].rcpts;
        }
        for (int i = 0; i < OUTCOME_COUNT; i++) {
            sums->frozen_rcpts += r->frozen_rcpts[i];
        }
    }
}

static json_t *totals(const struct control *c, const struct sums *s)
{
    const struct tally *t = s->state;
    json_t *o = json_object();
    admin_set_number(o, "accepted_rcpts", c->totals.accepted_rcpts);
    admin_set_number(o, "delivered_rcpts", c->totals.delivered_rcpts);
    admin_set_number(o, "waiting", t[DELIVERY_WAITING].deliveries);
    admin_set_number(o, "in_flight", t[DELIVERY_IN_FLIGHT].deliveries);
    admin_set_number(o, "frozen", t[DELIVERY_FROZEN].deliveries);
    admin_set_number(o, "held", t[DELIVERY_HELD].deliveries + t[DELIVERY_ORPHAN].deliveries);
    admin_set_number(o, "orphans", t[DELIVERY_ORPHAN].deliveries);
    admin_set_number(o, "waiting_rcpts", t[DELIVERY_WAITING].rcpts + t[DELIVERY_IN_FLIGHT].rcpts);
    admin_set_number(o, "frozen_rcpts", s->frozen_rcpts);
    admin_set_number(o, "held_rcpts", t[DELIVERY_HELD].rcpts + t[DELIVERY_ORPHAN].rcpts);
    admin_set_number(o, "possible_duplicates", c->totals.possible_duplicates);
    admin_set_number(o, "damaged", c->totals.damaged);
    return o;
}

static bool has_mail(const struct route *r)
{
    return !list_is_empty(&r->all);
}

static json_t *one_route(const struct control *c, const struct route *r)
{
    uint64_t oldest_ms = 0;
    if (has_mail(r)) {
        const struct delivery *d = list_entry(r->all.next, struct delivery, route_node);
        oldest_ms = c->now.wall_ms > d->received_ms ? c->now.wall_ms - d->received_ms : 0;
    }
    json_t *o = json_object();
    admin_set_text(o, "name", bytes_str(r->name));
    admin_set_number(o, "waiting", r->tally[DELIVERY_WAITING].deliveries);
    admin_set_number(o, "in_flight", r->tally[DELIVERY_IN_FLIGHT].deliveries);
    admin_set_number(o, "frozen", r->tally[DELIVERY_FROZEN].deliveries);
    admin_set_number(o, "held",
                     r->tally[DELIVERY_HELD].deliveries + r->tally[DELIVERY_ORPHAN].deliveries);
    admin_set_number(o, "oldest_age_ms", oldest_ms);
    admin_set_text(o, "owner", bytes_str(r->owner));
    return o;
}

static uint64_t probe_in_ms(const struct control *c, const struct hop *h)
{
    if (h->breaker.state != BREAKER_OPEN || h->breaker.next_probe_ns <= c->now.now_ns) {
        return 0;
    }
    return (h->breaker.next_probe_ns - c->now.now_ns) / 1000000;
}

static json_t *one_hop(struct control *c, const struct hop *h)
{
    char text[LIMIT_REPLY_TEXT_BYTES + 1];
    if (catchup_reply(c, h->last_state_pos, text, sizeof text) == 0) {
        bytes_copy_str(bytes_str(outcome_meaning((enum outcome)h->last_outcome)), text,
                       sizeof text);
    }
    json_t *o = json_object();
    admin_set_text(o, "name", bytes_str(h->name));
    admin_set_text(o, "breaker", bytes_str(breaker_state_text(h->breaker.state)));
    admin_set_number(o, "failures", h->breaker.failures);
    admin_set_text(o, "last_outcome", bytes_str(outcome_text((enum outcome)h->last_outcome)));
    admin_set_number(o, "last_code", h->last_code);
    admin_set_text(o, "last_text", bytes_str(h->last_outcome == OUTCOME_NONE ? "" : text));
    admin_set_number(o, "since_ms", h->since_ms);
    admin_set_number(o, "in_flight", h->in_flight);
    admin_set_number(o, "window", h->window);
    admin_set_number(o, "next_probe_ms", probe_in_ms(c, h));
    return o;
}

/* The reply of one delivery lately frozen with that class, if it still is. */
static void sample_reply(struct control *c, const struct route *r, enum outcome class,
                         json_t *object)
{
    char text[LIMIT_REPLY_TEXT_BYTES + 1] = "";
    const struct delivery *d = index_find(c, r->frozen_sample[class]);
    for (unsigned i = 0; d != NULL && i < d->rcpt_count; i++) {
        if (d->rcpt[i].state == RCPT_FROZEN && d->rcpt[i].outcome == class) {
            (void)catchup_reply(c, d->rcpt[i].state_pos, text, sizeof text);
            break;
        }
    }
    admin_set_text(object, "sample_reply", bytes_str(text));
}

static void add_frozen(struct control *c, const struct route *r, json_t *frozen)
{
    for (int class = 0; class < OUTCOME_COUNT; class ++) {
        if (r->frozen_rcpts[class] == 0) {
            continue;
        }
        json_t *o = json_object();
        admin_set_text(o, "route", bytes_str(r->name));
        admin_set_text(o, "class", bytes_str(outcome_text((enum outcome) class)));
        admin_set_number(o, "count", r->frozen_deliveries[class]);
        admin_set_number(o, "rcpts", r->frozen_rcpts[class]);
        sample_reply(c, r, (enum outcome) class, o);
        json_array_append_new(frozen, o);
    }
}

static json_t *counters(const struct control *c)
{
    json_t *o = json_object();
    for (int i = 0; i < COUNTER_COUNT && c->attach.region != NULL; i++) {
        admin_set_number(o, counter_info[i].name,
                         atomic_load_explicit(&c->attach.region->counter[i], memory_order_relaxed));
    }
    return o;
}

/* 2: mail does not come in, or is damaged. 1: something waits for a person. */
static int level(const struct control *c, const struct sums *s)
{
    const struct attach *a = &c->attach;
    if (a->phase != ATTACH_RUNNING || c->totals.damaged > 0 ||
        atomic_load_explicit(&a->region->spool_state, memory_order_relaxed) != ABI_SPOOL_OK) {
        return 2;
    }
    bool open = false;
    size_t at = 0;
    for (const struct hop *h = map_next(&c->hops, &at); h != NULL; h = map_next(&c->hops, &at)) {
        open |= h->known && h->breaker.state != BREAKER_CLOSED;
    }
    bool aside = s->frozen_rcpts > 0 || s->state[DELIVERY_HELD].deliveries > 0 ||
                 s->state[DELIVERY_ORPHAN].deliveries > 0;
    return open || aside ? 1 : 0;
}

json_t *admin_status(struct control *c, struct admin_request *request)
{
    (void)request;
    struct sums sums = {0};
    add_sums(c, &sums);
    json_t *routes = json_array();
    json_t *frozen = json_array();
    json_t *hops = json_array();
    size_t at = 0;
    for (const struct route *r = map_next(&c->routes, &at); r != NULL;
         r = map_next(&c->routes, &at)) {
        if (r->known || has_mail(r)) {
            json_array_append_new(routes, one_route(c, r));
            add_frozen(c, r, frozen);
        }
    }
    at = 0;
    for (const struct hop *h = map_next(&c->hops, &at); h != NULL; h = map_next(&c->hops, &at)) {
        if (h->known || h->in_flight > 0) {
            json_array_append_new(hops, one_hop(c, h));
        }
    }
    json_t *o = admin_ok();
    admin_set_text(o, "hostname", bytes_str(c->config->hostname));
    json_object_set_new(o, "dataplane", dataplane(c));
    admin_set_number(o, "policy_generation", c->policy_generation);
    json_object_set_new(o, "totals", totals(c, &sums));
    json_object_set_new(o, "routes", routes);
    json_object_set_new(o, "hops", hops);
    json_object_set_new(o, "frozen", frozen);
    json_object_set_new(o, "counters", counters(c));
    admin_set_number(o, "level", (uint64_t)level(c, &sums));
    uint64_t free_segments = 0;
    if (c->attach.region != NULL) {
        free_segments = atomic_load_explicit(&c->attach.region->counter[COUNTER_segments_free],
                                             memory_order_relaxed);
    }
    admin_set_number(o, "segments_free", free_segments);
    return o;
}
