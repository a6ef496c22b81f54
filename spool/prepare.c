/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/prepare.c: segments made ready before they are needed.
 *
 *   NEW ──zeros, sync──▶ BLANK ──┐
 *                        FREE ───┴─ header A, sync, header B, sync ──▶ READY
 *
 * Real zeros, not fallocate: writing into unwritten extents costs a journal transaction each time,
 * and an extending O_DIRECT write blocks the submitter. One operation is under way at a time, so
 * that preparing never holds up a batch for longer than one piece of zeros. The zeros begin behind
 * the headers: a torn piece of them must not look like a header that rotted.
 *
 * Promise: a READY segment's sequence is durable and higher than any used before. On a full
 *          filesystem growing is tried again every PREPARE_RETRY_COUNT turns and at each RECYCLE;
 *          until a file has grown to its full size, the trial counts as no room. The message log
 *          stops growing while there is still a reserve for state segments and checkpoints.
 * Trap:    an error of the header or a sync fences the volume; only a file that cannot grow
 *          (ENOSPC, EDQUOT) is an ordinary condition.
 */
#include "spool/writer.h"

#include <errno.h>

static struct segment *first_in(struct log *log, enum segment_state state)
{
    if (log->count[state] == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < log->segment_count; i++) {
        if (log->segment[i].state == state) {
            return &log->segment[i];
        }
    }
    return NULL;
}

/* Messages must leave room on the volume for the records of their outcomes: state segments,
 * control's checkpoints, the meta file of a start. Without that room nobody could empty a full
 * volume. */
static bool leaves_reserve(struct log *log)
{
    const struct spool_writer *w = log->writer;
    uint64_t reserve =
        PREPARE_RESERVE_BYTES + PREPARE_RESERVE_SEGMENTS * w->log[LOG_STATE].segment_bytes;
    if (log->kind == LOG_STATE || w->io->ops->space == NULL) {
        return true;
    }
    int64_t space = w->io->ops->space(w->io);
    return space < 0 || (uint64_t)space >= log->segment_bytes + reserve;
}

/* Prefers segments that were used before to files that must grow: they need no zeros. */
static struct segment *candidate(struct log *log)
{
    struct prepare *p = &log->prepare;
    struct segment *segment = first_in(log, SEGMENT_FREE);
    if (segment == NULL) {
        segment = first_in(log, SEGMENT_BLANK);
    }
    if (segment == NULL && log->count[SEGMENT_NEW] > 0 && (!p->no_space || p->retry)) {
        if (leaves_reserve(log)) {
            return first_in(log, SEGMENT_NEW);
        }
        p->no_space = true;
        p->retry = false;
        p->refused_count = 0;
    }
    return segment;
}

bool prepare_is_trial(const struct log *log)
{
    const struct prepare *p = &log->prepare;
    return p->no_space && (p->phase == PREPARE_ZERO || p->phase == PREPARE_ZERO_SYNC);
}

bool prepare_possible(const struct log *log)
{
    const struct prepare *p = &log->prepare;
    return (p->phase != PREPARE_NONE && !prepare_is_trial(log)) || log->count[SEGMENT_FREE] > 0 ||
           log->count[SEGMENT_BLANK] > 0 || (log->count[SEGMENT_NEW] > 0 && !p->no_space);
}

void prepare_retry(struct log *log)
{
    log->prepare.retry = log->prepare.no_space;
    log->prepare.refused_count = 0;
}

static bool begin(struct log *log)
{
    struct prepare *p = &log->prepare;
    assert(p->phase == PREPARE_NONE && !p->under_way);
    if (log->ready_count >= LOG_READY_WANTED || log->next_seq > UINT32_MAX) {
        return false;
    }
    struct segment *segment = candidate(log);
    if (segment == NULL) {
        return false;
    }
    p->phase = PREPARE_FIRST;
    if (segment->state == SEGMENT_NEW) {
        p->phase = PREPARE_ZERO;
        p->retry = false; /* this is the retry */
    }
    p->segment = segment;
    p->zeroed_bytes = FORMAT_SEGMENT_START;
    segment_set_state(log, segment, SEGMENT_PREPARING);
    return true;
}

static void fill_header(struct log *log)
{
    struct prepare *p = &log->prepare;
    struct format_segment header = {
        .kind = log->kind, .seq = p->seq, .segment_bytes = log->segment_bytes};
    format_segment_encode(&header, &log->writer->key, p->header);
}

static void set_write(struct spool_io_op *io, void *data, size_t len, uint64_t offset)
{
    io->kind = SPOOL_IO_WRITE;
    io->offset = offset;
    io->iov[0] = (struct iovec){.iov_base = data, .iov_len = len};
    io->iov_count = 1;
}

