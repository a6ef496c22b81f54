/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/show.c: one delivery in full, its history and its body. */
#include "control/admin/admin.h"

#include "common/limits/admin.h"
#include "common/limits/message.h"
#include "control/core/mem.h"

#include <errno.h>
#include <stdlib.h>

enum {
    EVENTS_MAX = 200,             /* the newest ones */
    EVENT_RECORDS_MAX = 200000,   /* no further back then: about a tenth of a second of the loop */
    EVENT_CLOCK_MS = 3600 * 1000, /* the clock may have been set: so far it is not trusted */
};

/* A recipient that is not done shares the state of its delivery. */
static const char *rcpt_state_text(const struct delivery *d, const struct rcpt *r)
{
    switch ((enum rcpt_state)r->state) {
    case RCPT_WAITING:
        return d->state == DELIVERY_ORPHAN ? "held"
                                           : delivery_state_text((enum delivery_state)d->state);
    case RCPT_DONE:
        return "delivered";
    case RCPT_FROZEN:
        return "frozen";
    }
    assert(false);
    return "";
}

static const char *phase_text(uint8_t phase)
{
    static const char *const names[] = {
        [ABI_PHASE_NONE] = "",     [ABI_PHASE_CONNECT] = "connect", [ABI_PHASE_BANNER] = "banner",
        [ABI_PHASE_EHLO] = "ehlo", [ABI_PHASE_MAIL] = "mail",       [ABI_PHASE_RCPT] = "rcpt",
        [ABI_PHASE_DATA] = "data", [ABI_PHASE_BODY] = "body",       [ABI_PHASE_DOT] = "dot",
    };
    return phase < sizeof names / sizeof names[0] ? names[phase] : "";
}

static void add_recipients(struct control *c, const struct delivery *d, const struct envelope *e,
                           json_t *list)
{
    char reply[LIMIT_REPLY_TEXT_BYTES + 1];
    unsigned at = 0;
    for (unsigned n = 0; n < d->rcpt_count; n++) {
        const struct rcpt *r = &d->rcpt[n];
        json_t *o = json_object();
        while (e != NULL && at < e->rcpt_count && e->rcpt[at].route_index != id_index(d->id)) {
            at++;
        }
        bool known = e != NULL && at < e->rcpt_count;
        admin_set_text(o, "rcpt", known ? e->rcpt[at].address : bytes_str(""));
        at++;
        admin_set_text(o, "state", bytes_str(rcpt_state_text(d, r)));
        admin_set_text(o, "class", bytes_str(outcome_text((enum outcome)r->outcome)));
        admin_set_number(o, "code", r->code);
        (void)catchup_reply(c, r->state_pos, reply, sizeof reply);
        admin_set_text(o, "reply", bytes_str(reply));
        json_array_append_new(list, o);
    }
}

struct history {
    struct control *c;
    uint64_t id;
    json_t *events;
    uint32_t read;
    uint64_t first_ms; /* of the first record */
    bool cut;
};

static int on_state(void *ctx, const struct spool_scan_item *item)
{
    static const char *const kinds[] = {
        [ABI_STATE_OUTCOME] = "outcome",
        [ABI_STATE_RELEASE] = "release",
        [ABI_STATE_FREEZE] = "freeze",
        [ABI_STATE_FAULT] = "fault",
    };
    struct history *h = ctx;
    const struct spool_state_entry *e = item->state;
    if (item->verdict != SPOOL_SCAN_RECORD) {
        return 0;
    }
    h->first_ms = h->read++ == 0 ? e->time_ms : h->first_ms;
    if (e->id != h->id || e->kind < ABI_STATE_OUTCOME || e->kind > ABI_STATE_FAULT ||
        !outcome_valid(e->outcome)) {
        return 0;
    }
    const struct hop *hop = routes_find_hop(h->c, e->hop_id);
    size_t len = e->text_len < sizeof e->text ? e->text_len : sizeof e->text;
    json_t *o = json_object();
    admin_set_number(o, "time_ms", e->time_ms);
    admin_set_text(o, "kind", bytes_str(kinds[e->kind]));
    admin_set_text(o, "class", bytes_str(outcome_text((enum outcome)e->outcome)));
    admin_set_text(o, "phase", bytes_str(phase_text(e->phase)));
    admin_set_number(o, "code", e->code);
    admin_set_text(o, "reply", bytes_of(e->text, len));
    admin_set_text(o, "hop", bytes_str(hop == NULL ? "" : hop->name));
    admin_set_number(o, "rcpts", rcptset_count(&e->rcpts));
    json_array_append_new(h->events, o);
    if (json_array_size(h->events) > EVENTS_MAX) {
        json_array_remove(h->events, 0);
        h->cut = true;
    }
    return 0;
}

/* From the newest segment of the state log on, then from twice as far back, until what is read
 * begins before the mail came, or is enough. `truncated`: older events may be missing. */
