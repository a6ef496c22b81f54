/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/test_client.c: the client against hostile and broken hops. The conversations as
 * such are in tests/scripts; here is what a script cannot say. */
#include "tests/unit/smtp/bed.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const char greeting[] = "220 hop ESMTP\r\n250-hop\r\n250-PIPELINING\r\n250-SIZE 1000\r\n"
                               "250 8BITMIME\r\n";

/* A client with `count` recipients and "x\r\n" for them, greeted by a hop. */
static void ready(struct client_bed *bed, const char *hello, unsigned count, bool lmtp)
{
    client_bed_init(bed, lmtp);
    size_t first = bytes_index(bytes_str(hello), '\n') + 1;
    (void)client_bed_feed(bed, bytes_of(hello, first), SIZE_MAX);
    client_bed_say(bed, hello + first);
    cr_assert_eq(bed->action, SMTP_CLIENT_READY);
    (void)client_bed_take(bed);
    bed->delivery.sender = bytes_str("s@x.example");
    bed->delivery.rcpt_count = (uint16_t)count;
    for (unsigned i = 0; i < count; i++) {
        bed->delivery.rcpt[i] = bytes_str("r@hop.example");
    }
    bed->body = bytes_str("x\r\n");
}

static void expect_all(const struct client_bed *bed, enum outcome outcome, enum abi_phase phase)
{
    for (unsigned i = 0; i < bed->delivery.rcpt_count; i++) {
        cr_expect_eq(bed->client.result[i].outcome, outcome, "rcpt %u: %s", i,
                     outcome_text(bed->client.result[i].outcome));
        cr_expect_eq(bed->client.result[i].phase, phase);
    }
}

