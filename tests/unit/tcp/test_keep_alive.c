/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_keep_alive.c: signs of life (RFC 9293 section 3.8.4). */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>

enum { INTERVAL_MS = 10000 };
static const uint64_t interval_ns = INTERVAL_MS * TCP_NS_PER_MS;
static const uint64_t hour_ns = 3600 * TCP_NS_PER_S;

static struct link_app *open_asking(struct peer *peer)
{
    struct tcp_settings settings = link_settings();
    struct link_app *app = peer_open(peer, link_create(1, &settings));
    tcp_keep_alive(app->conn, INTERVAL_MS);
    peer_clear(peer);
    return app;
}

/* MUST-25. */
Test(keep_alive, is_off_unless_asked_for)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(1, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    peer_clear(&peer);
    peer_wait(&peer, 3 * hour_ns);
    cr_assert_eq(peer_count(&peer), 0);
    tcp_keep_alive(app->conn, INTERVAL_MS);
    tcp_keep_alive(app->conn, 0);
    peer_wait(&peer, 3 * hour_ns);
    cr_assert_eq(peer_count(&peer), 0, "and can be turned off");
    cr_assert_not(app->closed);
    link_destroy(link);
}

/* MUST-26: the question is sent only when nothing arrived during the interval. */
Test(keep_alive, asks_after_silence_with_what_cannot_be_taken)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    for (unsigned i = 0; i < 100; i++) {
        peer_wait(&peer, interval_ns - 2 * TCP_NS_PER_MS);
        cr_assert_eq(peer_count(&peer), 0, "not before its time");
        peer_wait(&peer, 4 * TCP_NS_PER_MS);
        cr_assert_eq(peer_count(&peer), 1);
        const struct tcp_segment *asked = peer_last(&peer);
        cr_assert_eq(asked->flags, TCP_FLAG_ACK);
        cr_assert_eq(asked->seq, peer.ack - 1, "acknowledged before, so it must be answered");
        cr_assert_eq(asked->ack, peer.seq);
        cr_assert_eq(asked->payload.len, 0);
        peer_clear(&peer);
        peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    }
    cr_assert_not(app->closed, "1000 s without a byte are no reason to end");
    peer_wait(&peer, interval_ns / 2);
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 7), 7);
    peer.seq += 7;
    peer_clear(&peer);
    peer_wait(&peer, interval_ns - 100 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 1, "a delayed ACK for the text, no question: it spoke");
    link_destroy(peer.link);
}

Test(keep_alive, a_peer_that_forgot_resets)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    peer_wait(&peer, interval_ns + 2 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 1);
    /* RFC 9293 section 3.10.7.1: SEQ is what the ACK said. */
    peer.seq = peer_last(&peer)->ack;
    peer_send(&peer, TCP_FLAG_RST, NULL, 0);
    cr_assert(app->closed);
    cr_assert((app->seen & TCP_EVENT_RESET) != 0);
    link_destroy(peer.link);
}

/* MUST-29: one question without an answer ends nothing; a silence of give_up_ms (300 s) does. */
Test(keep_alive, a_peer_silent_for_long_is_given_up)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    peer_wait(&peer, 299 * TCP_NS_PER_S);
    cr_assert_eq(peer_count(&peer), 29);
    cr_assert_not(app->closed);
    peer_wait(&peer, 11 * TCP_NS_PER_S);
    cr_assert(app->closed);
    cr_assert((app->seen & TCP_EVENT_TIMEOUT) != 0);
    cr_assert((peer_last(&peer)->flags & TCP_FLAG_RST) != 0);
    link_destroy(peer.link);
}

/* MUST-29: also when the interval is longer than give_up_ms, the peer is asked first. */
Test(keep_alive, a_long_interval_gives_nobody_up_unasked)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    tcp_keep_alive(app->conn, 400 * 1000);
    peer_wait(&peer, 1201 * TCP_NS_PER_S);
    cr_assert_eq(peer_count(&peer), 3);
    cr_assert_not(app->closed);
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    peer_clear(&peer);
    peer_wait(&peer, 1590 * TCP_NS_PER_S);
    cr_assert_not(app->closed, "it spoke: counted anew");
    peer_wait(&peer, 20 * TCP_NS_PER_S);
    cr_assert(app->closed);
    link_destroy(peer.link);
}

