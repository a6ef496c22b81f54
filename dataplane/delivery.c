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

#include <stdio.h>

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

static void drop_record(struct worker *w, struct buffer **record)
{
    if (*record != NULL) {
        buffer_unpin(&w->buffers, *record);
        *record = NULL;
    }
}

static void delivery_free(struct worker *w, struct delivery *d)
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

/* --- outcomes ------------------------------------------------------------------------------- */

static void count_outcome(struct worker *w, enum outcome outcome, unsigned rcpts)
{
    switch (outcome_disposition(outcome)) {
    case OUTCOME_DISPOSITION_DONE:
        counter_add(w->counters, COUNTER_delivered_rcpts, rcpts);
        break;
    case OUTCOME_DISPOSITION_FREEZE:
        counter_add(w->counters, COUNTER_frozen_rcpts, rcpts);
        break;
    case OUTCOME_DISPOSITION_WAIT:
        counter_add(w->counters, COUNTER_deferred_attempts, 1);
        break;
    }
    if (outcome == OUTCOME_DOT_LOST) {
        counter_add(w->counters, COUNTER_dot_lost, 1);
    }
}

/* What must survive a restart goes to the state log; a hop's trouble is only told. */
static bool is_logged(enum outcome outcome)
{
    return outcome_disposition(outcome) != OUTCOME_DISPOSITION_WAIT ||
           outcome_scope(outcome) == OUTCOME_SCOPE_MESSAGE;
}

static void fill_state(struct spool_state_entry *state, const struct abi_up *up, const char *text)
{
    state->id = up->state.id;
    state->rcpts = up->state.rcpts;
    state->time_ms = up->state.time_ms;
    state->hop_id = up->state.hop_id;
    state->kind = ABI_STATE_OUTCOME;
    state->outcome = up->outcome;
    state->phase = up->phase;
    state->code = up->code;
    state->text_len = (uint16_t)strnlen(text, LIMIT_REPLY_TEXT_BYTES);
    memcpy(state->text, text, state->text_len);
}

static void report(struct worker *w, const struct delivery *d, struct submission *s,
                   const struct smtp_rcpt_result *result, const struct rcptset *rcpts,
                   const char *text, bool last)
{
    struct abi_up up = {.type = ABI_UP_ATTEMPT,
                        .outcome = result->outcome,
                        .phase = result->phase,
                        .code = result->code};
    up.flags = (uint16_t)((last ? ABI_FLAG_LAST : 0) |
                          (result->outcome == OUTCOME_DOT_LOST ? ABI_FLAG_AFTER_DOT : 0));
    up.state.id = d->id;
    up.state.rcpts = *rcpts;
    up.state.time_ms = w->wall_ms;
    up.state.hop_id = d->hop.id;
    count_outcome(w, (enum outcome)result->outcome, rcptset_count(rcpts));
    s->spool.user = up;
    if (is_logged((enum outcome)result->outcome)) {
        fill_state(&s->spool.state, &up, text);
        submission_send(w, s, SPOOL_SUBMIT_STATE, NULL, PURPOSE_NOTHING);
    } else {
        submission_send(w, s, SPOOL_SUBMIT_NOTE, NULL, PURPOSE_NOTHING);
    }
}

static bool same_result(const struct smtp_rcpt_result *a, const struct smtp_rcpt_result *b)
{
    return a->outcome == b->outcome && a->code == b->code && a->phase == b->phase;
}

/* The first unreported recipient and all with the same result, taken out of unreported. */
static unsigned next_group(struct delivery *d, struct rcptset *rcpts_out)
{
    unsigned first = 0;
    while (!rcptset_has(&d->unreported, first)) {
        first++;
    }
    *rcpts_out = (struct rcptset){{0}};
    for (unsigned i = first; i < d->smtp.rcpt_count; i++) {
        if (rcptset_has(&d->unreported, i) && same_result(&d->result[first], &d->result[i])) {
            rcptset_remove(&d->unreported, i);
            rcptset_add(rcpts_out, d->rcpt_index[i]);
        }
    }
    return first;
}

/* One report for each distinct result; the last one says that the attempt is over. false: no
 * submission was free, the rest goes out later. */
