/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/scan.c: reads a log in its order, and decides what a bad place means.
 *
 * Every batch says up to where its log was durable when it was formed, and one batch is in flight
 * at a time. So the first valid batch after a bad place is its witness: it tells whether the place
 * was ever good.
 *
 *   [good][ bad ][good, durable up to after bad]   DAMAGE: it was durable, now it is not
 *   [good][ bad ][good, durable up to before bad]  TAIL: torn by a crash, the next run went on
 *   [good][ bad ] nothing                          TAIL, unless the other log's batches, which tell
 *                                                  how far this one was durable, say otherwise
 *
 * A witness tells only about the segment in which its durable position lies: later segments may
 * have been recycled in between. A bad body is damage also when the same run wrote another batch
 * after.
 *
 * Promise: no record is handed out as good that does not verify; what was durable and is no longer
 *          good is reported.
 * Trap:    a writer may append while we read, so a bad place is looked at a second time before it
 *          is called damage.
 */
#include "spool/reader.h"

#include <errno.h>

/* The number of segments without any batch between two valid batches: each start that crashes at
 * once leaves two. When there are more, the oldest are not judged. */
enum { ENDS_MAX = 64 };

/* How far a segment is searched behind its last batch at a start: four of the largest batches.
 * Without this limit, each segment that was only prepared would be read to its end. */
enum { END_SEARCH_BYTES = 4 * (FORMAT_BATCH_HEADER_MAX + FORMAT_BATCH_BODY_MAX) };

struct scan {
    struct spool_reader *reader;
    enum log_kind kind;
    uint64_t from;
    uint64_t to;
    spool_scan_fn fn;
    void *ctx;
    uint64_t search_bytes; /* how far behind a bad place to look for the next batch */
    /* Where the valid batches of a segment stop, as long as no later valid batch was seen. */
    uint64_t ends[ENDS_MAX];
    bool torn[ENDS_MAX]; /* bytes there resemble a batch header */
    uint32_t end_count;
    struct log_end last; /* the last valid batch so far */
};

/* --- reporting ------------------------------------------------------------------------------- */

static int report(const struct scan *s, const struct spool_scan_item *item)
{
    if (s->fn == NULL || item->pos < s->from || item->pos >= s->to) {
        return 0;
    }
    return s->fn(s->ctx, item);
}

static int report_bad(const struct scan *s, enum spool_scan_verdict verdict, uint64_t pos,
                      const char *why)
{
    struct spool_scan_item item = {.verdict = verdict, .pos = pos, .why = why};
    return report(s, &item);
}

static int report_messages(struct scan *s, uint64_t pos, struct bytes body, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct format_record header;
        if (!format_record_decode(body, &header) || format_pos(header.seq, header.offset) != pos) {
            return report_bad(s, SPOOL_SCAN_DAMAGE, pos, "record header does not verify");
        }
        uint32_t bytes =
            format_record_bytes(header.index, header.envelope_bytes + header.body_bytes);
        struct spool_record record;
        int err;
        if (spool_record_parse(body, pos, header.id, &record)) {
            struct spool_scan_item item = {
                .verdict = SPOOL_SCAN_RECORD, .pos = pos, .record = &record};
            s->last.last_record_pos = pos;
            err = report(s, &item);
        } else {
            err = report_bad(s, SPOOL_SCAN_DAMAGE, pos, "record payload does not verify");
        }
        if (err != 0) {
            return err;
        }
        body = bytes_from(body, bytes);
        pos += bytes;
    }
    return 0;
}

static int report_states(struct scan *s, uint64_t pos, struct bytes body, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct spool_state_entry entry;
        uint32_t len;
        if (!format_state_decode(body, pos, &entry, &len)) {
            return report_bad(s, SPOOL_SCAN_DAMAGE, pos, "state record does not verify");
        }
        struct spool_scan_item item = {.verdict = SPOOL_SCAN_RECORD, .pos = pos, .state = &entry};
        s->last.last_record_pos = pos;
        int err = report(s, &item);
        if (err != 0) {
            return err;
        }
        body = bytes_from(body, len);
        pos += len;
    }
    return 0;
}

