/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_window.c: windows, probes, delayed ACKs, reassembly, memory. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>

/* RFC 9293 section 3.8.6.3 (MUST-58): an ACK at least every second segment; SHLD-18: soon. */
Test(acks, every_second_segment_or_40_ms)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(1, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    for (unsigned i = 0; i < 20; i++) {
        peer_send(&peer, TCP_FLAG_ACK, link_text(i * 1460, 1460), 1460);
        peer.seq += 1460;
        cr_assert_eq(peer_count(&peer), (i + 1) / 2);
    }
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_ACK, link_text(20 * 1460, 10), 10);
    peer.seq += 10;
    peer_wait(&peer, 39 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 0, "not before its time");
    peer_wait(&peer, 3 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq);
    cr_assert_eq(app->read, 20 * 1460 + 10);
    link_destroy(link);
}

Test(acks, an_answer_carries_the_ack)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(2, &settings);
    struct peer peer = {0};
    link->end[0].preset.to_write = 0;
    struct link_app *app = peer_open(&peer, link);
    uint8_t data[20 + 10];
    memset(data, 0, sizeof data);
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 10), 10);
    peer.seq += 10;
    app->to_write = 30;
    link_write(app);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->ack, peer.seq);
    peer.ack += 30;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    peer_wait(&peer, 100 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 1, "no ACK of its own follows");
    link_destroy(link);
}

/* RFC 5681 section 4.2: one duplicate ACK per segment ahead of the hole, one when it is filled. */
Test(acks, duplicates_for_each_segment_ahead)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(3, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    uint32_t hole = peer.seq;
    for (unsigned i = 1; i <= 3; i++) {
        peer.seq = hole + i * 1000;
        peer_send(&peer, TCP_FLAG_ACK, link_text(i * 1000, 1000), 1000);
        cr_assert_eq(peer_count(&peer), i);
        cr_assert_eq(peer_last(&peer)->ack, hole);
    }
    peer.seq = hole;
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 1000), 1000);
    cr_assert_eq(peer_count(&peer), 4);
    cr_assert_eq(peer_last(&peer)->ack, hole + 4000);
    cr_assert_eq(app->read, 4000);
    cr_assert_not(app->wrong_byte);
    cr_assert_eq(link->end[0].stack->blocks_free, settings.block_count);
    link_destroy(link);
}

/* Section 3.10.7.4, seventh step: overlaps on both sides are trimmed, bytes delivered once. */
Test(reassembly, overlaps_and_random_order)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct tcp_settings settings = link_settings();
        struct link *link = link_create(seed, &settings);
        struct peer peer = {.seq = (uint32_t)(UINT32_MAX - 15000 - seed * 13)};
        struct link_app *app = peer_open(&peer, link);
        uint32_t base = peer.seq;
        for (unsigned i = 0; i < 3000 && app->read < 30000; i++) {
            uint32_t from = link_random(link, 30000);
            if (i % 3 == 0) {
                from = (uint32_t)app->read;
            }
            uint32_t len = 1 + link_random(link, 1460);
            len = from + len > 30000 ? 30000 - from : len;
            if (len == 0) {
                continue;
            }
            peer.seq = base + from;
            peer_clear(&peer);
            peer_send(&peer, TCP_FLAG_ACK, link_text(from, len), len);
        }
        cr_assert_eq(app->read, 30000);
        cr_assert_not(app->wrong_byte);
        cr_assert_eq(link->end[0].stack->blocks_free, settings.block_count);
        link_destroy(link);
    }
}

/* CVE-2018-5390 (SegmentSmack): many one-byte holes cost a bounded list and bounded blocks. */
Test(reassembly, one_byte_holes_are_bounded)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(4, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    uint32_t base = peer.seq;
    for (uint32_t i = 1; i < 60000; i += 2) {
        peer.seq = base + i;
        peer_clear(&peer);
        peer_send(&peer, TCP_FLAG_ACK, link_text(i, 1), 1);
        uint32_t used = settings.block_count - link->end[0].stack->blocks_free;
        cr_assert_leq(used, 65535 / TCP_BLOCK_BYTES + 3);
    }
    peer.seq = base;
    for (uint32_t i = 0; i < 20000; i += 1000) {
        peer.seq = base + i;
        peer_send(&peer, TCP_FLAG_ACK, link_text(i, 1000), 1000);
    }
    cr_assert_geq(app->read, 20000);
    cr_assert_not(app->wrong_byte);
    link_destroy(link);
}

/* --- our window ------------------------------------------------------------------------------- */

/* The application does not read: the window closes and never shrinks, probes are answered, and an
 * update tells when the window opens again (RFC 9293 sections 3.8.6, 3.8.6.2.2; MUST-34,
 * SHLD-14). */
