/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/outside_smtp.c: what a client sends, and what it does with the answers.
 *
 *   banner ▶ EHLO ▶ ┌ MAIL ▶ RCPT... ▶ DATA ▶ 354 ▶ body, dot ▶ 250 ┐ ▶ QUIT
 *                   └ MAIL, RCPT..., BDAT..., BDAT LAST at once      ┘ again
 *
 * Trap: a message may be delivered as soon as TCP has the last octet of its end of data, long
 *       before any answer. At that moment it becomes SENT.
 */
#include "tests/sim/outside_session.h"

#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct outside_session *s, const void *data, size_t len)
{
    if (s->out_sent == s->out_len) {
        s->out_sent = s->out_len = 0;
    }
    if (s->out_len + len > s->out_cap) {
        s->out_cap = (s->out_len + len) * 2 + 4096;
        s->out = realloc(s->out, s->out_cap);
        assert(s->out != NULL);
    }
    memcpy(s->out + s->out_len, data, len);
    s->out_len += len;
}

static void expect(struct outside_session *s, enum outside_expect what)
{
    assert(s->expect_count < OUTSIDE_EXPECT_MAX);
    s->expect[(s->expect_first + s->expect_count++) % OUTSIDE_EXPECT_MAX] = what;
    outside_session_patience(s);
}

__attribute__((format(printf, 3, 4))) static void say(struct outside_session *s,
                                                      enum outside_expect what, const char *format,
                                                      ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert(len > 0 && (size_t)len < sizeof line - 2);
    memcpy(line + len, "\r\n", 2);
    put(s, line, (size_t)len + 2);
    expect(s, what);
}

void outside_session_start(struct outside_session *s)
{
    s->expect_count = 0;
    expect(s, OUTSIDE_EXPECT_BANNER);
}

/* --- a message ----------------------------------------------------------------------------- */

static void say_rcpt(struct outside_session *s)
{
    say(s, OUTSIDE_EXPECT_RCPT, "RCPT TO:<%s>", s->mail->rcpt[s->rcpts_sent].address);
    s->rcpts_sent++;
}

/* The whole message in chunks of random sizes; the last one is marked (RFC 3030 section 2). */
static void say_chunks(struct outside_session *s)
{
    struct rng *rng = &s->outside->rng;
    const struct mail *mail = s->mail;
    size_t at = 0;
    uint32_t pieces = (uint32_t)rng_range(rng, 1, 6);
    for (uint32_t i = 1; i <= pieces; i++) {
        bool last = i == pieces;
        size_t left = mail->body_len - at;
        size_t n = last && rng_percent(rng, 80) ? left : rng_below(rng, left + 1);
        n = last ? left : n;
        say(s, last ? OUTSIDE_EXPECT_BDAT_LAST : OUTSIDE_EXPECT_BDAT, "BDAT %zu%s", n,
            last ? " LAST" : "");
        put(s, mail->body + at, n);
        at += n;
    }
    s->has_end = true;
}

/* The body with its dots stuffed (RFC 5321 section 4.5.2), and the final dot. */
static void say_body(struct outside_session *s)
{
    const struct mail *mail = s->mail;
    bool line_begins = true;
    size_t from = 0;
    for (size_t i = 0; i < mail->body_len; i++) {
        if (line_begins && mail->body[i] == '.') {
            put(s, mail->body + from, i - from);
            put(s, ".", 1);
            from = i;
        }
        line_begins = i > 0 && mail->body[i] == '\n' && mail->body[i - 1] == '\r';
    }
    put(s, mail->body + from, mail->body_len - from);
    put(s, ".\r\n", 3);
    s->has_end = true;
    expect(s, OUTSIDE_EXPECT_DOT);
}

static void begin_message(struct outside_session *s)
{
    struct outside *o = s->outside;
    if (o->left == 0 || s->messages_left == 0) {
        say(s, OUTSIDE_EXPECT_QUIT, "QUIT");
        return;
    }
    o->left--;
    s->messages_left--;
    s->mail = mail_make(o->ledger, s->chunks);
    s->abandons = rng_percent(&o->rng, o->plan.abandon_percent);
    s->rcpts_sent = s->rcpts_answered = s->rcpts_accepted = 0;
    s->mail_failed = s->empty_dot = s->has_end = false;
    char size[32] = "";
    if (rng_percent(&o->rng, 50)) {
        snprintf(size, sizeof size, " SIZE=%zu", s->mail->body_len);
    }
    say(s, OUTSIDE_EXPECT_MAIL, "MAIL FROM:<%s>%s%s", s->mail->sender, size,
        s->mail->eight_bit ? " BODY=8BITMIME" : "");
    if (!s->pipelines) {
        return;
    }
    while (s->rcpts_sent < s->mail->rcpt_count) {
        say_rcpt(s);
    }
    if (s->chunks) {
        s->abandon_at = s->out_len;
        say_chunks(s);
        s->abandon_at += rng_below(&o->rng, s->out_len - s->abandon_at);
    } else {
        say(s, OUTSIDE_EXPECT_DATA, "DATA");
    }
}

