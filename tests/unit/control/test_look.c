/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_look.c: what one operator asks does not keep others waiting: long lists
 * come in pieces, status and mail go before them, and who left is not worked for. */
#include "tests/unit/control/fake.h"

#include "control/admin/job.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAIL = 200, LISTS = 8 };

static struct fake *f;

static void set_up(void)
{
    f = fake_create();
    fake_attach(f, NULL, 0);
    for (int i = 0; i < MAIL; i++) {
        uint64_t id = fake_simple(f, 1);
        fake_turn(f, 0);
        fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "go away");
    }
    fake_turn(f, 0);
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(look, .init = set_up, .fini = tear_down);

/* Asks, and waits for nothing. Returns the token. */
static uint64_t begin(const char *text)
{
    const struct control_peer peer = {.who = "tester", .may_act = true};
    json_t *request = json_loads(text, 0, NULL);
    json_t *answer = control_admin(f->control, request, &peer, f->time);
    uint64_t token = (uint64_t)fake_number(answer, "pending");
    cr_assert_neq(token, 0, "%s", text);
    json_decref(request);
    json_decref(answer);
    return token;
}

static uint64_t begin_list(void)
{
    return begin("{\"v\":1,\"cmd\":\"list\",\"limit\":1000}");
}

Test(look, status_goes_before_the_lists_of_others)
{
    for (int i = 0; i < LISTS; i++) {
        (void)begin_list();
    }
    for (int i = 0; i < 3 * LISTS; i++) {
        (void)control_turn(f->control, f->time); /* their first works are in the lane */
    }
    cr_assert(works_busy(control_works(f->control)));
    uint64_t token = begin("{\"v\":1,\"cmd\":\"status\"}");
    (void)control_turn(f->control, f->time);
    cr_assert(works_run(control_works(f->control), WORK_LOOK));
    (void)control_turn(f->control, f->time);
    json_t *status = control_admin_ready(f->control, token, f->time);
    cr_assert_not_null(status, "it waits for lists");
    const json_t *frozen = json_array_get(json_object_get(status, "frozen"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(frozen, "sample_reply")), "go away");
    json_decref(status);
}

Test(look, a_long_list_comes_in_pieces_and_is_whole)
{
    uint64_t token = begin_list();
    uint32_t works = 0;
    json_t *answer = NULL;
    while (answer == NULL) {
        (void)control_turn(f->control, f->time);
        works += works_run(control_works(f->control), WORK_LOOK);
        answer = control_admin_ready(f->control, token, f->time);
        cr_assert_lt(works, MAIL);
    }
    cr_assert_gt(works, 4, "others' works come between: %u", works);
    const json_t *list = json_object_get(answer, "deliveries");
    cr_assert_eq(json_array_size(list), MAIL);
    cr_assert(json_is_false(json_object_get(answer, "more")));
    cr_assert_eq(fake_number(answer, "total"), MAIL);
    const char *before = "";
    for (size_t i = 0; i < MAIL; i++) {
        const json_t *row = json_array_get(list, i);
        const char *id = json_string_value(json_object_get(row, "id"));
        cr_assert_lt(strcmp(before, id), 0);
        cr_assert_str_eq(json_string_value(json_object_get(row, "reply")), "go away");
        before = id;
    }
    json_decref(answer);
}

/* What was read of a list that nobody wants any more may be thousands of rows. */
Test(look, a_forgotten_list_is_freed_in_the_lane)
{
    uint64_t token = begin_list();
    int works = 0;
    while (works < 3) {
        (void)control_turn(f->control, f->time);
        works += works_run(control_works(f->control), WORK_LOOK);
    }
    control_admin_forget(f->control, token);
    (void)control_turn(f->control, f->time);
    cr_assert_eq(jobs_count(f->control, false), 0);
    cr_assert(works_run(control_works(f->control), WORK_LOOK));
    (void)control_turn(f->control, f->time);
    cr_assert_not(works_busy(control_works(f->control)));
}

/* Mail does not wait for operators: its envelope is read in another lane than theirs. */
Test(look, mail_that_a_rule_has_to_judge_goes_before_lists)
{
    struct abi_down down;
    f->echo = true; /* the fence of the hold */
    (void)begin("{\"v\":1,\"cmd\":\"hold\",\"select\":[\"sender=nobody@else.test\"],"
                "\"reason\":\"test\"}");
    fake_turn(f, 0);
    for (int i = 0; i < LISTS; i++) {
        (void)begin_list();
    }
    fake_forget_sent(f);
    uint64_t id = fake_simple(f, 2);
    for (int i = 0; i < 3 * LISTS; i++) {
        (void)control_turn(f->control, f->time);
    }
    cr_assert_not(ring_take(&f->down, &down), "it was sent before a rule had seen its envelope");
    cr_assert(works_run(control_works(f->control), WORK_LOGS));
    (void)control_turn(f->control, f->time);
    cr_assert(ring_take(&f->down, &down), "it waits for lists");
    cr_assert_eq(down.type, ABI_DOWN_DELIVER);
    cr_assert_eq(down.deliver.id, id);
}
