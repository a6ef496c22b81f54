/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/scan.c: reading a log from a place on: at start, at attach, after a gap.
 *
 *   lane: spool_scan ─▶ items, some hundred in a part ──▶ loop: the core applies them, in order
 *
 * Promise: every good record is applied; a damaged one is alarmed and, where it was a message's
 *          envelope, shown as a frozen delivery. Nothing is skipped without a word, and a segment
 *          of the message log with damage in it is kept.
 * Trap:    a read beyond what is known to be durable may meet a batch that is being written. Good
 *          records are applied, but the floor stays below the first place that was not good. That
 *          place is read again, or comes through the ring.
 */
#include "control/shell/scan.h"

#include "control/core/feed.h"
#include "control/core/mem.h"
#include "control/shell/parts.h"

#include "common/id.h"
#include "common/limits/message.h"
#include "common/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PART_ITEMS = 256, PART_BYTES_MAX = 1 << 20 };

enum item_kind {
    ITEM_DELIVERY, /* of a message: fact, and its envelope if that was asked for */
    ITEM_DAMAGED,  /* a message whose envelope cannot be read: fact */
    ITEM_MESSAGE,  /* the message at pos is complete */
    ITEM_STATE,
    ITEM_DAMAGE, /* pos, why */
    ITEM_TAIL,   /* pos */
};

struct item {
    enum item_kind kind;
    uint64_t pos;
    const char *why;
    struct life_facts fact;
    uint32_t envelope_at; /* offset in the part's bytes; envelope_bytes 0: none */
    uint32_t envelope_bytes;
    struct state_fact state;
};

struct part {
    struct work work;
    bool messages;
    uint64_t to;
    size_t count;
    size_t bytes_len;
    size_t bytes_capacity;
    uint8_t *bytes;
    bool end;          /* the last part of the scan */
    uint32_t segment;  /* the number of the segment in this scan, from 1; 0: none yet */
    uint32_t segments; /* how many there are; 0: they were not counted */
    uint64_t raise;    /* the floor when this part is applied; 0: unchanged */
    struct item item[PART_ITEMS];
};

struct scan {
    struct work_tools *tools;
    struct spool_reader *lookup; /* for first records: the scan uses the other reader */
    struct part *part;
    bool messages;
    bool envelopes;
    uint64_t to;
    enum { HEADERS_UNASKED, HEADERS_GOOD, HEADERS_DAMAGED } headers;
    uint64_t seq;      /* the segment that is read */
    uint32_t segment;  /* its number, from 1 */
    uint32_t segments; /* all, counted at a start; the prepared empty ones, too */
    uint64_t not_good; /* the first position that was not good, else UINT64_MAX */
    uint64_t last;     /* the last good position */
    bool any;
    struct envelope envelope; /* large */
};

/* --- the loop's side ------------------------------------------------------------------------- */

static const char *log_name(bool messages)
{
    return messages ? "message log" : "state log";
}

static void apply_item(struct control *c, struct part *part, struct item *item)
{
    struct envelope envelope;
    bool known =
        item->envelope_bytes > 0 &&
        envelope_decode(bytes_of(part->bytes + item->envelope_at, item->envelope_bytes), &envelope);
    switch (item->kind) {
    case ITEM_DELIVERY:
        (void)apply_commit(&c->core, &item->fact, known ? &envelope : NULL, false);
        return;
    case ITEM_DAMAGED:
        apply_damaged(&c->core, &item->fact);
        return;
    case ITEM_MESSAGE:
        feed_message_seen(&c->core, item->pos);
        return;
    case ITEM_STATE:
        if (!feed_state(&c->core, &item->state)) {
            control_say(c, 4,
                        "state log: a record of a kind this program does not know, at "
                        "%" PRIu64 ":%u",
                        spool_pos_seq(item->pos), spool_pos_offset(item->pos));
        }
        return;
    case ITEM_DAMAGE:
        if (feed_damage(&c->core, part->messages, item->pos)) {
            control_say(c, 3, "%s damaged at %" PRIu64 ":%u: %s", log_name(part->messages),
                        spool_pos_seq(item->pos), spool_pos_offset(item->pos),
                        item->why == NULL ? "unreadable" : item->why);
        }
        return;
    case ITEM_TAIL:
        return;
    }
}

