/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/feed.c: see feed.h. Pure. */
#include "control/core/feed.h"

#include "common/id.h"
#include "spool/extent.h"

bool feed_is_message(const struct life_facts *f)
{
    return spool_commit_valid(f->id, f->first_pos, f->commit_pos, f->rcpt_count) &&
           id_message(f->id) != 0;
}

size_t feed_facts(const struct life_facts *message, const struct envelope *e,
                  struct feed_facts *out)
{
    size_t count = 0;
    unsigned routes = envelope_route_count(e);
    assert(routes <= LIMIT_ROUTES_PER_MESSAGE && id_index(message->id) == 0);
    for (unsigned i = 0; i < routes; i++) {
        unsigned n = 0;
        while (e->rcpt[n].route_index != i) {
            n++;
        }
        struct life_facts *fact = &out->fact[count];
        *fact = *message;
        fact->id |= i;
        fact->route_id = e->rcpt[n].route_id;
        fact->rcpt_count = (uint16_t)envelope_route_rcpts(e, i);
        count += feed_is_message(fact);
    }
    assert(count <= routes);
    return count;
}

void feed_message_seen(struct core *c, uint64_t pos)
{
    seen_add(&c->journal.messages, pos, SEEN_ALL);
    liveness_advance(&c->journal.liveness, pos);
    assert(seen_has(&c->journal.messages, pos, SEEN_READ_INDEX));
    assert(c->journal.liveness.newest_seq >= pos >> 32);
}

bool feed_state(struct core *c, const struct state_fact *fact)
{
    if (!outcome_valid(fact->outcome) || fact->kind < ABI_STATE_OUTCOME ||
        fact->kind > ABI_STATE_FAULT || fact->pos == 0 || fact->live) {
        return false;
    }
    apply_state(c, fact);
    assert(seen_has(&c->journal.states, fact->pos, 0));
    return true;
}

void feed_pin(struct core *c, uint64_t seq)
{
    if (seq == 0 || !liveness_pin(&c->journal.liveness, seq)) {
        return; /* no segment has 0: a header, no place */
    }
    assert(c->journal.liveness.count > 0);
    c->journal.dirty = true;
    notes_add(&c->notes, NOTE_PINNED, NULL, seq, 0);
}

bool feed_damage(struct core *c, bool messages, uint64_t pos)
{
    struct journal *j = &c->journal;
    uint64_t *top = messages ? &j->message_damage_top : &j->state_damage_top;
    if (messages) {
        feed_pin(c, pos >> 32);
    }
    if (pos < *top) {
        return false;
    }
    *top = pos + 1;
    j->damaged++;
    return true;
}

void feed_floor(struct core *c, bool messages, uint64_t pos)
{
    struct seen *seen = messages ? &c->journal.messages : &c->journal.states;
    seen_raise(seen, pos);
    assert(seen->floor >= pos);
    c->journal.dirty = true;
}

void feed_segment(struct core *c, uint64_t seq)
{
    liveness_segment_exists(&c->journal.liveness, seq);
}

size_t feed_take_unjudged(struct core *c, struct feed_ask *out, size_t max)
{
    size_t count = 0;
    while (count < max && !list_is_empty(&c->schedule.unjudged)) {
        struct live *l = list_entry(c->schedule.unjudged.next, struct live, node);
        assert(l->delivery->unjudged && l->flight == NULL);
        list_remove(&l->node); /* it comes back by feed_envelope, or by any lift and settle */
        out[count++] =
            (struct feed_ask){.id = l->delivery->id, .first_pos = l->delivery->first_pos};
    }
    assert(count <= max);
    return count;
}

void feed_envelope(struct core *c, uint64_t id, struct bytes encoded)
{
    struct envelope envelope;
    struct delivery *d = index_find(&c->index, id);
    if (d == NULL || !d->unjudged) {
        return;
    }
    assert(d->id == id);
    bool good = encoded.len > 0 && envelope_decode(encoded, &envelope);
    life_judge(c, d, good ? &envelope : NULL);
    assert(!d->unjudged);
}

bool feed_restored(struct core *c, uint64_t id, struct bytes encoded)
{
    struct envelope envelope;
    struct feed_facts facts;
    struct delivery *d = index_find(&c->index, id);
    if (d == NULL || !life_is_unreadable(c, d) || d->state != DELIVERY_FROZEN ||
        delivery_rcpt_count(d) != 1 || id_index(id) != 0 || !envelope_decode(encoded, &envelope)) {
        return false;
    }
    const struct life_facts message = {.id = id_message(id),
                                       .first_pos = d->first_pos,
                                       .commit_pos = delivery_commit_pos(d),
                                       .received_ms = d->received_ms,
                                       .body_bytes = d->body_bytes};
    size_t count = feed_facts(&message, &envelope, &facts);
    for (size_t i = 0; i < count; i++) {
        if (facts.fact[i].route_id == 0) {
            return false; /* no route has that id: what is there is no envelope of ours */
        }
        if (flight_find(&c->flights, facts.fact[i].id) != NULL) {
            return false; /* told under way: its end comes first */
        }
    }
    if (count > 0) {
        apply_restored(c, d, facts.fact, count, &envelope);
    }
    assert(count == 0 || index_has_message(&c->index, id));
    return count > 0;
}

void feed_envelope_again(struct core *c, uint64_t id)
{
    struct delivery *d = index_find(&c->index, id);
    if (d != NULL && d->unjudged && d->state == DELIVERY_WAITING) {
        life_replace(c, d);
    }
}
