/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/log.c: the batches of one log.
 *
 * One batch is in flight. The next one takes what has arrived meanwhile: so batches grow with the
 * load, and there is no timer. choose() takes submissions into the batch and gives each its place
 * in the body. encode() writes headers in front of the payloads, in the submitters' own buffers.
 * Then all pieces are written, and one fdatasync makes them durable (or the writes have RWF_DSYNC,
 * where that costs nothing).
 *
 * Promise: results leave in the order of submission, and OK only after the sync.
 * Trap:    until the last operation of a batch is reaped, its buffers belong to the kernel, even
 *          after the volume is fenced.
 */
#include "spool/writer.h"

#include "common/crc32c.h"
#include "spool/extent.h"

/* --- choosing -------------------------------------------------------------------------------- */

enum choice {
    CHOICE_TAKEN,
    CHOICE_LATER, /* the batch is full, or a segment is being prepared; a state waits for room */
};

static bool room_in_active(const struct log *log, uint32_t body_bytes)
{
    uint32_t bytes = format_batch_bytes(format_batch_header_bytes(body_bytes), body_bytes);
    return log->active != NULL && (uint64_t)log->offset + bytes <= log->segment_bytes;
}

static uint32_t piece_count(const struct log *log)
{
    return 2 + (log->kind == LOG_STATE ? 1 : log->batch.record_count); /* header, zeros */
}

static void decide(struct log *log, struct spool_submit *s, enum spool_result result)
{
    s->result = result;
    submit_list_append(&log->batch.items, submit_list_take(&log->pending));
}

static void refuse_full(struct log *log, struct spool_submit *s)
{
    struct spool_writer *w = log->writer;
    assert(log->kind == LOG_MESSAGE); /* an outcome is never refused */
    w->stats.full++;
    log->prepare.refused_count++;
    w->full = true;
    s->txn->failed = SPOOL_RESULT_FULL;
    decide(log, s, SPOOL_RESULT_FULL);
}

/* Gives s the next `bytes` of the body, which is padded to whole blocks. */
static enum choice place(struct log *log, struct spool_submit *s, uint32_t bytes)
{
    struct batch *b = &log->batch;
    uint32_t body = format_round(b->body_bytes + bytes, SPOOL_BLOCK_BYTES);
    if (body > log->batch_bytes_max ||
        piece_count(log) + 1 > LOG_OPS_MAX * (uint32_t)SPOOL_IO_IOV_MAX) {
        return CHOICE_LATER;
    }
    if (!room_in_active(log, body)) {
        if (b->record_count > 0) {
            return CHOICE_LATER;
        }
        if (!segment_rotate(log)) {
            /* An outcome waits until there is room, and everything behind it waits too. */
            if (log->kind == LOG_STATE || prepare_possible(log)) {
                return CHOICE_LATER;
            }
            refuse_full(log, s);
            return CHOICE_TAKEN;
        }
        assert(room_in_active(log, body));
        log->writer->full &= log->kind != LOG_MESSAGE;
    }
    if (log->kind == LOG_MESSAGE && !segment_pin(log, s->txn)) {
        refuse_full(log, s);
        return CHOICE_TAKEN;
    }
    s->pos = b->body_bytes; /* relative, until encode() knows the header's length */
    b->body_bytes += bytes;
    b->record_count++;
    decide(log, s, RESULT_NONE);
    return CHOICE_TAKEN;
}

