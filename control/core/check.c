/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/check.c: the walk over all deliveries, and what must agree with it. See check.h.
 * What can be checked without the deliveries is in check_parts.c. Pure.
 *
 *   each delivery ─▶ its recipients, its state, its place in a queue, its positions
 *                └─▶ counted into a struct census ─▶ compared with sums, rules, hops, segments
 *   each list     ─▶ what stands in it says so itself, and nobody else says so
 */
#include "control/core/check.h"

#include "control/core/check_parts.h"
#include "control/core/mem.h"

struct route_census {
    struct tally tally[DELIVERY_STATE_COUNT];
    uint64_t frozen_deliveries[OUTCOME_COUNT];
    uint64_t frozen_rcpts[OUTCOME_COUNT];
};

/* What the walk over the deliveries counts. */
struct census {
    size_t deliveries;
    size_t lives;
    size_t in_heap;
    size_t in_list;
    size_t in_flight;
    struct route_census *route; /* by index */
    struct tally *rule;         /* by place in struct rules: what it holds */
    uint64_t *segment;          /* by place in struct liveness: live messages */
};

/* --- one delivery ---------------------------------------------------------------------------- */

static void check_rcpts(const struct delivery *d)
{
    unsigned count = delivery_rcpt_count(d);
    unsigned waiting = 0;
    unsigned frozen = 0;
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        assert(rcpt.state <= RCPT_FROZEN && outcome_valid(rcpt.outcome));
        waiting += rcpt.state == RCPT_WAITING;
        frozen += rcpt.state == RCPT_FROZEN;
    }
    assert(waiting == delivery_waiting_count(d) && frozen == delivery_frozen_count(d));
    assert(waiting + frozen > 0); /* a complete delivery is gone */
}

/* A configuration that is new has come to this slot already (rounds.h). */
static bool is_resettled(const struct core *c, uint32_t slot)
{
    return !c->rounds.resettling || slot < c->rounds.resettle_slot;
}

static void check_waiting(const struct delivery *d, const struct live *l)
{
    bool in_heap = l->heap_place != 0;
    bool in_list = !list_is_empty(&l->node);
    assert(delivery_waiting_count(d) > 0 && l->flight == NULL);
    assert(!(in_heap && in_list));
    assert(!in_heap || !(d->unjudged || d->freezing));
    /* In no queue: the shell was asked for its envelope, or its FREEZE is on its way. */
    assert(in_heap || in_list || d->unjudged || d->freezing);
}

static void check_state(const struct core *c, const struct delivery *d, uint32_t slot)
{
    const struct route *r = routes_at(&c->routes, d->route);
    const struct rule *rule = NULL;
    const struct live *l = NULL;
    bool resettled = is_resettled(c, slot);
    assert(r != NULL && r->index == d->route && d->hop <= c->routes.hop_count);
    switch ((enum delivery_state)d->state) {
    case DELIVERY_WAITING:
        check_waiting(d, schedule_live(&c->schedule, d));
        assert(r->known || !resettled);
        return;
    case DELIVERY_IN_FLIGHT:
        l = schedule_live(&c->schedule, d);
        assert(l->flight != NULL && l->flight->delivery == d);
        assert(l->heap_place == 0 && list_is_empty(&l->node));
        return;
    case DELIVERY_FROZEN:
        assert(delivery_waiting_count(d) == 0 && d->live == 0);
        return;
    case DELIVERY_HELD:
        rule = rules_find(&c->rules, d->live); /* NULL: it ended, and a walk comes to this one */
        assert(delivery_waiting_count(d) > 0 && d->live != 0 && d->live < RULES_PLANNED);
        assert((rule == NULL || rule->in_force) && (r->known || !resettled));
        return;
    case DELIVERY_ORPHAN:
        assert(delivery_waiting_count(d) > 0 && d->live == 0);
        assert(!r->known || !resettled);
        return;
    case DELIVERY_STATE_COUNT:
        break;
    }
    assert(false);
}

