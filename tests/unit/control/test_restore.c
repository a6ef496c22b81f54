/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_restore.c: mail whose envelope could not be read, and can be read again:
 * a release lets it go to those whom it is for. */
#include "tests/unit/control/fake.h"
#include "tests/unit/control/lab.h"

#include "control/core/feed.h"
#include "control/shell/parts.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct fake *f;

static void set_up(void)
{
    f = fake_create();
    f->echo = true;
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(restore, .init = set_up, .fini = tear_down);

/* --- with a spool ---------------------------------------------------------------------------- */

/* A message of two records on that route. A byte of the first, which has the envelope, is bad. */
static uint64_t damaged(uint32_t route, uint64_t *first_pos_out)
{
    char state[32];
    struct spool_txn txn;
    *first_pos_out = fake_split_begin(f, route, &txn);
    fake_split_end(f, &txn);
    fake_damage_record(f, *first_pos_out);
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_str_eq(fake_state_of(f, txn.id, state), "frozen");
    return txn.id;
}

static void heal(uint64_t pos)
{
    fake_damage_record(f, pos); /* the same bit again */
}

static json_int_t number_of(const char *request, const char *key)
{
    json_t *answer = fake_admin(f, request);
    cr_assert(json_is_true(json_object_get(answer, "ok")), "%s",
              json_string_value(json_object_get(answer, "error")));
    json_int_t number = fake_number(answer, key);
    json_decref(answer);
    return number;
}

static const char release[] = "{'cmd':'release','select':['class=damaged'],'reason':'x'}";
static const char plan[] = "{'cmd':'release','select':['class=damaged'],'dry_run':true}";

Test(restore, what_can_be_read_again_is_released_to_its_route)
{
    uint64_t first_pos;
    uint64_t id = damaged(2, &first_pos);
    cr_assert_eq(number_of(plan, "unreadable"), 1);
    heal(first_pos);
    cr_assert_eq(number_of(plan, "released"), 1, "a plan reads it again, too");
    cr_assert_eq(number_of(plan, "unreadable"), 0);
    cr_assert_eq(number_of("{'cmd':'list','select':['route=r2','class=damaged']}", "total"), 1);
    fake_turn(f, 1000);
    cr_assert_not(fake_was_sent(f, id), "a plan lets nothing go");
    cr_assert_eq(number_of(release, "released"), 1);
    fake_turn(f, 0);
    fake_turn(f, 1000);
    cr_assert(fake_was_sent(f, id));
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
    fake_turn(f, 0);
    cr_assert_eq(f->control->core.index.count, 0);
    cr_assert_eq(f->control->core.journal.accepted_rcpts, 1);
    cr_assert_eq(f->control->core.journal.delivered_rcpts, 1);
}

/* What is read again is in a checkpoint soon: the mail is not unreadable after the next start. */
static void restart_after_a_plan(bool clean)
{
    uint64_t first_pos;
    uint64_t id = damaged(1, &first_pos);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    heal(first_pos);
    cr_assert_eq(number_of(plan, "released"), 1);
    fake_turn(f, 0);
    fake_restart_control(f, clean);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(number_of("{'cmd':'list','select':['route=r1','class=damaged']}", "total"), 1);
    cr_assert_eq(number_of(release, "released"), 1);
    fake_turn(f, 0);
    fake_turn(f, 1000);
    cr_assert(fake_was_sent(f, id));
}

Test(restore, outlives_a_clean_end)
{
    restart_after_a_plan(true);
}

Test(restore, outlives_a_kill)
{
    restart_after_a_plan(false);
}

Test(restore, a_route_that_is_selected_finds_what_is_for_it)
{
    static const char route[] = "{'cmd':'release','select':['route=r2'],'dry_run':true}";
    uint64_t first_pos;
    (void)damaged(2, &first_pos);
    cr_assert_eq(number_of(route, "released"), 0);
    heal(first_pos);
    cr_assert_eq(number_of(route, "released"), 1);
}

/* A kill at once behind the answer: the release was answered, so it goes on. */
Test(restore, an_answered_release_outlives_a_kill)
{
    uint64_t first_pos;
    uint64_t id = damaged(1, &first_pos);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    heal(first_pos);
    cr_assert_eq(number_of(release, "released"), 1);
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    for (int i = 0; i < 5; i++) {
        fake_turn(f, 1000);
    }
    cr_assert(fake_was_sent(f, id));
}

/* Nothing is released while the last checkpoint says that it cannot be read. */
Test(restore, a_release_waits_for_its_checkpoint)
{
    uint64_t first_pos;
    uint64_t id = damaged(1, &first_pos);
    const json_t *token;
    json_t *answer = NULL;
    heal(first_pos);
    f->control->saver.under_way = true; /* one that does not end */
    static const struct control_peer peer = {.who = "tester", .may_act = true};
    json_t *request = json_pack("{siss s[s] ss}", "v", 1, "cmd", "release", "select",
                                "class=damaged", "reason", "x");
    json_t *pending = control_admin(f->control, request, &peer, f->time);
    token = json_object_get(pending, "pending");
    cr_assert_not_null(token);
    for (int i = 0; i < 50 && answer == NULL; i++) {
        fake_turn(f, 100);
        answer = control_admin_ready(f->control, (uint64_t)json_integer_value(token), f->time);
    }
    cr_assert_null(answer);
    cr_assert_not(fake_was_sent(f, id));
    f->control->saver.under_way = false;
    for (int i = 0; i < 50 && answer == NULL; i++) {
        fake_turn(f, 100);
        answer = control_admin_ready(f->control, (uint64_t)json_integer_value(token), f->time);
    }
    cr_assert_eq(fake_number(answer, "released"), 1);
    json_decref(answer);
    json_decref(pending);
    json_decref(request);
}

Test(restore, a_route_that_is_gone_makes_it_an_orphan)
{
    uint64_t first_pos;
    uint64_t id = damaged(77, &first_pos);
    char state[32];
    heal(first_pos);
    cr_assert_eq(number_of(release, "released"), 1);
    fake_turn(f, 0);
    fake_turn(f, 1000);
    cr_assert_str_eq(fake_state_of(f, id, state), "orphan");
    cr_assert_not(fake_was_sent(f, id));
}

Test(restore, a_rule_that_asks_for_its_sender_holds_it)
{
    uint64_t first_pos;
    uint64_t id = damaged(1, &first_pos);
    char state[32];
    json_decref(fake_admin(f, "{'cmd':'hold','select':['domain=*.nowhere.test'],'reason':'x'}"));
    json_decref(fake_admin(f, "{'cmd':'hold','select':['sender=*@*'],'reason':'x'}"));
    heal(first_pos);
    cr_assert_eq(number_of(release, "released"), 1);
    fake_turn(f, 0);
    fake_turn(f, 1000);
    cr_assert_str_eq(fake_state_of(f, id, state), "held");
    cr_assert_eq(number_of("{'cmd':'list','select':['rule=2']}", "total"), 1, "not by rule 1");
}

/* More than one batch of the lane; a part of them stays bad. */
Test(restore, many_and_some_stay_as_they_are)
{
    enum { MAIL = 150, BAD = 7 };
    uint64_t pos[MAIL];
    for (int i = 0; i < MAIL; i++) {
        struct spool_txn txn;
        pos[i] = fake_split_begin(f, 1, &txn);
        fake_split_end(f, &txn);
        fake_damage_record(f, pos[i]);
    }
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    for (int i = BAD; i < MAIL; i++) {
        heal(pos[i]);
    }
    json_t *answer = fake_admin(f, release);
    cr_assert_eq(fake_number(answer, "released"), MAIL - BAD);
    cr_assert_eq(fake_number(answer, "unreadable"), BAD);
    json_decref(answer);
}

/* --- the core alone -------------------------------------------------------------------------- */

static struct lab *lab;

static void lab_set_up(void)
{
    lab = lab_create();
    lab_attach(lab);
}

static void lab_tear_down(void)
{
    lab_destroy(lab);
}

TestSuite(stand_in, .init = lab_set_up, .fini = lab_tear_down);

/* A message whose envelope is damaged. Returns the id of what stands for it. */
static uint64_t stand_in(void)
{
    struct life_facts fact = lab_facts(lab, 1, 1);
    apply_damaged(&lab->core, &fact);
    feed_message_seen(&lab->core, fact.commit_pos);
    cr_assert(life_is_unreadable(&lab->core, lab_find(lab, fact.id)));
    return fact.id;
}

/* Three recipients: two on route 1, one on route 2. */
static struct bytes envelope_of_three(uint8_t out[1024], uint32_t first_route)
{
    struct envelope *e = calloc(1, sizeof *e);
    const uint8_t index[] = {0, 1, 0};
    e->sender = bytes_str("a@from.test");
    e->helo = bytes_str("from.test");
    e->rcpt_count = 3;
    for (unsigned i = 0; i < 3; i++) {
        e->rcpt[i] = (struct envelope_rcpt){.route_id = index[i] == 0 ? first_route : 2,
                                            .route_index = index[i],
                                            .address = bytes_str("b@one.test")};
    }
    size_t len = envelope_encode(e, out, 1024);
    cr_assert_gt(len, 0);
    free(e);
    return bytes_of(out, len);
}

Test(stand_in, gives_way_to_all_deliveries_of_its_message)
{
    uint8_t out[1024];
    struct bytes encoded = envelope_of_three(out, 1);
    uint64_t id = stand_in();
    uint64_t accepted = lab->core.journal.accepted_rcpts;
    cr_assert(feed_restored(&lab->core, id, encoded));
    cr_assert_eq(delivery_frozen_count(lab_find(lab, id)), 2);
    cr_assert_eq(delivery_frozen_count(lab_find(lab, id | 1)), 1);
    cr_assert_eq(lab->core.index.count, 2);
    cr_assert_eq(lab->core.journal.accepted_rcpts, accepted + 2);
    cr_assert_not(feed_restored(&lab->core, id, encoded), "a second answer says nothing new");
    lab_turn(lab, 0);
    lab_log(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 3);
    lab_log(lab, id | 1, ABI_STATE_RELEASE, OUTCOME_NONE, 1);
    lab_turn(lab, 0);
    cr_assert_eq(lab_times_sent(lab, id), 1);
    cr_assert_eq(lab_times_sent(lab, id | 1), 1);
}

/* The dataplane has the second delivery under way from before control's start. */
Test(stand_in, stays_while_a_delivery_of_its_message_is_under_way)
{
    uint8_t out[1024];
    struct bytes encoded = envelope_of_three(out, 1);
    uint64_t id = stand_in();
    lab_hello(lab, 1, 64);
    lab_turn(lab, 0);
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = id | 1, .hop_id = 2}});
    lab_ends(lab);
    cr_assert_not(feed_restored(&lab->core, id, encoded));
    cr_assert_eq(lab->core.index.count, 1);
}

