/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/test_body.c: where a message ends, and what BDAT may not do. */
#include "tests/unit/smtp/bed.h"

#include "common/id.h"
#include "common/limits/chunk.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const char hello[] = "EHLO peer.example\r\nMAIL FROM:<a@b.example>\r\n"
                            "RCPT TO:<r1@campus.example>\r\n";

static void expect_replies(const char *out, const char *codes)
{
    char got[256] = "";
    size_t len = 0;
    for (const char *line = out; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (line[3] == ' ' && len + 5 < sizeof got) {
            len += (size_t)snprintf(got + len, sizeof got - len, "%.3s ", line);
        }
    }
    cr_expect_str_eq(got, codes, "in:\n%s", out);
}

/* Plays a client up to the 354, and throws the replies away. */
static void to_data(struct server_bed *bed)
{
    server_bed_init(bed);
    server_bed_say(bed, hello);
    server_bed_say(bed, "DATA\r\n");
    (void)server_bed_take(bed);
}

Test(smtp_body, stores_what_was_said)
{
    struct server_bed bed;
    to_data(&bed);
    server_bed_say(&bed, "Subject: x\r\n\r\n..dot\r\n...\r\nend.\r\n.\r\n");
    expect_replies(server_bed_take(&bed), "250 ");
    cr_assert(bytes_equal(server_bed_content(&bed),
                          bytes_str("Subject: x\r\n\r\n.dot\r\n..\r\nend.\r\n")));
    cr_assert_eq(bed.envelope.rcpt_count, 1);
    cr_assert_eq(bed.envelope.rcpt[0].route_id, 1);
    server_bed_fini(&bed);
}

Test(smtp_body, received_field)
{
    /* RFC 5321 section 4.4: from, by, with, id, date. */
    struct server_bed bed;
    to_data(&bed);
    server_bed_say(&bed, ".\r\n");
    char expected[256];
    char id[ID_TEXT_SIZE];
    (void)snprintf(expected, sizeof expected,
                   "Received: from peer.example ([192.0.2.1])\r\n"
                   "\tby mx.campus.example with ESMTP id %s;\r\n"
                   "\tThu, 29 Feb 2024 23:59:59 +0000\r\n",
                   id_format(bed.txn.id, id));
    cr_assert_str_eq((const char *)bed.body.data, expected);
    server_bed_fini(&bed);
}

/* Every known way to fake an end of data (SMTP smuggling: CVE-2023-51764 and others). */
static const struct {
    const char *text;
    size_t len;
} fakes[] = {
#define FAKE(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
    FAKE("\n.\n"),       FAKE("\r.\r"),         FAKE("\r.\n"),       FAKE("\n.\r"),
    FAKE("\n.\r\n"),     FAKE("\r\n.\n"),       FAKE("\r.\r\n"),     FAKE("\r\n.\r"),
    FAKE("\r\n.\r\r\n"), FAKE("\r\r\n.\r\r\n"), FAKE("\r\n.\r\n\r"), FAKE("\n\r\n.\r\r\n"),
    FAKE("\r\n\0.\r\n"), FAKE("\r\n.\0\r\n"),   FAKE("\n\n.\n\n"),   FAKE("\r\r.\r\r"),
    FAKE("\r\n.\x0b\n"), FAKE("\r\n \r\n.\n"),
#undef FAKE
};

static size_t build(char *text, size_t size, size_t fake, size_t filler)
{
    static const char smuggled[] = "MAIL FROM:<evil@b.example>\r\nRCPT TO:<r2@campus.example>\r\n"
                                   "DATA\r\nSubject: smuggled\r\n";
    size_t len = 0;
    assert(size > filler + 400);
    for (; len < filler; len++) {
        text[len] = len % 70 == 68 ? '\r' : len % 70 == 69 ? '\n' : 'x';
    }
    len += (size_t)snprintf(text + len, size - len, "first");
    memcpy(text + len, fakes[fake].text, fakes[fake].len);
    len += fakes[fake].len;
    memcpy(text + len, smuggled, sizeof smuggled - 1);
    len += sizeof smuggled - 1;
    memcpy(text + len, "\r\n.\r\n", 5);
    return len + 5;
}

