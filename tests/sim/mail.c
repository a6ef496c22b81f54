/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/mail.c: messages made up, and copies checked against them. See mail.h.
 *
 * A message begins with the line "X-Sim: <id>": by it a copy is recognised, also one with a null
 * sender.
 */
#include "tests/sim/mail.h"

#include "common/assert.h"
#include "common/limits/smtp.h"
#include "tests/sim/hold.h"
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_MAX = 200000,
    BODY_ROOM = BODY_MAX + 4096,
    LINE_MAX_BYTES = 998, /* RFC 5321 section 4.5.3.1.6, CRLF excluded */
};

/* How long after its 2xx a crash may still lose a delivery's outcome: as long as the state record
 * can take to the disk in the worst case. */
static const uint64_t outcome_ns_max = UINT64_C(15000000000);

struct mail_ledger *mail_ledger_create(uint64_t seed)
{
    struct mail_ledger *ledger = calloc(1, sizeof *ledger);
    assert(ledger != NULL);
    rng_init(&ledger->rng, seed, RNG_MAIL);
    ledger->mail = calloc(MAIL_COUNT_MAX, sizeof *ledger->mail);
    ledger->copy = calloc(MAIL_COPIES_MAX, sizeof *ledger->copy);
    ledger->holds = hold_book_create();
    assert(ledger->mail != NULL && ledger->copy != NULL);
    return ledger;
}

/* --- making -------------------------------------------------------------------------------- */

static size_t random_line(struct rng *rng, const struct mail *mail, char *out)
{
    size_t len = rng_percent(rng, 3) ? rng_below(rng, LINE_MAX_BYTES) : rng_below(rng, 79);
    for (size_t i = 0; i < len; i++) {
        uint64_t c = rng_below(rng, mail->eight_bit ? 200 : 95);
        out[i] = (char)(c < 95 ? ' ' + c : 0x80 + (c - 95));
    }
    if (rng_percent(rng, 10)) {
        size_t dots = rng_range(rng, 1, 3);
        dots = dots < len ? dots : len;
        memset(out, '.', dots);
        if (rng_percent(rng, 50)) {
            len = dots; /* a line of nothing but dots */
        }
    }
    return len;
}

static void put(struct mail *mail, const void *data, size_t len)
{
    assert(mail->body_len + len <= BODY_ROOM);
    memcpy(mail->body + mail->body_len, data, len);
    mail->body_len += len;
}

static size_t random_size(struct mail_ledger *ledger)
{
    struct rng *rng = &ledger->rng;
    if (rng_percent(rng, ledger->huge_percent)) {
        return rng_range(rng, 70000, BODY_MAX);
    }
    if (rng_percent(rng, ledger->large_percent)) {
        return rng_range(rng, 3000, rng_percent(rng, 30) ? BODY_MAX : 30000);
    }
    return rng_range(rng, 0, 2000);
}

/* Too many Received fields, or nearly too many. */
static void put_received(struct rng *rng, struct mail *mail)
{
    static const char field[] = "Received: from a (b) by c; now\r\n";
    uint64_t count = mail->loops
                         ? rng_range(rng, LIMIT_RECEIVED_LINES + 1, LIMIT_RECEIVED_LINES + 9)
                         : rng_range(rng, LIMIT_RECEIVED_LINES - 1, LIMIT_RECEIVED_LINES);
    for (uint64_t i = 0; i < count; i++) {
        put(mail, field, sizeof field - 1);
    }
    put(mail, "\r\n", 2);
}

static void make_body(struct mail_ledger *ledger, struct mail *mail)
{
    static uint8_t room[BODY_ROOM];
    static const char smuggled[] = "\n.\nMAIL FROM:<evil@outside.example>\r\n\n.\r\n\r.\r\n"
                                   "RCPT TO:<evil@d0.test>\r\nDATA\r\n";
    struct rng *rng = &ledger->rng;
    char line[LINE_MAX_BYTES + 2];
    size_t size = random_size(ledger);
    mail->body = room;
    int len = snprintf(line, sizeof line, "X-Sim: %" PRIu32 "\r\n", mail->id);
    put(mail, line, (size_t)len);
    if (ledger->loop_percent > 0 && (mail->loops || rng_percent(rng, ledger->loop_percent))) {
        put_received(rng, mail);
    } else if (rng_percent(rng, 50)) {
        put(mail, "Subject: a test\r\nReceived: from a (b) by c; now\r\n\r\n", 51);
    }
    while (mail->body_len < size) {
        size_t n = random_line(rng, mail, line);
        memcpy(line + n, "\r\n", 2);
        put(mail, line, n + 2);
    }
    if (mail->smuggles) {
        put(mail, smuggled, sizeof smuggled - 1);
    }
    if (mail->unfinished) {
        put(mail, "no line end", 11);
    }
    mail->body = malloc(mail->body_len);
    assert(mail->body != NULL);
    memcpy(mail->body, room, mail->body_len);
}