static void check_delivery(const struct core *c, const struct delivery *d, uint32_t slot)
{
    const struct delivery *other = index_find_message(&c->index, d->id);
    assert(index_find(&c->index, d->id) == d && index_slot(&c->index, d) == slot);
    assert(other != NULL && other->first_pos == d->first_pos);
    assert(delivery_commit_pos(other) == delivery_commit_pos(d));
    assert(d->first_pos <= delivery_commit_pos(d));
    const struct flight *flight = flight_find(&c->flights, d->id);
    assert((flight != NULL) == (d->state == DELIVERY_IN_FLIGHT));
    assert(!d->freezing || outbox_find(&c->outbox, d->id, ABI_STATE_FREEZE) != NULL);
    assert(!d->releasing || outbox_find(&c->outbox, d->id, ABI_STATE_RELEASE) != NULL);
    check_rcpts(d);
    check_state(c, d, slot);
}

/* --- counting -------------------------------------------------------------------------------- */

static void count_in_route(struct route_census *r, const struct delivery *d)
{
    unsigned count = delivery_rcpt_count(d);
    r->tally[d->state].deliveries++;
    r->tally[d->state].rcpts += delivery_waiting_count(d);
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        r->frozen_rcpts[rcpt.outcome] += rcpt.state == RCPT_FROZEN;
    }
    if (d->state == DELIVERY_FROZEN) {
        r->frozen_deliveries[delivery_class(d, NULL)]++;
    }
}

static void count_in_rule(const struct core *c, struct census *census, const struct delivery *d)
{
    for (size_t i = 0; d->state == DELIVERY_HELD && i < c->rules.count; i++) {
        if (c->rules.rule[i]->id == d->live) {
            census->rule[i].deliveries++;
            census->rule[i].rcpts += delivery_waiting_count(d);
        }
    }
}

/* One delivery of each message stands for the message. */
static void count_in_segments(const struct core *c, struct census *census, const struct delivery *d)
{
    const struct liveness *live = &c->journal.liveness;
    if (index_find_message(&c->index, d->id) != d) {
        return;
    }
    uint64_t last = delivery_commit_pos(d) >> 32;
    size_t place = 0;
    for (uint64_t seq = d->first_pos >> 32; seq <= last; seq++) {
        while (place < live->count && live->segment[place].seq < seq) {
            place++;
        }
        assert(place < live->count && live->segment[place].seq == seq);
        census->segment[place]++;
    }
}

static void count_live(const struct core *c, struct census *census, const struct delivery *d)
{
    if (d->state != DELIVERY_WAITING && d->state != DELIVERY_IN_FLIGHT) {
        return;
    }
    const struct live *l = schedule_live(&c->schedule, d);
    census->lives++;
    census->in_heap += l->heap_place != 0;
    census->in_list += !list_is_empty(&l->node);
    census->in_flight += l->flight != NULL;
}

static void walk(const struct core *c, struct census *census)
{
    for (uint32_t slot = 0; slot < index_slots(&c->index); slot++) {
        const struct delivery *d = index_at(&c->index, slot);
        if (d->id == 0) {
            continue;
        }
        check_delivery(c, d, slot);
        census->deliveries++;
        count_live(c, census, d);
        count_in_route(&census->route[d->route], d);
        count_in_rule(c, census, d);
        count_in_segments(c, census, d);
    }
}

/* --- what was counted, against what is kept -------------------------------------------------- */

static void check_sums(const struct core *c, const struct census *census)
{
    for (size_t i = 1; i <= c->routes.route_count; i++) {
        const struct route *r = c->routes.route[i];
        const struct route_census *found = &census->route[i];
        for (int state = 0; state < DELIVERY_STATE_COUNT; state++) {
            assert(r->tally[state].deliveries == found->tally[state].deliveries);
            assert(r->tally[state].rcpts == found->tally[state].rcpts);
        }
        for (int class = 0; class < OUTCOME_COUNT; class ++) {
            assert(r->frozen_deliveries[class] == found->frozen_deliveries[class]);
            assert(r->frozen_rcpts[class] == found->frozen_rcpts[class]);
        }
    }
    for (size_t i = 0; i < c->rules.count; i++) {
        assert(c->rules.rule[i]->matches == census->rule[i].deliveries);
        assert(c->rules.rule[i]->rcpts == census->rule[i].rcpts);
    }
    for (size_t i = 0; i < c->journal.liveness.count; i++) {
        assert(c->journal.liveness.segment[i].live == census->segment[i]);
    }
}

