/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/hop_smtp.c: what a next hop understands and answers (RFC 5321, LMTP: RFC 2033).
 *
 * Trap: for the ledger a message is taken when the hop decides for 2xx. Whether duplicates are
 *       legal depends on what happens to the answer then: it is sent, arrives or is lost.
 */
#include "tests/sim/hop_conn.h"

#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 2, 3))) static void answer(struct hop_conn *c, const char *format,
                                                         ...)
{
    size_t room = sizeof c->out - c->out_len;
    va_list args;
    va_start(args, format);
    int len = vsnprintf((char *)c->out + c->out_len, room, format, args);
    va_end(args);
    assert(len >= 0);
    if ((size_t)len + 2 < room) { /* a relay that pipelines without end gets no more answers */
        memcpy(c->out + c->out_len + len, "\r\n", 2);
        c->out_len += (size_t)len + 2;
    }
}

static enum hop_trouble trouble_at(struct hop_conn *c, enum hop_stage stage)
{
    struct hop *hop = c->hop;
    const struct hop_mood *mood = &hop->mood;
    if (hop->healed || mood->percent == 0 ||
        (mood->stage != stage && mood->stage != HOP_STAGE_COUNT) ||
        !rng_percent(&hop->rng, mood->percent)) {
        return HOP_TROUBLE_NONE;
    }
    enum hop_trouble trouble =
        mood->trouble != HOP_TROUBLE_COUNT
            ? mood->trouble
            : (enum hop_trouble)rng_range(&hop->rng, 1, HOP_TROUBLE_COUNT - 1);
    /* After 354 nobody can tell an extra reply from the right one. */
    bool is_end = stage == HOP_STAGE_BODY || stage == HOP_STAGE_DOT;
    return trouble == HOP_TROUBLE_EXTRA && is_end ? HOP_TROUBLE_NONE : trouble;
}

static void garbage(struct hop_conn *c)
{
    static const char *const line[] = {"",      "hello",   "2500 what", "99 low", "\x1b[31m250 red",
                                       "250\t", "-250 ok", "25"};
    c->garbled = true;
    answer(c, "%s", line[rng_below(&c->hop->rng, sizeof line / sizeof line[0])]);
}

static void bad_code(struct hop_conn *c, bool permanent)
{
    static const char *const temporary[] = {"450 4.2.0 try later", "451 4.3.0 trouble", "452",
                                            "451-several\r\n451 lines", "421 4.3.2 going down"};
    static const char *const for_ever[] = {"550 5.1.1 unknown", "554 5.7.1 policy",
                                           "552 5.3.4 big",     "550",
                                           "571-a\r\n571 b",    "554 \x07\xff\x80 strange"};
    struct rng *rng = &c->hop->rng;
    const char *text = permanent ? for_ever[rng_below(rng, 6)] : temporary[rng_below(rng, 5)];
    answer(c, "%s", text);
    if (strncmp(text, "421", 3) == 0) { /* RFC 5321 section 3.8: the hop closes */
        c->quit = true;
        c->state = HOP_STATE_DEAF;
    }
}

/* Does what the trouble says. true: the right answer has still to be given. */
static bool suffer(struct hop_conn *c, enum hop_trouble trouble)
{
    if (trouble != HOP_TROUBLE_NONE) {
        trace_say("hop %" PRIu32 ": %s", c->hop->index, hop_trouble_name(trouble));
    }
    switch (trouble) {
    case HOP_TROUBLE_NONE:
        return true;
    case HOP_TROUBLE_4XX:
    case HOP_TROUBLE_5XX:
        bad_code(c, trouble == HOP_TROUBLE_5XX);
        return false;
    case HOP_TROUBLE_CLOSE:
    case HOP_TROUBLE_RESET:
        hop_conn_flush(c); /* answers to earlier commands */
        hop_conn_close(c, trouble == HOP_TROUBLE_RESET);
        return false;
    case HOP_TROUBLE_HANG:
        c->state = HOP_STATE_DEAF;
        return false;
    case HOP_TROUBLE_ENDLESS:
        c->state = HOP_STATE_DEAF;
        c->babbles = true;
        return false;
    case HOP_TROUBLE_GARBAGE:
        garbage(c);
        return false;
    case HOP_TROUBLE_EXTRA:
        c->garbled = true;
        answer(c, "250 2.0.0 by the way");
        return true;
    case HOP_TROUBLE_SLOW:
    case HOP_TROUBLE_COUNT:
        c->answer_ns =
            trace.now_ns + rng_spread(&c->hop->rng, UINT64_C(1000000), UINT64_C(4000000000));
        return true;
    }
    return true;
}

void hop_conn_greet(struct hop_conn *c)
{
    if (suffer(c, trouble_at(c, HOP_STAGE_BANNER))) {
        if (rng_percent(&c->hop->rng, 20)) {
            answer(c, "220-this is a\r\n220-long\r\n220 banner");
        } else {
            answer(c, "220 hop%" PRIu32 ".test ready", c->hop->index);
        }
    }
    if (c->conn != NULL) {
        hop_conn_flush(c);
    }
}