static void make_rcpts(struct mail_ledger *ledger, struct mail *mail)
{
    struct rng *rng = &ledger->rng;
    mail->rcpt_count = rng_percent(rng, 60) ? 1 : (uint32_t)rng_range(rng, 2, 5);
    for (uint32_t i = 0; i < mail->rcpt_count; i++) {
        struct mail_rcpt *rcpt = &mail->rcpt[i];
        bool nowhere = mail->rcpt_count > 1 && rng_percent(rng, 5);
        rcpt->route = nowhere ? MAIL_ROUTE_NOWHERE : (uint8_t)rng_below(rng, ledger->route_count);
        snprintf(rcpt->address, sizeof rcpt->address, "r%" PRIu32 ".m%" PRIu32 "@%s%u.test", i,
                 mail->id, nowhere ? "else" : "d", nowhere ? 0u : rcpt->route);
    }
}

struct mail *mail_make(struct mail_ledger *ledger, bool bdat)
{
    struct rng *rng = &ledger->rng;
    assert(ledger->mail_count < MAIL_COUNT_MAX);
    struct mail *mail = &ledger->mail[ledger->mail_count++];
    mail->id = ledger->mail_count;
    mail->eight_bit = rng_percent(rng, 20);
    mail->smuggles = rng_percent(rng, 2);
    mail->unfinished = bdat && rng_percent(rng, 10);
    mail->loops = ledger->loop_percent > 0 && rng_percent(rng, ledger->loop_percent);
    if (!rng_percent(rng, 5)) {
        snprintf(mail->sender, sizeof mail->sender, "s%" PRIu32 "@outside.example", mail->id);
    }
    make_rcpts(ledger, mail);
    make_body(ledger, mail);
    return mail;
}

void mail_set_state(struct mail_ledger *ledger, struct mail *mail, enum mail_state state)
{
    assert(state != MAIL_DRAFT && mail->state != MAIL_ACCEPTED && mail->state != MAIL_REFUSED);
    mail->state = state;
    trace_event(0x10, mail->id, state);
    switch (state) {
    case MAIL_ACCEPTED:
        mail->accepted_ns = trace.now_ns;
        ledger->accepted_count++;
        trace_say("mail %" PRIu32 ": 250 to the client", mail->id);
        break;
    case MAIL_REFUSED:
        trace_say("mail %" PRIu32 ": refused at the end of data", mail->id);
        break;
    case MAIL_SENT:
        mail->sent_ns = trace.now_ns;
        break;
    case MAIL_DRAFT:
        break;
    }
    if (state == MAIL_ACCEPTED && mail->smuggles) {
        trace_break(BREACH_OTHER, "mail %" PRIu32 " with bare line feeds was accepted", mail->id);
    }
    for (uint32_t i = 0; state == MAIL_REFUSED && i < mail->rcpt_count; i++) {
        if (mail->rcpt[i].copies > 0) {
            trace_break(BREACH_FABRICATED, "mail %" PRIu32 " was refused after it was delivered",
                        mail->id);
        }
    }
}

void mail_note_crash(struct mail_ledger *ledger)
{
    assert(ledger->crash_count < MAIL_CRASHES_MAX);
    ledger->crash_ns[ledger->crash_count++] = trace.now_ns;
}

/* --- checking ------------------------------------------------------------------------------ */

/* Cuts off our own Received field, folded lines included. */
static bool strip_received(struct bytes *body)
{
    static const char name[] = "Received: ";
    if (body->len < sizeof name || memcmp(body->data, name, sizeof name - 1) != 0) {
        return false;
    }
    do {
        size_t end = bytes_index(*body, '\n');
        if (end == body->len || end == 0 || body->data[end - 1] != '\r') {
            return false;
        }
        *body = bytes_from(*body, end + 1);
    } while (body->len > 0 && (body->data[0] == ' ' || body->data[0] == '\t'));
    return true;
}

static struct mail *recognise(struct mail_ledger *ledger, struct bytes body)
{
    static const char name[] = "X-Sim: ";
    char text[16];
    if (body.len < sizeof name - 1 || memcmp(body.data, name, sizeof name - 1) != 0) {
        return NULL;
    }
    bytes_copy_str(bytes_from(body, sizeof name - 1), text, sizeof text);
    unsigned long id = strtoul(text, NULL, 10);
    return id >= 1 && id <= ledger->mail_count ? &ledger->mail[id - 1] : NULL;
}