/* Every recipient is answered, and at least one accepted: the data follows. */
static void begin_data(struct outside_session *s)
{
    if (s->chunks) {
        say_chunks(s);
        s->abandon_at = s->out_sent + rng_below(&s->outside->rng, s->out_len - s->out_sent);
    } else {
        say(s, OUTSIDE_EXPECT_DATA, "DATA");
    }
}

/* Ends this message for this session; another may follow after RSET. */
static void give_up_message(struct outside_session *s)
{
    outside_session_fail(s);
    s->mail_failed = true;
    s->has_end = false;
    if (rng_percent(&s->outside->rng, 50)) {
        say(s, OUTSIDE_EXPECT_RSET, "RSET");
    } else {
        s->messages_left = 0;
        say(s, OUTSIDE_EXPECT_QUIT, "QUIT");
    }
}

/* --- answers ------------------------------------------------------------------------------- */

static void refused(struct outside_session *s, int code, const char *text, bool deserved)
{
    if (code >= 500 && !deserved) {
        trace_break(BREACH_REJECTED, "mail %" PRIu32 " of a good client: %s",
                    s->mail == NULL ? 0 : s->mail->id, text);
    }
}

static void on_mail(struct outside_session *s, int code, const char *text)
{
    if (code == 250) {
        if (!s->pipelines) {
            say_rcpt(s);
        }
        return;
    }
    refused(s, code, text, false);
    s->mail_failed = true;
    if (!s->pipelines) {
        give_up_message(s);
    }
}

static void on_rcpt(struct outside_session *s, int code, const char *text)
{
    struct mail_rcpt *rcpt = &s->mail->rcpt[s->rcpts_answered++];
    bool nowhere = rcpt->route == MAIL_ROUTE_NOWHERE;
    if (code == 250) {
        rcpt->state = MAIL_RCPT_ACCEPTED;
        s->rcpts_accepted++;
        if (nowhere) {
            trace_break(BREACH_OTHER, "relayed for %s", rcpt->address);
        }
    } else {
        rcpt->state = MAIL_RCPT_REFUSED;
        /* 503 follows a MAIL that failed. */
        refused(s, code, text, nowhere || s->mail_failed);
    }
    if (s->pipelines || s->rcpts_answered < s->rcpts_sent) {
        return;
    }
    if (s->rcpts_sent < s->mail->rcpt_count) {
        say_rcpt(s);
    } else if (s->rcpts_accepted > 0) {
        begin_data(s);
    } else {
        give_up_message(s);
    }
}

static void on_data(struct outside_session *s, int code, const char *text)
{
    if (code == 354) {
        if (s->rcpts_accepted == 0) {
            s->empty_dot = true; /* RFC 2920 section 3.1 */
            put(s, ".\r\n", 3);
            expect(s, OUTSIDE_EXPECT_DOT);
            return;
        }
        size_t before = s->out_sent == s->out_len ? 0 : s->out_len;
        say_body(s);
        s->abandon_at = before + rng_below(&s->outside->rng, s->out_len - before);
        return;
    }
    refused(s, code, text, s->rcpts_accepted == 0);
    give_up_message(s);
}

static void on_end(struct outside_session *s, int code, const char *text)
{
    struct mail *mail = s->mail;
    bool complete =
        !s->empty_dot && s->rcpts_accepted > 0 && !s->mail_failed && mail->state == MAIL_SENT;
    if (complete && code == 250) {
        mail_set_state(s->outside->ledger, mail, MAIL_ACCEPTED);
        s->mail = NULL;
        s->outside->failures = 0;
        begin_message(s);
        return;
    }
    if (code == 250) {
        trace_break(BREACH_OTHER, "mail %" PRIu32 " was accepted without its parts", mail->id);
    }
    refused(s, code, text, mail->smuggles || !complete);
    if (mail->state == MAIL_SENT) {
        mail_set_state(s->outside->ledger, mail, MAIL_REFUSED);
    }
    give_up_message(s);
}

