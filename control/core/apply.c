/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/apply.c: see apply.h. Pure. */
#include "control/core/apply.h"

#include "control/core/hopside.h"
#include "control/core/mem.h"

#include "common/id.h"
#include "common/limits/rcpts.h"

#define SELF_PAUSE_NS UINT64_C(1000000000) /* our own trouble (no buffer, given back) ends soon */

/* --- a new delivery -------------------------------------------------------------------------- */

/* All deliveries of a message lie in the same records: what says otherwise is wrong. */
static bool contradicts(const struct core *c, const struct life_facts *f)
{
    const struct delivery *other = index_find_message(&c->index, f->id);
    assert(other == NULL || id_message(other->id) == id_message(f->id));
    return other != NULL &&
           (other->first_pos != f->first_pos || delivery_commit_pos(other) != f->commit_pos);
}

enum apply_result apply_commit(struct core *c, const struct life_facts *f,
                               const struct envelope *envelope, bool unreadable)
{
    unsigned index = id_index(f->id);
    assert(f->rcpt_count > 0 && f->rcpt_count <= LIMIT_RCPTS && f->first_pos <= f->commit_pos);
    if (seen_has(&c->journal.messages, f->commit_pos, index)) {
        return APPLY_KNOWN;
    }
    if (id_message(f->id) == 0 || contradicts(c, f)) {
        char id[ID_TEXT_SIZE];
        notes_add(&c->notes, NOTE_MESSAGE_TWICE, id_format(id_message(f->id), id), f->commit_pos,
                  0);
        c->journal.damaged++;
        return APPLY_REFUSED;
    }
    seen_add(&c->journal.messages, f->commit_pos, (uint16_t)(1u << index));
    liveness_advance(&c->journal.liveness, f->commit_pos);
    assert(seen_has(&c->journal.messages, f->commit_pos, index));
    if (index_find(&c->index, f->id) != NULL) {
        return APPLY_KNOWN;
    }
    struct delivery *d = life_begin(c, f);
    assert(delivery_waiting_count(d) == f->rcpt_count);
    c->journal.accepted_rcpts += f->rcpt_count;
    if (book_envelope_count(c->rules.book) > 0) {
        if (envelope != NULL || unreadable) {
            rules_judge(&c->rules, d, index_slot(&c->index, d), envelope);
        } else {
            d->unjudged = true;
        }
    }
    bool here = life_settle(c, d);
    assert(here);
    return APPLY_NEW;
}

void apply_damaged(struct core *c, struct life_facts *f)
{
    if (seen_has(&c->journal.messages, f->commit_pos, SEEN_READ_INDEX)) {
        return; /* it was shown before */
    }
    notes_add(&c->notes, NOTE_ENVELOPE_DAMAGED, NULL, f->first_pos, 0);
    c->journal.damaged++;
    f->route_id = 0;
    f->rcpt_count = 1;
    if (apply_commit(c, f, NULL, true) == APPLY_NEW) {
        struct delivery *d = index_find(&c->index, f->id);
        assert(d != NULL && delivery_rcpt_count(d) == 1);
        (void)life_lift(c, d);
        struct rcpt rcpt = delivery_rcpt(d, 0);
        rcpt.state = RCPT_FROZEN;
        rcpt.outcome = OUTCOME_DAMAGED;
        delivery_set_rcpt(d, 0, rcpt);
        bool here = life_settle(c, d);
        assert(here && delivery_frozen_count(d) == 1);
        return;
    }
    if (index_has_message(&c->index, f->id)) {
        return;
    }
    for (uint64_t seq = f->first_pos >> 32; seq <= f->commit_pos >> 32; seq++) {
        if (seq != 0 && liveness_pin(&c->journal.liveness, seq)) {
            notes_add(&c->notes, NOTE_PINNED, NULL, seq, 0);
        }
    }
}

