/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/apply.c: what the logs and the ring say, applied to the index.
 *
 *              DELIVERED                     all done: forgotten
 *   WAITING ──────────────▶ DONE
 *      │  ▲ RELEASE
 *      ▼  │                                  per recipient; the delivery's own state follows
 *   FROZEN  (5xx classes, FREEZE)            from them, its flight, its route and the rules
 *
 * Promise: every record is applied once (seen.h), whichever way it comes, so that reading a log
 *          again, or after the ring, changes nothing.
 * Trap:    only an entry of the ring may end a flight: a record in the log does not say whether it
 *          was the last of its attempt.
 */
#include "common/config.h"
#include "control/core/index.h"
#include "control/shell/store.h"

struct delivery *apply_commit(struct control *c, const struct commit_fact *fact)
{
    unsigned index = id_index(fact->id);
    if (seen_has(&c->messages, fact->commit_pos, index)) {
        return NULL;
    }
    if (!index_agrees(c, fact->id, fact->first_pos, fact->commit_pos)) {
        char text[ID_TEXT_SIZE];
        control_say(c, 3, "message %s: a second place for it, %llu:%u, is ignored",
                    id_format(id_message(fact->id), text),
                    (unsigned long long)spool_pos_seq(fact->commit_pos),
                    spool_pos_offset(fact->commit_pos));
        c->totals.damaged++;
        return NULL;
    }
    seen_add(&c->messages, fact->commit_pos, (uint16_t)(1u << index));
    liveness_advance(&c->liveness, fact->commit_pos);
    if (index_find(c, fact->id) != NULL) {
        return NULL;
    }
    struct delivery *d =
        index_add(c, fact->id, fact->first_pos, fact->commit_pos, fact->route_id, fact->rcpt_count);
    d->received_ms = fact->received_ms;
    d->body_bytes = fact->body_bytes;
    d->due_ns = c->now.now_ns;
    c->totals.accepted_rcpts += fact->rcpt_count;
    delivery_settle(c, d);
    return d;
}

/* Backs off from the end of this attempt. */
static void back_off(struct control *c, struct delivery *d)
{
    if (d->attempts < UINT16_MAX) {
        d->attempts++;
    }
    d->due_ns = c->now.now_ns + scheduler_backoff_ns(d->id, d->attempts, c->config->retry.first_ms,
                                                     c->config->retry.max_ms);
}

/* The attempt is over. What is left of the delivery waits: behind a broken hop without a mark
 * against it, for us a moment without one, else by its own count. The delivery is lifted. */
static void end_attempt(struct control *c, struct delivery *d, struct flight *flight)
{
    bool broken = flight->hop != NULL && flight->hop->breaker.state != BREAKER_CLOSED;
    if (d != NULL && d->waiting_count > 0) {
        if (flight->saw_message || (flight->saw_hop && !broken)) {
            back_off(c, d);
        } else if (flight->saw_hop) {
            d->due_ns = c->now.now_ns;
        } else { /* it was us: no buffer, or given back; that is over soon */
            d->due_ns = c->now.now_ns + CONTROL_SELF_PAUSE_NS;
        }
    }
    if (d != NULL) {
        d->faults = 0; /* it was not this one that brought the dataplane down */
    }
    flight_end(c, flight);
}

static void note_scope(struct flight *flight, enum outcome outcome)
{
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
}

/* The connection went between dot and reply. Blamed on the message only when the hop took others
 * since the last time: else it is the hop. */
static void note_dot_loss(struct control *c, struct delivery *d, const struct hop *hop,
                          const struct state_fact *fact)
{
    bool lost = fact->outcome == OUTCOME_DOT_LOST;
    if (lost || (fact->flags & ABI_FLAG_AFTER_DOT) != 0) {
        c->totals.possible_duplicates++;
    }
    if (d == NULL || !fact->live) {
        return;
    }
    if (!lost) {
        d->dot_losses =
            outcome_scope((enum outcome)fact->outcome) == OUTCOME_SCOPE_MESSAGE ? 0 : d->dot_losses;
        return;
    }
    uint32_t successes = hop != NULL ? hop->successes : 0;
    if (d->dot_losses == 0 || successes != d->success_mark) {
        d->dot_losses++;
        d->success_mark = successes;
    }
}

static void forget_reply(struct control *c, const struct rcpt *r)
{
    if (r->state_pos != 0 && spool_pos_seq(r->state_pos) < c->checkpoint.told_seq) {
        store_reply_done(c->store, r->state_pos);
    }
}