static bool part_done(struct work *work, struct control *c)
{
    struct part *part = (struct part *)work;
    for (size_t i = 0; i < part->count; i++) {
        apply_item(c, part, &part->item[i]);
    }
    if (part->raise != 0) {
        feed_floor(&c->core, part->messages, part->raise);
    }
    if (part->segments > 0) {
        progress_note(c, log_name(part->messages), part->segment, part->segments);
    }
    mem_free(part->bytes);
    mem_free(part);
    return true;
}

/* --- the lane's side ------------------------------------------------------------------------- */

static void part_drop(struct work *work)
{
    struct part *part = (struct part *)work;
    mem_free(part->bytes);
    mem_free(part);
}

static struct part *new_part(const struct scan *scan)
{
    struct part *part = mem_zalloc(sizeof *part);
    part->work.done = part_done;
    part->work.drop = part_drop;
    part->messages = scan->messages;
    part->to = scan->to;
    return part;
}

/* The floor when this part is applied: everything below it is applied then. */
static uint64_t floor_now(const struct scan *scan, bool end)
{
    if (end && scan->to != UINT64_MAX) {
        return scan->to;
    }
    if (scan->not_good != UINT64_MAX) {
        return end ? scan->not_good : 0;
    }
    return scan->any ? scan->last + 1 : 0;
}

static int hand_over(struct scan *scan, bool end)
{
    struct part *part = scan->part;
    part->raise = floor_now(scan, end);
    part->segment = scan->segment;
    part->segments = scan->segments;
    scan->part = end ? NULL : new_part(scan);
    return works_part(scan->tools->works, &part->work) ? 0 : -ECANCELED;
}

static struct item *add(struct scan *scan, enum item_kind kind, uint64_t pos)
{
    struct item *item = &scan->part->item[scan->part->count++];
    item->kind = kind;
    item->pos = pos;
    return item;
}

static int when_full(struct scan *scan)
{
    const struct part *part = scan->part;
    bool full =
        part->count + LIMIT_ROUTES_PER_MESSAGE + 1 > PART_ITEMS || part->bytes_len > PART_BYTES_MAX;
    return full ? hand_over(scan, false) : 0;
}

/* A start tells with each segment how far it is. */
static int look_at_segment(struct scan *scan, uint64_t pos)
{
    uint64_t seq = spool_pos_seq(pos);
    if (pos == 0 || seq == scan->seq) {
        return 0;
    }
    scan->seq = seq;
    scan->segment++;
    return scan->segments > 0 ? hand_over(scan, false) : 0;
}

static int note_bad(struct scan *scan, const struct spool_scan_item *item)
{
    if (scan->messages && item->pos == 0) {
        return 0; /* no position: a header. Each start reports those */
    }
    scan->not_good = item->pos < scan->not_good ? item->pos : scan->not_good;
    struct item *bad =
        add(scan, item->verdict == SPOOL_SCAN_DAMAGE ? ITEM_DAMAGE : ITEM_TAIL, item->pos);
    bad->why = item->why;
    return when_full(scan);
}

static int on_header(void *ctx, const struct spool_scan_item *item)
{
    bool *damaged = ctx;
    *damaged |= item->verdict == SPOOL_SCAN_DAMAGE;
    return 0;
}

static int headers_damaged(struct spool_reader *reader, bool *damaged_out)
{
    int r = 0;
    *damaged_out = true;
    for (int tries = 0; tries < 2 && r == 0 && *damaged_out; tries++) {
        *damaged_out = false; /* looks twice: one may be half written */
        r = spool_scan_messages(reader, 0, 1, on_header, damaged_out);
    }
    return r;
}