/* Every free place is in the list of them, once. */
static void check_index(const struct core *c, const struct census *census)
{
    const struct index *index = &c->index;
    size_t in_shards = 0;
    size_t free_count = 0;
    for (size_t i = 0; i < INDEX_SHARDS; i++) {
        const struct index_shard *shard = &index->shard[i];
        size_t used = 0;
        for (uint32_t entry = 0; entry < shard->size; entry++) {
            used += shard->entry[entry] != 0;
        }
        assert(used == shard->count && (shard->count == 0 || shard->count < shard->size));
        in_shards += used;
    }
    assert(in_shards == census->deliveries && index->count == census->deliveries);
    for (uint64_t at = index->free_slot; at != 0; free_count++) {
        assert(at <= index_slots(index) && free_count < index_slots(index));
        const struct delivery *d = index_at(index, (uint32_t)(at - 1));
        assert(d->id == 0 && !d->is_wide && d->live == 0);
        at = d->next_free;
    }
    assert(free_count + index->count == index_slots(index));
}

/* --- queues ---------------------------------------------------------------------------------- */

/* Returns how many stand in it. */
static size_t check_queue(const struct core *c, const struct list *queue, const struct route *ready)
{
    size_t count = 0;
    for (const struct list *n = queue->next; n != queue; n = n->next) {
        const struct live *l = list_entry(n, struct live, node);
        const struct delivery *d = l->delivery;
        assert(n->next->prev == n && n->prev->next == n);
        assert(d != NULL && d->state == DELIVERY_WAITING && l->heap_place == 0);
        assert(schedule_live(&c->schedule, d) == l);
        assert(d->unjudged || l->due_ns <= c->now.now_ns);
        assert(ready == NULL || d->route == ready->index);
        assert(d->unjudged == (queue == &c->schedule.unjudged));
        assert(d->unjudged || (d->faults > 0) == (queue == &c->schedule.suspects));
        count++;
    }
    return count;
}

static void check_queues(const struct core *c, const struct census *census)
{
    const struct schedule *s = &c->schedule;
    size_t in_list = check_queue(c, &s->suspects, NULL) + check_queue(c, &s->unjudged, NULL);
    size_t with_ready = 0;
    size_t active = 0;
    for (size_t i = 1; i <= c->routes.route_count; i++) {
        const struct route *r = c->routes.route[i];
        in_list += check_queue(c, &r->ready, r);
        assert(list_is_empty(&r->ready) == list_is_empty(&r->active_node));
        with_ready += !list_is_empty(&r->ready);
    }
    for (const struct list *n = s->active.next; n != &s->active; n = n->next) {
        const struct route *r = list_entry(n, struct route, active_node);
        assert(n->next->prev == n && routes_at(&c->routes, r->index) == r);
        active++;
    }
    assert(in_list == census->in_list && active == with_ready);
}

static const struct live *heap_at(const struct schedule *s, size_t i)
{
    assert(i < s->heap_count && i / SCHEDULE_PAGE_PLACES < s->page_count);
    return s->heap_page[i / SCHEDULE_PAGE_PLACES][i % SCHEDULE_PAGE_PLACES];
}

static void check_heap(const struct core *c, const struct census *census)
{
    const struct schedule *s = &c->schedule;
    for (size_t i = 0; i < s->heap_count; i++) {
        const struct live *l = heap_at(s, i);
        assert(l->heap_place == i + 1 && l->delivery != NULL);
        assert(l->delivery->state == DELIVERY_WAITING && schedule_live(s, l->delivery) == l);
        assert(i == 0 || heap_at(s, (i - 1) / 2)->due_ns <= l->due_ns);
    }
    assert(s->heap_count == census->in_heap);
}

