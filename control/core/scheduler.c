/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/scheduler.c: which delivery goes to which hop, and when.
 *
 *   settle ─▶ due? ──no──▶ heap (by time) ──due──▶ ┐
 *              └──yes─────────────────────────────▶ route->ready ─▶ active routes take turns ─▶
 *                                   hop: breaker closed and a place in its window, or one canary
 *
 * Promise: a delivery waits for ever and is tried at least every retry.max; behind an open breaker
 *          it waits without counting attempts, and when that closes the hop gets one delivery,
 *          then one more at a time for each that went well, not all at once.
 * Trap:    rules are asked again for every delivery just before it is sent: that is what makes a
 *          hold true for mail whose age or class has changed since.
 */
#include "control/core/heap.h"
#include "control/core/index.h"
#include "control/core/rules.h"

uint64_t scheduler_backoff_ns(uint64_t id, uint32_t attempts, uint32_t first_ms, uint32_t max_ms)
{
    uint64_t delay_ms = first_ms > 0 ? first_ms : 1;
    for (uint32_t i = 1; i < attempts && delay_ms < max_ms; i++) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms < max_ms ? delay_ms : max_ms;
    /* Up to a quarter less, by the id: deliveries that failed together do not return together. */
    uint64_t mixed = (id + attempts) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t delay_ns = delay_ms * 1000000;
    return delay_ns - (delay_ns / 4 / 65536) * (mixed >> 48);
}

static void make_ready(struct control *c, struct delivery *d)
{
    assert(list_is_empty(&d->ready_node) && d->heap_slot == 0);
    if (d->faults > 0) {
        list_append(&c->suspects, &d->ready_node);
        return;
    }
    if (list_is_empty(&d->route->ready)) {
        list_append(&c->active, &d->route->active_node);
    }
    list_append(&d->route->ready, &d->ready_node);
}

void scheduler_wait(struct control *c, struct delivery *d)
{
    assert(d->state == DELIVERY_WAITING && d->flight == NULL);
    if (d->due_ns > c->now.now_ns) {
        heap_put(c, d);
    } else {
        make_ready(c, d);
    }
}

void scheduler_drop(struct control *c, struct delivery *d)
{
    if (d->heap_slot != 0) {
        heap_take(c, d);
    }
    if (!list_is_empty(&d->ready_node)) {
        list_remove(&d->ready_node);
        if (list_is_empty(&d->route->ready) && !list_is_empty(&d->route->active_node)) {
            list_remove(&d->route->active_node);
        }
    }
}

static void take_due(struct control *c)
{
    struct delivery *d;
    while ((d = heap_top(c)) != NULL && d->due_ns <= c->now.now_ns) {
        heap_take(c, d);
        make_ready(c, d);
    }
}

/* The hop for a route's next delivery: the first in preference that is not broken, if it has a
 * place; a broken one when its canary is due. NULL: none now. */
static struct hop *pick_hop(const struct control *c, const struct route *r)
{
    for (uint32_t i = 0; i < r->hop_count; i++) {
        struct hop *hop = r->hop[i];
        if (hop->breaker.state == BREAKER_CLOSED) {
            return hop->in_flight < hop->window ? hop : NULL;
        }
        if (breaker_may_probe(&hop->breaker, c->now.now_ns)) {
            return hop;
        }
    }
    return NULL;
}

/* The worker with the fewest deliveries, UINT32_MAX when all are at their bound. */
static uint32_t pick_worker(struct control *c)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t w = 0; w < c->attach.worker_count; w++) {
        if (c->attach.in_flight[w] < LIMIT_DELIVERS_IN_FLIGHT &&
            (best == UINT32_MAX || c->attach.in_flight[w] < c->attach.in_flight[best])) {
            best = w;
        }
    }
    return best;
}

static bool send(struct control *c, struct delivery *d, struct hop *hop, bool alone)
{
    uint32_t worker = pick_worker(c);
    if (worker == UINT32_MAX) {
        return false;
    }
    bool probe = hop->breaker.state != BREAKER_CLOSED;
    struct abi_down down = {
        .type = ABI_DOWN_DELIVER,
        .flags = probe || alone ? ABI_FLAG_PROBE : 0,
        .attempt = d->attempts,
        .deliver = {.id = d->id,
                    .commit_pos = d->commit_pos,
                    .first_pos = d->first_pos,
                    .rcpts = delivery_rcpts(d, RCPT_WAITING),
                    .hop_id = hop->id,
                    .route_id = d->route->id},
    };
    if (!down_put(c, worker, &down)) {
        return false;
    }
    delivery_lift(c, d);
    struct flight *flight = flight_begin(c, d->id, d, hop);
    flight->worker = worker;
    flight->probe = probe;
    flight->alone = alone;
    c->attach.in_flight[worker]++;
    d->last_hop_id = hop->id;
    if (probe) {
        breaker_probe_begin(&hop->breaker);
        hop->since_ms = c->now.wall_ms;
    }
    delivery_settle(c, d);
    return true;
}

