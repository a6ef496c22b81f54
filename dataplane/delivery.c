/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/delivery.c: one delivery going out: from DELIVER to its outcome.
 *
 *   FIRST    the record with the envelope: from memory, or read through the writer
 *   CHAIN    more than one record: walk back from LAST, 32 positions a hop
 *   READY    a client connection is opened or waits; SENDING: record after record into it
 *
 * Promise: every record's id, generation and checksum are verified before its first byte is sent;
 *          on damage the connection is reset before the dot and the delivery frozen.
 * Trap:    a delivery that ends while a read is under way stays (dead) until the read returns.
 */
#include "dataplane/conn.h"

#include "common/counters.h"

static struct delivery **hash_slot(struct worker *w, uint64_t id)
{
    uint64_t at = id * UINT64_C(0x9e3779b97f4a7c15) >> 52;
    while (w->in_flight[at] != NULL && w->in_flight[at]->id != id) {
        at = (at + 1) % DELIVERY_HASH_SLOTS;
    }
    return &w->in_flight[at];
}
_Static_assert(DELIVERY_HASH_SLOTS == 1 << 12, "hash_slot keeps 12 bits");

struct delivery *delivery_find(struct worker *w, uint64_t id)
{
    return *hash_slot(w, id);
}

static void table_add(struct worker *w, struct delivery *d)
{
    struct delivery **slot = hash_slot(w, d->id);
    assert(*slot == NULL && w->in_flight_count < LIMIT_DELIVERS_IN_FLIGHT);
    *slot = d;
    w->in_flight_count++;
}

/* Removes by moving the rest of the cluster up (linear probing without tombstones). */
static void table_remove(struct worker *w, const struct delivery *d)
{
    struct delivery **slot = hash_slot(w, d->id);
    assert(*slot == d && w->in_flight_count > 0);
    *slot = NULL;
    w->in_flight_count--;
    size_t at = (size_t)(slot - w->in_flight);
    for (;;) {
        at = (at + 1) % DELIVERY_HASH_SLOTS;
        struct delivery *moved = w->in_flight[at];
        if (moved == NULL) {
            return;
        }
        w->in_flight[at] = NULL;
        *hash_slot(w, moved->id) = moved;
    }
}

/* Large buffers in deliveries' hands are counted: see read_record. */
static void hold(struct worker *w, const struct buffer *b)
{
    w->large_held += b->class == BUFFER_LARGE;
}

static void let_go(struct worker *w, const struct buffer *b)
{
    w->large_held -= b->class == BUFFER_LARGE;
}

static void unpin(struct worker *w, struct buffer *b)
{
    let_go(w, b);
    buffer_unpin(&w->buffers, b);
}

static void drop_record(struct worker *w, struct buffer **record)
{
    if (*record != NULL) {
        unpin(w, *record);
        *record = NULL;
    }
}

void delivery_free(struct worker *w, struct delivery *d)
{
    assert(d->client == NULL);
    table_remove(w, d);
    drop_record(w, &d->first);
    drop_record(w, &d->record);
    if (d->position != NULL) {
        pool_give(&w->record_lists, d->position);
        d->position = NULL;
    }
    if (d->read_under_way) {
        d->dead = true;
    } else {
        pool_give(&w->deliveries, d);
    }
}

/* --- records -------------------------------------------------------------------------------- */

/* Asks the writer's thread to read the record at pos. */
static bool read_record(struct worker *w, struct delivery *d, uint64_t pos)
{
    assert(!d->read_under_way);
    /* A FIRST record fits a small buffer but for huge envelopes. Intake too needs large ones, but
     * those it leaves are for us: full of slow senders, it must not stop what goes out. */
    bool small = d->step == DELIVERY_FIRST && !d->first_is_large;
    uint32_t reserve = w->large_held < READ_RESERVE ? 0 : w->buffers.memory[BUFFER_LARGE].count / 4;
    struct buffer *b =
        buffer_take(&w->buffers, small ? BUFFER_SMALL : BUFFER_LARGE, small ? 0 : reserve);
    struct submission *s = b == NULL ? NULL : submission_take(w, 0);
    if (s == NULL) {
        if (b != NULL) {
            buffer_give(&w->buffers, b);
        }
        return false;
    }
    counter_add(w->counters, COUNTER_spool_cache_misses, 1);
    s->spool.buffer = b->data;
    s->spool.buffer_size = b->size;
    s->spool.pos = pos;
    s->spool.id = id_message(d->id);
    s->spool.cookie = b;
    hold(w, b);
    d->read_under_way = true;
    submission_send(w, s, SPOOL_SUBMIT_READ, d, PURPOSE_READ);
    return true;
}

enum found { FOUND, FOUND_LATER, FOUND_DAMAGED, FOUND_NO_ROOM };

/* The record at pos, pinned and verified, or a read on its way. */
static enum found find_record(struct worker *w, struct delivery *d, uint64_t pos,
                              struct buffer **buffer_out, struct spool_record *record_out)
{
    d->starved = true;
    if (d->read_under_way) {
        return FOUND_LATER;
    }
    struct buffer *b = buffer_find(&w->buffers, pos);
    if (b == NULL) {
        return read_record(w, d, pos) ? FOUND_LATER : FOUND_NO_ROOM;
    }
    d->starved = false;
    hold(w, b);
    counter_add(w->counters, COUNTER_spool_cache_hits, 1);
    if (!spool_record_parse(bytes_of(b->data, b->size), pos, id_message(d->id), record_out)) {
        unpin(w, b);
        return FOUND_DAMAGED;
    }
    *buffer_out = b;
    return FOUND;
}

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

