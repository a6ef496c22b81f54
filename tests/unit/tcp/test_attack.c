/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_attack.c: what strangers send: RSTs, SYNs, ACKs, options, noise. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* RFC 5961 section 3.2: a RST with the exact sequence number resets; one in the window gets a
 * challenge ACK; one outside gets nothing. */
Test(blind, rst)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(1, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    struct peer forged = peer;
    forged.seq = peer.seq + 100;
    peer_send(&forged, TCP_FLAG_RST, NULL, 0);
    cr_assert_not(app->closed);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_ACK);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq);
    forged.seq = peer.seq + 70000;
    peer_send(&forged, TCP_FLAG_RST, NULL, 0);
    forged.seq = peer.seq - 1;
    peer_send(&forged, TCP_FLAG_RST, NULL, 0);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_not(app->closed);
    peer_send(&peer, TCP_FLAG_RST, NULL, 0);
    cr_assert_eq(app->seen, TCP_EVENT_OPENED | TCP_EVENT_RESET | TCP_EVENT_CLOSED);
    link_destroy(link);
}

/* RFC 5961 sections 4.2, 5.2 and 7: a SYN anywhere and impossible ACKs get challenge ACKs, up to a
 * limit. */
Test(blind, syn_and_impossible_ack)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(2, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    for (uint32_t i = 0; i < 100; i++) {
        struct peer forged = peer;
        forged.seq = peer.seq + i * 1000;
        peer_send(&forged, TCP_FLAG_SYN, NULL, 0);
        forged.seq = peer.seq;
        forged.ack = peer.ack + 1 + i;
        peer_send(&forged, TCP_FLAG_ACK, "x", 1);
        forged.ack = peer.ack - 100000 - i;
        peer_send(&forged, TCP_FLAG_ACK, "x", 1);
    }
    cr_assert_eq(peer_count(&peer), LIMIT_TCP_CHALLENGES_PER_S);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_ACK);
    cr_assert_not(app->closed);
    cr_assert_eq(app->readable_count, 0, "data with an impossible ACK is not taken");
    uint8_t byte = link_pattern(0);
    peer_send(&peer, TCP_FLAG_ACK, &byte, 1);
    cr_assert_eq(app->read, 1, "the true peer goes on");
    link_destroy(link);
}

/* RFC 9293 section 3.10.7.1: RST for what belongs nowhere, never for a RST. */
Test(blind, unknown_segments)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(3, &settings);
    link->end[0].hold = true;
    struct peer peer = {.link = link, .port = 1, .seq = 10, .ack = 777};
    peer_send(&peer, TCP_FLAG_ACK, "abc", 3);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_RST);
    cr_assert_eq(peer_last(&peer)->seq, 777);
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_RST, NULL, 0);
    peer_send(&peer, TCP_FLAG_RST | TCP_FLAG_ACK, NULL, 0);
    peer_send(&peer, 0, NULL, 0); /* null */
    peer_send(&peer, TCP_FLAG_SYN | TCP_FLAG_FIN, NULL, 0);
    cr_assert_eq(peer_count(&peer), 0);
    uint8_t syn[20] = {0, 9, 0, 99, 0, 0, 0, 50, 0, 0, 0, 0, 0x50, TCP_FLAG_SYN, 1, 0};
    peer_input(&peer, syn, sizeof syn); /* no listener on port 99 */
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_RST | TCP_FLAG_ACK);
    cr_assert_eq(peer_last(&peer)->ack, 51);
    struct tcp_stats stats;
    tcp_stack_stats(link->end[0].stack, &stats);
    cr_assert_eq(stats.conn_count, 0);
    cr_assert_eq(stats.resets_sent, 2);
    link_destroy(link);
}

/* RFC 9293 MUST-57 and the LAND attack. */
Test(blind, addresses)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(4, &settings);
    struct link_end *end = &link->end[0];
    end->hold = true;
    uint8_t syn[20] = {0, 25, 0, 25, 0, 0, 0, 50, 0, 0, 0, 0, 0x50, TCP_FLAG_SYN, 1, 0};
    static const char *const pair[][2] = {
        {"10.0.0.1", "10.0.0.1"},        {"224.0.0.1", "10.0.0.1"},       {"10.0.0.2", "224.0.0.1"},
        {"255.255.255.255", "10.0.0.1"}, {"10.0.0.2", "255.255.255.255"}, {"0.0.0.0", "10.0.0.1"},
        {"ff02::1", "fd00::1"},          {"fd00::2", "ff02::1"},          {"::", "fd00::1"},
    };
    for (unsigned i = 0; i < sizeof pair / sizeof pair[0]; i++) {
        struct ip_addr src;
        struct ip_addr dst;
        cr_assert(ip_parse(pair[i][0], &src) && ip_parse(pair[i][1], &dst));
        tcp_input(end->stack, &src, &dst, bytes_of(syn, sizeof syn), link->now_ns);
        tcp_input_done(end->stack);
        tcp_output(end->stack, link->now_ns);
        cr_assert_eq(end->out_count, 0, "%s to %s", pair[i][0], pair[i][1]);
    }
    syn[1] = 0; /* port 0 */
    tcp_input(end->stack, &link->end[1].addr, &end->addr, bytes_of(syn, 20), link->now_ns);
    tcp_output(end->stack, link->now_ns);
    cr_assert_eq(end->out_count, 0);
    link_destroy(link);
}

