/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_start.c: operators who ask while control reads its spool after a start.
 *
 * The lane reads all at once here, and its parts come to the loop turn by turn: between two turns
 * an operator asks.
 */
#include "tests/unit/control/fake.h"

#include "control/shell/parts.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 10000 };

static struct fake *f;

static void set_up(void)
{
    f = fake_create();
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(start, .init = set_up, .fini = tear_down);

/* Several segments of waiting mail. */
static void make_mail(int count)
{
    for (int i = 0; i < count; i++) {
        (void)fake_simple(f, 1);
    }
}

/* The answer of the next turn. */
static json_t *ask(const char *cmd)
{
    static const struct control_peer peer = {.who = "tester", .may_act = true};
    json_t *request =
        json_pack("{siss s[s] ss}", "v", 1, "cmd", cmd, "select", "all", "reason", "x");
    json_t *answer = control_admin(f->control, request, &peer, f->time);
    json_decref(request);
    const json_t *token = json_object_get(answer, "pending");
    if (token != NULL) {
        uint64_t number = (uint64_t)json_integer_value(token);
        json_decref(answer);
        (void)control_turn(f->control, f->time);
        answer = control_admin_ready(f->control, number, f->time);
    }
    cr_assert_not_null(answer, "%s is not answered in the next turn", cmd);
    return answer;
}

struct said {
    uint64_t deliveries; /* the most that was said */
    uint64_t at;
    uint64_t of;
    int statuses;
    int places; /* different ones */
};

static void note(struct said *said, const json_t *recovery)
{
    uint64_t deliveries = (uint64_t)json_integer_value(json_object_get(recovery, "deliveries"));
    uint64_t at = (uint64_t)json_integer_value(json_object_get(recovery, "at"));
    cr_assert_geq(deliveries, said->deliveries, "the number only grows");
    said->places += at != said->at;
    said->deliveries = deliveries;
    said->at = at;
    said->of = (uint64_t)json_integer_value(json_object_get(recovery, "of"));
    cr_assert_leq(at, said->of);
    said->statuses++;
}

/* Asks in each turn until control has recovered. What it says of that reading is in said_out. */
static void watch(const char *reading, struct said *said_out)
{
    *said_out = (struct said){.at = 0};
    for (int i = 0; i < TURNS_MAX && control_recovered(f->control) == 0; i++) {
        if (i == 1) {
            cr_assert(control_work(f->control));
        }
        json_t *answer = ask("status");
        const json_t *recovery = json_object_get(answer, "recovery");
        const char *now = json_string_value(json_object_get(recovery, "reading"));
        cr_assert(json_is_true(json_object_get(answer, "ok")));
        cr_assert_eq(recovery == NULL, control_recovered(f->control) == 1);
        if (now != NULL && strcmp(now, reading) == 0) {
            note(said_out, recovery);
        }
        json_decref(answer);
    }
    cr_assert_eq(control_recovered(f->control), 1);
}

Test(start, status_is_answered_from_the_first_turn_and_says_how_far_it_is)
{
    enum { MAIL = 900 };
    struct said said;
    make_mail(MAIL);
    fake_begin_control(f, false);
    watch("message log", &said);
    cr_assert_gt(said.statuses, 3);
    cr_assert_gt(said.deliveries, MAIL / 2);
    cr_assert_geq(said.at, 4, "several segments");
    cr_assert_geq(said.places, 4);
    cr_assert_eq(fake_total(f, "waiting"), MAIL);
}

Test(start, percent_of_the_checkpoint)
{
    enum { MAIL = 900 };
    struct said said;
    make_mail(MAIL);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    fake_begin_control(f, true);
    watch("checkpoint", &said);
    cr_assert_gt(said.statuses, 1);
    cr_assert_eq(said.of, 100);
    cr_assert(said.at > 50 && said.deliveries > MAIL / 2, "one piece comes with the log's first");
    cr_assert_eq(fake_total(f, "waiting"), MAIL);
}

/* In words: the first problem. Nothing is said by halves beside it. */
Test(start, status_says_in_words_that_the_spool_is_being_read)
{
    make_mail(300);
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'hold','select':['route=r3'],'reason':'x'}")));
    f->time.wall_ms += UINT64_C(2) * 3600 * 1000;
    fake_begin_control(f, false);
    json_t *answer = ask("status");
    json_t *problems = json_object_get(answer, "problems");
    json_t *first = json_array_get(problems, 0);
    cr_assert_eq(json_array_size(problems), 1);
    cr_assert_str_eq(json_string_value(json_object_get(first, "what")), "recovering");
    const char *text = json_string_value(json_object_get(first, "text"));
    cr_assert_not_null(strstr(text, "still reading the spool: 0 deliveries so far"), "%s", text);
    cr_assert_eq(json_integer_value(json_object_get(answer, "level")), 2);
    json_decref(answer);
    cr_assert(control_work(f->control));
    while (f->control->catchup.progress.at == 0 ||
           strcmp(f->control->catchup.progress.reading, "message log") != 0) {
        cr_assert(control_turn(f->control, f->time));
    }
    answer = ask("status");
    text = json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "problems"), 0), "text"));
    cr_assert_not_null(strstr(text, "message log, segment "), "%s", text);
    json_decref(answer);
}

/* Refused, with the progress; no rule is made, nothing is written to the audit. */
Test(start, all_else_is_refused_until_all_is_known)
{
    static const char *const commands[] = {"list",  "count", "show",  "hold", "release",
                                           "retry", "rules", "audit", "jobs"};
    make_mail(300);
    fake_begin_control(f, false);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        json_t *answer = ask(commands[i]);
        const char *error = json_string_value(json_object_get(answer, "error"));
        cr_assert(json_is_false(json_object_get(answer, "ok")), "%s", commands[i]);
        cr_assert_eq(json_integer_value(json_object_get(answer, "exit")), 1);
        cr_assert_not_null(strstr(error, "not now"), "%s", error);
        cr_assert_not_null(strstr(error, "deliveries so far"), "%s", error);
        cr_assert_not_null(strstr(error, "ask again"), "%s", error);
        json_decref(answer);
    }
    struct said said;
    watch("message log", &said);
    json_t *audit = fake_admin(f, "{'cmd':'audit'}");
    cr_assert_eq(json_array_size(json_object_get(audit, "entries")), 0);
    json_decref(audit);
    cr_assert_eq(f->control->core.rules.count, 0);
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'list'}")));
}

/* A turn takes a bounded piece of what was read, however much lies ready. */
Test(start, no_turn_takes_it_all)
{
    enum { MAIL = 900, PART = 256 };
    size_t before = 0;
    make_mail(MAIL);
    fake_begin_control(f, false);
    cr_assert(control_work(f->control));
    while (control_recovered(f->control) == 0) {
        (void)control_turn(f->control, f->time);
        size_t count = f->control->core.index.count;
        cr_assert_leq(count - before, 2 * PART);
        before = count;
    }
    cr_assert_eq(before, MAIL);
}

/* The lane of checkpoints leaves the disk to mail, but not when the process waits for it. */
Test(start, only_the_last_checkpoint_is_hurried)
{
    make_mail(1);
    control_wish_checkpoint(f->control);
    fake_turn(f, 0);
    cr_assert_not(control_is_settling(f->control), "it is written");
    cr_assert_not(atomic_load(&f->control->works.hurry));
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    cr_assert(atomic_load(&f->control->works.hurry));
}
