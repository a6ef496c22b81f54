/* SPDX-License-Identifier: BSD-3-Clause */
/* control/catchup.c: reading the logs: at start, at attach, after a gap, and for one delivery's
 * envelope or reply.
 *
 * Promise: every good record is applied; a damaged one is alarmed and, where it was a message's
 *          envelope, shown as a frozen delivery. Nothing is passed over in silence.
 * Trap:    a read beyond what is known durable may meet a batch being written. What it finds good
 *          is applied, but the floor stays below the first place that was not good: it is read
 *          again, or comes through the ring.
 */
#include "control/index.h"
#include "control/store.h"

#include <errno.h>
#include <string.h>

struct scan {
    struct control *c;
    const char *log;
    uint64_t *damage_top;
    uint64_t not_good; /* the first such position, UINT64_MAX without */
    uint64_t last;     /* the last good one */
    bool any;
};

static void note_bad(struct scan *scan, const struct spool_scan_item *item)
{
    struct control *c = scan->c;
    scan->not_good = item->pos < scan->not_good ? item->pos : scan->not_good;
    if (item->verdict == SPOOL_SCAN_DAMAGE && item->pos >= *scan->damage_top) {
        *scan->damage_top = item->pos + 1;
        c->totals.damaged++;
        control_say(c, 3, "%s damaged at %llu:%u: %s", scan->log,
                    (unsigned long long)spool_pos_seq(item->pos), spool_pos_offset(item->pos),
                    item->why == NULL ? "unreadable" : item->why);
    }
}

/* The envelope of a message whose last record the scan gave. 0, -ENOENT: its first segment is
 * gone, which only a completely delivered message's is; -EBADMSG: damaged. */
static int read_envelope(struct control *c, const struct spool_record *last,
                         struct envelope *envelope)
{
    if (last->is_first) {
        return envelope_decode(last->envelope, envelope) ? 0 : -EBADMSG;
    }
    struct spool_record first;
    int r = spool_read_record(c->reader, last->first_pos, last->id, &first);
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
    }
}

static int take_message(struct control *c, const struct spool_record *record)
{
    struct envelope *envelope = &c->scan_envelope;
    struct commit_fact fact = {
        .id = id_message(record->id),
        .commit_pos = record->pos,
        .first_pos = record->first_pos,
        .received_ms = record->received_ms,
        .body_bytes = record->total_bytes,
    };
    if (fact.first_pos > fact.commit_pos) {
        return -EBADMSG;
    }
    int r = read_envelope(c, record, envelope);
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
    return item->record->is_last ? take_message(scan->c, item->record) : 0;
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
                        .damage_top = messages ? &c->message_damage_top : &c->state_damage_top,
                        .not_good = UINT64_MAX};
    r = how(reader, seen->floor, to, fn, &scan);
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
