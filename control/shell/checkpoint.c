/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/checkpoint.c: the delivery table as a blob, saved beside the logs, so that a start
 * reads only what came since.
 *
 *   u32 version, totals, the two lists of seen positions, count, then per delivery its fields and
 *   per recipient { state, outcome, code, state_pos }; then, since version 2, count and sequences
 *   of the segments kept for the damage in them.  All little-endian. The checksum is the spool's.
 *
 * Promise: a table saved and loaded, with the logs read on from its positions, is the table.
 * Trap:    snapshot.c reads the same layout for the operator's command: change both.
 *          The state log below the older checkpoint goes once the next is durable; replies of mail
 *          still frozen move to the policy database before.
 */
#include "common/config.h"
#include "control/core/index.h"
#include "control/core/mem.h"
#include "control/core/rules.h"
#include "control/shell/store.h"
#include "spool/extent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* State segments between checkpoints at most; the log has 64 files. */
    CHECKPOINT_SEGMENTS = 4,
    CHECKPOINT_PAUSE_NS = 200 * 1000 * 1000, /* between two that segments asked for */
    /* One more interval per this many deliveries: writing the table stays a small share. */
    DELIVERIES_PER_INTERVAL = 200000,
};

struct writer {
    uint8_t *data;
    size_t len;
    size_t capacity;
};

static void put(struct writer *w, uint64_t v, size_t len)
{
    w->data = mem_grow(w->data, &w->capacity, w->len + len, 1);
    for (size_t i = 0; i < len; i++) {
        w->data[w->len++] = (uint8_t)(v >> (8 * i));
    }
}

static void put_seen(struct writer *w, const struct seen *seen)
{
    put(w, seen->floor, 8);
    put(w, seen->count, 8);
    for (size_t i = 0; i < seen->count; i++) {
        put(w, seen->entry[i].pos, 8);
        put(w, seen->entry[i].mask, 2);
    }
}

/* Monotonic time ends with the boot: the due time is kept by the wall clock. */
static uint64_t due_wall_ms(const struct control *c, const struct delivery *d)
{
    uint64_t left_ns = d->due_ns > c->now.now_ns ? d->due_ns - c->now.now_ns : 0;
    return c->now.wall_ms + left_ns / 1000000;
}

static void put_delivery(const struct control *c, struct writer *w, const struct delivery *d)
{
    put(w, d->id, 8);
    put(w, d->first_pos, 8);
    put(w, d->commit_pos, 8);
    put(w, d->received_ms, 8);
    put(w, due_wall_ms(c, d), 8);
    put(w, d->route->id, 4);
    put(w, d->body_bytes, 4);
    put(w, d->held_rule, 4);
    put(w, d->last_hop_id, 4);
    put(w, d->rcpt_count, 2);
    put(w, d->attempts, 2);
    put(w, d->faults, 1);
    put(w, d->dot_losses, 1);
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        put(w, d->rcpt[i].state, 1);
        put(w, d->rcpt[i].outcome, 1);
        put(w, d->rcpt[i].code, 2);
        put(w, d->rcpt[i].state_pos, 8);
    }
}

static void put_pins(const struct liveness *live, struct writer *w)
{
    uint64_t count = 0;
    for (size_t i = 0; i < live->count; i++) {
        count += live->segment[i].pinned;
    }
    put(w, count, 8);
    for (size_t i = 0; i < live->count; i++) {
        if (live->segment[i].pinned) {
            put(w, live->segment[i].seq, 8);
        }
    }
}

static void encode(const struct control *c, struct writer *w)
{
    put(w, CHECKPOINT_VERSION, 4);
    put(w, c->totals.accepted_rcpts, 8);
    put(w, c->totals.delivered_rcpts, 8);
    put(w, c->totals.possible_duplicates, 8);
    put(w, c->totals.damaged, 8);
    put(w, c->message_damage_top, 8);
    put(w, c->state_damage_top, 8);
    put(w, c->checkpoint.told_seq, 8);
    put_seen(w, &c->messages);
    put_seen(w, &c->states);
    put(w, c->deliveries.count, 8);
    size_t at = 0;
    for (struct route *r = map_next(&c->routes, &at); r != NULL; r = map_next(&c->routes, &at)) {
        for (const struct list *l = r->all.next; l != &r->all; l = l->next) {
            put_delivery(c, w, list_entry(l, struct delivery, route_node));
        }
    }
    put_pins(&c->liveness, w);
}