int scan_headers(struct work_tools *tools, bool *damaged_out)
{
    struct spool_reader *reader;
    *damaged_out = false;
    int r = spool_reader_open(tools->io, &reader);
    if (r == 0) {
        r = headers_damaged(reader, damaged_out);
        spool_reader_close(reader);
    }
    return r;
}

/* A segment is missing. Either it was recycled, or it is in a file whose header is unreadable. 0:
 * recycled; 1: perhaps not; or -errno. */
static int is_lost(struct scan *scan)
{
    if (scan->headers == HEADERS_UNASKED) {
        bool damaged;
        int r = headers_damaged(scan->lookup, &damaged);
        if (r < 0) {
            return r;
        }
        scan->headers = damaged ? HEADERS_DAMAGED : HEADERS_GOOD;
    }
    return scan->headers == HEADERS_DAMAGED;
}

/* Reads the envelope of a message whose last record the scan gave. 0; -ENOENT: its first segment
 * was recycled, so all of the message is delivered; -EBADMSG: damaged. */
static int read_envelope(struct scan *scan, const struct spool_record *last,
                         struct bytes *encoded_out)
{
    struct spool_record first = *last;
    int r = last->is_first ? 0 : spool_read_record(scan->lookup, last->first_pos, last->id, &first);
    if (r == -ENOENT) {
        int lost = is_lost(scan);
        return lost < 0 ? lost : lost > 0 ? -EBADMSG : -ENOENT;
    }
    if (r < 0) {
        return r == -EIO ? -EBADMSG : r; /* a sector is gone: as bad as wrong bytes */
    }
    *encoded_out = first.envelope;
    return first.is_first && envelope_decode(first.envelope, &scan->envelope) ? 0 : -EBADMSG;
}

/* Copies the envelope into the part, once for all deliveries of the message. */
static uint32_t keep_envelope(struct part *part, struct bytes encoded)
{
    size_t at = part->bytes_len;
    part->bytes = mem_grow(part->bytes, &part->bytes_capacity, at + encoded.len, 1);
    memcpy(part->bytes + at, encoded.data, encoded.len);
    part->bytes_len += encoded.len;
    return (uint32_t)at;
}

static void add_deliveries(struct scan *scan, const struct life_facts *message,
                           struct bytes encoded)
{
    struct feed_facts facts;
    uint32_t at = scan->envelopes ? keep_envelope(scan->part, encoded) : 0;
    size_t count = feed_facts(message, &scan->envelope, &facts);
    for (size_t i = 0; i < count; i++) {
        struct item *item = add(scan, ITEM_DELIVERY, message->commit_pos);
        item->fact = facts.fact[i];
        item->envelope_at = at;
        item->envelope_bytes = scan->envelopes ? (uint32_t)encoded.len : 0;
    }
}

static int take_message(struct scan *scan, const struct spool_record *record)
{
    struct bytes encoded;
    struct life_facts fact = {
        .id = id_message(record->id),
        .commit_pos = record->pos,
        .first_pos = record->first_pos,
        .received_ms = record->received_ms,
        .body_bytes = record->total_bytes,
        .rcpt_count = 1,
    };
    if (!feed_is_message(&fact)) {
        add(scan, ITEM_DAMAGE, record->pos)->why = "a commit that cannot be";
        return when_full(scan);
    }
    int r = read_envelope(scan, record, &encoded);
    if (r == -EBADMSG) {
        add(scan, ITEM_DAMAGED, record->pos)->fact = fact;
    } else if (r == 0) {
        add_deliveries(scan, &fact, encoded);
    } else if (r != -ENOENT) {
        return r;
    }
    (void)add(scan, ITEM_MESSAGE, record->pos);
    return when_full(scan);
}

static int on_message(void *ctx, const struct spool_scan_item *item)
{
    struct scan *scan = ctx;
    int r = look_at_segment(scan, item->pos);
    if (r < 0 || item->verdict != SPOOL_SCAN_RECORD) {
        return r < 0 ? r : note_bad(scan, item);
    }
    scan->any = true;
    scan->last = item->pos;
    return item->record->is_last ? take_message(scan, item->record) : 0;
}