Test(receive_window, shuts_and_opens)
{
    struct tcp_settings settings = link_settings();
    settings.receive_window_bytes = 20000;
    struct link *link = link_create(5, &settings);
    link->end[0].preset.lazy = true;
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    uint32_t base = peer.seq;
    uint32_t edge = base + 20000;
    while (peer.seq != edge) {
        uint32_t len = min_u32(edge - peer.seq, 1460);
        peer_send(&peer, TCP_FLAG_ACK, link_text(peer.seq - base, len), len);
        peer.seq += len;
        if (peer_count(&peer) > 0) {
            const struct tcp_segment *ack = peer_last(&peer);
            cr_assert_eq(ack->ack + ack->window, edge, "the right edge stays");
        }
    }
    peer_wait(&peer, 50 * TCP_NS_PER_MS);
    cr_assert_eq(peer_last(&peer)->window, 0);
    cr_assert_eq(peer_last(&peer)->ack, edge);
    /* A probe of one byte is answered, not taken. */
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_ACK, link_text(20000, 1), 1);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->ack, edge);
    /* So is a probe of the old kind, which is empty and has the last byte's sequence number. */
    peer.seq--;
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(peer_count(&peer), 1);
    peer.seq++;
    /* A closed window still takes RST and ACK (MUST-66); here an ACK of our data. */
    peer_clear(&peer);
    app->to_write = 100;
    link_write(app);
    link_turn(&link->end[0]);
    peer.ack += 100;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert((app->seen & TCP_EVENT_SENT) != 0);
    /* Reading a little opens nothing (silly window), reading more does. */
    peer_clear(&peer);
    cr_assert_geq(tcp_peek(app->conn).len, 1000);
    tcp_consume(app->conn, 1000);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_count(&peer), 0);
    app->lazy = false;
    app->read = 1000;
    struct bytes b;
    while ((b = tcp_peek(app->conn)).len > 0) {
        for (size_t i = 0; i < b.len; i++) {
            cr_assert_eq(b.data[i], link_pattern(app->read + i));
        }
        app->read += b.len;
        tcp_consume(app->conn, b.len);
    }
    link_turn(&link->end[0]);
    cr_assert_eq(app->read, 20000);
    cr_assert_eq(peer_count(&peer), 1, "a window update");
    cr_assert_eq(peer_last(&peer)->window, 20000);
    link_destroy(link);
}

/* --- the peer's window ------------------------------------------------------------------------ */

/* RFC 9293 section 3.8.6.1 (MUST-35, 36, 37): probes are sent with backoff; a peer that answers
 * them is never given up. */
Test(send_window, zero_window_probes)
{
    struct tcp_settings settings = link_settings();
    settings.give_up_ms = 60000;
    struct link *link = link_create(6, &settings);
    struct peer peer = {.window = 1072}; /* two segments */
    struct link_app *app = peer_open(&peer, link);
    app->to_write = 5000;
    link_write(app);
    link_turn(&link->end[0]);
    peer.ack += 1072;
    peer.window = 0;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    peer_clear(&peer);
    unsigned probes = 0;
    uint64_t gap_ms = 0;
    for (unsigned ms = 0; ms < 600000; ms += 10) {
        peer_wait(&peer, 10 * TCP_NS_PER_MS);
        gap_ms += 10;
        if (peer_count(&peer) > 0) {
            cr_assert_eq(peer_count(&peer), 1);
            cr_assert_eq(peer_last(&peer)->payload.len, 1, "one byte");
            cr_assert_eq(peer_last(&peer)->seq, peer.ack);
            cr_assert(probes == 0 || gap_ms >= 190);
            probes++;
            gap_ms = 0;
            peer_clear(&peer);
            peer_send(&peer, TCP_FLAG_ACK, NULL, 0); /* still shut */
        }
        cr_assert_not(app->closed, "after %u ms", ms);
    }
    cr_assert_gt(probes, 10);
    cr_assert_lt(probes, 80, "exponential backoff");
    /* It opens: all goes out at once. */
    peer.window = 60000;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    size_t sent = 0;
    for (unsigned i = 0; i < peer_count(&peer); i++) {
        sent += link->end[0].out[i].payload.len;
    }
    cr_assert_eq(sent, 5000 - 1072);
    /* And a peer that falls silent is given up. */
    peer.ack += 5000 - 1072;
    peer.window = 0;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    app->to_write = 10;
    link_write(app);
    peer_wait(&peer, 130 * TCP_NS_PER_S);
    cr_assert((app->seen & TCP_EVENT_TIMEOUT) != 0);
    link_destroy(link);
}