/* RFC 7323 section 5: PAWS drops a segment that is older than the last timestamp, and answers with
 * an ACK. */
Test(blind, paws)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(5, &settings);
    struct peer peer = {.timestamps = true, .ts_value = UINT32_C(0xfffffff0)};
    struct link_app *app = peer_open(&peer, link);
    uint8_t text[3] = {link_pattern(0), link_pattern(1), link_pattern(2)};
    peer.ts_value += 0x20; /* wraps */
    peer_send(&peer, TCP_FLAG_ACK, text, 1);
    cr_assert_eq(app->read, 1);
    peer.seq++;
    peer_wait(&peer, 50 * TCP_NS_PER_MS);
    cr_assert_eq(peer_last(&peer)->ts_echo, peer.ts_value);
    struct peer old = peer;
    old.ts_value -= 1;
    peer_clear(&peer);
    peer_send(&old, TCP_FLAG_ACK, "z", 1);
    cr_assert_eq(app->read, 1, "old duplicate");
    cr_assert_eq(peer_last(&peer)->ack, peer.seq);
    peer_send(&peer, TCP_FLAG_ACK, text + 1, 1);
    cr_assert_eq(app->read, 2);
    peer.seq++;
    /* After 24 days of silence the timestamp proves nothing (section 5.5). */
    peer_wait(&peer, 25ull * 24 * 3600 * TCP_NS_PER_S);
    peer.ts_value -= 1000;
    peer_send(&peer, TCP_FLAG_ACK, text + 2, 1);
    cr_assert_eq(app->read, 3);
    cr_assert_not(app->wrong_byte);
    link_destroy(link);
}

/* RFC 9293 section 3.2 (MUST-7): illegal option lengths. */
Test(options, malformed)
{
    static const struct {
        uint8_t option[8];
        bool good;
    } table[] = {
        {{0}, true},                           /* end of list */
        {{1, 1, 1, 1, 1, 1, 1, 1}, true},      /* NOPs */
        {{1, 1, 1, 1, 1, 1, 1, 2}, false},     /* kind without a length */
        {{2, 0, 0, 0, 0, 0, 0, 0}, false},     /* length 0: would loop for ever */
        {{2, 1, 5, 5, 0, 0, 0, 0}, false},     /* length 1 */
        {{2, 4, 5, 180, 3, 3, 20, 0}, true},   /* MSS, window scale 20 */
        {{2, 9, 5, 180, 0, 0, 0, 0}, false},   /* runs over the end */
        {{8, 10, 0, 0, 0, 0, 0, 0}, false},    /* timestamps cut short */
        {{254, 255, 1, 1, 1, 1, 1, 1}, false}, /* unknown and too long */
        {{254, 8, 1, 1, 1, 1, 1, 1}, true},    /* unknown: passed over (MUST-6) */
        {{254, 2, 2, 4, 5, 180, 0, 0}, true},
        {{2, 2, 1, 1, 1, 1, 1, 1}, true}, /* MSS of no length: as if unknown */
        {{0, 2, 0, 0, 2, 0, 0, 0}, true}, /* behind the end nothing counts */
    };
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t *wire = calloc(1, 28);
        cr_assert_not_null(wire);
        wire[12] = 0x70;
        memcpy(wire + 20, table[i].option, 8);
        struct tcp_segment segment;
        cr_assert_eq(tcp_segment_parse(bytes_of(wire, 28), &segment), table[i].good, "row %u", i);
        free(wire);
    }
    struct tcp_segment segment;
    uint8_t head[24] = {0};
    head[12] = 0x50;
    cr_assert(tcp_segment_parse(bytes_of(head, 20), &segment));
    cr_assert_not(tcp_segment_parse(bytes_of(head, 19), &segment), "short");
    head[12] = 0x40;
    cr_assert_not(tcp_segment_parse(bytes_of(head, 24), &segment), "header below 20 bytes");
    head[12] = 0x70;
    cr_assert_not(tcp_segment_parse(bytes_of(head, 24), &segment), "header past the end");
}