/* Takes out what stood for a message, and what it counted. */
static void remove_stand_in(struct core *c, struct delivery *d)
{
    struct rcpt rcpt = delivery_rcpt(d, 0);
    assert(life_is_unreadable(c, d) && delivery_rcpt_count(d) == 1);
    (void)life_lift(c, d);
    rcpt.state = RCPT_DONE;
    delivery_set_rcpt(d, 0, rcpt);
    c->journal.accepted_rcpts--;
    bool here = life_settle(c, d);
    assert(!here);
}

static void restore(struct core *c, const struct life_facts *f, const struct envelope *envelope)
{
    assert(f->rcpt_count > 0 && f->route_id != 0 && index_find(&c->index, f->id) == NULL);
    struct delivery *d = life_begin(c, f);
    c->journal.accepted_rcpts += f->rcpt_count;
    for (unsigned i = 0; i < f->rcpt_count; i++) {
        struct rcpt rcpt = {.state = RCPT_FROZEN, .outcome = OUTCOME_DAMAGED};
        delivery_set_rcpt(d, i, rcpt);
    }
    if (book_envelope_count(c->rules.book) > 0) {
        rules_judge(&c->rules, d, index_slot(&c->index, d), envelope);
    }
    bool here = life_settle(c, d);
    assert(here && d->state == DELIVERY_FROZEN);
}

void apply_restored(struct core *c, struct delivery *d, const struct life_facts *fact, size_t count,
                    const struct envelope *envelope)
{
    assert(count > 0 && id_message(d->id) == id_message(fact[0].id));
    notes_add(&c->notes, NOTE_ENVELOPE_RESTORED, NULL, d->first_pos, 0);
    remove_stand_in(c, d);
    for (size_t i = 0; i < count; i++) {
        if (index_find(&c->index, fact[i].id) == NULL) {
            restore(c, &fact[i], envelope);
        }
    }
    assert(index_has_message(&c->index, fact[0].id));
}

/* --- outcomes -------------------------------------------------------------------------------- */

uint64_t apply_backoff_ns(uint64_t id, uint32_t attempts, uint32_t first_ms, uint32_t max_ms)
{
    uint64_t delay_ms = first_ms > 0 ? first_ms : 1;
    for (uint32_t i = 1; i < attempts && delay_ms < max_ms; i++) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms < max_ms ? delay_ms : max_ms;
    uint64_t mixed = (id + attempts) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t delay_ns = delay_ms * 1000000;
    uint64_t less_ns = (delay_ns / 4 / 65536) * (mixed >> 48);
    assert(less_ns <= delay_ns / 4 && delay_ms <= max_ms);
    return delay_ns - less_ns;
}

static void back_off(const struct core *c, struct delivery *d, struct live *l)
{
    assert(l->delivery == d && delivery_waiting_count(d) > 0);
    if (d->attempts < DELIVERY_ATTEMPTS_MAX) {
        d->attempts++;
    }
    l->due_ns =
        c->now.now_ns + apply_backoff_ns(d->id, d->attempts, c->retry_first_ms, c->retry_max_ms);
    assert(d->attempts > 0 && l->due_ns >= c->now.now_ns);
}

/* Ends the flight and gives back what it held. */
static void end_flight(struct core *c, struct flight *flight, struct live *l)
{
    struct attach *a = &c->attach;
    uint64_t id = flight->id;
    assert((l == NULL) == (flight->delivery == NULL));
    if (flight->worker < a->worker_count) {
        assert(a->in_flight[flight->worker] > 0);
        a->in_flight[flight->worker]--;
    }
    if (c->suspects.alone_id == flight->id) {
        c->suspects.alone_id = 0;
        c->suspects.next_ns = c->now.now_ns + UINT64_C(1000000000);
    }
    flight_end(&c->flights, flight, l, c->now.now_ns);
    assert(flight_find(&c->flights, id) == NULL && c->suspects.alone_id != id);
}

/* The attempt is over. The recipients that are left wait. The hop is down: the attempt is not
 * counted. It was our own fault: they are tried soon, and the attempt is not counted. Otherwise
 * they back off. The delivery (d and l, or neither) is lifted. */
