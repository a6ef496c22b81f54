/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/tool.c: list and verify. See tool.h.
 *
 * The state log is read first, into a table of deliveries by id; then the message log, message by
 * message. States apply in the order of the log: delivered stays delivered, a freeze or a release
 * replaces what was before.
 *
 * Promise: every committed message is listed once, whole or not.
 * Trap:    the scan's callback reads other records through the same reader: it has buffers of its
 *          own for that.
 */
#include "spool/tool.h"

#include "common/id.h"
#include "common/limits/message.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* --- the table of deliveries ----------------------------------------------------------------- */

struct known {
    uint64_t id; /* 0: an empty slot. No id is 0. */
    uint64_t last_pos;
    struct rcptset delivered;
    struct rcptset frozen;
};

struct table {
    struct known *slot;
    size_t slot_count; /* a power of two */
    size_t used_count;
};

static struct known *table_slot(const struct table *t, uint64_t id)
{
    size_t i = (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (t->slot_count - 1);
    while (t->slot[i].id != 0 && t->slot[i].id != id) {
        i = (i + 1) & (t->slot_count - 1);
    }
    return &t->slot[i];
}

static int table_grow(struct table *t)
{
    struct table bigger = {.slot_count = t->slot_count == 0 ? 1024 : t->slot_count * 2};
    bigger.slot = calloc(bigger.slot_count, sizeof *bigger.slot);
    if (bigger.slot == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < t->slot_count; i++) {
        if (t->slot[i].id != 0) {
            *table_slot(&bigger, t->slot[i].id) = t->slot[i];
        }
    }
    bigger.used_count = t->used_count;
    free(t->slot);
    *t = bigger;
    return 0;
}

static void apply(struct known *k, const struct spool_state_entry *e, uint64_t pos)
{
    k->last_pos = pos;
    switch ((enum abi_state_kind)e->kind) {
    case ABI_STATE_OUTCOME:
        if (outcome_disposition((enum outcome)e->outcome) == OUTCOME_DISPOSITION_DONE) {
            rcptset_union(&k->delivered, &e->rcpts);
            rcptset_subtract(&k->frozen, &e->rcpts);
        } else if (outcome_disposition((enum outcome)e->outcome) == OUTCOME_DISPOSITION_FREEZE) {
            rcptset_union(&k->frozen, &e->rcpts);
        }
        break;
    case ABI_STATE_FREEZE:
        rcptset_union(&k->frozen, &e->rcpts);
        break;
    case ABI_STATE_RELEASE:
        rcptset_subtract(&k->frozen, &e->rcpts);
        break;
    case ABI_STATE_FAULT:
        break;
    }
    rcptset_subtract(&k->frozen, &k->delivered);
}

static int learn(void *ctx, const struct spool_scan_item *item)
{
    struct table *t = ctx;
    if (item->verdict != SPOOL_SCAN_RECORD || item->state->id == 0) {
        return 0;
    }
    if ((t->used_count + 1) * 4 > t->slot_count * 3) {
        int err = table_grow(t);
        if (err != 0) {
            return err;
        }
    }
    struct known *k = table_slot(t, item->state->id);
    if (k->id == 0) {
        k->id = item->state->id;
        t->used_count++;
    }
    apply(k, item->state, item->pos);
    return 0;
}

static const struct known *table_find(const struct table *t, uint64_t id)
{
    const struct known *k = t->slot_count == 0 || id == 0 ? NULL : table_slot(t, id);
    return k != NULL && k->id == id ? k : NULL;
}

/* --- list ------------------------------------------------------------------------------------ */

struct walk {
    const struct spool_tool_source *source;
    struct spool_reader *reader;
    struct table table;
    bool stopped; /* fn stopped it, not an error of the log */
    spool_tool_item_fn fn;
    void *ctx;
    /* Scratch memory: too large for the stack. */
    struct envelope envelope;
    uint8_t envelope_data[LIMIT_ENVELOPE_BYTES];
    struct spool_tool_delivery delivery[LIMIT_ROUTES_PER_MESSAGE];
};

static void take_hint(const struct walk *w, uint64_t commit_pos, struct spool_tool_delivery *d)
{
    const struct spool_tool_source *source = w->source;
    struct spool_tool_hint hint;
    if (source->hint == NULL || !source->hint(source->hint_ctx, d->id, commit_pos, &hint)) {
        return;
    }
    d->delivered = hint.is_done ? rcptset_first(d->rcpt_count) : hint.delivered;
    d->frozen = hint.frozen;
}

static void fill_delivery(struct walk *w, const struct spool_tool_item *item, unsigned route,
                          struct spool_tool_delivery *d)
{
    *d = (struct spool_tool_delivery){.id = item->id | route};
    d->rcpt_count = (uint16_t)envelope_route_rcpts(&w->envelope, route);
    for (unsigned i = 0; i < w->envelope.rcpt_count; i++) {
        if (w->envelope.rcpt[i].route_index == route) {
            d->route_id = w->envelope.rcpt[i].route_id;
        }
    }
    take_hint(w, item->commit_pos, d);
    const struct known *k = table_find(&w->table, d->id);
    if (k != NULL) {
        rcptset_union(&d->delivered, &k->delivered);
        d->frozen = k->frozen; /* the state log is newer */
        rcptset_subtract(&d->frozen, &d->delivered);
        d->has_state = spool_read_state(w->reader, k->last_pos, &d->last) == 0;
    }
}

/* Fills everything but what the LAST record says. */
static void fill_envelope(struct walk *w, struct spool_tool_item *item)
{
    struct spool_record first;
    if (spool_read_record(w->reader, item->first_pos, item->id, &first) != 0 || !first.is_first ||
        first.envelope.len > sizeof w->envelope_data) {
        return;
    }
    memcpy(w->envelope_data, first.envelope.data, first.envelope.len);
    if (!envelope_decode(bytes_of(w->envelope_data, first.envelope.len), &w->envelope)) {
        return;
    }
    unsigned routes = envelope_route_count(&w->envelope);
    if (routes > LIMIT_ROUTES_PER_MESSAGE) {
        return;
    }
    item->has_envelope = true;
    item->envelope = &w->envelope;
    item->delivery_count = routes;
    item->delivery = w->delivery;
    for (unsigned i = 0; i < routes; i++) {
        fill_delivery(w, item, i, &w->delivery[i]);
    }
}

static int list_record(void *ctx, const struct spool_scan_item *scanned)
{
    struct walk *w = ctx;
    if (scanned->verdict != SPOOL_SCAN_RECORD || !scanned->record->is_last) {
        return 0;
    }
    struct spool_tool_item item = {
        .id = scanned->record->id,
        .commit_pos = scanned->pos,
        .first_pos = scanned->record->first_pos,
        .received_ms = scanned->record->received_ms,
        .body_bytes = scanned->record->total_bytes,
    };
    fill_envelope(w, &item);
    int r = w->fn(w->ctx, &item);
    w->stopped = r != 0;
    return r;
}

int spool_tool_list(const struct spool_tool_source *source, spool_tool_item_fn fn, void *ctx)
{
    struct spool_reader *reader = source->reader;
    struct walk *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return trouble_begin(source->trouble, -ENOMEM, "a list");
    }
    w->source = source;
    w->reader = reader;
    w->fn = fn;
    w->ctx = ctx;
    int err = spool_scan_states(reader, 0, UINT64_MAX, learn, &w->table);
    if (err < 0) {
        err = trouble_add(source->trouble, err, "reading the state log");
    } else if (err == 0) {
        err = spool_scan_messages(reader, 0, UINT64_MAX, list_record, w);
        if (err < 0 && !w->stopped) {
            err = trouble_add(source->trouble, err, "reading the message log");
        }
    }
    free(w->table.slot);
    free(w);
    return err;
}

