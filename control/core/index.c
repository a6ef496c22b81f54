/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/index.c: deliveries in slabs, their lists and sums.
 *
 * Promise: the sums that status shows are kept, not counted: they cost nothing to ask.
 * Trap:    every change of a delivery is bracketed by lift and settle, or the sums drift. The
 *          asserts on the sums would tell.
 */
#include "control/core/index.h"

#include "common/limits/message.h"
#include "control/core/mem.h"
#include "control/core/rules.h"

#include <stdlib.h>

enum { SLAB_DELIVERIES = 1024 };

static struct delivery *take(struct control *c)
{
    if (c->free_delivery == NULL) {
        struct delivery *slab = mem_zalloc(SLAB_DELIVERIES * sizeof *slab);
        c->slab = mem_grow(c->slab, &c->slab_capacity, c->slab_count + 1, sizeof *c->slab);
        c->slab[c->slab_count++] = slab;
        for (size_t i = 0; i < SLAB_DELIVERIES; i++) {
            slab[i].flight = (struct flight *)c->free_delivery;
            c->free_delivery = &slab[i];
        }
    }
    struct delivery *d = c->free_delivery;
    c->free_delivery = (struct delivery *)d->flight;
    *d = (struct delivery){0};
    return d;
}

static void give(struct control *c, struct delivery *d)
{
    if (d->rcpt != &d->one) {
        free(d->rcpt);
    }
    *d = (struct delivery){.flight = (struct flight *)c->free_delivery};
    c->free_delivery = d;
}

struct delivery *index_find(const struct control *c, uint64_t id)
{
    return map_find(&c->deliveries, id);
}

static const struct delivery *find_message(const struct control *c, uint64_t id)
{
    const struct delivery *d = NULL;
    for (unsigned i = 0; i < LIMIT_ROUTES_PER_MESSAGE && d == NULL; i++) {
        d = index_find(c, id_message(id) | i);
    }
    return d;
}

bool index_has_message(const struct control *c, uint64_t id)
{
    return find_message(c, id) != NULL;
}

bool index_agrees(const struct control *c, uint64_t id, uint64_t first_pos, uint64_t commit_pos)
{
    const struct delivery *d = find_message(c, id);
    return d == NULL || (d->first_pos == first_pos && d->commit_pos == commit_pos);
}

struct delivery *index_add(struct control *c, uint64_t id, uint64_t first_pos, uint64_t commit_pos,
                           uint32_t route_id, unsigned rcpt_count)
{
    assert(rcpt_count > 0 && rcpt_count <= LIMIT_RCPTS);
    assert(index_agrees(c, id, first_pos, commit_pos)); /* whoever reads it has asked */
    if (!index_has_message(c, id)) {
        liveness_message_add(&c->liveness, first_pos, commit_pos);
    }
    struct delivery *d = take(c);
    d->id = id;
    d->first_pos = first_pos;
    d->commit_pos = commit_pos;
    d->route = routes_take(c, route_id);
    d->rcpt_count = (uint16_t)rcpt_count;
    d->waiting_count = (uint16_t)rcpt_count;
    d->rcpt = rcpt_count == 1 ? &d->one : mem_zalloc(rcpt_count * sizeof *d->rcpt);
    list_init(&d->ready_node);
    list_append(&d->route->all, &d->route_node);
    map_put(&c->deliveries, id, d);
    c->checkpoint.dirty = true;
    return d;
}

static void index_remove(struct control *c, struct delivery *d)
{
    assert(d->waiting_count == 0 && d->frozen_count == 0 && d->heap_slot == 0);
    if (d->flight != NULL) {
        d->flight->delivery = NULL;
    }
    list_remove(&d->route_node);
    void *was = map_remove(&c->deliveries, d->id);
    assert(was == d);
    if (!index_has_message(c, d->id)) {
        liveness_message_remove(&c->liveness, d->first_pos, d->commit_pos);
    }
    give(c, d);
}

void index_fini(struct control *c)
{
    size_t at = 0;
    for (struct delivery *d = map_next(&c->deliveries, &at); d != NULL;
         d = map_next(&c->deliveries, &at)) {
        if (d->rcpt != &d->one) {
            free(d->rcpt);
        }
    }
    map_fini(&c->deliveries);
    for (size_t i = 0; i < c->slab_count; i++) {
        free(c->slab[i]);
    }
    free(c->slab);
    free(c->heap);
}

