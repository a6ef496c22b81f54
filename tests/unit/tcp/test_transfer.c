/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_transfer.c: megabytes both ways over bad links arrive whole, in order, once.
 *
 * Rule: RFC 9293 section 3.1: a reliable, in-order byte stream, whatever IP does to segments.
 */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>

#define MEGABYTE (UINT64_C(1) << 20)

static void expect_no_leak(struct link *link)
{
    for (unsigned i = 0; i < 2; i++) {
        struct tcp_stats stats;
        tcp_stack_stats(link->end[i].stack, &stats);
        cr_assert_eq(stats.conn_count, 0, "no connection is left");
        cr_assert_eq(link->end[i].stack->blocks_free, link->end[i].stack->settings.block_count,
                     "every block is back");
        cr_assert_eq(stats.time_wait_count, 0, "TIME_WAIT is over");
    }
}

/* Both sides write `bytes`, then close; returns the virtual time it took. */
static uint64_t transfer(struct link *link, uint64_t bytes)
{
    link->end[1].preset.to_write = bytes;
    /* A connect may meet with 20 % loss; the application tries again as ours does. */
    struct link_app *app = NULL;
    for (unsigned tries = 0; tries < 10; tries++) {
        app = link_connect(link, 0);
        cr_assert_not_null(app);
        link_run(link, link->now_ns + 35 * TCP_NS_PER_S);
        if (app->opened) {
            break;
        }
    }
    cr_assert(app->opened);
    uint64_t start_ns = link->now_ns;
    app->to_write = bytes;
    link_write(app);
    struct link_app *other = &link->end[1].app[link->end[1].app_count - 1];
    uint64_t limit_ns = link->now_ns + 8000 * TCP_NS_PER_S;
    while ((app->read < bytes || other->read < bytes) && link->now_ns < limit_ns) {
        link_run(link, link->now_ns + TCP_NS_PER_S / 10);
        cr_assert(!app->closed && !other->closed);
        /* an application with `crumbs` has left bytes: it reads again */
        for (unsigned i = 0; i < 2; i++) {
            struct link_app *a = i == 0 ? app : other;
            struct bytes b = tcp_peek(a->conn);
            if (b.len > 0) {
                for (size_t k = 0; k < b.len; k++) {
                    a->wrong_byte |= b.data[k] != link_pattern(a->read + k);
                }
                tcp_consume(a->conn, b.len);
                a->read += b.len;
            }
        }
    }
    uint64_t took_ns = link->now_ns - start_ns;
    cr_assert_eq(app->read, bytes, "client read %lu", app->read);
    cr_assert_eq(other->read, bytes, "server read %lu", other->read);
    cr_assert(!app->wrong_byte && !other->wrong_byte, "the bytes are those that were written");
    tcp_close(app->conn);
    tcp_close(other->conn);
    link->loss_permille = link->loss_permille > 50 ? 50 : link->loss_permille;
    cr_assert(link_run(link, link->now_ns + 1000 * TCP_NS_PER_S), "everything comes to rest");
    cr_assert(app->closed && other->closed);
    expect_no_leak(link);
    return took_ns;
}

static void transfer_with(uint64_t seed, unsigned loss, unsigned others, uint64_t bytes)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(seed, &settings);
    link->loss_permille = loss;
    link->duplicate_permille = others;
    link->corrupt_permille = others;
    link->jitter_ns = others > 0 ? 4 * TCP_NS_PER_MS : 0;
    transfer(link, bytes);
    link_destroy(link);
}

Test(transfer, clean)
{
    transfer_with(1, 0, 0, 4 * MEGABYTE);
}

Test(transfer, one_percent_loss)
{
    transfer_with(2, 10, 0, 4 * MEGABYTE);
}

Test(transfer, five_percent_loss)
{
    transfer_with(3, 50, 0, 2 * MEGABYTE);
}

Test(transfer, twenty_percent_loss)
{
    transfer_with(4, 200, 0, MEGABYTE);
}

Test(transfer, reorder_duplicate_corrupt)
{
    transfer_with(5, 0, 30, 2 * MEGABYTE);
}

Test(transfer, everything_at_once)
{
    for (uint64_t seed = 10; seed < 20; seed++) {
        transfer_with(seed, 50, 30, MEGABYTE / 4);
    }
}

Test(transfer, five_percent_loss_is_decent)
{
    /* Fast retransmit has to work: RTOs alone (200 ms each) would take far longer. */
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(77, &settings);
    link->delay_ns = TCP_NS_PER_MS / 2;
    link->loss_permille = 50;
    uint64_t took_ns = transfer(link, 2 * MEGABYTE);
    cr_assert_lt(took_ns, 40 * TCP_NS_PER_S, "took %lu ms", took_ns / TCP_NS_PER_MS);
    link_destroy(link);
}

Test(transfer, large_scaled_windows)
{
    /* RFC 7323 section 2: a window beyond 64 KiB is used. */
    struct tcp_settings settings = link_settings();
    settings.receive_window_bytes = 1 << 20;
    settings.send_buffer_bytes = 1 << 20;
    settings.block_count = 4096;
    struct link *link = link_create(6, &settings);
    link->delay_ns = 50 * TCP_NS_PER_MS;
    uint64_t took_ns = transfer(link, 4 * MEGABYTE);
    /* 64 KiB per 100 ms would need 6.4 s. */
    cr_assert_lt(took_ns, 3 * TCP_NS_PER_S, "took %lu ms", took_ns / TCP_NS_PER_MS);
    link_destroy(link);
}

