/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_recovery.c: loss: fast, limited, early retransmit; RTO; SACK both ways. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>

/* RFC 5681 section 3.2, RFC 3042: two new segments for the first two duplicates, then the lost one
 * again at the third, without the timer. */
Test(recovery, fast_retransmit_and_limited_transmit)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(10, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    app->to_write = 40000;
    link_write(app);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_count(&peer), 10, "RFC 6928: ten segments");
    uint32_t start = peer.ack;
    peer_clear(&peer);
    for (unsigned i = 0; i < 2; i++) {
        peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
        cr_assert_eq(peer_count(&peer), i + 1);
        cr_assert_eq(peer_last(&peer)->seq, start + (10 + i) * 536, "new data");
    }
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(link->end[0].out[0].seq, start, "the lost segment");
    cr_assert_eq(link->end[0].out[0].payload.len, 536);
    /* A partial ACK (RFC 6582): the next hole at once. */
    peer_clear(&peer);
    peer.ack = start + 3 * 536;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(link->end[0].out[0].seq, start + 3 * 536);
    cr_assert(app->conn->is_recovering);
    peer.ack = app->conn->snd_max;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_not(app->conn->is_recovering, "a full ACK ends it");
    cr_assert_leq(app->conn->cwnd, app->conn->ssthresh);
    link_destroy(link);
}

/* RFC 6298 section 5: back off by doubling, one segment at a time. */
Test(recovery, timeout_backs_off)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(11, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    app->to_write = 40000;
    link_write(app);
    link_turn(&link->end[0]);
    peer_clear(&peer);
    uint64_t start_ns = link->now_ns;
    /* First comes the early retransmission (RFC 8985 section 7), which does not back off. */
    peer_wait(&peer, 9 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 0);
    peer_wait(&peer, 3 * TCP_NS_PER_MS);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->seq, peer.ack);
    cr_assert_gt(app->conn->cwnd, app->conn->mss);
    peer_clear(&peer);
    start_ns = link->now_ns;
    uint64_t at_ms[5];
    unsigned count = 0;
    while (count < 5) {
        peer_wait(&peer, TCP_NS_PER_MS);
        if (peer_count(&peer) > 0) {
            cr_assert_eq(peer_count(&peer), 1);
            cr_assert_eq(peer_last(&peer)->seq, peer.ack);
            at_ms[count++] = (link->now_ns - start_ns) / TCP_NS_PER_MS;
            peer_clear(&peer);
        }
        cr_assert_lt(link->now_ns - start_ns, 60 * TCP_NS_PER_S);
    }
    cr_assert_geq(at_ms[0], 198, "min RTO");
    cr_assert_leq(at_ms[0], 203);
    for (unsigned i = 1; i < 5; i++) {
        uint64_t gap = at_ms[i] - at_ms[i - 1];
        uint64_t want = (uint64_t)200 << i;
        cr_assert(gap + 3 >= want && gap <= want + 3, "gap %u: %lu ms", i, gap);
    }
    link_destroy(link);
}

/* RFC 5827: with two segments in flight no second duplicate ACK can come, so one is enough. */
Test(recovery, early_retransmit)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(12, &settings);
    struct peer peer = {0};
    struct link_app *app = peer_open(&peer, link);
    app->to_write = 1000;
    link_write(app);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_count(&peer), 2);
    peer_clear(&peer);
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(peer_count(&peer), 1);
    cr_assert_eq(peer_last(&peer)->seq, peer.ack);
    link_destroy(link);
}

/* RFC 7323 section 4: the RTT through timestamps. */
Test(recovery, rtt_by_timestamps)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(13, &settings);
    link->delay_ns = 60 * TCP_NS_PER_MS;
    struct link_app *app = link_connect(link, 0);
    link_run(link, link->now_ns + TCP_NS_PER_S);
    app->to_write = 200000;
    link_write(app);
    link_run(link, link->now_ns + 20 * TCP_NS_PER_S);
    cr_assert_geq(app->conn->srtt_us, 118000);
    cr_assert_leq(app->conn->srtt_us, 165000);
    cr_assert_geq(app->conn->rto_us, 318000);
    link_destroy(link);
}

