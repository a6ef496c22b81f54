/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/send.c: which delivery goes to which hop, and when. Pure.
 *
 *   heap (by time) ──due──▶ route->ready ─▶ active routes take turns ─▶
 *                                   hop: breaker closed and a place in its window, or one canary
 *
 * Promise: no delivery expires, and each is tried at least every retry.max. Behind an open breaker
 *          it waits, and no attempt is counted. When the breaker closes, the hop gets one delivery
 *          at first, and one more at a time for each that went well.
 * Trap:    the rules are asked again for every delivery just before it is sent: its age or class
 *          may have changed since it was placed.
 */
#include "control/core/send.h"

#include "control/core/life.h"
#include "common/limits/ring.h"

enum {
    DUE_PER_TURN = 512,
    SENDS_PER_TURN = 256,
    COMMANDS_PER_TURN = 256,
    /* After so many pauses that ended before the others were done, a suspect goes beside them: the
     * fault handler names the delivery at fault in that case, too. */
    ALONE_VAIN_MAX = 3,
};

#define ALONE_NS_MAX   (10 * UINT64_C(1000000000))
#define ALONE_PAUSE_NS UINT64_C(1000000000)

static bool take_due(struct core *c)
{
    struct live *l;
    int taken = 0;
    while (taken < DUE_PER_TURN && (l = schedule_take_due(&c->schedule, c->now.now_ns)) != NULL) {
        struct route *r = routes_at(&c->routes, l->delivery->route);
        assert(r != NULL && l->delivery->state == DELIVERY_WAITING);
        schedule_wait(&c->schedule, l, r, c->now.now_ns);
        assert(l->heap_place == 0); /* else it is taken again and again */
        taken++;
    }
    return taken == DUE_PER_TURN;
}

/* The hop for a route's next delivery: the first in preference that is not broken, if it has a
 * place; a broken one when its canary is due. NULL: none now. */
static struct hop *pick_hop(const struct core *c, const struct route *r)
{
    assert(r->known && r->hop_count <= LIMIT_HOPS_PER_ROUTE);
    for (uint32_t i = 0; i < r->hop_count; i++) {
        struct hop *hop = r->hop[i];
        assert(hop->known && hop->window > 0);
        if (hop->breaker.state == BREAKER_CLOSED) {
            return hop->in_flight < hop->window ? hop : NULL;
        }
        if (breaker_may_probe(&hop->breaker, c->now.now_ns)) {
            return hop;
        }
    }
    return NULL;
}

/* The worker with the fewest deliveries, FLIGHT_WORKER_UNKNOWN when all are at their bound. */
static uint32_t pick_worker(const struct attach *a)
{
    uint32_t best = FLIGHT_WORKER_UNKNOWN;
    assert(a->phase == ATTACH_RUNNING && a->worker_count > 0);
    for (uint32_t w = 0; w < a->worker_count; w++) {
        if (a->in_flight[w] < LIMIT_DELIVERS_IN_FLIGHT &&
            (best == FLIGHT_WORKER_UNKNOWN || a->in_flight[w] < a->in_flight[best])) {
            best = w;
        }
    }
    assert(best == FLIGHT_WORKER_UNKNOWN || a->in_flight[best] < LIMIT_DELIVERS_IN_FLIGHT);
    return best;
}

static bool put(struct core *c, const struct delivery *d, const struct hop *hop, uint32_t worker,
                bool probe)
{
    struct abi_down down = {
        .type = ABI_DOWN_DELIVER,
        .flags = probe ? ABI_FLAG_PROBE : 0,
        .attempt = (uint16_t)d->attempts,
        .deliver = {.id = d->id,
                    .commit_pos = delivery_commit_pos(d),
                    .first_pos = d->first_pos,
                    .rcpts = delivery_rcpts(d, RCPT_WAITING),
                    .hop_id = hop->id,
                    .route_id = routes_at(&c->routes, d->route)->id},
    };
    assert(!rcptset_is_empty(&down.deliver.rcpts) && !d->unjudged && !d->freezing);
    assert(down.deliver.first_pos <= down.deliver.commit_pos && hop->id != 0);
    return attach_put(&c->attach, worker, &down);
}

