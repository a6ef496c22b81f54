/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_border.c: segments at the borders: of the window, of the stream, of the
 * header; and those that come late. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>

static struct link *link_of_test;
static struct peer peer;

static struct link_app *open_peer(uint16_t window)
{
    struct tcp_settings settings = link_settings();
    link_of_test = link_create(51, &settings);
    peer = (struct peer){.window = window};
    return peer_open(&peer, link_of_test);
}

/* RFC 9293 section 3.10.7.4: a window is taken from a segment that is newer than the last one it
 * was taken from, by sequence number. */
Test(border, late_segments_do_not_move_the_window)
{
    struct link_app *app = open_peer(1000);
    uint32_t first = peer.seq;
    peer.seq = first + 10;
    peer_send(&peer, TCP_FLAG_ACK, link_text(10, 10), 10);
    peer.window = 60000;
    peer.seq = first;
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 10), 10);
    cr_assert_eq(app->conn->snd_wnd, 1000);
    cr_assert_eq(app->read, 20);
    link_destroy(link_of_test);
}

/* A FIN takes sequence space: it waits for the window as bytes do. */
Test(border, fin_stays_within_the_window)
{
    struct link_app *app = open_peer(10);
    app->to_write = 10;
    app->close_when_written = true;
    link_write(app);
    link_turn(&link_of_test->end[0]);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->payload.len, 10);
    cr_assert_eq(peer_last(&peer)->flags & TCP_FLAG_FIN, 0);
    peer.ack += 10;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_neq(peer_last(&peer)->flags & TCP_FLAG_FIN, 0);
    link_destroy(link_of_test);
}

/* The last byte's ACK is not the FIN's. */
Test(border, fin_is_sent_again_until_it_is_acknowledged)
{
    struct link_app *app = open_peer(60000);
    app->to_write = 10;
    app->close_when_written = true;
    link_write(app);
    link_turn(&link_of_test->end[0]);
    cr_assert_neq(peer_last(&peer)->flags & TCP_FLAG_FIN, 0);
    peer.ack += 10;
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    peer_wait(&peer, 2 * TCP_NS_PER_S);
    cr_assert_neq(peer_last(&peer)->flags & TCP_FLAG_FIN, 0);
    cr_assert_eq(app->conn->state, TCP_STATE_FIN_WAIT_1);
    link_destroy(link_of_test);
}

/* Where the stream ends was said: nothing behind it is taken, and the end is reached. */
Test(border, bytes_behind_a_fin_are_nothing)
{
    struct link_app *app = open_peer(60000);
    uint32_t first = peer.seq;
    peer.seq = first + 3;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, link_text(3, 3), 3);
    peer.seq = first;
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 10), 10);
    cr_assert_eq(app->read, 6);
    cr_assert(app->fin);
    cr_assert_eq(peer_last(&peer)->ack, first + 7);
    link_destroy(link_of_test);
}

/* A FIN before bytes that have arrived contradicts them: it is not believed. */
Test(border, fin_in_the_middle_is_not_the_end)
{
    struct link_app *app = open_peer(60000);
    uint32_t first = peer.seq;
    peer.seq = first + 10;
    peer_send(&peer, TCP_FLAG_ACK, link_text(10, 10), 10);
    peer.seq = first + 5;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    peer.seq = first;
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 10), 10);
    cr_assert_eq(app->read, 20);
    cr_assert_not(app->fin);
    link_destroy(link_of_test);
}

/* What is cut to fit the window has lost its end, and with it the FIN. */
Test(border, fin_behind_the_window_is_not_taken)
{
    struct link_app *app = open_peer(60000);
    app->lazy = true;
    struct tcp_settings settings = link_settings();
    uint32_t sent = 0;
    while (sent + 1000 <= settings.receive_window_bytes) {
        peer_send(&peer, TCP_FLAG_ACK, link_text(sent, 1000), 1000);
        peer.seq += 1000;
        sent += 1000;
    }
    uint32_t room = app->conn->rcv_adv - app->conn->rcv_nxt;
    cr_assert(room > 0 && room < 1400);
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, link_text(sent, room + 50), room + 50);
    cr_assert_not(app->fin);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq + room);
    cr_assert_eq(app->conn->state, TCP_STATE_ESTABLISHED);
    link_destroy(link_of_test);
}

/* The header says how long it is: never longer than what came. */
Test(border, options_end_with_the_segment)
{
    uint8_t wire[60] = {0};
    struct tcp_segment segment;
    wire[12] = 15 << 4;
    cr_assert(tcp_segment_parse(bytes_of(wire, 60), &segment));
    for (size_t len = 0; len < 60; len++) {
        cr_assert_not(tcp_segment_parse(bytes_of(wire, len), &segment), "%zu", len);
    }
}
