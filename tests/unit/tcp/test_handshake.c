/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_handshake.c: opening: both ways, at once, refused, lost, flooded. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(handshake, active_and_passive)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(1, &settings);
    struct link_app *app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    cr_assert(app->opened && link->end[1].app[0].opened);
    cr_assert_str_eq(tcp_conn_state_name(app->conn), "ESTABLISHED");
    cr_assert_geq(tcp_conn_tuple(app->conn)->local_port, TCP_PORT_FIRST);
    struct tcp_stats stats;
    tcp_stack_stats(link->end[0].stack, &stats);
    cr_assert_eq(stats.connected, 1);
    tcp_stack_stats(link->end[1].stack, &stats);
    cr_assert_eq(stats.accepted, 1);
    cr_assert_eq(app->conn->has_timestamps, true);
    /* Idle: no timer of the two stacks runs (an idle connection costs nothing). */
    cr_assert(link_run(link, UINT64_MAX - 1), "nothing is left to happen");
    cr_assert_eq(link->end[0].stack->blocks_free, settings.block_count, "and holds no block");
    link_destroy(link);
}

/* RFC 9293 section 3.5, figure 7. */
Test(handshake, simultaneous_open)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(2, &settings);
    struct tcp_conn *conn[2];
    for (unsigned i = 0; i < 2; i++) {
        struct link_end *end = &link->end[i];
        struct ip_endpoint local = {.addr = end->addr, .port = 7000};
        struct ip_endpoint remote = {.addr = link->end[1 - i].addr, .port = 7000};
        struct link_app *app = &end->app[end->app_count++];
        cr_assert_eq(tcp_connect(end->stack, &local, &remote, app, link->now_ns, &conn[i]), 0);
        app->conn = conn[i];
        app->to_write = 5000;
        tcp_output(end->stack, link->now_ns);
    }
    link_run(link, link->now_ns + 3 * TCP_NS_PER_S);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_str_eq(tcp_conn_state_name(conn[i]), "ESTABLISHED");
        cr_assert_eq(link->end[i].app[0].read, 5000);
        cr_assert_eq(link->end[i].app_count, 1, "one connection, not two");
    }
    link_destroy(link);
}

Test(handshake, refused_by_rst)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(3, &settings);
    struct link_end *end = &link->end[0];
    struct ip_endpoint local = {.addr = end->addr};
    struct ip_endpoint remote = {.addr = link->end[1].addr, .port = 9};
    struct link_app *app = &end->app[end->app_count++];
    cr_assert_eq(tcp_connect(end->stack, &local, &remote, app, link->now_ns, &app->conn), 0);
    tcp_output(end->stack, link->now_ns);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    cr_assert_eq(app->seen, TCP_EVENT_REFUSED | TCP_EVENT_CLOSED);
    struct tcp_stats stats;
    tcp_stack_stats(end->stack, &stats);
    cr_assert_eq(stats.conn_count, 0);
    cr_assert_eq(stats.resets_received, 1);
    link_destroy(link);
}

/* RFC 9293 section 3.8.3 (MUST-23 holds for the caller's timers): backoff, then TIMEOUT. */
Test(handshake, syn_into_the_void_times_out)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(4, &settings);
    link->cut = true;
    uint64_t start_ns = link->now_ns;
    struct link_app *app = link_connect(link, 0);
    link_run(link, start_ns + 29 * TCP_NS_PER_S);
    cr_assert_not(app->closed);
    cr_assert_eq(link->end[0].emitted, 5, "SYNs at 0, 1, 3, 7, 15 s");
    link_run(link, start_ns + 31 * TCP_NS_PER_S);
    cr_assert_eq(app->seen, TCP_EVENT_TIMEOUT | TCP_EVENT_CLOSED);
    link_destroy(link);
}

Test(handshake, unreachable)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(5, &settings);
    link->cut = true;
    struct link_app *app = link_connect(link, 0);
    struct tcp_tuple tuple = *tcp_conn_tuple(app->conn);
    tcp_unreachable(link->end[0].stack, &tuple, app->conn->iss + 1);
    link_turn(&link->end[0]);
    cr_assert_not(app->closed, "not by whoever guesses");
    tcp_unreachable(link->end[0].stack, &tuple, app->conn->iss);
    link_turn(&link->end[0]);
    cr_assert_eq(app->seen, TCP_EVENT_UNREACHABLE | TCP_EVENT_CLOSED);
    link->cut = false;
    app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    tuple = *tcp_conn_tuple(app->conn);
    tcp_unreachable(link->end[0].stack, &tuple, app->conn->iss);
    link_turn(&link->end[0]);
    cr_assert_not(app->closed, "an open connection does not believe ICMP (RFC 5927)");
    link_destroy(link);
}

