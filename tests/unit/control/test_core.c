/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_core.c: the parts of the core by themselves: where deliveries lie, what
 * they wait in, hops, suspects, rules, rounds. */
#include "tests/unit/control/lab.h"

#include "control/core/feed.h"
#include "control/core/rounds.h"
#include "control/core/slotset.h"

#include <criterion/criterion.h>
#include <stdlib.h>

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

TestSuite(core, .init = set_up, .fini = tear_down);

static uint64_t mixed(uint64_t n)
{
    n = (n ^ n >> 31) * UINT64_C(0x7fb5d329728ea185);
    return n ^ n >> 27;
}

/* --- where deliveries lie -------------------------------------------------------------------- */

/* Runs of a shard grow, and shrink in any order; a slot is used again. */
Test(core, index_finds_what_is_there_and_only_that)
{
    enum { COUNT = 40000 };
    struct index *index = calloc(1, sizeof *index);
    const uint64_t pos = (UINT64_C(2) << 32) + (1 << 20);
    for (uint64_t i = 1; i <= COUNT; i++) {
        (void)index_add(index, id_make(1, i, 0), pos, pos, 1);
    }
    uint32_t slots = index_slots(index);
    for (uint64_t i = 1; i <= COUNT; i++) {
        if (mixed(i) % 3 != 0) {
            index_remove(index, index_find(index, id_make(1, i, 0)));
        }
    }
    for (uint64_t i = 1; i <= COUNT; i++) {
        const struct delivery *d = index_find(index, id_make(1, i, 0));
        cr_assert_eq(d != NULL, mixed(i) % 3 == 0);
        cr_assert(d == NULL || d->id == id_make(1, i, 0));
        cr_assert_null(index_find(index, id_make(1, i, 1)));
        cr_assert_eq(index_has_message(index, id_make(1, i, 1)), mixed(i) % 3 == 0);
    }
    for (uint64_t i = 1; i <= COUNT; i++) {
        if (mixed(i) % 3 != 0) {
            (void)index_add(index, id_make(2, i, 0), pos, pos, 1);
        }
    }
    cr_assert_eq(index_slots(index), slots, "slots are used again");
    uint32_t slot = 0;
    uint32_t looked = 0;
    for (uint32_t budget = 10; slot < slots; budget = 10) {
        uint32_t from = slot;
        while (index_next(index, &slot, &budget) != NULL) {
        }
        cr_assert_leq(slot - from, 10, "a step is bounded");
        looked += slot - from;
    }
    cr_assert_eq(looked, slots);
    index_fini(index);
    free(index);
}

Test(core, slotset_walks_over_what_is_in_it)
{
    struct slotset set = {0};
    for (uint32_t slot = 0; slot < 20000; slot++) {
        if (mixed(slot) % 7 == 0 || slot % 4096 < 3) {
            slotset_add(&set, slot);
            slotset_add(&set, slot);
        }
    }
    uint32_t at = 0;
    uint32_t budget = UINT32_MAX;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(slotset_next(&set, &at, &budget), i);
    }
    for (uint32_t slot = 0; slot < 20000; slot += 2) {
        slotset_remove(&set, slot);
        slotset_remove(&set, slot);
    }
    at = 0;
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < 20000; slot++) {
        bool is_in = slot % 2 != 0 && (mixed(slot) % 7 == 0 || slot % 4096 < 3);
        cr_assert_eq(slotset_has(&set, slot), is_in);
        budget = UINT32_MAX;
        cr_assert(!is_in || slotset_next(&set, &at, &budget) == slot);
        count += is_in;
    }
    cr_assert_eq(set.count, count);
    slotset_fini(&set);
}

/* By time, also after some were taken out of the middle. */
Test(core, schedule_gives_in_order_of_time)
{
    enum { COUNT = 600 };
    static struct delivery d[COUNT];
    struct schedule s;
    struct routes routes;
    schedule_init(&s);
    routes_init(&routes);
    struct route *route = routes_take(&routes, 1);
    for (uint64_t i = 0; i < COUNT; i++) {
        delivery_init(&d[i], id_make(1, i + 1, 0), 4096, 4096, 1);
        struct live *l = schedule_take(&s, &d[i]);
        l->due_ns = 1 + mixed(i) % 1000;
        schedule_wait(&s, l, route, 0);
    }
    for (uint64_t i = 0; i < COUNT; i += 3) {
        schedule_drop(&s, schedule_live(&s, &d[i]), route);
    }
    uint64_t before = 0;
    uint32_t count = 0;
    for (struct live *l; (l = schedule_take_due(&s, 2000)) != NULL; count++) {
        cr_assert_geq(l->due_ns, before);
        before = l->due_ns;
    }
    cr_assert_eq(count, COUNT - COUNT / 3);
    routes_fini(&routes);
    schedule_fini(&s);
}