static void end_attempt(struct core *c, struct delivery *d, struct live *l, struct flight *flight)
{
    assert((d == NULL) == (l == NULL) && flight->delivery == d);
    bool broken = flight->hop != NULL && flight->hop->breaker.state != BREAKER_CLOSED;
    if (d != NULL && delivery_waiting_count(d) > 0) {
        if (flight->saw_message || (flight->saw_hop && !broken)) {
            back_off(c, d, l);
        } else {
            l->due_ns = c->now.now_ns + (flight->saw_hop ? 0 : SELF_PAUSE_NS);
        }
    }
    if (d != NULL) {
        d->faults = 0; /* this delivery did not bring the dataplane down */
    }
    end_flight(c, flight, l);
    assert(l == NULL || l->flight == NULL);
}

void apply_flight_gone(struct core *c, struct flight *flight)
{
    struct delivery *d = flight->delivery;
    assert(flight_find(&c->flights, flight->id) == flight);
    struct live *l = d == NULL ? NULL : life_lift(c, d);
    end_flight(c, flight, l);
    if (d != NULL) {
        assert(l->flight == NULL);
        l->due_ns = c->now.now_ns;
        bool here = life_settle(c, d);
        assert(here);
    }
}

static void note_scope(struct flight *flight, enum outcome outcome)
{
    assert(outcome_valid(outcome));
    switch (outcome_scope(outcome)) {
    case OUTCOME_SCOPE_MESSAGE:
        flight->saw_message = true;
        break;
    case OUTCOME_SCOPE_HOP:
        flight->saw_hop = true;
        break;
    case OUTCOME_SCOPE_SELF:
        flight->saw_self = true;
        break;
    }
    assert(flight->saw_message || flight->saw_hop || flight->saw_self);
}

/* The connection was lost between dot and reply. The first loss counts against the delivery, and
 * each further one only when the hop took other mail since the loss before: else it is the hop. */
static void note_dot_loss(struct core *c, struct delivery *d, struct live *l, const struct hop *hop,
                          const struct state_fact *fact)
{
    assert(d == NULL ? l == NULL : l->delivery == d);
    bool lost = fact->outcome == OUTCOME_DOT_LOST;
    if (lost || (fact->flags & ABI_FLAG_AFTER_DOT) != 0) {
        c->journal.possible_duplicates++;
    }
    if (d == NULL || !fact->live) {
        return;
    }
    if (!lost) {
        bool cleared = outcome_scope((enum outcome)fact->outcome) == OUTCOME_SCOPE_MESSAGE;
        d->dot_losses = cleared ? 0 : d->dot_losses;
        return;
    }
    uint32_t successes = hop != NULL ? hop->successes : 0;
    if (d->dot_losses == 0 || successes != l->success_mark) {
        d->dot_losses += d->dot_losses < DELIVERY_DOT_LOSSES_MAX;
        l->success_mark = successes;
    }
}

/* The reply was kept when its segment was given back. Nobody needs it any more. */
static void forget_reply(struct core *c, const struct rcpt *rcpt)
{
    struct wishes *w = &c->wishes;
    assert(rcpt->state == RCPT_FROZEN); /* the replies of others are not kept */
    if (rcpt->state_pos != 0 && rcpt->state_pos >> 32 < c->journal.told_seq) {
        w->done_reply = mem_grow(w->done_reply, &w->done_reply_capacity, w->done_reply_count + 1,
                                 sizeof *w->done_reply);
        w->done_reply[w->done_reply_count++] = rcpt->state_pos;
        assert(w->done_reply_count <= w->done_reply_capacity);
    }
}

/* One that is unreadable stands for recipients that nobody knows: an outcome of one of them must
 * not end it. */