static void reset_transaction(struct hop_conn *c)
{
    c->has_sender = false;
    c->rcpt_count = 0;
    c->body_len = 0;
    c->break_in_body = false;
}

/* --- the end of data ----------------------------------------------------------------------- */

static void take(struct hop_conn *c, uint32_t id, uint32_t rcpt, bool answer_lost)
{
    uint32_t copy =
        mail_take(c->hop->ledger, id, bytes_str(c->rcpt[rcpt]), c->begun_ns, c->heard_ns);
    if (c->hop->lmtp && c->rcpt_count > 1) {
        mail_copy_one_of_many(c->hop->ledger, copy);
    }
    if (answer_lost) {
        mail_copy_lost(c->hop->ledger, copy);
        return;
    }
    assert(c->copy_count < HOP_COPIES_MAX);
    c->copy[c->copy_count++] = copy;
}

/* Gives one answer: for the message (SMTP), or for one of its recipients (LMTP). */
static void answer_end(struct hop_conn *c, uint32_t id, uint32_t rcpt, uint32_t rcpt_count)
{
    enum hop_trouble trouble = trouble_at(c, HOP_STAGE_DOT);
    bool mute = trouble == HOP_TROUBLE_CLOSE || trouble == HOP_TROUBLE_RESET ||
                trouble == HOP_TROUBLE_HANG || trouble == HOP_TROUBLE_ENDLESS ||
                trouble == HOP_TROUBLE_GARBAGE;
    bool takes = trouble == HOP_TROUBLE_NONE || trouble == HOP_TROUBLE_SLOW ||
                 (mute && rng_percent(&c->hop->rng, 50));
    for (uint32_t i = rcpt; takes && id != 0 && i < rcpt + rcpt_count; i++) {
        take(c, id, i, mute || c->garbled);
    }
    if (suffer(c, trouble)) {
        answer(c, "250 2.0.0 queued as %08" PRIx64, rng_u64(&c->hop->rng) >> 32);
    }
}

static void end_of_data(struct hop_conn *c)
{
    struct mail_transaction t = {.sender = bytes_str(c->sender), .rcpt_count = c->rcpt_count};
    for (uint32_t i = 0; i < c->rcpt_count; i++) {
        t.rcpt[i] = bytes_str(c->rcpt[i]);
    }
    t.body = bytes_of(c->body, c->body_len);
    uint32_t id = mail_check(c->hop->ledger, c->hop->index, &t);
    c->state = HOP_STATE_COMMAND;
    if (!c->hop->lmtp) {
        answer_end(c, id, 0, c->rcpt_count);
    }
    for (uint32_t i = 0; c->hop->lmtp && i < c->rcpt_count && c->state != HOP_STATE_DEAF; i++) {
        answer_end(c, id, i, 1);
    }
    reset_transaction(c);
}

/* --- commands ------------------------------------------------------------------------------ */

static void on_ehlo(struct hop_conn *c)
{
    if (!suffer(c, trouble_at(c, HOP_STAGE_EHLO))) {
        return;
    }
    c->greeted = true;
    answer(c, "250-hop%" PRIu32 ".test", c->hop->index);
    if (c->pipelining || c->hop->lmtp) { /* LMTP requires it: RFC 2033 section 5 */
        answer(c, "250-PIPELINING");
    }
    if (c->size) {
        answer(c, rng_percent(&c->hop->rng, 50) ? "250-SIZE" : "250-SIZE 10000000");
    }
    if (c->eight_bit) {
        answer(c, "250-8bitmime");
    }
    if (c->chunking) {
        answer(c, "250-CHUNKING");
    }
    answer(c, "250 ENHANCEDSTATUSCODES");
}

/* The address between the first angle brackets. */
static bool address_of(const char *line, char out[MAIL_ADDRESS_SIZE])
{
    const char *from = strchr(line, '<');
    const char *to = from == NULL ? NULL : strchr(from, '>');
    if (to == NULL || to - from > MAIL_ADDRESS_SIZE) {
        return false;
    }
    size_t len = (size_t)(to - from - 1);
    memcpy(out, from + 1, len);
    out[len] = '\0';
    return true;
}

static void on_mail(struct hop_conn *c)
{
    if (!suffer(c, trouble_at(c, HOP_STAGE_MAIL))) {
        return;
    }
    if (!c->greeted || c->has_sender || !address_of(c->line, c->sender)) {
        trace_break(BREACH_OTHER, "hop %" PRIu32 ": bad %.80s", c->hop->index, c->line);
        answer(c, "503 5.5.1 bad MAIL");
        return;
    }
    c->has_sender = true;
    c->begun_ns = trace.now_ns;
    answer(c, "250 2.1.0 ok");
}

