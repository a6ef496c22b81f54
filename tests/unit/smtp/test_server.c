/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/test_server.c: commands of the server session. The conversations as such are in
 * tests/scripts; here is what a script cannot say. */
#include "tests/unit/smtp/bed.h"

#include "common/limits/message.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(smtp_server, is_small)
{
    cr_assert_leq(sizeof(struct smtp_server), 2560);
}

Test(smtp_server, longest_replies_fit)
{
    /* EHLO's answer and a 421 behind it, with a host name at its bound. */
    char hostname[LIMIT_DOMAIN_BYTES + 1];
    memset(hostname, 'h', LIMIT_DOMAIN_BYTES);
    hostname[LIMIT_DOMAIN_BYTES] = '\0';
    struct server_bed bed;
    server_bed_init(&bed);
    bed.env.hostname = hostname;
    bed.env.message_bytes_max = LIMIT_MESSAGE_BYTES;
    struct ip_addr client = bed.server.client;
    smtp_server_init(&bed.server, &bed.env, &client);
    (void)server_bed_take(&bed);
    server_bed_say(&bed, "EHLO x\r\n");
    size_t len = smtp_server_output(&bed.server).len;
    cr_assert_eq(len, 0); /* the bed drained it */
    const char *out = server_bed_take(&bed);
    cr_assert_not_null(strstr(out, "250-SIZE 1073741824\r\n"));
    cr_assert_str_eq(out + strlen(out) - 14, "250 CHUNKING\r\n");
    cr_assert_lt(strlen(out), 400);
    smtp_server_timeout(&bed.server, "idle too long");
    out = server_bed_take(&bed);
    cr_assert_str_eq(out + strlen(out) - 16, " idle too long\r\n");
    server_bed_fini(&bed);
}

Test(smtp_server, output_is_asked_to_drain)
{
    struct server_bed bed;
    server_bed_init(&bed);
    char input[6 * 500 + 1] = "";
    for (unsigned i = 0; i < 500; i++) {
        memcpy(input + 6 * i, "NOOP\r\n", 7);
    }
    size_t used;
    enum smtp_server_action action = smtp_server_feed(&bed.server, bytes_str(input), 0, &used);
    cr_assert_eq(action, SMTP_SERVER_OUTPUT);
    cr_assert_lt(used, sizeof input - 1);
    size_t room = SMTP_OUTPUT_BYTES - smtp_server_output(&bed.server).len;
    cr_assert_lt(room, 512);
    server_bed_fini(&bed);
}

Test(smtp_server, pipelined_transactions_keep_their_order)
{
    /* RFC 2920: replies in the order of commands, the commit in between. */
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "EHLO p\r\n");
    (void)server_bed_take(&bed);
    server_bed_say(&bed, "MAIL FROM:<a@b>\r\nRCPT TO:<r1@campus.example>\r\nDATA\r\nx\r\n.\r\n"
                         "MAIL FROM:<c@d>\r\nRCPT TO:<unknown@campus.example>\r\n"
                         "RCPT TO:<r2@campus.example>\r\nDATA\r\ny\r\n.\r\nQUIT\r\n");
    const char *out = server_bed_take(&bed);
    static const char *const codes[] = {"250 2.1.0", "250 2.1.5", "354", "250 2.0.0", "250 2.1.0",
                                        "550 5.1.1", "250 2.1.5", "354", "250 2.0.0", "221 2.0.0"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        cr_assert_eq(strncmp(out, codes[i], strlen(codes[i])), 0, "%zu: %s", i, out);
        out = strchr(out, '\n') + 1;
    }
    cr_assert_eq(bed.message_count, 2);
    cr_assert(bed.closed);
    server_bed_fini(&bed);
}

Test(smtp_server, envelope_of_many)
{
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "EHLO p\r\nMAIL FROM:<a@b> BODY=8BITMIME SIZE=100\r\n");
    char line[400];
    char local[200];
    memset(local, 'x', sizeof local);
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) { /* all at their bounds */
        int pad = (int)(LIMIT_ADDRESS_BYTES - strlen("r00.000.@campus.example"));
        (void)snprintf(line, sizeof line, "RCPT TO:<r%02u.%03u.%.*s%.*s@campus.example>\r\n",
                       i % 15, i, 200, local, pad - 200, local);
        server_bed_say(&bed, line);
    }
    (void)server_bed_take(&bed);
    server_bed_say(&bed, "RCPT TO:<r1@campus.example>\r\n");
    cr_assert_str_eq(server_bed_take(&bed), "452 4.5.3 too many recipients\r\n");
    /* The same recipient again is accepted, and stored once. */
    server_bed_say(&bed, line);
    cr_assert_str_eq(server_bed_take(&bed), "250 2.1.5 recipient ok\r\n");
    bed.buffer_cap = 1;
    server_bed_say(&bed, "DATA\r\nbody\r\n.\r\n");
    cr_assert_eq(bed.message_count, 1);
    cr_assert_eq(bed.envelope.rcpt_count, LIMIT_RCPTS);
    cr_assert_eq(envelope_route_count(&bed.envelope), 15);
    cr_assert_eq(bed.envelope.rcpt[17].route_index, 2); /* dense, by appearance */
    cr_assert_eq(bed.envelope.flags, ENVELOPE_8BITMIME);
    cr_assert(bytes_equal(bed.envelope.sender, bytes_str("a@b")));
    cr_assert_eq(bed.envelope.received_ms, bed.wall_ms);
    server_bed_fini(&bed);
}

