/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_problems.c: what `status` says is wrong, and what it says to do. */
#include "tests/unit/control/fake.h"

#include "control/core/core.h"
#include "control/shell/parts.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

FAKE_SUITE(problems);

/* A new reference to the problem of that kind; NULL: there is none. */
static json_t *find(const char *what)
{
    json_t *found = NULL;
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    size_t i;
    const json_t *problem;
    cr_assert(json_is_true(json_object_get(answer, "ok")));
    json_array_foreach(json_object_get(answer, "problems"), i, problem)
    {
        if (strcmp(json_string_value(json_object_get(problem, "what")), what) == 0) {
            found = json_incref((json_t *)problem);
        }
    }
    json_decref(answer);
    return found;
}

static bool is_said(const char *what, int level)
{
    json_t *problem = find(what);
    bool said = json_integer_value(json_object_get(problem, "level")) == level;
    json_decref(problem);
    return said;
}

static bool is_told(const char *what)
{
    json_t *problem = find(what);
    bool told = problem != NULL;
    json_decref(problem);
    return told;
}

/* The next word of a command line, as a shell reads it; false: the command ends here. */
static bool take_word(const char **line, char out[128])
{
    const char *p = *line + strspn(*line, " ");
    size_t len = 0;
    bool quoted = false;
    if (*p == '\0' || *p == ';') {
        return false;
    }
    for (; *p != '\0' && (quoted || (*p != ' ' && *p != ';')); p++) {
        cr_assert(quoted || strchr("<>|&()$`\\\"#*?", *p) == NULL, "the shell takes %s", *line);
        if (*p == '\'') {
            quoted = !quoted;
        } else {
            cr_assert_lt(len, 127);
            out[len++] = *p;
        }
    }
    cr_assert_not(quoted, "%s", *line);
    out[len] = '\0';
    *line = p;
    return true;
}

/* Asks control what that command line would ask it. */
static void type(const char *line)
{
    char word[128];
    json_t *select = json_array();
    json_t *request = json_object();
    cr_assert(take_word(&line, word));
    json_object_set_new(request, "cmd", json_string(word));
    while (take_word(&line, word)) {
        const char *option = strcmp(word, "--reason") == 0 ? "reason"
                             : strcmp(word, "--by") == 0   ? "by"
                                                           : NULL;
        if (option == NULL) {
            cr_assert_neq(word[0], '-', "an option that this test does not know: %s", word);
            json_array_append_new(select, json_string(word));
        } else {
            cr_assert(take_word(&line, word));
            json_object_set_new(request, option, json_string(word));
        }
    }
    json_object_set_new(request, "select", select);
    char *text = json_dumps(request, 0);
    json_t *answer = fake_admin(f, text);
    cr_assert(json_object_get(answer, "pending") != NULL ||
                  json_is_true(json_object_get(answer, "ok")),
              "%s: %s", text, json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
    json_decref(request);
    free(text);
}

/* Types every command of `holdfast` that the problem's advice has. Returns how many. */
static int follow(const char *what)
{
    json_t *problem = find(what);
    cr_assert_not_null(problem, "%s is not told", what);
    int count = 0;
    const char *line = json_string_value(json_object_get(problem, "do"));
    while ((line = strstr(line, "holdfast ")) != NULL) {
        line += strlen("holdfast ");
        if (strncmp(line, "spool ", 6) != 0) {
            type(line);
            count++;
        }
    }
    json_decref(problem);
    return count;
}

/* A shell would take it: our own process id, and nothing behind it. */
static void says_kill(const char *act, const char *command)
{
    char *rest;
    const char *at = strstr(act, command);
    cr_assert_not_null(at, "%s", act);
    cr_assert_eq(strtol(at + strlen(command), &rest, 10), (long)getpid(), "%s", act);
    cr_assert(*rest == '\0' || *rest == ';', "%s", act);
}

static void freeze(uint32_t route, enum outcome outcome)
{
    uint64_t id = fake_simple(f, route);
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, outcome, 1, ABI_FLAG_LAST, "no");
    fake_turn(f, 0);
}