/* Held since it was queued? Then it leaves the queue. */
static bool is_held_now(struct control *c, struct delivery *d)
{
    if (!rules_hold(c, d)) {
        return false;
    }
    delivery_lift(c, d);
    delivery_settle(c, d);
    return true;
}

/* A suspect goes alone: nothing else is under way with it, unless that waits for a hop that takes
 * its time. Others pause for it at most once a second, and at most CONTROL_ALONE_NS_MAX. Returns
 * true while others have to wait. */
static bool run_suspects(struct control *c, bool *worked)
{
    if (c->alone_id != 0) {
        return c->now.now_ns < c->alone_until_ns;
    }
    if (list_is_empty(&c->suspects) || c->now.now_ns < c->alone_next_ns) {
        return false;
    }
    struct list *node = c->suspects.next;
    struct delivery *d = list_entry(node, struct delivery, ready_node);
    struct hop *hop = pick_hop(c, d->route);
    if (hop == NULL) {
        list_remove(node); /* its hop is down or full: the next one's turn */
        list_append(&c->suspects, node);
        c->alone_next_ns = c->now.now_ns + CONTROL_ALONE_PAUSE_NS;
        return false;
    }
    if (c->in_flight > 0 && c->alone_vain < CONTROL_ALONE_VAIN_MAX) {
        if (c->now.now_ns < c->alone_next_ns + CONTROL_ALONE_NS_MAX) {
            return true;
        }
        c->alone_next_ns = c->now.now_ns + CONTROL_ALONE_NS_MAX; /* the others' turn */
        c->alone_vain++;
        return false;
    }
    if (is_held_now(c, d)) {
        *worked = true;
        return false;
    }
    if (!send(c, d, hop, true)) {
        return false;
    }
    *worked = true;
    c->alone_vain = 0;
    c->alone_id = d->id;
    c->alone_until_ns = c->now.now_ns + CONTROL_ALONE_NS_MAX;
    return true;
}

bool scheduler_policy_adopted(const struct control *c)
{
    assert(c->attach.region != NULL);
    return atomic_load_explicit(&c->attach.region->policy_adopted, memory_order_acquire) >=
           c->policy_generation;
}

static bool may_send(const struct control *c)
{
    const struct attach *a = &c->attach;
    if (a->phase != ATTACH_RUNNING || !scheduler_policy_adopted(c)) {
        return false; /* a worker with an older policy does not know a new hop */
    }
    uint32_t spool = atomic_load_explicit(&a->region->spool_state, memory_order_relaxed);
    return spool != ABI_SPOOL_FENCED; /* no delivery whose outcome can't be recorded */
}

/* One delivery of the route, if its hop takes it. */
static bool run_route(struct control *c, struct route *r)
{
    struct delivery *d = list_entry(r->ready.next, struct delivery, ready_node);
    if (rules_any(c) && is_held_now(c, d)) {
        return true;
    }
    struct hop *hop = pick_hop(c, r);
    return hop != NULL && send(c, d, hop, false);
}

bool scheduler_turn(struct control *c)
{
    take_due(c);
    bool worked = false;
    if (!may_send(c) || run_suspects(c, &worked)) {
        return worked;
    }
    /* Routes take turns, one delivery each; a route that could not send is passed over from then
     * on. The last route looked at without success is where a fruitless round ends. */
    struct list blocked;
    list_init(&blocked);
    while (!list_is_empty(&c->active) && c->in_flight < c->attach.credits) {
        struct list *node = c->active.next;
        struct route *r = list_entry(node, struct route, active_node);
        list_remove(node);
        list_append(&c->active, node);
        if (run_route(c, r)) {
            worked = true;
        } else {
            list_remove(node);
            list_append(&blocked, node);
        }
    }
    while (!list_is_empty(&blocked)) {
        struct list *node = blocked.next;
        list_remove(node);
        list_append(&c->active, node);
    }
    return worked;
}

/* What is due already and was not done waits for an event, not for the clock. */
static uint64_t earlier(const struct control *c, uint64_t next_ns, uint64_t at_ns)
{
    return at_ns > c->now.now_ns && at_ns < next_ns ? at_ns : next_ns;
}

uint64_t scheduler_next_ns(const struct control *c)
{
    uint64_t next_ns = heap_top(c) != NULL ? heap_top(c)->due_ns : UINT64_MAX;
    if (!may_send(c)) {
        return next_ns;
    }
    for (const struct list *l = c->active.next; l != &c->active; l = l->next) {
        const struct route *r = list_entry(l, struct route, active_node);
        for (uint32_t i = 0; i < r->hop_count; i++) {
            const struct breaker *b = &r->hop[i]->breaker;
            if (b->state == BREAKER_OPEN) {
                next_ns = earlier(c, next_ns, b->next_probe_ns);
            }
        }
    }
    if (c->alone_id != 0) {
        next_ns = earlier(c, next_ns, c->alone_until_ns);
    } else if (!list_is_empty(&c->suspects)) {
        next_ns = earlier(c, next_ns, c->alone_next_ns);
        next_ns = earlier(c, next_ns, c->alone_next_ns + CONTROL_ALONE_NS_MAX);
    }
    return next_ns;
}