Test(smtp_server, too_many_routes)
{
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "EHLO p\r\nMAIL FROM:<>\r\n");
    for (unsigned i = 0; i < LIMIT_ROUTES_PER_MESSAGE; i++) {
        char line[100];
        (void)snprintf(line, sizeof line, "RCPT TO:<r%u@campus.example>\r\n", 100 - i);
        server_bed_say(&bed, line);
    }
    (void)server_bed_take(&bed);
    server_bed_say(&bed, "RCPT TO:<r1@campus.example>\r\nRCPT TO:<r100.x@campus.example>\r\n");
    cr_assert_str_eq(server_bed_take(&bed),
                     "452 4.5.3 too many recipients\r\n250 2.1.5 recipient ok\r\n");
    server_bed_fini(&bed);
}

/* The session closes at the first line of HTTP, whatever the method. */
Test(smtp_server, every_method_of_http_is_hung_up_on)
{
    static const char *const request[] = {"GET / HTTP/1.1\r\n",     "POST / HTTP/1.1\r\n",
                                          "PUT /x HTTP/1.1\r\n",    "HEAD / HTTP/1.0\r\n",
                                          "OPTIONS * HTTP/1.1\r\n", "CONNECT mx:25 HTTP/1.1\r\n"};
    for (size_t i = 0; i < sizeof request / sizeof request[0]; i++) {
        static struct server_bed bed;
        server_bed_init(&bed);
        (void)server_bed_take(&bed);
        server_bed_say(&bed, request[i]);
        const char *out = server_bed_take(&bed);
        cr_assert_eq(strncmp(out, "421 ", 4), 0, "%s: %s", request[i], out);
        server_bed_say(&bed, "MAIL FROM:<a@b.example>\r\n");
        cr_assert_str_eq(server_bed_take(&bed), "", "%s", request[i]);
        server_bed_fini(&bed);
    }
}

Test(smtp_server, mistakes_end_the_session)
{
    struct server_bed bed;
    server_bed_init(&bed);
    for (unsigned i = 0; i < 30; i++) {
        server_bed_say(&bed, "WHAT\r\n");
    }
    const char *out = server_bed_take(&bed);
    cr_assert(bed.closed);
    cr_assert_not_null(strstr(out, "421 4.7.0"));
    cr_assert_eq(smtp_server_take_tally(&bed.server).protocol_errors, 20);
    cr_assert_eq(smtp_server_take_tally(&bed.server).protocol_errors, 0);
    server_bed_fini(&bed);
}

Test(smtp_server, refused_recipients_are_no_mistakes)
{
    /* A mailing list with many unknown recipients must still reach the others. */
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "EHLO p\r\n");
    for (unsigned i = 0; i < 40; i++) {
        server_bed_say(&bed, "MAIL FROM:<a@b>\r\nRCPT TO:<unknown@campus.example>\r\nDATA\r\n"
                             "RSET\r\nMAIL FROM:<a@b> SIZE=9999999\r\n"
                             "RCPT TO:<r1@campus.example>\r\nDATA\r\nRSET\r\n");
    }
    cr_assert_not(bed.closed);
    struct smtp_server_tally tally = smtp_server_take_tally(&bed.server);
    cr_assert_eq(tally.protocol_errors, 0);
    cr_assert_eq(tally.rejected_rcpts, 40);
    server_bed_fini(&bed);
}

