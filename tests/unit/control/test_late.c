/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_late.c: what is contradictory, repeated and late: a second COMMIT, an
 * outcome after the end, acknowledgements out of order, entries and readings of before. */
#include "tests/unit/control/lab.h"

#include "control/core/feed.h"
#include "control/core/up.h"

#include <criterion/criterion.h>

static struct lab *lab;

static void set_up(void)
{
    lab = lab_create();
    lab_attach(lab);
}

static void tear_down(void)
{
    lab_destroy(lab);
}

TestSuite(late, .init = set_up, .fini = tear_down);

static void ends(uint64_t id, enum outcome outcome, uint64_t rcpts)
{
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, outcome, rcpts, ABI_FLAG_LAST);
    lab_turn(lab, 0);
}

/* A delivery under way whose two recipients are done (0) and frozen (1), a third waits. */
static uint64_t half_done(void)
{
    uint64_t id = lab_commit(lab, 1, 3);
    lab_turn(lab, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_USER_UNKNOWN, 2, 0);
    lab_turn(lab, 0);
    return id;
}

Test(late, nothing_revives_a_recipient_that_is_done)
{
    uint64_t id = half_done();
    static const struct {
        enum abi_state_kind kind;
        enum outcome outcome;
    } words[] = {
        {ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX}, {ABI_STATE_OUTCOME, OUTCOME_POLICY},
        {ABI_STATE_OUTCOME, OUTCOME_DELIVERED}, {ABI_STATE_RELEASE, OUTCOME_NONE},
        {ABI_STATE_FREEZE, OUTCOME_POISON},     {ABI_STATE_RELEASE, OUTCOME_NONE},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        (void)lab_state(lab, id, words[i].kind, words[i].outcome, 1, 0);
        lab_turn(lab, 0);
        cr_assert_eq(delivery_rcpt(lab_find(lab, id), 0).state, RCPT_DONE, "word %zu", i);
        cr_assert_eq(delivery_rcpt(lab_find(lab, id), 0).outcome, OUTCOME_DELIVERED);
        cr_assert_eq(lab->core.journal.delivered_rcpts, 1);
    }
    ends(id, OUTCOME_DELIVERED, 4);
    (void)lab_state(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 3, 0);
    lab->sent_count = 0;
    lab_turn(lab, 0);
    cr_assert_eq(lab_times_sent(lab, id), 1);
    cr_assert_eq(lab->sent[0].deliver.rcpts.word[0], 2);
}

Test(late, only_the_mail_itself_changes_why_a_recipient_is_frozen)
{
    uint64_t id = half_done();
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 2, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_POLICY, 2, 0);
    lab_turn(lab, 0);
    cr_assert_eq(delivery_rcpt(lab_find(lab, id), 1).outcome, OUTCOME_USER_UNKNOWN);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 2, 0);
    lab_turn(lab, 0);
    cr_assert_eq(delivery_rcpt(lab_find(lab, id), 1).state, RCPT_DONE);
}

/* Under way again, when the end of the attempt before comes. */
Test(late, end_of_an_earlier_attempt_does_not_end_the_next)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    uint64_t early =
        lab_state(lab, lab_commit(lab, 2, 1), ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, 0) - 512;
    ends(id, OUTCOME_REPLY_4XX, 1);
    lab_turn(lab, 2000);
    cr_assert_eq(lab_times_sent(lab, id), 2);
    lab_state_at(lab, early, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_IN_FLIGHT);
    lab_turn(lab, 60000);
    cr_assert_eq(lab_times_sent(lab, id), 2);
}

Test(late, word_about_an_attempt_that_is_over_is_nothing)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    ends(id, OUTCOME_DELIVERED, 1);
    lab_attempt(lab, id, OUTCOME_CONNECTION_LOST, 0, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_null(lab_find(lab, id));
}

/* Without a durable record nothing is done. */
Test(late, attempt_alone_delivers_nothing)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    lab_attempt(lab, id, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_not_null(lab_find(lab, id));
    cr_assert_eq(lab->core.journal.delivered_rcpts, 0);
}