static enum choice choose_record(struct log *log, struct spool_submit *s)
{
    struct spool_txn *txn = s->txn;
    if (txn->failed != RESULT_NONE) {
        decide(log, s, txn->failed);
        return CHOICE_TAKEN;
    }
    if (s->kind == SPOOL_SUBMIT_COMMIT && !segment_pins_valid(log, txn)) {
        txn->failed = SPOOL_RESULT_FAILED;
        decide(log, s, SPOOL_RESULT_FAILED);
        return CHOICE_TAKEN;
    }
    uint32_t index = txn->written_count;
    if (index > 0 && log->active != NULL &&
        !spool_extent_may_reach(txn->first_pos, log->active->seq)) {
        txn->failed = SPOOL_RESULT_FULL; /* the log reused one of its segments meanwhile */
        decide(log, s, SPOOL_RESULT_FULL);
        return CHOICE_TAKEN;
    }
    uint32_t bytes = format_record_bytes(index, s->envelope_bytes + s->body_bytes);
    assert(bytes <= FORMAT_RECORD_BYTES_MAX && bytes <= (s->buffer_size + 511) / 512 * 512);
    assert(index <= FORMAT_RECORD_INDEX_MAX && s->envelope_bytes <= LIMIT_ENVELOPE_BYTES);
    enum choice choice = place(log, s, bytes);
    if (choice == CHOICE_TAKEN && s->result == RESULT_NONE) {
        s->seq = index; /* records have no other use for seq */
        txn->written_count++;
        txn->written_bytes += s->body_bytes;
    }
    return choice;
}

static enum choice choose_one(struct log *log, struct spool_submit *s)
{
    switch (s->kind) {
    case SPOOL_SUBMIT_RECORD:
    case SPOOL_SUBMIT_COMMIT:
        return choose_record(log, s);
    case SPOOL_SUBMIT_ABORT:
        decide(log, s, SPOOL_RESULT_OK);
        return CHOICE_TAKEN;
    case SPOOL_SUBMIT_STATE:
        return place(log, s, format_round(FORMAT_STATE_FIXED_BYTES + s->state.text_len, 8));
    case SPOOL_SUBMIT_READ:
    case SPOOL_SUBMIT_RECYCLE:
    case SPOOL_SUBMIT_STATE_RECYCLE:
    case SPOOL_SUBMIT_NOTE:
        break;
    }
    assert(s->kind == SPOOL_SUBMIT_RECORD); /* no other kind is written to a log */
    return CHOICE_LATER;
}

static void choose(struct log *log)
{
    struct batch *b = &log->batch;
    assert(b->phase == BATCH_NONE && b->items.head == NULL);
    b->record_count = 0;
    b->body_bytes = 0;
    while (log->pending.head != NULL) {
        if (choose_one(log, log->pending.head) == CHOICE_LATER) {
            break;
        }
    }
}

/* --- encoding -------------------------------------------------------------------------------- */

/* The CRC of each FORMAT_CRC_BLOCK_BYTES of the body, over its pieces. */
struct block_crc {
    uint8_t *at;
    uint32_t crc;
    uint32_t filled_bytes;
};

static void block_crc_close(struct block_crc *t)
{
    for (unsigned i = 0; i < 4; i++) {
        *t->at++ = (uint8_t)(t->crc >> (8 * i));
    }
    t->crc = 0;
    t->filled_bytes = 0;
}

static void block_crc_add(struct block_crc *t, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t room = FORMAT_CRC_BLOCK_BYTES - t->filled_bytes;
        size_t part = len < room ? len : room;
        t->crc = crc32c(t->crc, data, part);
        t->filled_bytes += (uint32_t)part;
        data += part;
        len -= part;
        if (t->filled_bytes == FORMAT_CRC_BLOCK_BYTES) {
            block_crc_close(t);
        }
    }
}

static void add_piece(struct batch *b, void *data, size_t len)
{
    struct writer_op *op = &b->op[b->op_count - 1];
    if (op->io.iov_count == SPOOL_IO_IOV_MAX) {
        assert(b->op_count < LOG_OPS_MAX);
        struct writer_op *next = &b->op[b->op_count++];
        next->io.offset = op->io.offset + (uint64_t)op->wanted;
        next->io.iov_count = 0;
        next->wanted = 0;
        op = next;
    }
    op->io.iov[op->io.iov_count++] = (struct iovec){.iov_base = data, .iov_len = len};
    op->wanted += (int64_t)len;
}

