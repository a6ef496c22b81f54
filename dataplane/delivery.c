/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/delivery.c: one delivery going out: from DELIVER to its outcome.
 *
 *   FIRST    the record with the envelope: from memory, or read through the writer
 *   CHAIN    more than one record: walk back from LAST, 32 positions in each step
 *   READY    a client connection is opened or waits; SENDING: record after record into it
 *
 * Promise: every record's id, generation and checksum are verified before its first byte is sent;
 *          on damage the connection is reset before the dot and the delivery frozen.
 * Trap:    after delivery_fail or client_assign the delivery may be gone. Do not look at it then.
 */
#include "dataplane/conn.h"

#include "common/counters.h"

/* --- the envelope --------------------------------------------------------------------------- */

static bool take_envelope(struct delivery *d, const struct spool_record *record)
{
    struct envelope *e = &d->envelope;
    if (!record->is_first || !envelope_decode(record->envelope, e)) {
        return false;
    }
    unsigned n = 0; /* n-th recipient of this delivery */
    d->smtp = (struct smtp_delivery){.sender = e->sender,
                                     .eight_bit = (e->flags & ENVELOPE_8BITMIME) != 0};
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        if (e->rcpt[i].route_index != id_index(d->id)) {
            continue;
        }
        if (rcptset_has(&d->rcpts, n)) {
            d->rcpt_index[d->smtp.rcpt_count] = (uint8_t)n;
            d->smtp.rcpt[d->smtp.rcpt_count++] = e->rcpt[i].address;
        }
        n++;
    }
    return d->smtp.rcpt_count == rcptset_count(&d->rcpts);
}

static void have_all(struct worker *w, struct delivery *d)
{
    delivery_rewind(w, d);
    client_assign(w, d);
}

/* Notes the positions from the record at chain_index back. Its own position is known already. */
static bool walk_back(struct delivery *d, const struct spool_record *record)
{
    if (record->index != d->chain_index || record->back_count > record->index ||
        (record->index > 0 && record->back_count == 0)) {
        return false;
    }
    for (uint32_t i = 0; i < record->back_count; i++) {
        d->position[record->index - 1 - i] = record->back[i];
    }
    d->chain_index = record->index - record->back_count;
    return true;
}

static bool begin_chain(struct worker *w, struct delivery *d, const struct spool_record *last)
{
    if (!last->is_last || last->index >= RECORDS_MAX || last->first_pos != d->first_pos) {
        return false;
    }
    d->record_count = last->index + 1;
    d->chain_index = last->index;
    d->position = pool_take(&w->record_lists);
    if (d->position != NULL) {
        d->position[last->index] = d->commit_pos;
    }
    d->smtp.body_bytes = last->total_bytes;
    return true;
}

enum step { STEP_ON, STEP_WAIT, STEP_READY, STEP_NO_LIST, STEP_DAMAGED };

/* The FIRST record is found: takes its envelope. If it is LAST too, there is no more to find. */
static enum step step_first(struct delivery *d, struct buffer *b, const struct spool_record *record)
{
    d->first = b;
    d->step = DELIVERY_CHAIN;
    if (!take_envelope(d, record)) {
        return STEP_DAMAGED;
    }
    if (d->first_pos != d->commit_pos) {
        return STEP_ON;
    }
    d->record_count = 1;
    d->smtp.body_bytes = record->total_bytes;
    return record->is_last ? STEP_READY : STEP_DAMAGED;
}

/* A record on the way back from LAST is found. */
static enum step step_chain(struct worker *w, struct delivery *d, const struct spool_record *record)
{
    if (d->position == NULL) {
        if (!begin_chain(w, d, record)) {
            return STEP_DAMAGED;
        }
        if (d->position == NULL) {
            return STEP_NO_LIST;
        }
    }
    if (!walk_back(d, record)) {
        return STEP_DAMAGED;
    }
    if (d->chain_index > 0) {
        return STEP_ON;
    }
    return d->position[0] == d->first_pos ? STEP_READY : STEP_DAMAGED;
}

static enum step step_record(struct worker *w, struct delivery *d, struct buffer *b,
                             const struct spool_record *record)
{
    if (d->step == DELIVERY_FIRST) {
        return step_first(d, b, record);
    }
    enum step step = step_chain(w, d, record);
    record_unpin(w, b);
    return step;
}