static int on_state(void *ctx, const struct spool_scan_item *item)
{
    struct scan *scan = ctx;
    int r = look_at_segment(scan, item->pos);
    if (r < 0 || item->verdict != SPOOL_SCAN_RECORD) {
        return r < 0 ? r : note_bad(scan, item);
    }
    scan->any = true;
    scan->last = item->pos;
    const struct spool_state_entry *e = item->state;
    add(scan, ITEM_STATE, item->pos)->state = (struct state_fact){
        .id = e->id,
        .pos = item->pos,
        .rcpts = e->rcpts,
        .time_ms = e->time_ms,
        .hop_id = e->hop_id,
        .code = e->code,
        .kind = e->kind,
        .outcome = e->outcome,
        .phase = e->phase,
    };
    return when_full(scan);
}

/* What is read without the dataplane's HELLO may not be durable yet: its writer may have died
 * between write and sync. A checkpoint must not contain a message that a power loss can still take
 * away. */
static void make_durable(struct scan *scan, struct spool_reader *reader)
{
    int r = scan->messages ? spool_sync_messages(reader, scan->last)
                           : spool_sync_states(reader, scan->last);
    if (r < 0) {
        scan_say(scan->tools, 3, "%s: what was read cannot be synced: %s", log_name(scan->messages),
                 trouble_meaning(r));
    }
}

static int run(struct scan *scan, uint64_t from)
{
    struct spool_reader *reader;
    if (scan->to <= from) {
        return 0;
    }
    int r = spool_reader_open(scan->tools->io, &reader);
    if (r < 0) {
        return r;
    }
    r = spool_reader_open(scan->tools->io, &scan->lookup);
    if (r < 0) {
        spool_reader_close(reader);
        return r;
    }
    if (scan->to == UINT64_MAX) {
        r = spool_count_segments(reader, scan->messages, from, &scan->segments);
    }
    scan->not_good = UINT64_MAX;
    scan->part = new_part(scan);
    r = r < 0            ? r
        : scan->messages ? spool_scan_messages(reader, from, scan->to, on_message, scan)
                         : spool_scan_states(reader, from, scan->to, on_state, scan);
    if (r == 0 && scan->to == UINT64_MAX && scan->any) {
        make_durable(scan, reader);
    }
    spool_reader_close(scan->lookup);
    spool_reader_close(reader);
    if (r == 0) {
        return hand_over(scan, true);
    }
    mem_free(scan->part->bytes);
    mem_free(scan->part);
    return r;
}

int scan_messages(struct work_tools *tools, uint64_t from, uint64_t to, bool envelopes)
{
    struct scan *scan = mem_zalloc(sizeof *scan);
    *scan = (struct scan){.tools = tools, .messages = true, .envelopes = envelopes, .to = to};
    int r = run(scan, from);
    mem_free(scan);
    return r;
}

int scan_states(struct work_tools *tools, uint64_t from, uint64_t to)
{
    struct scan *scan = mem_zalloc(sizeof *scan);
    *scan = (struct scan){.tools = tools, .to = to};
    int r = run(scan, from);
    mem_free(scan);
    return r;
}

/* --- lines from a lane ----------------------------------------------------------------------- */

struct line {
    struct work work;
    int level;
    char text[400];
};

static bool line_done(struct work *work, struct control *c)
{
    struct line *line = (struct line *)work;
    control_say(c, line->level, "%s", line->text);
    mem_free(line);
    return true;
}

static void line_drop(struct work *work)
{
    struct line *line = (struct line *)work;
    mem_free(line);
}

void scan_say(struct work_tools *tools, int level, const char *format, ...)
{
    struct line *line = mem_zalloc(sizeof *line);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line->text, sizeof line->text, format, args);
    va_end(args);
    line->level = level;
    line->work.done = line_done;
    line->work.drop = line_drop;
    (void)!works_part(tools->works, &line->work);
}