static void hold(const char *request)
{
    f->echo = true;
    json_t *answer = fake_admin(f, request);
    fake_turn(f, 0);
    json_decref(answer);
}

Test(problems, nothing_is_wrong)
{
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    cr_assert_eq(json_array_size(json_object_get(answer, "problems")), 0);
    cr_assert_eq(fake_number(answer, "level"), 0);
    json_decref(answer);
}

Test(problems, what_the_spool_is_in_is_told)
{
    atomic_store(&f->region->spool_state, ABI_SPOOL_FULL);
    cr_assert(is_said("spool_full", 2));
    cr_assert_eq(follow("spool_full"), 1);
    atomic_store(&f->region->spool_state, ABI_SPOOL_FENCED);
    cr_assert(is_said("spool_fenced", 2));
    cr_assert_not(is_told("spool_full"));
    control_detach(f->control);
    cr_assert(is_said("detached", 2));
}

/* A person at three in the morning copies the line. */
Test(problems, advice_about_frozen_mail_works_as_it_is_typed)
{
    f->echo = true;
    freeze(1, OUTCOME_USER_UNKNOWN);
    freeze(2, OUTCOME_POLICY);
    freeze(2, OUTCOME_POLICY);
    cr_assert_eq(follow("frozen"), 2);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "frozen"), 1, "the most, and no other");
    cr_assert_eq(follow("frozen"), 2);
    fake_turn(f, 0);
    cr_assert_not(is_told("frozen"));
}

/* To release it without mending the disk would be of no use. */
Test(problems, mail_whose_bytes_are_damaged_is_told_apart)
{
    f->echo = true;
    freeze(1, OUTCOME_DAMAGED);
    freeze(1, OUTCOME_DAMAGED);
    cr_assert(is_said("damaged", 2));
    cr_assert_not(is_told("frozen"));
    freeze(1, OUTCOME_POLICY);
    cr_assert(is_said("frozen", 1));
    cr_assert_eq(follow("frozen"), 2);
    fake_turn(f, 0);
    cr_assert_not(is_told("frozen"));
    cr_assert(is_told("damaged"));
    cr_assert_eq(follow("damaged"), 2);
    fake_turn(f, 0);
    cr_assert_not(is_told("damaged"));
}

Test(problems, advice_about_a_hop_that_is_down_works_as_it_is_typed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t id = fake_simple(f, 2);
        fake_turn(f, 0);
        fake_attempt(f, id, OUTCOME_CONNECT_REFUSED, ABI_FLAG_LAST);
        fake_turn(f, 0);
    }
    cr_assert_eq(follow("breaker"), 1);
    cr_assert_not(is_told("breaker"), "the breaker is closed by it");
}

Test(problems, hop_that_says_nothing_for_ten_minutes_is_told)
{
    (void)fake_simple(f, 2);
    fake_turn(f, 0);
    fake_turn(f, 600 * 1000);
    cr_assert_not(is_told("mute_hop"));
    fake_turn(f, 1);
    cr_assert(is_said("mute_hop", 1));
    cr_assert_eq(follow("mute_hop"), 1);
}

Test(problems, mail_that_meets_4xx_beyond_its_objective_is_told)
{
    struct config *other = f->config;
    other->route[0].objective_ms = 60 * 1000;
    cr_assert_eq(fake_reload(f, other), 0);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
    fake_turn(f, 2000);
    cr_assert_not(is_told("tempfail"));
    fake_turn(f, 57 * 1000);
    cr_assert_not(is_told("tempfail"));
    fake_turn(f, 2000);
    cr_assert(is_said("tempfail", 1));
    cr_assert_eq(follow("tempfail"), 1);
}