static void set_outcome(struct core *c, struct delivery *d, const struct state_fact *fact)
{
    enum outcome_disposition disposition = outcome_disposition((enum outcome)fact->outcome);
    unsigned count = life_is_unreadable(c, d) ? 0 : delivery_rcpt_count(d);
    /* A recipient is done, or frozen, only by a record that is in the log. */
    assert(fact->pos != 0 || disposition == OUTCOME_DISPOSITION_WAIT);
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        if (!rcptset_has(&fact->rcpts, i) || rcpt.state == RCPT_DONE ||
            (rcpt.state == RCPT_FROZEN && disposition != OUTCOME_DISPOSITION_DONE)) {
            continue;
        }
        if (rcpt.state == RCPT_FROZEN) {
            forget_reply(c, &rcpt);
        }
        rcpt.outcome = fact->outcome;
        rcpt.code = fact->code;
        rcpt.state_pos = fact->pos;
        switch (disposition) {
        case OUTCOME_DISPOSITION_DONE:
            rcpt.state = RCPT_DONE;
            c->journal.delivered_rcpts++;
            break;
        case OUTCOME_DISPOSITION_WAIT:
            break;
        case OUTCOME_DISPOSITION_FREEZE:
            rcpt.state = RCPT_FROZEN;
            break;
        }
        delivery_set_rcpt(d, i, rcpt);
    }
    assert(delivery_waiting_count(d) + delivery_frozen_count(d) <= delivery_rcpt_count(d));
}

/* A log tells of mail that is in no segment of the message log: it came after the image, was
 * delivered, and its segment was given back. A recipient that was delivered twice counts twice
 * here. */
static void count_gone(struct core *c, const struct state_fact *fact)
{
    assert(!fact->live && index_find(&c->index, fact->id) == NULL);
    if (outcome_disposition((enum outcome)fact->outcome) == OUTCOME_DISPOSITION_DONE) {
        c->journal.accepted_rcpts += rcptset_count(&fact->rcpts);
        c->journal.delivered_rcpts += rcptset_count(&fact->rcpts);
    }
}

/* `repeated`: the log told it before the ring did. Only the end of the attempt is news. */
static void apply_outcome(struct core *c, const struct state_fact *fact, bool repeated)
{
    struct delivery *d = index_find(&c->index, fact->id);
    struct flight *flight = flight_find(&c->flights, fact->id);
    struct hop *hop = routes_find_hop(&c->routes, fact->hop_id);
    hop = hop == NULL && flight != NULL ? flight->hop : hop;
    assert(flight == NULL || flight->delivery == d);
    if (flight != NULL && fact->pos != 0 && fact->pos < flight->begun_pos) {
        flight = NULL; /* about an attempt before this one */
    }
    if (fact->live && hop != NULL) {
        hopside_heard(c, hop, (enum outcome)fact->outcome, fact->code, fact->pos, flight);
    }
    struct live *l = d == NULL ? NULL : life_lift(c, d);
    assert(flight == NULL || d == NULL || l->flight == flight);
    if (!repeated) {
        note_dot_loss(c, d, l, hop, fact);
        if (d != NULL) {
            set_outcome(c, d, fact);
        } else if (!fact->live) {
            count_gone(c, fact);
        }
    }
    if (flight != NULL) {
        note_scope(flight, (enum outcome)fact->outcome);
        if (fact->live && (fact->flags & ABI_FLAG_LAST) != 0) {
            end_attempt(c, d, l, flight);
        }
    } else if (d != NULL && !repeated && l->flight == NULL) {
        d->faults = 0;
        if (delivery_waiting_count(d) > 0) {
            back_off(c, d, l);
        }
    }
    if (d != NULL) {
        (void)life_settle(c, d);
    }
}

/* --- commands that came back as records, and faults ------------------------------------------ */