Test(late, attempt_without_recipients_speaks_of_those_that_were_open)
{
    uint64_t id = lab_commit(lab, 1, 2);
    lab_turn(lab, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 2, 0);
    lab_attempt(lab, id, OUTCOME_CONNECTION_LOST, 0, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(delivery_rcpt(lab_find(lab, id), 0).outcome, OUTCOME_CONNECTION_LOST);
}

/* An entry that comes again, with its old number. */
Test(late, an_entry_of_the_ring_counts_once)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    uint64_t number = lab->number;
    lab_attempt(lab, id, OUTCOME_NO_RESOURCE, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    lab_turn(lab, 2000);
    cr_assert_eq(lab_times_sent(lab, id), 2);
    struct abi_up again = {.number = number,
                           .type = ABI_UP_ATTEMPT,
                           .outcome = OUTCOME_NO_RESOURCE,
                           .flags = ABI_FLAG_LAST,
                           .state = {.id = id}};
    cr_assert(ring_put(&lab->up, &again));
    lab_turn(lab, 0);
    lab_turn(lab, 2000);
    cr_assert_eq(lab_times_sent(lab, id), 2);
}

/* --- commands -------------------------------------------------------------------------------- */

static uint64_t frozen(uint16_t rcpts)
{
    uint64_t id = lab_commit(lab, 1, rcpts);
    lab_turn(lab, 0);
    ends(id, OUTCOME_POLICY, (UINT64_C(1) << rcpts) - 1);
    lab->sent_count = 0;
    return id;
}

static void release(uint64_t id, uint64_t rcpts)
{
    struct rcptset set = {{rcpts}};
    life_release(&lab->core, lab_find(lab, id), &set);
}

Test(late, release_acknowledged_in_parts_and_out_of_order_is_done_once_and_whole)
{
    uint64_t id = frozen(3);
    release(id, 7);
    lab_turn(lab, 0);
    cr_assert_eq(lab_command(lab, id)->state.rcpts.word[0], 7);
    (void)lab_state(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 2, 0);
    lab->sent_count = 0;
    lab_turn(lab, 0);
    cr_assert_eq(lab_command(lab, id)->state.rcpts.word[0], 5, "what is left goes again");
    cr_assert(lab_find(lab, id)->releasing);
    uint64_t last = lab_state(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 5, 0);
    lab_turn(lab, 0);
    cr_assert_not(lab_find(lab, id)->releasing);
    cr_assert_null(outbox_find(&lab->core.outbox, id, ABI_STATE_RELEASE));
    cr_assert_eq(lab->core.outbox.sent_count, 0);
    lab_state_at(lab, last - 512, id, ABI_STATE_RELEASE, OUTCOME_NONE, 7, 0);
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.outbox.sent_count, 0);
}

Test(late, release_of_more_while_one_is_under_way_is_not_lost)
{
    uint64_t id = frozen(2);
    release(id, 1);
    lab_turn(lab, 0);
    release(id, 2);
    (void)lab_state(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0);
    lab->sent_count = 0;
    lab_turn(lab, 0);
    cr_assert_not_null(lab_command(lab, id));
    cr_assert_eq(lab_command(lab, id)->state.rcpts.word[0], 2);
}

Test(late, released_mail_begins_anew)
{
    uint64_t id = lab_commit(lab, 1, 1);
    for (int i = 0; i < 4; i++) {
        lab_turn(lab, 60000);
        (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST);
    }
    lab_turn(lab, 60000);
    ends(id, OUTCOME_POLICY, 1);
    (void)lab_state(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0);
    lab->sent_count = 0;
    lab_turn(lab, 0);
    cr_assert_eq(lab->sent[0].type, ABI_DOWN_DELIVER);
    cr_assert_eq(lab->sent[0].attempt, 0);
}