/* Nothing smuggled may be taken for a command: one reply, and at most one message. */
static void smuggle(size_t fake, size_t filler, size_t split)
{
    static char text[4096];
    size_t len = build(text, sizeof text, fake, filler);
    bool real_end = fakes[fake].len > 5 && memcmp(fakes[fake].text, "\r\n.\r\n", 5) == 0;
    bool nul = memchr(fakes[fake].text, '\0', fakes[fake].len) != NULL;
    struct server_bed bed;
    to_data(&bed);
    bed.env.message_bytes_max = filler > 0 ? 1000 : 100000;
    bed.buffer_cap = 1;
    (void)server_bed_feed(&bed, bytes_of(text, split), SIZE_MAX);
    (void)server_bed_feed(&bed, bytes_of(text + split, len - split), SIZE_MAX);
    const char *out = server_bed_take(&bed);
    if (real_end) {
        /* This one is a true end: what follows are commands, and the first has a bare CR. */
        cr_expect_eq(bed.commit_count, filler == 0, "fake %zu split %zu", fake, split);
    } else if (nul) {
        /* NUL is content as any other byte; it ends nothing. */
        expect_replies(out, filler > 0 ? "552 " : "250 ");
        cr_expect_eq(bed.commit_count, filler == 0, "fake %zu split %zu", fake, split);
    } else {
        expect_replies(out, "550 ");
        cr_expect_eq(bed.commit_count, 0, "fake %zu split %zu", fake, split);
        cr_expect_eq(bed.abort_count, 1);
    }
    cr_expect_not(bed.txn_lent);
    server_bed_fini(&bed);
}

Test(smtp_body, end_of_data_is_only_crlf_dot_crlf)
{
    /* RFC 5321 section 4.1.1.4, at every cut. */
    for (size_t fake = 0; fake < sizeof fakes / sizeof fakes[0]; fake++) {
        char text[4096];
        size_t len = build(text, sizeof text, fake, 0);
        for (size_t split = 0; split <= len; split++) {
            smuggle(fake, 0, split);
        }
    }
}

Test(smtp_body, end_of_data_inside_an_oversize_body)
{
    for (size_t fake = 0; fake < sizeof fakes / sizeof fakes[0]; fake++) {
        char text[4096];
        size_t len = build(text, sizeof text, fake, 1050);
        for (size_t split = 1040; split <= len; split++) {
            smuggle(fake, 1050, split);
        }
    }
}

Test(smtp_body, bare_line_ends_in_bdat)
{
    /* BINARYMIME is not offered (RFC 3030 section 3): text has CRLF only. */
    for (size_t fake = 0; fake < sizeof fakes / sizeof fakes[0]; fake++) {
        const char *f = fakes[fake].text;
        size_t len = fakes[fake].len;
        bool fine = memchr(f, '\0', len) != NULL;
        for (size_t cut = 0; cut <= len; cut++) {
            struct server_bed bed;
            server_bed_init(&bed);
            server_bed_say(&bed, hello);
            (void)server_bed_take(&bed);
            char line[64];
            (void)snprintf(line, sizeof line, "BDAT %zu\r\n", cut);
            server_bed_say(&bed, line);
            (void)server_bed_feed(&bed, bytes_of(f, cut), 1);
            (void)snprintf(line, sizeof line, "BDAT %zu LAST\r\n", len - cut);
            server_bed_say(&bed, line);
            (void)server_bed_feed(&bed, bytes_of(f + cut, len - cut), SIZE_MAX);
            server_bed_say(&bed, "NOOP\r\n");
            const char *out = server_bed_take(&bed);
            cr_expect_eq(bed.commit_count, fine, "fake %zu cut %zu: %s", fake, cut, out);
            cr_expect_str_eq(out + strlen(out) - 14, "250 2.0.0 ok\r\n");
            cr_expect_eq(strstr(out, "550 5.6.0") != NULL, !fine);
            server_bed_fini(&bed);
        }
    }
}

