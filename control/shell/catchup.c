/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/catchup.c: reading the logs: at start, at attach, after a gap, and for one
 * delivery's envelope or reply.
 *
 * Promise: every good record is applied; a damaged one is alarmed and, where it was a message's
 *          envelope, shown as a frozen delivery. Nothing is passed over in silence, and a segment
 *          of the message log with damage in it is kept.
 * Trap:    a read beyond what is known durable may meet a batch being written. What it finds good
 *          is applied, but the floor stays below the first place that was not good: it is read
 *          again, or comes through the ring.
 */
#include "control/core/index.h"
#include "control/shell/store.h"
#include "spool/extent.h"

#include <errno.h>
#include <string.h>

struct scan {
    struct control *c;
    const char *log;
    bool messages; /* the message log */
    uint64_t *damage_top;
    enum { HEADERS_UNASKED, HEADERS_GOOD, HEADERS_DAMAGED } headers;
    uint64_t not_good; /* the first such position, UINT64_MAX without */
    uint64_t last;     /* the last good one */
    bool any;
};

/* What is damaged may be mail that nobody can find any more: its segment is kept, for a person. */
static void pin(struct control *c, uint64_t seq)
{
    if (seq == 0 || !liveness_pin(&c->liveness, seq)) {
        return; /* no segment has 0: a header, no place */
    }
    c->checkpoint.dirty = true;
    control_say(c, 3, "segment %llu holds damage and is kept", (unsigned long long)seq);
}

static void note_bad(struct scan *scan, const struct spool_scan_item *item)
{
    struct control *c = scan->c;
    if (scan->messages && item->pos == 0) {
        return; /* no place: a header. catchup_headers tells of it at each start */
    }
    scan->not_good = item->pos < scan->not_good ? item->pos : scan->not_good;
    if (item->verdict == SPOOL_SCAN_DAMAGE && scan->messages) {
        pin(c, spool_pos_seq(item->pos));
    }
    if (item->verdict == SPOOL_SCAN_DAMAGE && item->pos >= *scan->damage_top) {
        *scan->damage_top = item->pos + 1;
        c->totals.damaged++;
        control_say(c, 3, "%s damaged at %llu:%u: %s", scan->log,
                    (unsigned long long)spool_pos_seq(item->pos), spool_pos_offset(item->pos),
                    item->why == NULL ? "unreadable" : item->why);
    }
}

static int on_header(void *ctx, const struct spool_scan_item *item)
{
    bool *damaged = ctx;
    *damaged |= item->verdict == SPOOL_SCAN_DAMAGE;
    return 0;
}

/* Whether a file of the message log has an unreadable header: a scan of nothing but position 0,
 * where the reader tells of those. On c->reader, for a scan may be under way on another one. */
static int headers_damaged(struct control *c, bool *damaged_out)
{
    int r = 0;
    *damaged_out = true;
    for (int tries = 0; tries < 2 && r == 0 && *damaged_out;
         tries++) { /* one may be half written */
        *damaged_out = false;
        r = spool_scan_messages(c->reader, 0, 1, on_header, damaged_out);
    }
    return r;
}

/* A segment is not there. It was recycled, unless it is in a file whose header is unreadable:
 * 0: recycled; 1: perhaps not; or -errno. */
static int is_lost(struct scan *scan)
{
    if (scan->headers == HEADERS_UNASKED) {
        bool damaged;
        int r = headers_damaged(scan->c, &damaged);
        if (r < 0) {
            return r;
        }
        scan->headers = damaged ? HEADERS_DAMAGED : HEADERS_GOOD;
    }
    return scan->headers == HEADERS_DAMAGED;
}

/* The envelope of a message whose last record the scan gave. 0, -ENOENT: its first segment was
 * recycled, which only a completely delivered message's is; -EBADMSG: damaged. */
