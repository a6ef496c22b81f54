/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_delivery.c: from COMMIT to the end of a delivery: scheduling, outcomes,
 * breakers, faults. */
#include "tests/unit/control/fake.h"

#include "common/config.h"
#include "control/core/apply.h"

#include <criterion/criterion.h>
#include <time.h>

FAKE_SUITE(delivery);

static void delivered(uint64_t id)
{
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
}

/* A delivery is indexed, sent, recorded and forgotten. */
Test(delivery, is_sent_once_and_forgotten_when_delivered)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert_eq(fake_times_sent(f, id), 1);
    cr_assert_eq(f->deliver[0].deliver.hop_id, f->config->hop[0].id);
    cr_assert_eq(fake_total(f, "in_flight"), 1);
    fake_turn(f, 3600 * 1000); /* under way: not sent again */
    cr_assert_eq(fake_times_sent(f, id), 1);
    delivered(id);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "in_flight") + fake_total(f, "waiting"), 0);
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 1);
    cr_assert_eq(fake_total(f, "delivered_rcpts"), 1);
}

/* accepted = delivered + waiting + held, for recipients. */
Test(delivery, keeps_an_outcome_per_recipient)
{
    struct fake_mail mail = {.sender = "a@from.test",
                             .count = 4,
                             .route = {1, 1, 2, 1},
                             .rcpt = {"a@one.test", "b@one.test", "c@two.test", "d@one.test"}};
    uint64_t id = fake_mail(f, &mail);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id) && fake_was_sent(f, id | 1));
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_USER_UNKNOWN, 2, 0, "no such user");
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 4, 0, "later");
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "frozen_rcpts"), 1);
    cr_assert_eq(fake_total(f, "waiting_rcpts"), 2); /* one, and the other delivery's */
    cr_assert_eq(fake_total(f, "delivered_rcpts"), 1);
    fake_forget_sent(f);
    fake_turn(f, 5000);
    cr_assert_eq(fake_times_sent(f, id), 1);
    cr_assert_eq(f->deliver[0].deliver.rcpts.word[0], 4); /* only the one that waits */
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 4, ABI_FLAG_LAST, "ok");
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "frozen"), 1);
}

/* No queue lifetime. */
Test(delivery, backs_off_and_never_expires)
{
    uint64_t id = fake_simple(f, 1);
    uint64_t waited_ms = 0;
    uint64_t last_ms = 0;
    fake_turn(f, 0);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(fake_times_sent(f, id), 1, "attempt %d", i);
        fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
        fake_turn(f, 0);
        fake_forget_sent(f);
        for (last_ms = 0; !fake_was_sent(f, id); last_ms += 500) {
            cr_assert_leq(last_ms, f->config->retry.max_ms);
            fake_turn(f, 500);
        }
        waited_ms += last_ms;
    }
    cr_assert_geq(last_ms, f->config->retry.max_ms / 4 * 3);
    cr_assert_gt(waited_ms, 200 * 45 * 1000);
}

Test(delivery, backoff_doubles_to_its_bound_and_is_the_same_for_the_same_id)
{
    uint64_t before = 0;
    for (uint32_t n = 1; n < 40; n++) {
        uint64_t delay = apply_backoff_ns(77, n, 1000, 60000);
        cr_assert_leq(delay, 60000 * UINT64_C(1000000));
        cr_assert_geq(delay, 750 * UINT64_C(1000000));
        cr_assert(n > 5 || delay > before);
        cr_assert_eq(delay, apply_backoff_ns(77, n, 1000, 60000));
        before = delay;
    }
    cr_assert_neq(apply_backoff_ns(77, 9, 1000, 60000), apply_backoff_ns(78, 9, 1000, 60000));
}

