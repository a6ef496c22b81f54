/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_counters.c: each counter of a whole worker moves when what it names
 * happens, by as much, and not before. Those of the writer, the ring and the network have their
 * assertions beside what they count; tests/tidy/counters.py finds the one that has none. */
#include "tests/unit/dataplane/lane.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(counters, .init = lane_make, .fini = lane_unmake, .timeout = 100);

/* The sum over the threads, as housekeeping shows it. */
static uint64_t counted(enum counter counter)
{
    return counter_get(&lane.worker_counters, counter) +
           counter_get(&lane.writer_counters, counter);
}

/* What the worker copies from its TCP: it does so a few times a second. */
static uint64_t figure(enum counter counter)
{
    lane_run(1000);
    return counted(counter);
}

static struct peer *accept_delivery(const struct abi_up *mail)
{
    lane_deliver(mail, rcptset_first(mail->commit.rcpt_count), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    return hop;
}

Test(counters, mail_that_comes_in)
{
    cr_assert_eq(counted(COUNTER_accepted_messages), 0);
    (void)lane_mail("a@d0.example b@d0.example", 0);
    cr_assert_eq(counted(COUNTER_smtp_connections), 1);
    cr_assert_eq(figure(COUNTER_tcp_accepted), 1);
    cr_assert_eq(counted(COUNTER_accepted_messages), 1);
    cr_assert_eq(counted(COUNTER_accepted_rcpts), 2);
    /* What a hop gets is our Received line, and what the client sent. */
    cr_assert_gt(counted(COUNTER_accepted_bytes), sizeof "Subject: x\r\n\r\nbody\r\n" - 1);
    cr_assert_gt(counted(COUNTER_rx_packets), 0);
    cr_assert_gt(counted(COUNTER_tx_packets), 0);
    cr_assert_eq(figure(COUNTER_tcp_connected), 0);
}

Test(counters, what_is_refused)
{
    struct peer *p = lane_connect();
    peer_expect(p, "220");
    peer_say(p,
             "NONSENSE\r\nEHLO p\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@elsewhere.example>\r\n");
    peer_expect(p, "500");
    peer_expect(p, "250");
    peer_expect(p, "250");
    peer_expect(p, "550");
    cr_assert_eq(counted(COUNTER_smtp_protocol_errors), 1);
    cr_assert_eq(counted(COUNTER_smtp_rejected_rcpts), 1);
    cr_assert_eq(counted(COUNTER_smtp_tempfails), 0);
    worker_set_policy(lane.worker, NULL);
    lane_run(1);
    peer_say(p, "RCPT TO:<a@d0.example>\r\n");
    peer_expect(p, "451");
    cr_assert_eq(counted(COUNTER_smtp_tempfails), 1);
}

Test(counters, clients_for_whom_there_is_no_room)
{
    for (uint32_t i = 0; i < lane.config.limits.connections_per_client; i++) {
        peer_expect(lane_connect(), "220");
    }
    cr_assert_eq(counted(COUNTER_smtp_refused_busy), 0);
    cr_assert_eq(figure(COUNTER_connections_now), lane.config.limits.connections_per_client);
    peer_expect(lane_connect(), "421");
    cr_assert_eq(counted(COUNTER_smtp_refused_busy), 1);
}

Test(counters, mail_that_is_delivered)
{
    struct abi_up mail = lane_mail("a@d0.example b@d0.example", 0);
    struct peer *hop = accept_delivery(&mail);
    peer_take(hop, 2);
    cr_assert_eq(counted(COUNTER_delivered_rcpts), 0);
    peer_say(hop, "250 taken\r\n");
    lane_outcome(OUTCOME_DELIVERED);
    cr_assert_eq(counted(COUNTER_delivers), 1);
    cr_assert_eq(counted(COUNTER_delivered_rcpts), 2);
    cr_assert_eq(counted(COUNTER_client_connections), 1);
    cr_assert_eq(figure(COUNTER_tcp_connected), 1);
    cr_assert_eq(counted(COUNTER_client_reuses), 0);
    mail = lane_mail("c@d0.example", 0);
    lane_deliver(&mail, rcptset_first(1), 0);
    peer_take(hop, 1);
    peer_say(hop, "250 taken\r\n");
    lane_outcome(OUTCOME_DELIVERED);
    cr_assert_eq(counted(COUNTER_client_connections), 1);
    cr_assert_eq(counted(COUNTER_client_reuses), 1);
}

Test(counters, mail_that_is_not_delivered)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    struct peer *hop = accept_delivery(&mail);
    peer_expect(hop, "MAIL");
    peer_say(hop, "451 later\r\n");
    lane_outcome(OUTCOME_REPLY_4XX);
    cr_assert_eq(counted(COUNTER_deferred_attempts), 1);
    cr_assert_eq(counted(COUNTER_frozen_rcpts), 0);
    peer_expect(hop, "RSET");
    peer_say(hop, "250 ok\r\n");
    lane_deliver(&mail, rcptset_first(1), 0);
    peer_take(hop, 1);
    peer_say(hop, "554 5.7.1 no\r\n");
    lane_outcome(OUTCOME_POLICY);
    cr_assert_eq(counted(COUNTER_frozen_rcpts), 1);
    cr_assert_eq(counted(COUNTER_deferred_attempts), 1);
    cr_assert_eq(counted(COUNTER_delivered_rcpts), 0);
}