/* --- witnesses ------------------------------------------------------------------------------- */

/* The next valid batch header of the segment at or after offset, where a batch can begin, and below
 * limit. 1: found, at *offset_inout; 0: none; or -errno. */
static int find_batch(struct window *w, const struct spool_reader *r, enum log_kind kind,
                      uint64_t seq, uint64_t limit, uint64_t *offset_inout,
                      struct format_batch *batch_out)
{
    bool resembles;
    for (uint64_t at = *offset_inout; at < limit; at += FORMAT_SECTOR_BYTES) {
        int found = window_probe(w, r, kind, format_pos(seq, (uint32_t)at), batch_out, &resembles);
        if (found != 0) {
            *offset_inout = at;
            return found;
        }
    }
    return 0;
}

/* The first valid batch after `after`, in this segment or a later one. 1, 0, or -errno. */
static int find_witness(struct scan *s, uint64_t after, struct format_batch *witness_out)
{
    struct spool_reader *r = s->reader;
    const struct segment_table *t = &r->table[s->kind];
    for (size_t i = reader_table_at(t, spool_pos_seq(after)); i < t->count; i++) {
        uint64_t seq = t->file[i].seq;
        uint64_t at = seq == spool_pos_seq(after) ? spool_pos_offset(after) : FORMAT_SEGMENT_START;
        int file = reader_open_segment(r, s->kind, &t->file[i]);
        if (file == -ENOENT) {
            continue;
        }
        if (file < 0) {
            return file;
        }
        window_set_file(&r->probe, file);
        r->probe.read_bytes = WINDOW_PROBE_BYTES;
        int found = find_batch(&r->probe, r, s->kind, seq, r->meta.segment_bytes[s->kind], &at,
                               witness_out);
        r->io->ops->close(r->io, file);
        window_set_file(&r->probe, -1);
        r->probe.read_bytes = FORMAT_SEGMENT_START;
        if (found != 0) {
            return found;
        }
    }
    return 0;
}

static bool witness_covers(const struct format_batch *witness, uint64_t pos)
{
    return spool_pos_seq(witness->durable_pos) == spool_pos_seq(pos) && witness->durable_pos > pos;
}

static int walk_last(struct spool_reader *r, enum log_kind kind, uint64_t seq,
                     uint64_t *peer_pos_out)
{
    uint64_t limit = r->meta.segment_bytes[kind];
    uint64_t at = FORMAT_SEGMENT_START;
    struct format_batch batch;
    int any = 0;
    while (at < limit) {
        bool resembles;
        int found =
            window_probe(&r->probe, r, kind, format_pos(seq, (uint32_t)at), &batch, &resembles);
        if (found <= 0) {
            return found < 0 ? found : any;
        }
        any = 1;
        *peer_pos_out = batch.peer_durable_pos;
        at += format_batch_bytes(batch.header_bytes, batch.body_bytes);
    }
    return any;
}

/* Finds how far this log was durable by the last batches of the other log; 0 when they do not
 * say. */
static int peer_evidence(struct scan *s, uint64_t *pos_out)
{
    struct spool_reader *r = s->reader;
    enum log_kind peer = s->kind == LOG_STATE ? LOG_MESSAGE : LOG_STATE;
    const struct segment_table *t = &r->table[peer];
    *pos_out = 0;
    for (size_t i = t->count; i > 0; i--) {
        int file = reader_open_segment(r, peer, &t->file[i - 1]);
        if (file == -ENOENT) {
            continue;
        }
        if (file < 0) {
            return file;
        }
        window_set_file(&r->probe, file);
        int any = walk_last(r, peer, t->file[i - 1].seq, pos_out);
        r->io->ops->close(r->io, file);
        window_set_file(&r->probe, -1);
        if (any != 0) {
            return any < 0 ? any : 0;
        }
    }
    return 0;
}

