/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rounds.c: see rounds.h. Pure. */
#include "control/core/rounds.h"

#include "control/core/life.h"

enum {
    RESETTLE_SLOTS = 256, /* in a turn; each costs a lift and a settle */
    CENSUS_SLOTS = 2048,  /* each costs a look */
};

#define CENSUS_PAUSE_NS UINT64_C(1000000000)

void rounds_resettle(struct core *c)
{
    c->rounds.resettling = true;
    c->rounds.resettle_slot = 0;
}

/* Frozen deliveries, and those under way, stay where they are: only the place of one that waits
 * depends on routes and rules. */
static bool resettle(struct core *c)
{
    assert(c->rounds.resettle_slot <= index_slots(&c->index));
    uint32_t budget = RESETTLE_SLOTS;
    struct delivery *d;
    while ((d = index_next(&c->index, &c->rounds.resettle_slot, &budget)) != NULL) {
        if (d->state != DELIVERY_FROZEN && d->state != DELIVERY_IN_FLIGHT) {
            life_replace(c, d);
        }
    }
    assert(c->rounds.resettle_slot <= index_slots(&c->index));
    c->rounds.resettling = c->rounds.resettle_slot < index_slots(&c->index);
    return c->rounds.resettling;
}

static void begin_census(struct core *c)
{
    assert(!c->rounds.counting && c->routes.route_count > 0);
    c->rounds.counting = true;
    c->rounds.census_slot = 0;
    c->rounds.census_changes = c->changes;
    for (size_t i = 1; i <= c->routes.route_count; i++) {
        c->routes.route[i]->census.oldest_ms = 0;
        c->routes.route[i]->census.tempfail_oldest_ms = 0;
        c->routes.route[i]->census.tempfail_count = 0;
    }
}

static void end_census(struct core *c)
{
    assert(c->rounds.counting && c->rounds.census_slot >= index_slots(&c->index));
    c->rounds.counting = false;
    c->rounds.census_ns = c->now.now_ns + CENSUS_PAUSE_NS;
    for (size_t i = 1; i <= c->routes.route_count; i++) {
        struct route *r = c->routes.route[i];
        r->oldest_ms = r->census.oldest_ms;
        r->tempfail_oldest_ms = r->census.tempfail_oldest_ms;
        r->tempfail_count = r->census.tempfail_count;
    }
    assert(c->rounds.census_changes <= c->changes);
}

static uint64_t older(uint64_t oldest_ms, uint64_t ms)
{
    return oldest_ms == 0 || ms < oldest_ms ? ms : oldest_ms;
}

static bool census(struct core *c)
{
    uint32_t budget = CENSUS_SLOTS;
    const struct delivery *d;
    while ((d = index_next(&c->index, &c->rounds.census_slot, &budget)) != NULL) {
        struct route *r = routes_at(&c->routes, d->route);
        assert(r != NULL && d->state < DELIVERY_STATE_COUNT);
        r->census.oldest_ms = older(r->census.oldest_ms, d->received_ms);
        if (d->state <= DELIVERY_IN_FLIGHT && delivery_class(d, NULL) == OUTCOME_REPLY_4XX) {
            r->census.tempfail_oldest_ms = older(r->census.tempfail_oldest_ms, d->received_ms);
            r->census.tempfail_count++;
        }
    }
    if (c->rounds.census_slot < index_slots(&c->index)) {
        return true;
    }
    end_census(c);
    return false;
}

bool rounds_turn(struct core *c)
{
    assert(c->rounds.census_changes <= c->changes);
    if (c->rounds.resettling && resettle(c)) {
        return true;
    }
    if (!c->rounds.counting && c->changes != c->rounds.census_changes &&
        c->now.now_ns >= c->rounds.census_ns) {
        begin_census(c);
    }
    assert(!c->rounds.resettling);
    return c->rounds.counting && census(c);
}

uint64_t rounds_next_ns(const struct core *c)
{
    assert(c->rounds.census_changes <= c->changes);
    if (c->rounds.resettling || c->rounds.counting) {
        return c->now.now_ns;
    }
    return c->changes != c->rounds.census_changes ? c->rounds.census_ns : UINT64_MAX;
}
