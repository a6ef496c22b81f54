/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/recover.c: what a start does with the directory before the writer may write.
 *
 *   lock ─▶ sync the directory ─▶ meta ─▶ open and sync every segment, make missing files
 *        ─▶ read their headers ─▶ find the ends of both logs ─▶ meta: start number + 2, durable
 *        ─▶ prepare fresh segments under higher sequences
 *
 * What the last run wrote and did not sync may be in the page cache, and look durable. So every
 * file is synced before it is read for the first time.
 *
 * Promise: a segment that holds a batch is SEALED here: only a RECYCLE of control frees it.
 * Trap:    a log may have been durable further than its own batches say: the batches of each log
 *          also tell how far the other one was durable.
 */
#include "common/id.h"
#include "common/limits/spool.h"
#include "spool/reader.h"
#include "spool/writer.h"

#include <errno.h>
#include <stdlib.h>

/* --- meta ------------------------------------------------------------------------------------ */

static int refuse_segments(void *ctx, const char *name)
{
    struct spool_io *io = ctx;
    enum log_kind kind;
    uint32_t number;
    return format_segment_name_parse(name, &kind, &number)
               ? trouble_say(io->trouble, -EBADMSG,
                             "%s is here, but both meta files, which are its key, are gone", name)
               : 0;
}

static bool segment_bytes_fit(uint64_t bytes)
{
    return bytes >= FORMAT_SEGMENT_BYTES_MIN && bytes <= FORMAT_SEGMENT_BYTES_MAX &&
           bytes % FORMAT_CRC_BLOCK_BYTES == 0;
}

static int meta_make(struct spool_writer *w, const struct spool_settings *settings)
{
    /* Segments without a meta file: it was lost, and with it the key that verifies them. */
    int err = w->io->ops->list(w->io, refuse_segments, w->io);
    if (err != 0) {
        return err;
    }
    w->meta = (struct format_meta){.start = 0};
    w->meta.segment_bytes[LOG_MESSAGE] =
        settings->segment_bytes != 0 ? settings->segment_bytes : SEGMENT_BYTES_DEFAULT;
    w->meta.segment_bytes[LOG_STATE] = settings->state_segment_bytes != 0
                                           ? settings->state_segment_bytes
                                           : STATE_SEGMENT_BYTES_DEFAULT;
    if (!segment_bytes_fit(w->meta.segment_bytes[LOG_MESSAGE]) ||
        !segment_bytes_fit(w->meta.segment_bytes[LOG_STATE])) {
        return trouble_say(w->io->trouble, -EINVAL, "the size of a segment is out of range");
    }
    if (w->io->ops->random == NULL) {
        memset(w->meta.uuid, 0x5a, sizeof w->meta.uuid);
        return 0;
    }
    return w->io->ops->random(w->io, w->meta.uuid, sizeof w->meta.uuid);
}

/* A new spool's meta files are there before its first segment is. */
static int find_meta(struct spool_writer *w, const struct spool_settings *settings)
{
    int err = meta_load(w->io, true, &w->meta);
    if (err == -ENOENT) {
        err = meta_make(w, settings);
        err = err == 0 ? meta_save(w->io, &w->meta) : err;
    }
    w->key = format_key(w->meta.uuid);
    return err;
}

/* Takes this run's start numbers: last, when nothing can refuse the start any more. meta.start is
 * the last number that an id may have had. A run takes two, so that the second is durable when the
 * first has given its last id; then the writer takes another one (reserve_start). */
static int begin_run(struct spool_writer *w)
{
    if (w->meta.start > UINT32_MAX - 2) {
        return trouble_say(w->io->trouble, -ERANGE,
                           "there is no start number left: ids would repeat");
    }
    w->start = w->meta.start + 1;
    w->meta.start += 2;
    return meta_save(w->io, &w->meta);
}

/* --- segments -------------------------------------------------------------------------------- */

