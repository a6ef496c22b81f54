/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/test_loop.c: our client delivers random messages to our server, through windows
 * and buffers of random small sizes; each must arrive as it left. */
#include "tests/unit/smtp/bed.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static uint64_t seed = 7;

static uint32_t rnd(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}

/* Lines of all kinds: dots, long ones, eight bits, empty ones; CRLF ends them. */
static size_t make_body(uint8_t *out, size_t size)
{
    size_t len = 0;
    for (unsigned lines = rnd(60); lines > 0 && len + 6000 < size; lines--) {
        static const char *const starts[] = {"", ".", "..", ".\t", "Received: x", "...."};
        const char *start = starts[rnd(6)];
        memcpy(out + len, start, strlen(start));
        len += strlen(start);
        unsigned fill = rnd(8) == 0 ? rnd(5000) : rnd(80);
        for (unsigned i = 0; i < fill; i++) {
            uint8_t c = (uint8_t)rnd(256);
            out[len++] = c == '\r' || c == '\n' ? '.' : c;
        }
        out[len++] = '\r';
        out[len++] = '\n';
    }
    return len;
}

/* Moves bytes both ways in random portions until neither side has any. */
static void exchange(struct client_bed *client, struct server_bed *server)
{
    bool moved = true;
    while (moved) {
        moved = false;
        struct bytes up = bytes_of(client->out.data, client->out.len);
        if (up.len > 0) {
            (void)server_bed_feed(server, up, 1 + rnd(50));
            bed_text_clear(&client->out);
            moved = true;
        }
        if (server->out.len > 0) {
            struct bed_text down = server->out;
            server->out = (struct bed_text){0};
            bed_text_add(&server->out, "", 0);
            (void)client_bed_feed(client, bytes_of(down.data, down.len), 1 + rnd(20));
            bed_text_free(&down);
            moved = true;
        }
    }
}

static void deliver(struct client_bed *client, struct server_bed *server, struct bytes body)
{
    static const char *const local[] = {"r1@campus.example", "r2@campus.example",
                                        "unknown@campus.example", "postmaster@campus.example"};
    client->delivery.rcpt_count = (uint16_t)(1 + rnd(6));
    unsigned good = 0;
    for (unsigned i = 0; i < client->delivery.rcpt_count; i++) {
        unsigned which = rnd(4);
        client->delivery.rcpt[i] = bytes_str(local[which]);
        good += which != 2;
    }
    client->delivery.sender = bytes_str(rnd(2) == 0 ? "" : "\"a b\"@[192.0.2.9]");
    client->delivery.eight_bit = rnd(2) == 0;
    client->body = body;
    client->body_room = 1 + rnd(400);
    client->drain = 1 + rnd(400);
    server->buffer_cap = 1 + rnd(2000);
    unsigned before = server->message_count;
    unsigned done = client->done_count;
    client_bed_begin(client);
    exchange(client, server);
    cr_assert_eq(client->done_count, done + 1);
    cr_assert_eq(client->action, SMTP_CLIENT_READY);
    cr_assert_eq(server->message_count, before + (good > 0));
    for (unsigned i = 0; i < client->delivery.rcpt_count; i++) {
        bool unknown = client->delivery.rcpt[i].data[0] == 'u';
        cr_assert_eq(client->client.result[i].outcome,
                     unknown ? OUTCOME_USER_UNKNOWN : OUTCOME_DELIVERED);
    }
    if (good > 0) {
        cr_assert(bytes_equal(server_bed_content(server), body));
        cr_assert(bytes_equal(server->envelope.sender, client->delivery.sender));
        cr_assert_eq(server->envelope.flags, client->delivery.eight_bit ? ENVELOPE_8BITMIME : 0);
    }
}

static void loop(uint32_t capabilities_less, unsigned rounds)
{
    static uint8_t body[400000];
    struct server_bed server;
    struct client_bed client;
    server_bed_init(&server);
    client_bed_init(&client, false);
    server_bed_say(&server, "");
    exchange(&client, &server);
    cr_assert_eq(client.action, SMTP_CLIENT_READY);
    client.client.capabilities &= ~capabilities_less;
    for (unsigned i = 0; i < rounds; i++) {
        size_t len = make_body(body, sizeof body);
        deliver(&client, &server, bytes_of(body, len));
    }
    smtp_client_quit(&client.client);
    client_bed_pump(&client);
    exchange(&client, &server);
    cr_assert(server.closed);
    cr_assert_eq(client.action, SMTP_CLIENT_BROKEN);
    cr_assert_eq(client.client.broken.outcome, OUTCOME_NONE);
    client_bed_fini(&client);
    server_bed_fini(&server);
}

Test(smtp_loop, pipelined)
{
    loop(0, 300);
}

Test(smtp_loop, one_command_at_a_time)
{
    loop(1 << 0, 100); /* PIPELINING */
}
