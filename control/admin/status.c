/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/status.c: answers status from sums that are always kept, so that nothing is counted
 * here. problems.c says what is wrong. A lane reads the texts of replies, as a quick work, which
 * goes before the rest of a long list: who asks for the status does not wait for others. */
#include "control/admin/admin.h"
#include "control/admin/problems.h"
#include "control/core/mem.h"
#include "control/shell/look.h"

#include "common/counters.h"
#include "common/limits/reply.h"

#include <unistd.h>

/* A text that is still to be read: the text of the reply at `pos` goes into that member. */
struct blank {
    json_t *object; /* borrowed from the answer */
    const char *key;
    uint64_t pos;
};

struct status_job {
    struct job job;
    struct work work;
    json_t *made;
    struct blank *blank;
    size_t blank_count;
    size_t blank_capacity;
};

static void leave_blank(struct status_job *j, json_t *object, const char *key, uint64_t pos)
{
    j->blank = mem_grow(j->blank, &j->blank_capacity, j->blank_count + 1, sizeof *j->blank);
    j->blank[j->blank_count++] = (struct blank){.object = object, .key = key, .pos = pos};
}

static json_t *dataplane(const struct control *c)
{
    const struct attach *a = &c->core.attach;
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

static json_t *totals(const struct control *c, const struct problems_sums *s)
{
    const struct tally *t = s->state;
    const struct journal *journal = &c->core.journal;
    json_t *o = json_object();
    admin_set_number(o, "accepted_rcpts", journal->accepted_rcpts);
    admin_set_number(o, "delivered_rcpts", journal->delivered_rcpts);
    admin_set_number(o, "waiting", t[DELIVERY_WAITING].deliveries);
    admin_set_number(o, "in_flight", t[DELIVERY_IN_FLIGHT].deliveries);
    admin_set_number(o, "frozen", t[DELIVERY_FROZEN].deliveries);
    admin_set_number(o, "held", t[DELIVERY_HELD].deliveries + t[DELIVERY_ORPHAN].deliveries);
    admin_set_number(o, "orphans", t[DELIVERY_ORPHAN].deliveries);
    admin_set_number(o, "waiting_rcpts", t[DELIVERY_WAITING].rcpts + t[DELIVERY_IN_FLIGHT].rcpts);
    admin_set_number(o, "frozen_rcpts", s->frozen_rcpts);
    admin_set_number(o, "held_rcpts", t[DELIVERY_HELD].rcpts + t[DELIVERY_ORPHAN].rcpts);
    admin_set_number(o, "possible_duplicates", journal->possible_duplicates);
    admin_set_number(o, "damaged", journal->damaged);
    return o;
}

static json_t *one_route(const struct control *c, const struct route *r)
{
    uint64_t wall_ms = c->core.now.wall_ms;
    uint64_t oldest_ms = r->oldest_ms != 0 && wall_ms > r->oldest_ms ? wall_ms - r->oldest_ms : 0;
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
    uint64_t now_ns = c->core.now.now_ns;
    if (h->breaker.state != BREAKER_OPEN || h->breaker.next_probe_ns <= now_ns) {
        return 0;
    }
    return (h->breaker.next_probe_ns - now_ns) / 1000000;
}

static json_t *one_hop(struct status_job *j, const struct control *c, const struct hop *h)
{
    bool heard = h->last_outcome != OUTCOME_NONE;
    json_t *o = json_object();
    admin_set_text(o, "name", bytes_str(h->name));
    admin_set_text(o, "breaker", bytes_str(breaker_state_text(h->breaker.state)));
    admin_set_number(o, "failures", h->breaker.failures);
    admin_set_text(o, "last_outcome", bytes_str(outcome_text((enum outcome)h->last_outcome)));
    admin_set_number(o, "last_code", h->last_code);
    admin_set_text(o, "last_text",
                   bytes_str(heard ? outcome_meaning((enum outcome)h->last_outcome) : ""));
    if (heard && h->last_state_pos != 0) {
        leave_blank(j, o, "last_text", h->last_state_pos);
    }
    admin_set_number(o, "since_ms", h->since_ms);
    admin_set_number(o, "in_flight", h->in_flight);
    admin_set_number(o, "window", h->window);
    admin_set_number(o, "next_probe_ms", probe_in_ms(c, h));
    return o;
}

/* Finds the reply of one delivery that was lately frozen with that class, if it still is. */
static uint64_t sample_pos(const struct control *c, const struct route *r, enum outcome class)
{
    const struct delivery *d = index_find(&c->core.index, r->frozen_sample[class]);
    unsigned count = d == NULL ? 0 : delivery_rcpt_count(d);
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        if (rcpt.state == RCPT_FROZEN && rcpt.outcome == class) {
            return rcpt.state_pos;
        }
    }
    return 0;
}

