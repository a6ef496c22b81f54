/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_policy_db.c: somebody loses the policy database while control runs. */
#include "tests/unit/control/fake.h"

#include "control/shell/parts.h"
#include "control/shell/store.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake *f;
static char path[128];
static char copy[128];

static void set_up(void)
{
    f = fake_create();
    f->echo = true;
    snprintf(path, sizeof path, "%s/policy.db", f->dir);
    snprintf(copy, sizeof copy, "%s/policy.copy", f->dir);
    sqlite3 *memory = f->db;
    cr_assert_eq(sqlite3_open(path, &f->db), SQLITE_OK);
    fake_restart_control(f, false);
    sqlite3_close(memory);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(policy_db, .init = set_up, .fini = tear_down);

static bool is_said(void)
{
    bool said = false;
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    size_t i;
    const json_t *problem;
    json_array_foreach(json_object_get(answer, "problems"), i, problem)
    {
        said |= strcmp(json_string_value(json_object_get(problem, "what")), "policy_db") == 0 &&
                json_integer_value(json_object_get(problem, "level")) == 2;
    }
    json_decref(answer);
    return said;
}

static void assert_status_has(const char *words)
{
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    char *text = json_dumps(json_object_get(answer, "problems"), 0);
    cr_assert(strstr(text, words) != NULL, "no '%s' in %s", words, text);
    free(text);
    json_decref(answer);
}

static bool is_sent(uint64_t id)
{
    fake_turn(f, 0);
    return fake_was_sent(f, id);
}

/* Mail that comes is taken, and waits; a hold is refused, and its plan is not. */
static void assert_stopped(void)
{
    cr_assert(is_said());
    cr_assert_not(is_sent(fake_simple(f, 1)));
    cr_assert_gt(fake_total(f, "waiting"), 0);
    json_t *answer = fake_admin(f, "{'cmd':'hold','select':['route=r1'],'reason':'x'}");
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert(error != NULL && strstr(error, "policy database: ") == error &&
                  strstr(error, "nothing was changed") != NULL,
              "%s", error);
    cr_assert_eq(fake_number(answer, "exit"), 2);
    json_decref(answer);
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'hold','select':['route=r1'],'dry_run':true}")));
}

static void assert_goes(void)
{
    cr_assert_not(is_said());
    uint64_t id = fake_simple(f, 2);
    cr_assert(is_sent(id));
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
    json_t *answer = fake_admin(f, "{'cmd':'hold','select':['sender=n@o.test'],'reason':'x'}");
    cr_assert_null(json_object_get(answer, "error"));
    json_decref(answer);
}

static void write_over(void)
{
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    int fd = open(path, O_WRONLY);
    for (off_t at = 0; at < st.st_size; at += 8) {
        cr_assert_eq(pwrite(fd, "\x5a\xa5 noise", 8, at), 8);
    }
    close(fd);
}

static void copy_file(const char *from, const char *to, int flags)
{
    static char bytes[1 << 20];
    int in = open(from, O_RDONLY);
    int out = open(to, flags, 0600);
    ssize_t len = read(in, bytes, sizeof bytes);
    cr_assert(len > 0 && len < (ssize_t)sizeof bytes);
    cr_assert_eq(write(out, bytes, (size_t)len), len);
    close(in);
    close(out);
}

Test(policy_db, a_good_one_is_no_problem)
{
    for (int i = 0; i < 30; i++) {
        fake_turn(f, 1000);
        assert_goes();
    }
    fake_restart_control(f, true);
    fake_attach(f, NULL, 0);
    fake_turn(f, 20000);
    assert_goes();
}

Test(policy_db, removed_one_stops_delivery_until_it_is_back)
{
    cr_assert_eq(rename(path, copy), 0);
    fake_turn(f, 1000);
    assert_stopped();
    fake_turn(f, 3600 * 1000);
    assert_stopped();
    cr_assert_eq(rename(copy, path), 0);
    fake_turn(f, 1000);
    assert_goes();
}