Test(smtp_body, bdat_has_no_dots)
{
    /* The octets of a chunk are never commands. */
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, hello);
    server_bed_say(&bed, "BDAT 11\r\n.\r\n..x\r\n.\r\nBDAT 7 LAST\r\nQUIT\r\nx");
    cr_assert_eq(bed.message_count, 1);
    cr_assert_not(bed.closed);
    /* RFC 3030 section 2: the last line may lack its CRLF; it is added to what is kept. */
    cr_assert(bytes_equal(server_bed_content(&bed), bytes_str(".\r\n..x\r\n.\r\nQUIT\r\nx\r\n")));
    server_bed_fini(&bed);
}

static void bdat(const char *text, const char *codes, unsigned messages, bool closed)
{
    for (size_t piece = 1; piece < 40; piece += 6) {
        struct server_bed bed;
        server_bed_init(&bed);
        bed.buffer_cap = 1;
        server_bed_say(&bed, hello);
        (void)server_bed_take(&bed);
        (void)server_bed_feed(&bed, bytes_str(text), piece);
        expect_replies(server_bed_take(&bed), codes);
        cr_expect_eq(bed.message_count, messages, "%s", text);
        cr_expect_eq(bed.closed, closed, "%s", text);
        server_bed_fini(&bed);
    }
}

Test(smtp_body, bdat_sequences)
{
    bdat("BDAT 3\r\nabcBDAT 0\r\nBDAT 2 LAST\r\n\r\n", "250 250 250 ", 1, false);
    bdat("BDAT 0 LAST\r\nNOOP\r\n", "250 250 ", 1, false);
    bdat("BDAT 3\r\nabcBDAT 0 LAST\r\n", "250 250 ", 1, false);
    /* LAST twice: the second finds no transaction, and its octets are not commands. */
    bdat("BDAT 1 LAST\r\nxBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 503 250 ", 1, false);
    /* DATA between chunks: 503, and the transaction is gone (RFC 3030 section 2). */
    bdat("BDAT 1\r\nxDATA\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 503 503 250 ", 0, false);
    /* BDAT fails, then DATA: no recipients are left (Postfix 20260724). */
    bdat("BDAT 2\r\n\rxDATA\r\nRCPT TO:<r1@campus.example>\r\n", "550 503 503 ", 0, false);
    bdat("BDAT 1\r\nxMAIL FROM:<x@y.example>\r\nRSET\r\nMAIL FROM:<x@y.example>\r\n",
         "250 503 250 250 ", 0, false);
    /* A size over the limit is refused after its octets. */
    bdat("BDAT 1000001\r\n", "", 0, false);
    bdat("BDAT 18446744073709551615\r\nQUIT\r\n", "", 0, false);
    /* Nobody knows where the octets end: the session closes. */
    bdat("BDAT 18446744073709551616\r\nQUIT\r\n", "501 ", 0, true);
    bdat("BDAT\r\nQUIT\r\n", "501 ", 0, true);
    bdat("BDAT x\r\nQUIT\r\n", "501 ", 0, true);
    bdat("BDAT -1\r\nQUIT\r\n", "501 ", 0, true);
    bdat("BDAT 1 FIRST\r\nQUIT\r\n", "501 ", 0, true);
    bdat("BDAT 1\x01\r\nQUIT\r\n", "500 ", 0, true);
    bdat("BDAT 1\nQUIT\r\n", "500 ", 0, true);
    bdat("BDAT\t6 LAST\r\nQUIT\r\n", "501 ", 0, true);
    bdat("bdat\r 1\r\nQUIT\r\n", "500 ", 0, true);
    char line[1100];
    memset(line, ' ', sizeof line);
    memcpy(line, "BDAT", 4);
    memcpy(line + sizeof line - 4, "1\r\n", 4);
    bdat(line, "500 ", 0, true);
    memcpy(line, "BDATA", 5); /* some other verb */
    bdat(line, "500 ", 0, false);
}

Test(smtp_body, bdat_without_recipients_consumes_its_octets)
{
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "BDAT 6 LAST\r\nQUIT\r\nEHLO p\r\nBDAT 6\r\nQUIT\r\nMAIL FROM:<>\r\n"
                         "BDAT 6\r\nQUIT\r\nRCPT TO:<r1@campus.example>\r\n");
    expect_replies(server_bed_take(&bed), "220 503 250 503 250 503 503 ");
    cr_assert_eq(bed.abort_count, 1); /* MAIL's transaction went with its BDAT */
    cr_assert_not(bed.closed);
    server_bed_fini(&bed);
}

