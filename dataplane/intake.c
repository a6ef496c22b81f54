/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/intake.c: one message coming in, from MAIL to its commit: its buffers go to the spool
 * as they fill, the last one as the commit record.
 *
 * Promise: the answer to the end of data is given only from the commit's result.
 * Trap:    an intake may lose its connection at any time. Its submissions still come back, so it is
 *          freed only when none is under way.
 */
#include "dataplane/conn.h"

#include "common/counters.h"
#include "common/crc32c.h"

struct intake *intake_begin(struct worker *w, struct server_conn *server)
{
    struct intake *in = pool_take(&w->intakes);
    if (in == NULL) {
        return NULL;
    }
    in->smtp.id = id_source_next(&w->ids, writer_start_last(w->settings.writer));
    if (in->smtp.id == 0) {
        pool_give(&w->intakes, in);
        return NULL; /* the writer cannot make the next start number durable, so there is no id */
    }
    in->smtp.text_used = 0;
    in->spool = (struct spool_txn){.id = in->smtp.id};
    in->server = server;
    in->buffer = NULL;
    in->under_way = 0;
    in->total_bytes = 0;
    in->loops = false;
    in->over = false;
    list_init(&in->link);
    return in;
}

void intake_free_if_over(struct worker *w, struct intake *in)
{
    if (in->over && in->under_way == 0 && list_is_empty(&in->link)) {
        assert(in->buffer == NULL && in->server == NULL);
        pool_give(&w->intakes, in);
    }
}

bool intake_buffer(struct worker *w, struct intake *in, size_t wanted, uint8_t **data_out,
                   size_t *cap_out)
{
    assert(in->buffer == NULL);
    size_t prefix = spool_record_prefix(in->spool.record_count);
    bool small = in->spool.record_count == 0 && wanted + prefix + 1024 <= LIMIT_CHUNK_SMALL_BYTES;
    struct buffer *b = NULL;
    if (small) {
        b = buffer_take(&w->buffers, BUFFER_SMALL, 0);
    }
    if (b == NULL) {
        b = buffer_take(&w->buffers, BUFFER_LARGE, READ_RESERVE);
    }
    if (b == NULL) {
        return false;
    }
    assert(wanted + prefix <= b->size); /* an envelope fits a large buffer */
    in->buffer = b;
    *data_out = b->data + prefix;
    *cap_out = b->size - prefix;
    return true;
}

static struct submission *record_submission(struct worker *w, struct intake *in,
                                            const struct smtp_gather *gather)
{
    struct submission *s = submission_take(w, SUBMISSIONS_RESERVE / 2);
    assert(s != NULL); /* server_pump feeds SMTP only while more than the reserve are free */
    assert(in->buffer != NULL && gather->len >= gather->envelope_bytes);
    s->spool.txn = &in->spool;
    s->spool.cookie = in->buffer;
    s->spool.buffer = in->buffer->data;
    s->spool.buffer_size = in->buffer->size;
    s->spool.envelope_bytes = gather->envelope_bytes;
    s->spool.body_bytes = (uint32_t)(gather->len - gather->envelope_bytes);
    s->spool.body_crc = gather->crc;
    s->spool.id = in->spool.id;
    in->buffer = NULL;
    in->spool.record_count++;
    in->under_way++;
    return s;
}

void intake_chunk(struct worker *w, struct intake *in, const struct smtp_gather *gather)
{
    struct submission *s = record_submission(w, in, gather);
    submission_send(w, s, SPOOL_SUBMIT_RECORD, in, PURPOSE_INTAKE_RECORD);
}

void intake_commit(struct worker *w, struct intake *in, const struct smtp_gather *gather,
                   uint32_t total_bytes, bool loops)
{
    const struct envelope *e = &in->smtp.envelope;
    struct submission *s = record_submission(w, in, gather);
    in->total_bytes = total_bytes;
    in->loops = loops;
    s->spool.total_bytes = total_bytes;
    s->spool.received_ms = e->received_ms;
    s->envelope = e;
    s->delivery_count = envelope_route_count(e);
    assert(s->delivery_count > 0 && s->delivery_count <= LIMIT_ROUTES_PER_MESSAGE);
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        unsigned route = e->rcpt[i].route_index;
        s->delivery[route].route_id = e->rcpt[i].route_id;
        s->delivery[route].rcpt_count++;
    }
    submission_send(w, s, SPOOL_SUBMIT_COMMIT, in, PURPOSE_INTAKE_COMMIT);
}

