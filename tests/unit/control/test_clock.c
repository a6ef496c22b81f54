/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_clock.c: the wall clock is set, a day back or a day forward, while
 * monotonic time goes on. */
#include "tests/unit/control/fake.h"

#include "control/shell/parts.h"

#include <criterion/criterion.h>
#include <string.h>

#define MINUTE_MS UINT64_C(60000)
#define DAY_MS    (UINT64_C(24) * 60 * MINUTE_MS)

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

TestSuite(clock, .init = set_up, .fini = tear_down);

static bool is_in(uint64_t id, const char *state)
{
    char text[32];
    return strcmp(fake_state_of(f, id, text), state) == 0;
}

/* Mail that is held because it is older than half an hour. */
static uint64_t held_by_age(void)
{
    f->credits = 0;
    fake_attach(f, NULL, 0);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 31 * MINUTE_MS);
    json_decref(fake_admin(f, "{'cmd':'hold','select':['age>30m'],'reason':'x'}"));
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
    return id;
}

static bool has_clock_problem(void)
{
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    char *text = json_dumps(answer, JSON_COMPACT);
    bool has = strstr(text, "the clock was set back") != NULL;
    free(text);
    json_decref(answer);
    return has;
}

/* A dataplane that takes whatever it gets: is that delivery sent to it? */
static bool goes_out(uint64_t id)
{
    f->credits = 64;
    fake_forget_sent(f);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    fake_turn(f, 2 * MINUTE_MS);
    return fake_was_sent(f, id);
}

Test(clock, set_back_lets_nothing_go_that_its_age_held)
{
    uint64_t id = held_by_age();
    f->time.wall_ms -= DAY_MS;
    fake_turn(f, 0);
    cr_assert_eq(fake_reload(f, f->config), 0);
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
    cr_assert_not(goes_out(id));
    uint64_t fresh = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, fresh), "new mail is young by the clock as it is");
}

static void restart_set_back(bool clean)
{
    uint64_t id = held_by_age();
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    f->time.wall_ms -= DAY_MS;
    fake_restart_control(f, clean);
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
    cr_assert(has_clock_problem());
    cr_assert_eq(fake_reload(f, f->config), 0);
    cr_assert_not(goes_out(id));
    cr_assert(is_in(id, "held"));
}

Test(clock, set_back_before_a_restart_lets_nothing_go)
{
    restart_set_back(true);
}

Test(clock, set_back_before_a_restart_after_a_kill_lets_nothing_go)
{
    restart_set_back(false);
}

Test(clock, what_was_held_goes_when_its_rule_ends_whatever_the_clock_says)
{
    uint64_t id = held_by_age();
    f->time.wall_ms -= DAY_MS;
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['rule=1'],'reason':'x'}")));
    cr_assert(goes_out(id));
}

/* Mail that its route holds, saved while the clock is a day ahead. The clock is mended then, and
 * control is killed and starts again. */
static uint64_t held_by_route_while_ahead(void)
{
    f->credits = 0;
    fake_attach(f, NULL, 0);
    json_decref(fake_admin(f, "{'cmd':'hold','select':['route=r1'],'reason':'x'}"));
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
    f->time.wall_ms += DAY_MS;
    fake_turn(f, 0);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    f->time.wall_ms -= DAY_MS;
    fake_restart_control(f, false);
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
    return id;
}

Test(clock, what_a_route_holds_does_not_remember_a_clock_that_was_ahead)
{
    (void)held_by_route_while_ahead();
    cr_assert_not(has_clock_problem());
}

Test(clock, a_rule_by_age_does_not_take_over_by_a_clock_that_was_ahead)
{
    f->credits = 0;
    fake_attach(f, NULL, 0);
    uint64_t id = fake_simple(f, 1);
    json_decref(fake_admin(f, "{'cmd':'hold','select':['all'],'reason':'x'}"));
    json_decref(fake_admin(f, "{'cmd':'hold','select':['age>30m'],'reason':'y'}"));
    f->time.wall_ms += DAY_MS;
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
    f->time.wall_ms -= DAY_MS;
    fake_turn(f, 0);
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['rule=1'],'reason':'x'}")));
    fake_turn(f, 0);
    cr_assert(goes_out(id), "it is young by the clock as it is");
}

/* The other way round: what a rule by age does not mean yet, it means at once. */
Test(clock, set_forward_holds_and_stays_held_when_it_is_mended)
{
    f->credits = 0;
    fake_attach(f, NULL, 0);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    json_decref(fake_admin(f, "{'cmd':'hold','select':['age>30m'],'reason':'x'}"));
    fake_turn(f, 0);
    cr_assert(is_in(id, "waiting"));
    f->time.wall_ms += DAY_MS;
    cr_assert_eq(fake_reload(f, f->config), 0);
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
    f->time.wall_ms -= DAY_MS;
    cr_assert_eq(fake_reload(f, f->config), 0);
    fake_turn(f, 0);
    cr_assert(is_in(id, "held"));
}

/* One that met 4xx; it is due again by monotonic time. */
static uint64_t deferred(void)
{
    fake_attach(f, NULL, 0);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id));
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
    fake_turn(f, 0);
    cr_assert(is_in(id, "waiting"));
    fake_forget_sent(f);
    return id;
}

Test(clock, retry_comes_at_its_time_however_the_clock_is_set)
{
    uint64_t id = deferred();
    f->time.wall_ms += DAY_MS;
    fake_turn(f, 0);
    cr_assert_not(fake_was_sent(f, id), "not before its backoff");
    f->time.wall_ms -= 2 * DAY_MS;
    fake_turn(f, f->config->retry.max_ms);
    cr_assert(fake_was_sent(f, id), "not a day later");
}

Test(clock, retry_after_a_restart_comes_within_the_longest_backoff)
{
    uint64_t id = deferred();
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    f->time.wall_ms -= DAY_MS;
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    fake_turn(f, f->config->retry.max_ms);
    cr_assert(fake_was_sent(f, id));
}

static json_int_t number_of_hop(const char *key)
{
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    const json_t *hop = json_array_get(json_object_get(answer, "hops"), 0);
    json_int_t number = json_integer_value(json_object_get(hop, key));
    json_decref(answer);
    return number;
}

/* Ages and distances are never negative; a time since 1970 is what it was. */
Test(clock, status_counts_no_time_backwards)
{
    (void)deferred();
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_attempt(f, id, OUTCOME_GREETING_5XX, ABI_FLAG_LAST);
    fake_turn(f, 0);
    json_int_t since_ms = number_of_hop("since_ms");
    cr_assert_eq(since_ms, (json_int_t)f->time.wall_ms);
    f->time.wall_ms -= DAY_MS;
    fake_turn(f, 0);
    cr_assert_eq(number_of_hop("since_ms"), since_ms);
    cr_assert_leq(number_of_hop("next_probe_ms"), 1000);
    json_t *answer = fake_admin(f, "{'cmd':'list'}");
    const json_t *rows = json_object_get(answer, "deliveries");
    size_t i;
    const json_t *row;
    cr_assert_eq(json_array_size(rows), 2);
    json_array_foreach(rows, i, row)
    {
        cr_assert_eq(json_integer_value(json_object_get(row, "age_ms")), 0);
        cr_assert_leq(json_integer_value(json_object_get(row, "next_ms")),
                      (json_int_t)f->config->retry.max_ms);
    }
    json_decref(answer);
}