Test(delivery, hop_takes_no_more_than_its_connections_and_all_no_more_than_the_credits)
{
    for (int i = 0; i < 20; i++) {
        fake_simple(f, 1);
    }
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 4);
    f->credits = 5;
    uint64_t under_way[4];
    for (int i = 0; i < 4; i++) {
        under_way[i] = f->deliver[i].deliver.id;
    }
    fake_attach(f, under_way, 4);
    for (int i = 0; i < 20; i++) {
        fake_simple(f, 2);
    }
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 5);
}

/* Opens the hop's breaker. The deliveries behind it count no attempts. */
static uint64_t break_hop(uint32_t route)
{
    uint64_t id = 0;
    for (int i = 0; i < 3; i++) {
        id = fake_simple(f, route);
        fake_turn(f, 0);
        fake_attempt(f, id, OUTCOME_CONNECT_REFUSED, ABI_FLAG_LAST);
        fake_turn(f, 0);
    }
    return id;
}

Test(delivery, open_breaker_lets_one_canary_through_and_closes_gradually)
{
    (void)break_hop(1);
    for (int i = 0; i < 8; i++) {
        fake_simple(f, 1);
    }
    fake_forget_sent(f);
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 0);
    fake_turn(f, 1100);
    cr_assert_eq(f->deliver_count, 1);
    cr_assert_eq(f->deliver[0].flags & ABI_FLAG_PROBE, ABI_FLAG_PROBE);
    fake_turn(f, 10000);
    cr_assert_eq(f->deliver_count, 1); /* one at a time */
    uint64_t first = f->deliver[0].deliver.id;
    fake_attempt(f, first, OUTCOME_CONNECT_REFUSED, ABI_FLAG_LAST);
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 1);
    fake_turn(f, 1100);
    cr_assert_eq(f->deliver_count, 2);
    cr_assert_neq(f->deliver[1].deliver.id, first); /* another one is the next canary */
    cr_assert_eq(f->deliver[1].attempt, 0);         /* no attempt was counted meanwhile */
    /* 4xx at MAIL: the hop is there again */
    fake_state(f, f->deliver[1].deliver.id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST,
               "later");
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 3); /* one, not four */
    delivered(f->deliver[2].deliver.id);
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 5); /* then two */
}

Test(delivery, greeting_5xx_opens_the_breaker_at_once)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_attempt(f, id, OUTCOME_GREETING_5XX, ABI_FLAG_LAST);
    fake_turn(f, 0);
    fake_simple(f, 1);
    fake_forget_sent(f);
    fake_turn(f, 500);
    cr_assert_eq(f->deliver_count, 0);
}

Test(delivery, route_with_two_hops_goes_to_the_second_while_the_first_is_broken)
{
    (void)break_hop(1);
    fake_forget_sent(f);
    uint64_t id = fake_simple(f, 3);
    fake_turn(f, 0);
    cr_assert_eq(fake_times_sent(f, id), 1);
    cr_assert_eq(f->deliver[0].deliver.hop_id, f->config->hop[1].id);
}

Test(delivery, damaged_message_does_not_close_a_breaker)
{
    (void)break_hop(1);
    fake_forget_sent(f);
    fake_turn(f, 1100);
    cr_assert_eq(f->deliver_count, 1);
    fake_state(f, f->deliver[0].deliver.id, ABI_STATE_OUTCOME, OUTCOME_DAMAGED, 1, ABI_FLAG_LAST,
               "crc");
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 1);
    cr_assert_eq(fake_total(f, "frozen"), 1);
}

/* A hop that answers 4xx to everything opens no breaker, but gets fewer deliveries at once. */
Test(delivery, runs_of_4xx_lower_the_concurrency)
{
    for (int i = 0; i < 40; i++) {
        fake_simple(f, 1);
    }
    fake_turn(f, 0);
    for (uint32_t i = 0; i < 16; i++) {
        fake_state(f, f->deliver[i].deliver.id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1,
                   ABI_FLAG_LAST, "later");
        fake_turn(f, 0);
    }
    cr_assert_eq(fake_total(f, "in_flight"), 1); /* the window was 4 */
}

