/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/show.c: one delivery in full, its history and its body. The loop copies it from the
 * core. A lane reads the rest, and makes JSON of it.
 *
 * Promise: a body is read only when the audit already says who reads it. */
#include "control/admin/row.h"
#include "control/core/mem.h"
#include "control/shell/look.h"
#include "control/shell/store.h"

#include "common/id.h"
#include "common/limits/admin.h"
#include "common/limits/message.h"
#include "common/limits/names.h"
#include "common/limits/reply.h"
#include "common/limits/routes.h"
#include "common/trouble.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_MAX = 200,             /* the newest ones */
    EVENT_RECORDS_MAX = 200000,   /* no further round after it: about a tenth of a second */
    EVENT_CLOCK_MS = 3600 * 1000, /* the clock may have been set: so far it is not trusted */
};

struct show_job {
    struct job job;
    struct work work;
    struct row row;
    struct rcpt *rcpt; /* row.rcpt_count of them */
    uint64_t now_ms;
    uint64_t state_top;
    uint64_t told_seq;
    bool body;
    bool audited;
    char hop_name[LIMIT_HOPS][LIMIT_NAME_BYTES + 1]; /* the name of hop_id[i] */
    uint32_t hop_id[LIMIT_HOPS];
    size_t hop_count;
    json_t *shown; /* the lane makes it */
};