Test(core, delivery_shows_its_first_recipients_class)
{
    struct delivery d;
    unsigned rcpt;
    delivery_init(&d, 16, 4096, 4096, 3);
    delivery_set_rcpt(&d, 0, (struct rcpt){.state = RCPT_DONE, .outcome = OUTCOME_DELIVERED});
    delivery_set_rcpt(&d, 1, (struct rcpt){.outcome = OUTCOME_REPLY_4XX});
    delivery_set_rcpt(&d, 2, (struct rcpt){.outcome = OUTCOME_CONNECT_REFUSED});
    cr_assert_eq(delivery_class(&d, &rcpt), OUTCOME_REPLY_4XX);
    cr_assert_eq(rcpt, 1);
    delivery_set_rcpt(&d, 2, (struct rcpt){.state = RCPT_FROZEN, .outcome = OUTCOME_POLICY});
    cr_assert_eq(delivery_class(&d, NULL), OUTCOME_POLICY);
    delivery_fini(&d);
}

Test(core, deliver_names_both_ends_of_the_message)
{
    struct life_facts fact = lab_facts(lab, 1, 1);
    fact.commit_pos += UINT64_C(1) << 32;
    lab_put_commit(lab, &fact);
    lab_turn(lab, 0);
    cr_assert_eq(lab->sent[0].deliver.first_pos, fact.first_pos);
    cr_assert_eq(lab->sent[0].deliver.commit_pos, fact.commit_pos);
}

/* --- hops and suspects ----------------------------------------------------------------------- */

static struct hop *hop_of(uint32_t id)
{
    return routes_find_hop(&lab->core.routes, id);
}

static uint64_t attempted(enum outcome outcome, uint64_t rcpts, uint16_t flags)
{
    uint64_t id = lab_commit(lab, 1, 3);
    lab_turn(lab, 0);
    lab_attempt(lab, id, outcome, rcpts, flags);
    lab_turn(lab, 0);
    return id;
}

Test(core, what_ends_gives_back_its_worker)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.attach.in_flight[0], 1);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.attach.in_flight[0], 0);
}

Test(core, an_attempt_counts_once_against_its_hop)
{
    uint64_t id = attempted(OUTCOME_CONNECTION_LOST, 1, 0);
    lab_attempt(lab, id, OUTCOME_CONNECTION_LOST, 2, 0);
    lab_attempt(lab, id, OUTCOME_CONNECTION_LOST, 4, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(hop_of(1)->breaker.failures, 1);
}

/* What was found out before a word was said to the hop proves nothing of it. */
Test(core, damage_here_closes_no_breaker)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    (void)attempted(OUTCOME_GREETING_5XX, 0, ABI_FLAG_LAST);
    cr_assert_eq(hop_of(1)->breaker.state, BREAKER_OPEN);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_DAMAGED, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(hop_of(1)->breaker.state, BREAKER_OPEN);
}

Test(core, only_a_row_of_tempfails_slows_a_hop_down)
{
    (void)attempted(OUTCOME_REPLY_4XX, 7, ABI_FLAG_LAST);
    cr_assert_eq(hop_of(1)->tempfail_run, 1);
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(hop_of(1)->tempfail_run, 0);
}

Test(core, after_a_canary_that_told_nothing_another_goes)
{
    (void)attempted(OUTCOME_GREETING_5XX, 0, ABI_FLAG_LAST);
    for (int i = 0; i < 3; i++) {
        lab->sent_count = 0;
        lab_turn(lab, 1000);
        cr_assert_eq(lab->sent_count, 1, "canary %d", i);
        lab_attempt(lab, lab->sent[0].deliver.id, OUTCOME_CANCELLED, 0, ABI_FLAG_LAST);
        lab_turn(lab, 0);
        cr_assert_eq(hop_of(1)->breaker.state, BREAKER_OPEN);
    }
}

static uint64_t suspect(uint32_t route)
{
    uint64_t id = lab_commit(lab, route, 1);
    lab_turn(lab, 0);
    lab_log(lab, id, ABI_STATE_FAULT, OUTCOME_NONE, 1);
    return id;
}

