/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/image_load.c: see image_load.h. Pure. */
#include "control/core/image_load.h"

#include "control/core/feed.h"

static bool load_head(struct core *c, const struct image_record *r)
{
    struct journal *j = &c->journal;
    assert(r->kind == IMAGE_HEAD && r->head.version == IMAGE_VERSION);
    if (c->image.load.head_seen) {
        return false;
    }
    c->image.load.head_seen = true;
    j->accepted_rcpts = r->head.accepted_rcpts;
    j->delivered_rcpts = r->head.delivered_rcpts;
    j->possible_duplicates = r->head.possible_duplicates;
    j->message_damage_top = r->head.message_damage_top;
    j->state_damage_top = r->head.state_damage_top;
    j->messages.floor = r->head.message_floor;
    j->states.floor = r->head.state_floor;
    j->told_seq = r->head.told_seq;
    assert(c->image.load.deliveries == 0);
    return true;
}

/* Every rule in force that asks the envelope was in force when the image was taken. */
static bool all_judged(const struct core *c)
{
    size_t asking = 0;
    for (size_t i = 0; i < c->rules.count; i++) {
        asking += c->rules.rule[i]->asks_envelope;
    }
    assert(asking <= c->rules.count);
    return c->image.load.rules == asking;
}

static void load_rcpts(struct delivery *d, const struct image_record *r)
{
    assert(delivery_rcpt_count(d) == r->delivery.rcpt_count);
    for (unsigned i = 0; i < r->delivery.rcpt_count; i++) {
        const struct image_rcpt *from = &r->delivery.rcpt[i];
        struct rcpt rcpt = {.state_pos = from->state_pos,
                            .code = from->code,
                            .state = from->state,
                            .outcome = from->outcome};
        delivery_set_rcpt(d, i, rcpt);
    }
    /* The decoder refuses a delivery that is complete. */
    assert(delivery_waiting_count(d) + delivery_frozen_count(d) > 0);
}

static void load_rules(struct core *c, struct delivery *d, const struct image_record *r)
{
    assert(d->id == r->delivery.id && !d->noted);
    for (unsigned i = 0; i < r->delivery.rule_count; i++) {
        struct rule *rule = rules_find(&c->rules, r->delivery.rule[i]);
        if (rule != NULL && rule->asks_envelope) { /* else it ended meanwhile */
            rules_note(rule, d, index_slot(&c->index, d));
        }
    }
    d->unjudged = r->delivery.unjudged || !all_judged(c);
}

/* A rule held it when the image was taken, at due_ms. When the rule did so by its age, it is as old
 * as it was then, whatever the clock says now. */
static void load_held(struct core *c, struct delivery *d, const struct image_record *r)
{
    assert(d->id == r->delivery.id && d->state != DELIVERY_IN_FLIGHT);
    if (r->delivery.held_rule != 0) {
        d->state = DELIVERY_HELD;
        schedule_live(&c->schedule, d)->held_rule = r->delivery.held_rule;
    }
    if (r->delivery.due_ms > c->newest_wall_ms &&
        rules_hold_by_age(&c->rules, r->delivery.held_rule)) {
        c->newest_wall_ms = r->delivery.due_ms;
    }
    assert((d->state == DELIVERY_HELD) == (r->delivery.held_rule != 0));
}

static bool load_delivery(struct core *c, const struct image_record *r)
{
    struct life_facts f = {.id = r->delivery.id,
                           .first_pos = r->delivery.first_pos,
                           .commit_pos = r->delivery.commit_pos,
                           .received_ms = r->delivery.received_ms,
                           .route_id = r->delivery.route_id,
                           .body_bytes = r->delivery.body_bytes,
                           .rcpt_count = r->delivery.rcpt_count};
    const struct delivery *other = index_find_message(&c->index, f.id);
    if (!feed_is_message(&f) || index_find(&c->index, f.id) != NULL ||
        (other != NULL &&
         (other->first_pos != f.first_pos || delivery_commit_pos(other) != f.commit_pos))) {
        return false;
    }
    struct delivery *d = life_begin(c, &f);
    assert(index_find(&c->index, f.id) == d && d->hop == 0);
    const struct hop *hop = routes_find_hop(&c->routes, r->delivery.hop_id);
    d->hop = hop == NULL ? 0 : hop->index;
    d->attempts =
        r->delivery.attempts < DELIVERY_ATTEMPTS_MAX ? r->delivery.attempts : DELIVERY_ATTEMPTS_MAX;
    d->faults = r->delivery.faults < DELIVERY_FAULTS_MAX ? r->delivery.faults : DELIVERY_FAULTS_MAX;
    d->dot_losses = r->delivery.dot_losses < DELIVERY_DOT_LOSSES_MAX ? r->delivery.dot_losses
                                                                     : DELIVERY_DOT_LOSSES_MAX;
    load_rcpts(d, r);
    load_rules(c, d, r);
    load_held(c, d, r);
    /* A clock that was set back must not make mail wait: retry.max is the most. */
    uint64_t wall_ms = c->now.wall_ms;
    bool waits = r->delivery.held_rule == 0 && r->delivery.due_ms > wall_ms;
    uint64_t left_ms = waits ? r->delivery.due_ms - wall_ms : 0;
    left_ms = left_ms < c->retry_max_ms ? left_ms : c->retry_max_ms;
    schedule_live(&c->schedule, d)->due_ns = c->now.now_ns + left_ms * 1000000;
    c->image.load.deliveries++;
    bool here = life_settle(c, d);
    assert(here);
    return here;
}

static bool load_record(struct core *c, const struct image_record *r)
{
    assert(r->kind >= IMAGE_HEAD && r->kind <= IMAGE_END); /* the decoder knows no other */
    if ((r->kind != IMAGE_HEAD && !c->image.load.head_seen) || c->image.load.end_seen) {
        return false;
    }
    switch (r->kind) {
    case IMAGE_HEAD:
        return load_head(c, r);
    case IMAGE_SEEN:
        seen_add(r->seen.log == 0 ? &c->journal.messages : &c->journal.states, r->seen.pos,
                 r->seen.mask);
        return true;
    case IMAGE_RULE: {
        const struct rule *rule = rules_find(&c->rules, r->rule.id);
        c->image.load.rules += rule != NULL && rule->asks_envelope;
        return true;
    }
    case IMAGE_PIN:
        feed_pin(c, r->pin.seq);
        return true;
    case IMAGE_DELIVERY:
        return load_delivery(c, r);
    case IMAGE_END:
        c->image.load.end_seen = true;
        return r->end.deliveries == c->image.load.deliveries;
    }
    return false;
}

bool image_load(struct core *c, struct bytes piece)
{
    struct image_record record; /* large: the decoder sets what there is */
    struct cursor in = cursor_of(piece);
    while (in.rest.len > 0) {
        if (!image_record_decode(&in, &record) || !load_record(c, &record)) {
            return false;
        }
    }
    assert(!in.failed && in.rest.len == 0);
    return true;
}

bool image_loaded(const struct core *c)
{
    return c->image.load.end_seen;
}