static void check_lives(const struct core *c, const struct census *census)
{
    const struct schedule *s = &c->schedule;
    size_t taken = 0;
    size_t free_count = 0;
    for (size_t i = 0; i < s->slab_count * SCHEDULE_SLAB_LIVES; i++) {
        const struct live *l = &s->slab[i / SCHEDULE_SLAB_LIVES][i % SCHEDULE_SLAB_LIVES];
        assert(l->index == i);
        assert(l->delivery == NULL || l->delivery->live == i);
        taken += l->delivery != NULL;
    }
    for (const struct list *n = s->free.next; n != &s->free; n = n->next) {
        assert(list_entry(n, struct live, node)->delivery == NULL);
        free_count++;
    }
    assert(taken == s->live_count && taken == census->lives);
    assert(taken + free_count == s->slab_count * SCHEDULE_SLAB_LIVES);
}

/* --- flights --------------------------------------------------------------------------------- */

static void check_flight(const struct core *c, const struct flight *flight)
{
    assert(flight->node.next->prev == &flight->node);
    assert(flight_find(&c->flights, flight->id) == flight);
    assert(flight->delivery == index_find(&c->index, flight->id));
    assert(flight->delivery == NULL ||
           schedule_live(&c->schedule, flight->delivery)->flight == flight);
    assert(flight->hop == NULL || routes_hop_at(&c->routes, flight->hop->index) == flight->hop);
    assert(flight->worker == FLIGHT_WORKER_UNKNOWN || flight->worker < c->attach.worker_count);
    assert(flight->alone == (flight->id == c->suspects.alone_id));
}

static void check_flights(const struct core *c, const struct census *census)
{
    uint32_t in_flight[LIMIT_WORKERS] = {0};
    const struct list *all = &c->flights.all;
    size_t count = 0;
    size_t known = 0;
    for (const struct list *n = all->next; n != all; n = n->next) {
        const struct flight *flight = list_entry(n, struct flight, node);
        check_flight(c, flight);
        if (flight->worker < LIMIT_WORKERS) {
            in_flight[flight->worker]++;
        }
        count++;
        known += flight->delivery != NULL;
    }
    assert(count == c->flights.count && count == c->flights.by_id.count);
    assert(known == census->in_flight && c->flights.cut_count <= c->flights.cut_capacity);
    for (uint32_t w = 0; w < c->attach.worker_count; w++) {
        assert(in_flight[w] == c->attach.in_flight[w]);
    }
    assert(c->suspects.alone_id == 0 || flight_find(&c->flights, c->suspects.alone_id) != NULL);
}

static void check_hop(const struct core *c, const struct hop *hop)
{
    const struct list *all = &c->flights.all;
    size_t in_flight = 0;
    size_t probes = 0;
    for (const struct list *n = all->next; n != all; n = n->next) {
        const struct flight *flight = list_entry(n, struct flight, node);
        in_flight += flight->hop == hop;
        probes += flight->hop == hop && flight->probe;
    }
    assert(hop->in_flight == in_flight);
    assert(!hop->known || (hop->window >= 1 && hop->window <= hop->connection_count_max));
    assert((hop->breaker.state == BREAKER_CLOSED) || hop->breaker.failures > 0);
    /* Nobody but a canary under way can end this state. */
    assert(hop->breaker.state != BREAKER_PROBING || probes > 0);
}

void core_check(const struct core *c)
{
    size_t rules = c->rules.count + 1;
    size_t segments = c->journal.liveness.count + 1;
    struct census census = {
        .route = mem_zalloc((c->routes.route_count + 1) * sizeof *census.route),
        .rule = mem_zalloc(rules * sizeof *census.rule),
        .segment = mem_zalloc(segments * sizeof *census.segment),
    };
    check_parts(c);
    walk(c, &census);
    check_index(c, &census);
    check_sums(c, &census);
    check_lives(c, &census);
    check_heap(c, &census);
    check_queues(c, &census);
    check_flights(c, &census);
    for (size_t i = 1; i <= c->routes.hop_count; i++) {
        check_hop(c, c->routes.hop[i]);
    }
    mem_free(census.route);
    mem_free(census.rule);
    mem_free(census.segment);
}