static void on_rcpt(struct hop_conn *c)
{
    if (!c->has_sender) {
        answer(c, "503 5.5.1 need MAIL");
        return;
    }
    if (!suffer(c, trouble_at(c, HOP_STAGE_RCPT))) {
        return;
    }
    if (c->rcpt_count == MAIL_RCPTS_MAX || !address_of(c->line, c->rcpt[c->rcpt_count])) {
        trace_break(BREACH_OTHER, "hop %" PRIu32 ": bad %.80s", c->hop->index, c->line);
        answer(c, "501 5.5.2 bad RCPT");
        return;
    }
    c->rcpt_count++;
    answer(c, "250 2.1.5 ok");
}

/* Plans, in some cases, that the connection breaks somewhere in the body. */
static void plan_break(struct hop_conn *c)
{
    enum hop_trouble trouble = trouble_at(c, HOP_STAGE_BODY);
    c->break_in_body =
        trouble == HOP_TROUBLE_CLOSE || trouble == HOP_TROUBLE_RESET || trouble == HOP_TROUBLE_HANG;
    c->body_trouble = trouble;
    c->break_at = rng_spread(&c->hop->rng, 1, 50000);
}

static void on_data(struct hop_conn *c)
{
    if (c->rcpt_count == 0) {
        answer(c, "503 5.5.1 no valid recipients");
        return;
    }
    if (!suffer(c, trouble_at(c, HOP_STAGE_DATA))) {
        return;
    }
    answer(c, "354 go on");
    c->state = HOP_STATE_DATA;
    c->body_len = 0;
    plan_break(c);
}

static void on_command(struct hop_conn *c)
{
    const char *line = c->line;
    trace_event(0x32, c->hop->index, c->line_len);
    if (strncasecmp(line, c->hop->lmtp ? "LHLO " : "EHLO ", 5) == 0) {
        on_ehlo(c);
    } else if (strncasecmp(line, "HELO ", 5) == 0 && !c->hop->lmtp) {
        c->greeted = true;
        answer(c, "250 hop%" PRIu32 ".test", c->hop->index);
    } else if (strncasecmp(line, "MAIL FROM:", 10) == 0) {
        on_mail(c);
    } else if (strncasecmp(line, "RCPT TO:", 8) == 0) {
        on_rcpt(c);
    } else if (strcasecmp(line, "DATA") == 0) {
        on_data(c);
    } else if (strcasecmp(line, "RSET") == 0) {
        reset_transaction(c);
        answer(c, "250 2.0.0 ok");
    } else if (strcasecmp(line, "QUIT") == 0) {
        answer(c, "221 2.0.0 bye");
        c->quit = true;
        c->state = HOP_STATE_DEAF;
    } else if (strcasecmp(line, "NOOP") == 0) {
        answer(c, "250 2.0.0 ok");
    } else {
        trace_break(BREACH_OTHER, "hop %" PRIu32 ": unknown command %.80s", c->hop->index, line);
        answer(c, "500 5.5.1 what?");
    }
}

/* --- input --------------------------------------------------------------------------------- */

static void body_put(struct hop_conn *c, const void *data, size_t len)
{
    if (c->body_len + len > c->body_cap) {
        c->body_cap = (c->body_len + len) * 2 + 4096;
        c->body = realloc(c->body, c->body_cap);
        assert(c->body != NULL);
    }
    memcpy(c->body + c->body_len, data, len);
    c->body_len += len;
    if (c->break_in_body && c->body_len >= c->break_at) {
        c->break_in_body = false;
        (void)suffer(c, c->body_trouble);
    }
}

/* A line of DATA, its CRLF included. */
static void on_data_line(struct hop_conn *c)
{
    if (c->line_len == 3 && c->line[0] == '.') {
        end_of_data(c);
        return;
    }
    size_t skip = c->line[0] == '.' ? 1 : 0;
    body_put(c, c->line + skip, c->line_len - skip);
}

static void on_byte(struct hop_conn *c, char byte)
{
    if (c->line_len == HOP_LINE_MAX - 1) {
        trace_break(BREACH_OTHER, "hop %" PRIu32 ": a line without end", c->hop->index);
        hop_conn_close(c, true);
        return;
    }
    c->line[c->line_len++] = byte;
    if (byte != '\n' || c->line_len < 2 || c->line[c->line_len - 2] != '\r') {
        return;
    }
    if (c->state == HOP_STATE_DATA) {
        on_data_line(c);
    } else {
        c->line_len -= 2;
        c->line[c->line_len] = '\0';
        on_command(c);
    }
    c->line_len = 0;
}

void hop_conn_input(struct hop_conn *c, struct bytes input)
{
    size_t at = 0;
    while (at < input.len && c->state != HOP_STATE_DEAF) {
        on_byte(c, (char)input.data[at++]);
    }
}