/* Who releases has mended the hop: its breaker does not make the mail wait. */
Test(late, release_closes_the_breaker)
{
    uint64_t id = frozen(1);
    uint64_t other = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    lab_attempt(lab, other, OUTCOME_GREETING_5XX, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    struct hop *hop = routes_find_hop(&lab->core.routes, 1);
    cr_assert_eq(hop->breaker.state, BREAKER_OPEN);
    (void)lab_state(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0);
    lab_turn(lab, 0);
    cr_assert_eq(hop->breaker.state, BREAKER_CLOSED);
}

/* Commands die with the rings that they lie in. */
Test(late, commands_are_repeated_at_an_attach)
{
    uint64_t released = frozen(1);
    release(released, 1);
    uint64_t blamed = lab_commit(lab, 2, 1);
    lab_turn(lab, 0);
    core_detach(&lab->core);
    lab_log(lab, blamed, ABI_STATE_FAULT, OUTCOME_NONE, 1);
    lab_log(lab, blamed, ABI_STATE_FAULT, OUTCOME_NONE, 1);
    for (int i = 0; i < 3; i++) {
        lab->sent_count = 0;
        lab_attach(lab);
        cr_assert_not_null(lab_command(lab, released), "attach %d", i);
        cr_assert_not_null(lab_command(lab, blamed), "attach %d", i);
        cr_assert_eq(lab_times_sent(lab, blamed), 0, "not sent while it is to be frozen");
        cr_assert_eq(lab->core.outbox.sent_count, 2);
    }
    (void)lab_state(lab, released, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0);
    (void)lab_state(lab, blamed, ABI_STATE_FREEZE, OUTCOME_SUSPECT, 1, 0);
    lab_turn(lab, 0);
    cr_assert_eq(lab_times_sent(lab, released), 1);
    cr_assert_eq(lab_find(lab, blamed)->state, DELIVERY_FROZEN);
    cr_assert_not(lab_find(lab, blamed)->freezing);
    (void)lab_state(lab, blamed, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0);
    lab_turn(lab, 0);
    cr_assert_eq(lab_times_sent(lab, blamed), 1);
}

/* What came before a command went decides over it. */
Test(late, a_command_says_only_what_is_still_to_be_done)
{
    uint64_t id = frozen(3);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, 0);
    release(id, 3);
    lab_turn(lab, 0);
    cr_assert_eq(lab_command(lab, id)->state.rcpts.word[0], 2);
    uint64_t other = frozen(2);
    (void)lab_state(lab, other, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, 0);
    release(other, 1);
    lab_turn(lab, 0);
    cr_assert_null(lab_command(lab, other));
    cr_assert_not(lab_find(lab, other)->releasing);
}

Test(late, a_freeze_that_is_not_wanted_any_more_stops_nothing)
{
    uint64_t id = lab_commit(lab, 1, 2);
    lab_turn(lab, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_POLICY, 2, 0);
    lab_turn(lab, 0);
    core_detach(&lab->core);
    lab_log(lab, id, ABI_STATE_FAULT, OUTCOME_NONE, 1);
    lab_log(lab, id, ABI_STATE_FAULT, OUTCOME_NONE, 1);
    cr_assert(lab_find(lab, id)->freezing);
    lab_log(lab, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1);
    lab->sent_count = 0;
    lab_attach(lab);
    cr_assert_null(lab_command(lab, id));
    (void)lab_state(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 2, 0);
    lab_turn(lab, 0);
    cr_assert_eq(lab_times_sent(lab, id), 1);
}

Test(late, commands_wait_while_enough_are_under_way)
{
    struct outbox o;
    struct rcptset one = {{1}};
    outbox_init(&o);
    outbox_add(&o, 16, ABI_STATE_RELEASE, OUTCOME_NONE, &one);
    cr_assert_not_null(outbox_next(&o));
    o.sent_count = OUTBOX_OUTSTANDING;
    cr_assert_null(outbox_next(&o));
    o.sent_count = 0;
    outbox_fini(&o);
}

/* A fence is passed when each worker of this attach has said so. */
Test(late, fence_needs_every_worker_of_this_attach)
{
    struct core *c = &lab->core;
    lab_hello(lab, 2, 64);
    lab_ends(lab);
    uint64_t token = outbox_fence(&c->outbox, &c->attach);
    lab_turn(lab, 0);
    outbox_fence_answer(&c->outbox, token, 0);
    outbox_fence_answer(&c->outbox, token, 0);
    outbox_fence_answer(&c->outbox, token + 1, 1);
    cr_assert_not(outbox_fence_passed(&c->outbox, &c->attach, token));
    lab_hello(lab, 2, 64);
    lab_ends(lab);
    outbox_fence_answer(&c->outbox, token, 1);
    cr_assert_not(outbox_fence_passed(&c->outbox, &c->attach, token), "0 answered for old rings");
    outbox_fence_answer(&c->outbox, token, 0);
    cr_assert(outbox_fence_passed(&c->outbox, &c->attach, token));
    token = outbox_fence(&c->outbox, &c->attach);
    core_detach(c);
    cr_assert(outbox_fence_passed(&c->outbox, &c->attach, token));
}