static uint32_t encode_record(struct spool_submit *s)
{
    struct spool_txn *txn = s->txn;
    uint32_t index = (uint32_t)s->seq;
    if (index == 0) {
        txn->first_pos = s->pos;
    }
    struct format_record r = {
        .seq = spool_pos_seq(s->pos),
        .offset = spool_pos_offset(s->pos),
        .index = index,
        .id = txn->id,
        .first_pos = txn->first_pos,
        .is_first = index == 0,
        .is_last = s->kind == SPOOL_SUBMIT_COMMIT,
        .back_count = index < SPOOL_BACK_MAX ? index : SPOOL_BACK_MAX,
        .envelope_bytes = s->envelope_bytes,
        .body_bytes = s->body_bytes,
        .payload_crc = s->body_crc,
    };
    if (r.is_last) {
        assert(s->total_bytes == txn->written_bytes); /* the next hop is told this size */
        r.total_bytes = s->total_bytes;
        r.received_ms = s->received_ms;
    }
    for (uint32_t i = 0; i < r.back_count; i++) {
        r.back[i] = txn->back[(index - 1 - i) % SPOOL_BACK_MAX];
    }
    txn->back[index % SPOOL_BACK_MAX] = s->pos;
    txn->last_pos = s->pos;
    format_record_encode(&r, s->buffer);
    uint32_t used = (uint32_t)spool_record_prefix(index) + s->envelope_bytes + s->body_bytes;
    uint32_t bytes = format_round(used, SPOOL_BLOCK_BYTES);
    memset(s->buffer + used, 0, bytes - used);
    return bytes;
}

static void encode_items(struct log *log, uint64_t body_pos, struct block_crc *table)
{
    struct batch *b = &log->batch;
    uint32_t staged = 0;
    for (struct spool_submit *s = b->items.head; s != NULL; s = s->next) {
        if (s->result != RESULT_NONE) {
            continue;
        }
        s->pos += body_pos;
        if (log->kind == LOG_STATE) {
            staged += format_state_encode(&s->state, s->pos, b->staging + staged);
        } else {
            uint32_t bytes = encode_record(s);
            add_piece(b, s->buffer, bytes);
            block_crc_add(table, s->buffer, bytes);
        }
    }
    if (log->kind == LOG_STATE) {
        uint32_t padded = format_round(staged, SPOOL_BLOCK_BYTES);
        memset(b->staging + staged, 0, padded - staged);
        add_piece(b, b->staging, padded);
        block_crc_add(table, b->staging, padded);
    }
}

static void encode(struct log *log)
{
    struct batch *b = &log->batch;
    struct spool_writer *w = log->writer;
    b->body_bytes = format_round(b->body_bytes, SPOOL_BLOCK_BYTES);
    b->header_bytes = format_batch_header_bytes(b->body_bytes);
    b->bytes = format_batch_bytes(b->header_bytes, b->body_bytes);
    assert(log->offset + b->bytes <= log->segment_bytes);
    b->op_count = 1;
    b->op[0].io.offset = log->offset;
    b->op[0].io.iov_count = 0;
    b->op[0].wanted = 0;
    add_piece(b, b->header, b->header_bytes);
    struct block_crc table = {.at = b->header + FORMAT_BATCH_FIXED_BYTES};
    encode_items(log, format_pos(log->active->seq, log->offset + b->header_bytes), &table);
    if (table.filled_bytes > 0) {
        block_crc_close(&table);
    }
    if (b->bytes > b->header_bytes + b->body_bytes) {
        add_piece(b, w->zeros, b->bytes - b->header_bytes - b->body_bytes);
    }
    struct format_batch header = {
        .kind = log->kind,
        .seq = log->active->seq,
        .offset = log->offset,
        .header_bytes = b->header_bytes,
        .body_bytes = b->body_bytes,
        .record_count = b->record_count,
        .number = ++log->batch_number,
        .durable_pos = log->durable_pos,
        .peer_durable_pos = w->log[log->kind == LOG_STATE ? LOG_MESSAGE : LOG_STATE].durable_pos,
        .start = w->start,
    };
    format_batch_encode(&header, &w->key, b->header);
}

