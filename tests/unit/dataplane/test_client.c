/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_client.c: connections to next hops: which one a delivery gets, what it
 * means when one breaks, how long we wait for a hop. */
#include "tests/unit/dataplane/lane.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(client, .init = lane_make, .fini = lane_unmake, .timeout = 100);

static struct abi_up mail_to(const char *rcpt, uint32_t hop)
{
    struct abi_up mail = lane_mail(rcpt, 0);
    lane_deliver(&mail, rcptset_first(1), hop);
    return mail;
}

/* A connection that took one message, and is idle. */
static struct peer *pooled(void)
{
    (void)mail_to("a@d0.example", 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_take(hop, 1);
    peer_say(hop, "250 taken\r\n");
    lane_outcome(OUTCOME_DELIVERED);
    lane_run(10);
    return hop;
}

/* --- which one ------------------------------------------------------------------------------- */

Test(client, a_pooled_connection_is_used_again)
{
    struct peer *hop = pooled();
    (void)mail_to("b@d0.example", 0);
    peer_expect(hop, "MAIL");
    cr_assert_eq(lane_connections(0), 1);
}

/* Another hop may have the same address and port, but speak LMTP or have other limits. */
Test(client, a_connection_is_its_hops_alone)
{
    lane.hop_config[1].address[0] = lane.hop_config[0].address[0];
    lane.hop_config[1].protocol = CONFIG_PROTOCOL_LMTP;
    lane_publish();
    struct peer *hop = pooled();
    (void)mail_to("b@d1.example", 1);
    struct peer *other = lane_accept(0);
    peer_say(other, "220 hop\r\n");
    peer_expect(other, "LHLO");
    peer_silent(hop, 10);
}

Test(client, a_hop_that_moved_is_followed)
{
    struct peer *hop = pooled();
    lane.hop_config[0].port = LANE_HOP_PORT + 1;
    lane_publish();
    (void)mail_to("b@d0.example", 0);
    struct peer *moved = lane_accept(0);
    cr_assert_neq(moved, hop);
    peer_silent(hop, 10);
    lane.hop_config[0].port = LANE_HOP_PORT;
    lane.hop_config[0].address[0] = node_addr(21); /* hop 1's */
    lane_publish();
    (void)mail_to("c@d0.example", 0);
    (void)lane_accept(1);
    peer_silent(hop, 10);
}

/* RFC 5321 section 5.1: every address is tried before the attempt counts as failed. */
Test(client, every_address_is_tried)
{
    lane.hop[1]->mood = NODE_REFUSING; /* at the first address of hop 2 */
    (void)mail_to("a@d0.example", 2);
    peer_greet(lane_accept(2));
}

/* --- what broke ------------------------------------------------------------------------------ */

/* A stale connection is not the hop's failure. A connection that broke later may have taken the
 * mail. */
Test(client, a_stale_connection_costs_a_new_one)
{
    struct peer *hop = pooled();
    (void)mail_to("b@d0.example", 0);
    peer_expect(hop, "MAIL");
    tcp_abort(hop->tcp);
    lane_run(10);
    struct peer *fresh = lane_accept(0);
    peer_greet(fresh);
    peer_take(fresh, 1);
    peer_say(fresh, "250 taken\r\n");
    lane_outcome(OUTCOME_DELIVERED);
}

Test(client, a_new_connection_that_breaks_is_the_hops_failure)
{
    (void)mail_to("a@d0.example", 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL");
    tcp_abort(hop->tcp);
    lane_outcome(OUTCOME_CONNECTION_LOST);
    cr_assert_eq(lane_connections(0), 1);
}

Test(client, lost_behind_the_dot_is_told_and_not_tried_again)
{
    struct peer *hop = pooled();
    (void)mail_to("b@d0.example", 0);
    peer_take(hop, 1);
    tcp_abort(hop->tcp);
    struct abi_up up = lane_outcome(OUTCOME_DOT_LOST);
    cr_assert(up.phase == ABI_PHASE_DOT && (up.flags & ABI_FLAG_AFTER_DOT) != 0);
    lane_run(1000);
    cr_assert_eq(lane_connections(0), 1);
}

Test(client, lost_behind_rcpt_is_not_tried_again_at_once)
{
    struct peer *hop = pooled();
    (void)mail_to("b@d0.example", 0);
    peer_expect(hop, "MAIL");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "RCPT");
    tcp_abort(hop->tcp);
    lane_outcome(OUTCOME_CONNECTION_LOST);
    cr_assert_eq(lane_connections(0), 1);
}

/* A 250 before the end of the message was acknowledged is the reply to something else. */
Test(client, early_250_is_not_delivered)
{
    struct abi_up mail = lane_mail("a@d0.example", 100000);
    lane_deliver(&mail, rcptset_first(1), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "RCPT");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "DATA");
    lane.hop[0]->mood = NODE_SILENT; /* it hears nothing from now on, but still speaks */
    static const char words[] = "354 go\r\n250 taken\r\n";
    size_t go = strlen("354 go\r\n");
    cr_assert_eq(tcp_write(hop->tcp, words, go), go);
    lane_run(100); /* all of the message is in our TCP, next to nothing acknowledged */
    cr_assert_eq(tcp_write(hop->tcp, words + go, sizeof words - 1 - go), sizeof words - 1 - go);
    lane_run(2);
    lane_outcome(OUTCOME_REPLY_INVALID);
}

/* --- how long -------------------------------------------------------------------------------- */

/* RFC 5321 section 4.5.3.2.6: the answer to the dot has its own patience. */
Test(client, a_slow_answer_to_the_dot_is_waited_for)
{
    (void)mail_to("a@d0.example", 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_take(hop, 1);
    lane_run(100000);
    peer_say(hop, "250 taken\r\n");
    lane_outcome(OUTCOME_DELIVERED);
}

Test(client, a_slow_answer_before_is_not)
{
    (void)mail_to("a@d0.example", 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL");
    lane_run(31000);
    struct abi_up up = lane_outcome(OUTCOME_CONNECT_TIMEOUT);
    cr_assert_eq(up.phase, ABI_PHASE_MAIL);
}

/* No outcome could be stored, so the delivery does not begin. */
Test(client, nothing_is_sent_from_a_fenced_spool)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    memdisk_fail(lane.disk, SPOOL_IO_SYNC, 1, EIO);
    struct peer *p = lane_begin_mail("b@d0.example");
    peer_say(p, "x\r\n.\r\n");
    peer_expect(p, "421");
    cr_assert_eq(writer_spool_state(lane.writer), ABI_SPOOL_FENCED);
    lane_deliver(&mail, rcptset_first(1), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_silent(hop, 1000);
}