Test(smtp_server, long_line_resyncs_at_its_crlf)
{
    struct server_bed bed;
    server_bed_init(&bed);
    (void)server_bed_take(&bed);
    size_t len = 1 << 20;
    char *line = malloc(len + 8);
    memset(line, 'A', len);
    memcpy(line + 4, " QUIT\r", 6); /* a bare CR inside is no end either */
    memcpy(line + len - 2, "\r\nNOOP\r\n", 8);
    for (size_t piece = 1; piece < 3000; piece = piece * 7 + 1) {
        (void)server_bed_feed(&bed, bytes_of(line, len + 6), piece);
        cr_assert_str_eq(server_bed_take(&bed), "500 5.5.2 line too long\r\n250 2.0.0 ok\r\n");
    }
    /* The bound itself, CRLF counted: section 4.5.3.1.4. */
    memset(line, 'A', len);
    memcpy(line, "NOOP ", 5);
    memcpy(line + LIMIT_COMMAND_LINE_BYTES - 2, "\r\n", 2);
    (void)server_bed_feed(&bed, bytes_of(line, LIMIT_COMMAND_LINE_BYTES), SIZE_MAX);
    cr_assert_str_eq(server_bed_take(&bed), "250 2.0.0 ok\r\n");
    memcpy(line + LIMIT_COMMAND_LINE_BYTES - 2, "A\r\n", 3);
    (void)server_bed_feed(&bed, bytes_of(line, LIMIT_COMMAND_LINE_BYTES + 1), SIZE_MAX);
    cr_assert_str_eq(server_bed_take(&bed), "500 5.5.2 line too long\r\n");
    free(line);
    server_bed_fini(&bed);
}

Test(smtp_server, nothing_behind_a_bare_lf_is_executed)
{
    /* Section 2.3.8: only CRLF ends a line. */
    struct server_bed bed;
    server_bed_init(&bed);
    (void)server_bed_take(&bed);
    server_bed_say(&bed, "NOOP\nQUIT\r\nNOOP\r\n");
    cr_assert_str_eq(server_bed_take(&bed),
                     "500 5.5.2 bare LF in a command line\r\n250 2.0.0 ok\r\n");
    server_bed_say(&bed, "NOOP\rQUIT\r\n");
    cr_assert_str_eq(server_bed_take(&bed), "500 5.5.2 bare CR in a command line\r\n");
    server_bed_say(&bed, "A\nB\nC\nD\n");
    cr_assert(bed.closed);
    server_bed_fini(&bed);
}

Test(smtp_server, every_byte_in_place_of_a_verb)
{
    for (unsigned c = 0; c < 256; c++) {
        struct server_bed bed;
        server_bed_init(&bed);
        (void)server_bed_take(&bed);
        char line[] = "XOOP\r\n";
        line[0] = (char)c;
        (void)server_bed_feed(&bed, bytes_of(line, 6), SIZE_MAX);
        const char *out = server_bed_take(&bed);
        bool noop = c == 'N' || c == 'n';
        cr_expect_eq(strncmp(out, noop ? "250" : "500", 3), 0, "%u: %s", c, out);
        server_bed_fini(&bed);
    }
}

Test(smtp_server, helo_name_is_made_harmless)
{
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "HELO a(b)\xff<;\"x\r\nMAIL FROM:<>\r\nRCPT TO:<r1@campus.example>\r\n"
                         "DATA\r\n.\r\n");
    cr_assert(bytes_equal(bed.envelope.helo, bytes_str("a?b?????x")));
    cr_assert_not_null(strstr((const char *)bed.body.data, "from a?b?????x ([192.0.2.1])\r\n"));
    cr_assert_not_null(strstr((const char *)bed.body.data, " with SMTP id "));
    server_bed_fini(&bed);
}

Test(smtp_server, ipv6_client_and_dates)
{
    static const struct {
        uint64_t ms;
        const char *date;
    } dates[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 +0000"},
        {UINT64_C(951782400000), "Tue, 29 Feb 2000 00:00:00 +0000"},
        {UINT64_C(4107542399999), "Sun, 28 Feb 2100 23:59:59 +0000"},
        {UINT64_C(1735689600000), "Wed, 01 Jan 2025 00:00:00 +0000"},
        {UINT64_MAX, "Sat, 20 Nov 2286 17:46:39 +0000"},
    };
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        struct server_bed bed;
        server_bed_init(&bed);
        cr_assert(ip_parse("2001:db8::25", &bed.server.client));
        bed.wall_ms = dates[i].ms;
        server_bed_say(&bed, "EHLO p\r\nMAIL FROM:<>\r\nRCPT TO:<r1@campus.example>\r\n"
                             "DATA\r\n.\r\n");
        const char *body = (const char *)bed.body.data;
        cr_expect_not_null(strstr(body, "([IPv6:2001:db8::25])\r\n"));
        cr_expect_not_null(strstr(body, dates[i].date), "%s", body);
        server_bed_fini(&bed);
    }
}

Test(smtp_server, timeout_hands_everything_back)
{
    struct server_bed bed;
    server_bed_init(&bed);
    bed.buffer_cap = 1;
    server_bed_say(&bed, "EHLO p\r\nMAIL FROM:<>\r\nRCPT TO:<r1@campus.example>\r\nDATA\r\nx");
    cr_assert(bed.txn_lent && smtp_server_in_body(&bed.server));
    smtp_server_timeout(&bed.server, "too slow");
    server_bed_say(&bed, "");
    cr_assert(bed.closed && !bed.txn_lent && bed.abort_count == 1);
    cr_assert_not_null(strstr(server_bed_take(&bed), "421 4.4.2 mx.campus.example too slow\r\n"));
    server_bed_fini(&bed);
}

