/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/reader.c: single records and whole bodies, from files alone.
 *
 * A body is found from its LAST record: each record names up to SPOOL_BACK_MAX before it, so the
 * positions of all are known after a few reads. Then the records are read in order.
 *
 * Promise: every byte handed out lies in a record whose header, position, id, index and payload
 *          CRC agree with the chain it was reached by.
 * Trap:    a record is borrowed until the next call on the same reader; scanning has its own
 *          buffers, so reading records from a scan's callback is fine.
 */
#include "spool/reader.h"

#include <errno.h>
#include <stdlib.h>

/* --- the window ------------------------------------------------------------------------------ */

void window_set_file(struct window *w, int file)
{
    w->file = file;
    w->start = 0;
    w->len = 0;
}

/* Reads, up to eight times while the answer is EIO: such an error may pass. */
static int64_t read_patiently(struct spool_io *io, int file, void *data, size_t len,
                              uint64_t offset)
{
    int64_t got = -EIO;
    for (int i = 0; i < 8 && got == -EIO; i++) {
        got = io->ops->pread(io, file, data, len, offset);
    }
    return got;
}

/* Reads what can be read, and fills the rest with bytes that never verify: unreadable counts as
 * damaged. -EIO: nothing at all can be read. */
static int64_t read_around(struct window *w, uint8_t *data, size_t len, uint64_t offset)
{
    enum { FILLER = 0xee };
    int64_t got = w->io->ops->pread(w->io, w->file, data, len, offset);
    if (got != -EIO) {
        return got;
    }
    bool any = false;
    for (size_t at = 0; at < len; at += FORMAT_SECTOR_BYTES) {
        size_t part = len - at < FORMAT_SECTOR_BYTES ? len - at : FORMAT_SECTOR_BYTES;
        got = read_patiently(w->io, w->file, data + at, part, offset + at);
        if (got == -EIO) {
            memset(data + at, FILLER, part);
        } else if (got < (int64_t)part) {
            return got < 0 ? got : (int64_t)(at + (size_t)got);
        }
        any = any || got != -EIO;
    }
    return any ? (int64_t)len : -EIO;
}

int64_t window_get(struct window *w, uint64_t offset, size_t len, const uint8_t **data_out)
{
    assert(len <= w->cap && w->file >= 0);
    if (offset < w->start || offset + len > w->start + w->len) {
        size_t kept = 0;
        if (offset >= w->start && offset < w->start + w->len) {
            kept = (size_t)(w->start + w->len - offset);
            memmove(w->data, w->data + (offset - w->start), kept);
        }
        w->start = offset;
        w->len = kept;
        size_t wanted = len - kept > w->read_bytes ? len - kept : w->read_bytes;
        if (wanted > w->cap - kept) {
            wanted = w->cap - kept;
        }
        int64_t got = read_around(w, w->data + kept, wanted, offset + kept);
        if (got < 0) {
            w->len = 0;
            return got;
        }
        w->len += (size_t)got < wanted ? (size_t)got : wanted;
    }
    *data_out = w->data + (offset - w->start);
    size_t there = (size_t)(w->start + w->len - offset);
    return (int64_t)(there < len ? there : len);
}

int window_probe(struct window *w, const struct spool_reader *r, enum log_kind kind, uint64_t pos,
                 struct format_batch *batch_out, bool *resembles_out)
{
    const uint8_t *data;
    uint32_t needed = SPOOL_BLOCK_BYTES;
    *resembles_out = false;
    for (int tries = 0; tries < 2; tries++) {
        int64_t got = window_get(w, spool_pos_offset(pos), needed, &data);
        if (got < 0) {
            return (int)got;
        }
        struct bytes b = bytes_of(data, (size_t)got);
        bool good = format_batch_decode(b, &r->key, batch_out, &needed);
        if (good) {
            uint64_t end =
                spool_pos_offset(pos) + (uint64_t)batch_out->header_bytes + batch_out->body_bytes;
            return batch_out->kind == kind && batch_out->seq == spool_pos_seq(pos) &&
                   batch_out->offset == spool_pos_offset(pos) && end <= r->meta.segment_bytes[kind];
        }
        *resembles_out = format_batch_resembles(b, spool_pos_seq(pos));
        if (needed == 0 || needed <= (size_t)got) {
            return 0;
        }
    }
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static int load_meta(struct spool_reader *r)
{
    int err = meta_load(r->io, false, &r->meta);
    if (err == 0) {
        r->key = format_key(r->meta.uuid);
        r->has_meta = true;
    }
    return err;
}

static int read_segment_header(struct spool_reader *r, int file, enum log_kind kind,
                               enum format_segment_verdict *verdict_out,
                               struct format_segment *segment_out)
{
    window_set_file(&r->probe, file);
    const uint8_t *data;
    int64_t got = window_get(&r->probe, 0, FORMAT_SEGMENT_START, &data);
    window_set_file(&r->probe, -1);
    if (got == -EIO) {
        *verdict_out = FORMAT_SEGMENT_DAMAGED;
        return 0;
    }
    if (got < 0) {
        return (int)got;
    }
    *verdict_out = format_segment_decode(bytes_of(data, (size_t)got), &r->key, kind, segment_out);
    return 0;
}

static int table_add(struct segment_table *t, uint64_t seq, uint32_t file_number)
{
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 64 : t->cap * 2;
        struct segment_file *file = realloc(t->file, cap * sizeof *file);
        if (file == NULL) {
            return -ENOMEM;
        }
        t->file = file;
        t->cap = cap;
    }
    t->file[t->count++] = (struct segment_file){.seq = seq, .file_number = file_number};
    return 0;
}