static int read_envelope(struct scan *scan, const struct spool_record *last,
                         struct envelope *envelope)
{
    struct control *c = scan->c;
    if (last->is_first) {
        return envelope_decode(last->envelope, envelope) ? 0 : -EBADMSG;
    }
    struct spool_record first;
    int r = spool_read_record(c->reader, last->first_pos, last->id, &first);
    if (r == -ENOENT) {
        int lost = is_lost(scan);
        return lost < 0 ? lost : lost > 0 ? -EBADMSG : -ENOENT;
    }
    if (r == -EIO) {
        return -EBADMSG; /* a sector is gone: as bad as a wrong one */
    }
    if (r < 0) {
        return r;
    }
    return first.is_first && envelope_decode(first.envelope, envelope) ? 0 : -EBADMSG;
}

/* A 250'd message whose envelope is unreadable: one delivery, frozen, for a person to see. */
static void show_damaged(struct control *c, struct commit_fact *fact)
{
    control_say(c, 3, "message at %llu:%u: its envelope is damaged",
                (unsigned long long)spool_pos_seq(fact->first_pos),
                spool_pos_offset(fact->first_pos));
    c->totals.damaged++;
    fact->route_id = 0;
    fact->rcpt_count = 1;
    struct delivery *d = apply_commit(c, fact);
    if (d != NULL) {
        delivery_lift(c, d);
        delivery_set_rcpt(d, 0, RCPT_FROZEN);
        d->rcpt[0].outcome = OUTCOME_DAMAGED;
        delivery_settle(c, d);
    } else if (!index_has_message(c, fact->id)) {
        for (uint64_t pos = fact->first_pos;; pos += UINT64_C(1) << 32) {
            pin(c, spool_pos_seq(pos));
            if (spool_pos_seq(pos) >= spool_pos_seq(fact->commit_pos)) {
                break;
            }
        }
    }
}

static int take_message(struct scan *scan, const struct spool_record *record)
{
    struct control *c = scan->c;
    struct envelope *envelope = &c->scan_envelope;
    struct commit_fact fact = {
        .id = id_message(record->id),
        .commit_pos = record->pos,
        .first_pos = record->first_pos,
        .received_ms = record->received_ms,
        .body_bytes = record->total_bytes,
    };
    /* It has one recipient at least, or it would not be there: the envelope says how many. */
    if (!spool_commit_valid(fact.id, fact.first_pos, fact.commit_pos, 1)) {
        return -EBADMSG;
    }
    if (seen_has(&c->messages, record->pos, SEEN_READ_INDEX)) {
        return 0; /* all of its deliveries were taken before */
    }
    int r = read_envelope(scan, record, envelope);
    if (r == -EBADMSG) {
        show_damaged(c, &fact);
    } else if (r == 0) {
        for (unsigned i = 0; i < envelope_route_count(envelope); i++) {
            unsigned n = 0;
            while (envelope->rcpt[n].route_index != i) {
                n++;
            }
            fact.id = id_message(record->id) | i;
            fact.route_id = envelope->rcpt[n].route_id;
            fact.rcpt_count = (uint16_t)envelope_route_rcpts(envelope, i);
            (void)apply_commit(c, &fact);
        }
    } else if (r != -ENOENT) {
        return r;
    }
    seen_add(&c->messages, record->pos, SEEN_ALL);
    liveness_advance(&c->liveness, record->pos);
    return 0;
}

static int on_message(void *ctx, const struct spool_scan_item *item)
{
    struct scan *scan = ctx;
    if (item->verdict != SPOOL_SCAN_RECORD) {
        note_bad(scan, item);
        return 0;
    }
    scan->any = true;
    scan->last = item->pos;
    return item->record->is_last ? take_message(scan, item->record) : 0;
}