Test(smtp_client, delivers_pipelined)
{
    struct client_bed bed;
    ready(&bed, greeting, 2, false);
    client_bed_begin(&bed);
    cr_assert_str_eq(client_bed_take(&bed),
                     "MAIL FROM:<s@x.example> SIZE=3\r\nRCPT TO:<r@hop.example>\r\n"
                     "RCPT TO:<r@hop.example>\r\nDATA\r\n");
    client_bed_say(&bed, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    cr_assert_str_eq(client_bed_take(&bed), "x\r\n.\r\n");
    cr_assert_eq(smtp_client_phase(&bed.client), ABI_PHASE_DOT);
    client_bed_say(&bed, "250 2.0.0 queued as 42\r\n");
    expect_all(&bed, OUTCOME_DELIVERED, ABI_PHASE_DOT);
    cr_assert_eq(bed.done_count, 1);
    cr_assert_eq(bed.action, SMTP_CLIENT_READY);
    cr_assert_str_eq(bed.client.text, "2.0.0 queued as 42");
    client_bed_fini(&bed);
}

Test(smtp_client, reply_is_bounded_in_lines)
{
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    client_bed_begin(&bed);
    for (unsigned i = 0; i < 100; i++) {
        client_bed_say(&bed, "250-and another thing\r\n");
    }
    cr_assert_eq(bed.action, SMTP_CLIENT_BROKEN);
    expect_all(&bed, OUTCOME_REPLY_INVALID, ABI_PHASE_MAIL);
    client_bed_fini(&bed);
}

Test(smtp_client, reply_is_bounded_in_bytes)
{
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    client_bed_begin(&bed);
    size_t fed = 0;
    while (bed.action != SMTP_CLIENT_BROKEN && fed < 1000000) {
        client_bed_say(&bed, "2500000000000000000000000000000000000000000000000000000000000000");
        fed += 64;
    }
    cr_assert_lt(fed, 100000);
    expect_all(&bed, OUTCOME_REPLY_INVALID, ABI_PHASE_MAIL);
    client_bed_fini(&bed);
}

Test(smtp_client, long_reply_line_is_cut_not_refused)
{
    /* RFC 5321 section 4.5.3.1.5 says 512; a longer line is cut, not refused. */
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    client_bed_begin(&bed);
    char line[3002];
    memset(line, 'y', sizeof line);
    memcpy(line, "250 ", 4);
    memcpy(line + 2999, "\r\n", 3);
    client_bed_say(&bed, line);
    cr_assert_eq(smtp_client_phase(&bed.client), ABI_PHASE_RCPT);
    client_bed_fini(&bed);
}

Test(smtp_client, what_is_no_reply)
{
    static const char *const bad[] = {"\r\n",
                                      "25\r\n",
                                      "2500 x\r\n",
                                      "abc\r\n",
                                      "250_ok\r\n",
                                      "150 x\r\n",
                                      "650 x\r\n",
                                      "-50 x\r\n",
                                      "250-a\r\n251 b\r\n",
                                      " 250 ok\r\n",
                                      "HTTP/1.1 400 Bad Request\r\n",
                                      "354 x\r\n",
                                      "250-a\r\n\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct client_bed bed;
        ready(&bed, greeting, 2, false);
        client_bed_begin(&bed);
        client_bed_say(&bed, bad[i]);
        cr_expect_eq(bed.action, SMTP_CLIENT_BROKEN, "%s", bad[i]);
        expect_all(&bed, OUTCOME_REPLY_INVALID, ABI_PHASE_MAIL);
        cr_expect_eq(bed.client.broken.outcome, OUTCOME_REPLY_INVALID);
        client_bed_fini(&bed);
    }
}

Test(smtp_client, reply_text_is_cleaned)
{
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    client_bed_begin(&bed);
    static const char reply[] = "550-5.1.1 \0no\x1b[2J\xff\n550 \tuser\r\n";
    (void)client_bed_feed(&bed, bytes_of(reply, sizeof reply - 1), 1);
    cr_assert_eq(bed.client.result[0].outcome, OUTCOME_REJECTED); /* of MAIL: all of them */
    cr_assert_str_eq(smtp_client_rcpt_text(&bed.client, 0), "5.1.1 ?no?[2J? / ?user");
    client_bed_fini(&bed);
}

Test(smtp_client, many_texts_are_bounded)
{
    struct client_bed bed;
    ready(&bed, greeting, 100, false);
    client_bed_begin(&bed);
    client_bed_say(&bed, "250 ok\r\n");
    char line[100];
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(line, sizeof line, "550 5.1.1 user %u unknown\r\n", i);
        client_bed_say(&bed, line);
    }
    client_bed_say(&bed, "503 5.5.1 no recipients\r\n");
    cr_assert_eq(bed.done_count, 1);
    expect_all(&bed, OUTCOME_USER_UNKNOWN, ABI_PHASE_RCPT);
    cr_assert_str_eq(smtp_client_rcpt_text(&bed.client, 0), "5.1.1 user 0 unknown");
    cr_assert_str_eq(smtp_client_rcpt_text(&bed.client, 15), "5.1.1 user 15 unknown");
    cr_assert_str_eq(smtp_client_rcpt_text(&bed.client, 16), "");
    client_bed_fini(&bed);
}

Test(smtp_client, output_drains_through_a_small_window)
{
    /* RFC 2920 section 3.1: replies are read while commands are still being sent. */
    struct client_bed bed;
    ready(&bed, greeting, LIMIT_RCPTS, false);
    bed.drain = 7;
    client_bed_begin(&bed);
    const char *out = client_bed_take(&bed);
    unsigned lines = 0;
    for (const char *p = out; (p = strchr(p, '\n')) != NULL; p++) {
        lines++;
    }
    cr_assert_eq(lines, LIMIT_RCPTS + 2);
    cr_assert_str_eq(out + strlen(out) - 6, "DATA\r\n");
    client_bed_fini(&bed);
}

Test(smtp_client, lost_in_each_phase)
{
    static const struct {
        const char *replies;
        enum abi_phase phase;
        enum outcome outcome;
    } table[] = {
        {"", ABI_PHASE_MAIL, OUTCOME_CONNECTION_LOST},
        {"250 ok\r\n", ABI_PHASE_RCPT, OUTCOME_CONNECTION_LOST},
        {"250 ok\r\n250 ok\r\n", ABI_PHASE_DATA, OUTCOME_CONNECTION_LOST},
        {"250 ok\r\n250 ok\r\n354 go\r\n", ABI_PHASE_DOT, OUTCOME_DOT_LOST},
        {"250 ok\r\n250 ok\r\n354 go\r\n250 o", ABI_PHASE_DOT, OUTCOME_DOT_LOST},
        {"250 ok\r\n250 ok\r\n354 go\r\n250-ok\r\n", ABI_PHASE_DOT, OUTCOME_DOT_LOST},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct client_bed bed;
        ready(&bed, greeting, 1, false);
        client_bed_begin(&bed);
        client_bed_say(&bed, table[i].replies);
        smtp_client_lost(&bed.client, OUTCOME_NONE);
        client_bed_pump(&bed);
        cr_expect_eq(bed.action, SMTP_CLIENT_BROKEN);
        expect_all(&bed, table[i].outcome, table[i].phase);
        client_bed_fini(&bed);
    }
}