Test(transfer, emit_fails_at_random)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(7, &settings);
    link->end[0].emit_fails_percent = 30;
    link->end[1].emit_fails_percent = 30;
    link->loss_permille = 10;
    transfer(link, MEGABYTE);
    link_destroy(link);
}

Test(transfer, reading_in_crumbs)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(8, &settings);
    link->end[1].preset.crumbs = true;
    link->loss_permille = 20;
    link->jitter_ns = TCP_NS_PER_MS;
    transfer(link, MEGABYTE / 2);
    link_destroy(link);
}

Test(transfer, tiny_pool)
{
    /* 16 blocks for everything on each side: slow, but whole, and nothing locks up. */
    struct tcp_settings settings = link_settings();
    settings.block_count = 16;
    struct link *link = link_create(9, &settings);
    link->loss_permille = 20;
    link->jitter_ns = TCP_NS_PER_MS;
    link->end[1].preset.crumbs = true;
    transfer(link, MEGABYTE / 8);
    link_destroy(link);
}

Test(transfer, ipv6)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(11, &settings);
    cr_assert(ip_parse("fd00::1", &link->end[0].addr));
    cr_assert(ip_parse("fd00::2", &link->end[1].addr));
    link->loss_permille = 10;
    transfer(link, MEGABYTE / 2);
    link_destroy(link);
}

/* Windows, buffers, pools, delays and faults of all sizes. Seed 329 once took 480 s: an ACK that
 * was lost went into the RTT through the timestamp that its successor echoed. */
Test(transfer, all_sorts_of_links)
{
    for (uint64_t seed = 300; seed < 380; seed++) {
        struct tcp_settings settings = link_settings();
        settings.block_count = (uint32_t)(20 + seed % 200);
        settings.receive_window_bytes = (uint32_t)(2000 + seed * 7919 % 200000);
        settings.send_buffer_bytes = (uint32_t)(2000 + seed * 104729 % 200000);
        struct link *link = link_create(seed, &settings);
        link->loss_permille = seed % 11 * 15;
        link->duplicate_permille = seed % 7 * 10;
        link->corrupt_permille = seed % 5 * 10;
        link->jitter_ns = seed % 3 * 3 * TCP_NS_PER_MS;
        link->delay_ns = (1 + seed % 40) * TCP_NS_PER_MS / 2;
        link->end[seed % 2].emit_fails_percent = (unsigned)(seed % 4 * 10);
        link->end[1].preset.crumbs = seed % 6 == 0;
        uint64_t took_ns = transfer(link, 100000);
        cr_assert_lt(took_ns, 60 * TCP_NS_PER_S, "seed %lu took %lu ms", seed,
                     took_ns / TCP_NS_PER_MS);
        link_destroy(link);
    }
}

/* Sequence numbers wrap at 2^32 (RFC 9293 section 3.4): start both sides just before it. */
Test(transfer, sequence_wrap)
{
    struct tcp_settings settings = link_settings();
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct link *link = link_create(seed, &settings);
        struct tcp_tuple tuple = {
            .local_addr = link->end[0].addr,
            .remote_addr = link->end[1].addr,
            .local_port = 40000,
            .remote_port = HOST_PORT,
        };
        struct tcp_tuple back = {
            .local_addr = tuple.remote_addr,
            .remote_addr = tuple.local_addr,
            .local_port = tuple.remote_port,
            .remote_port = tuple.local_port,
        };
        unsigned side = seed % 2;
        struct tcp_stack *stack = link->end[side].stack;
        uint32_t base = tcp_initial_seq(stack, side == 0 ? &tuple : &back) - 0;
        /* stack->now_ns is still 0: the clock that makes the ISN 2^32 - 20000 - seed */
        link->now_ns = (uint64_t)(uint32_t)(UINT32_MAX - 20000 - (uint32_t)seed - base) * 4000 +
                       (UINT64_C(4000) << 32);
        link->end[1].preset.to_write = MEGABYTE / 4;
        struct link_app *app = link_connect(link, 40000);
        cr_assert_not_null(app);
        app->to_write = MEGABYTE / 4;
        link->loss_permille = 20;
        link_run(link, link->now_ns + 60 * TCP_NS_PER_S);
        struct link_app *other = &link->end[1].app[0];
        uint32_t iss = side == 0 ? app->conn->iss : other->conn->iss;
        cr_assert_gt(iss, UINT32_MAX - 40000, "the ISN is near the wrap: %u", iss);
        uint32_t una = side == 0 ? app->conn->snd_una : other->conn->snd_una;
        cr_assert_lt(una, MEGABYTE, "and has wrapped");
        cr_assert_eq(app->read, MEGABYTE / 4);
        cr_assert_eq(other->read, MEGABYTE / 4);
        cr_assert(!app->wrong_byte && !other->wrong_byte);
        link_destroy(link);
    }
}