Test(counters, a_connection_lost_behind_the_dot)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    struct peer *hop = accept_delivery(&mail);
    peer_take(hop, 1);
    cr_assert_eq(figure(COUNTER_tcp_resets_received), 0);
    tcp_abort(hop->tcp);
    lane_outcome(OUTCOME_DOT_LOST);
    cr_assert_eq(counted(COUNTER_dot_lost), 1);
    cr_assert_eq(counted(COUNTER_deferred_attempts), 1);
    cr_assert_eq(figure(COUNTER_tcp_resets_received), 1);
}

/* A record is delivered from memory or from disk, never both. */
Test(counters, where_a_record_came_from)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    struct peer *hop = accept_delivery(&mail);
    peer_take(hop, 1);
    uint64_t hits = counted(COUNTER_spool_cache_hits);
    cr_assert_gt(counted(COUNTER_spool_cache_hits), 0);
    cr_assert_eq(counted(COUNTER_spool_cache_misses), 0);
    mail = lane_mail("b@d0.example", 0);
    lane_restart();
    hop = accept_delivery(&mail);
    peer_take(hop, 1);
    cr_assert_eq(counted(COUNTER_spool_cache_misses), 1);
    cr_assert_eq(counted(COUNTER_spool_cache_hits), hits);
}

Test(counters, segments_of_our_tcp)
{
    cr_assert_not(lane_connect_to(26)->opened);
    cr_assert_eq(figure(COUNTER_tcp_resets_sent), 1);
    struct abi_up mail = lane_mail("a@d0.example", 0);
    lane.hop[0]->mood = NODE_SILENT;
    cr_assert_eq(figure(COUNTER_tcp_retransmits), 0);
    lane_deliver(&mail, rcptset_first(1), 0);
    lane_run(2000); /* RFC 6298 section 5.7: the first SYN is sent again after a second */
    cr_assert_geq(figure(COUNTER_tcp_retransmits), 1);
}

/* The stack has room for so many connections; the next one is counted, not made. */
Test(counters, a_pool_that_is_empty)
{
    struct ip_endpoint local = {.addr = lane.config.listen[0].addr};
    struct ip_endpoint nobody = {.addr = node_addr(200), .port = 25};
    struct tcp_conn *conn;
    int r = 0;
    while (r == 0) {
        r = tcp_connect(lane.worker->tcp, &local, &nobody, NULL, lane.worker->now_ns, &conn);
    }
    cr_assert_eq(r, -ENOMEM);
    cr_assert_geq(figure(COUNTER_tcp_no_memory), 1);
}

Test(counters, trouble_of_the_disk)
{
    cr_assert_eq(counted(COUNTER_spool_errors), 0);
    struct peer *p = lane_begin_mail("b@d0.example");
    memdisk_fail(lane.disk, SPOOL_IO_SYNC, 1, EIO);
    peer_say(p, "x\r\n.\r\n");
    peer_expect(p, "421");
    cr_assert_eq(counted(COUNTER_spool_errors), 1);
}