/* --- attaches -------------------------------------------------------------------------------- */

Test(late, told_under_way_before_its_commit)
{
    uint64_t id = lab_facts(lab, 1, 1).id;
    lab->counter--;
    lab_hello(lab, 1, 64);
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = id, .hop_id = 1}});
    lab_ends(lab);
    cr_assert_eq(lab_commit(lab, 1, 1), id);
    lab_turn(lab, 5000);
    cr_assert_eq(lab_times_sent(lab, id), 0);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_IN_FLIGHT);
    ends(id, OUTCOME_DELIVERED, 1);
    cr_assert_null(lab_find(lab, id));
    cr_assert_eq(lab->core.flights.count, 0);
}

static void told_under_way(uint64_t id)
{
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = id, .hop_id = 1}});
}

/* The dataplane had not yet heard that the record is durable when it said so. */
Test(late, told_under_way_after_the_last_word_about_it)
{
    uint64_t done = lab_commit(lab, 1, 1);
    uint64_t waits = lab_commit(lab, 1, 1);
    uint64_t flies = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    for (int attach = 0; attach < 2;
         attach++) { /* the first one knows of flights, not the second */
        lab_hello(lab, 1, 64);
        lab_turn(lab, 0);
        if (attach == 0) {
            (void)lab_state(lab, done, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
            (void)lab_state(lab, waits, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST);
            told_under_way(done);
            told_under_way(waits);
        }
        told_under_way(flies);
        lab_ends(lab);
        cr_assert_eq(lab->core.flights.count, 1);
        cr_assert_eq(routes_find_hop(&lab->core.routes, 1)->in_flight, 1);
        cr_assert_eq(lab->core.flights.ended.count, 0);
        core_detach(&lab->core);
    }
    lab_hello(lab, 1, 64);
    lab_turn(lab, 0);
    told_under_way(waits); /* another attempt, for all that this attach knows */
    lab_ends(lab);
    cr_assert_eq(lab_find(lab, waits)->state, DELIVERY_IN_FLIGHT);
    ends(waits, OUTCOME_DELIVERED, 1);
    cr_assert_null(lab_find(lab, waits));
    cr_assert_null(lab_find(lab, done));
}

Test(late, each_worker_speaks_for_itself)
{
    lab_hello(lab, 2, 64);
    lab_turn(lab, 0);
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT_END});
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.attach.phase, ATTACH_INFLIGHT);
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT_END});
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.attach.phase, ATTACH_RUNNING);
}

Test(late, a_lying_hello_and_a_lying_set_are_bounded)
{
    lab_hello(lab, 1, UINT32_MAX);
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.attach.credits, LIMIT_DELIVERS_IN_FLIGHT);
    for (uint32_t i = 0; i < LIMIT_DELIVERS_IN_FLIGHT + 10; i++) {
        lab_put(lab,
                (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = id_make(7, i + 1, 0)}});
    }
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.flights.count, LIMIT_DELIVERS_IN_FLIGHT);
}

/* The logs of an attach that was given up are read: that says nothing of the next one. */
Test(late, end_of_an_older_reading_is_not_the_end_of_this_one)
{
    struct core *c = &lab->core;
    lab->unread = true;
    lab_hello(lab, 1, 64);
    lab_turn(lab, 0);
    uint64_t older = c->wishes.logs.ticket;
    lab_hello(lab, 1, 64);
    lab_turn(lab, 0);
    cr_assert(c->attach.reading);
    up_logs_read(c, older, 0);
    cr_assert(c->attach.reading);
    up_logs_read(c, c->wishes.logs.ticket, 0);
    cr_assert_not(c->attach.reading);
}