static bool send_reports(struct worker *w, struct delivery *d, const struct smtp_client *client)
{
    while (!rcptset_is_empty(&d->unreported)) {
        struct submission *s = submission_take(w, 0);
        if (s == NULL) {
            return false;
        }
        struct rcptset rcpts;
        unsigned first = next_group(d, &rcpts);
        const char *text = client == NULL ? d->text : smtp_client_rcpt_text(client, first);
        report(w, d, s, &d->result[first], &rcpts, text, rcptset_is_empty(&d->unreported));
    }
    return true;
}

/* `client` has the reply to each recipient; it may be gone when a later report goes out, which then
 * carries `text`. */
static void begin_reports(struct worker *w, struct delivery *d, const struct smtp_client *client,
                          const char *text)
{
    assert(d->client == NULL && d->step != DELIVERY_REPORTING);
    d->step = DELIVERY_REPORTING;
    d->unreported = rcptset_first(d->smtp.rcpt_count);
    (void)snprintf(d->text, sizeof d->text, "%s", text);
    if (send_reports(w, d, client)) {
        delivery_free(w, d);
    } else {
        list_append(&w->reporting, &d->report_link);
    }
}

void delivery_report_waiting(struct worker *w)
{
    while (!list_is_empty(&w->reporting)) {
        struct delivery *d = list_entry(w->reporting.next, struct delivery, report_link);
        if (!send_reports(w, d, NULL)) {
            return;
        }
        list_remove(&d->report_link);
        delivery_free(w, d);
    }
}

void delivery_finish(struct worker *w, struct delivery *d, const struct smtp_client *client)
{
    assert(d->smtp.rcpt_count > 0);
    memcpy(d->result, client->result, d->smtp.rcpt_count * sizeof client->result[0]);
    begin_reports(w, d, client, client->text);
}

void delivery_fail_all(struct worker *w, struct delivery *d, const struct smtp_rcpt_result *result,
                       const char *text)
{
    /* It may not have its envelope yet: name the recipients by their place in the delivery. */
    d->smtp.rcpt_count = 0;
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) {
        if (rcptset_has(&d->rcpts, i)) {
            unsigned n = d->smtp.rcpt_count++;
            d->rcpt_index[n] = (uint8_t)i;
            d->result[n] = *result;
        }
    }
    begin_reports(w, d, NULL, text);
}

void delivery_fail(struct worker *w, struct delivery *d, enum outcome outcome, enum abi_phase phase,
                   const char *text)
{
    struct smtp_rcpt_result result = {.outcome = (uint8_t)outcome, .phase = (uint8_t)phase};
    delivery_fail_all(w, d, &result, text);
}

/* --- records -------------------------------------------------------------------------------- */

/* Asks the writer's thread to read the record at pos. */
static bool read_record(struct worker *w, struct delivery *d, uint64_t pos)
{
    assert(!d->read_under_way);
    /* A FIRST record fits a small buffer but for huge envelopes; intake too needs large ones. */
    bool small = d->step == DELIVERY_FIRST && !d->first_is_large;
    uint32_t reserve = w->buffers.memory[BUFFER_LARGE].count / 4;
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
    d->read_under_way = true;
    submission_send(w, s, SPOOL_SUBMIT_READ, d, PURPOSE_READ);
    return true;
}

enum found { FOUND, FOUND_LATER, FOUND_DAMAGED, FOUND_NO_ROOM };