Test(smtp_server, timeout_waits_for_a_commit)
{
    /* A 421 before the answer to a message that is being stored would make it come twice. */
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "EHLO p\r\nMAIL FROM:<>\r\nRCPT TO:<r1@campus.example>\r\nDATA\r\nx\r\n");
    (void)server_bed_take(&bed);
    size_t used;
    enum smtp_server_action action = smtp_server_feed(&bed.server, bytes_str(".\r\n"), 0, &used);
    cr_assert_eq(action, SMTP_SERVER_COMMIT);
    struct smtp_gather gather = smtp_server_take_buffer(&bed.server);
    smtp_server_timeout(&bed.server, "shutting down");
    cr_assert_eq(smtp_server_output(&bed.server).len, 0);
    smtp_server_committed(&bed.server, SMTP_COMMIT_OK);
    cr_assert_eq(smtp_server_take_transaction(&bed.server), &bed.txn);
    cr_assert_eq(smtp_server_feed(&bed.server, bytes_of("", 0), 0, &used), SMTP_SERVER_CLOSE);
    const char *out = server_bed_take(&bed);
    cr_assert_eq(strncmp(out, "250 2.0.0 ", 10), 0);
    cr_assert_not_null(strstr(out, "\r\n421 "));
    free(gather.data);
    server_bed_fini(&bed);
}

Test(smtp_server, idle_means_nothing_begun)
{
    struct server_bed bed;
    server_bed_init(&bed);
    cr_assert(smtp_server_is_idle(&bed.server));
    server_bed_say(&bed, "EH");
    cr_assert_not(smtp_server_is_idle(&bed.server));
    server_bed_say(&bed, "LO p\r\n");
    cr_assert(smtp_server_is_idle(&bed.server));
    server_bed_say(&bed, "MAIL FROM:<>\r\n");
    cr_assert_not(smtp_server_is_idle(&bed.server));
    server_bed_say(&bed, "RSET\r\n");
    cr_assert(smtp_server_is_idle(&bed.server));
    server_bed_fini(&bed);
}

Test(smtp_server, no_transaction_is_452)
{
    struct server_bed bed;
    server_bed_init(&bed);
    bed.no_transaction = true;
    server_bed_say(&bed, "EHLO p\r\n");
    (void)server_bed_take(&bed);
    server_bed_say(&bed, "MAIL FROM:<>\r\nRCPT TO:<r1@campus.example>\r\nDATA\r\n");
    const char *out = server_bed_take(&bed);
    cr_assert_eq(strncmp(out, "452 4.3.1", 9), 0);
    cr_assert_eq(bed.abort_count, 0);
    struct smtp_server_tally tally = smtp_server_take_tally(&bed.server);
    cr_assert_eq(tally.tempfails, 1);
    cr_assert_eq(tally.protocol_errors, 0);
    server_bed_fini(&bed);
}

/* A 503 that only follows from a refusal counts as no mistake, up to a limit. */
Test(smtp_server, what_follows_a_refusal_has_an_end)
{
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "EHLO p\r\nMAIL FROM:<bad\r\n");
    unsigned count = 0;
    while (!bed.closed && count < LIMIT_SMTP_FOLLOWS + LIMIT_SMTP_MISTAKES) {
        server_bed_say(&bed, "RCPT TO:<r1@campus.example>\r\n");
        count++;
    }
    cr_assert(bed.closed && count > LIMIT_SMTP_FOLLOWS);
    server_bed_fini(&bed);
}

/* The index is that of the route, not of the recipient. */
Test(smtp_server, recipients_of_a_route_share_its_index)
{
    static const char *const rcpt[] = {"r1.a", "r1.b", "r2.a", "r2.b", "r1.c", "r3.a"};
    static const uint8_t expected[] = {0, 0, 1, 1, 0, 2};
    struct server_bed bed;
    server_bed_init(&bed);
    server_bed_say(&bed, "EHLO p\r\nMAIL FROM:<>\r\n");
    for (unsigned i = 0; i < 6; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "RCPT TO:<%s@campus.example>\r\n", rcpt[i]);
        server_bed_say(&bed, line);
    }
    server_bed_say(&bed, "DATA\r\nx\r\n.\r\n");
    cr_assert(bed.message_count == 1 && bed.envelope.rcpt_count == 6);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(bed.envelope.rcpt[i].route_index, expected[i]);
    }
    server_bed_fini(&bed);
}