static void on_reply(struct outside_session *s, int code, const char *text)
{
    if (s->expect_count == 0) {
        if (code == 421) {
            outside_session_drop(s, false);
            return;
        }
        trace_break(BREACH_OTHER, "the relay said unasked: %s", text);
        return;
    }
    enum outside_expect what = s->expect[s->expect_first];
    s->expect_first = (s->expect_first + 1) % OUTSIDE_EXPECT_MAX;
    s->expect_count--;
    trace_event(0x20, what, (uint64_t)code);
    outside_session_patience(s);
    if (code == 421) {
        outside_session_drop(s, false);
        return;
    }
    switch (what) {
    case OUTSIDE_EXPECT_BANNER:
        if (code == 220) {
            say(s, OUTSIDE_EXPECT_EHLO, "EHLO client.outside.example");
        } else {
            refused(s, code, text, false);
            outside_session_drop(s, false);
        }
        break;
    case OUTSIDE_EXPECT_EHLO:
    case OUTSIDE_EXPECT_RSET:
        refused(s, code, text, false);
        begin_message(s);
        break;
    case OUTSIDE_EXPECT_MAIL:
        on_mail(s, code, text);
        break;
    case OUTSIDE_EXPECT_RCPT:
        on_rcpt(s, code, text);
        break;
    case OUTSIDE_EXPECT_DATA:
        on_data(s, code, text);
        break;
    case OUTSIDE_EXPECT_BDAT:
        refused(s, code, text, s->mail_failed || s->rcpts_accepted == 0 || s->mail->smuggles);
        s->mail_failed |= code != 250;
        break;
    case OUTSIDE_EXPECT_DOT:
    case OUTSIDE_EXPECT_BDAT_LAST:
        on_end(s, code, text);
        break;
    case OUTSIDE_EXPECT_QUIT:
        outside_session_drop(s, false);
        break;
    }
}

static void on_line(struct outside_session *s)
{
    s->line[s->line_len] = '\0';
    bool good = s->line_len >= 3 && strspn(s->line, "0123456789") == 3 &&
                (s->line[3] == ' ' || s->line[3] == '-' || s->line[3] == '\0');
    if (!good) {
        trace_break(BREACH_OTHER, "the relay's reply is not SMTP: %.100s", s->line);
        outside_session_drop(s, true);
    } else if (s->line[3] != '-') {
        on_reply(s, (int)strtol(s->line, NULL, 10), s->line);
    }
    s->line_len = 0;
}

void outside_session_input(struct outside_session *s, struct bytes input)
{
    for (size_t i = 0; i < input.len && !s->closing; i++) {
        char c = (char)input.data[i];
        if (c == '\n' && s->line_len > 0 && s->line[s->line_len - 1] == '\r') {
            s->line_len--;
            on_line(s);
        } else if (s->line_len < OUTSIDE_LINE_MAX - 1) {
            s->line[s->line_len++] = c;
        } else {
            trace_break(BREACH_OTHER, "a reply line of the relay without end");
            outside_session_drop(s, true);
        }
    }
}

/* --- sending ------------------------------------------------------------------------------- */

/* Gives up in the middle of the data: the connection is reset, or closed in order. */
static void abandon(struct outside_session *s)
{
    trace_say("mail %" PRIu32 ": abandoned after %zu of %zu", s->mail->id, s->out_sent, s->out_len);
    outside_session_drop(s, rng_percent(&s->outside->rng, 50));
}

static size_t allowance(struct outside_session *s)
{
    size_t n = s->out_len - s->out_sent;
    if (s->slow) {
        if (trace.now_ns < s->pace_ns) {
            return 0;
        }
        size_t some = rng_range(&s->outside->rng, 1, 1500);
        n = some < n ? some : n;
    }
    if (s->abandons && s->has_end && s->abandon_at > s->out_sent &&
        n > s->abandon_at - s->out_sent) {
        n = s->abandon_at - s->out_sent;
    }
    return n;
}

void outside_session_flush(struct outside_session *s)
{
    while (s->conn != NULL && !s->closing && s->out_sent < s->out_len) {
        if (s->abandons && s->has_end && s->mail != NULL && s->out_sent >= s->abandon_at) {
            abandon(s);
            return;
        }
        size_t n = allowance(s);
        size_t sent = n == 0 ? 0 : tcp_write(s->conn, s->out + s->out_sent, n);
        s->out_sent += sent;
        if (sent > 0) {
            outside_session_patience(s);
        }
        if (sent > 0 && s->slow) {
            s->pace_ns = trace.now_ns + rng_spread(&s->outside->rng, 1000000, 3000000000);
        }
        if (sent == 0) {
            return;
        }
    }
    bool ended = s->has_end && s->out_sent == s->out_len && s->mail != NULL;
    if (ended && !s->mail_failed && s->mail->state == MAIL_DRAFT) {
        mail_set_state(s->outside->ledger, s->mail, MAIL_SENT);
    }
}
