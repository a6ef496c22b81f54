/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/life.c: see life.h. Pure. */
#include "control/core/life.h"

static struct route *route_of(const struct core *c, const struct delivery *d)
{
    struct route *r = routes_at(&c->routes, d->route);
    assert(r != NULL);
    return r;
}

struct delivery *life_begin(struct core *c, const struct life_facts *f)
{
    assert(f->id != 0 && index_find(&c->index, f->id) == NULL);
    if (!index_has_message(&c->index, f->id)) {
        liveness_message_add(&c->journal.liveness, f->first_pos, f->commit_pos);
    }
    image_touch(c, index_next_slot(&c->index));
    struct delivery *d = index_add(&c->index, f->id, f->first_pos, f->commit_pos, f->rcpt_count);
    d->received_ms = f->received_ms;
    c->newest_wall_ms = c->newest_wall_ms > d->received_ms ? c->newest_wall_ms : d->received_ms;
    d->body_bytes = f->body_bytes;
    d->route = routes_take(&c->routes, f->route_id)->index;
    struct live *l = schedule_take(&c->schedule, d);
    l->due_ns = c->now.now_ns;
    l->flight = flight_find(&c->flights, f->id); /* told under way before it was known here */
    if (l->flight != NULL) {
        l->flight->delivery = d;
    }
    assert(l->delivery == d && l->heap_place == 0 && list_is_empty(&l->node));
    c->journal.dirty = true;
    c->changes++;
    return d;
}

static void end(struct core *c, struct delivery *d)
{
    struct live *l = schedule_live(&c->schedule, d);
    assert(delivery_waiting_count(d) == 0 && delivery_frozen_count(d) == 0);
    if (l->flight != NULL) {
        l->flight->delivery = NULL;
        l->flight = NULL;
    }
    schedule_give(&c->schedule, d);
    rules_forget(&c->rules, d, index_slot(&c->index, d));
    uint64_t id = d->id;
    uint64_t first_pos = d->first_pos;
    uint64_t commit_pos = delivery_commit_pos(d);
    index_remove(&c->index, d);
    assert(index_find(&c->index, id) == NULL);
    if (!index_has_message(&c->index, id)) {
        liveness_message_remove(&c->journal.liveness, first_pos, commit_pos);
    }
}

/* --- sums ------------------------------------------------------------------------------------ */

static void sum_frozen(struct route *r, const struct delivery *d, uint64_t one)
{
    unsigned count = delivery_rcpt_count(d);
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        if (rcpt.state == RCPT_FROZEN) {
            assert(one == 1 || r->frozen_rcpts[rcpt.outcome] > 0);
            r->frozen_rcpts[rcpt.outcome] += one;
            r->frozen_sample[rcpt.outcome] = d->id;
        }
    }
    if (d->state == DELIVERY_FROZEN) {
        enum outcome class = delivery_class(d, NULL);
        assert(one == 1 || r->frozen_deliveries[class] > 0);
        r->frozen_deliveries[class] += one;
    }
}

/* Adds (sign 1) the delivery to the sums of its route, or takes it out (sign -1). */
static void sum(struct core *c, const struct delivery *d, int sign)
{
    uint64_t one = sign > 0 ? 1 : UINT64_MAX;
    struct route *r = route_of(c, d);
    unsigned waiting = delivery_waiting_count(d);
    struct tally *tally = &r->tally[d->state];
    assert(sign > 0 || (tally->deliveries > 0 && tally->rcpts >= waiting));
    tally->deliveries += one;
    tally->rcpts += one * waiting;
    if (delivery_frozen_count(d) > 0) {
        sum_frozen(r, d, one);
    }
    assert(tally->deliveries > 0 || tally->rcpts == 0);
    if (d->state == DELIVERY_HELD) {
        rules_count(&c->rules, d, sign);
    }
}

/* --- facts ------------------------------------------------------------------------------------ */

static enum outcome class_of(const void *ctx, unsigned rcpt)
{
    const struct life_view *view = ctx;
    return (enum outcome)delivery_rcpt(view->d, rcpt).outcome;
}