/* After one crash it is retried alone; after two it is frozen. */
Test(delivery, in_flight_at_a_crash_goes_alone_and_is_suspect_after_two)
{
    f->echo = true;
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    control_detach(f->control);
    fake_state(f, id, ABI_STATE_FAULT, OUTCOME_NONE, 1, 0, "");
    fake_attach(f, NULL, 0);
    fake_forget_sent(f);
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 1);
    cr_assert_eq(f->deliver[0].flags & ABI_FLAG_PROBE, ABI_FLAG_PROBE);
    uint64_t other = fake_simple(f, 2);
    fake_turn(f, 1000);
    cr_assert_not(fake_was_sent(f, other)); /* alone */
    control_detach(f->control);
    fake_state(f, id, ABI_STATE_FAULT, OUTCOME_NONE, 1, 0, "");
    fake_attach(f, NULL, 0);
    fake_forget_sent(f);
    fake_turn(f, 0);
    cr_assert_eq(f->state[0].outcome, OUTCOME_SUSPECT);
    cr_assert_not(fake_was_sent(f, id));
    cr_assert(fake_was_sent(f, other));
    cr_assert_eq(fake_total(f, "frozen"), 1);
}

/* A suspect must not wait for ever because another hop is slow, and keep everybody else waiting. */
Test(delivery, suspect_goes_beside_what_does_not_end)
{
    uint64_t id = fake_simple(f, 1);
    uint64_t slow = fake_simple(f, 2);
    fake_turn(f, 0);
    control_detach(f->control);
    fake_state(f, id, ABI_STATE_FAULT, OUTCOME_NONE, 1, 0, "");
    fake_forget_sent(f);
    fake_attach(f, &slow, 1);
    for (int s = 0; s < 120; s++) {
        fake_turn(f, 1000);
    }
    cr_assert_eq(fake_times_sent(f, id), 1);
    cr_assert_eq(fake_times_sent(f, slow), 0);
}

Test(delivery, suspect_that_passes_is_a_suspect_no_more)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    control_detach(f->control);
    fake_state(f, id, ABI_STATE_FAULT, OUTCOME_NONE, 1, 0, "");
    fake_attach(f, NULL, 0);
    fake_forget_sent(f);
    fake_turn(f, 0);
    uint64_t other = fake_simple(f, 2);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, other));
    fake_forget_sent(f);
    fake_turn(f, 5000);
    cr_assert(fake_was_sent(f, id));
    cr_assert_eq(f->deliver[0].flags & ABI_FLAG_PROBE, 0);
}

/* Deliveries that a crash may have doubled are counted. Here one was under way, the end of one was
 * only in the log, one goes on, one was never sent. */
Test(delivery, cut_off_by_a_crash_is_a_possible_duplicate)
{
    uint64_t cut = fake_simple(f, 1);
    uint64_t ended = fake_simple(f, 2);
    uint64_t goes_on = fake_simple(f, 3);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "in_flight"), 3);
    (void)fake_simple(f, 1);
    control_detach(f->control);
    f->deaf = true;
    fake_state(f, ended, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
    f->deaf = false;
    fake_forget_sent(f);
    fake_attach(f, &goes_on, 1);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "possible_duplicates"), 1);
    cr_assert(fake_was_sent(f, cut));
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "possible_duplicates"), 1, "attached again without a crash");
}

/* A delivery is lost at the dot again and again, while others get through. */
Test(delivery, poison_is_frozen_when_others_pass)
{
    f->echo = true;
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(fake_total(f, "frozen"), 0);
        fake_attempt(f, id, OUTCOME_DOT_LOST, ABI_FLAG_LAST | ABI_FLAG_AFTER_DOT);
        uint64_t other = fake_simple(f, 1);
        fake_turn(f, 1100);
        delivered(other);
        fake_turn(f, 70000);
    }
    cr_assert_eq(fake_total(f, "frozen"), 1);
    cr_assert_eq(f->state[f->state_count - 1].outcome, OUTCOME_POISON);
    cr_assert_eq(fake_total(f, "possible_duplicates"), 5);
}

