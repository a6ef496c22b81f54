/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/judge.c: looks at a world from outside, as its operator would: what control lists, what
 * the spool's files hold, what the ledger still misses. See world.h.
 *
 * Trap: whether mail is present is asked only of a control that has heard everything: it is
 *       attached, and its ring is empty.
 */
#include "tests/sim/world.h"

#include "common/id.h"
#include "common/outcome.h"
#include "spool/spool.h"
#include "tests/sim/trace.h"

#include <inttypes.h>
#include "tests/sim/relay_parts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_LIMIT = 10000 };

static json_t *ask(struct world *w, const char *request_text)
{
    json_t *request = json_loads(request_text, 0, NULL);
    assert(request != NULL);
    static const struct control_peer peer = {.who = "sim", .may_act = true};
    struct relay *r = w->relay;
    json_t *answer = control_admin(r->control.control, request, &peer, relay_time(r));
    answer = relay_await(r, answer, false);
    json_decref(request);
    assert(answer != NULL);
    if (!json_is_true(json_object_get(answer, "ok"))) {
        trace_break(BREACH_OTHER, "control refused %s: %s", request_text,
                    json_string_value(json_object_get(answer, "error")));
    }
    return answer;
}

static uint64_t number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

bool judge_knows_all(struct world *w)
{
    const struct relay *r = w->relay;
    if (!relay_is_up(r) || !control_is_attached(r->control.control) || r->hand_over_ns != 0 ||
        r->control.dataplane_gone || r->deaf_until_ns != 0 || trace.now_ns < r->heard_ns ||
        !control_ring_is_empty(r->control.control)) {
        return false;
    }
    json_t *status = ask(w, "{\"v\":1,\"cmd\":\"status\"}");
    bool running = json_is_true(json_object_get(json_object_get(status, "dataplane"), "attached"));
    json_decref(status);
    return running;
}

/* Marks the recipients of one listed delivery. */
static void mark(struct world *w, uint8_t *present, const json_t *delivery)
{
    size_t index;
    const json_t *rcpt;
    json_array_foreach(json_object_get(delivery, "rcpts"), index, rcpt)
    {
        uint32_t n;
        struct mail *mail;
        const char *address = json_string_value(rcpt);
        if (!mail_find_address(w->ledger, address, &mail, &n)) {
            trace_break(BREACH_FABRICATED, "control lists a delivery to %s",
                        address == NULL ? "?" : address);
            continue;
        }
        present[mail->id - 1] |= (uint8_t)(1u << n);
    }
}

void judge_presence(struct world *w)
{
    static uint8_t present[MAIL_COUNT_MAX];
    if (mail_missing(w->ledger) == 0 || !judge_knows_all(w)) {
        return;
    }
    memset(present, 0, sizeof present);
    char request[80];
    snprintf(request, sizeof request, "{\"v\":1,\"cmd\":\"list\",\"limit\":%d}", LIST_LIMIT);
    json_t *answer = ask(w, request);
    size_t index;
    const json_t *delivery;
    json_array_foreach(json_object_get(answer, "deliveries"), index, delivery)
    {
        mark(w, present, delivery);
    }
    json_decref(answer);
    for (uint32_t m = 0; m < w->ledger->mail_count; m++) {
        const struct mail *mail = &w->ledger->mail[m];
        for (uint32_t i = 0; i < mail->rcpt_count; i++) {
            if (mail_is_missing(mail, i) && (present[m] >> i & 1) == 0) {
                trace_break(BREACH_LOST,
                            "mail %" PRIu32 " for %s: 250 at %.6f s, neither delivered nor present",
                            mail->id, mail->rcpt[i].address, (double)mail->accepted_ns / 1e9);
                return; /* one is enough; the end counts all of them */
            }
        }
    }
}

