/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/writer.c: the writer's surface: submissions in, turns, results out; and its reads.
 *
 *   submit ──┬─ RECORD COMMIT ABORT ──▶ message log ─┐
 *            ├─ STATE ────────────────▶ state log ───┼──▶ done list, returned by the turn
 *            ├─ NOTE ── waits for all before it ─────┤
 *            ├─ READ ─────────────────▶ disk ────────┤
 *            └─ RECYCLE, STATE_RECYCLE: noted at once┘
 *
 * Both logs write and sync at the same time, each with one batch in flight.
 *
 * Promise: after the first failed write or sync nothing is written or synced again, and everything
 *          that is not reported yet, or comes later, ends FAILED. Only reads go on.
 * Trap:    a failed fsync may have thrown the dirty pages away and forgotten it: trying again
 *          would report success for bytes that are gone (fsync on Linux, ext4, XFS and Btrfs).
 */
#include "spool/writer.h"

#include "common/id.h"
#include "common/limits/spool.h"

#include <errno.h>
#include <stdlib.h>

/* --- reads ----------------------------------------------------------------------------------- */

static void finish_read(struct spool_writer *w, struct writer_op *op)
{
    struct spool_submit *s = op->read;
    struct segment *segment = op->segment;
    assert(segment->read_count > 0);
    segment->read_count--;
    struct spool_record record;
    size_t len = op->io.result > 0 ? (size_t)op->io.result : 0;
    bool good = len <= s->buffer_size &&
                spool_record_parse(bytes_of(s->buffer, len), s->pos, s->id, &record);
    if (op->io.result < 0) {
        w->stats.io_errors++;
    }
    op->next_free = w->read_op_free;
    w->read_op_free = op;
    enum spool_result bad = op->io.result < 0 ? SPOOL_RESULT_UNREAD : SPOOL_RESULT_FAILED;
    writer_finish(w, s, good ? SPOOL_RESULT_OK : bad);
    segment_try_free(&w->log[LOG_MESSAGE], segment);
}

/* The segment that a read is of, NULL when there is nothing good to be read. */
static struct segment *read_segment(struct spool_writer *w, const struct spool_submit *s)
{
    struct log *log = &w->log[LOG_MESSAGE];
    uint32_t offset = spool_pos_offset(s->pos);
    struct segment *segment = segment_find(log, spool_pos_seq(s->pos));
    if (segment == NULL || offset % SPOOL_BLOCK_BYTES != 0 || offset < FORMAT_SEGMENT_START ||
        offset >= log->segment_bytes || s->buffer_size < SPOOL_BLOCK_BYTES) {
        return NULL;
    }
    bool readable = segment->state == SEGMENT_ACTIVE || segment->state == SEGMENT_SEALED;
    return readable ? segment : NULL;
}

static void drive_reads(struct spool_writer *w)
{
    while (w->reads.head != NULL && w->read_op_free != NULL) {
        struct spool_submit *s = submit_list_take(&w->reads);
        struct segment *segment = read_segment(w, s);
        if (segment == NULL) {
            writer_finish(w, s, SPOOL_RESULT_FAILED);
            continue;
        }
        struct writer_op *op = w->read_op_free;
        w->read_op_free = op->next_free;
        uint64_t left = w->log[LOG_MESSAGE].segment_bytes - spool_pos_offset(s->pos);
        uint64_t len = s->buffer_size / SPOOL_BLOCK_BYTES * SPOOL_BLOCK_BYTES;
        op->owner = OP_READ;
        op->read = s;
        op->segment = segment;
        op->io.kind = SPOOL_IO_READ;
        op->io.file = segment->file;
        op->io.offset = spool_pos_offset(s->pos);
        op->io.iov[0] = (struct iovec){.iov_base = s->buffer, .iov_len = len < left ? len : left};
        op->io.iov_count = 1;
        segment->read_count++;
        writer_issue(w, op);
    }
}

/* --- submissions ----------------------------------------------------------------------------- */

static void submit_to_log(struct spool_writer *w, enum log_kind kind, struct spool_submit *s)
{
    w->log[kind].submitted_count++;
    submit_list_append(&w->log[kind].pending, s);
}

static void submit_recycle(struct spool_writer *w, struct spool_submit *s)
{
    if (!w->fenced && s->kind == SPOOL_SUBMIT_RECYCLE) {
        segment_recycle(&w->log[LOG_MESSAGE], s->seq, s->seen_pos);
    } else if (!w->fenced) {
        segment_recycle_states(&w->log[LOG_STATE], s->seq);
    }
    /* Control may also have removed an old checkpoint: there may be room on the volume again. */
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        prepare_retry(&w->log[i]);
    }
    writer_finish(w, s, w->fenced ? SPOOL_RESULT_FAILED : SPOOL_RESULT_OK);
}