static int on_state(void *ctx, const struct spool_scan_item *item)
{
    struct scan *scan = ctx;
    struct control *c = scan->c;
    if (item->verdict != SPOOL_SCAN_RECORD) {
        note_bad(scan, item);
        return 0;
    }
    scan->any = true;
    scan->last = item->pos;
    const struct spool_state_entry *e = item->state;
    if (!outcome_valid(e->outcome) || e->kind < ABI_STATE_OUTCOME || e->kind > ABI_STATE_FAULT) {
        control_say(c, 4, "state log: a record of a kind this program does not know, at %llu:%u",
                    (unsigned long long)spool_pos_seq(item->pos), spool_pos_offset(item->pos));
        return 0;
    }
    struct state_fact fact = {
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
    apply_state(c, &fact);
    return 0;
}

static void raise_floor(struct seen *seen, const struct scan *scan, uint64_t to)
{
    if (to != UINT64_MAX) {
        seen_raise(seen, to);
    } else if (scan->not_good != UINT64_MAX) {
        seen_raise(seen, scan->not_good);
    } else if (scan->any) {
        seen_raise(seen, scan->last + 1);
    }
}

/* What is read without a dataplane's word may not be durable yet: its writer died between write and
 * sync. A checkpoint must not know of a message that a power loss can still take away. */
static void make_durable(const struct scan *scan, struct spool_reader *reader)
{
    int r = scan->messages ? spool_sync_messages(reader, scan->last)
                           : spool_sync_states(reader, scan->last);
    if (r < 0) {
        control_say(scan->c, 3, "%s cannot be synced: %s", scan->log, strerror(-r));
    }
}

typedef int (*scan_fn)(struct spool_reader *reader, uint64_t from, uint64_t to, spool_scan_fn fn,
                       void *ctx);

static int run(struct control *c, struct seen *seen, uint64_t to, scan_fn how, spool_scan_fn fn)
{
    if (to <= seen->floor) {
        return 0;
    }
    struct spool_reader *reader;
    int r = spool_reader_open(c->io, &reader);
    if (r < 0) {
        return r;
    }
    bool messages = seen == &c->messages;
    struct scan scan = {.c = c,
                        .log = messages ? "message log" : "state log",
                        .messages = messages,
                        .damage_top = messages ? &c->message_damage_top : &c->state_damage_top,
                        .not_good = UINT64_MAX};
    r = how(reader, seen->floor, to, fn, &scan);
    if (r == 0 && to == UINT64_MAX && scan.any) {
        make_durable(&scan, reader);
    }
    spool_reader_close(reader);
    if (r == 0) {
        raise_floor(seen, &scan, to);
    }
    c->checkpoint.dirty |= scan.any;
    return r;
}

int catchup_messages(struct control *c, uint64_t to)
{
    return run(c, &c->messages, to, spool_scan_messages, on_message);
}

int catchup_states(struct control *c, uint64_t to)
{
    return run(c, &c->states, to, spool_scan_states, on_state);
}

int catchup_headers(struct control *c)
{
    bool damaged;
    int r = headers_damaged(c, &damaged);
    if (r == 0 && damaged) {
        c->totals.damaged++;
        control_say(c, 3, "message log: a segment's header is damaged, what is in it is unknown");
    }
    return r;
}

static int on_old(void *ctx, const struct spool_scan_item *item)
{
    if (item->verdict == SPOOL_SCAN_DAMAGE) {
        pin(ctx, spool_pos_seq(item->pos));
    }
    return 0;
}

int catchup_pin_old(struct control *c)
{
    if (c->messages.floor == 0) {
        return 0;
    }
    return spool_scan_messages(c->reader, 0, c->messages.floor, on_old, c);
}

bool catchup_envelope(struct control *c, const struct delivery *d, struct envelope *envelope)
{
    struct spool_record record;
    int r = spool_read_record(c->reader, d->first_pos, id_message(d->id), &record);
    return r == 0 && record.is_first && envelope_decode(record.envelope, envelope);
}

size_t catchup_reply(struct control *c, uint64_t state_pos, char *out, size_t out_size)
{
    assert(out_size > 0);
    out[0] = '\0';
    if (state_pos == 0) {
        return 0;
    }
    struct spool_state_entry *entry = &c->scan_state;
    if (spool_read_state(c->reader, state_pos, entry) == 0) {
        size_t len = entry->text_len < sizeof entry->text ? entry->text_len : sizeof entry->text;
        return bytes_copy_clean(bytes_of(entry->text, len), out, out_size);
    }
    if (!store_reply_find(c->store, state_pos, out, out_size)) {
        out[0] = '\0';
    }
    return strlen(out);
}
