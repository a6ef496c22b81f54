/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_intake.c: connections from outside, and messages coming in. */
#include "tests/unit/dataplane/lane.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(intake, .init = lane_make, .fini = lane_unmake, .timeout = 100);

/* --- connections ----------------------------------------------------------------------------- */

Test(intake, one_client_has_so_many_connections)
{
    struct peer *p[9];
    for (int i = 0; i < 8; i++) {
        p[i] = lane_connect();
        peer_expect(p[i], "220");
    }
    p[8] = lane_connect();
    peer_expect(p[8], "421 4.3.2");
    for (int i = 0; i < 8; i++) { /* connections that end make room */
        peer_say(p[i], "QUIT\r\n");
        peer_expect(p[i], "221");
    }
    lane_run(2000);
    for (int i = 0; i < 8; i++) {
        peer_expect(lane_connect(), "220");
    }
}

/* Clients from outside leave connections for deliveries. */
Test(intake, connections_from_outside_have_a_limit)
{
    lane.config.limits.connections = 3;
    struct abi_up mail = lane_mail("a@d0.example", 0);
    lane_run(2000);
    for (int i = 0; i < 3; i++) {
        peer_expect(lane_connect(), "220");
    }
    cr_assert_not(lane_connect()->opened);
    lane_deliver(&mail, rcptset_first(1), 0);
    peer_greet(lane_accept(0));
}

/* A message that comes a byte at a time does not pin a segment for ever. */
Test(intake, a_message_takes_no_longer_than_any_honest_one)
{
    struct peer *p = lane_begin_mail("a@d0.example");
    for (int i = 0; i < 20; i++) {
        peer_say(p, "x");
        peer_silent(p, 30000);
    }
    lane_run(10000);
    peer_expect(p, "421 4.4.2");
}

/* --- recipients ------------------------------------------------------------------------------ */

static void expect_rcpt(const char *reply)
{
    struct peer *p = lane_connect();
    peer_expect(p, "220");
    peer_say(p, "EHLO p\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@d0.example>\r\n");
    peer_expect(p, "250");
    peer_expect(p, "250");
    peer_expect(p, reply);
}

/* Without a policy no recipient is known, and none may be refused as unknown. */
Test(intake, no_policy_refuses_nobody_for_good)
{
    worker_set_policy(lane.worker, NULL);
    lane_run(1);
    expect_rcpt("451");
}

Test(intake, a_domain_that_vanished_lately_is_not_refused_for_good)
{
    static const struct policy_grace grace = {.domain = "d0.example"};
    void *data;
    size_t len;
    lane.config.route = lane.route_config + 1;
    lane.config.route_count = 1;
    cr_assert_eq(policy_build(&lane.config, 77, &grace, 1, &data, &len), 0);
    const struct policy *policy = policy_verify(data, len);
    cr_assert_not_null(policy);
    worker_set_policy(lane.worker, policy);
    lane_run(1);
    expect_rcpt("451");
}

/* --- messages -------------------------------------------------------------------------------- */

Test(intake, each_message_has_its_own_id)
{
    struct abi_up a = lane_mail("a@d0.example", 0);
    struct abi_up b = lane_mail("a@d0.example", 0);
    cr_assert_neq(a.commit.id, b.commit.id);
}

Test(intake, what_is_not_stored_is_not_taken)
{
    struct peer *p = lane_begin_mail("a@d0.example");
    memdisk_fail(lane.disk, SPOOL_IO_SYNC, 1, EIO);
    peer_say(p, "x\r\n.\r\n");
    peer_expect(p, "421 4.3.0");
    lane_no_up(ABI_UP_COMMIT, 10);
}

/* Mail is refused for now, because there is no room. What was refused is in no cache. */
Test(intake, a_full_spool_is_452)
{
    const char *reply = "250";
    for (int i = 0; i < 50 && strncmp(reply, "250", 3) == 0; i++) {
        struct peer *p = lane_begin_mail("a@d0.example");
        peer_fill(p, 200000);
        peer_say(p, ".\r\n");
        reply = peer_line(p);
        peer_say(p, "QUIT\r\n");
        lane_run(2000);
    }
    cr_assert_eq(strncmp(reply, "452 4.3.1", 9), 0, "%s", reply);
    cr_assert_eq(writer_spool_state(lane.writer), ABI_SPOOL_FULL);
}

/* The answer waits for the disk, even when the peer has sent everything and closed its side. */
Test(intake, the_answer_waits_for_the_disk)
{
    struct peer *p = lane_begin_mail("a@d0.example");
    lane.writer_sleeps = true;
    peer_say(p, "x\r\n.\r\n");
    tcp_close(p->tcp);
    peer_silent(p, 1000);
    lane.writer_sleeps = false;
    (void)lane_up(ABI_UP_COMMIT);
    cr_assert_eq(counter_get(&lane.worker_counters, COUNTER_accepted_messages), 1);
}

/* When a sender goes away, its records may still be at the disk: their memory is used again only
 * when they return. Its segment is freed. */
Test(intake, a_message_that_was_cut_leaves_nothing_behind)
{
    struct peer *p = lane_begin_mail("a@d0.example");
    lane.writer_sleeps = true;
    peer_fill(p, 150000);
    tcp_abort(p->tcp);
    lane_run(100);
    lane.writer_sleeps = false;
    lane_run(100);
    cr_assert_eq(lane.worker->intakes.free_count, lane.worker->intakes.count);
    struct abi_up up = {0};
    for (uint64_t seq = 0; seq < 2;) { /* on to the next segment */
        up = lane_mail("a@d0.example", 200000);
        seq = spool_pos_seq(up.commit.commit_pos);
    }
    struct abi_down down = {.type = ABI_DOWN_RECYCLE};
    down.recycle.seq = 1;
    down.recycle.seen_pos = spool_writer_message_pos(lane.spool);
    lane_down(&down);
    cr_assert_eq(lane_up(ABI_UP_RECYCLED).recycled.seq, 1);
}