Test(core, suspects_go_one_after_the_other)
{
    uint64_t first = suspect(1);
    uint64_t second = suspect(2);
    core_detach(&lab->core);
    lab->sent_count = 0;
    lab_attach(lab);
    lab_turn(lab, 2000);
    cr_assert_eq(lab_times_sent(lab, first) + lab_times_sent(lab, second), 1);
    uint64_t gone = lab->sent[0].deliver.id;
    (void)lab_state(lab, gone, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
    for (int i = 0; i < 30; i++) {
        lab_turn(lab, 1000);
    }
    cr_assert_eq(lab_times_sent(lab, gone == first ? second : first), 1);
}

/* What is under way gets its time to end; when it has ended, the suspect waits for nothing. */
Test(core, suspect_waits_for_what_is_under_way_and_only_for_that)
{
    uint64_t id = suspect(1);
    uint64_t other = id_make(7, 1, 0);
    core_detach(&lab->core);
    lab_hello(lab, 1, 64);
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = other, .hop_id = 2}});
    lab->sent_count = 0;
    lab_ends(lab);
    lab_turn(lab, 5000);
    cr_assert_eq(lab_times_sent(lab, id), 0);
    lab_attempt(lab, other, OUTCOME_CONNECTION_LOST, 0, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.flights.count, 1);
    cr_assert_eq(lab_times_sent(lab, id), 1);
}

/* One that is under way for hours does not keep a suspect here for hours. */
Test(core, suspect_goes_beside_what_takes_its_time)
{
    uint64_t id = suspect(1);
    core_detach(&lab->core);
    lab_hello(lab, 1, 64);
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT,
                                 .inflight = {.id = id_make(7, 1, 0), .hop_id = 2}});
    lab->sent_count = 0;
    lab_ends(lab);
    for (int i = 0; i < 200; i++) {
        lab_turn(lab, 1000);
    }
    cr_assert_eq(lab_times_sent(lab, id), 1);
}

/* --- rules ----------------------------------------------------------------------------------- */

Test(core, what_cannot_be_read_is_held)
{
    (void)lab_rule(&lab->core, 1, "sender=x@from.test");
    struct life_facts fact = lab_facts(lab, 1, 1);
    cr_assert_eq(apply_commit(&lab->core, &fact, NULL, true), APPLY_NEW);
    cr_assert_eq(lab_find(lab, fact.id)->state, DELIVERY_HELD);
    uint64_t waits = lab_commit(lab, 1, 1);
    lab_turn(lab, 1000);
    cr_assert(lab_find(lab, waits)->unjudged);
    cr_assert_eq(lab->sent_count, 0, "unjudged mail is not sent");
    feed_envelope(&lab->core, waits, bytes_of(NULL, 0));
    cr_assert_eq(lab_find(lab, waits)->state, DELIVERY_HELD);
}

Test(core, a_late_answer_about_an_envelope_changes_nothing)
{
    (void)lab_rule(&lab->core, 1, "sender=x@from.test");
    uint64_t id = lab_mail_from(lab, "a@from.test", 1);
    lab_turn(lab, 0);
    feed_envelope(&lab->core, id, bytes_str("garbage"));
    lab_attempt(lab, id, OUTCOME_NO_RESOURCE, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_WAITING);
}

Test(core, an_envelope_that_could_not_be_asked_is_asked_again)
{
    struct feed_ask ask;
    (void)lab_rule(&lab->core, 1, "sender=x@from.test");
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(feed_take_unjudged(&lab->core, &ask, 1), 1);
        cr_assert_eq(ask.id, id);
        cr_assert_eq(feed_take_unjudged(&lab->core, &ask, 1), 0);
        feed_envelope_again(&lab->core, id);
    }
}

Test(core, a_slot_inherits_nothing)
{
    struct rule *first = lab_rule(&lab->core, 1, "sender=a@from.test");
    (void)lab_rule(&lab->core, 2, "sender=b@from.test");
    uint64_t a = lab_mail_from(lab, "a@from.test", 2);
    cr_assert_eq(lab_find(lab, a)->live, 1);
    cr_assert_eq(first->rcpts, 2);
    uint32_t slot = index_slot(&lab->core.index, lab_find(lab, a));
    lab_log(lab, a, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 3);
    cr_assert_null(lab_find(lab, a));
    cr_assert_eq(first->rcpts, 0);
    cr_assert_eq(first->matches, 0);
    uint64_t b = lab_mail_from(lab, "b@from.test", 1);
    cr_assert_eq(index_slot(&lab->core.index, lab_find(lab, b)), slot);
    cr_assert_eq(lab_find(lab, b)->state, DELIVERY_HELD);
    cr_assert_eq(lab_find(lab, b)->live, 2);
}