void delivery_rewind(struct worker *w, struct delivery *d)
{
    drop_record(w, &d->record);
    d->step = DELIVERY_READY;
    d->record_index = 0;
    d->view_sent = 0;
    d->body_left = d->smtp.body_bytes;
}

/* Notes positions from the record at chain_index back; its own is known already. */
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

/* The FIRST record is here: its envelope, and for one that is LAST too, all there is. */
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

/* A record on the way back from LAST is here. */
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
    unpin(w, b);
    return step;
}

/* Goes on finding what is needed before a connection is. */
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
        switch (find_record(w, d, pos, &b, &record)) {
        case FOUND:
            step = step_record(w, d, b, &record);
            break;
        case FOUND_LATER:
            step = STEP_WAIT;
            break;
        case FOUND_DAMAGED:
            step = STEP_DAMAGED;
            break;
        case FOUND_NO_ROOM:
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

/* --- the body ------------------------------------------------------------------------------- */

/* Whose bytes we are about to handle: should that be our undoing. */
static void blame(struct worker *w, uint64_t id)
{
    atomic_store_explicit(&w->current_delivery, id, memory_order_relaxed);
}

static void damaged(struct worker *w, struct delivery *d)
{
    d->damaged = true;
    client_abort(w, d->client, OUTCOME_DAMAGED);
}

struct bytes delivery_peek(struct worker *w, struct delivery *d)
{
    while (d->record_index < d->record_count) {
        if (d->record == NULL) {
            uint64_t pos = d->position == NULL ? d->first_pos : d->position[d->record_index];
            enum found found = find_record(w, d, pos, &d->record, &d->view);
            if (found == FOUND && d->view.index == d->record_index &&
                d->view.body.len <= d->body_left) {
                d->view_sent = 0;
                d->body_left -= (uint32_t)d->view.body.len;
                continue;
            }
            if (found == FOUND_DAMAGED || found == FOUND) {
                d->damaged = true; /* whoever asked for the bytes looks at it */
            }
            return bytes_of(NULL, 0);
        }
        if (d->view_sent < d->view.body.len) {
            return bytes_from(d->view.body, d->view_sent);
        }
        drop_record(w, &d->record);
        d->record_index++;
    }
    d->damaged |= d->body_left != 0; /* the records are fewer bytes than LAST says */
    return bytes_of(NULL, 0);
}

void delivery_consume(struct delivery *d, size_t len)
{
    assert(len == 0 || d->view_sent + len <= d->view.body.len);
    d->view_sent += len;
}

void delivery_sent(struct worker *w, struct delivery *d)
{
    drop_record(w, &d->record);
}

void delivery_read_done(struct worker *w, struct submission *s)
{
    struct delivery *d = s->owner;
    struct buffer *b = s->spool.cookie;
    bool good = s->spool.result == SPOOL_RESULT_OK;
    bool was_small = b->class == BUFFER_SMALL;
    assert(d->read_under_way);
    d->read_under_way = false;
    let_go(w, b);
    if (good) {
        buffer_keep(&w->buffers, b, s->spool.pos);
    } else {
        buffer_give(&w->buffers, b);
    }
    if (d->dead) {
        pool_give(&w->deliveries, d);
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

/* One that falls out of its slot goes to its hop once more: found looping at the next pass. */
static uint64_t *loop_slot(struct worker *w, uint64_t id)
{
    return &w->loop_id[id_message(id) * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}
_Static_assert(LOOP_SLOTS == 1 << 12, "loop_slot keeps 12 bits");

void delivery_note_loop(struct worker *w, uint64_t id)
{
    *loop_slot(w, id) = id_message(id);
}

/* A person released it: it may go once more. */
void delivery_pardon_loop(struct worker *w, uint64_t id)
{
    if (*loop_slot(w, id) == id_message(id)) {
        *loop_slot(w, id) = 0;
    }
}

void delivery_begin(struct worker *w, const struct abi_down *down)
{
    counter_add(w->counters, COUNTER_delivers, 1);
    if (delivery_find(w, down->deliver.id) != NULL) {
        counter_add(w->counters, COUNTER_delivers_repeated, 1);
        return; /* under way: its own outcome is the answer */
    }
    if (rcptset_is_empty(&down->deliver.rcpts) || w->draining) {
        delivery_refuse(w, down, OUTCOME_CANCELLED);
        return;
    }
    struct policy_hop hop;
    if (w->policy == NULL || !policy_find_hop(w->policy, down->deliver.hop_id, &hop)) {
        delivery_refuse(w, down, OUTCOME_NO_RESOURCE); /* control is ahead of our snapshot */
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
    table_add(w, d);
    if (*loop_slot(w, d->id) == id_message(d->id)) {
        delivery_fail(w, d, OUTCOME_LOOP, ABI_PHASE_NONE, "too many Received fields");
        return;
    }
    blame(w, d->id);
    advance(w, d);
    blame(w, 0);
}