static void add_history(struct control *c, const struct delivery *d, json_t *o)
{
    struct history h = {.c = c, .id = d->id, .events = json_array()};
    uint64_t top_pos = seen_top(&c->states);
    uint64_t back = 0;
    bool whole = false;
    struct spool_reader *reader = NULL;
    int r = spool_reader_open(c->io, &reader);
    while (r == 0 && !whole && h.read < EVENT_RECORDS_MAX) {
        uint64_t seq = spool_pos_seq(top_pos);
        bool bottom = seq <= back || seq - back <= c->checkpoint.told_seq;
        json_array_clear(h.events);
        h.read = 0;
        h.cut = false;
        r = spool_scan_states(reader, bottom ? 0 : (seq - back) << 32, top_pos, on_state, &h);
        whole = bottom || (h.read > 0 && h.first_ms + EVENT_CLOCK_MS < d->received_ms);
        back = back * 2 + 1;
    }
    if (reader != NULL) {
        spool_reader_close(reader);
    }
    json_object_set_new(o, "events", h.events);
    json_object_set_new(o, "truncated", json_boolean(r < 0 || !whole || h.cut));
}

struct body {
    uint8_t *data;
    size_t len;
    size_t capacity;
    bool cut;
};

static int on_piece(void *ctx, struct bytes piece)
{
    struct body *body = ctx;
    size_t room = LIMIT_ADMIN_BODY_BYTES - body->len;
    body->cut = piece.len > room;
    size_t len = body->cut ? room : piece.len;
    body->data = mem_grow(body->data, &body->capacity, body->len + len + 1, 1);
    if (len > 0) {
        memcpy(body->data + body->len, piece.data, len);
    }
    body->len += len;
    return body->cut ? 1 : 0;
}

/* Base64, RFC 4648 section 4. */
static char *base64(const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = mem_zalloc(len / 3 * 4 + 5);
    char *p = out;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16;
        v |= i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0;
        v |= i + 2 < len ? data[i + 2] : 0;
        *p++ = digits[v >> 18];
        *p++ = digits[v >> 12 & 63];
        *p++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
        *p++ = i + 2 < len ? digits[v & 63] : '=';
    }
    return out;
}

static void add_body(struct control *c, const struct delivery *d, json_t *o)
{
    struct body body = {0};
    int r = spool_read_body(c->reader, d->commit_pos, id_message(d->id), on_piece, &body);
    if (r < 0) {
        const char *why = r == -ENOENT ? "a part of it is gone from the spool" : trouble_meaning(r);
        admin_set_text(o, "body_error", bytes_str(why));
        free(body.data);
        return;
    }
    json_t *text = memchr(body.data == NULL ? (const uint8_t *)"" : body.data, 0, body.len) == NULL
                       ? json_stringn(body.data == NULL ? "" : (const char *)body.data, body.len)
                       : NULL;
    if (text != NULL) {
        json_object_set_new(o, "body", text);
    } else { /* not UTF-8, or with NULs */
        char *encoded = base64(body.data, body.len);
        json_object_set_new(o, "body_base64", json_string(encoded));
        free(encoded);
    }
    json_object_set_new(o, "body_cut", json_boolean(body.cut));
    free(body.data);
}

json_t *admin_show(struct control *c, struct admin_request *request)
{
    static struct envelope e;
    uint64_t id = 0;
    const char *text = json_string_value(json_object_get(request->json, "id"));
    if (text == NULL || !id_parse(text, &id)) {
        return admin_error(ADMIN_EXIT_USAGE, "show: which id?");
    }
    const struct delivery *d = index_find(c, id);
    for (unsigned i = 0; d == NULL && id_index(id) == 0 && i < LIMIT_ROUTES_PER_MESSAGE; i++) {
        d = index_find(c, id | i); /* a message's id: its first delivery still here */
    }
    if (d == NULL) {
        return admin_error(ADMIN_EXIT_FAILED, "no such delivery is here: %.20s", text);
    }
    json_t *o = admin_ok();
    json_t *shown = admin_delivery(c, d);
    json_object_update(o, shown);
    json_decref(shown);
    bool readable = catchup_envelope(c, d, &e);
    char client[IP_TEXT_SIZE] = "";
    if (readable) {
        (void)ip_format(&e.client, client);
    }
    admin_set_text(o, "client", bytes_str(client));
    admin_set_text(o, "helo", readable ? e.helo : bytes_str(""));
    admin_set_number(o, "received_ms", d->received_ms);
    json_t *recipients = json_array();
    add_recipients(c, d, readable ? &e : NULL, recipients);
    json_object_set(o, "rcpts", recipients); /* in full here, unlike in a list */
    json_object_set_new(o, "recipients", recipients);
    add_history(c, d, o);
    if (json_is_true(json_object_get(request->json, "body"))) {
        add_body(c, d, o);
    }
    return o;
}