static int add_name(void *ctx, const char *name)
{
    struct spool_reader *r = ctx;
    enum log_kind kind;
    uint32_t number;
    if (!format_segment_name_parse(name, &kind, &number)) {
        return 0;
    }
    int file = r->io->ops->open(r->io, name, false, false);
    if (file < 0) {
        return file == -ENOENT ? 0 : file;
    }
    enum format_segment_verdict verdict = FORMAT_SEGMENT_BLANK;
    struct format_segment segment;
    int err = read_segment_header(r, file, kind, &verdict, &segment);
    r->io->ops->close(r->io, file);
    if (err != 0) {
        return err;
    }
    if (verdict == FORMAT_SEGMENT_DAMAGED) {
        r->table[kind].damaged_count++;
        r->table[kind].damaged_file_number = number;
    }
    return verdict == FORMAT_SEGMENT_USED ? table_add(&r->table[kind], segment.seq, number) : 0;
}

static int compare_files(const void *a, const void *b)
{
    const struct segment_file *x = a;
    const struct segment_file *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

int reader_refresh(struct spool_reader *r)
{
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        struct segment_table *t = &r->table[i];
        uint64_t newest = t->count > 0 ? t->file[t->count - 1].seq : 0;
        t->settled_seq = newest > t->settled_seq ? newest : t->settled_seq;
        t->count = 0;
        t->damaged_count = 0;
    }
    if (!r->has_meta) {
        int err = load_meta(r);
        if (err != 0) {
            return err == -ENOENT ? 0 : err; /* no spool yet: no segments */
        }
    }
    int err = r->io->ops->list(r->io, add_name, r);
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        r->table[i].settled_seq = err == 0 ? r->table[i].settled_seq : 0; /* some are not listed */
        if (r->table[i].count > 0) {
            qsort(r->table[i].file, r->table[i].count, sizeof *r->table[i].file, compare_files);
        }
    }
    return err;
}

size_t reader_table_at(const struct segment_table *t, uint64_t seq)
{
    size_t low = 0;
    size_t high = t->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->file[mid].seq < seq) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

int reader_open_segment(struct spool_reader *r, enum log_kind kind, const struct segment_file *f)
{
    char name[FORMAT_NAME_SIZE];
    int file =
        r->io->ops->open(r->io, format_segment_name(kind, f->file_number, name), false, false);
    if (file < 0) {
        return file;
    }
    enum format_segment_verdict verdict = FORMAT_SEGMENT_BLANK;
    struct format_segment segment = {0};
    int err = read_segment_header(r, file, kind, &verdict, &segment);
    if (err == 0 && (verdict != FORMAT_SEGMENT_USED || segment.seq != f->seq)) {
        err = -ENOENT;
    }
    if (err != 0) {
        r->io->ops->close(r->io, file);
        return err;
    }
    return file;
}

static void forget_last(struct spool_reader *r)
{
    if (r->last.file >= 0) {
        r->io->ops->close(r->io, r->last.file);
    }
    r->last.file = -1;
}

/* True when the segment is not there, and another look at the directory would not find it. In the
 * message log, a file whose header could not be read may be that segment, and may be readable the
 * next time. */
static bool is_gone(const struct segment_table *t, enum log_kind kind, uint64_t seq)
{
    return seq <= t->settled_seq && (kind == LOG_STATE || t->damaged_count == 0);
}

/* Gives the file of a segment, and keeps it open for the next read of the same one. The file may
 * have another sequence by now: only the record itself tells. */