/* Between two looks nothing is answered that the file will not have. */
Test(policy_db, hold_into_a_removed_one_is_refused_at_once)
{
    fake_turn(f, 20000);
    cr_assert_eq(unlink(path), 0);
    json_t *answer = fake_admin(f, "{'cmd':'hold','select':['route=r1'],'reason':'x'}");
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert(error != NULL && strstr(error, "removed or replaced") != NULL, "%s", error);
    json_decref(answer);
}

Test(policy_db, one_that_was_written_over_stops_delivery)
{
    fake_turn(f, 20000);
    write_over();
    fake_turn(f, 10000);
    assert_stopped();
    assert_status_has("policy database: ");
    fake_turn(f, 1000);
    assert_stopped();
}

Test(policy_db, hold_into_one_that_was_written_over_is_refused_at_once)
{
    fake_turn(f, 20000);
    write_over();
    json_t *answer = fake_admin(f, "{'cmd':'hold','select':['route=r1'],'reason':'x'}");
    cr_assert_not_null(json_object_get(answer, "error"));
    json_decref(answer);
}

/* The hold that was answered after the copy was made is not in it. */
Test(policy_db, older_copy_is_not_taken_for_the_file)
{
    fake_turn(f, 20000);
    copy_file(path, copy, O_WRONLY | O_CREAT);
    assert_goes();
    fake_turn(f, 20000);
    assert_goes();
    copy_file(copy, path, O_WRONLY | O_TRUNC);
    fake_turn(f, 10000);
    assert_stopped();
}