/* RFC 2018 section 4: the latest block first, then others; only what lies ahead. */
Test(sack, blocks_that_we_send)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(30, &settings);
    link->end[0].hold = true;
    struct peer peer = {.link = link, .port = PEER_PORT, .seq = 100, .window = 60000};
    const uint8_t permitted[4] = {1, 1, 4, 2};
    peer_send_options(&peer, TCP_FLAG_SYN, permitted, 4, NULL, 0);
    cr_assert(peer_last(&peer)->has_sack_permitted);
    peer.seq++;
    peer.ack = peer_last(&peer)->seq + 1;
    peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
    uint32_t base = peer.seq;
    static const uint32_t at[] = {1000, 5000, 3000, 9000, 7000, 2000};
    for (unsigned i = 0; i < 6; i++) {
        peer.seq = base + at[i];
        peer_clear(&peer);
        peer_send(&peer, TCP_FLAG_ACK, link_text(at[i], 1000), 1000);
        const struct tcp_segment *ack = peer_last(&peer);
        cr_assert_eq(ack->ack, base);
        cr_assert_eq(ack->sack_count, min_u32(i + 1, TCP_SACKS_MAX));
        cr_assert(seq_upto(ack->sack[0].start, peer.seq) &&
                      seq_upto(peer.seq + 1000, ack->sack[0].end),
                  "the latest first");
    }
    /* 1000, 2000 and 3000 have become one range. */
    cr_assert_eq(peer_last(&peer)->sack[0].start, base + 1000);
    cr_assert_eq(peer_last(&peer)->sack[0].end, base + 4000);
    link_destroy(link);
}

static void sack_send(struct peer *peer, uint32_t start, uint32_t end)
{
    uint8_t options[12] = {1, 1, 5, 10};
    put_be32(options + 4, start);
    put_be32(options + 8, end);
    peer_send_options(peer, TCP_FLAG_ACK, options, sizeof options, NULL, 0);
}

static struct link_app *sack_open(struct peer *peer, struct link *link)
{
    link->end[0].hold = true;
    *peer = (struct peer){.link = link, .port = PEER_PORT, .seq = 100, .window = 60000};
    const uint8_t permitted[4] = {1, 1, 4, 2};
    peer_send_options(peer, TCP_FLAG_SYN, permitted, 4, NULL, 0);
    peer->seq++;
    peer->ack = peer_last(peer)->seq + 1;
    peer_send(peer, TCP_FLAG_ACK, NULL, 0);
    struct link_app *app = &link->end[0].app[0];
    app->to_write = 40000;
    link_write(app);
    peer_clear(peer);
    link_turn(&link->end[0]);
    cr_assert_eq(peer_count(peer), 10);
    peer_clear(peer);
    return app;
}

/* RFC 6675: both holes are sent again, nothing that the peer holds is. */
Test(sack, holes_are_mended)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(31, &settings);
    struct peer peer;
    struct link_app *app = sack_open(&peer, link);
    uint32_t una = peer.ack;
    uint32_t mss = app->conn->mss;
    /* Segments 0 and 4 of ten are lost. */
    sack_send(&peer, una + mss, una + 2 * mss);
    sack_send(&peer, una + mss, una + 3 * mss);
    sack_send(&peer, una + mss, una + 4 * mss);
    for (uint32_t i = 6; i <= 10; i++) {
        sack_send(&peer, una + 5 * mss, una + i * mss);
    }
    unsigned first = 0;
    unsigned fifth = 0;
    for (unsigned i = 0; i < peer_count(&peer); i++) {
        uint32_t at = link->end[0].out[i].seq - una;
        first += at == 0 ? 1 : 0;
        fifth += at == 4 * mss ? 1 : 0;
        cr_assert(at == 0 || at == 4 * mss || at >= 10 * mss, "not what the peer holds");
    }
    cr_assert_eq(first, 1);
    cr_assert_eq(fifth, 1);
    struct tcp_stats stats;
    tcp_stack_stats(link->end[0].stack, &stats);
    cr_assert_eq(stats.retransmits, 2);
    link_destroy(link);
}

/* False blocks change nothing: beyond what was sent, below what is acknowledged, with the end
 * before the start, over everything. */
Test(sack, lies_change_nothing)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(32, &settings);
    struct peer peer;
    struct link_app *app = sack_open(&peer, link);
    uint32_t una = peer.ack;
    sack_send(&peer, una + 100, una + 60000);
    sack_send(&peer, una - 500, una + 500);
    sack_send(&peer, una + 500, una + 100);
    sack_send(&peer, una + 500, una + 500);
    sack_send(&peer, una, una + 100);
    cr_assert_eq(app->conn->scoreboard, 0);
    /* A peer that claims all but the first byte, and then takes it back: the RTO mends it. */
    sack_send(&peer, una + 1, app->conn->snd_max);
    peer_wait(&peer, 5 * TCP_NS_PER_S);
    cr_assert_eq(app->conn->scoreboard, 0, "forgotten at the second timeout");
    for (unsigned i = 0; i < 1000 && tcp_unsent(app->conn) > 0; i++) {
        uint32_t mark = peer.ack;
        for (unsigned k = 0; k < peer_count(&peer); k++) {
            const struct tcp_segment *s = &link->end[0].out[k];
            if (seq_upto(s->seq, mark)) {
                mark = seq_later(mark, s->seq + tcp_segment_length(s));
            }
        }
        peer.ack = mark;
        peer_clear(&peer);
        peer_send(&peer, TCP_FLAG_ACK, NULL, 0);
        peer_wait(&peer, 500 * TCP_NS_PER_MS);
    }
    cr_assert_eq(tcp_unsent(app->conn), 0);
    link_destroy(link);
}