static bool same_body(const struct mail *mail, struct bytes body)
{
    if (mail->unfinished && body.len == mail->body_len + 2 &&
        memcmp(body.data + mail->body_len, "\r\n", 2) == 0) {
        body.len -= 2; /* DATA cannot send it otherwise */
    }
    return bytes_equal(bytes_of(mail->body, mail->body_len), body);
}

static struct mail_rcpt *find_rcpt(struct mail *mail, struct bytes address)
{
    for (uint32_t i = 0; i < mail->rcpt_count; i++) {
        if (bytes_equal(bytes_str(mail->rcpt[i].address), address)) {
            return &mail->rcpt[i];
        }
    }
    return NULL;
}

static bool check_rcpts(struct mail_ledger *ledger, struct mail *mail, uint32_t hop,
                        const struct mail_transaction *t)
{
    for (uint32_t i = 0; i < t->rcpt_count; i++) {
        const struct mail_rcpt *rcpt = find_rcpt(mail, t->rcpt[i]);
        if (rcpt == NULL || rcpt->route == MAIL_ROUTE_NOWHERE || rcpt->state == MAIL_RCPT_REFUSED) {
            trace_break(BREACH_FABRICATED, "mail %" PRIu32 " to %.*s, not a recipient of it",
                        mail->id, (int)t->rcpt[i].len, (const char *)t->rcpt[i].data);
            return false;
        }
        if ((ledger->route_hops[rcpt->route] >> hop & 1) == 0) {
            trace_break(BREACH_FABRICATED, "mail %" PRIu32 " for %s came to hop %" PRIu32, mail->id,
                        rcpt->address, hop);
            return false;
        }
    }
    return true;
}

uint32_t mail_check(struct mail_ledger *ledger, uint32_t hop, const struct mail_transaction *t)
{
    struct bytes body = t->body;
    if (!strip_received(&body)) {
        trace_break(BREACH_FABRICATED, "hop %" PRIu32 " got a message without our Received field",
                    hop);
        return 0;
    }
    struct mail *mail = recognise(ledger, body);
    if (mail == NULL) {
        trace_break(t->sender.len == 0 ? BREACH_BOUNCED : BREACH_FABRICATED,
                    "hop %" PRIu32 " got a message that no client sent, from <%.*s>", hop,
                    (int)t->sender.len, (const char *)t->sender.data);
        return 0;
    }
    if (!bytes_equal(bytes_str(mail->sender), t->sender)) {
        trace_break(t->sender.len == 0 ? BREACH_BOUNCED : BREACH_FABRICATED,
                    "mail %" PRIu32 " of <%s> came from <%.*s>", mail->id, mail->sender,
                    (int)t->sender.len, (const char *)t->sender.data);
        return 0;
    }
    if (mail->state == MAIL_DRAFT || mail->state == MAIL_REFUSED) {
        trace_break(BREACH_FABRICATED, "mail %" PRIu32 " delivered, but it was %s", mail->id,
                    mail->state == MAIL_DRAFT ? "never finished" : "refused");
        return 0;
    }
    if (!same_body(mail, body)) {
        trace_break(BREACH_FABRICATED, "mail %" PRIu32 ": body altered (%zu bytes, sent %zu)",
                    mail->id, body.len, mail->body_len);
        return 0;
    }
    return check_rcpts(ledger, mail, hop, t) ? mail->id : 0;
}

/* True when a further copy may follow this one. */
static bool may_repeat(const struct mail_ledger *ledger, const struct mail_copy *copy)
{
    uint64_t known_ns = copy->acked_ns != 0 ? copy->acked_ns : trace.now_ns;
    if (copy->lost || known_ns - copy->taken_ns >= ledger->dot_timeout_ns / 2) {
        return true; /* the answer was lost, or came too late */
    }
    uint64_t until_ns =
        known_ns + outcome_ns_max + (copy->one_of_many ? ledger->dot_timeout_ns : 0);
    for (uint32_t i = 0; i < ledger->crash_count; i++) {
        if (ledger->crash_ns[i] >= copy->begun_ns && ledger->crash_ns[i] <= until_ns) {
            return true;
        }
    }
    return false;
}

/* A looping message is sent only when somebody released it, or when a crash came between its commit
 * and the record that freezes it. */
static void check_loop(const struct mail_ledger *ledger, const struct mail *mail)
{
    bool excused = !mail->loops || mail->pardoned || mail->state != MAIL_ACCEPTED;
    for (uint32_t i = 0; i < ledger->crash_count && !excused; i++) {
        excused = ledger->crash_ns[i] + outcome_ns_max >= mail->accepted_ns &&
                  ledger->crash_ns[i] <= mail->accepted_ns + outcome_ns_max;
    }
    if (!excused) {
        trace_break(BREACH_HELD, "mail %" PRIu32 " loops, and was delivered without a release",
                    mail->id);
    }
}