/* Fills in the operation of the present phase. */
static void fill_op(struct log *log)
{
    struct prepare *p = &log->prepare;
    struct spool_io_op *io = &p->op.io;
    uint64_t left = log->segment_bytes - p->zeroed_bytes;
    io->file = p->segment->file;
    io->durable = false;
    switch (p->phase) {
    case PREPARE_ZERO:
        set_write(io, log->writer->zeros, left < PREPARE_CHUNK_BYTES ? left : PREPARE_CHUNK_BYTES,
                  p->zeroed_bytes);
        return;
    case PREPARE_FIRST:
        p->seq = log->next_seq++;
        fill_header(log);
        set_write(io, p->header, FORMAT_SEGMENT_COPY_BYTES, 0);
        return;
    case PREPARE_SECOND:
        set_write(io, p->header, FORMAT_SEGMENT_COPY_BYTES, FORMAT_SEGMENT_COPY_BYTES);
        return;
    case PREPARE_ZERO_SYNC:
    case PREPARE_FIRST_SYNC:
    case PREPARE_SECOND_SYNC:
        io->kind = SPOOL_IO_SYNC;
        io->iov_count = 0;
        return;
    case PREPARE_NONE:
        break;
    }
    assert(p->phase != PREPARE_NONE);
}

static void ready(struct log *log)
{
    struct prepare *p = &log->prepare;
    struct segment *segment = p->segment;
    assert(log->ready_count < LOG_READY_MAX && segment->state == SEGMENT_PREPARING);
    assert(segment->pin_count == 0 && segment->read_count == 0);
    segment_set_seq(log, segment, p->seq);
    segment->last_ref_pos = 0;
    segment->seen_pos = 0;
    segment_set_state(log, segment, SEGMENT_READY);
    log->ready[log->ready_count++] = segment;
    p->segment = NULL;
    p->phase = PREPARE_NONE;
}

/* The file starts to grow again from its beginning, once there is room. If it got a sequence
 * already, that sequence is lost, and not used twice. */
static void out_of_space(struct log *log)
{
    struct prepare *p = &log->prepare;
    p->no_space = true;
    p->refused_count = 0;
    segment_set_state(log, p->segment, SEGMENT_NEW);
    p->segment = NULL;
    p->phase = PREPARE_NONE;
}

static int64_t wanted_result(const struct spool_io_op *io)
{
    return io->kind == SPOOL_IO_SYNC ? 0 : (int64_t)io->iov[0].iov_len;
}

/* Returns 0, or -errno when the volume is to be fenced. */
static int advance(struct log *log)
{
    struct prepare *p = &log->prepare;
    int64_t result = p->op.io.result;
    bool shortened = p->phase == PREPARE_ZERO && result >= 0 && result < wanted_result(&p->op.io);
    if (p->op.io.kind == SPOOL_IO_WRITE && (result == -ENOSPC || result == -EDQUOT || shortened)) {
        out_of_space(log);
        return 0;
    }
    if (result != wanted_result(&p->op.io)) {
        return result < 0 ? (int)result : -EIO;
    }
    switch (p->phase) {
    case PREPARE_ZERO:
        p->zeroed_bytes += (uint64_t)result;
        p->phase = p->zeroed_bytes < log->segment_bytes ? PREPARE_ZERO : PREPARE_ZERO_SYNC;
        break;
    case PREPARE_ZERO_SYNC:
        p->no_space = false;
        p->phase = PREPARE_FIRST;
        break;
    case PREPARE_FIRST:
        p->phase = PREPARE_FIRST_SYNC;
        break;
    case PREPARE_FIRST_SYNC:
        p->phase = PREPARE_SECOND;
        break;
    case PREPARE_SECOND:
        p->phase = PREPARE_SECOND_SYNC;
        break;
    case PREPARE_SECOND_SYNC:
        ready(log);
        break;
    case PREPARE_NONE:
        break;
    }
    return 0;
}

void prepare_drive(struct log *log)
{
    struct prepare *p = &log->prepare;
    if (p->under_way || log->writer->fenced) {
        return;
    }
    if (p->no_space && ++p->refused_count >= PREPARE_RETRY_COUNT) {
        prepare_retry(log); /* somebody may have freed space */
    }
    if (p->phase == PREPARE_NONE && !begin(log)) {
        return;
    }
    fill_op(log);
    p->under_way = true;
    writer_issue(log->writer, &p->op);
}

void prepare_step_done(struct log *log, struct writer_op *op)
{
    assert(op == &log->prepare.op && log->prepare.under_way);
    log->prepare.under_way = false;
    if (advance(log) != 0) {
        writer_fence(log->writer);
    }
}

int prepare_now(struct log *log)
{
    struct prepare *p = &log->prepare;
    struct spool_io *io = log->writer->io;
    if (!begin(log)) {
        return 0;
    }
    while (p->phase != PREPARE_NONE) {
        fill_op(log);
        struct spool_io_op *op = &p->op.io;
        op->result = op->kind == SPOOL_IO_SYNC ? io->ops->sync(io, op->file)
                                               : io->ops->pwrite(io, op->file, op->iov[0].iov_base,
                                                                 op->iov[0].iov_len, op->offset);
        int err = advance(log);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}