Test(smtp_body, many_tiny_chunks)
{
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, hello);
    (void)server_bed_take(&bed);
    for (unsigned i = 0; i < 20000; i++) {
        server_bed_say(&bed, "BDAT 1\r\nx");
        bed_text_clear(&bed.out);
    }
    server_bed_say(&bed, "BDAT 0 LAST\r\n");
    expect_replies(server_bed_take(&bed), "250 ");
    cr_assert_eq(server_bed_content(&bed).len, 20002);
    server_bed_fini(&bed);
}

Test(smtp_body, oversize_is_answered_after_its_true_end)
{
    struct server_bed bed;
    to_data(&bed);
    bed.env.message_bytes_max = 10;
    server_bed_say(&bed, "0123456\r\n\r\nMAIL FROM:<x@y>\r\n");
    cr_assert_str_eq(server_bed_take(&bed), "");
    cr_assert_eq(bed.abort_count, 1); /* the transaction is given back before the body ends */
    server_bed_say(&bed, ".\r\n");
    expect_replies(server_bed_take(&bed), "552 ");
    /* Exactly the limit fits (RFC 1870: SIZE is the largest accepted). */
    server_bed_say(&bed, "MAIL FROM:<a@b> SIZE=10\r\nRCPT TO:<r1@campus.example>\r\nDATA\r\n"
                         "01234567\r\n.\r\n");
    expect_replies(server_bed_take(&bed), "250 250 354 250 ");
    server_bed_fini(&bed);
}

Test(smtp_body, no_buffer_drains_and_says_452)
{
    struct server_bed bed;
    to_data(&bed);
    bed.no_buffer = true;
    server_bed_say(&bed, "QUIT\r\n.\r\n");
    expect_replies(server_bed_take(&bed), "452 ");
    cr_assert_eq(bed.abort_count, 1);
    cr_assert_not(bed.closed);
    server_bed_fini(&bed);
}

Test(smtp_body, spool_fails_midway)
{
    struct server_bed bed;
    to_data(&bed);
    bed.buffer_cap = 1;
    bed.fail_at_chunk = 1;
    bed.commit = SMTP_COMMIT_FULL;
    char body[2000];
    memset(body, 'x', sizeof body);
    (void)server_bed_feed(&bed, bytes_of(body, sizeof body), 7);
    cr_assert_eq(bed.abort_count, 1);
    cr_assert_str_eq(server_bed_take(&bed), "");
    server_bed_say(&bed, "\r\n.\r\nNOOP\r\n");
    expect_replies(server_bed_take(&bed), "452 250 ");
    server_bed_fini(&bed);

    to_data(&bed);
    bed.buffer_cap = 1;
    bed.fail_at_chunk = 1;
    bed.commit = SMTP_COMMIT_FAILED;
    (void)server_bed_feed(&bed, bytes_of(body, sizeof body), 7);
    server_bed_say(&bed, "\r\n.\r\nNOOP\r\n");
    expect_replies(server_bed_take(&bed), "421 ");
    cr_assert(bed.closed);
    server_bed_fini(&bed);
}

Test(smtp_body, commit_decides_the_answer)
{
    static const struct {
        enum smtp_commit commit;
        const char *codes;
    } table[] = {
        {SMTP_COMMIT_OK, "250 250 "}, {SMTP_COMMIT_FULL, "452 250 "}, {SMTP_COMMIT_FAILED, "421 "}};
    for (size_t i = 0; i < 3; i++) {
        struct server_bed bed;
        to_data(&bed);
        bed.commit = table[i].commit;
        server_bed_say(&bed, "x\r\n.\r\nNOOP\r\n");
        expect_replies(server_bed_take(&bed), table[i].codes);
        cr_assert_eq(bed.closed, table[i].commit == SMTP_COMMIT_FAILED);
        server_bed_fini(&bed);
    }
}