static bool send(struct core *c, struct delivery *d, struct hop *hop, bool alone)
{
    uint32_t worker = pick_worker(&c->attach);
    bool probe = hop->breaker.state != BREAKER_CLOSED;
    assert(d->state == DELIVERY_WAITING);
    if (worker == FLIGHT_WORKER_UNKNOWN || !put(c, d, hop, worker, probe || alone)) {
        return false;
    }
    struct live *l = life_lift(c, d);
    struct flight *flight =
        flight_begin(&c->flights, d->id, l, hop, seen_top(&c->journal.states), c->now.now_ns);
    flight->worker = worker;
    flight->probe = probe;
    flight->alone = alone;
    c->attach.in_flight[worker]++;
    d->hop = hop->index;
    if (probe) {
        breaker_probe_begin(&hop->breaker);
        hop->since_ms = c->now.wall_ms;
    }
    bool here = life_settle(c, d);
    assert(here && d->state == DELIVERY_IN_FLIGHT);
    assert(l->flight == flight && c->attach.in_flight[worker] <= LIMIT_DELIVERS_IN_FLIGHT);
    return true;
}

/* A suspect goes alone: the others pause until what is under way has ended, and while it is under
 * way itself. They pause at most ALONE_NS_MAX each time, and with a second between two suspects. A
 * slow hop may keep others under way for longer: see ALONE_VAIN_MAX. Returns true while the others
 * have to wait. */
static bool run_suspects(struct core *c, bool *worked)
{
    struct suspects *s = &c->suspects;
    struct list *list = &c->schedule.suspects;
    uint64_t now_ns = c->now.now_ns;
    if (s->alone_id != 0) {
        return now_ns < s->alone_until_ns;
    }
    if (list_is_empty(list) || now_ns < s->next_ns) {
        return false;
    }
    struct live *l = list_entry(list->next, struct live, node);
    struct delivery *d = l->delivery;
    assert(d->faults > 0 && l->flight == NULL);
    struct hop *hop = pick_hop(c, routes_at(&c->routes, d->route));
    if (hop == NULL) {
        list_remove(&l->node); /* its hop is down or full: the next one's turn */
        list_append(list, &l->node);
        s->next_ns = now_ns + ALONE_PAUSE_NS;
        return false;
    }
    if (c->flights.count > 0 && s->vain < ALONE_VAIN_MAX) {
        if (now_ns < s->next_ns + ALONE_NS_MAX) {
            return true;
        }
        s->next_ns = now_ns + ALONE_NS_MAX; /* the others' turn */
        s->vain++;
        return false;
    }
    if (life_leaves_queue(c, d)) {
        *worked = true;
        return false;
    }
    uint64_t id = d->id;
    if (!send(c, d, hop, true)) {
        return false;
    }
    *worked = true;
    s->vain = 0;
    assert(flight_find(&c->flights, id) != NULL && flight_find(&c->flights, id)->alone);
    s->alone_id = id;
    s->alone_until_ns = now_ns + ALONE_NS_MAX;
    return true;
}

static bool may_send(const struct core *c)
{
    const struct attach *a = &c->attach;
    assert((a->phase == ATTACH_NONE) == (a->region == NULL));
    if (c->rules_lost) {
        return false; /* a hold that was answered may not be known at the next start */
    }
    if (a->phase != ATTACH_RUNNING || a->reading ||
        !attach_policy_adopted(a, c->policy_generation)) {
        return false; /* a worker with an older policy does not know a new hop */
    }
    uint32_t spool = atomic_load_explicit(&a->region->spool_state, memory_order_relaxed);
    return spool != ABI_SPOOL_FENCED; /* no delivery whose outcome can't be recorded */
}

/* One delivery of the route, if its hop takes it. */
static bool run_route(struct core *c, struct route *r)
{
    struct live *l = list_entry(r->ready.next, struct live, node);
    assert(l->delivery->route == r->index && l->flight == NULL && l->heap_place == 0);
    assert(l->delivery->state == DELIVERY_WAITING && l->due_ns <= c->now.now_ns);
    if (life_leaves_queue(c, l->delivery)) {
        return true;
    }
    struct hop *hop = pick_hop(c, r);
    return hop != NULL && send(c, l->delivery, hop, false);
}