/* Prints more for a run that ended badly. */
static void say_all(struct world *w)
{
    static const char *const requests[] = {"{\"v\":1,\"cmd\":\"status\"}",
                                           "{\"v\":1,\"cmd\":\"list\",\"limit\":3}"};
    for (size_t i = 0; trace.verbose && i < sizeof requests / sizeof requests[0]; i++) {
        json_t *answer = ask(w, requests[i]);
        char *text = json_dumps(answer, JSON_INDENT(1));
        trace_say("%s", text);
        free(text);
        json_decref(answer);
    }
}

/* Counts the rotten mail that control calls damaged, and the damage that it found in the log. */
static uint64_t count_damaged(struct world *w)
{
    json_t *answer = ask(w, "{\"v\":1,\"cmd\":\"count\",\"select\":[\"class=damaged\"]}");
    uint64_t count = number(answer, "deliveries");
    json_decref(answer);
    return w->ledger->rotten_count > 0 ? count : 0;
}

static uint64_t deliveries_left(struct world *w)
{
    json_t *answer = ask(w, "{\"v\":1,\"cmd\":\"count\"}");
    uint64_t count = number(answer, "deliveries");
    json_decref(answer);
    return count - count_damaged(w);
}

bool judge_is_over(struct world *w)
{
    for (uint32_t i = 0; i < w->client_count; i++) {
        if (!outside_is_done(w->client[i])) {
            return false;
        }
    }
    return mail_missing(w->ledger) == 0 && judge_knows_all(w) && deliveries_left(w) == 0;
}

void judge_release(struct world *w)
{
    if (!relay_is_up(w->relay)) {
        return;
    }
    mail_pardon_loops(w->ledger);
    json_t *answer =
        ask(w, "{\"v\":1,\"cmd\":\"release\",\"select\":[\"all\"],\"reason\":\"all is well\"}");
    if (number(answer, "released") > 0) {
        trace_say("operator: released %" PRIu64, number(answer, "released"));
    }
    json_decref(answer);
}

/* --- the end ------------------------------------------------------------------------------- */

/* Prints what the logs still hold. */
static void say_item(const struct spool_scan_item *item)
{
    const struct spool_state_entry *s = item->state;
    char id[ID_TEXT_SIZE];
    if (item->verdict != SPOOL_SCAN_RECORD) {
        trace_say("log: %" PRIx64 ": %s: %s", item->pos,
                  item->verdict == SPOOL_SCAN_TAIL ? "tail" : "damage", item->why);
    } else if (s != NULL) {
        trace_say("log: %" PRIx64 ": at %.3f s %s: kind %u %s, rcpts %" PRIx64 ", hop %" PRIu32
                  ", %u %.*s",
                  item->pos, ((double)s->time_ms - 1.7e12) / 1e3, id_format(s->id, id), s->kind,
                  outcome_text((enum outcome)s->outcome), s->rcpts.word[0], s->hop_id, s->code,
                  (int)s->text_len, s->text);
    } else if (item->record != NULL && item->record->is_first) {
        struct bytes body = item->record->body;
        const uint8_t *name = memmem(body.data, body.len, "X-Sim: ", 7);
        trace_say("log: %" PRIx64 ": message %s is mail %d", item->pos,
                  id_format(item->record->id, id),
                  name == NULL ? 0 : (int)strtol((const char *)name + 7, NULL, 10));
    }
}

static int count_damage(void *ctx, const struct spool_scan_item *item)
{
    if (trace.verbose) {
        say_item(item);
    }
    struct world *w = ctx;
    for (uint32_t m = 0; item->verdict == SPOOL_SCAN_DAMAGE && m < w->ledger->mail_count; m++) {
        struct mail *mail = &w->ledger->mail[m];
        mail->rot_found |= mail->rotten && mail->rotten_pos == item->pos;
    }
    if (item->verdict == SPOOL_SCAN_DAMAGE && w->ledger->rotten_count == 0) {
        trace_break(BREACH_OTHER, "the spool is damaged at %" PRIx64 ": %s", item->pos,
                    item->why == NULL ? "?" : item->why);
    }
    return 0;
}