Test(smtp_client, lost_while_sending_the_body)
{
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    bed.body_room = 0;
    client_bed_begin(&bed);
    client_bed_say(&bed, "250 ok\r\n250 ok\r\n354 go\r\n");
    cr_assert_eq(bed.action, SMTP_CLIENT_BODY);
    uint8_t out[8];
    size_t used;
    /* All of the body and a part of its end: the hop cannot have it all. */
    size_t written = smtp_client_body(&bed.client, bytes_str("x\r\n"), out, 5, &used);
    cr_assert_eq(written, 5);
    cr_assert_not(smtp_client_body_done(&bed.client));
    smtp_client_lost(&bed.client, OUTCOME_CONNECT_TIMEOUT);
    expect_all(&bed, OUTCOME_CONNECT_TIMEOUT, ABI_PHASE_BODY);
    client_bed_fini(&bed);
}

Test(smtp_client, reply_before_all_was_sent_is_never_delivered)
{
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    client_bed_begin(&bed);
    client_bed_say(&bed, "250 ok\r\n250 ok\r\n354 go\r\n");
    smtp_client_set_unsent(&bed.client, true);
    client_bed_say(&bed, "250 ok\r\n");
    cr_assert_eq(bed.action, SMTP_CLIENT_BROKEN);
    expect_all(&bed, OUTCOME_REPLY_INVALID, ABI_PHASE_DOT);
    client_bed_fini(&bed);
}

Test(smtp_client, a_reply_too_many_breaks_the_connection)
{
    /* Else each later message would get the reply to the message before it. */
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    client_bed_begin(&bed);
    client_bed_say(&bed, "250 ok\r\n250 ok\r\n354 go\r\n");
    client_bed_say(&bed, "250 ok\r\n250 ok again\r\n");
    expect_all(&bed, OUTCOME_DELIVERED, ABI_PHASE_DOT);
    cr_assert_eq(bed.done_count, 1);
    cr_assert_eq(bed.action, SMTP_CLIENT_BROKEN);
    client_bed_fini(&bed);

    ready(&bed, greeting, 1, false);
    client_bed_say(&bed, "250 what\r\n");
    cr_assert_eq(bed.action, SMTP_CLIENT_BROKEN);
    client_bed_fini(&bed);

    ready(&bed, greeting, 1, false);
    client_bed_say(&bed, "250 wh"); /* the rest comes when a delivery has begun */
    client_bed_begin(&bed);
    client_bed_say(&bed, "at\r\n");
    cr_assert_eq(bed.action, SMTP_CLIENT_BROKEN);
    expect_all(&bed, OUTCOME_REPLY_INVALID, ABI_PHASE_MAIL);
    client_bed_fini(&bed);
}

Test(smtp_client, address_with_a_line_end_is_never_said)
{
    struct client_bed bed;
    ready(&bed, greeting, 1, false);
    bed.delivery.rcpt[0] = bytes_str("a@b>\r\nRCPT TO:<c@d");
    client_bed_begin(&bed);
    cr_assert_str_eq(client_bed_take(&bed), "");
    expect_all(&bed, OUTCOME_DAMAGED, ABI_PHASE_MAIL);
    cr_assert_eq(bed.done_count, 1);
    client_bed_fini(&bed);
}