/* The record at pos, pinned and verified, or a read on its way. */
static enum found find_record(struct worker *w, struct delivery *d, uint64_t pos,
                              struct buffer **buffer_out, struct spool_record *record_out)
{
    if (d->read_under_way) {
        return FOUND_LATER;
    }
    struct buffer *b = buffer_find(&w->buffers, pos);
    if (b == NULL) {
        return read_record(w, d, pos) ? FOUND_LATER : FOUND_NO_ROOM;
    }
    counter_add(w->counters, COUNTER_spool_cache_hits, 1);
    if (!spool_record_parse(bytes_of(b->data, b->size), pos, id_message(d->id), record_out)) {
        buffer_unpin(&w->buffers, b);
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

/* Goes on finding what is needed before a connection is. */
static void advance(struct worker *w, struct delivery *d)
{
    while (d->step == DELIVERY_FIRST || d->step == DELIVERY_CHAIN) {
        struct buffer *b = NULL;
        struct spool_record record;
        uint64_t pos = d->first_pos;
        if (d->step == DELIVERY_CHAIN) {
            pos = d->position == NULL ? d->commit_pos : d->position[d->chain_index];
        }
        enum found found = find_record(w, d, pos, &b, &record);
        if (found == FOUND_LATER) {
            return;
        }
        if (found == FOUND_NO_ROOM) {
            delivery_fail(w, d, OUTCOME_NO_RESOURCE, ABI_PHASE_NONE, "no buffer here");
            return;
        }
        bool good = found == FOUND;
        if (good && d->step == DELIVERY_FIRST) {
            d->first = b;
            good = take_envelope(d, &record);
            d->step = DELIVERY_CHAIN;
            if (good && d->first_pos == d->commit_pos) {
                d->record_count = 1;
                d->smtp.body_bytes = record.total_bytes;
                good = record.is_last;
                if (good) {
                    have_all(w, d);
                    return;
                }
            }
        } else if (good) {
            bool began = d->position != NULL || begin_chain(w, d, &record);
            if (began && d->position == NULL) {
                buffer_unpin(&w->buffers, b);
                delivery_fail(w, d, OUTCOME_NO_RESOURCE, ABI_PHASE_NONE, "no record list here");
                return;
            }
            good = began && walk_back(d, &record);
            buffer_unpin(&w->buffers, b);
            if (good && d->chain_index == 0) {
                good = d->position[0] == d->first_pos;
                if (good) {
                    have_all(w, d);
                    return;
                }
            }
        }
        if (!good) {
            delivery_fail(w, d, OUTCOME_DAMAGED, ABI_PHASE_NONE, "spool record damaged");
            return;
        }
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
    client_abort(w, d->client);
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
                d->damaged = true; /* told by delivery_read_done's or the pump's caller */
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

void delivery_read_done(struct worker *w, struct submission *s)
{
    struct delivery *d = s->owner;
    struct buffer *b = s->spool.cookie;
    bool good = s->spool.result == SPOOL_RESULT_OK;
    bool was_small = b->class == BUFFER_SMALL;
    assert(d->read_under_way);
    d->read_under_way = false;
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
            client_abort(w, d->client); /* the disk's trouble of the moment: it waits */
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

static bool is_known_loop(const struct worker *w, uint64_t id)
{
    for (int i = 0; i < LOOPS_REMEMBERED; i++) {
        if (w->loop_id[i] != 0 && w->loop_id[i] == id_message(id)) {
            return true;
        }
    }
    return false;
}

/* A person released it: it may go once more. */
void delivery_pardon_loop(struct worker *w, uint64_t id)
{
    for (int i = 0; i < LOOPS_REMEMBERED; i++) {
        if (w->loop_id[i] == id_message(id)) {
            w->loop_id[i] = 0;
        }
    }
}

/* Tells control that a DELIVER could not even begin. */
static void refuse(struct worker *w, const struct abi_down *down, enum outcome outcome)
{
    struct abi_up up = {.type = ABI_UP_ATTEMPT, .outcome = (uint8_t)outcome};
    up.flags = ABI_FLAG_LAST;
    up.state.id = down->deliver.id;
    up.state.rcpts = down->deliver.rcpts;
    up.state.time_ms = w->wall_ms;
    up.state.hop_id = down->deliver.hop_id;
    count_outcome(w, outcome, 0);
    submission_note(w, &up);
}

void delivery_begin(struct worker *w, const struct abi_down *down)
{
    counter_add(w->counters, COUNTER_delivers, 1);
    if (delivery_find(w, down->deliver.id) != NULL) {
        counter_add(w->counters, COUNTER_delivers_repeated, 1);
        return; /* under way: its own outcome is the answer */
    }
    if (rcptset_is_empty(&down->deliver.rcpts) || w->draining) {
        refuse(w, down, OUTCOME_CANCELLED);
        return;
    }
    struct policy_hop hop;
    if (w->policy == NULL || !policy_find_hop(w->policy, down->deliver.hop_id, &hop)) {
        refuse(w, down, OUTCOME_NO_RESOURCE); /* control is ahead of our snapshot */
        return;
    }
    struct delivery *d =
        w->in_flight_count < LIMIT_DELIVERS_IN_FLIGHT ? pool_take(&w->deliveries) : NULL;
    if (d == NULL) {
        refuse(w, down, OUTCOME_NO_RESOURCE);
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
    if (is_known_loop(w, d->id)) {
        delivery_fail(w, d, OUTCOME_LOOP, ABI_PHASE_NONE, "too many Received fields");
        return;
    }
    blame(w, d->id);
    advance(w, d);
    blame(w, 0);
}