/* Mail beyond its objective is young again, and status must not be silent about it. */
Test(problems, clock_that_was_set_back_is_told)
{
    struct config *other = f->config;
    other->route[0].objective_ms = 60 * 1000;
    cr_assert_eq(fake_reload(f, other), 0);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
    fake_turn(f, 120 * 1000);
    fake_turn(f, 2000);
    cr_assert(is_told("tempfail"));
    cr_assert_not(is_told("clock"));
    f->time.wall_ms -= 60 * 1000;
    fake_turn(f, 0);
    cr_assert_not(is_told("clock"));
    f->time.wall_ms -= 86400 * 1000 - 60 * 1000;
    fake_turn(f, 2000);
    cr_assert_not(is_told("tempfail"));
    cr_assert(is_said("clock", 1));
    json_t *problem = find("clock");
    says_kill(json_string_value(json_object_get(problem, "do")), "kill ");
    json_decref(problem);
    fake_restart_control(f, true);
    cr_assert(is_said("clock", 1), "the mail was received after now");
    fake_attach(f, NULL, 0);
    fake_turn(f, 86400 * 1000);
    fake_turn(f, 2000);
    cr_assert_not(is_told("clock"));
}

static int load_nothing(void *ctx, struct config **config_out, char error[CONFIG_ERROR_SIZE])
{
    (void)ctx;
    (void)config_out;
    snprintf(error, CONFIG_ERROR_SIZE, "b.conf:3: no such key: hopp");
    return -EINVAL;
}

static void note_reload(void *ctx, struct config *config, const char *error)
{
    bool *over = ctx;
    cr_assert(config == NULL && error != NULL);
    *over = true;
}

Test(problems, refused_configuration_is_told_until_one_is_taken)
{
    bool over = false;
    const struct control_reload bad = {.load = load_nothing, .done = note_reload, .ctx = &over};
    control_reload(f->control, &bad, f->time);
    fake_turn(f, 0);
    cr_assert(over);
    json_t *problem = find("config");
    cr_assert_not_null(
        strstr(json_string_value(json_object_get(problem, "text")), "b.conf:3: no such key"));
    says_kill(json_string_value(json_object_get(problem, "do")), "kill -HUP ");
    json_decref(problem);
    cr_assert_eq(fake_reload(f, f->config), 0);
    cr_assert_not(is_told("config"));
}

Test(problems, orphans_are_told_with_a_way_back)
{
    struct config fewer = *f->config;
    f->credits = 0;
    fake_attach(f, NULL, 0);
    (void)fake_simple(f, 3);
    fake_turn(f, 0);
    fewer.route_count = 2;
    cr_assert_eq(fake_reload(f, &fewer), 0);
    fake_turn(f, 0);
    json_t *problem = find("orphans");
    const char *act = json_string_value(json_object_get(problem, "do"));
    cr_assert_not_null(strstr(act, "route r3"), "%s", act);
    says_kill(act, "kill -HUP ");
    json_decref(problem);
    cr_assert_eq(fake_reload(f, f->config), 0);
    fake_turn(f, 0);
    cr_assert_not(is_told("orphans"));
}

Test(problems, rule_that_is_overdue_is_told)
{
    char request[128];
    snprintf(request, sizeof request,
             "{'cmd':'hold','select':['route=r1'],'reason':'x','review_ms':%llu}",
             (unsigned long long)f->time.wall_ms + 1000);
    hold(request);
    (void)fake_simple(f, 1);
    fake_turn(f, 1000);
    cr_assert_not(is_told("overdue_rule"));
    cr_assert(is_said("held", 1));
    cr_assert_eq(follow("held"), 1);
    fake_turn(f, 1);
    cr_assert(is_said("overdue_rule", 1));
    cr_assert_eq(follow("overdue_rule"), 2);
    fake_turn(f, 0);
    cr_assert_not(is_told("overdue_rule"), "the rule is ended by it");
}

Test(problems, rule_that_matches_nothing_is_told_after_an_hour)
{
    hold("{'cmd':'hold','select':['sender=nobody@nowhere.test'],'reason':'x'}");
    fake_turn(f, 3600 * 1000);
    cr_assert_not(is_told("idle_rule"));
    fake_turn(f, 1);
    cr_assert(is_said("idle_rule", 1));
    cr_assert_eq(follow("idle_rule"), 2);
    cr_assert_not(is_told("idle_rule"));
}
