/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_release.c: a release means what it meant when it was answered, however
 * long its job takes; and a rule ends once. */
#include "tests/unit/control/fake.h"

#include "common/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

FAKE_SUITE(release);

static uint64_t frozen_mail(uint32_t route)
{
    uint64_t id = fake_simple(f, route);
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_USER_UNKNOWN, 1, ABI_FLAG_LAST, "nobody");
    fake_turn(f, 0);
    fake_forget_sent(f);
    return id;
}

static size_t jobs_under_way(void)
{
    json_t *answer = fake_admin(f, "{'cmd':'jobs'}");
    size_t count = json_array_size(json_object_get(answer, "jobs"));
    json_decref(answer);
    return count;
}

/* That term means one of two mails, of 65 and 25 minutes. When the dataplane comes at last, the
 * ages of both say something else. Control restarts before the release is recorded. */
static void release_by_age(const char *age, bool means_older)
{
    char request[128];
    uint64_t older = frozen_mail(1);
    fake_turn(f, 40 * 60 * 1000);
    uint64_t younger = frozen_mail(1);
    fake_turn(f, 25 * 60 * 1000);
    control_detach(f->control);
    snprintf(request, sizeof request, "{'cmd':'release','select':['%s'],'reason':'x'}", age);
    json_t *answer = fake_admin(f, request);
    cr_assert_eq(fake_number(answer, "released"), 1);
    json_decref(answer);
    fake_turn(f, 4 * 3600 * 1000);
    cr_assert_eq(jobs_under_way(), 1);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(f->state_count, 1);
    fake_restart_control(f, false);
    f->time.wall_ms += 3600 * 1000;
    f->echo = true;
    fake_forget_sent(f);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(f->state_count, 1);
    cr_assert(fake_was_sent(f, means_older ? older : younger));
    fake_turn(f, 1000);
    cr_assert_eq(jobs_under_way(), 0);
    cr_assert_eq(fake_total(f, "frozen"), 1);
}

Test(release, release_of_young_mail_means_what_was_young_when_it_was_answered)
{
    release_by_age("age<1h", false);
}

Test(release, release_of_old_mail_means_what_was_old_when_it_was_answered)
{
    release_by_age("age>30m", true);
}

/* A route leaves the hop, and another comes to it. */
Test(release, release_by_hop_means_the_routes_of_when_it_was_answered)
{
    uint64_t first = frozen_mail(1);
    uint64_t second = frozen_mail(2);
    control_detach(f->control);
    json_t *answer =
        fake_admin(f, "{'cmd':'release','select':['hop=h1','domain=*.test'],'reason':'x'}");
    cr_assert_eq(fake_number(answer, "released"), 1);
    json_decref(answer);
    struct config other = *f->config;
    struct config_route swapped[FAKE_ROUTES];
    memcpy(swapped, f->config->route, sizeof swapped);
    swapped[0].hop_index[0] = f->config->route[1].hop_index[0];
    swapped[1].hop_index[0] = f->config->route[0].hop_index[0];
    other.route = swapped;
    cr_assert_eq(fake_reload(f, &other), 0);
    fake_turn(f, 120 * 1000);
    cr_assert_eq(jobs_under_way(), 1);
    fake_restart_control(f, false);
    cr_assert_eq(fake_reload(f, &other), 0);
    f->echo = true;
    fake_attach(f, NULL, 0);
    fake_turn(f, 120 * 1000);
    cr_assert(fake_was_sent(f, first));
    cr_assert_not(fake_was_sent(f, second));
    cr_assert_eq(fake_total(f, "frozen"), 1);
}

static const struct control_peer tester = {.who = "tester", .may_act = true};

/* Only gives the request to control: no turn follows. Returns the token, 0 when it was refused. */
static uint64_t ask_to_end(json_int_t rule)
{
    json_t *request =
        json_pack("{sis[o]ssss}", "v", 1, "select", json_sprintf("rule=%d", (int)rule), "cmd",
                  "release", "reason", "x");
    json_t *answer = control_admin(f->control, request, &tester, f->time);
    uint64_t token = (uint64_t)fake_number(answer, "pending");
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert(token != 0 || (error != NULL && strstr(error, "is in force") != NULL));
    json_decref(answer);
    json_decref(request);
    return token;
}

static size_t audit_entries(void)
{
    json_t *answer = fake_admin(f, "{'cmd':'audit'}");
    size_t count = json_array_size(json_object_get(answer, "entries"));
    json_decref(answer);
    return count;
}

Test(release, rule_that_two_people_end_at_once_is_ended_once)
{
    control_detach(f->control);
    json_t *answer = fake_admin(f, "{'cmd':'hold','select':['route=r1'],'reason':'x'}");
    json_int_t rule = fake_number(answer, "rule");
    json_decref(answer);
    uint64_t token = ask_to_end(rule);
    cr_assert_neq(token, 0);
    cr_assert_eq(ask_to_end(rule), 0, "it is being ended");
    fake_turn(f, 0);
    answer = control_admin_ready(f->control, token, f->time);
    cr_assert_eq(json_array_size(json_object_get(answer, "rules_ended")), 1);
    json_decref(answer);
    cr_assert_eq(ask_to_end(rule), 0, "it has ended");
    cr_assert_eq(audit_entries(), 2);
}

/* What the database refused to end is in force, and can be ended later. */
Test(release, rule_whose_end_failed_can_be_ended_again)
{
    control_detach(f->control);
    json_t *answer = fake_admin(f, "{'cmd':'hold','select':['route=r1'],'reason':'x'}");
    json_int_t rule = fake_number(answer, "rule");
    json_decref(answer);
    cr_assert_eq(sqlite3_exec(f->db, "ALTER TABLE audit RENAME TO away", NULL, NULL, NULL), 0);
    uint64_t token = ask_to_end(rule);
    fake_turn(f, 0);
    answer = control_admin_ready(f->control, token, f->time);
    cr_assert_eq(fake_number(answer, "exit"), 2);
    json_decref(answer);
    cr_assert_eq(sqlite3_exec(f->db, "ALTER TABLE away RENAME TO audit", NULL, NULL, NULL), 0);
    token = ask_to_end(rule);
    cr_assert_neq(token, 0);
    fake_turn(f, 0);
    answer = control_admin_ready(f->control, token, f->time);
    cr_assert(fake_ok(answer));
}