/* --- verify ---------------------------------------------------------------------------------- */

struct verify {
    struct spool_reader *reader;
    struct trouble *trouble;
    struct spool_tool_counts *counts;
    spool_tool_bad_fn bad;
    void *ctx;
};

static void tell(const struct verify *v, uint64_t pos, uint64_t id, const char *why)
{
    if (v->bad != NULL) {
        v->bad(v->ctx, pos, id, why);
    }
}

static int count_scanned(void *ctx, const struct spool_scan_item *item)
{
    struct verify *v = ctx;
    switch (item->verdict) {
    case SPOOL_SCAN_RECORD:
        v->counts->states += item->state != NULL;
        v->counts->records += item->record != NULL;
        break;
    case SPOOL_SCAN_DAMAGE:
        v->counts->damaged++;
        tell(v, item->pos, 0, item->why);
        break;
    case SPOOL_SCAN_TAIL:
        v->counts->torn++;
        tell(v, item->pos, 0, item->why);
        break;
    }
    return 0;
}

static int count_segment(void *ctx, uint64_t seq)
{
    struct verify *v = ctx;
    (void)seq;
    v->counts->segments++;
    return 0;
}

static int ignore_piece(void *ctx, struct bytes piece)
{
    (void)ctx;
    (void)piece;
    return 0;
}

static bool all_delivered(const struct spool_tool_item *item)
{
    for (uint32_t i = 0; i < item->delivery_count; i++) {
        if (rcptset_count(&item->delivery[i].delivered) < item->delivery[i].rcpt_count) {
            return false;
        }
    }
    return item->delivery_count > 0;
}

static int check_message(void *ctx, const struct spool_tool_item *item)
{
    struct verify *v = ctx;
    v->counts->messages++;
    int err = spool_read_body(v->reader, item->commit_pos, item->id, ignore_piece, NULL);
    if (err == 0 && item->has_envelope) {
        v->counts->body_bytes += item->body_bytes;
        return 0;
    }
    if (err != 0 && err != -EBADMSG && err != -ENOENT) {
        char id[ID_TEXT_SIZE];
        return trouble_add(v->trouble, err, "reading message %s", id_format(item->id, id));
    }
    if (err == -ENOENT && all_delivered(item)) {
        return 0; /* its first segments were recycled first */
    }
    v->counts->broken++;
    tell(v, item->commit_pos, item->id,
         err == -ENOENT ? "a record of the message is gone" : "a record of the message is damaged");
    return 0;
}

int spool_tool_verify(const struct spool_tool_source *source, struct spool_tool_counts *counts_out,
                      spool_tool_bad_fn bad, void *ctx)
{
    struct spool_reader *reader = source->reader;
    *counts_out = (struct spool_tool_counts){0};
    struct verify v = {
        .reader = reader, .trouble = source->trouble, .counts = counts_out, .bad = bad, .ctx = ctx};
    int err = spool_list_segments(reader, count_segment, &v);
    if (err == 0) {
        err = spool_scan_messages(reader, 0, UINT64_MAX, count_scanned, &v);
    }
    if (err == 0) {
        err = spool_scan_states(reader, 0, UINT64_MAX, count_scanned, &v);
    }
    if (err < 0) {
        return trouble_add(v.trouble, err, "reading the logs");
    }
    err = spool_tool_list(source, check_message, &v);
    if (err != 0) {
        return err;
    }
    uint64_t wrong = counts_out->damaged + counts_out->broken;
    return wrong < INT_MAX ? (int)wrong : INT_MAX;
}