Test(smtp_client, capabilities_decide_at_once)
{
    struct client_bed bed;
    ready(&bed, greeting, 2, false);
    char big[1002];
    memset(big, 'x', sizeof big);
    bed.body = bytes_of(big, 1001);
    client_bed_begin(&bed);
    expect_all(&bed, OUTCOME_SIZE, ABI_PHASE_MAIL);
    cr_assert_eq(bed.done_count, 1);
    client_bed_pump(&bed);
    cr_assert_eq(bed.action, SMTP_CLIENT_READY);
    client_bed_fini(&bed);

    ready(&bed, "220 hop\r\n250 hop\r\n", 2, false);
    bed.delivery.eight_bit = true;
    client_bed_begin(&bed);
    expect_all(&bed, OUTCOME_CAPABILITY, ABI_PHASE_MAIL);
    client_bed_fini(&bed);
}

/* RFC 5321 section 4.5.2, for every size of output and piece of input. */
static void stuff(const char *body, const char *wire)
{
    size_t len = strlen(body);
    for (size_t room = 1; room < 12; room++) {
        struct client_bed bed;
        ready(&bed, greeting, 1, false);
        bed.body = bytes_str(body);
        bed.body_room = room;
        client_bed_begin(&bed);
        client_bed_say(&bed, "250 ok\r\n250 ok\r\n");
        (void)client_bed_take(&bed);
        client_bed_say(&bed, "354 go\r\n");
        cr_expect_str_eq(client_bed_take(&bed), wire, "room %zu", room);
        cr_expect_eq(bed.body_at, len);
        client_bed_fini(&bed);
    }
}

Test(smtp_client, dots_are_stuffed)
{
    stuff("", ".\r\n");
    stuff(".\r\n", "..\r\n.\r\n");
    stuff("..\r\n.a\r\n\r\n.\r\nb.\r\n", "...\r\n..a\r\n\r\n..\r\nb.\r\n.\r\n");
    stuff("no end", "no end\r\n.\r\n");
    /* Never stored by us; sent so that no reader of it finds an end too early. */
    stuff("a\n.\nb\r\n", "a\n..\nb\r\n.\r\n");
    stuff("a\n", "a\n\r\n.\r\n");
    stuff("a\r", "a\r\r\n.\r\n");
}

Test(smtp_client, any_cut_of_replies_is_like_none)
{
    static const char *const talk[] = {"220 hop\r\n",
                                       "250-hop\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE\r\n"};
    static const char replies[] = "250 ok\r\n250-2.1.5 ok\r\n250 2.1.5 ok\r\n550-5.1.1 no\r\n"
                                  "550 5.1.1 body\r\n450 4.2.0 later\r\n354 go\r\n";
    for (size_t piece = 1; piece < 80; piece++) {
        struct client_bed bed;
        client_bed_init(&bed, false);
        (void)client_bed_feed(&bed, bytes_str(talk[0]), piece);
        (void)client_bed_feed(&bed, bytes_str(talk[1]), piece);
        bed.delivery.sender = bytes_str("");
        bed.delivery.rcpt_count = 3;
        for (unsigned i = 0; i < 3; i++) {
            bed.delivery.rcpt[i] = bytes_str("r@hop.example");
        }
        bed.body = bytes_str(".\r\n");
        (void)client_bed_take(&bed);
        client_bed_begin(&bed);
        (void)client_bed_feed(&bed, bytes_str(replies), piece);
        cr_assert_str_eq(client_bed_take(&bed),
                         "MAIL FROM:<> SIZE=3\r\nRCPT TO:<r@hop.example>\r\n"
                         "RCPT TO:<r@hop.example>\r\nRCPT TO:<r@hop.example>\r\n"
                         "DATA\r\n..\r\n.\r\n");
        (void)client_bed_feed(&bed, bytes_str("250 2.0.0 got it\r\n"), piece);
        cr_assert_eq(bed.client.result[0].outcome, OUTCOME_DELIVERED);
        cr_assert_eq(bed.client.result[1].outcome, OUTCOME_USER_UNKNOWN);
        cr_assert_eq(bed.client.result[2].outcome, OUTCOME_REPLY_4XX);
        cr_assert_eq(bed.action, SMTP_CLIENT_READY);
        cr_assert_str_eq(smtp_client_rcpt_text(&bed.client, 1), "5.1.1 no / 5.1.1 body");
        client_bed_fini(&bed);
    }
}

/* --- replies that came before their command was sent ----------------------------------------- */