/* --- to the disk and back -------------------------------------------------------------------- */

static void issue_writes(struct log *log)
{
    struct batch *b = &log->batch;
    b->phase = BATCH_WRITING;
    b->under_way = b->op_count;
    for (uint32_t i = 0; i < b->op_count; i++) {
        b->op[i].io.kind = SPOOL_IO_WRITE;
        b->op[i].io.file = log->active->file;
        b->op[i].io.durable = log->writer->dsync;
        writer_issue(log->writer, &b->op[i]);
    }
}

static void issue_sync(struct log *log)
{
    struct batch *b = &log->batch;
    b->phase = BATCH_SYNCING;
    b->under_way = 1;
    b->op[0].io.kind = SPOOL_IO_SYNC;
    b->op[0].io.iov_count = 0;
    b->op[0].wanted = 0;
    writer_issue(log->writer, &b->op[0]);
}

static void report(struct log *log, struct spool_submit *s)
{
    if (s->kind == SPOOL_SUBMIT_COMMIT || s->kind == SPOOL_SUBMIT_ABORT) {
        bool committed = s->kind == SPOOL_SUBMIT_COMMIT && s->result == SPOOL_RESULT_OK;
        segment_unpin(log, s->txn, committed ? s->pos : 0);
    }
    log->done_count++;
    writer_finish(log->writer, s, s->result);
    writer_notes(log->writer);
}

static void complete(struct log *log)
{
    struct batch *b = &log->batch;
    struct spool_writer *w = log->writer;
    assert(!w->fenced && b->under_way == 0);
    if (b->record_count > 0) {
        log->offset += b->bytes;
        log->durable_pos = format_pos(log->active->seq, log->offset);
        w->stats.batches++;
        if (log->kind == LOG_MESSAGE) {
            w->stats.message_bytes += b->bytes;
        } else {
            w->stats.state_records += b->record_count;
        }
    }
    b->phase = BATCH_NONE;
    struct spool_submit *s;
    while ((s = submit_list_take(&b->items)) != NULL) {
        if (s->result == RESULT_NONE) {
            s->result = SPOOL_RESULT_OK;
        }
        report(log, s);
    }
}

static void fail_list(struct log *log, struct submit_list *list)
{
    struct spool_submit *s;
    while ((s = submit_list_take(list)) != NULL) {
        s->result = SPOOL_RESULT_FAILED;
        if (log->kind == LOG_MESSAGE) {
            s->txn->failed = SPOOL_RESULT_FAILED;
        }
        report(log, s);
    }
}

void log_drive(struct log *log)
{
    struct batch *b = &log->batch;
    if (log->writer->fenced) {
        if (b->under_way == 0) {
            b->phase = BATCH_NONE;
            fail_list(log, &b->items);
            fail_list(log, &log->pending);
        }
        return;
    }
    while (b->phase == BATCH_NONE && log->pending.head != NULL) {
        choose(log);
        if (b->items.head == NULL) {
            return; /* waits for a segment that is being prepared, or could not be prepared yet */
        }
        if (b->record_count > 0) {
            encode(log);
            issue_writes(log);
        } else {
            complete(log);
        }
    }
}

void log_op_done(struct log *log, struct writer_op *op)
{
    struct batch *b = &log->batch;
    assert(b->phase != BATCH_NONE && b->under_way > 0);
    b->under_way--;
    if (op->io.result != op->wanted) {
        writer_fence(log->writer);
    }
    if (b->under_way > 0 || log->writer->fenced) {
        return;
    }
    if (b->phase == BATCH_WRITING && !log->writer->dsync) {
        issue_sync(log);
    } else {
        complete(log);
    }
}