Test(handshake, lost_syn_ack_and_lost_ack)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(6, &settings);
    struct peer peer = {.link = link, .port = PEER_PORT, .window = 1000, .seq = 100};
    link->end[0].hold = true;
    peer_send(&peer, TCP_FLAG_SYN, NULL, 0);
    uint32_t iss = peer_last(&peer)->seq;
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_SYN, NULL, 0); /* again: the SYN-ACK was lost */
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
    cr_assert_eq(peer_last(&peer)->seq, iss, "the same ISN");
    peer_clear(&peer);
    peer_wait(&peer, 1100 * TCP_NS_PER_MS);
    cr_assert_eq(peer_last(&peer)->flags, TCP_FLAG_SYN | TCP_FLAG_ACK, "by the timer");
    /* The ACK was lost, but data carries one. */
    peer.seq++;
    peer.ack = iss + 1;
    uint8_t hello[4] = {link_pattern(0), link_pattern(1), link_pattern(2), link_pattern(3)};
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_PSH, hello, 4);
    cr_assert(link->end[0].app[0].opened);
    cr_assert_eq(link->end[0].app[0].read, 4);
    link_destroy(link);
}

Test(handshake, half_open_times_out_silently)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(7, &settings);
    struct peer peer = {.link = link, .port = PEER_PORT, .seq = 100};
    link->end[0].hold = true;
    peer_send(&peer, TCP_FLAG_SYN, NULL, 0);
    peer_wait(&peer, 31 * TCP_NS_PER_S);
    struct tcp_stats stats;
    tcp_stack_stats(link->end[0].stack, &stats);
    cr_assert_eq(stats.conn_count, 0);
    cr_assert_eq(link->end[0].app_count, 0, "the application never heard of it");
    cr_assert_neq(peer_last(&peer)->flags & TCP_FLAG_RST, TCP_FLAG_RST);
    link_destroy(link);
}

Test(handshake, not_accepting_is_silence)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(8, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    tcp_set_accepting(link->end[0].stack, false);
    struct peer other = {.link = link, .port = 777, .seq = 1};
    peer_send(&other, TCP_FLAG_SYN, NULL, 0);
    cr_assert_eq(peer_count(&other), 0);
    uint8_t byte = link_pattern(0);
    peer_send(&peer, TCP_FLAG_ACK, &byte, 1);
    cr_assert_eq(app->read, 1, "established connections go on");
    tcp_set_accepting(link->end[0].stack, true);
    peer_send(&other, TCP_FLAG_SYN, NULL, 0);
    cr_assert_eq(peer_last(&other)->flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
    link_destroy(link);
}

/* RFC 4987: a flood takes a quarter of the table at most, and a client gets in through it. */
Test(handshake, syn_flood)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(9, &settings);
    struct tcp_stack *stack = link->end[0].stack;
    struct peer peer = {0};
    peer_open(&peer, link);
    struct peer flood = {.link = link, .window = 500};
    for (uint32_t i = 0; i < 20000; i++) {
        flood.port = (uint16_t)(10000 + i % 50000);
        flood.seq = i * 77;
        peer_clear(&flood);
        peer_send(&flood, TCP_FLAG_SYN, NULL, 0);
        struct tcp_stats stats;
        tcp_stack_stats(stack, &stats);
        cr_assert_leq(stats.conn_count, 1 + settings.conn_count_max / LIMIT_TCP_HALF_OPEN_SHARE);
    }
    cr_assert_eq(stack->blocks_free, settings.block_count, "SYNs take no blocks");
    struct peer second = {.port = 9999};
    struct link_app *app = peer_open(&second, link);
    cr_assert(app->opened);
    link_destroy(link);
}