uint32_t mail_take(struct mail_ledger *ledger, uint32_t id, struct bytes address, uint64_t begun_ns,
                   uint64_t heard_ns)
{
    assert(id >= 1 && id <= ledger->mail_count);
    struct mail *mail = &ledger->mail[id - 1];
    struct mail_rcpt *rcpt = find_rcpt(mail, address);
    assert(rcpt != NULL && ledger->copy_count < MAIL_COPIES_MAX);
    if (rcpt->copies > 0) {
        const struct mail_copy *last = &ledger->copy[rcpt->last_copy];
        ledger->duplicate_count++;
        trace_say("mail %" PRIu32 ": duplicate for %s", id, rcpt->address);
        if (!may_repeat(ledger, last)) {
            trace_break(BREACH_DUPLICATE,
                        "mail %" PRIu32 " for %s again: taken at %.6f s, known at %.6f s", id,
                        rcpt->address, (double)last->taken_ns / 1e9, (double)last->acked_ns / 1e9);
        }
    }
    check_loop(ledger, mail);
    hold_check(ledger->holds, mail, (uint32_t)(rcpt - mail->rcpt), heard_ns);
    uint32_t index = ledger->copy_count++;
    ledger->copy[index] = (struct mail_copy){.mail = id,
                                             .rcpt = (uint8_t)(rcpt - mail->rcpt),
                                             .begun_ns = begun_ns,
                                             .taken_ns = trace.now_ns};
    rcpt->copies++;
    rcpt->last_copy = index;
    trace_event(0x11, id, (uint64_t)(rcpt - mail->rcpt));
    trace_say("mail %" PRIu32 ": taken for %s", id, rcpt->address);
    return index;
}

void mail_copy_acked(struct mail_ledger *ledger, uint32_t copy)
{
    assert(copy < ledger->copy_count);
    if (ledger->copy[copy].acked_ns == 0 && !ledger->copy[copy].lost) {
        ledger->copy[copy].acked_ns = trace.now_ns;
    }
}

void mail_copy_one_of_many(struct mail_ledger *ledger, uint32_t copy)
{
    assert(copy < ledger->copy_count);
    ledger->copy[copy].one_of_many = true;
}

void mail_copy_lost(struct mail_ledger *ledger, uint32_t copy)
{
    assert(copy < ledger->copy_count);
    if (ledger->copy[copy].acked_ns == 0) {
        ledger->copy[copy].lost = true;
    }
}

bool mail_is_missing(const struct mail *mail, uint32_t i)
{
    return mail->state == MAIL_ACCEPTED && mail->rcpt[i].state == MAIL_RCPT_ACCEPTED &&
           mail->rcpt[i].copies == 0 && !mail->rotten;
}

uint32_t mail_missing(const struct mail_ledger *ledger)
{
    uint32_t missing = 0;
    for (uint32_t m = 0; m < ledger->mail_count; m++) {
        for (uint32_t i = 0; i < ledger->mail[m].rcpt_count; i++) {
            missing += mail_is_missing(&ledger->mail[m], i);
        }
    }
    return missing;
}

void mail_report_missing(const struct mail_ledger *ledger)
{
    for (uint32_t m = 0; m < ledger->mail_count; m++) {
        const struct mail *mail = &ledger->mail[m];
        for (uint32_t i = 0; i < mail->rcpt_count; i++) {
            if (mail_is_missing(mail, i)) {
                trace_break(BREACH_LOST, "mail %" PRIu32 " for %s: 250 at %.6f s, never delivered",
                            mail->id, mail->rcpt[i].address, (double)mail->accepted_ns / 1e9);
            }
        }
    }
}

bool mail_find_address(struct mail_ledger *ledger, const char *address, struct mail **mail_out,
                       uint32_t *rcpt_out)
{
    unsigned n;
    unsigned id;
    if (address == NULL || sscanf(address, "r%u.m%u@", &n, &id) != 2 || id == 0 ||
        id > ledger->mail_count || n >= MAIL_RCPTS_MAX) {
        return false;
    }
    *mail_out = &ledger->mail[id - 1];
    *rcpt_out = n;
    return true;
}

void mail_pardon_loops(struct mail_ledger *ledger)
{
    for (uint32_t m = 0; m < ledger->mail_count; m++) {
        struct mail *mail = &ledger->mail[m];
        mail->pardoned |= mail->loops && mail->state != MAIL_DRAFT;
    }
}