Test(stand_in, stays_when_what_is_read_is_no_envelope_of_ours)
{
    uint8_t out[1024];
    uint64_t id = stand_in();
    struct bytes encoded = envelope_of_three(out, 0); /* no route has the id 0 */
    cr_assert_not(feed_restored(&lab->core, id, encoded));
    cr_assert_not(feed_restored(&lab->core, id, bytes_of(NULL, 0)));
    encoded = envelope_of_three(out, 1);
    for (size_t len = 1; len < encoded.len; len++) {
        cr_assert_not(feed_restored(&lab->core, id, bytes_of(out, len)));
    }
    cr_assert(life_is_unreadable(&lab->core, lab_find(lab, id)));
    cr_assert_eq(lab->core.index.count, 1);
}

Test(stand_in, nothing_else_is_restored)
{
    uint8_t out[1024];
    struct bytes encoded = envelope_of_three(out, 1);
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    cr_assert_not(feed_restored(&lab->core, id, encoded), "it can be read");
    cr_assert_not(feed_restored(&lab->core, id + 16, encoded), "there is none");
    cr_assert_eq(lab->core.index.count, 1);
}

/* The log tells of a recipient that was delivered before the envelope went bad. The others of the
 * message may wait, and nobody knows how many they are. */
Test(stand_in, is_not_ended_by_the_outcome_of_one_recipient)
{
    uint64_t id = stand_in();
    lab_log(lab, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1);
    lab_turn(lab, 0);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_FROZEN);
    lab_log(lab, id, ABI_STATE_FREEZE, OUTCOME_POISON, 1);
    lab_log(lab, id, ABI_STATE_RELEASE, OUTCOME_NONE, 1);
    lab_turn(lab, 0);
    cr_assert(life_is_unreadable(&lab->core, lab_find(lab, id)));
    cr_assert_eq(delivery_class(lab_find(lab, id), NULL), OUTCOME_DAMAGED);
}