/* When ids use the last durable start number, makes the next one durable, long before it is needed.
 * Without it the ids would end with this number, and new mail would be refused. A disk that fails
 * here will soon fence the volume at another write; a full one is tried again some thousand
 * messages later. */
static void reserve_start(struct spool_writer *w, uint64_t id)
{
    enum { AGAIN_MESSAGES = 4096 };
    if (id_start(id) != w->meta.start || w->meta.start == UINT32_MAX || w->fenced ||
        id < w->reserve_again_id) {
        return;
    }
    struct format_meta next = w->meta;
    next.start++;
    int r = meta_save(w->io, &next);
    if (r == 0) {
        w->meta.start = next.start;
        return;
    }
    w->stats.io_errors += r != -ENOSPC;
    w->reserve_again_id = id + ((uint64_t)AGAIN_MESSAGES << ID_INDEX_BITS);
}

void spool_writer_submit(struct spool_writer *w, struct spool_submit *s)
{
    s->result = RESULT_NONE;
    w->item_count++;
    switch (s->kind) {
    case SPOOL_SUBMIT_RECORD:
    case SPOOL_SUBMIT_COMMIT:
        assert(s->txn != NULL && (uintptr_t)s->buffer % SPOOL_BLOCK_BYTES == 0);
        reserve_start(w, s->txn->id);
        submit_to_log(w, LOG_MESSAGE, s);
        return;
    case SPOOL_SUBMIT_ABORT:
        assert(s->txn != NULL);
        submit_to_log(w, LOG_MESSAGE, s);
        return;
    case SPOOL_SUBMIT_STATE:
        assert(s->state.text_len <= LIMIT_REPLY_TEXT_BYTES);
        submit_to_log(w, LOG_STATE, s);
        return;
    case SPOOL_SUBMIT_READ:
        assert((uintptr_t)s->buffer % SPOOL_BLOCK_BYTES == 0);
        submit_list_append(&w->reads, s);
        return;
    case SPOOL_SUBMIT_RECYCLE:
    case SPOOL_SUBMIT_STATE_RECYCLE:
        submit_recycle(w, s);
        return;
    case SPOOL_SUBMIT_NOTE:
        s->seq = w->log[LOG_MESSAGE].submitted_count;
        s->seen_pos = w->log[LOG_STATE].submitted_count;
        submit_list_append(&w->notes, s);
        return;
    }
    assert(s->kind <= SPOOL_SUBMIT_NOTE);
}

/* --- the turn -------------------------------------------------------------------------------- */

static void handle_ops(struct spool_writer *w, struct spool_io_op *io)
{
    while (io != NULL) {
        struct writer_op *op = (struct writer_op *)io;
        io = io->next;
        assert(w->under_way > 0);
        w->under_way--;
        switch (op->owner) {
        case OP_BATCH:
            log_op_done(op->log, op);
            break;
        case OP_PREPARE:
            prepare_step_done(op->log, op);
            break;
        case OP_READ:
            finish_read(w, op);
            break;
        }
    }
}

static void drive(struct spool_writer *w)
{
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        log_drive(&w->log[i]);
    }
    drive_reads(w);
    writer_notes(w);
}

struct spool_submit *spool_writer_turn(struct spool_writer *w, bool wait)
{
    writer_issue_refused(w);
    drive(w);
    /* Only one step of preparing in a turn: on a disk without io_uring each step blocks. */
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        prepare_drive(&w->log[i]);
    }
    while (w->under_way > 0) {
        struct spool_io_op *finished = writer_reap(w, wait && w->done.head == NULL);
        if (finished == NULL) {
            break;
        }
        wait = false;
        handle_ops(w, finished);
        drive(w);
    }
    struct spool_submit *done = w->done.head;
    submit_list_init(&w->done);
    return done;
}

bool spool_writer_idle(const struct spool_writer *w)
{
    return w->item_count == 0 && w->done.head == NULL;
}

/* --- looking --------------------------------------------------------------------------------- */

uint32_t spool_writer_start(const struct spool_writer *w)
{
    return w->start;
}

uint32_t spool_writer_start_last(const struct spool_writer *w)
{
    return w->meta.start;
}

static uint64_t log_end(const struct log *log)
{
    return log->durable_pos > log->fresh_pos ? log->durable_pos : log->fresh_pos;
}

uint64_t spool_writer_message_pos(const struct spool_writer *w)
{
    return log_end(&w->log[LOG_MESSAGE]);
}

uint64_t spool_writer_state_pos(const struct spool_writer *w)
{
    return log_end(&w->log[LOG_STATE]);
}