static void apply_release(struct core *c, const struct state_fact *fact)
{
    assert(fact->kind == ABI_STATE_RELEASE && fact->pos != 0);
    bool done = outbox_done(&c->outbox, fact->id, ABI_STATE_RELEASE, &fact->rcpts);
    struct delivery *d = index_find(&c->index, fact->id);
    if (d == NULL) {
        return;
    }
    struct live *l = life_lift(c, d);
    unsigned count = life_is_unreadable(c, d) ? 0 : delivery_rcpt_count(d);
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        if (rcptset_has(&fact->rcpts, i) && rcpt.state == RCPT_FROZEN) {
            forget_reply(c, &rcpt);
            rcpt.state = RCPT_WAITING;
            delivery_set_rcpt(d, i, rcpt);
        }
    }
    d->attempts = 0;
    d->faults = 0;
    d->dot_losses = 0;
    d->releasing = d->releasing && !done;
    assert(!d->releasing || outbox_find(&c->outbox, fact->id, ABI_STATE_RELEASE) != NULL);
    l->due_ns = c->now.now_ns;
    if (fact->live) {
        hopside_close_route(c, routes_at(&c->routes, d->route));
    }
    (void)life_settle(c, d);
}

static void apply_freeze(struct core *c, const struct state_fact *fact)
{
    assert(fact->kind == ABI_STATE_FREEZE && fact->pos != 0);
    bool done = outbox_done(&c->outbox, fact->id, ABI_STATE_FREEZE, &fact->rcpts);
    struct delivery *d = index_find(&c->index, fact->id);
    if (d == NULL) {
        return;
    }
    (void)life_lift(c, d);
    unsigned count = delivery_rcpt_count(d);
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        if (rcptset_has(&fact->rcpts, i) && rcpt.state == RCPT_WAITING) {
            rcpt = (struct rcpt){.state = RCPT_FROZEN,
                                 .outcome = fact->outcome,
                                 .code = fact->code,
                                 .state_pos = fact->pos};
            delivery_set_rcpt(d, i, rcpt);
        }
    }
    d->freezing = d->freezing && !done;
    assert(!d->freezing || outbox_find(&c->outbox, fact->id, ABI_STATE_FREEZE) != NULL);
    (void)life_settle(c, d);
}

static void apply_fault(struct core *c, const struct state_fact *fact)
{
    struct delivery *d = index_find(&c->index, fact->id);
    assert(fact->kind == ABI_STATE_FAULT && fact->pos != 0);
    if (d == NULL) {
        return;
    }
    (void)life_lift(c, d);
    d->faults += d->faults < DELIVERY_FAULTS_MAX;
    assert(d->faults > 0); /* from now on it goes alone */
    (void)life_settle(c, d);
}

void apply_state(struct core *c, const struct state_fact *fact)
{
    assert(outcome_valid(fact->outcome) && fact->pos != 0);
    bool repeated = seen_has(&c->journal.states, fact->pos, 0);
    seen_add(&c->journal.states, fact->pos, SEEN_ALL);
    assert(seen_has(&c->journal.states, fact->pos, 0));
    c->journal.dirty = true;
    switch ((enum abi_state_kind)fact->kind) {
    case ABI_STATE_OUTCOME:
        if (!repeated || fact->live) {
            apply_outcome(c, fact, repeated);
        }
        break;
    case ABI_STATE_RELEASE:
        if (!repeated) {
            apply_release(c, fact);
        }
        break;
    case ABI_STATE_FREEZE:
        if (!repeated) {
            apply_freeze(c, fact);
        }
        break;
    case ABI_STATE_FAULT:
        if (!repeated) {
            apply_fault(c, fact);
        }
        break;
    }
}

void apply_attempt(struct core *c, const struct state_fact *fact)
{
    assert(fact->live && fact->pos == 0);
    struct flight *flight = flight_find(&c->flights, fact->id);
    if (flight == NULL) {
        return; /* late: that attempt is over already */
    }
    struct state_fact attempt = *fact;
    if (outcome_disposition((enum outcome)attempt.outcome) != OUTCOME_DISPOSITION_WAIT) {
        attempt.outcome = OUTCOME_NONE; /* not without a durable record */
    }
    if (rcptset_is_empty(&attempt.rcpts)) {
        attempt.rcpts = flight->open;
    }
    assert(outcome_disposition((enum outcome)attempt.outcome) == OUTCOME_DISPOSITION_WAIT);
    apply_outcome(c, &attempt, false);
}
