/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_release.c: a release means what it meant when it was answered, however
 * long its job takes. */
#include "tests/unit/control/fake.h"

#include "common/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct fake *f;

static void set_up(void)
{
    f = fake_create();
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(release, .init = set_up, .fini = tear_down);

static json_int_t number(const json_t *answer, const char *key)
{
    return json_integer_value(json_object_get(answer, key));
}

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
    cr_assert_eq(number(answer, "released"), 1);
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
    cr_assert_eq(number(answer, "released"), 1);
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