Test(smtp_body, counts_received_fields)
{
    /* RFC 5321 section 6.3: loops by counting Received. */
    struct server_bed bed;
    to_data(&bed);
    for (unsigned i = 0; i < LIMIT_RECEIVED_LINES; i++) {
        server_bed_say(&bed, i % 2 == 0 ? "Received: x\r\n\ty\r\n" : "RECEIVED : x\r\n");
    }
    server_bed_say(&bed, "Receivedx: no\r\nX-Received: no\r\nReceive\r\n received: no\r\n\r\n"
                         "Received: in the body\r\n.\r\n");
    cr_assert_eq(bed.server.received_count, LIMIT_RECEIVED_LINES);
    cr_assert_not(bed.loops);
    server_bed_say(&bed, "MAIL FROM:<a@b>\r\nRCPT TO:<r1@campus.example>\r\nDATA\r\n");
    for (unsigned i = 0; i <= LIMIT_RECEIVED_LINES; i++) {
        (void)server_bed_feed(&bed, bytes_str("Received: x\r\n"), 3);
    }
    server_bed_say(&bed, ".\r\n");
    cr_assert(bed.loops);
    cr_assert_eq(bed.message_count, 2);
    server_bed_fini(&bed);
}

/* A Received field is by this relay when its name follows "by". The field that it writes is one. */
Test(smtp_body, counts_its_own_received_fields)
{
    static const char *const ours[] = {
        "Received: from a ([192.0.2.1])\r\n\tby mx.campus.example with ESMTP id 1;\r\n\tdate\r\n",
        "received: by MX.Campus.example; date\r\n",
        "Received: x (y) by mx.campus.example\r\n",
        "RECEIVED :\r\n by\r\n by mx.campus.example\r\n",
    };
    static const char *const others[] = {
        "Received: from mx.campus.example by elsewhere.example; date\r\n",
        "Received: by mx.campus.example.org; date\r\n",
        "Received: by xmx.campus.example; date\r\n",
        "Received: nearby mx.campus.exampl; date\r\n",
        "X-Received: by mx.campus.example; date\r\n",
        "Subject: x\r\n by mx.campus.example\r\n",
        "Received: by\r\nSubject: mx.campus.example\r\n",
    };
    for (size_t piece = 1; piece < 40; piece++) {
        struct server_bed bed;
        to_data(&bed);
        for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
            (void)server_bed_feed(&bed, bytes_str(others[i]), piece);
        }
        cr_assert_eq(bed.server.received_own, 0, "piece %zu", piece);
        for (unsigned i = 0; i < LIMIT_RECEIVED_OWN + 1; i++) {
            cr_assert_not(smtp_server_loops(&bed.server));
            (void)server_bed_feed(&bed, bytes_str(ours[i % 4]), piece);
        }
        server_bed_say(&bed, "\r\nReceived: by mx.campus.example\r\n.\r\n");
        cr_assert_eq(bed.server.received_own, LIMIT_RECEIVED_OWN + 1, "piece %zu", piece);
        cr_assert(bed.loops);
        server_bed_fini(&bed);
    }
}

Test(smtp_body, eight_bit_goes_as_it_came)
{
    struct server_bed bed;
    to_data(&bed);
    (void)server_bed_feed(&bed, bytes_of("\x80\xff\0\x83\r\n.\r\n", 9), SIZE_MAX);
    cr_assert(bytes_equal(server_bed_content(&bed), bytes_of("\x80\xff\0\x83\r\n", 6)));
    cr_assert_eq(bed.envelope.flags, 0); /* as declared: BODY was not said */
    server_bed_say(&bed, "MAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<r1@campus.example>\r\n"
                         "DATA\r\n.\r\n");
    cr_assert_eq(bed.envelope.flags, ENVELOPE_8BITMIME);
    server_bed_fini(&bed);
}

Test(smtp_body, chunk_failure_behind_the_end_leaves_the_answer_to_the_commit)
{
    struct server_bed bed;
    to_data(&bed);
    size_t used;
    server_bed_say(&bed, "x\r\n");
    enum smtp_server_action action = smtp_server_feed(&bed.server, bytes_str(".\r\n"), 0, &used);
    cr_assert_eq(action, SMTP_SERVER_COMMIT);
    smtp_server_fail_body(&bed.server, SMTP_COMMIT_FAILED);
    bed.commit = SMTP_COMMIT_FULL;
    server_bed_say(&bed, "NOOP\r\n");
    expect_replies(server_bed_take(&bed), "452 250 ");
    smtp_server_fail_body(&bed.server, SMTP_COMMIT_FAILED); /* the message is already over */
    server_bed_say(&bed, "NOOP\r\n");
    expect_replies(server_bed_take(&bed), "250 ");
    server_bed_fini(&bed);
}