/* A peer that takes the probe's byte each time. */
Test(send_window, probe_byte_is_taken)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(7, &settings);
    struct peer peer = {.window = 10};
    struct link_app *app = peer_open(&peer, link);
    app->to_write = 20;
    app->close_when_written = true;
    link_write(app);
    link_turn(&link->end[0]);
    peer.window = 0;
    uint64_t limit_ns = link->now_ns + 1000 * TCP_NS_PER_S;
    while (link->now_ns < limit_ns && !app->closed) {
        if (peer_count(&peer) > 0) {
            const struct tcp_segment *s = peer_last(&peer);
            uint32_t end = s->seq + tcp_segment_length(s);
            bool fin = (s->flags & TCP_FLAG_FIN) != 0;
            peer.ack = seq_later(peer.ack, end);
            peer_clear(&peer);
            peer_send(&peer, fin ? TCP_FLAG_ACK | TCP_FLAG_FIN : TCP_FLAG_ACK, NULL, 0);
            peer.seq += fin ? 1 : 0;
        }
        peer_wait(&peer, 10 * TCP_NS_PER_MS);
    }
    cr_assert(app->closed);
    cr_assert_eq(app->seen & TCP_EVENT_TIMEOUT, 0);
    link_destroy(link);
}

/* Section 3.8.6.2.1: no small segments into a small window while something is in flight. */
Test(send_window, silly_window)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(8, &settings);
    struct peer peer = {.window = 5360};
    struct link_app *app = peer_open(&peer, link); /* MSS 536 */
    app->to_write = 20000;
    link_write(app);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_count(&peer), 10);
    peer_clear(&peer);
    /* 100 bytes acknowledged, the window's edge moves on by 100. */
    peer.ack += 100;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(peer_count(&peer), 0);
    peer.ack += 436;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->payload.len, 536);
    link_destroy(link);
}

Test(send_window, writes_of_one_turn_leave_in_full_segments)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(9, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link); /* MSS 536 */
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(tcp_write(app->conn, link_text(i * 7, 7), 7), 7);
    }
    link_turn(&link->end[0]);
    cr_assert_eq(peer_count(&peer), 2);
    cr_assert_eq(link->end[0].out[0].payload.len, 536);
    cr_assert_eq(link->end[0].out[1].payload.len, 700 - 536);
    cr_assert_eq(link->end[0].out[1].flags, TCP_FLAG_ACK | TCP_FLAG_PSH);
    link_destroy(link);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* No block at all: bytes are still readable in place; what is left is not acknowledged, and comes
 * again when there is room. */
Test(memory, in_place_without_blocks)
{
    struct tcp_settings settings = link_settings();
    settings.block_count = 32;
    settings.send_buffer_bytes = 1 << 20;
    struct link *link = link_create(14, &settings);
    struct tcp_stack *stack = link->end[0].stack;
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    /* Another connection takes all. */
    uint32_t taken[32];
    for (unsigned i = 0; i < 32; i++) {
        taken[i] = tcp_block_take(stack, TCP_BLOCK_SEND_FIRST);
        cr_assert_neq(taken[i], 0);
    }
    uint32_t base = peer.seq;
    peer_send(&peer, TCP_FLAG_ACK, link_text(0, 1000), 1000);
    cr_assert_eq(app->read, 1000, "read in place");
    peer.seq = base + 1000;
    peer_send(&peer, TCP_FLAG_ACK, link_text(1000, 1000), 1000);
    cr_assert_eq(app->read, 2000);
    cr_assert_eq(peer_last(&peer)->ack, base + 2000);
    app->lazy = true;
    peer.seq = base + 2000;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, link_text(2000, 1000), 1000);
    cr_assert_eq(peer_last(&peer)->ack, base + 2000, "not stored, not acknowledged");
    cr_assert_eq(tcp_peek(app->conn).len, 0);
    cr_assert_not(app->fin);
    /* Out of order bytes find no room either. */
    peer.seq = base + 5000;
    peer_send(&peer, TCP_FLAG_ACK, link_text(5000, 1000), 1000);
    cr_assert_eq(peer_last(&peer)->ack, base + 2000);
    /* Nor does a write; it is told when there is some. */
    cr_assert_eq(tcp_write(app->conn, link_text(0, 100), 100), 0);
    for (unsigned i = 0; i < 32; i++) {
        tcp_block_give(stack, taken[i]);
    }
    link_turn(&link->end[0]);
    cr_assert((app->seen & TCP_EVENT_WRITABLE) != 0);
    app->lazy = false;
    peer.seq = base + 2000;
    peer_send(&peer, TCP_FLAG_ACK | TCP_FLAG_FIN, link_text(2000, 1000), 1000);
    cr_assert_eq(app->read, 3000);
    cr_assert(app->fin);
    cr_assert_not(app->wrong_byte);
    link_destroy(link);
}