Test(handshake, port_exhaustion)
{
    struct tcp_settings settings = link_settings();
    settings.conn_count_max = 40000;
    settings.time_wait_count_max = 10;
    struct link *link = link_create(10, &settings);
    struct tcp_stack *stack = link->end[0].stack;
    struct ip_endpoint local = {.addr = link->end[0].addr};
    struct ip_endpoint remote = {.addr = link->end[1].addr, .port = 25};
    static bool used[65536];
    struct tcp_conn *conn;
    for (uint32_t i = 0; i < TCP_PORT_COUNT; i++) {
        cr_assert_eq(tcp_connect(stack, &local, &remote, NULL, link->now_ns, &conn), 0);
        uint16_t port = tcp_conn_tuple(conn)->local_port;
        cr_assert(!used[port] && port >= TCP_PORT_FIRST);
        used[port] = true;
    }
    cr_assert_eq(tcp_connect(stack, &local, &remote, NULL, link->now_ns, &conn), -EADDRNOTAVAIL);
    remote.port = 26;
    cr_assert_eq(tcp_connect(stack, &local, &remote, NULL, link->now_ns, &conn), 0,
                 "ports are per peer (RFC 6056)");
    local.port = 50000;
    remote.port = 25;
    cr_assert_eq(tcp_connect(stack, &local, &remote, NULL, link->now_ns, &conn), -EADDRNOTAVAIL);
    link_destroy(link);
}

Test(handshake, table_full)
{
    struct tcp_settings settings = link_settings();
    settings.conn_count_max = 4;
    struct link *link = link_create(11, &settings);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_not_null(link_connect(link, 0));
    }
    cr_assert_null(link_connect(link, 0));
    struct tcp_stats stats;
    tcp_stack_stats(link->end[0].stack, &stats);
    cr_assert_eq(stats.no_memory, 1);
    link_destroy(link);
}

Test(handshake, listen_errors)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(12, &settings);
    struct ip_endpoint local = {.port = HOST_PORT};
    cr_assert_eq(tcp_listen(link->end[0].stack, &local), -EADDRINUSE);
    for (uint16_t i = 1; i < LIMIT_LISTENERS; i++) {
        local.port = (uint16_t)(1000 + i);
        cr_assert_eq(tcp_listen(link->end[0].stack, &local), 0);
    }
    local.port = 2000;
    cr_assert_eq(tcp_listen(link->end[0].stack, &local), -ENOSPC);
    struct tcp_stack *stack;
    settings.conn_count_max = 0;
    cr_assert_eq(tcp_stack_create(&settings, NULL, &stack), -EINVAL);
    link_destroy(link);
}

/* RFC 9293 section 3.7.1 (MUST-15: 536 by default), and our floor for hostile offers. */
Test(handshake, mss)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(13, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link); /* without an MSS option */
    app->to_write = 4000;
    link_write(app);
    link_turn(&link->end[0]);
    cr_assert_eq(link->end[0].out[0].payload.len, 536);
    const uint8_t tiny[4] = {2, 4, 0, 1};
    const uint8_t zero[4] = {2, 4, 0, 0};
    const uint8_t huge[4] = {2, 4, 0xff, 0xff};
    const uint8_t *offer[] = {tiny, zero, huge};
    const size_t want[] = {LIMIT_TCP_MSS_MIN_BYTES, LIMIT_TCP_MSS_MIN_BYTES, 1460};
    for (unsigned i = 0; i < 3; i++) {
        struct peer next = {.link = link, .port = (uint16_t)(600 + i), .seq = 50, .window = 9000};
        peer_clear(&next);
        peer_send_options(&next, TCP_FLAG_SYN, offer[i], 4, NULL, 0);
        next.seq++;
        next.ack = peer_last(&next)->seq + 1;
        peer_send(&next, TCP_FLAG_ACK, NULL, 0);
        app = &link->end[0].app[link->end[0].app_count - 1];
        peer_clear(&next);
        app->to_write = 4000;
        link_write(app);
        link_turn(&link->end[0]);
        cr_assert_eq(link->end[0].out[0].payload.len, want[i]);
    }
    link_destroy(link);
}

/* RFC 6528: the ISN of a pair moves with a clock of 4 us; that of another pair says nothing about
 * it. */
Test(handshake, isn)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(14, &settings);
    struct tcp_stack *stack = link->end[0].stack;
    struct tcp_tuple tuple = {.local_addr = link->end[0].addr,
                              .remote_addr = link->end[1].addr,
                              .local_port = 25,
                              .remote_port = 4000};
    tcp_stack_set_now(stack, link->now_ns);
    uint32_t first = tcp_initial_seq(stack, &tuple);
    tcp_stack_set_now(stack, link->now_ns + 4000000);
    cr_assert_eq(tcp_initial_seq(stack, &tuple) - first, 1000);
    tuple.remote_port = 4001;
    cr_assert_neq(tcp_initial_seq(stack, &tuple) - first, 1000);
    link_destroy(link);
}