uint32_t spool_writer_free_segments(const struct spool_writer *w)
{
    const struct log *log = &w->log[LOG_MESSAGE];
    uint32_t growing = log->prepare.no_space ? 0 : log->count[SEGMENT_NEW];
    uint32_t preparing = prepare_is_trial(log) ? 0 : log->count[SEGMENT_PREPARING];
    return growing + log->count[SEGMENT_BLANK] + log->count[SEGMENT_FREE] + preparing +
           log->count[SEGMENT_READY];
}

enum abi_spool_state spool_writer_state(const struct spool_writer *w)
{
    if (w->fenced) {
        return ABI_SPOOL_FENCED;
    }
    return w->full && spool_writer_free_segments(w) == 0 ? ABI_SPOOL_FULL : ABI_SPOOL_OK;
}

void spool_writer_stats(const struct spool_writer *w, struct spool_writer_stats *stats_out)
{
    *stats_out = w->stats;
}

bool spool_writer_take_recycled(struct spool_writer *w, uint64_t *seq_out)
{
    if (w->recycled_count == 0) {
        return false;
    }
    *seq_out = w->recycled[w->recycled_head];
    w->recycled_head = (w->recycled_head + 1) % w->log[LOG_MESSAGE].segment_count;
    w->recycled_count--;
    return true;
}

/* --- open and close -------------------------------------------------------------------------- */

static int allocate(struct spool_writer *w)
{
    w->pin = calloc(LIMIT_PINS, sizeof *w->pin);
    w->zeros = aligned_alloc(FORMAT_CRC_BLOCK_BYTES, PREPARE_CHUNK_BYTES);
    if (w->pin == NULL || w->zeros == NULL) {
        return -ENOMEM;
    }
    memset(w->zeros, 0, PREPARE_CHUNK_BYTES);
    for (uint32_t i = 0; i < LIMIT_PINS; i++) {
        w->pin[i].next = i + 2 <= LIMIT_PINS ? i + 2 : 0;
    }
    w->pin_free = 1;
    for (uint32_t i = 0; i < READS_MAX; i++) {
        w->read_op[i].next_free = w->read_op_free;
        w->read_op_free = &w->read_op[i];
    }
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        struct log *log = &w->log[i];
        log->writer = w;
        log->kind = i == LOG_STATE ? LOG_STATE : LOG_MESSAGE;
        submit_list_init(&log->pending);
        submit_list_init(&log->batch.items);
        size_t header = format_round(FORMAT_BATCH_HEADER_MAX, FORMAT_CRC_BLOCK_BYTES);
        log->batch.header = aligned_alloc(FORMAT_CRC_BLOCK_BYTES, header);
        log->batch.staging = aligned_alloc(FORMAT_CRC_BLOCK_BYTES, STATE_BATCH_BYTES);
        log->prepare.header = aligned_alloc(FORMAT_CRC_BLOCK_BYTES, FORMAT_SEGMENT_COPY_BYTES);
        if (log->batch.header == NULL || log->batch.staging == NULL ||
            log->prepare.header == NULL) {
            return -ENOMEM;
        }
        for (uint32_t k = 0; k < LOG_OPS_MAX; k++) {
            log->batch.op[k].owner = OP_BATCH;
            log->batch.op[k].log = log;
        }
        log->prepare.op.owner = OP_PREPARE;
        log->prepare.op.log = log;
    }
    return 0;
}

int spool_writer_open(struct spool_io *io, const struct spool_settings *settings,
                      struct spool_writer **writer_out)
{
    struct spool_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return -ENOMEM;
    }
    w->io = io;
    w->lock_file = -1;
    submit_list_init(&w->reads);
    submit_list_init(&w->notes);
    submit_list_init(&w->done);
    int err = allocate(w);
    if (err == 0) {
        err = recover_open(w, settings);
    }
    if (err != 0) {
        spool_writer_close(w);
        return err;
    }
    /* No segment is in use yet. Where none is free, the first record would be refused: so the spool
     * is full from the beginning. */
    assert(w->log[LOG_MESSAGE].active == NULL);
    w->full = spool_writer_free_segments(w) == 0;
    *writer_out = w;
    return 0;
}

static void close_log(struct spool_writer *w, struct log *log)
{
    for (uint32_t i = 0; i < log->segment_count; i++) {
        if (log->segment[i].file >= 0) {
            w->io->ops->close(w->io, log->segment[i].file);
        }
    }
    free(log->segment);
    free(log->seq);
    free(log->batch.header);
    free(log->batch.staging);
    free(log->prepare.header);
}

void spool_writer_close(struct spool_writer *w)
{
    writer_drain(w);
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        close_log(w, &w->log[i]);
    }
    if (w->lock_file >= 0) {
        w->io->ops->close(w->io, w->lock_file);
    }
    free(w->recycled);
    free(w->zeros);
    free(w->pin);
    free(w);
}