/* --- ends ------------------------------------------------------------------------------------ */

static void add_end(struct scan *s, uint64_t pos, bool torn)
{
    if (s->end_count == ENDS_MAX) {
        memmove(s->ends, s->ends + 1, (ENDS_MAX - 1) * sizeof s->ends[0]);
        memmove(s->torn, s->torn + 1, (ENDS_MAX - 1) * sizeof s->torn[0]);
        s->end_count--;
    }
    s->ends[s->end_count] = pos;
    s->torn[s->end_count++] = torn;
}

/* Looks at an open end again: a writer may have continued while we read the other log. END_GROWN: a
 * valid batch is there now; END_GONE: the segment was recycled; or -errno. */
enum { END_SAME, END_GROWN, END_GONE };

static int look_again(struct scan *s, uint64_t end)
{
    struct spool_reader *r = s->reader;
    const struct segment_table *t = &r->table[s->kind];
    size_t i = reader_table_at(t, spool_pos_seq(end));
    if (i == t->count || t->file[i].seq != spool_pos_seq(end)) {
        return END_GONE;
    }
    int file = reader_open_segment(r, s->kind, &t->file[i]);
    if (file < 0) {
        return file == -ENOENT ? END_GONE : file;
    }
    struct format_batch batch;
    bool resembles;
    window_set_file(&r->probe, file);
    int found = window_probe(&r->probe, r, s->kind, end, &batch, &resembles);
    r->io->ops->close(r->io, file);
    window_set_file(&r->probe, -1);
    return found > 0 ? END_GROWN : found;
}

/* Judges the open ends by a position up to which the log was durable. What was written behind an
 * end after we passed it is not handed out by this scan. Instead the end is reported, as the place
 * up to which the scan can be trusted. */
static int settle_ends(struct scan *s, uint64_t durable_pos)
{
    struct format_batch witness = {.durable_pos = durable_pos};
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < s->end_count; i++) {
        int now = look_again(s, s->ends[i]);
        if (now < 0) {
            err = now;
        } else if (now == END_GROWN) {
            err = report_bad(s, SPOOL_SCAN_TAIL, s->ends[i], "written while it was read");
        } else if (now == END_SAME && witness_covers(&witness, s->ends[i])) {
            err = report_bad(s, SPOOL_SCAN_DAMAGE, s->ends[i],
                             "no valid batch where the log was durable");
        } else if (now == END_SAME && s->torn[i]) {
            err = report_bad(s, SPOOL_SCAN_TAIL, s->ends[i], "torn batch header");
        }
    }
    s->end_count = 0;
    return err;
}

/* --- one batch, one segment ------------------------------------------------------------------ */

/* Loads the body. *good_out: it verifies. *body_out is empty when the file ends before it. */
static int load_body(struct scan *s, const struct format_batch *b, struct bytes *body_out,
                     bool *good_out)
{
    const uint8_t *data;
    size_t len = (size_t)b->header_bytes + b->body_bytes;
    int64_t got = window_get(&s->reader->scan, b->offset, len, &data);
    if (got < 0) {
        return (int)got;
    }
    struct bytes all = bytes_of(data, (size_t)got);
    *body_out = bytes_from(all, b->header_bytes);
    *good_out =
        (size_t)got == len && format_body_verify(data + FORMAT_BATCH_FIXED_BYTES, *body_out);
    return 0;
}

/* Judges a body that does not verify. *damage_out: it was durable once. The second look may find it
 * good. */
static int judge_body(struct scan *s, const struct format_batch *b, struct bytes *body_out,
                      bool *good_out, bool *damage_out)
{
    struct format_batch witness;
    uint64_t pos = format_pos(b->seq, b->offset);
    int found = find_witness(s, pos + format_batch_bytes(b->header_bytes, b->body_bytes), &witness);
    if (found < 0) {
        return found;
    }
    *damage_out = found > 0 && (witness_covers(&witness, pos) || witness.start == b->start);
    if (found == 0) {
        uint64_t peer;
        int err = peer_evidence(s, &peer);
        if (err != 0) {
            return err;
        }
        *damage_out = witness_covers(&(struct format_batch){.durable_pos = peer}, pos);
    }
    window_set_file(&s->reader->scan, s->reader->scan.file); /* forgets what it read */
    return load_body(s, b, body_out, good_out);
}