Test(delivery, lost_at_the_dot_is_the_hops_fault_when_nothing_passes)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    for (int i = 0; i < 20; i++) {
        fake_attempt(f, id, OUTCOME_DOT_LOST, ABI_FLAG_LAST);
        fake_turn(f, 70000);
    }
    cr_assert_eq(f->state_count, 0);
}

Test(delivery, nothing_is_sent_on_a_fenced_spool)
{
    atomic_store(&f->region->spool_state, ABI_SPOOL_FENCED);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 1000);
    cr_assert_not(fake_was_sent(f, id));
    atomic_store(&f->region->spool_state, ABI_SPOOL_FULL);
    fake_turn(f, 1000);
    cr_assert(fake_was_sent(f, id));
}

/* A hop that the workers do not know yet would fail each delivery. */
Test(delivery, nothing_is_sent_before_the_policy_is_adopted)
{
    f->old_policy = true;
    atomic_store(&f->region->policy_adopted, 0);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 30000);
    cr_assert_not(fake_was_sent(f, id));
    f->old_policy = false;
    fake_turn(f, 100);
    cr_assert_eq(fake_times_sent(f, id), 1);
}

/* outcome.def, scope SELF: it says nothing about the message, so it is not counted, and the next
 * attempt comes soon. */
Test(delivery, our_own_trouble_is_tried_again_after_a_second_without_a_mark)
{
    static const enum outcome ours[] = {OUTCOME_NO_RESOURCE, OUTCOME_CANCELLED};
    f->config->retry.first_ms = 30000;
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    for (int i = 0; i < 6; i++) {
        fake_attempt(f, id, ours[i % 2], ABI_FLAG_LAST);
        fake_turn(f, 0);
        fake_forget_sent(f);
        fake_turn(f, 900);
        cr_assert_eq(f->deliver_count, 0);
        fake_turn(f, 100);
        cr_assert_eq(f->deliver_count, 1);
        cr_assert_eq(f->deliver[0].attempt, 0);
    }
}

/* A delivery whose route no longer exists is held: orphan. */
Test(delivery, of_an_unknown_route_is_an_orphan_until_the_route_returns)
{
    char state[32];
    struct config fewer = *f->config;
    fewer.route_count = 2;
    cr_assert_eq(fake_reload(f, &fewer), 0);
    uint64_t id = fake_simple(f, 3);
    fake_turn(f, 3600 * 1000);
    cr_assert_not(fake_was_sent(f, id));
    cr_assert_str_eq(fake_state_of(f, id, state), "orphan");
    cr_assert_eq(fake_total(f, "held"), 1);
    cr_assert_eq(fake_reload(f, f->config), 0);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id));
    uint64_t stranger = fake_simple(f, 999);
    fake_turn(f, 0);
    cr_assert_str_eq(fake_state_of(f, stranger, state), "orphan");
}

/* O(log n): the cost of a turn with one due delivery does not grow with the number that wait. */
Test(delivery, a_hundred_thousand_wait_without_cost)
{
    const uint64_t base = UINT64_C(2) << 32 | 1 << 20;
    for (uint64_t i = 0; i < 100000; i++) {
        fake_put(f, (struct abi_up){.type = ABI_UP_COMMIT,
                                    .commit = {.id = id_make(9, i + 1, 0),
                                               .commit_pos = base + 512 * i,
                                               .first_pos = base + 512 * i,
                                               .received_ms = f->time.wall_ms,
                                               .route_id = 1,
                                               .body_bytes = 10,
                                               .rcpt_count = 1}});
        if (i % 8192 == 0) {
            fake_turn(f, 0);
        }
    }
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "waiting") + fake_total(f, "in_flight"), 100000);
    clock_t begin = clock();
    for (int i = 0; i < 10000; i++) {
        fake_turn(f, 1);
    }
    cr_assert_lt((double)(clock() - begin) / CLOCKS_PER_SEC, 5.0);
}