/* A reload is refused in the words of the database, and status says so until one is taken. */
Test(policy_db, refused_reload_is_told_until_one_is_taken)
{
    struct config other = *f->config;
    other.route_count = 2;
    cr_assert_eq(sqlite3_exec(f->db, "PRAGMA query_only = ON", NULL, NULL, NULL), SQLITE_OK);
    cr_assert_lt(fake_reload(f, &other), 0);
    assert_status_has("/policy.db: giving names their ids: attempt to write a readonly database");
    assert_status_has("\"config\"");
    cr_assert_eq(sqlite3_exec(f->db, "PRAGMA query_only = OFF", NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(fake_reload(f, &other), 0);
    fake_turn(f, 20000);
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    cr_assert_eq(json_array_size(json_object_get(answer, "problems")), 0);
    json_decref(answer);
    cr_assert_eq(fake_reload(f, f->config), 0);
}

/* A full disk has not lost the rules. */
Test(policy_db, full_disk_is_said_and_mail_goes_on)
{
    fake_turn(f, 20000);
    cr_assert_eq(sqlite3_exec(f->db, "PRAGMA query_only = ON", NULL, NULL, NULL), SQLITE_OK);
    fake_turn(f, 10000);
    cr_assert(is_said());
    cr_assert(is_sent(fake_simple(f, 1)));
    cr_assert_eq(sqlite3_exec(f->db, "PRAGMA query_only = OFF", NULL, NULL, NULL), SQLITE_OK);
    fake_turn(f, 10000);
    assert_goes();
    cr_assert_not(store_is_lost(-ENOSPC));
    cr_assert(store_is_lost(-EBADMSG) && store_is_lost(-EIO) && store_is_lost(-ESTALE));
}

/* --- rows that cannot be read ---------------------------------------------------------------- */

static void run_sql(const char *sql)
{
    cr_assert_eq(sqlite3_exec(f->db, sql, NULL, NULL, NULL), SQLITE_OK, "%s",
                 sqlite3_errmsg(f->db));
}

static bool is_state(uint64_t id, const char *state)
{
    char text[32];
    return strcmp(fake_state_of(f, id, text), state) == 0;
}

static void restart_attached(void)
{
    fake_restart_control(f, false);
    cr_assert_eq(f->recovered, 1);
    fake_forget_sent(f);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
}

/* Nobody knows what it held: all stays, and a person ends it. The rules beside it go on. */
static void check_bad_rule(const char *damage)
{
    json_decref(fake_admin(f, "{'cmd':'hold','select':['route=r1'],'reason':'x'}"));
    json_decref(fake_admin(f, "{'cmd':'hold','select':['route=r2'],'reason':'y'}"));
    uint64_t held = fake_simple(f, 1);
    run_sql(damage);
    restart_attached();
    assert_status_has("\"bad_rule\"");
    assert_status_has("holdfast release rule=1 --reason ");
    cr_assert_not(is_sent(held));
    uint64_t other = fake_simple(f, 3);
    cr_assert_not(is_sent(other), "nobody knows that it was not meant");
    cr_assert(is_state(held, "held") && is_state(other, "held"));
    uint64_t second = fake_simple(f, 2);
    json_t *answer = fake_admin(f, "{'cmd':'rules'}");
    const json_t *rules = json_object_get(answer, "rules");
    cr_assert_eq(json_array_size(rules), 2);
    cr_assert(json_is_true(json_object_get(json_array_get(rules, 0), "unreadable")));
    cr_assert_null(json_object_get(json_array_get(rules, 1), "unreadable"));
    json_decref(answer);
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['rule=1'],'reason':'z'}")));
    fake_turn(f, 1000);
    cr_assert(fake_was_sent(f, held) && fake_was_sent(f, other));
    cr_assert_not(fake_was_sent(f, second));
    cr_assert(is_state(second, "held"));
    restart_attached();
    answer = fake_admin(f, "{'cmd':'rules'}");
    cr_assert_eq(json_array_size(json_object_get(answer, "rules")), 1);
    json_decref(answer);
}

Test(policy_db, rule_with_a_selection_that_does_not_parse_holds_all)
{
    check_bad_rule("UPDATE rules SET selection = '[\"rout' WHERE id = 1");
}

Test(policy_db, rule_with_a_term_that_is_none_holds_all)
{
    check_bad_rule("UPDATE rules SET selection = '[\"colour=red\"]' WHERE id = 1");
}

Test(policy_db, rule_with_an_empty_selection_holds_all)
{
    check_bad_rule("UPDATE rules SET selection = '[]' WHERE id = 1");
}

Test(policy_db, rule_of_an_unknown_kind_holds_all)
{
    check_bad_rule("UPDATE rules SET kind = 'limit' WHERE id = 1");
}

/* Two releases under way; the row of the first is damaged. */
static void check_bad_job(const char *damage)
{
    uint64_t first = fake_simple(f, 1);
    uint64_t second = fake_simple(f, 2);
    fake_turn(f, 0);
    fake_state(f, first, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "no");
    fake_state(f, second, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "no");
    fake_turn(f, 0);
    cr_assert(is_state(first, "frozen") && is_state(second, "frozen"));
    f->echo = false; /* the releases get no answer */
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['route=r1'],'reason':'x'}")));
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['route=r2'],'reason':'x'}")));
    fake_turn(f, 0);
    run_sql(damage);
    f->echo = true;
    restart_attached();
    fake_turn(f, 1000);
    assert_status_has("\"bad_job\"");
    assert_status_has("the first is job 1");
    cr_assert(fake_was_sent(f, second), "the other goes on");
    cr_assert(is_state(first, "frozen"), "nothing is let go that may not be meant");
    run_sql("DELETE FROM jobs WHERE id = 1"); /* as status says */
    restart_attached();
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    char *text = json_dumps(json_object_get(answer, "problems"), 0);
    cr_assert_null(strstr(text, "bad_job"), "%s", text);
    free(text);
    json_decref(answer);
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['route=r1'],'reason':'x'}")));
    fake_turn(f, 1000);
    cr_assert(fake_was_sent(f, first));
}

Test(policy_db, job_with_a_selection_that_does_not_parse_is_skipped)
{
    check_bad_job("UPDATE jobs SET selection = 'garbage' WHERE id = 1");
}

Test(policy_db, job_with_an_empty_selection_is_skipped)
{
    check_bad_job("UPDATE jobs SET selection = '[]' WHERE id = 1");
}

Test(policy_db, job_of_an_unknown_kind_is_skipped)
{
    check_bad_job("UPDATE jobs SET kind = 'export' WHERE id = 1");
}
