/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_close.c: ends: orderly, at once, half, abortive; and TIME_WAIT. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>

static uint32_t time_waits(const struct link_end *end)
{
    struct tcp_stats stats;
    tcp_stack_stats(end->stack, &stats);
    return stats.time_wait_count;
}

static uint32_t conns(const struct link_end *end)
{
    struct tcp_stats stats;
    tcp_stack_stats(end->stack, &stats);
    return stats.conn_count;
}

/* RFC 9293 section 3.6, figure 12: the side that closes first waits. */
Test(closing, orderly)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(1, &settings);
    link->end[1].preset.close_on_fin = true;
    struct link_app *app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    app->to_write = 10000;
    app->close_when_written = true;
    link_write(app);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    struct link_app *other = &link->end[1].app[0];
    cr_assert_eq(other->read, 10000, "bytes before the FIN come first");
    cr_assert(app->closed && other->closed);
    cr_assert((app->seen & TCP_EVENT_SENT) != 0);
    cr_assert_eq(app->seen & (TCP_EVENT_RESET | TCP_EVENT_TIMEOUT), 0);
    cr_assert_eq(time_waits(&link->end[0]), 1);
    cr_assert_eq(time_waits(&link->end[1]), 0);
    cr_assert_eq(conns(&link->end[0]) + conns(&link->end[1]), 0);
    link_run(link, link->now_ns + 59 * TCP_NS_PER_S);
    cr_assert_eq(time_waits(&link->end[0]), 1, "2 MSL are 60 s");
    cr_assert(link_run(link, link->now_ns + 3 * TCP_NS_PER_S));
    cr_assert_eq(time_waits(&link->end[0]), 0);
    link_destroy(link);
}

/* RFC 9293 section 3.6, figure 13. */
Test(closing, simultaneous)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(2, &settings);
    struct link_app *app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    struct link_app *other = &link->end[1].app[0];
    tcp_close(app->conn);
    tcp_close(other->conn);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    cr_assert(app->closed && other->closed);
    cr_assert_eq(time_waits(&link->end[0]), 1);
    cr_assert_eq(time_waits(&link->end[1]), 1);
    link_destroy(link);
}

/* RFC 9293 section 3.6 (case 2): after the peer's FIN we may go on sending. */
Test(closing, half_close_by_the_peer)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(3, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    cr_assert(app->fin);
    cr_assert_str_eq(tcp_conn_state_name(app->conn), "CLOSE_WAIT");
    cr_assert_eq(peer_last(&peer)->ack, peer.seq + 1, "the FIN is acknowledged at once");
    peer.seq++;
    app->to_write = 300;
    link_write(app);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_last(&peer)->payload.len, 300);
    peer.ack += 300;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert((app->seen & TCP_EVENT_SENT) != 0);
    peer_clear(&peer);
    tcp_close(app->conn);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_FIN | TCP_FLAG_ACK);
    cr_assert_not(app->closed);
    peer.ack++;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert(app->closed, "LAST_ACK ends with the ACK of our FIN");
    cr_assert_eq(time_waits(&link->end[0]), 0);
    link_destroy(link);
}

/* After tcp_close bytes are acknowledged and discarded; the linger time bounds it. */
Test(closing, data_after_close_then_linger)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(4, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    tcp_close(app->conn);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_FIN | TCP_FLAG_ACK);
    peer.ack++;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_str_eq(tcp_conn_state_name(app->conn), "FIN_WAIT_2");
    uint8_t trailing[500] = {0};
    for (unsigned i = 0; i < 4; i++) {
        peer_clear(&peer);
        peer_send(&peer, TCP_FLAG_ACK, trailing, sizeof trailing);
        peer.seq += sizeof trailing;
        peer_wait(&peer, 50 * TCP_NS_PER_MS);
        cr_assert_eq(peer_last(&peer)->ack, peer.seq);
        cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_ACK);
    }
    cr_assert_eq(app->readable_count, 0);
    cr_assert_eq(link->end[0].stack->blocks_free, settings.block_count);
    peer_clear(&peer);
    peer_wait(&peer, 30 * TCP_NS_PER_S);
    cr_assert(app->closed);
    cr_assert_eq(app->seen, TCP_EVENT_OPENED | TCP_EVENT_CLOSED);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_RST | TCP_FLAG_ACK);
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_ACK, trailing, sizeof trailing);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_RST, "the connection is gone");
    link_destroy(link);
}