Test(core, the_oldest_rule_in_force_holds)
{
    struct rule *planned = lab_rule(&lab->core, 0, "sender=a@from.test");
    uint64_t id = lab_mail_from(lab, "a@from.test", 1);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_WAITING, "a plan holds nothing");
    (void)lab_rule(&lab->core, 9, "sender=b@from.test");
    (void)lab_rule(&lab->core, 5, "sender=b@from.test");
    uint64_t other = lab_mail_from(lab, "b@from.test", 1);
    cr_assert_eq(lab_find(lab, other)->live, 5);
    rules_enforce(&lab->core.rules, planned, 10);
    rounds_resettle(&lab->core);
    lab_turn(lab, 0);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_HELD);
}

/* Held as soon as it waits again: also those that are frozen now are judged. */
Test(core, frozen_recipients_are_judged)
{
    struct envelope *e = calloc(1, sizeof *e);
    uint64_t id = lab_commit(lab, 1, 2);
    lab_turn(lab, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, OUTCOME_POLICY, 2, 0);
    lab_turn(lab, 0);
    const struct rule *rule = lab_rule(&lab->core, 1, "rcpt=last@one.test");
    e->sender = bytes_str("a@from.test");
    e->rcpt_count = 2;
    e->rcpt[0] = (struct envelope_rcpt){.route_id = 1, .address = bytes_str("user@one.test")};
    e->rcpt[1] = (struct envelope_rcpt){.route_id = 1, .address = bytes_str("last@one.test")};
    life_judge(&lab->core, lab_find(lab, id), e);
    cr_assert(slotset_has(&rule->noted, index_slot(&lab->core.index, lab_find(lab, id))));
    free(e);
}

/* Asked again just before it is sent. */
Test(core, mail_that_a_rule_begins_to_match_while_it_waits_is_not_sent)
{
    (void)lab_rule(&lab->core, 1, "age>5m");
    lab->core.attach.credits = 0;
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    lab_turn(lab, 301000);
    lab->core.attach.credits = 64;
    lab_turn(lab, 0);
    cr_assert_eq(lab_times_sent(lab, id), 0);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_HELD);
}

/* --- rounds ---------------------------------------------------------------------------------- */

Test(core, a_lifted_rule_lets_all_go_also_those_far_back)
{
    enum { COUNT = 5000 };
    struct rule *rule = lab_rule(&lab->core, 1, "route=r1");
    for (int i = 0; i < COUNT; i++) {
        struct life_facts fact = lab_facts(lab, 1, 1);
        cr_assert_eq(apply_commit(&lab->core, &fact, NULL, false), APPLY_NEW);
    }
    cr_assert_eq(rule->matches, COUNT);
    rules_remove(&lab->core.rules, rule);
    rounds_resettle(&lab->core);
    lab_turn(lab, 0);
    struct route *route = routes_find(&lab->core.routes, 1);
    cr_assert_eq(route->tally[DELIVERY_HELD].deliveries, 0);
    cr_assert_eq(route->tally[DELIVERY_WAITING].deliveries +
                     route->tally[DELIVERY_IN_FLIGHT].deliveries,
                 COUNT);
    lab->core.attach.credits = 0; /* no turn comes to send any */
    (void)lab_rule(&lab->core, 2, "route=r1");
    rounds_resettle(&lab->core);
    lab_turn(lab, 0);
    cr_assert_eq(route->tally[DELIVERY_WAITING].deliveries, 0, "the next rule reaches all, too");
}

Test(core, census_finds_the_oldest_when_its_time_comes)
{
    struct life_facts fact = lab_facts(lab, 1, 1);
    uint64_t oldest_ms = fact.received_ms -= 5000;
    lab_put_commit(lab, &fact);
    lab_turn(lab, 10);
    (void)lab_commit(lab, 1, 1);
    lab_turn(lab, 10);
    (void)lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    uint64_t next_ns = rounds_next_ns(&lab->core);
    cr_assert_leq(next_ns, lab->core.now.now_ns + UINT64_C(1000000000));
    lab_turn(lab, 1100);
    cr_assert_eq(routes_find(&lab->core.routes, 1)->oldest_ms, oldest_ms);
    cr_assert_eq(rounds_next_ns(&lab->core), UINT64_MAX, "nothing changed since");
    lab_attempt(lab, fact.id, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    lab_turn(lab, 1100);
    cr_assert_eq(routes_find(&lab->core.routes, 1)->tempfail_count, 1);
    cr_assert_eq(routes_find(&lab->core.routes, 1)->tempfail_oldest_ms, oldest_ms);
}