/* Goes on to find what is needed before a connection is. */
static void advance(struct worker *w, struct delivery *d)
{
    enum step step = STEP_ON;
    while (step == STEP_ON) {
        struct buffer *b = NULL;
        struct spool_record record;
        uint64_t pos = d->first_pos;
        if (d->step == DELIVERY_CHAIN) {
            pos = d->position == NULL ? d->commit_pos : d->position[d->chain_index];
        }
        switch (record_find(w, d, pos, &b, &record)) {
        case RECORD_FOUND:
            step = step_record(w, d, b, &record);
            break;
        case RECORD_LATER:
            step = STEP_WAIT;
            break;
        case RECORD_DAMAGED:
            step = STEP_DAMAGED;
            break;
        case RECORD_NO_ROOM:
            delivery_fail(w, d, OUTCOME_NO_RESOURCE, ABI_PHASE_NONE, "no buffer here");
            return;
        }
    }
    if (step == STEP_READY) {
        have_all(w, d);
    } else if (step == STEP_NO_LIST) {
        delivery_fail(w, d, OUTCOME_NO_RESOURCE, ABI_PHASE_NONE, "no record list here");
    } else if (step == STEP_DAMAGED) {
        delivery_fail(w, d, OUTCOME_DAMAGED, ABI_PHASE_NONE, "spool record damaged");
    }
}

/* --- what was read -------------------------------------------------------------------------- */

/* Notes the delivery whose bytes are handled next. If the process faults, the fault handler names
 * it. */
static void blame(struct worker *w, uint64_t id)
{
    atomic_store_explicit(&w->current_delivery, id, memory_order_relaxed);
}

static void damaged(struct worker *w, struct delivery *d)
{
    d->damaged = true;
    client_abort(w, d->client, OUTCOME_DAMAGED);
}

void delivery_read_done(struct worker *w, struct submission *s)
{
    struct delivery *d = s->owner;
    const struct buffer *b = s->spool.cookie;
    bool good = s->spool.result == SPOOL_RESULT_OK;
    bool was_small = b->class == BUFFER_SMALL;
    if (!record_read_end(w, s)) {
        return;
    }
    if (d->step == DELIVERY_REPORTING) {
        return;
    }
    blame(w, d->id);
    if (d->step == DELIVERY_SENDING) {
        if (good) {
            client_pump(w, d->client);
        } else if (s->spool.result == SPOOL_RESULT_UNREAD) {
            client_abort(w, d->client, OUTCOME_NO_RESOURCE); /* the disk's trouble: it waits */
        } else {
            damaged(w, d);
        }
    } else if (good) {
        advance(w, d);
    } else if (s->spool.result == SPOOL_RESULT_UNREAD) {
        delivery_fail(w, d, OUTCOME_NO_RESOURCE, ABI_PHASE_NONE, "spool not readable now");
    } else if (was_small) {
        d->first_is_large = true;
        advance(w, d);
    } else {
        delivery_fail(w, d, OUTCOME_DAMAGED, ABI_PHASE_NONE, "spool record unreadable");
    }
    blame(w, 0);
}

/* --- beginning ------------------------------------------------------------------------------ */

void delivery_begin(struct worker *w, const struct abi_down *down)
{
    counter_add(w->counters, COUNTER_delivers, 1);
    if (flights_find(w, down->deliver.id) != NULL) {
        counter_add(w->counters, COUNTER_delivers_repeated, 1);
        return; /* it is under way: its own outcome will be the answer */
    }
    if (rcptset_is_empty(&down->deliver.rcpts) || w->draining) {
        delivery_refuse(w, down, OUTCOME_CANCELLED);
        return;
    }
    struct policy_hop hop;
    if (w->policy == NULL || !policy_find_hop(w->policy, down->deliver.hop_id, &hop)) {
        delivery_refuse(w, down, OUTCOME_NO_RESOURCE); /* control knows a newer policy than we */
        return;
    }
    struct delivery *d =
        w->in_flight_count < LIMIT_DELIVERS_IN_FLIGHT ? pool_take(&w->deliveries) : NULL;
    if (d == NULL) {
        delivery_refuse(w, down, OUTCOME_NO_RESOURCE);
        return;
    }
    *d = (struct delivery){.id = down->deliver.id,
                           .commit_pos = down->deliver.commit_pos,
                           .first_pos = down->deliver.first_pos,
                           .rcpts = down->deliver.rcpts,
                           .hop = hop,
                           .route_id = down->deliver.route_id,
                           .attempt = down->attempt,
                           .flags = down->flags,
                           .step = DELIVERY_FIRST};
    list_init(&d->report_link);
    flights_add(w, d);
    if (loops_has(w, d->id)) {
        delivery_fail(w, d, OUTCOME_LOOP, ABI_PHASE_NONE, "too many Received fields");
        return;
    }
    blame(w, d->id);
    advance(w, d);
    blame(w, 0);
}