/* A recipient that is not done has the state of its delivery. */
static const char *rcpt_state_text(enum delivery_state state, const struct rcpt *r)
{
    switch ((enum rcpt_state)r->state) {
    case RCPT_WAITING:
        return state == DELIVERY_ORPHAN ? "held" : delivery_state_text(state);
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

static const char *hop_name(const struct show_job *j, uint32_t id)
{
    for (size_t i = 0; i < j->hop_count; i++) {
        if (j->hop_id[i] == id) {
            return j->hop_name[i];
        }
    }
    return "";
}

static void add_recipients(const struct show_job *j, struct work_tools *tools,
                           const struct envelope *e, json_t *list)
{
    char reply[LIMIT_REPLY_TEXT_BYTES + 1];
    unsigned at = 0;
    for (unsigned n = 0; n < j->row.rcpt_count; n++) {
        const struct rcpt *r = &j->rcpt[n];
        json_t *o = json_object();
        while (e != NULL && at < e->rcpt_count && e->rcpt[at].route_index != id_index(j->row.id)) {
            at++;
        }
        bool known = e != NULL && at < e->rcpt_count;
        admin_set_text(o, "rcpt", known ? e->rcpt[at].address : bytes_str(""));
        at++;
        admin_set_text(o, "state", bytes_str(rcpt_state_text(j->row.state, r)));
        admin_set_text(o, "class", bytes_str(outcome_text((enum outcome)r->outcome)));
        admin_set_number(o, "code", r->code);
        (void)look_reply(tools, r->state_pos, reply, sizeof reply);
        admin_set_text(o, "reply", bytes_str(reply));
        json_array_append_new(list, o);
    }
}

/* --- history --------------------------------------------------------------------------------- */

struct history {
    const struct show_job *job;
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
    if (e->id != h->job->row.id || e->kind < ABI_STATE_OUTCOME || e->kind > ABI_STATE_FAULT ||
        !outcome_valid(e->outcome)) {
        return 0;
    }
    size_t len = e->text_len < sizeof e->text ? e->text_len : sizeof e->text;
    json_t *o = json_object();
    admin_set_number(o, "time_ms", e->time_ms);
    admin_set_text(o, "kind", bytes_str(kinds[e->kind]));
    admin_set_text(o, "class", bytes_str(outcome_text((enum outcome)e->outcome)));
    admin_set_text(o, "phase", bytes_str(phase_text(e->phase)));
    admin_set_number(o, "code", e->code);
    admin_set_text(o, "reply", bytes_of(e->text, len));
    admin_set_text(o, "hop", bytes_str(hop_name(h->job, e->hop_id)));
    admin_set_number(o, "rcpts", rcptset_count(&e->rcpts));
    json_array_append_new(h->events, o);
    if (json_array_size(h->events) > EVENTS_MAX) {
        json_array_remove(h->events, 0);
        h->cut = true;
    }
    return 0;
}

/* Reads the newest segment of the state log, then twice as much, and so on, until the part that is
 * read begins before the mail came, or is enough. `truncated`: older events may be missing. */
static void add_history(const struct show_job *j, struct work_tools *tools, json_t *o)
{
    struct history h = {.job = j, .events = json_array()};
    uint64_t back = 0;
    bool whole = false;
    struct spool_reader *reader = NULL;
    int r = spool_reader_open(tools->io, &reader);
    while (r == 0 && !whole && h.read < EVENT_RECORDS_MAX) {
        uint64_t seq = spool_pos_seq(j->state_top);
        bool bottom = seq <= back || seq - back <= j->told_seq;
        json_array_clear(h.events);
        h.read = 0;
        h.cut = false;
        r = spool_scan_states(reader, bottom ? 0 : (seq - back) << 32, j->state_top, on_state, &h);
        whole = bottom || (h.read > 0 && h.first_ms + EVENT_CLOCK_MS < j->row.received_ms);
        back = back * 2 + 1;
    }
    if (reader != NULL) {
        spool_reader_close(reader);
    }
    json_object_set_new(o, "events", h.events);
    json_object_set_new(o, "truncated", json_boolean(r < 0 || !whole || h.cut));
}

/* --- the body -------------------------------------------------------------------------------- */

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

static void add_body(const struct show_job *j, struct work_tools *tools, json_t *o)
{
    struct body body = {0};
    struct spool_reader *reader;
    int r = work_reader(tools, &reader);
    r = r == 0 ? spool_read_body(reader, j->row.commit_pos, id_message(j->row.id), on_piece, &body)
               : r;
    if (r < 0) {
        admin_set_text(o, "body_error", bytes_str(trouble_meaning(r)));
        free(body.data);
        return;
    }
    const uint8_t *data = body.data == NULL ? (const uint8_t *)"" : body.data;
    json_t *text =
        memchr(data, 0, body.len) == NULL ? json_stringn((const char *)data, body.len) : NULL;
    if (text != NULL) {
        json_object_set_new(o, "body", text);
    } else { /* not UTF-8, or with NULs */
        char *encoded = base64(data, body.len);
        json_object_set_new(o, "body_base64", json_string(encoded));
        free(encoded);
    }
    json_object_set_new(o, "body_cut", json_boolean(body.cut));
    free(body.data);
}

/* --- the lanes ------------------------------------------------------------------------------- */

static struct show_job *of_work(struct work *work)
{
    return (struct show_job *)((char *)work - offsetof(struct show_job, work));
}

static void show_run(struct work *work, struct work_tools *tools)
{
    struct show_job *j = of_work(work);
    struct envelope e;
    struct bytes encoded;
    json_t *o = admin_ok();
    json_t *shown = row_json(&j->row, tools);
    json_object_update(o, shown);
    json_decref(shown);
    bool readable = look_envelope(tools, j->row.id, j->row.first_pos, &encoded) == 0 &&
                    envelope_decode(encoded, &e);
    char client[IP_TEXT_SIZE] = "";
    if (readable) {
        (void)ip_format(&e.client, client);
    }
    admin_set_text(o, "client", bytes_str(client));
    admin_set_text(o, "helo", readable ? e.helo : bytes_str(""));
    admin_set_number(o, "received_ms", j->row.received_ms);
    json_t *recipients = json_array();
    add_recipients(j, tools, readable ? &e : NULL, recipients);
    json_object_set(o, "rcpts", recipients); /* all of them, unlike in a list */
    json_object_set_new(o, "recipients", recipients);
    add_history(j, tools, o);
    if (j->body) {
        add_body(j, tools, o);
    }
    j->shown = o;
}

static bool show_done(struct work *work, struct control *c)
{
    struct show_job *j = of_work(work);
    (void)c;
    j->job.under_way = false;
    j->job.answer = j->shown;
    j->shown = NULL;
    return true;
}

static void audit_run(struct work *work, struct work_tools *tools)
{
    struct show_job *j = of_work(work);
    char id[ID_TEXT_SIZE];
    char select[64];
    struct text text = text_of(select, sizeof select);
    text_append(&text, "[\"id=");
    text_append(&text, id_format(j->row.id, id));
    text_append(&text, "\"]");
    const struct store_audit entry = {
        .time_ms = j->now_ms,
        .who = j->job.request.who,
        .cmd = "show",
        .select = select,
        .reason = j->job.request.reason[0] != '\0' ? j->job.request.reason : "to read the body",
        .count = 1,
        .result = "body read"};
    if (store_audit_add(tools->store, &entry) < 0) {
        j->shown = admin_error(ADMIN_EXIT_CRITICAL,
                               "policy database: %s; a body is not read without an audit entry",
                               store_error(tools->store));
    }
}

static bool audit_done(struct work *work, struct control *c)
{
    struct show_job *j = of_work(work);
    (void)c;
    j->job.under_way = false;
    j->audited = true;
    j->job.answer = j->shown;
    j->shown = NULL;
    return true;
}

static bool step(struct job *job, struct control *c)
{
    struct show_job *j = (struct show_job *)job;
    bool audit = j->body && !j->audited;
    j->work = audit ? (struct work){.lane = WORK_STORE, .run = audit_run, .done = audit_done}
                    : (struct work){.lane = WORK_LOOK, .run = show_run, .done = show_done};
    job_submit(job, c, &j->work);
    return true;
}

static void fini(struct job *job)
{
    struct show_job *j = (struct show_job *)job;
    row_fini(&j->row);
    mem_free(j->rcpt);
    json_decref(j->shown);
}

static void copy_hops(struct show_job *j, const struct control *c)
{
    for (size_t i = 1; i <= c->core.routes.hop_count && j->hop_count < LIMIT_HOPS; i++) {
        const struct hop *hop = routes_hop_at(&c->core.routes, i);
        j->hop_id[j->hop_count] = hop->id;
        (void)bytes_copy_str(bytes_str(hop->name), j->hop_name[j->hop_count++],
                             LIMIT_NAME_BYTES + 1);
    }
}

json_t *admin_show(struct control *c, struct admin_request *request)
{
    uint64_t id = 0;
    const char *text = json_string_value(json_object_get(request->json, "id"));
    if (text == NULL || !id_parse(text, &id)) {
        return admin_error(ADMIN_EXIT_USAGE, "show: which id?");
    }
    const struct delivery *d = index_find(&c->core.index, id);
    for (unsigned i = 0; d == NULL && id_index(id) == 0 && i < LIMIT_ROUTES_PER_MESSAGE; i++) {
        d = index_find(&c->core.index, id | i); /* a message's id: its first delivery still here */
    }
    if (d == NULL) {
        return admin_error(ADMIN_EXIT_FAILED, "no such delivery is here: %.20s", text);
    }
    bool body = json_is_true(json_object_get(request->json, "body"));
    struct show_job *j = job_create(c, sizeof *j, request, step);
    j->job.looks = true;
    j->job.fini = fini;
    j->body = body;
    row_init(&j->row, c, d);
    j->rcpt = mem_zalloc(j->row.rcpt_count * sizeof *j->rcpt);
    for (unsigned i = 0; i < j->row.rcpt_count; i++) {
        j->rcpt[i] = delivery_rcpt(d, i);
    }
    j->now_ms = c->core.now.wall_ms;
    j->state_top = seen_top(&c->core.journal.states);
    j->told_seq = c->core.journal.told_seq;
    copy_hops(j, c);
    return NULL;
}