struct found {
    uint32_t *file_number[LOG_COUNT];
    uint32_t count[LOG_COUNT];
    uint32_t cap[LOG_COUNT];
};

static int note_name(void *ctx, const char *name)
{
    struct found *f = ctx;
    enum log_kind kind;
    uint32_t number;
    if (!format_segment_name_parse(name, &kind, &number)) {
        return 0;
    }
    if (f->count[kind] == f->cap[kind]) {
        uint32_t cap = f->cap[kind] == 0 ? 64 : f->cap[kind] * 2;
        uint32_t *bigger = realloc(f->file_number[kind], cap * sizeof *bigger);
        if (bigger == NULL) {
            return -ENOMEM;
        }
        f->file_number[kind] = bigger;
        f->cap[kind] = cap;
    }
    f->file_number[kind][f->count[kind]++] = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Adds the lowest file numbers that no file has, until there are `wanted`. */
static int number_files(struct found *f, enum log_kind kind, uint32_t wanted)
{
    uint32_t existing = f->count[kind];
    if (existing > 0) {
        qsort(f->file_number[kind], existing, sizeof(uint32_t), compare_numbers);
    }
    uint32_t next = 1;
    uint32_t seen = 0;
    while (f->count[kind] < wanted) {
        while (seen < existing && f->file_number[kind][seen] < next) {
            seen++;
        }
        if (seen < existing && f->file_number[kind][seen] == next) {
            next++;
            continue;
        }
        char name[FORMAT_NAME_SIZE];
        int err = note_name(f, format_segment_name(kind, next++, name));
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static enum segment_state found_state(enum format_segment_verdict verdict, bool whole)
{
    switch (verdict) {
    case FORMAT_SEGMENT_USED:
        return SEGMENT_SEALED;
    case FORMAT_SEGMENT_BLANK:
        return whole ? SEGMENT_BLANK : SEGMENT_NEW;
    case FORMAT_SEGMENT_DAMAGED:
        break;
    }
    return SEGMENT_LOST;
}

/* Opens a segment's file, makes it where it is missing, and reads its header. `scratch`:
 * FORMAT_SEGMENT_START bytes, aligned for O_DIRECT. */
static int open_segment(struct log *log, struct segment *segment, uint8_t *scratch)
{
    struct spool_io *io = log->writer->io;
    char name[FORMAT_NAME_SIZE];
    segment->file =
        io->ops->open(io, format_segment_name(log->kind, segment->file_number, name), true, true);
    if (segment->file < 0) {
        return segment->file;
    }
    int64_t size = io->ops->size(io, segment->file);
    if (size <= 0) {
        log->count[SEGMENT_NEW]++; /* SEGMENT_NEW is its state already */
        return (int)size;
    }
    int err = io->ops->sync(io, segment->file);
    int64_t got =
        err == 0 ? io->ops->pread(io, segment->file, scratch, FORMAT_SEGMENT_START, 0) : err;
    if (got < 0 && (err != 0 || got != -EIO)) {
        return (int)got;
    }
    struct format_segment header = {0};
    enum format_segment_verdict verdict = FORMAT_SEGMENT_DAMAGED; /* an unreadable one is, too */
    if (got >= 0) {
        verdict = format_segment_decode(bytes_of(scratch, (size_t)got), &log->writer->key,
                                        log->kind, &header);
    }
    segment->state = found_state(verdict, (uint64_t)size >= log->segment_bytes);
    log->count[segment->state]++;
    if (verdict == FORMAT_SEGMENT_USED) {
        segment_set_seq(log, segment, header.seq);
        if (header.seq >= log->next_seq) {
            log->next_seq = header.seq + 1;
        }
    }
    return 0;
}

static int open_segments(struct log *log, const uint32_t *file_number, uint32_t count)
{
    log->segment = calloc(count, sizeof *log->segment);
    log->seq = calloc(count, sizeof *log->seq);
    uint8_t *scratch = aligned_alloc(FORMAT_CRC_BLOCK_BYTES, FORMAT_SEGMENT_START);
    int err = log->segment != NULL && log->seq != NULL && scratch != NULL ? 0 : -ENOMEM;
    log->segment_bytes = log->writer->meta.segment_bytes[log->kind];
    log->next_seq = 1;
    for (uint32_t i = 0; err == 0 && i < count; i++) {
        log->segment[i] = (struct segment){.file = -1, .file_number = file_number[i]};
        log->segment_count = i + 1;
        err = open_segment(log, &log->segment[i], scratch);
    }
    free(scratch);
    return err;
}

static int find_segments(struct spool_writer *w, uint32_t segments_max)
{
    struct found f = {0};
    const uint32_t wanted[LOG_COUNT] = {segments_max, LIMIT_STATE_SEGMENTS};
    int err = w->io->ops->list(w->io, note_name, &f);
    for (unsigned i = 0; err == 0 && i < LOG_COUNT; i++) {
        err = number_files(&f, w->log[i].kind, wanted[i]);
        if (err == 0) {
            err = open_segments(&w->log[i], f.file_number[i], f.count[i]);
        }
    }
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        free(f.file_number[i]);
    }
    /* Makes the names of new files durable. No file is made later; an empty one costs nothing. */
    return err == 0 ? w->io->ops->sync_dir(w->io) : err;
}

/* --- the logs' ends -------------------------------------------------------------------------- */

static int find_ends(struct spool_writer *w)
{
    struct spool_reader *reader;
    struct log_end end[LOG_COUNT];
    int err = spool_reader_open(w->io, &reader);
    if (err != 0) {
        return err;
    }
    for (unsigned i = 0; err == 0 && i < LOG_COUNT; i++) {
        err = reader_log_end(reader, w->log[i].kind, &end[i]);
    }
    spool_reader_close(reader);
    for (unsigned i = 0; err == 0 && i < LOG_COUNT; i++) {
        struct log *log = &w->log[i];
        uint64_t by_peer = end[LOG_COUNT - 1 - i].peer_pos;
        log->durable_pos = end[i].end_pos > by_peer ? end[i].end_pos : by_peer;
        log->batch_number = end[i].batch_number;
        /* The other log may tell of a segment of this one whose header cannot be read now. Control
         * may have read that segment: it would take records at lower positions for known ones. */
        if (log->next_seq <= spool_pos_seq(log->durable_pos)) {
            log->next_seq = spool_pos_seq(log->durable_pos) + 1;
        }
        /* It is not known to which segments the old commits refer: the last commit counts for each
         * of them. */
        for (uint32_t k = 0; k < log->segment_count; k++) {
            log->segment[k].last_ref_pos = end[i].last_record_pos;
        }
    }
    return err;
}

/* Returns 1 when no batch of this sequence was ever written, 0 when one may have been, or -errno.
 * If none was written, the place of the first batch holds the zeros of the preparation, or a valid
 * batch of an earlier use. Rot makes neither of them. `block` is aligned for O_DIRECT. */
static int is_untouched(struct log *log, const struct segment *segment, uint8_t *block)
{
    struct spool_io *io = log->writer->io;
    struct format_batch batch;
    uint32_t needed;
    int64_t got =
        io->ops->pread(io, segment->file, block, FORMAT_CRC_BLOCK_BYTES, FORMAT_SEGMENT_START);
    if (got != FORMAT_CRC_BLOCK_BYTES) {
        return got < 0 && got != -EIO ? (int)got : 0;
    }
    if (format_batch_decode(bytes_of(block, (size_t)got), &log->writer->key, &batch, &needed)) {
        return batch.seq < segment->seq && batch.offset == FORMAT_SEGMENT_START;
    }
    for (size_t i = 0; i < FORMAT_CRC_BLOCK_BYTES; i++) {
        if (block[i] != 0) {
            return 0;
        }
    }
    return 1;
}

/* Frees the segments that the last run had prepared and not used. Else each start would use up as
 * many as are kept ready, until control says that they are empty. */
static int free_untouched(struct log *log)
{
    uint8_t *block = aligned_alloc(FORMAT_CRC_BLOCK_BYTES, FORMAT_CRC_BLOCK_BYTES);
    int err = block != NULL ? 0 : -ENOMEM;
    for (uint32_t i = 0; err == 0 && i < log->segment_count; i++) {
        struct segment *segment = &log->segment[i];
        if (segment->state == SEGMENT_SEALED && segment->seq > spool_pos_seq(log->durable_pos)) {
            int untouched = is_untouched(log, segment, block);
            err = untouched < 0 ? untouched : 0;
            if (untouched > 0) {
                segment_set_state(log, segment, SEGMENT_FREE);
            }
        }
    }
    free(block);
    return err;
}

/* --- open ------------------------------------------------------------------------------------ */

static int take_lock(struct spool_writer *w)
{
    w->lock_file = w->io->ops->open(w->io, "lock", true, false);
    if (w->lock_file < 0) {
        return w->lock_file;
    }
    int err = w->io->ops->lock(w->io, w->lock_file);
    return err == -EAGAIN ? -EWOULDBLOCK : err;
}

static void set_batch_limits(struct spool_writer *w, const struct spool_settings *settings)
{
    struct log *log = &w->log[LOG_MESSAGE];
    uint64_t limit =
        settings->batch_bytes_max != 0 ? settings->batch_bytes_max : (uint64_t)BATCH_BYTES_DEFAULT;
    /* Half a segment at most, so that a batch always fits a fresh one. */
    if (limit > log->segment_bytes / 2) {
        limit = log->segment_bytes / 2;
    }
    if (limit > FORMAT_BATCH_BODY_MAX) {
        limit = FORMAT_BATCH_BODY_MAX;
    }
    log->batch_bytes_max =
        limit < FORMAT_RECORD_BYTES_MAX ? FORMAT_RECORD_BYTES_MAX : (uint32_t)limit;
    w->log[LOG_STATE].batch_bytes_max = STATE_BATCH_BYTES;
}
_Static_assert(FORMAT_SEGMENT_BYTES_MIN / 2 >= FORMAT_RECORD_BYTES_MAX, "a record always fits");

int recover_open(struct spool_writer *w, const struct spool_settings *settings)
{
    if (settings->segments_max < 2 || settings->segments_max > LIMIT_SEGMENTS) {
        return trouble_say(w->io->trouble, -EINVAL, "segments_max is out of range");
    }
    w->dsync = w->io->ops->dsync(w->io);
    int err = take_lock(w);
    if (err == 0) {
        err = w->io->ops->sync_dir(w->io);
    }
    if (err == 0) {
        err = find_meta(w, settings);
    }
    if (err == 0) {
        err = find_segments(w, settings->segments_max);
    }
    if (err == 0) {
        err = find_ends(w);
    }
    for (unsigned i = 0; err == 0 && i < LOG_COUNT; i++) {
        err = free_untouched(&w->log[i]);
    }
    err = err == 0 ? begin_run(w) : err;
    if (err != 0) {
        return err;
    }
    set_batch_limits(w, settings);
    w->recycled = calloc(w->log[LOG_MESSAGE].segment_count, sizeof *w->recycled);
    if (w->recycled == NULL) {
        return -ENOMEM;
    }
    /* The state log comes first: it must get its segments on a volume that is nearly full. */
    for (unsigned i = 0; err == 0 && i < LOG_COUNT * LOG_READY_WANTED; i++) {
        err = prepare_now(&w->log[i < LOG_READY_WANTED ? LOG_STATE : LOG_MESSAGE]);
    }
    for (unsigned i = 0; err == 0 && i < LOG_COUNT; i++) {
        if (w->log[i].ready_count > 0) {
            w->log[i].fresh_pos = format_pos(w->log[i].ready[0]->seq, FORMAT_SEGMENT_START);
        }
    }
    return err;
}