Test(late, nothing_is_sent_while_the_log_is_read)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab->number++; /* a gap behind it */
    (void)lab_commit(lab, 1, 1);
    lab->unread = true;
    lab_turn(lab, 0);
    cr_assert(lab->core.attach.reading);
    cr_assert_not_null(lab_find(lab, id));
    lab_turn(lab, 1000);
    cr_assert_eq(lab->sent_count, 0);
}

/* The hop may have what was under way, whatever an earlier attempt said. */
Test(late, cut_off_after_an_earlier_answer_is_a_possible_duplicate)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    ends(id, OUTCOME_REPLY_4XX, 1);
    lab_turn(lab, 2000);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_IN_FLIGHT);
    core_detach(&lab->core);
    lab_attach(lab);
    cr_assert_eq(lab->core.journal.possible_duplicates, 1);
}

/* --- logs, disks ------------------------------------------------------------------------------ */

Test(late, what_a_log_tells_says_nothing_of_a_hop_today)
{
    uint64_t id = lab_commit(lab, 2, 1);
    lab_turn(lab, 0);
    for (int i = 0; i < 5; i++) {
        lab_log(lab, id, ABI_STATE_OUTCOME, OUTCOME_CONNECT_REFUSED, 1);
    }
    cr_assert_eq(routes_find_hop(&lab->core.routes, 1)->breaker.failures, 0);
}

/* The segment of a message that is done is given back before the next image speaks of it. */
Test(late, what_came_and_went_since_the_image_counts)
{
    const struct journal *j = &lab->core.journal;
    uint64_t gone = id_message(lab_commit(lab, 1, 1)) + (UINT64_C(1) << 20);
    lab_turn(lab, 0);
    lab_log(lab, gone, ABI_STATE_OUTCOME, OUTCOME_CONNECT_REFUSED, 7);
    cr_assert_eq(j->delivered_rcpts, 0);
    lab_log(lab, gone, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 7);
    cr_assert_eq(j->delivered_rcpts, 3);
    cr_assert_eq(j->accepted_rcpts, 3 + 1);
    lab_state(lab, gone, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(j->delivered_rcpts, 3, "the ring tells of mail that was counted when it ended");
}

Test(late, faults_are_counted_to_their_bound)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    core_detach(&lab->core);
    for (int i = 0; i < 6; i++) {
        lab_log(lab, id, ABI_STATE_FAULT, OUTCOME_NONE, 1);
    }
    cr_assert_eq(lab_find(lab, id)->faults, DELIVERY_FAULTS_MAX);
}

Test(late, damage_is_shown_once_and_kept)
{
    struct core *c = &lab->core;
    struct life_facts fact = lab_facts(lab, 1, 1);
    struct life_facts ended = lab_facts(lab, 1, 1);
    ended.first_pos = ended.commit_pos = ended.commit_pos + (UINT64_C(7) << 32);
    for (int i = 0; i < 3; i++) {
        struct life_facts again = fact;
        apply_damaged(c, &again);
        feed_message_seen(c, fact.commit_pos);
        cr_assert_eq(c->journal.damaged, 1);
        cr_assert_eq(lab_find(lab, fact.id)->state, DELIVERY_FROZEN);
    }
    lab_put_commit(lab, &ended);
    lab_turn(lab, 0);
    ends(ended.id, OUTCOME_DELIVERED, 1);
    apply_damaged(c, &ended); /* its commit was seen, its deliveries are gone: who knows of what */
    cr_assert_not(liveness_pin(&c->journal.liveness, ended.commit_pos >> 32), "it is kept");
    for (int i = 0; i < 3; i++) {
        (void)feed_damage(c, true, UINT64_C(3) << 32);
        cr_assert_eq(c->journal.damaged, 3);
    }
}

Test(late, hostile_state_records_are_refused)
{
    struct state_fact fact = {.id = 16, .pos = 4096, .kind = ABI_STATE_OUTCOME, .outcome = 200};
    cr_assert_not(feed_state(&lab->core, &fact));
    fact.outcome = OUTCOME_DELIVERED;
    fact.kind = 77;
    cr_assert_not(feed_state(&lab->core, &fact));
    fact.kind = ABI_STATE_OUTCOME;
    fact.pos = 0;
    cr_assert_not(feed_state(&lab->core, &fact));
}