static bool get_seen(struct cursor *in, struct seen *seen)
{
    seen->floor = cursor_le64(in);
    uint64_t count = cursor_le64(in);
    for (uint64_t i = 0; i < count && !in->failed; i++) {
        uint64_t pos = cursor_le64(in);
        uint16_t mask = cursor_le16(in);
        if (!in->failed) {
            seen_add(seen, pos, mask);
        }
    }
    return !in->failed;
}

static bool get_rcpts(struct cursor *in, struct delivery *d)
{
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        uint8_t state = cursor_u8(in);
        uint8_t outcome = cursor_u8(in);
        if (in->failed || state > RCPT_FROZEN || !outcome_valid(outcome)) {
            return false;
        }
        d->rcpt[i].outcome = outcome;
        d->rcpt[i].code = cursor_le16(in);
        d->rcpt[i].state_pos = cursor_le64(in);
        delivery_set_rcpt(d, i, (enum rcpt_state)state);
    }
    return !in->failed;
}

static bool get_delivery(struct cursor *in, struct control *c)
{
    uint64_t id = cursor_le64(in);
    uint64_t first_pos = cursor_le64(in);
    uint64_t commit_pos = cursor_le64(in);
    uint64_t received_ms = cursor_le64(in);
    uint64_t due_ms = cursor_le64(in);
    uint32_t route_id = cursor_le32(in);
    uint32_t body_bytes = cursor_le32(in);
    uint32_t held_rule = cursor_le32(in);
    uint32_t last_hop_id = cursor_le32(in);
    uint16_t rcpt_count = cursor_le16(in);
    if (in->failed || !spool_commit_valid(id, first_pos, commit_pos, rcpt_count) ||
        !index_agrees(c, id, first_pos, commit_pos) || index_find(c, id) != NULL) {
        return false;
    }
    struct delivery *d = index_add(c, id, first_pos, commit_pos, route_id, rcpt_count);
    d->received_ms = received_ms;
    d->body_bytes = body_bytes;
    d->held_rule = rules_find(c, held_rule) != NULL ? held_rule : 0;
    d->last_hop_id = last_hop_id;
    d->attempts = cursor_le16(in);
    d->faults = cursor_u8(in);
    d->dot_losses = cursor_u8(in);
    /* A clock that was set back must not make mail wait: retry.max is the most. */
    uint64_t left_ms = due_ms > c->now.wall_ms ? due_ms - c->now.wall_ms : 0;
    left_ms = left_ms < c->config->retry.max_ms ? left_ms : c->config->retry.max_ms;
    d->due_ns = c->now.now_ns + left_ms * 1000000;
    bool good = get_rcpts(in, d);
    delivery_settle(c, d);
    return good;
}

static void get_pins(struct cursor *in, struct control *c)
{
    uint64_t count = cursor_le64(in);
    for (uint64_t i = 0; i < count && !in->failed; i++) {
        uint64_t seq = cursor_le64(in);
        if (!in->failed && liveness_pin(&c->liveness, seq)) {
            control_say(c, 4, "segment %" PRIu64 " holds damage and is kept", seq);
        }
    }
}

static bool decode(struct control *c, struct bytes blob, uint32_t *version_out)
{
    struct cursor in = cursor_of(blob);
    uint32_t version = cursor_le32(&in);
    if (version != CHECKPOINT_VERSION && version != CHECKPOINT_VERSION_UNPINNED) {
        return false;
    }
    *version_out = version;
    c->totals.accepted_rcpts = cursor_le64(&in);
    c->totals.delivered_rcpts = cursor_le64(&in);
    c->totals.possible_duplicates = cursor_le64(&in);
    (void)cursor_le64(&in); /* damage of an earlier run: said then; a verify finds it again */
    c->message_damage_top = cursor_le64(&in);
    c->state_damage_top = cursor_le64(&in);
    c->checkpoint.told_seq = cursor_le64(&in);
    if (!get_seen(&in, &c->messages) || !get_seen(&in, &c->states)) {
        return false;
    }
    uint64_t count = cursor_le64(&in);
    for (uint64_t i = 0; i < count; i++) {
        if (!get_delivery(&in, c)) {
            return false;
        }
    }
    if (version >= CHECKPOINT_VERSION) {
        get_pins(&in, c);
    }
    return !in.failed && in.rest.len == 0;
}