/* A segment that a stranger guessed does not count as a sign of life. */
Test(keep_alive, only_an_acceptable_ack_is_a_sign_of_life)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    for (unsigned i = 0; i < 31; i++) {
        uint32_t seq = peer.seq;
        peer.seq += 1u << 30;
        peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
        peer.seq = seq;
        uint32_t ack = peer.ack;
        peer.ack += 1u << 30;
        peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
        peer.ack = ack;
        peer_wait(&peer, interval_ns);
    }
    cr_assert(app->closed);
    cr_assert((app->seen & TCP_EVENT_TIMEOUT) != 0);
    link_destroy(peer.link);
}

/* MUST-26: unacknowledged data is sent again, so no question is needed. */
Test(keep_alive, asks_nothing_while_data_is_in_flight)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    app->to_write = 100;
    link_write(app);
    link_turn(&peer.link->end[0]);
    for (unsigned i = 0; i < 20; i++) {
        peer_clear(&peer);
        peer_wait(&peer, interval_ns);
        for (unsigned k = 0; k < peer_count(&peer); k++) {
            cr_assert_eq(peer.link->end[0].out[k].payload.len, 100);
        }
    }
    cr_assert_not(app->closed);
    peer.ack += 100;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    peer_clear(&peer);
    peer_wait(&peer, interval_ns + 2 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->seq, peer.ack - 1);
    link_destroy(peer.link);
}

Test(keep_alive, stops_with_close)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    tcp_close(app->conn);
    link_turn(&peer.link->end[0]);
    peer.ack++; /* the FIN */
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    peer_clear(&peer);
    peer_wait(&peer, 29 * TCP_NS_PER_S);
    cr_assert_eq(peer_count(&peer), 0, "FIN_WAIT_2 has its own end");
    peer_wait(&peer, 2 * TCP_NS_PER_S);
    cr_assert(app->closed);
    link_destroy(peer.link);
}

/* Two of our stacks, one of them asking, over a link that loses a third of it. */
Test(keep_alive, is_answered_by_our_own_stack)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct tcp_settings settings = link_settings();
        struct link *link = link_create(seed, &settings);
        struct link_app *app = link_connect(link, 0);
        (void)link_run(link, link->now_ns + TCP_NS_PER_S);
        tcp_keep_alive(app->conn, INTERVAL_MS);
        link->loss_permille = 330;
        (void)link_run(link, link->now_ns + hour_ns);
        cr_assert_not(app->closed);
        cr_assert_eq(link->end[0].data_segments + link->end[1].data_segments, 0);
        cr_assert_gt(link->end[1].pure_acks, 150);
        link->loss_permille = 0;
        app->to_write = 100000;
        link_write(app);
        (void)link_run(link, link->now_ns + 30 * TCP_NS_PER_S);
        cr_assert_eq(link->end[1].app[0].read, 100000);
        link->cut = true;
        (void)link_run(link, link->now_ns + 320 * TCP_NS_PER_S);
        cr_assert(app->closed);
        link_destroy(link);
    }
}

/* The question lies outside the peer's window, so the peer ignores the ACK in it. */
Test(keep_alive, leaves_an_owed_ack_owed)
{
    struct peer peer = {0};
    struct link_app *app = open_asking(&peer);
    tcp_keep_alive(app->conn, 20);
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 7), 7);
    peer.seq += 7;
    peer_clear(&peer);
    peer_wait(&peer, 60 * TCP_NS_PER_MS);
    cr_assert_gt(peer_count(&peer), 1);
    cr_assert_eq(peer.link->end[0].out[0].seq, peer.ack - 1);
    cr_assert_eq(peer.link->end[0].out[1].seq, peer.ack);
    cr_assert_eq(peer.link->end[0].out[1].ack, peer.seq);
    link_destroy(peer.link);
}