/* RFC 7323 section 2.3: a shift above 14 counts as 14. */
Test(options, wscale_is_capped)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(6, &settings);
    link->end[0].hold = true;
    struct peer peer = {.link = link, .port = 5, .seq = 1, .window = 10};
    const uint8_t options[4] = {3, 3, 200, 0};
    peer_send_options(&peer, TCP_FLAG_SYN, options, 4, NULL, 0);
    peer.seq++;
    peer.ack = peer_last(&peer)->seq + 1;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(link->end[0].app[0].conn->snd_wscale, 14);
    cr_assert_eq(link->end[0].app[0].conn->snd_wnd, 10u << 14);
    link_destroy(link);
}

static size_t noise_segment(struct link *link, const struct peer *peer, struct tcp_conn *conn,
                            uint8_t *wire)
{
    size_t header = 20 + 4 * link_random(link, 11);
    size_t len = header + link_random(link, 100);
    for (size_t i = 0; i < len; i++) {
        wire[i] = (uint8_t)link_random(link, 256);
    }
    put_be16(wire, peer->port);
    put_be16(wire + 2, HOST_PORT);
    /* Most numbers are near the right ones; else every segment would fail the first check. */
    if (conn != NULL && link_random(link, 4) != 0) {
        put_be32(wire + 4, conn->rcv_nxt + link_random(link, 3000) - 1000);
    }
    if (conn != NULL && link_random(link, 4) != 0) {
        put_be32(wire + 8, conn->snd_una + link_random(link, 40) - 20);
    }
    wire[12] = (uint8_t)(header / 4 << 4);
    if (link_random(link, 3) != 0) {
        memset(wire + 20, 1, header - 20);
    }
    if (link_random(link, 8) != 0) {
        wire[13] = (uint8_t)(wire[13] & ~(TCP_FLAG_RST | TCP_FLAG_SYN)) | TCP_FLAG_ACK;
    }
    return len;
}

/* Whatever arrives: no crash, no leak, bounded state (run under the sanitizers). */
Test(noise, random_segments)
{
    struct tcp_settings settings = link_settings();
    settings.block_count = 40;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct link *link = link_create(seed, &settings);
        struct link_end *end = &link->end[0];
        struct peer peer = {.link = link, .port = PEER_PORT};
        end->preset.close_on_fin = seed % 3 == 0;
        end->preset.lazy = seed % 4 == 0;
        end->preset.to_write = 3000;
        end->emit_fails_percent = seed % 5 == 0 ? 20 : 0;
        end->hold = true;
        struct link_app *app = NULL;
        for (unsigned i = 0; i < 2000; i++) {
            app = end->app_count == 0 ? NULL : &end->app[end->app_count - 1];
            if (app == NULL || app->closed) {
                struct peer fresh = {
                    .link = link, .port = PEER_PORT, .seq = link_random(link, 1u << 31)};
                fresh.window = (uint16_t)link_random(link, 3000);
                peer_clear(&fresh);
                peer_send(&fresh, TCP_FLAG_SYN, NULL, 0);
                if (peer_count(&fresh) > 0 && peer_last(&fresh)->flags == 0x12) {
                    fresh.seq++;
                    fresh.ack = peer_last(&fresh)->seq + 1;
                    peer_send(&fresh, TCP_FLAG_ACK, NULL, 0);
                }
            }
            uint8_t wire[200];
            bool live = app != NULL && !app->closed;
            size_t len = noise_segment(link, &peer, live ? app->conn : NULL, wire);
            peer_clear(&peer);
            peer_input(&peer, wire, len);
            if (link_random(link, 10) == 0) {
                peer_clear(&peer);
                peer_wait(&peer, link_random(link, 2000) * TCP_NS_PER_MS);
            }
            if (app != NULL && !app->closed && link_random(link, 50) == 0) {
                tcp_close(app->conn);
            }
            peer_clear(&peer);
        }
        end->emit_fails_percent = 0;
        for (unsigned i = 0; i < end->app_count; i++) {
            if (!end->app[i].closed) {
                tcp_abort(end->app[i].conn);
            }
        }
        link_turn(end);
        peer_clear(&peer);
        peer_wait(&peer, 100 * TCP_NS_PER_S);
        struct tcp_stats stats;
        tcp_stack_stats(end->stack, &stats);
        cr_assert_eq(stats.conn_count, 0);
        cr_assert_eq(stats.time_wait_count, 0);
        cr_assert_eq(end->stack->blocks_free, settings.block_count);
        link_destroy(link);
    }
}