static enum smtp_client_action raw_feed(struct smtp_client *client, const char *text)
{
    size_t used;
    return smtp_client_feed(client, bytes_str(text), &used);
}

static void raw_sent(struct smtp_client *client)
{
    smtp_client_output_sent(client, smtp_client_output(client).len);
}

/* A client whose output stays where it is until raw_sent, with a delivery to one recipient. */
static void raw_begin(struct smtp_client *client, struct smtp_delivery *delivery, const char *hello)
{
    smtp_client_init(client, "mx.example", false);
    (void)raw_feed(client, "220 hop\r\n");
    raw_sent(client);
    cr_assert_eq(raw_feed(client, hello), SMTP_CLIENT_READY);
    *delivery = (struct smtp_delivery){.sender = bytes_str("s@x.example"), .rcpt_count = 1};
    delivery->rcpt[0] = bytes_str("r@hop.example");
    delivery->body_bytes = 1000;
    smtp_client_begin(client, delivery);
}

static void expect_broken(const struct smtp_client *client, enum smtp_client_action action)
{
    cr_assert_eq(action, SMTP_CLIENT_BROKEN);
    cr_assert_eq(client->broken.outcome, OUTCOME_REPLY_INVALID);
    cr_assert_eq(smtp_client_output(client).len, 0, "nothing more is said");
}

Test(smtp_client, a_reply_before_the_first_command_was_sent)
{
    struct smtp_client client;
    struct smtp_delivery delivery;
    raw_begin(&client, &delivery, "250-hop\r\n250 PIPELINING\r\n");
    expect_broken(&client, raw_feed(&client, "250 stray\r\n"));
    raw_begin(&client, &delivery, "250 hop\r\n");
    expect_broken(&client, raw_feed(&client, "250 stray\r\n"));
}

Test(smtp_client, a_reply_before_its_command_was_sent)
{
    struct smtp_client client;
    struct smtp_delivery delivery;
    raw_begin(&client, &delivery, "250 hop\r\n");
    raw_sent(&client); /* MAIL; its answer brings RCPT into the output, where it stays */
    expect_broken(&client, raw_feed(&client, "250 ok\r\n250 stray\r\n"));
}

/* RFC 2920 section 3.1: a 354 without an accepted recipient is answered with a dot. A reply that
 * comes before that dot was sent is not the reply to it. */
Test(smtp_client, a_reply_before_the_lone_dot_was_sent)
{
    struct smtp_client client;
    struct smtp_delivery delivery;
    raw_begin(&client, &delivery, "250-hop\r\n250 PIPELINING\r\n");
    raw_sent(&client);
    expect_broken(&client, raw_feed(&client, "250 ok\r\n550 5.1.1 no\r\n354 go\r\n250 stray\r\n"));
}

/* The next message is not begun on a connection on which one reply too many has come. */
Test(smtp_client, a_reply_too_many_shows_before_the_next_delivery)
{
    struct smtp_client client;
    struct smtp_delivery delivery;
    uint8_t wire[64];
    size_t used;
    raw_begin(&client, &delivery, "250-hop\r\n250 PIPELINING\r\n");
    raw_sent(&client);
    (void)raw_feed(&client, "250 ok\r\n250 ok\r\n354 go\r\n");
    client.body_left = 3;
    (void)smtp_client_body(&client, bytes_str("x\r\n"), wire, sizeof wire, &used);
    cr_assert_eq(raw_feed(&client, "250 taken\r\n250 stray\r\n"), SMTP_CLIENT_DONE);
    cr_assert_eq(client.state, SMTP_CLIENT_STATE_BROKEN);
}

/* RFC 1870: what the hop takes is taken to its last octet. */
Test(smtp_client, a_message_of_just_the_size_is_sent)
{
    struct smtp_client client;
    struct smtp_delivery delivery;
    raw_begin(&client, &delivery, "250-hop\r\n250 SIZE 1000\r\n");
    cr_assert_eq(client.state, SMTP_CLIENT_STATE_ENVELOPE);
    raw_begin(&client, &delivery, "250-hop\r\n250 SIZE 999\r\n");
    cr_assert_eq(client.result[0].outcome, OUTCOME_SIZE);
}