/* Routes take turns, one delivery each. A route that could not send is passed over until the next
 * call. */
static bool run_routes(struct core *c)
{
    struct list *active = &c->schedule.active;
    struct list blocked;
    int sent = 0;
    list_init(&blocked);
    while (!list_is_empty(active) && c->flights.count < c->attach.credits &&
           sent < SENDS_PER_TURN) {
        struct list *node = active->next;
        struct route *r = list_entry(node, struct route, active_node);
        list_remove(node);
        list_append(active, node);
        if (run_route(c, r)) {
            sent++;
        } else {
            list_remove(node);
            list_append(&blocked, node);
        }
    }
    while (!list_is_empty(&blocked)) {
        struct list *node = blocked.next;
        list_remove(node);
        list_append(active, node);
    }
    assert(list_is_empty(&blocked) && sent <= SENDS_PER_TURN);
    return sent > 0;
}

bool send_turn(struct core *c)
{
    bool worked = take_due(c);
    assert(worked || schedule_next_ns(&c->schedule) > c->now.now_ns);
    if (!may_send(c) || run_suspects(c, &worked)) {
        return worked;
    }
    return run_routes(c) || worked;
}

/* --- state commands -------------------------------------------------------------------------- */

/* Takes from the command what need not be done any more. Returns false when nothing is left: the
 * command is gone. */
static bool still_wanted(struct core *c, struct pending *p)
{
    struct delivery *d = index_find(&c->index, p->id);
    bool release = p->kind == ABI_STATE_RELEASE;
    assert(!p->sent && !rcptset_is_empty(&p->rcpts));
    struct rcptset gone = p->rcpts;
    if (d != NULL) {
        struct rcptset now = delivery_rcpts(d, release ? RCPT_FROZEN : RCPT_WAITING);
        rcptset_subtract(&gone, &now);
    }
    rcptset_subtract(&p->rcpts, &gone);
    if (!rcptset_is_empty(&p->rcpts)) {
        return true;
    }
    outbox_forget(&c->outbox, p);
    if (d != NULL) {
        (void)life_lift(c, d);
        d->releasing = d->releasing && !release;
        d->freezing = d->freezing && release;
        (void)life_settle(c, d);
    }
    return false;
}

bool send_commands(struct core *c)
{
    struct pending *p;
    int done = 0;
    assert(c->attach.phase == ATTACH_RUNNING && !c->attach.reading);
    while (done < COMMANDS_PER_TURN && (p = outbox_next(&c->outbox)) != NULL) {
        if (still_wanted(c, p) && !outbox_send(&c->outbox, &c->attach, p)) {
            break;
        }
        done++;
    }
    assert(c->outbox.sent_count <= OUTBOX_OUTSTANDING);
    return done > 0;
}

/* --- the clock ------------------------------------------------------------------------------- */

/* What is due already and could not be done waits for an event, not for the clock. */
static uint64_t earlier(const struct core *c, uint64_t next_ns, uint64_t at_ns)
{
    return at_ns > c->now.now_ns && at_ns < next_ns ? at_ns : next_ns;
}

uint64_t send_next_ns(const struct core *c)
{
    uint64_t next_ns = schedule_next_ns(&c->schedule);
    if (!may_send(c)) {
        return next_ns;
    }
    const struct list *active = &c->schedule.active;
    for (const struct list *l = active->next; l != active; l = l->next) {
        const struct route *r = list_entry(l, struct route, active_node);
        for (uint32_t i = 0; i < r->hop_count; i++) {
            const struct breaker *b = &r->hop[i]->breaker;
            if (b->state == BREAKER_OPEN) {
                next_ns = earlier(c, next_ns, b->next_probe_ns);
            }
        }
    }
    const struct suspects *s = &c->suspects;
    if (s->alone_id != 0) {
        next_ns = earlier(c, next_ns, s->alone_until_ns);
    } else if (!list_is_empty(&c->schedule.suspects)) {
        next_ns = earlier(c, next_ns, s->next_ns);
        next_ns = earlier(c, next_ns, s->next_ns + ALONE_NS_MAX);
    }
    assert(next_ns <= schedule_next_ns(&c->schedule));
    return next_ns;
}
