/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_delivery.c: a delivery from DELIVER to its outcome: to whom it goes,
 * over which connection, what is reported and stored. */
#include "tests/unit/dataplane/lane.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(delivery, .init = lane_make, .fini = lane_unmake, .timeout = 100);

static struct rcptset only(unsigned rcpt)
{
    struct rcptset set = {{0}};
    rcptset_add(&set, rcpt);
    return set;
}

/* One that the hop takes. */
static void take_all(struct peer *hop, uint32_t rcpt_count)
{
    peer_take(hop, rcpt_count);
    peer_say(hop, "250 taken\r\n");
}

/* --- to whom --------------------------------------------------------------------------------- */

/* Held and finished recipients are not in the set: they get nothing, and are not reported. */
Test(delivery, goes_to_the_recipients_of_the_set)
{
    struct abi_up mail = lane_mail("a@d0.example b@d0.example c@d0.example", 0);
    cr_assert_eq(mail.commit.rcpt_count, 3);
    lane_deliver(&mail, only(1), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL FROM:<a@b.example>");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "RCPT TO:<b@d0.example>");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "DATA");
    peer_say(hop, "354 go\r\n");
    peer_skip_to(hop, ".");
    peer_say(hop, "250 taken\r\n");
    struct abi_up up = lane_outcome(OUTCOME_DELIVERED);
    struct rcptset set = only(1);
    cr_assert_eq(memcmp(&up.state.rcpts, &set, sizeof set), 0);
    cr_assert(up.type == ABI_UP_STATE && up.state.state_pos != 0, "it is in the log");
}

Test(delivery, goes_to_the_recipients_of_its_route)
{
    struct abi_up first = lane_mail("c@d1.example d@d0.example", 0);
    cr_assert_eq(first.commit.route_id, LANE_ROUTE_ID + 1);
    struct abi_up second = lane_up(ABI_UP_COMMIT);
    cr_assert(second.commit.route_id == LANE_ROUTE_ID && id_index(second.commit.id) == 1);
    lane_deliver(&second, only(0), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "RCPT TO:<d@d0.example>");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "DATA");
}

/* When the set does not fit the envelope, nothing is sent, and all of it is set aside. */
Test(delivery, unknown_recipients_in_the_set_are_damage)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    struct rcptset two = only(0);
    rcptset_add(&two, 5);
    lane_deliver(&mail, two, 0);
    struct abi_up up = lane_outcome(OUTCOME_DAMAGED);
    cr_assert_eq(memcmp(&up.state.rcpts, &two, sizeof two), 0);
    cr_assert_eq(lane_connections(0), 0);
}

Test(delivery, repeated_deliver_is_one_delivery)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    lane_deliver(&mail, only(0), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    lane_deliver(&mail, only(0), 0);
    take_all(hop, 1);
    lane_outcome(OUTCOME_DELIVERED);
    lane_no_up(ABI_UP_STATE, 1000);
    cr_assert_eq(lane_connections(0), 1);
    cr_assert_eq(counter_get(&lane.worker_counters, COUNTER_delivers_repeated), 1);
}

Test(delivery, nothing_begins_while_it_closes_down)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    worker_drain(lane.worker);
    lane_run(600);
    lane_deliver(&mail, only(0), 0);
    lane_outcome(OUTCOME_CANCELLED);
    cr_assert_eq(lane_connections(0), 0);
}

/* --- loops ----------------------------------------------------------------------------------- */

static void say_received(struct peer *p)
{
    for (int i = 0; i <= LIMIT_RECEIVED_LINES; i++) {
        peer_say(p, "Received: from x by y; then\r\n");
    }
    peer_say(p, "\r\n.\r\n");
}

/* A looping message is accepted, and frozen before control could begin it. A release sends it
 * once. */
Test(delivery, looping_mail_waits_for_a_person)
{
    struct peer *p = lane_begin_mail("a@d0.example");
    say_received(p);
    peer_expect(p, "250");
    struct abi_up mail = lane_up(ABI_UP_COMMIT);
    struct abi_up frozen = lane_up(ABI_UP_STATE);
    cr_assert(frozen.kind == ABI_STATE_FREEZE && frozen.outcome == OUTCOME_LOOP);
    cr_assert(frozen.state.id == mail.commit.id && rcptset_count(&frozen.state.rcpts) == 1);
    lane_deliver(&mail, only(0), 0);
    lane_outcome(OUTCOME_LOOP);
    cr_assert_eq(lane_connections(0), 0);
    struct abi_down release = {.type = ABI_DOWN_STATE, .kind = ABI_STATE_RELEASE};
    release.state.id = mail.commit.id;
    release.state.rcpts = only(0);
    lane_down(&release);
    struct abi_up released = lane_up(ABI_UP_STATE);
    cr_assert_eq(released.kind, ABI_STATE_RELEASE);
    lane_deliver(&mail, only(0), 0);
    peer_greet(lane_accept(0));
}

/* A command from another process may contain anything. */
Test(delivery, commands_of_no_meaning_do_nothing)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    struct abi_down down = {.type = ABI_DOWN_STATE, .kind = ABI_STATE_FREEZE, .outcome = 200};
    down.state.id = mail.commit.id;
    down.state.rcpts = only(0);
    lane_down(&down);
    down.kind = ABI_STATE_OUTCOME;
    down.outcome = OUTCOME_DELIVERED;
    lane_down(&down);
    down.type = 99;
    lane_down(&down);
    lane_no_up(ABI_UP_STATE, 100);
}

/* --- what is told ---------------------------------------------------------------------------- */