static bool is_held_by(const void *ctx, uint32_t rule_id)
{
    const struct life_view *view = ctx;
    const struct rule *rule = rules_find(&view->core->rules, rule_id);
    assert(view->facts.id == view->d->id);
    return rule != NULL && rule->in_force && view->d->state != DELIVERY_WAITING &&
           rules_match(rule, view->d, index_slot(&view->core->index, view->d), &view->facts);
}

static bool has_live(const struct delivery *d)
{
    return d->state == DELIVERY_WAITING || d->state == DELIVERY_IN_FLIGHT;
}

/* The age that rules see. What a rule holds by its age grows no younger when the clock is set back,
 * and so stays held. All other mail goes by the clock as it is: one that was ahead must not hold
 * it. `held_rule`: the rule that holds it, or held it until it was lifted; 0: none. */
static uint64_t age_for_rules(const struct core *c, const struct delivery *d, uint32_t held_rule)
{
    uint64_t wall_ms = c->now.wall_ms;
    if (held_rule != 0 && c->newest_wall_ms > wall_ms && rules_hold_by_age(&c->rules, held_rule)) {
        wall_ms = c->newest_wall_ms;
    }
    assert(d->id != 0 && wall_ms >= c->now.wall_ms);
    return wall_ms > d->received_ms ? wall_ms - d->received_ms : 0;
}

static void view_init(struct life_view *view, const struct core *c, const struct delivery *d,
                      uint32_t held_rule)
{
    const struct route *r = route_of(c, d);
    view->core = c;
    view->d = d;
    view->facts = (struct select_facts){
        .id = d->id,
        .route_name = r->name,
        .hop_name = r->hop_name,
        .hop_count = r->hop_count,
        .held_rule = held_rule,
        .age_ms = age_for_rules(c, d, held_rule),
        .state = (enum delivery_state)d->state,
        .pending = delivery_rcpts(d, RCPT_WAITING),
        .frozen = delivery_rcpts(d, RCPT_FROZEN),
        .class_of = class_of,
        .is_held_by = is_held_by,
        .ctx = view,
    };
    rcptset_union(&view->facts.pending, &view->facts.frozen);
    assert(!rcptset_is_empty(&view->facts.pending));
}

void life_view_init(struct life_view *view, const struct core *c, const struct delivery *d)
{
    view_init(view, c, d, d->state == DELIVERY_HELD ? d->live : 0);
    assert(view->d == d && view->facts.held_rule < RULES_PLANNED);
}

/* --- lift and settle -------------------------------------------------------------------------- */

struct live *life_lift(struct core *c, struct delivery *d)
{
    assert(d->id != 0);
    if (c->image.active) {
        image_touch(c, index_slot(&c->index, d));
    }
    sum(c, d, -1);
    c->journal.dirty = true;
    c->changes++;
    if (!has_live(d)) {
        uint32_t held_rule = d->state == DELIVERY_HELD ? d->live : 0;
        struct live *l = schedule_take(&c->schedule, d);
        l->due_ns = c->now.now_ns;
        l->held_rule = held_rule;
        return l;
    }
    struct live *l = schedule_live(&c->schedule, d);
    schedule_drop(&c->schedule, l, route_of(c, d));
    assert(l->heap_place == 0 && list_is_empty(&l->node));
    return l;
}

/* Freezes by our own judgement: the dataplane faulted twice while it handled this delivery, or the
 * connection was lost at its dot again and again. The log is told. The freeze takes effect when it
 * comes back as a state record, like any other. */
static void blame(struct core *c, struct delivery *d, const struct live *l)
{
    bool suspect = d->faults >= LIFE_FREEZE_FAULTS;
    bool poison = d->dot_losses >= LIFE_POISON_LOSSES;
    if (d->freezing || delivery_waiting_count(d) == 0 || l->flight != NULL ||
        !(suspect || poison)) {
        return;
    }
    assert(l->delivery == d && d->id != 0);
    struct rcptset rcpts = delivery_rcpts(d, RCPT_WAITING);
    d->freezing = true;
    outbox_add(&c->outbox, d->id, ABI_STATE_FREEZE, suspect ? OUTCOME_SUSPECT : OUTCOME_POISON,
               &rcpts);
    assert(outbox_find(&c->outbox, d->id, ABI_STATE_FREEZE) != NULL);
}