static int segment_for_read(struct spool_reader *r, enum log_kind kind, uint64_t seq)
{
    const struct segment_table *t = &r->table[kind];
    for (int tries = 0; tries < 2; tries++) {
        size_t i = reader_table_at(t, seq);
        if (i < t->count && t->file[i].seq == seq) {
            if (r->last.file >= 0 && r->last.kind == kind &&
                r->last.file_number == t->file[i].file_number) {
                return r->last.file;
            }
            forget_last(r);
            int file = reader_open_segment(r, kind, &t->file[i]);
            if (file >= 0) {
                r->last.kind = kind;
                r->last.file_number = t->file[i].file_number;
                r->last.file = file;
                return file;
            }
            if (file != -ENOENT) {
                return file;
            }
        } else if (is_gone(t, kind, seq)) {
            return -ENOENT; /* without a look at the directory: this may be asked often */
        }
        int err = tries == 0 ? reader_refresh(r) : 0;
        if (err != 0) {
            return err;
        }
    }
    return -ENOENT;
}

/* A record did not verify. Tells why: -EBADMSG, it is damaged; -ENOENT, its segment is gone. */
static int damaged_or_gone(struct spool_reader *r, enum log_kind kind, uint64_t seq)
{
    forget_last(r);
    int file = segment_for_read(r, kind, seq);
    return file >= 0 ? -EBADMSG : file;
}

/* --- open and close -------------------------------------------------------------------------- */

static bool window_init(struct window *w, struct spool_io *io, size_t cap, size_t read_bytes)
{
    *w = (struct window){.io = io, .file = -1, .cap = cap, .read_bytes = read_bytes};
    w->data = malloc(cap);
    return w->data != NULL;
}

int spool_reader_open(struct spool_io *io, struct spool_reader **reader_out)
{
    struct spool_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return -ENOMEM;
    }
    r->io = io;
    r->last.file = -1;
    bool whole = window_init(&r->scan, io, WINDOW_SCAN_BYTES, WINDOW_READ_BYTES);
    whole &= window_init(&r->probe, io, WINDOW_PROBE_BYTES, FORMAT_SEGMENT_START);
    r->record = malloc(FORMAT_RECORD_BYTES_MAX);
    int err = whole && r->record != NULL ? reader_refresh(r) : -ENOMEM;
    if (err != 0) {
        spool_reader_close(r);
        return err;
    }
    *reader_out = r;
    return 0;
}

void spool_reader_close(struct spool_reader *r)
{
    forget_last(r);
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        free(r->table[i].file);
    }
    free(r->scan.data);
    free(r->probe.data);
    free(r->record);
    free(r->chain);
    free(r);
}

int spool_list_segments(struct spool_reader *r, int (*fn)(void *ctx, uint64_t seq), void *ctx)
{
    int err = reader_refresh(r);
    const struct segment_table *t = &r->table[LOG_MESSAGE];
    for (size_t i = 0; err == 0 && i < t->count; i++) {
        err = fn(ctx, t->file[i].seq);
    }
    return err;
}

int spool_count_segments(struct spool_reader *r, bool messages, uint64_t from, uint32_t *count_out)
{
    int err = reader_refresh(r);
    const struct segment_table *t = &r->table[messages ? LOG_MESSAGE : LOG_STATE];
    size_t at = reader_table_at(t, spool_pos_seq(from));
    assert(at <= t->count && t->count <= UINT32_MAX);
    *count_out = (uint32_t)(t->count - at);
    return err;
}

/* --- durability ------------------------------------------------------------------------------ */

/* One batch is in flight at a time, so only the segment of the last batch can have unsynced
 * bytes. */
static int sync_log(struct spool_reader *r, enum log_kind kind, uint64_t pos)
{
    int file = segment_for_read(r, kind, spool_pos_seq(pos));
    if (file == -ENOENT) {
        return 0; /* recycled since */
    }
    return file < 0 ? file : r->io->ops->sync(r->io, file);
}

int spool_sync_messages(struct spool_reader *r, uint64_t pos)
{
    return sync_log(r, LOG_MESSAGE, pos);
}

int spool_sync_states(struct spool_reader *r, uint64_t pos)
{
    return sync_log(r, LOG_STATE, pos);
}

/* --- records --------------------------------------------------------------------------------- */

static bool pos_plausible(const struct spool_reader *r, enum log_kind kind, uint64_t pos)
{
    return spool_pos_offset(pos) >= FORMAT_SEGMENT_START &&
           spool_pos_offset(pos) < r->meta.segment_bytes[kind];
}