/* Each class has its report, and only the last report ends the attempt. */
Test(delivery, reports_each_recipient_with_its_own_class)
{
    struct abi_up mail = lane_mail("a@d0.example b@d0.example c@d0.example d@d0.example", 0);
    lane_deliver(&mail, rcptset_first(4), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    static const char *const replies[] = {"550 5.1.1 nobody\r\n", "550 5.7.1 no\r\n", "250 ok\r\n",
                                          "450 4.2.0 later\r\n"};
    peer_expect(hop, "MAIL");
    peer_say(hop, "250 ok\r\n");
    for (int i = 0; i < 4; i++) {
        peer_expect(hop, "RCPT");
        peer_say(hop, replies[i]);
    }
    peer_expect(hop, "DATA");
    peer_say(hop, "354 go\r\n");
    peer_skip_to(hop, ".");
    peer_say(hop, "250 taken\r\n");
    static const enum outcome expected[] = {OUTCOME_USER_UNKNOWN, OUTCOME_POLICY, OUTCOME_DELIVERED,
                                            OUTCOME_REPLY_4XX};
    for (unsigned i = 0; i < 4; i++) {
        struct abi_up up = lane_up(ABI_UP_STATE); /* the deferral, too, is in the log */
        cr_assert_eq(up.outcome, expected[i]);
        cr_assert_eq((up.flags & ABI_FLAG_LAST) != 0, i == 3);
        struct rcptset set = only(i);
        cr_assert_eq(memcmp(&up.state.rcpts, &set, sizeof set), 0);
    }
}

/* A new control hears of what is under way before anything else. */
Test(delivery, a_new_control_hears_what_is_under_way)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    lane_deliver(&mail, only(0), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL");
    lane_attach();
    struct abi_up up = lane_up(ABI_UP_INFLIGHT);
    cr_assert(up.inflight.id == mail.commit.id && up.inflight.hop_id == LANE_HOP_ID);
    (void)lane_up(ABI_UP_INFLIGHT_END);
}

/* --- records --------------------------------------------------------------------------------- */

enum { LARGE = 300000 }; /* half a dozen records */

static void more_bytes(struct format_record *record)
{
    record->total_bytes += 10;
}

static void fewer_bytes(struct format_record *record)
{
    record->total_bytes -= 10;
}

static void not_last(struct format_record *record)
{
    record->is_last = false;
}

static void wrong_beginning(struct format_record *record)
{
    cr_assert_gt(record->back_count, 2);
    record->back[record->back_count - 1] += SPOOL_BLOCK_BYTES;
}

static void other_message(struct format_record *record)
{
    record->id += 16;
}

static void damage(size_t body_bytes, bool in_first, void (*change)(struct format_record *record))
{
    struct abi_up mail = lane_mail("a@d0.example", body_bytes);
    lane_patch(in_first ? mail.commit.first_pos : mail.commit.commit_pos, change);
    lane_deliver(&mail, only(0), 0);
}

/* The mistake is found before a connection is opened. */
Test(delivery, a_chain_that_does_not_hold_together_is_not_begun)
{
    damage(LARGE, false, wrong_beginning);
    lane_outcome(OUTCOME_DAMAGED);
    damage(LARGE, false, not_last);
    lane_outcome(OUTCOME_DAMAGED);
    damage(0, false, not_last);
    lane_outcome(OUTCOME_DAMAGED);
    damage(0, false, other_message);
    lane_outcome(OUTCOME_DAMAGED);
    damage(LARGE, true, other_message);
    lane_outcome(OUTCOME_DAMAGED);
    cr_assert_eq(lane_connections(0), 0);
}

static void expect_no_dot(void)
{
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "RCPT");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "DATA");
    peer_say(hop, "354 go\r\n");
    lane_outcome(OUTCOME_DAMAGED);
    lane_run(100);
    cr_assert_null(hop->tcp, "reset before its dot");
    cr_assert(hop->in_len < 3 || memcmp(hop->in + hop->in_len - 3, ".\r\n", 3) != 0);
}

Test(delivery, a_message_that_misses_bytes_gets_no_dot)
{
    damage(LARGE, false, more_bytes);
    expect_no_dot();
}

Test(delivery, a_message_with_bytes_too_many_gets_no_dot)
{
    damage(LARGE, false, fewer_bytes);
    expect_no_dot();
}

/* Mail that cannot be read now is not damaged: it waits. */
Test(delivery, unreadable_mail_waits)
{
    struct abi_up mail = lane_mail("a@d0.example", 0);
    lane_restart();
    memdisk_fail(lane.disk, SPOOL_IO_READ, 1, EIO);
    lane_deliver(&mail, only(0), 0);
    struct abi_up up = lane_outcome(OUTCOME_NO_RESOURCE);
    cr_assert_eq(up.type, ABI_UP_ATTEMPT);
    lane_deliver(&mail, only(0), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    take_all(hop, 1);
    lane_outcome(OUTCOME_DELIVERED);
}

Test(delivery, mail_that_becomes_unreadable_on_the_way_waits)
{
    struct abi_up mail = lane_mail("a@d0.example", LARGE);
    lane_restart();
    lane_deliver(&mail, only(0), 0);
    struct peer *hop = lane_accept(0);
    peer_greet(hop);
    peer_expect(hop, "MAIL");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "RCPT");
    peer_say(hop, "250 ok\r\n");
    peer_expect(hop, "DATA");
    memdisk_fail(lane.disk, SPOOL_IO_READ, 1, EIO);
    peer_say(hop, "354 go\r\n");
    struct abi_up up = lane_outcome(OUTCOME_NO_RESOURCE);
    cr_assert_eq(up.type, ABI_UP_ATTEMPT);
    lane_run(100);
    cr_assert_null(hop->tcp);
}