/* Tells the spool that the records written so far are not needed. false: there is no submission
 * now. */
static bool send_abort(struct worker *w, struct intake *in)
{
    struct submission *s = submission_take(w, 0);
    if (s == NULL) {
        return false;
    }
    s->spool.txn = &in->spool;
    in->under_way++;
    submission_send(w, s, SPOOL_SUBMIT_ABORT, in, PURPOSE_INTAKE_ABORT);
    return true;
}

void intake_abort(struct worker *w, struct intake *in)
{
    assert(!in->over);
    in->over = true;
    in->server = NULL;
    if (in->buffer != NULL) {
        buffer_give(&w->buffers, in->buffer);
        in->buffer = NULL;
    }
    if (in->spool.record_count > 0 && !send_abort(w, in)) {
        list_append(&w->aborting, &in->link);
    }
    intake_free_if_over(w, in);
}

void intake_abort_waiting(struct worker *w)
{
    while (!list_is_empty(&w->aborting)) {
        struct intake *in = list_entry(w->aborting.next, struct intake, link);
        if (!send_abort(w, in)) {
            return;
        }
        list_remove(&in->link);
    }
}

/* A looping message was accepted with 250. Freezes it at once, for a person to look at. */
static void freeze_loop(struct worker *w, const struct submission *committed)
{
    loops_note(w, committed->spool.txn->id);
    for (uint32_t i = 0; i < committed->delivery_count; i++) {
        struct submission *s = submission_take(w, 0);
        if (s == NULL) {
            return; /* its delivery will freeze it */
        }
        s->spool.state.id = committed->spool.txn->id | i;
        s->spool.state.rcpts = rcptset_first(committed->delivery[i].rcpt_count);
        s->spool.state.kind = ABI_STATE_FREEZE;
        s->spool.state.outcome = OUTCOME_LOOP;
        s->spool.state.time_ms = w->wall_ms;
        submission_send(w, s, SPOOL_SUBMIT_STATE, NULL, PURPOSE_NOTHING);
    }
}

enum smtp_commit intake_commit_result(enum spool_result result)
{
    switch (result) {
    case SPOOL_RESULT_OK:
        return SMTP_COMMIT_OK;
    case SPOOL_RESULT_FULL:
        return SMTP_COMMIT_FULL;
    case SPOOL_RESULT_FAILED:
    case SPOOL_RESULT_UNREAD: /* of reads only */
        return SMTP_COMMIT_FAILED;
    }
    assert(!"every result is handled above");
    return SMTP_COMMIT_FAILED;
}

static void committed(struct worker *w, const struct submission *s, struct intake *in)
{
    assert(!in->over && in->buffer == NULL);
    in->over = true;
    in->server = NULL;
    if (s->spool.result == SPOOL_RESULT_OK) {
        counter_add(w->counters, COUNTER_accepted_messages, 1);
        counter_add(w->counters, COUNTER_accepted_rcpts, in->smtp.envelope.rcpt_count);
        counter_add(w->counters, COUNTER_accepted_bytes, in->total_bytes);
        if (in->loops) {
            freeze_loop(w, s);
        }
    }
}

void intake_result(struct worker *w, struct submission *s)
{
    struct intake *in = s->owner;
    struct buffer *b = s->spool.cookie;
    assert(in->under_way > 0);
    in->under_way--;
    if (b != NULL && s->spool.result == SPOOL_RESULT_OK) {
        buffer_keep(&w->buffers, b, s->spool.pos);
    } else if (b != NULL) {
        buffer_give(&w->buffers, b);
    }
    if (s->purpose == PURPOSE_INTAKE_COMMIT) {
        committed(w, s, in);
    }
}
