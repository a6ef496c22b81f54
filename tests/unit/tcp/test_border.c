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

/* The ACK of the last byte is not yet the ACK of the FIN. */
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

/* The FIN has said where the stream ends: no byte after it is taken, and the end is reached. */
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

/* A FIN that lies before bytes which have arrived contradicts them: it is ignored. */
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

/* A segment that is cut to fit the window has lost its end, and with it the FIN. */
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

/* A retransmission may bring something new at its end. */
Test(border, new_bytes_behind_old_ones_are_taken)
{
    struct link_app *app = open_peer(60000);
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 10), 10);
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 20), 20);
    cr_assert_eq(app->read, 20);
    cr_assert_not(app->wrong_byte);
    link_destroy(link_of_test);
}

/* RFC 7323 section 4.3: the timestamp of a segment ahead of a hole is not remembered, or the
 * retransmission that fills the hole would count as old. */
Test(border, the_filler_of_a_hole_is_older_than_what_came_before_it)
{
    struct tcp_settings settings = link_settings();
    link_of_test = link_create(52, &settings);
    peer = (struct peer){.timestamps = true, .ts_value = 100};
    struct link_app *app = peer_open(&peer, link_of_test);
    uint32_t first = peer.seq;
    peer.seq = first + 10;
    peer.ts_value = 300;
    peer_send(&peer, TCP_FLAG_ACK, link_text(10, 10), 10);
    peer.seq = first;
    peer.ts_value = 200;
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 10), 10);
    cr_assert_eq(app->read, 20);
    link_destroy(link_of_test);
}

/* --- connections that are being opened -------------------------------------------------------- */

/* A connection of ours to the peer: our SYN is sent. */
static struct link_app *connect_peer(void)
{
    struct tcp_settings settings = link_settings();
    link_of_test = link_create(53, &settings);
    struct link_end *end = &link_of_test->end[0];
    end->hold = true;
    peer = (struct peer){.link = link_of_test, .port = PEER_PORT, .window = 1000, .seq = 7000};
    struct ip_endpoint local = {.addr = end->addr, .port = HOST_PORT};
    struct ip_endpoint remote = {.addr = link_of_test->end[1].addr, .port = PEER_PORT};
    struct link_app *app = &end->app[end->app_count++];
    uint64_t now_ns = link_of_test->now_ns;
    cr_assert_eq(tcp_connect(end->stack, &local, &remote, app, now_ns, &app->conn), 0);
    tcp_output(end->stack, now_ns);
    peer.ack = peer_last(&peer)->seq + 1;
    return app;
}

/* A segment from somebody who did not see our SYN neither answers nor refuses it (RFC 9293 section
 * 3.10.7.3). */
Test(border, a_stranger_does_not_answer_our_syn)
{
    struct link_app *app = connect_peer();
    peer_send(&peer, TCP_FLAG_RST, NULL, 0);
    cr_assert_eq(app->conn->state, TCP_STATE_SYN_SENT);
    uint32_t right = peer.ack;
    const uint32_t wrong[] = {right - 1, right + 1, right + 1000};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        peer.ack = wrong[i];
        peer_clear(&peer);
        peer_send(&peer, TCP_FLAG_RST | TCP_FLAG_ACK, NULL, 0);
        cr_assert_eq(app->conn->state, TCP_STATE_SYN_SENT);
        peer_send(&peer, TCP_FLAG_SYN | TCP_FLAG_ACK, NULL, 0);
        cr_assert_eq(app->conn->state, TCP_STATE_SYN_SENT);
        cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_RST);
        cr_assert_eq(peer_last(&peer)->seq, wrong[i]);
    }
    peer.ack = right;
    peer_send(&peer, TCP_FLAG_SYN | TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(app->conn->state, TCP_STATE_ESTABLISHED);
    link_destroy(link_of_test);
}

/* Who forges an address does not see our SYN-ACK, and cannot finish the handshake. */
Test(border, a_stranger_does_not_finish_a_handshake)
{
    struct tcp_settings settings = link_settings();
    link_of_test = link_create(54, &settings);
    struct link_end *end = &link_of_test->end[0];
    end->hold = true;
    peer = (struct peer){.link = link_of_test, .port = PEER_PORT, .window = 1000, .seq = 7000};
    peer_send(&peer, TCP_FLAG_SYN, NULL, 0);
    uint32_t right = peer_last(&peer)->seq + 1;
    peer.seq++;
    const uint32_t wrong[] = {right - 1, right - 500, right + 1, right + 1000};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        peer.ack = wrong[i];
        peer_clear(&peer);
        peer_send(&peer, TCP_FLAG_ACK, "hi", 2);
        cr_assert_eq(end->app_count, 0);
        cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_RST);
    }
    peer.ack = right;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(end->app_count, 1);
    link_destroy(link_of_test);
}

/* RFC 7323 section 2.2: the window of a SYN is never scaled. */
Test(border, the_window_of_a_syn_is_not_scaled)
{
    static const uint8_t scale[4] = {1, 3, 3, 7};
    struct link_app *app = connect_peer();
    peer_send_options(&peer, TCP_FLAG_SYN | TCP_FLAG_ACK, scale, sizeof scale, NULL, 0);
    cr_assert_eq(app->conn->state, TCP_STATE_ESTABLISHED);
    cr_assert_eq(app->conn->snd_wnd, 1000);
    link_destroy(link_of_test);
}

/* The sequence number of the SYN does not belong to a byte of the queue. */
Test(border, bytes_written_before_the_handshake_all_arrive)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(55, &settings);
    struct link_app *app = link_connect(link, 0);
    app->to_write = 100;
    link_write(app);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    cr_assert_eq(link->end[1].app_count, 1);
    cr_assert_eq(link->end[1].app[0].read, 100);
    cr_assert_not(link->end[1].app[0].wrong_byte);
    link_destroy(link);
}

/* RFC 6298 section 2.5: the RTO has a maximum. Without it a path that works again would not be
 * tried for hours. */
Test(border, no_wait_is_longer_than_a_minute)
{
    struct link_app *app = connect_peer();
    for (unsigned backoff = 0; backoff < 40; backoff++) {
        app->conn->backoff = (uint8_t)backoff;
        cr_assert_leq(tcp_timer_rto_ns(app->conn), TCP_RTO_MAX_NS);
    }
    link_destroy(link_of_test);
}

/* A header that claims to be longer than the segment is refused. */
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