/* Reads both logs from files alone, as `holdfast spool verify` does. */
static void scan(struct world *w)
{
    struct spool_io *io = simdisk_process_begin(w->disk, "judge");
    struct spool_reader *reader;
    int error = spool_reader_open(io, &reader);
    if (error < 0) {
        trace_break(BREACH_OTHER, "the spool cannot be read: %s", strerror(-error));
        return;
    }
    error = spool_scan_messages(reader, 0, UINT64_MAX, count_damage, w);
    error = error != 0 ? error : spool_scan_states(reader, 0, UINT64_MAX, count_damage, w);
    if (error != 0) {
        trace_break(BREACH_OTHER, "scanning the spool: %s", strerror(-error));
    }
    spool_reader_close(reader);
}

static void judge_space(struct world *w)
{
    uint32_t in_use =
        w->campus.spool.segments_max - spool_writer_free_segments(w->relay->dataplane.spool);
    /* One that is written to, two that are ready, one whose last mail control has just given up. */
    if (in_use > 4 && !w->disk_errors &&
        w->ledger->rotten_count == 0) { /* a full disk counts as in use until it is tried again */
        trace_break(BREACH_OTHER, "%" PRIu32 " of %" PRIu32 " segments are in use for no mail",
                    in_use, w->campus.spool.segments_max);
    }
}

/* Counts the message's deliveries that did not arrive and that control does not list. */
static uint32_t unseen_routes(const struct mail *mail, uint8_t seen)
{
    uint32_t routes = 0;
    for (uint32_t i = 0; i < mail->rcpt_count; i++) {
        bool missing = mail->rcpt[i].state == MAIL_RCPT_ACCEPTED && mail->rcpt[i].copies == 0;
        if (missing && (seen >> i & 1) == 0) {
            routes |= 1u << mail->rcpt[i].route;
        }
    }
    return (uint32_t)__builtin_popcount(routes);
}

/* Rotten mail that was not sent from memory must be there for a person to see, frozen as damaged.
 * Or else control could not read it in the log: then the record is kept, and a scan finds it. */
static void judge_rotten(struct world *w)
{
    static uint8_t seen[MAIL_COUNT_MAX];
    size_t nameless = 0; /* the envelope of these is in the rotten record */
    json_t *answer = ask(w, "{\"v\":1,\"cmd\":\"list\",\"limit\":10000,"
                            "\"select\":[\"class=damaged\",\"state=frozen\"]}");
    size_t index;
    const json_t *delivery;
    json_array_foreach(json_object_get(answer, "deliveries"), index, delivery)
    {
        mark(w, seen, delivery);
        nameless += json_array_size(json_object_get(delivery, "rcpts")) == 0;
    }
    json_decref(answer);
    for (uint32_t m = 0; m < w->ledger->mail_count; m++) {
        const struct mail *mail = &w->ledger->mail[m];
        uint32_t unseen = mail->rotten ? unseen_routes(mail, seen[m]) : 0;
        if (unseen > nameless && !mail->rot_found) {
            trace_break(BREACH_LOST, "rotten mail %" PRIu32 ": gone without a trace", mail->id);
        }
        nameless -= unseen < nameless ? unseen : nameless;
    }
}

void judge_final(struct world *w)
{
    mail_report_missing(w->ledger);
    for (uint32_t i = 0; i < w->client_count; i++) {
        if (!outside_is_done(w->client[i])) {
            trace_break(BREACH_OTHER, "client %" PRIu32 " could not finish: %" PRIu32 " left", i,
                        outside_left(w->client[i]));
        }
    }
    if (!judge_knows_all(w)) {
        trace_break(BREACH_OTHER, "the relay is not well again");
        return;
    }
    uint64_t left = deliveries_left(w);
    if (left > 0) {
        trace_break(BREACH_OTHER, "%" PRIu64 " deliveries are left", left);
        say_all(w);
    } else {
        judge_space(w);
    }
    scan(w);
    judge_rotten(w);
}