static void set_outcome(struct control *c, struct delivery *d, const struct state_fact *fact)
{
    enum outcome_disposition disposition = outcome_disposition((enum outcome)fact->outcome);
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        struct rcpt *r = &d->rcpt[i];
        if (!rcptset_has(&fact->rcpts, i) || r->state == RCPT_DONE ||
            (r->state == RCPT_FROZEN && disposition != OUTCOME_DISPOSITION_DONE)) {
            continue;
        }
        if (r->state == RCPT_FROZEN) {
            forget_reply(c, r);
        }
        r->outcome = fact->outcome;
        r->code = fact->code;
        r->state_pos = fact->pos;
        switch (disposition) {
        case OUTCOME_DISPOSITION_DONE:
            delivery_set_rcpt(d, i, RCPT_DONE);
            c->totals.delivered_rcpts++;
            break;
        case OUTCOME_DISPOSITION_WAIT:
            break;
        case OUTCOME_DISPOSITION_FREEZE:
            delivery_set_rcpt(d, i, RCPT_FROZEN);
            break;
        }
    }
}

/* `repeated`: the log told it before the ring did; only the end of the attempt is news. */
static void apply_outcome(struct control *c, const struct state_fact *fact, bool repeated)
{
    struct delivery *d = index_find(c, fact->id);
    struct flight *flight = map_find(&c->flights, fact->id);
    struct hop *hop = routes_find_hop(c, fact->hop_id);
    hop = hop == NULL && flight != NULL ? flight->hop : hop;
    if (flight != NULL && fact->pos != 0 && fact->pos < flight->begun_pos) {
        flight = NULL; /* about an attempt before this one */
    }
    if (fact->live && hop != NULL) {
        hopside_heard(c, hop, fact, flight);
    }
    if (d != NULL) {
        delivery_lift(c, d);
    }
    if (!repeated) {
        note_dot_loss(c, d, hop, fact);
        if (d != NULL) {
            set_outcome(c, d, fact);
        }
    }
    if (flight != NULL) {
        note_scope(flight, (enum outcome)fact->outcome);
        if (fact->live && (fact->flags & ABI_FLAG_LAST) != 0) {
            end_attempt(c, d, flight);
        }
    } else if (d != NULL && !repeated && d->flight == NULL) {
        d->faults = 0;
        if (d->waiting_count > 0) {
            back_off(c, d);
        }
    }
    if (d != NULL) {
        delivery_settle(c, d);
    }
}

static void apply_release(struct control *c, const struct state_fact *fact)
{
    pending_done(c, fact->id, ABI_STATE_RELEASE, &fact->rcpts);
    struct delivery *d = index_find(c, fact->id);
    if (d == NULL) {
        return;
    }
    delivery_lift(c, d);
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        if (rcptset_has(&fact->rcpts, i) && d->rcpt[i].state == RCPT_FROZEN) {
            forget_reply(c, &d->rcpt[i]);
            delivery_set_rcpt(d, i, RCPT_WAITING);
        }
    }
    d->attempts = 0;
    d->faults = 0;
    d->dot_losses = 0;
    d->releasing = d->releasing && map_find(&c->releases, d->id) != NULL;
    d->due_ns = c->now.now_ns;
    for (uint32_t i = 0; fact->live && i < d->route->hop_count; i++) {
        hopside_close(c, d->route->hop[i]);
    }
    delivery_settle(c, d);
}

static void apply_freeze(struct control *c, const struct state_fact *fact)
{
    pending_done(c, fact->id, ABI_STATE_FREEZE, &fact->rcpts);
    struct delivery *d = index_find(c, fact->id);
    if (d == NULL) {
        return;
    }
    delivery_lift(c, d);
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        struct rcpt *r = &d->rcpt[i];
        if (rcptset_has(&fact->rcpts, i) && r->state == RCPT_WAITING) {
            delivery_set_rcpt(d, i, RCPT_FROZEN);
            r->outcome = fact->outcome;
            r->code = fact->code;
            r->state_pos = fact->pos;
        }
    }
    d->freezing = d->freezing && map_find(&c->freezes, d->id) != NULL;
    delivery_settle(c, d);
}

static void apply_fault(struct control *c, const struct state_fact *fact)
{
    struct delivery *d = index_find(c, fact->id);
    if (d == NULL) {
        return;
    }
    delivery_lift(c, d);
    if (d->faults < UINT8_MAX) {
        d->faults++;
    }
    delivery_settle(c, d);
}

void apply_state(struct control *c, const struct state_fact *fact)
{
    assert(outcome_valid(fact->outcome));
    bool repeated = seen_has(&c->states, fact->pos, 0);
    seen_add(&c->states, fact->pos, SEEN_ALL);
    c->checkpoint.dirty = true;
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

void apply_attempt(struct control *c, const struct state_fact *fact)
{
    assert(fact->live && fact->pos == 0);
    struct flight *flight = map_find(&c->flights, fact->id);
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
    apply_outcome(c, &attempt, false);
}