static int scan_batch(struct scan *s, const struct format_batch *b)
{
    struct bytes body;
    bool good = false;
    bool damage = false;
    uint64_t pos = format_pos(b->seq, b->offset);
    int err = settle_ends(s, b->durable_pos);
    if (err == 0) {
        err = load_body(s, b, &body, &good);
    }
    if (err == 0 && !good) {
        err = judge_body(s, b, &body, &good, &damage);
    }
    if (err == 0 && !good) {
        err = damage ? report_bad(s, SPOOL_SCAN_DAMAGE, pos, "batch body does not verify")
                     : report_bad(s, SPOOL_SCAN_TAIL, pos, "torn batch body");
    }
    if (err != 0 || !(good || damage)) {
        return err;
    }
    s->last.end_pos = pos + format_batch_bytes(b->header_bytes, b->body_bytes);
    s->last.batch_number = b->number;
    s->last.peer_pos = b->peer_durable_pos;
    /* Records of a damaged batch that verify by themselves are handed out. */
    pos += b->header_bytes;
    return s->kind == LOG_STATE ? report_states(s, pos, body, b->record_count)
                                : report_messages(s, pos, body, b->record_count);
}

/* Finds where to begin: at `from` if a batch begins there, else at the first batch of the
 * segment. */
static int first_offset(struct scan *s, uint64_t seq, uint64_t *offset_out)
{
    *offset_out = FORMAT_SEGMENT_START;
    if (spool_pos_seq(s->from) != seq || spool_pos_offset(s->from) <= FORMAT_SEGMENT_START) {
        return 0;
    }
    struct format_batch batch;
    bool resembles;
    int found = window_probe(&s->reader->scan, s->reader, s->kind, s->from, &batch, &resembles);
    if (found > 0) {
        *offset_out = spool_pos_offset(s->from);
    }
    return found < 0 ? found : 0;
}

/* There is no valid batch at `at`. Goes to the next one behind it, if there is one. */
static int skip_bad(struct scan *s, uint64_t seq, uint64_t limit, bool resembles,
                    uint64_t *at_inout)
{
    struct window *w = &s->reader->scan;
    struct format_batch batch;
    bool again_resembles;
    uint64_t at = *at_inout;
    uint64_t next = at + FORMAT_SECTOR_BYTES;
    uint64_t search_end = limit - at > s->search_bytes ? at + s->search_bytes : limit;
    int found = find_batch(w, s->reader, s->kind, seq, search_end, &next, &batch);
    if (found > 0) { /* maybe the batch was not yet written when we looked first */
        window_set_file(w, w->file);
        int now = window_probe(w, s->reader, s->kind, format_pos(seq, (uint32_t)at), &batch,
                               &again_resembles);
        if (now != 0) {
            return now < 0 ? now : 0;
        }
    }
    add_end(s, format_pos(seq, (uint32_t)at), resembles);
    *at_inout = found > 0 ? next : limit;
    return found < 0 ? found : 0;
}

static int scan_open_segment(struct scan *s, uint64_t seq)
{
    struct spool_reader *r = s->reader;
    uint64_t limit = r->meta.segment_bytes[s->kind];
    if (spool_pos_seq(s->to) == seq && spool_pos_offset(s->to) < limit) {
        limit = spool_pos_offset(s->to);
    }
    uint64_t at;
    int err = first_offset(s, seq, &at);
    while (err == 0 && at < limit) {
        struct format_batch batch;
        bool resembles;
        int found =
            window_probe(&r->scan, r, s->kind, format_pos(seq, (uint32_t)at), &batch, &resembles);
        if (found < 0) {
            return found;
        }
        if (found == 0) {
            err = skip_bad(s, seq, limit, resembles, &at);
            continue;
        }
        uint64_t end = at + format_batch_bytes(batch.header_bytes, batch.body_bytes);
        if (format_pos(seq, 0) + end > s->from) {
            err = scan_batch(s, &batch);
        } else {
            s->end_count = 0; /* these ends lie before what was asked for */
        }
        at = end;
    }
    return err;
}