/* When few blocks are left, windows get small, but the advertised right edge stays. */
Test(memory, low_pool_narrows_windows)
{
    struct tcp_settings settings = link_settings();
    settings.block_count = 64;
    struct link *link = link_create(15, &settings);
    struct tcp_stack *stack = link->end[0].stack;
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    uint32_t edge = peer.seq + 65535;
    for (unsigned i = 0; i < 60; i++) {
        cr_assert_neq(tcp_block_take(stack, TCP_BLOCK_SEND_FIRST), 0);
    }
    uint32_t sent = 0;
    while (sent < 120000) {
        uint32_t len = min_u32(min_u32(1000, edge - peer.seq), 120000 - sent);
        cr_assert_gt(len, 0, "a peer that obeys the window is never stuck");
        peer_send(&peer, TCP_FLAG_ACK, link_text(sent, len), len);
        peer.seq += len;
        sent += len;
        if (peer_count(&peer) > 0) {
            const struct tcp_segment *ack = peer_last(&peer);
            cr_assert(seq_upto(edge, ack->ack + ack->window), "never to the left");
            edge = ack->ack + ack->window;
        }
        peer_wait(&peer, 45 * TCP_NS_PER_MS);
    }
    cr_assert_eq(app->read, 120000, "one segment at a time goes on");
    cr_assert_leq(edge - peer.seq, 1460u);
    link_destroy(link);
}

/* The window has fewer bytes than one unit of the scale: the peer sees a closed window, and must
 * hear when the application has read, also while few blocks are left. */
Test(memory, low_pool_opens_what_the_wire_shows_shut)
{
    struct tcp_settings settings = link_settings();
    settings.block_count = 800;
    settings.receive_window_bytes = 1 << 18;
    for (uint32_t left = 0; left < 8; left++) {
        struct link *link = link_create(20 + left, &settings);
        struct tcp_stack *stack = link->end[0].stack;
        struct peer peer = {.scales = true};
        link->end[0].preset.lazy = true;
        struct link_app *app = peer_open(&peer, link);
        while (stack->blocks_free > settings.block_count / 8 - 1) {
            cr_assert_neq(tcp_block_take(stack, TCP_BLOCK_SEND_FIRST), 0);
        }
        uint32_t base = peer.seq;
        uint32_t last = base + 65535 - left; /* the SYN's window is not scaled */
        while (peer.seq != last) {
            uint32_t len = min_u32(last - peer.seq, 1460);
            peer_send(&peer, TCP_FLAG_ACK, link_text(peer.seq - base, len), len);
            peer.seq += len;
        }
        peer_wait(&peer, 50 * TCP_NS_PER_MS);
        cr_assert_eq(peer_last(&peer)->ack, last);
        cr_assert_eq(peer_last(&peer)->window, 0);
        peer_clear(&peer);
        for (struct bytes b; (b = tcp_peek(app->conn)).len > 0;) {
            tcp_consume(app->conn, b.len);
        }
        cr_assert(tcp_blocks_are_low(stack));
        link_turn(&link->end[0]);
        cr_assert_gt(peer_count(&peer), 0, "%u bytes left: nothing is said", left);
        cr_assert_geq((uint32_t)peer_last(&peer)->window << app->conn->rcv_wscale, 1460);
        link_destroy(link);
    }
}

/* Bulk to a peer that does not acknowledge leaves an eighth of the pool to others. */
Test(memory, bulk_leaves_room_for_replies)
{
    struct tcp_settings settings = link_settings();
    settings.block_count = 64;
    settings.send_buffer_bytes = 1 << 20;
    struct link *link = link_create(16, &settings);
    struct peer slow = {0};
    struct link_app *hog = peer_open(&slow, link);
    hog->to_write = 1 << 20;
    link_write(hog);
    cr_assert_eq(link->end[0].stack->blocks_free, 8);
    link_turn(&link->end[0]);
    struct peer peer = {.port = 999};
    struct link_app *app = peer_open(&peer, link);
    app->to_write = 500;
    link_write(app);
    cr_assert_eq(app->to_write, 0);
    link_turn(&link->end[0]);
    cr_assert_eq(tcp_unsent(app->conn), 500);
    peer.ack += 500;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert((app->seen & TCP_EVENT_SENT) != 0);
    tcp_abort(hog->conn);
    cr_assert_eq(link->end[0].stack->blocks_free, 64);
    link_destroy(link);
}
