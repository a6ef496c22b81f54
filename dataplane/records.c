/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/records.c: finds the records of a delivery's message in memory, or reads them through
 * the writer; and gives the body, piece by piece.
 *
 * Promise: a record is pinned and verified (id, generation, checksum) before a byte of it is
 *          looked at.
 * Trap:    a delivery that ends while a read is under way stays, marked `dead`, until the read
 *          returns.
 */
#include "dataplane/conn.h"

#include "common/counters.h"

/* Counts the large buffers that deliveries hold: see read_record. */
static void hold(struct worker *w, const struct buffer *b)
{
    w->large_held += b->class == BUFFER_LARGE;
}

static void let_go(struct worker *w, const struct buffer *b)
{
    assert(b->class != BUFFER_LARGE || w->large_held > 0);
    w->large_held -= b->class == BUFFER_LARGE;
}

void record_unpin(struct worker *w, struct buffer *b)
{
    let_go(w, b);
    buffer_unpin(&w->buffers, b);
}

static void drop_record(struct worker *w, struct buffer **record)
{
    if (*record != NULL) {
        record_unpin(w, *record);
        *record = NULL;
    }
}

void delivery_free(struct worker *w, struct delivery *d)
{
    assert(d->client == NULL);
    flights_remove(w, d);
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

/* --- finding -------------------------------------------------------------------------------- */

/* Asks the writer's thread to read the record at pos. */
static bool read_record(struct worker *w, struct delivery *d, uint64_t pos)
{
    assert(!d->read_under_way);
    /* A FIRST record fits a small buffer, except for huge envelopes. Intake needs large buffers,
     * too, but some are reserved for deliveries: slow senders must not stop outgoing mail. */
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
    d->read_pos = pos;
    submission_send(w, s, SPOOL_SUBMIT_READ, d, PURPOSE_READ);
    return true;
}

enum record_found record_find(struct worker *w, struct delivery *d, uint64_t pos,
                              struct buffer **buffer_out, struct spool_record *record_out)
{
    d->starved = true;
    if (d->read_under_way) {
        return RECORD_LATER;
    }
    struct buffer *b = buffer_find(&w->buffers, pos);
    if (b == NULL) {
        return read_record(w, d, pos) ? RECORD_LATER : RECORD_NO_ROOM;
    }
    d->starved = false;
    hold(w, b);
    if (pos != d->read_pos) {
        counter_add(w->counters, COUNTER_spool_cache_hits, 1);
    }
    if (!spool_record_parse(bytes_of(b->data, b->size), pos, id_message(d->id), record_out)) {
        record_unpin(w, b);
        return RECORD_DAMAGED;
    }
    *buffer_out = b;
    return RECORD_FOUND;
}

bool record_read_end(struct worker *w, const struct submission *s)
{
    struct delivery *d = s->owner;
    struct buffer *b = s->spool.cookie;
    bool good = s->spool.result == SPOOL_RESULT_OK;
    assert(d->read_under_way && b != NULL);
    d->read_under_way = false;
    let_go(w, b);
    if (good) {
        buffer_keep(&w->buffers, b, s->spool.pos);
    } else {
        buffer_give(&w->buffers, b);
    }
    if (d->dead) {
        pool_give(&w->deliveries, d);
        return false;
    }
    return true;
}

/* --- the body ------------------------------------------------------------------------------- */

void delivery_rewind(struct worker *w, struct delivery *d)
{
    drop_record(w, &d->record);
    d->step = DELIVERY_READY;
    d->record_index = 0;
    d->view_sent = 0;
    d->body_left = d->smtp.body_bytes;
}

struct bytes delivery_peek(struct worker *w, struct delivery *d)
{
    while (d->record_index < d->record_count) {
        if (d->record == NULL) {
            uint64_t pos = d->position == NULL ? d->first_pos : d->position[d->record_index];
            enum record_found found = record_find(w, d, pos, &d->record, &d->view);
            if (found == RECORD_FOUND && d->view.index == d->record_index &&
                d->view.body.len <= d->body_left) {
                d->view_sent = 0;
                d->body_left -= (uint32_t)d->view.body.len;
                continue;
            }
            if (found == RECORD_DAMAGED || found == RECORD_FOUND) {
                d->damaged = true; /* whoever asked for the bytes will look at this */
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