/* It is lifted. */
static uint32_t holding_rule(const struct core *c, const struct delivery *d, const struct live *l)
{
    assert(l->delivery == d);
    if (c->rules.count == 0) {
        return 0;
    }
    struct life_view view;
    view_init(&view, c, d, l->held_rule);
    return rules_holding(&c->rules, d, d->noted ? index_slot(&c->index, d) : 0, &view.facts);
}

static enum delivery_state place(const struct core *c, const struct delivery *d,
                                 const struct live *l, uint32_t *rule_out)
{
    assert(l->delivery == d);
    *rule_out = 0;
    if (l->flight != NULL) {
        return DELIVERY_IN_FLIGHT;
    }
    if (delivery_waiting_count(d) == 0) {
        return DELIVERY_FROZEN;
    }
    if (!route_of(c, d)->known) {
        return DELIVERY_ORPHAN;
    }
    *rule_out = holding_rule(c, d, l);
    return *rule_out != 0 ? DELIVERY_HELD : DELIVERY_WAITING;
}

bool life_settle(struct core *c, struct delivery *d)
{
    struct live *l = schedule_live(&c->schedule, d);
    uint32_t rule;
    assert(l->heap_place == 0 && list_is_empty(&l->node));
    if (delivery_waiting_count(d) == 0 && delivery_frozen_count(d) == 0) {
        end(c, d);
        return false;
    }
    blame(c, d, l);
    d->unjudged = d->unjudged && book_envelope_count(c->rules.book) > 0;
    enum delivery_state state = place(c, d, l, &rule);
    d->state = state;
    if (!has_live(d)) {
        schedule_give(&c->schedule, d);
        d->live = rule;
    } else if (state == DELIVERY_WAITING && d->unjudged) {
        schedule_wait_judgement(&c->schedule, l);
    } else if (state == DELIVERY_WAITING && !d->freezing) {
        schedule_wait(&c->schedule, l, route_of(c, d), c->now.now_ns);
    }
    assert(c->schedule.live_count <= c->index.count);
    assert((l->flight != NULL && l->delivery == d) == (state == DELIVERY_IN_FLIGHT));
    sum(c, d, 1);
    return true;
}

void life_replace(struct core *c, struct delivery *d)
{
    assert(d->id != 0);
    (void)life_lift(c, d);
    bool here = life_settle(c, d);
    assert(here); /* it was not complete before */
}

bool life_leaves_queue(struct core *c, struct delivery *d)
{
    uint32_t rule;
    assert(d->state == DELIVERY_WAITING);
    const struct live *l = schedule_live(&c->schedule, d);
    assert(l->flight == NULL && l->heap_place == 0);
    if (place(c, d, l, &rule) == DELIVERY_WAITING) {
        return false;
    }
    life_replace(c, d);
    assert(d->state == DELIVERY_HELD || d->state == DELIVERY_ORPHAN);
    return true;
}

void life_judge(struct core *c, struct delivery *d, const struct envelope *envelope)
{
    (void)life_lift(c, d);
    rules_judge(&c->rules, d, index_slot(&c->index, d), envelope);
    assert(!d->unjudged);
    bool here = life_settle(c, d);
    assert(here);
}

bool life_is_unreadable(const struct core *c, const struct delivery *d)
{
    return route_of(c, d)->id == 0;
}

void life_release(struct core *c, struct delivery *d, const struct rcptset *rcpts)
{
    assert(!rcptset_is_empty(rcpts) && d->id != 0);
    assert(delivery_frozen_count(d) > 0 && !life_is_unreadable(c, d));
    (void)life_lift(c, d);
    d->releasing = true;
    outbox_add(&c->outbox, d->id, ABI_STATE_RELEASE, OUTCOME_NONE, rcpts);
    assert(outbox_find(&c->outbox, d->id, ABI_STATE_RELEASE) != NULL);
    bool here = life_settle(c, d);
    assert(here);
}