/* Adds (sign 1) the delivery to the sums of its route, or takes it out (sign -1). */
static void sum(struct delivery *d, int sign)
{
    uint64_t one = sign > 0 ? 1 : UINT64_MAX;
    struct route *r = d->route;
    struct tally *tally = &r->tally[d->state];
    assert(sign > 0 || (tally->deliveries > 0 && tally->rcpts >= d->waiting_count));
    tally->deliveries += one;
    tally->rcpts += one * d->waiting_count;
    if (d->frozen_count == 0) {
        return;
    }
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        if (d->rcpt[i].state == RCPT_FROZEN) {
            assert(sign > 0 || r->frozen_rcpts[d->rcpt[i].outcome] > 0);
            r->frozen_rcpts[d->rcpt[i].outcome] += one;
            r->frozen_sample[d->rcpt[i].outcome] = d->id;
        }
    }
    if (d->state == DELIVERY_FROZEN) {
        enum outcome class = delivery_class(d, NULL);
        assert(sign > 0 || r->frozen_deliveries[class] > 0);
        r->frozen_deliveries[class] += one;
    }
}

void delivery_lift(struct control *c, struct delivery *d)
{
    scheduler_drop(c, d);
    sum(d, -1);
    if (d->state == DELIVERY_HELD) {
        rules_count(c, d, -1);
    }
    c->checkpoint.dirty = true;
}

/* Frozen by our own judgement: twice there when the dataplane fell, or a hop's poison. Told to
 * the log; it comes back as a state like any other. */
static void judge(struct control *c, struct delivery *d)
{
    bool suspect = d->faults >= CONTROL_FREEZE_FAULTS;
    bool poison = d->dot_losses >= CONTROL_POISON_LOSSES;
    if (d->freezing || d->waiting_count == 0 || d->flight != NULL || !(suspect || poison)) {
        return;
    }
    struct rcptset rcpts = delivery_rcpts(d, RCPT_WAITING);
    d->freezing = true;
    pending_add(c, d->id, ABI_STATE_FREEZE, suspect ? OUTCOME_SUSPECT : OUTCOME_POISON, &rcpts);
}

static enum delivery_state place(struct control *c, struct delivery *d)
{
    if (d->flight != NULL) {
        return DELIVERY_IN_FLIGHT;
    }
    if (d->waiting_count == 0) {
        return DELIVERY_FROZEN;
    }
    if (!d->route->known) {
        return DELIVERY_ORPHAN;
    }
    return d->held_rule != 0 || rules_hold(c, d) ? DELIVERY_HELD : DELIVERY_WAITING;
}

void delivery_settle(struct control *c, struct delivery *d)
{
    assert(d->heap_slot == 0 && list_is_empty(&d->ready_node));
    if (d->waiting_count == 0 && d->frozen_count == 0) {
        index_remove(c, d);
        return;
    }
    judge(c, d);
    d->state = (uint8_t)place(c, d);
    sum(d, 1);
    if (d->state == DELIVERY_HELD) {
        rules_count(c, d, 1);
    } else if (d->state == DELIVERY_WAITING && !d->freezing) {
        scheduler_wait(c, d);
    }
}

void delivery_set_rcpt(struct delivery *d, unsigned i, enum rcpt_state state)
{
    assert(i < d->rcpt_count);
    enum rcpt_state was = (enum rcpt_state)d->rcpt[i].state;
    d->waiting_count = (uint16_t)(d->waiting_count - (was == RCPT_WAITING));
    d->frozen_count = (uint16_t)(d->frozen_count - (was == RCPT_FROZEN));
    d->rcpt[i].state = (uint8_t)state;
    d->waiting_count = (uint16_t)(d->waiting_count + (state == RCPT_WAITING));
    d->frozen_count = (uint16_t)(d->frozen_count + (state == RCPT_FROZEN));
    assert(d->waiting_count + d->frozen_count <= d->rcpt_count);
}

struct rcptset delivery_rcpts(const struct delivery *d, enum rcpt_state state)
{
    struct rcptset set = {{0}};
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        if (d->rcpt[i].state == state) {
            rcptset_add(&set, i);
        }
    }
    return set;
}

enum outcome delivery_class(const struct delivery *d, unsigned *rcpt_out)
{
    unsigned waiting = d->rcpt_count;
    unsigned found = d->rcpt_count;
    for (unsigned i = 0; i < d->rcpt_count && found == d->rcpt_count; i++) {
        if (d->rcpt[i].state == RCPT_FROZEN) {
            found = i;
        } else if (d->rcpt[i].state == RCPT_WAITING && waiting == d->rcpt_count) {
            waiting = i;
        }
    }
    found = found < d->rcpt_count ? found : waiting;
    found = found < d->rcpt_count ? found : 0;
    if (rcpt_out != NULL) {
        *rcpt_out = found;
    }
    return (enum outcome)d->rcpt[found].outcome;
}