static void add_frozen(struct status_job *j, const struct control *c, const struct route *r,
                       json_t *frozen)
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
        admin_set_text(o, "sample_reply", bytes_str(""));
        leave_blank(j, o, "sample_reply", sample_pos(c, r, (enum outcome) class));
        json_array_append_new(frozen, o);
    }
}

static json_t *counters(const struct control *c)
{
    const struct abi_attach *region = c->core.attach.region;
    json_t *o = json_object();
    for (int i = 0; i < COUNTER_COUNT && region != NULL; i++) {
        admin_set_number(o, counter_info[i].name,
                         atomic_load_explicit(&region->counter[i], memory_order_relaxed));
    }
    return o;
}

/* How far control has read its spool, after a start; NULL when it has. */
static json_t *recovery(const struct control *c)
{
    const struct progress *p = &c->catchup.progress;
    if (c->catchup.recovered == 1) {
        return NULL;
    }
    return json_pack("{ss sI sI sI}", "reading", p->reading, "at", (json_int_t)p->at, "of",
                     (json_int_t)p->of, "deliveries", (json_int_t)c->core.index.count);
}

static json_t *make(struct status_job *j, const struct control *c)
{
    struct problems_sums sums;
    problems_sum(c, &sums);
    json_t *routes = json_array();
    json_t *frozen = json_array();
    json_t *hops = json_array();
    for (size_t i = 1; i <= c->core.routes.route_count; i++) {
        const struct route *r = routes_at(&c->core.routes, i);
        if (r->known || problems_has_mail(r)) {
            json_array_append_new(routes, one_route(c, r));
            add_frozen(j, c, r, frozen);
        }
    }
    for (size_t i = 1; i <= c->core.routes.hop_count; i++) {
        const struct hop *h = routes_hop_at(&c->core.routes, i);
        if (h->known || h->in_flight > 0) {
            json_array_append_new(hops, one_hop(j, c, h));
        }
    }
    json_t *o = admin_ok();
    int level = 0;
    admin_set_text(o, "hostname", bytes_str(c->config->hostname));
    admin_set_number(o, "pid", (uint64_t)getpid());
    json_object_set_new(o, "dataplane", dataplane(c));
    json_t *unread = recovery(c);
    if (unread != NULL) {
        json_object_set_new(o, "recovery", unread);
    }
    admin_set_number(o, "policy_generation", c->core.policy_generation);
    json_object_set_new(o, "totals", totals(c, &sums));
    json_object_set_new(o, "routes", routes);
    json_object_set_new(o, "hops", hops);
    json_object_set_new(o, "frozen", frozen);
    json_object_set_new(o, "counters", counters(c));
    json_object_set_new(o, "problems", problems_list(c, &sums, &level));
    admin_set_number(o, "level", (uint64_t)level);
    const struct abi_attach *region = c->core.attach.region;
    admin_set_number(o, "segments_free",
                     region == NULL ? 0
                                    : atomic_load_explicit(&region->counter[COUNTER_segments_free],
                                                           memory_order_relaxed));
    return o;
}

static struct status_job *of_work(struct work *work)
{
    return (struct status_job *)((char *)work - offsetof(struct status_job, work));
}

static void fill_run(struct work *work, struct work_tools *tools)
{
    struct status_job *j = of_work(work);
    char text[LIMIT_REPLY_TEXT_BYTES + 1];
    for (size_t i = 0; i < j->blank_count; i++) {
        if (look_reply(tools, j->blank[i].pos, text, sizeof text) > 0) {
            admin_set_text(j->blank[i].object, j->blank[i].key, bytes_str(text));
        }
    }
}

static bool fill_done(struct work *work, struct control *c)
{
    struct status_job *j = of_work(work);
    (void)c;
    j->job.under_way = false;
    j->job.answer = j->made;
    j->made = NULL;
    return true;
}

static bool step(struct job *job, struct control *c)
{
    struct status_job *j = (struct status_job *)job;
    j->made = make(j, c);
    if (j->blank_count == 0) {
        job->answer = j->made;
        j->made = NULL;
        return true;
    }
    j->work = (struct work){.lane = WORK_LOOK, .quick = true, .run = fill_run, .done = fill_done};
    job_submit(job, c, &j->work);
    return true;
}

static void fini(struct job *job)
{
    struct status_job *j = (struct status_job *)job;
    mem_free(j->blank);
    json_decref(j->made);
}

json_t *admin_status(struct control *c, struct admin_request *request)
{
    struct status_job *j = job_create(c, sizeof *j, request, step);
    j->job.looks = true;
    j->job.fini = fini;
    return NULL;
}