/* Closing with unread bytes discards them and still ends in order. */
Test(closing, unread_bytes_at_close)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(5, &settings);
    link->end[0].preset.lazy = true;
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    uint8_t text[1000] = {0};
    for (unsigned i = 0; i < 5; i++) {
        peer_send(&peer, TCP_FLAG_ACK, text, sizeof text);
        peer.seq += sizeof text;
    }
    cr_assert_lt(link->end[0].stack->blocks_free, settings.block_count, "bytes are buffered");
    tcp_close(app->conn);
    cr_assert_eq(link->end[0].stack->blocks_free, settings.block_count, "all given back");
    cr_assert_eq(tcp_peek(app->conn).len, 0);
    cr_assert_eq(tcp_write(app->conn, text, 10), 0);
    peer_clear(&peer);
    link_turn(&link->end[0]);
    peer.ack++;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    cr_assert(app->closed);
    cr_assert_eq(time_waits(&link->end[0]), 1);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq + 1);
    link_destroy(link);
}

Test(closing, abort_sends_rst)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(6, &settings);
    struct link_app *app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    tcp_abort(app->conn);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    struct link_app *other = &link->end[1].app[0];
    cr_assert_eq(app->seen, TCP_EVENT_OPENED | TCP_EVENT_CLOSED);
    cr_assert_eq(other->seen, TCP_EVENT_OPENED | TCP_EVENT_RESET | TCP_EVENT_CLOSED);
    cr_assert_eq(conns(&link->end[0]) + conns(&link->end[1]), 0);
    link_destroy(link);
}

Test(closing, close_while_connecting)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(7, &settings);
    struct link_app *app = link_connect(link, 0);
    tcp_close(app->conn);
    link_run(link, link->now_ns + 40 * TCP_NS_PER_S);
    cr_assert_eq(app->seen, TCP_EVENT_CLOSED);
    cr_assert_eq(conns(&link->end[0]) + conns(&link->end[1]), 0,
                 "its SYN-ACK met a RST, so the half-open side is gone too");
    link_destroy(link);
}

Test(closing, lost_fins_are_sent_again)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(8, &settings);
    link->end[1].preset.close_on_fin = true;
    struct link_app *app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    link->cut = true;
    tcp_close(app->conn);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    link->cut = false;
    link_run(link, link->now_ns + 5 * TCP_NS_PER_S);
    cr_assert(app->closed && link->end[1].app[0].closed);
    link_destroy(link);
}

/* When the peer vanishes after our FIN, the connection object is freed in the end. */
Test(closing, vanished_peer_times_out)
{
    struct tcp_settings settings = link_settings();
    settings.give_up_ms = 20000;
    struct link *link = link_create(9, &settings);
    struct link_app *app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    link->cut = true;
    app->to_write = 5000;
    link_write(app);
    uint64_t start_ns = link->now_ns;
    while (!app->closed && link->now_ns < start_ns + 100 * TCP_NS_PER_S) {
        link_run(link, link->now_ns + TCP_NS_PER_S);
    }
    cr_assert((app->seen & TCP_EVENT_TIMEOUT) != 0);
    cr_assert_geq(link->now_ns - start_ns, 20 * TCP_NS_PER_S);
    cr_assert_leq(link->now_ns - start_ns, 22 * TCP_NS_PER_S);
    link_destroy(link);
}

/* FIN arriving before the data that precedes it waits its turn. */
Test(closing, fin_out_of_order)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(10, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    uint8_t text[20];
    for (unsigned i = 0; i < 20; i++) {
        text[i] = link_pattern(i);
    }
    peer.seq += 10;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, text + 10, 10);
    cr_assert_not(app->fin);
    cr_assert_eq(app->read, 0);
    peer.seq -= 10;
    peer_send(&peer, TCP_FLAG_ACK, text, 10);
    cr_assert(app->fin);
    cr_assert_eq(app->read, 20);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq + 21);
    /* A repeated FIN is acknowledged and changes nothing. */
    peer_clear(&peer);
    peer.seq += 20;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq + 1);
    cr_assert_str_eq(tcp_conn_state_name(app->conn), "CLOSE_WAIT");
    link_destroy(link);
}

/* --- TIME_WAIT -------------------------------------------------------------------------------- */

/* Opens and closes from our side; the peer's port is then in TIME_WAIT. */
static void into_time_wait(struct peer *peer, struct link *link)
{
    struct link_app *app = peer_open(peer, link);
    tcp_close(app->conn);
    link_turn(&link->end[0]);
    peer->ack++;
    peer_send(peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    peer->seq++;
    cr_assert(app->closed);
    cr_assert_eq(time_waits(&link->end[0]), 1);
    peer_clear(peer);
}

Test(time_wait, acknowledges_a_repeated_fin_and_waits_anew)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(20, &settings);
    struct peer peer = {0};
    into_time_wait(&peer, link);
    peer_wait(&peer, 40 * TCP_NS_PER_S);
    peer.seq--;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_ACK);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq + 1);
    peer_wait(&peer, 40 * TCP_NS_PER_S);
    cr_assert_eq(time_waits(&link->end[0]), 1, "2 MSL began anew");
    peer_wait(&peer, 25 * TCP_NS_PER_S);
    cr_assert_eq(time_waits(&link->end[0]), 0);
    link_destroy(link);
}