int spool_read_record(struct spool_reader *r, uint64_t pos, uint64_t id,
                      struct spool_record *record_out)
{
    /* Most mail fits the first read, which is as large as a small buffer of the dataplane. */
    enum { FIRST_READ_BYTES = LIMIT_CHUNK_SMALL_BYTES };
    uint64_t seq = spool_pos_seq(pos);
    int file = segment_for_read(r, LOG_MESSAGE, seq);
    if (file < 0) {
        return file;
    }
    if (!pos_plausible(r, LOG_MESSAGE, pos)) {
        return -EBADMSG;
    }
    uint32_t offset = spool_pos_offset(pos);
    int64_t got = read_patiently(r->io, file, r->record, FIRST_READ_BYTES, offset);
    struct format_record header;
    if (got < 0) {
        return (int)got;
    }
    if (!format_record_decode(bytes_of(r->record, (size_t)got), &header)) {
        return damaged_or_gone(r, LOG_MESSAGE, seq);
    }
    uint32_t bytes = format_record_bytes(header.index, header.envelope_bytes + header.body_bytes);
    if (got == FIRST_READ_BYTES && bytes > FIRST_READ_BYTES) {
        int64_t more = read_patiently(r->io, file, r->record + got, bytes - (size_t)got,
                                      offset + (uint64_t)got);
        if (more < 0) {
            return (int)more;
        }
        got += more;
    }
    if (!spool_record_parse(bytes_of(r->record, (size_t)got), pos, id, record_out)) {
        return damaged_or_gone(r, LOG_MESSAGE, seq);
    }
    return 0;
}

int spool_read_state(struct spool_reader *r, uint64_t pos, struct spool_state_entry *entry_out)
{
    uint64_t seq = spool_pos_seq(pos);
    int file = segment_for_read(r, LOG_STATE, seq);
    if (file < 0) {
        return file;
    }
    if (!pos_plausible(r, LOG_STATE, pos)) {
        return -EBADMSG;
    }
    uint8_t data[FORMAT_STATE_BYTES_MAX];
    int64_t got = read_patiently(r->io, file, data, sizeof data, spool_pos_offset(pos));
    if (got < 0) {
        return (int)got;
    }
    uint32_t len;
    if (!format_state_decode(bytes_of(data, (size_t)got), pos, entry_out, &len)) {
        return damaged_or_gone(r, LOG_STATE, seq);
    }
    return 0;
}

/* --- bodies ---------------------------------------------------------------------------------- */

static int chain_reserve(struct spool_reader *r, size_t count)
{
    if (count > r->chain_cap) {
        uint64_t *chain = realloc(r->chain, count * sizeof *chain);
        if (chain == NULL) {
            return -ENOMEM;
        }
        r->chain = chain;
        r->chain_cap = count;
    }
    return 0;
}

/* Fills r->chain with the positions of records 0 .. last->index. */
static int collect_chain(struct spool_reader *r, const struct spool_record *last)
{
    int err = chain_reserve(r, (size_t)last->index + 1);
    if (err != 0) {
        return err;
    }
    struct spool_record record = *last;
    r->chain[record.index] = record.pos;
    while (record.index > 0) {
        /* The parser has checked that back_count == min(index, SPOOL_BACK_MAX) and that they
         * descend. */
        for (uint32_t i = 0; i < record.back_count; i++) {
            r->chain[record.index - 1 - i] = record.back[i];
        }
        if (record.back_count == record.index) {
            break;
        }
        uint32_t index = record.index - record.back_count;
        err = spool_read_record(r, r->chain[index], last->id, &record);
        if (err != 0) {
            return err;
        }
        if (record.index != index || record.first_pos != last->first_pos) {
            return -EBADMSG;
        }
    }
    return r->chain[0] == last->first_pos ? 0 : -EBADMSG;
}

int spool_read_body(struct spool_reader *r, uint64_t commit_pos, uint64_t id, spool_body_fn fn,
                    void *ctx)
{
    struct spool_record record;
    int err = spool_read_record(r, commit_pos, id, &record);
    if (err != 0) {
        return err;
    }
    if (!record.is_last) {
        return -EBADMSG;
    }
    uint32_t last_index = record.index;
    uint64_t left = record.total_bytes;
    err = collect_chain(r, &record);
    for (uint32_t i = 0; err == 0 && i <= last_index; i++) {
        err = spool_read_record(r, r->chain[i], id, &record);
        if (err == 0 && (record.index != i || record.body.len > left)) {
            err = -EBADMSG;
        }
        if (err == 0) {
            left -= record.body.len;
            err = fn(ctx, record.body);
        }
    }
    return err == 0 && left != 0 ? -EBADMSG : err;
}