int checkpoint_load(struct control *c)
{
    uint64_t message_pos;
    uint64_t state_pos;
    uint64_t older_state_pos;
    void *blob = NULL;
    size_t len = 0;
    int r = spool_checkpoint_load(c->io, &message_pos, &state_pos, &older_state_pos, &blob, &len);
    if (r == -ENOENT) {
        /* A new spool, or one that was never checkpointed: all from the logs. From now on it is one
         * that was in use, and its policy database must not be missing (setup_database). */
        c->checkpoint.dirty = true;
        c->checkpoint.due_ns = c->now.now_ns;
        return 0;
    }
    if (r < 0) {
        return r;
    }
    uint32_t version = 0;
    bool good = decode(c, bytes_of(blob, len), &version) && c->messages.floor == message_pos &&
                c->states.floor == state_pos;
    free(blob);
    if (!good) {
        return trouble_say(c->io->trouble, -EBADMSG,
                           "the newest checkpoint is whole, but not as this program writes them "
                           "(version %" PRIu32 ")",
                           version);
    }
    liveness_advance(&c->liveness, seen_top(&c->messages));
    c->checkpoint.state_pos = state_pos;
    c->checkpoint.older_state_pos = older_state_pos;
    c->checkpoint.dirty = false;
    bool may_miss = version == CHECKPOINT_VERSION_UNPINNED && c->message_damage_top > 0;
    return may_miss ? catchup_pin_old(c) : 0;
}

static int keep_reply(struct control *c, uint64_t pos, uint64_t below_seq)
{
    char text[LIMIT_REPLY_TEXT_BYTES + 1];
    uint64_t seq = spool_pos_seq(pos);
    if (pos == 0 || seq >= below_seq || seq < c->checkpoint.told_seq ||
        catchup_reply(c, pos, text, sizeof text) == 0) {
        return 0;
    }
    return store_reply_add(c->store, pos, text);
}

/* Moves the replies of frozen mail out of the state segments below `below_seq`. */
static int keep_replies(struct control *c, uint64_t below_seq)
{
    int r = store_begin(c->store);
    size_t at = 0;
    for (struct route *t = map_next(&c->routes, &at); t != NULL; t = map_next(&c->routes, &at)) {
        for (const struct list *l = t->all.next; l != &t->all && r == 0; l = l->next) {
            const struct delivery *d = list_entry(l, struct delivery, route_node);
            for (unsigned i = 0; d->frozen_count > 0 && i < d->rcpt_count && r == 0; i++) {
                if (d->rcpt[i].state == RCPT_FROZEN) {
                    r = keep_reply(c, d->rcpt[i].state_pos, below_seq);
                }
            }
        }
    }
    if (r == 0) {
        r = store_commit(c->store);
    }
    if (r < 0) {
        store_rollback(c->store);
    }
    return r;
}

int checkpoint_save(struct control *c)
{
    struct writer w = {0};
    encode(c, &w);
    uint64_t state_pos = c->states.floor;
    int r = spool_checkpoint_save(c->io, c->messages.floor, state_pos, bytes_of(w.data, w.len));
    free(w.data);
    if (r < 0) {
        return r;
    }
    struct checkpoint_facts *cp = &c->checkpoint;
    cp->older_state_pos = cp->state_pos;
    cp->state_pos = state_pos;
    cp->dirty = false;
    uint64_t below_seq = spool_pos_seq(cp->older_state_pos);
    if (below_seq > cp->told_seq) {
        r = keep_replies(c, below_seq);
        if (r < 0) {
            control_say(c, 4, "replies of frozen mail cannot be kept: %s", store_error(c->store));
            return 0; /* the state segments stay until they can */
        }
        cp->told_seq = below_seq;
        cp->recycle_seq = below_seq;
    }
    return 0;
}

void checkpoint_turn(struct control *c)
{
    struct checkpoint_facts *cp = &c->checkpoint;
    /* Every restart of the dataplane begins a segment of the state log. Only checkpoints give them
     * back, so they must come by segments too, or a control that never lives for an interval would
     * let the log run full. */
    bool behind =
        spool_pos_seq(seen_top(&c->states)) >= spool_pos_seq(cp->state_pos) + CHECKPOINT_SEGMENTS;
    behind = behind && c->now.now_ns >= cp->tried_ns + CHECKPOINT_PAUSE_NS;
    if (!cp->dirty || (c->now.now_ns < cp->due_ns && !behind)) {
        return;
    }
    cp->tried_ns = c->now.now_ns;
    uint64_t interval_ns = (uint64_t)c->config->control.checkpoint_interval_ms * 1000000;
    interval_ns += interval_ns * (c->deliveries.count / DELIVERIES_PER_INTERVAL);
    cp->due_ns = c->now.now_ns + interval_ns;
    int r = checkpoint_save(c);
    if (r < 0) {
        control_say(c, 3, "cannot save a checkpoint: %s", trouble_meaning(r));
    }
}