Test(smtp_body, buffer_that_comes_too_late_is_handed_back)
{
    /* The caller may look for a buffer for a while; the spool may fail in that time. */
    for (unsigned timeout = 0; timeout < 2; timeout++) {
        struct server_bed bed;
        to_data(&bed);
        size_t used;
        enum smtp_server_action action = smtp_server_feed(&bed.server, bytes_str("x"), 0, &used);
        cr_assert_eq(action, SMTP_SERVER_BUFFER);
        if (timeout == 1) {
            smtp_server_timeout(&bed.server, "too slow");
        } else {
            smtp_server_fail_body(&bed.server, SMTP_COMMIT_FULL);
        }
        size_t cap = smtp_server_buffer_wanted(&bed.server);
        smtp_server_give_buffer(&bed.server, malloc(cap), cap);
        server_bed_say(&bed, "x\r\n.\r\n");
        cr_assert_eq(bed.abort_count, 1);
        cr_assert_not(bed.txn_lent);
        expect_replies(server_bed_take(&bed), timeout == 1 ? "421 " : "452 ");
        server_bed_fini(&bed);
    }
}

/* Our own failure is told as such, whatever else is wrong with the message. */
Test(smtp_body, our_failure_outranks_a_bare_line_end)
{
    struct server_bed bed;
    to_data(&bed);
    bed.buffer_cap = 1;
    bed.fail_at_chunk = 1;
    bed.commit = SMTP_COMMIT_FAILED;
    for (unsigned i = 0; i < 100; i++) {
        server_bed_say(&bed, "a line that fills the buffer\r\n");
    }
    cr_assert_geq(bed.chunk_count, 1);
    server_bed_say(&bed, "bare\nend\r\n.\r\n");
    expect_replies(server_bed_take(&bed), "421 ");
    cr_assert(bed.closed);
    server_bed_fini(&bed);
}

/* Lines of sixteen bytes: each CR is counted in the same lane of the vector, which must not
 * overflow. */
Test(smtp_body, many_line_ends_in_one_piece)
{
    enum { LINES = 1000 };
    static char text[LINES * 16 + 8];
    for (size_t i = 0; i < LINES; i++) {
        memcpy(text + i * 16, "fourteen bytes\r\n", 16);
    }
    memcpy(text + sizeof text - 8, ".\r\n", 4);
    struct server_bed bed;
    to_data(&bed);
    bed.buffer_cap = LIMIT_CHUNK_LARGE_BYTES;
    server_bed_say(&bed, text);
    expect_replies(server_bed_take(&bed), "250 ");
    cr_assert_eq(server_bed_content(&bed).len, (size_t)LINES * 16);
    server_bed_fini(&bed);
}

/* RFC 1870: what we offer is taken to its last octet, by DATA and by BDAT. */
Test(smtp_body, a_message_of_just_the_size_is_taken)
{
    static const char text[] = "x: y\r\n\r\nbody\r\n";
    struct server_bed bed;
    server_bed_init(&bed);
    bed.env.message_bytes_max = sizeof text - 1;
    server_bed_say(&bed, hello);
    char line[64];
    (void)snprintf(line, sizeof line, "BDAT %zu LAST\r\n%s", sizeof text - 1, text);
    server_bed_say(&bed, line);
    (void)snprintf(line, sizeof line, "MAIL FROM:<> SIZE=%zu\r\n", sizeof text - 1);
    server_bed_say(&bed, line);
    server_bed_say(&bed, "RCPT TO:<r1@campus.example>\r\nDATA\r\n");
    server_bed_say(&bed, text);
    server_bed_say(&bed, ".\r\n");
    cr_assert_eq(bed.message_count, 2, "%s", server_bed_take(&bed));
    server_bed_fini(&bed);
}