/* `f` is passed by value: a callback that reads records may rebuild the table. */
static int scan_segment(struct scan *s, struct segment_file f)
{
    struct spool_reader *r = s->reader;
    int file = reader_open_segment(r, s->kind, &f);
    if (file < 0) {
        return file == -ENOENT ? 0 : file; /* recycled since */
    }
    window_set_file(&r->scan, file);
    int err = scan_open_segment(s, f.seq);
    window_set_file(&r->scan, -1);
    r->io->ops->close(r->io, file);
    if (err == 0 && s->end_count > 0 && spool_pos_seq(s->ends[s->end_count - 1]) == f.seq) {
        /* A writer may have reused the segment while we read. Then nothing is missing. */
        file = reader_open_segment(r, s->kind, &f);
        if (file == -ENOENT) {
            s->end_count--;
            return 0;
        }
        if (file < 0) {
            return file;
        }
        r->io->ops->close(r->io, file);
    }
    return err;
}

/* At the end of the log: asks whether the other log knows of more. */
static int finish(struct scan *s)
{
    uint64_t peer = 0;
    if (s->end_count == 0) {
        return 0;
    }
    int err = peer_evidence(s, &peer);
    return err == 0 ? settle_ends(s, peer) : err;
}

static int scan_log(struct scan *s)
{
    const struct segment_table *t = &s->reader->table[s->kind];
    int err = reader_refresh(s->reader);
    if (err == 0 && t->damaged_count > 0 && s->from == 0) {
        err = report_bad(s, SPOOL_SCAN_DAMAGE, 0, "segment header does not verify");
    }
    uint64_t seq = spool_pos_seq(s->from);
    while (err == 0) {
        size_t i = reader_table_at(t, seq);
        if (i == t->count || format_pos(t->file[i].seq, FORMAT_SEGMENT_START) >= s->to) {
            break;
        }
        seq = t->file[i].seq + 1;
        err = scan_segment(s, t->file[i]);
    }
    return err == 0 ? finish(s) : err;
}

int spool_scan_messages(struct spool_reader *reader, uint64_t from, uint64_t to, spool_scan_fn fn,
                        void *ctx)
{
    assert(fn != NULL);
    struct scan s = {.reader = reader,
                     .kind = LOG_MESSAGE,
                     .from = from,
                     .to = to,
                     .fn = fn,
                     .ctx = ctx,
                     .search_bytes = UINT64_MAX};
    return scan_log(&s);
}

int spool_scan_states(struct spool_reader *reader, uint64_t from, uint64_t to, spool_scan_fn fn,
                      void *ctx)
{
    assert(fn != NULL);
    struct scan s = {.reader = reader,
                     .kind = LOG_STATE,
                     .from = from,
                     .to = to,
                     .fn = fn,
                     .ctx = ctx,
                     .search_bytes = UINT64_MAX};
    return scan_log(&s);
}

int reader_log_end(struct spool_reader *r, enum log_kind kind, struct log_end *end_out)
{
    *end_out = (struct log_end){0};
    int err = reader_refresh(r);
    const struct segment_table *t = &r->table[kind];
    for (size_t i = t->count; err == 0 && i > 0 && end_out->end_pos == 0; i--) {
        struct scan s = {
            .reader = r, .kind = kind, .to = UINT64_MAX, .search_bytes = END_SEARCH_BYTES};
        err = scan_segment(&s, t->file[i - 1]);
        *end_out = s.last;
    }
    return err;
}