/* An entry whose wait began anew does not delay the entries after it. */
Test(time_wait, ends_in_the_order_of_their_time)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(29, &settings);
    struct peer first = {.port = PEER_PORT};
    struct peer second = {.port = PEER_PORT + 1};
    into_time_wait(&first, link);
    struct link_app *app = peer_open(&second, link);
    tcp_close(app->conn);
    link_turn(&link->end[0]);
    second.ack++;
    peer_send(&second, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    cr_assert_eq(time_waits(&link->end[0]), 2);
    peer_wait(&first, 40 * TCP_NS_PER_S);
    first.seq--;
    peer_send(&first, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    peer_wait(&first, 25 * TCP_NS_PER_S);
    cr_assert_eq(time_waits(&link->end[0]), 1, "the second is over");
    peer_wait(&first, 40 * TCP_NS_PER_S);
    cr_assert_eq(time_waits(&link->end[0]), 0);
    link_destroy(link);
}

Test(time_wait, ignores_rst_and_empty_acks)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(21, &settings);
    struct peer peer = {0};
    into_time_wait(&peer, link);
    peer_send(&peer, TCP_FLAG_RST, NULL, 0);
    cr_assert_eq(time_waits(&link->end[0]), 1, "RFC 1337");
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(peer_count(&peer), 0, "no war of ACKs");
    link_destroy(link);
}

Test(time_wait, newer_syn_reuses_the_pair)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(22, &settings);
    struct peer peer = {.timestamps = true, .ts_value = 1000};
    into_time_wait(&peer, link);
    struct tcp_tuple tuple = {0};
    (void)tuple;
    /* Older by timestamp and sequence: answered with an ACK, not taken. */
    struct peer old = peer;
    old.seq -= 1000;
    old.ts_value = 900;
    peer_send(&old, TCP_FLAG_SYN, NULL, 0);
    cr_assert_eq(peer_last(&old)->flags, TCP_FLAG_ACK);
    /* A larger sequence number with an older timestamp is old too. */
    old.seq += 100000;
    peer_send(&old, TCP_FLAG_SYN, NULL, 0);
    cr_assert_eq(peer_last(&old)->flags, TCP_FLAG_ACK);
    peer_clear(&peer);
    /* Newer by timestamp (RFC 6191), though its sequence number is smaller. */
    peer.ts_value = 1001;
    peer.seq -= 1000;
    uint32_t last_seq = peer.ack;
    peer_send(&peer, TCP_FLAG_SYN, NULL, 0);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
    cr_assert(seq_before(last_seq, peer_last(&peer)->seq), "our ISN is above the old ones");
    cr_assert_eq(time_waits(&link->end[0]), 0);
    link_destroy(link);
}

Test(time_wait, newer_sequence_reuses_the_pair_without_timestamps)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(23, &settings);
    struct peer peer = {0};
    into_time_wait(&peer, link);
    peer.seq += 5;
    peer_send(&peer, TCP_FLAG_SYN, NULL, 0);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
    link_destroy(link);
}

Test(time_wait, full_table_drops_the_oldest)
{
    struct tcp_settings settings = link_settings();
    settings.time_wait_count_max = 4;
    struct link *link = link_create(24, &settings);
    for (unsigned i = 0; i < 10; i++) {
        struct peer peer = {.port = (uint16_t)(3000 + i)};
        struct link_app *app = peer_open(&peer, link);
        tcp_close(app->conn);
        link_turn(&link->end[0]);
        peer.ack++;
        peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
        cr_assert(app->closed);
        cr_assert_eq(time_waits(&link->end[0]), i < 4 ? i + 1 : 4);
    }
    struct peer peer = {.link = link, .port = 3009};
    peer_clear(&peer);
    peer_wait(&peer, 61 * TCP_NS_PER_S);
    cr_assert_eq(time_waits(&link->end[0]), 0);
    link_destroy(link);
}

Test(time_wait, no_table_at_all)
{
    struct tcp_settings settings = link_settings();
    settings.time_wait_count_max = 0;
    struct link *link = link_create(25, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    tcp_close(app->conn);
    link_turn(&link->end[0]);
    peer.ack++;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, NULL, 0);
    cr_assert(app->closed);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq + 1, "the FIN is acknowledged all the same");
    link_destroy(link);
}
