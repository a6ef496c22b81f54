/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_operator.c: hold, release, retry, list, and that they are durable. */
#include "tests/unit/control/fake.h"

#include "common/config.h"
#include "control/core/core.h"
#include "control/shell/parts.h"

#include "common/policy.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

FAKE_SUITE(operator);

/* Returns the answer of a hold, when the workers have passed the fence. Control is attached. */
static json_t *hold(const char *request)
{
    json_t *pending = fake_admin(f, request);
    uint64_t token = (uint64_t)fake_number(pending, "pending");
    cr_assert_neq(token, 0, "%s", json_dumps(pending, 0));
    json_decref(pending);
    cr_assert_null(control_admin_ready(f->control, token, f->time));
    fake_turn(f, 0);
    cr_assert_eq(f->fence, token);
    cr_assert_null(control_admin_ready(f->control, token, f->time));
    fake_put(f, (struct abi_up){.type = ABI_UP_FENCE, .fence = {.token = token, .worker = 0}});
    fake_turn(f, 0);
    json_t *answer = control_admin_ready(f->control, token, f->time);
    cr_assert_not_null(answer);
    return answer;
}

/* Deliveries that could not be recalled are reported. */
Test(operator, hold_is_answered_after_the_fence_and_keeps_existing_and_future_mail)
{
    char state[32];
    uint64_t running = fake_simple(f, 1);
    fake_turn(f, 0);
    json_t *answer = hold("{'cmd':'hold','select':['route=r1'],'reason':'disk full there'}");
    cr_assert_eq(fake_number(answer, "deliveries"), 1);
    cr_assert_eq(fake_number(answer, "in_flight"), 1);
    json_int_t rule = fake_number(answer, "rule");
    json_decref(answer);
    uint64_t next = fake_simple(f, 1);
    uint64_t other = fake_simple(f, 2);
    fake_turn(f, 3600 * 1000);
    cr_assert_not(fake_was_sent(f, next));
    cr_assert(fake_was_sent(f, other));
    cr_assert_str_eq(fake_state_of(f, next, state), "held");
    fake_attempt(f, running, OUTCOME_CONNECTION_LOST, ABI_FLAG_LAST);
    fake_turn(f, 3600 * 1000);
    cr_assert_str_eq(fake_state_of(f, running, state), "held");
    char request[128];
    snprintf(request, sizeof request,
             "{'cmd':'release','select':['rule=%d'],'reason':'disk replaced'}", (int)rule);
    answer = fake_admin(f, request);
    cr_assert_eq(fake_number(answer, "released"), 2);
    json_decref(answer);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, next));
    cr_assert_eq(fake_times_sent(f, running), 2);
}

/* Holds outlive control. */
Test(operator, hold_is_durable)
{
    json_decref(hold("{'cmd':'hold','select':['sender=*@FROM.test'],'reason':'x'}"));
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    fake_forget_sent(f);
    uint64_t held = fake_simple(f, 1);
    struct fake_mail mail = {
        .sender = "b@else.test", .count = 1, .route = {1}, .rcpt = {"user@one.test"}};
    uint64_t free_one = fake_mail(f, &mail);
    fake_turn(f, 1000);
    cr_assert_not(fake_was_sent(f, held));
    cr_assert(fake_was_sent(f, free_one));
    json_t *rules = fake_admin(f, "{'cmd':'rules'}");
    json_t *rule = json_array_get(json_object_get(rules, "rules"), 0);
    cr_assert_eq(fake_number(rule, "matches"), 1);
    cr_assert_str_eq(json_string_value(json_object_get(rule, "author")), "tester");
    json_decref(rules);
}

Test(operator, hold_by_age_catches_mail_that_grew_old)
{
    json_decref(hold("{'cmd':'hold','select':['age>10s','domain=one.test'],'reason':'x'}"));
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id));
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
    fake_turn(f, 0);
    fake_forget_sent(f);
    fake_turn(f, 20000);
    cr_assert_not(fake_was_sent(f, id));
    cr_assert_eq(fake_total(f, "held"), 1);
    fake_turn(f, 86400 * 1000);
    cr_assert_eq(fake_reload(f, f->config), 0);
    fake_turn(f, 1000);
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    fake_turn(f, 3600 * 1000);
    cr_assert_not(fake_was_sent(f, id));
    cr_assert_eq(fake_total(f, "held"), 1);
}

Test(operator, hold_while_detached_is_answered_at_once)
{
    control_detach(f->control);
    json_t *answer = fake_admin(f, "{'cmd':'hold','select':['all'],'reason':'x'}");
    cr_assert_gt(fake_number(answer, "rule"), 0);
    json_decref(answer);
}

Test(operator, hold_pending_at_a_new_attach_asks_the_new_workers)
{
    json_t *pending = fake_admin(f, "{'cmd':'hold','select':['all'],'reason':'x'}");
    uint64_t token = (uint64_t)fake_number(pending, "pending");
    json_decref(pending);
    fake_turn(f, 0);
    fake_attach(f, NULL, 0);
    f->fence = 0;
    f->echo = true;
    fake_turn(f, 0);
    cr_assert_eq(f->fence, token);
    json_t *answer = control_admin_ready(f->control, token, f->time);
    cr_assert_not_null(answer);
    json_decref(answer);
}

static uint64_t frozen_mail(void)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_USER_UNKNOWN, 1, ABI_FLAG_LAST, "nobody");
    fake_turn(f, 0);
    fake_forget_sent(f);
    return id;
}

Test(operator, release_revives_frozen_mail_with_its_attempts_reset)
{
    uint64_t id = frozen_mail();
    f->echo = true;
    fake_turn(f, 86400 * 1000);
    cr_assert_not(fake_was_sent(f, id)); /* not without a person */
    json_t *answer = fake_admin(
        f, "{'cmd':'release','select':['class=user_unknown'],'reason':'table repaired'}");
    cr_assert_eq(fake_number(answer, "released"), 1);
    json_decref(answer);
    fake_turn(f, 0);
    cr_assert_eq(f->state[0].kind, ABI_STATE_RELEASE);
    cr_assert(fake_was_sent(f, id));
    cr_assert_eq(f->deliver[0].attempt, 0);
}

/* A release that was answered survives control's crash before its record is in the log. */
Test(operator, release_survives_a_crash_before_its_record_is_durable)
{
    uint64_t id = frozen_mail();
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['all'],'reason':'x'}")));
    fake_restart_control(f, false);
    f->echo = true;
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(f->state_count, 1);
    cr_assert(fake_was_sent(f, id));
    fake_turn(f, 1000);
    fake_restart_control(f, false);
    fake_forget_sent(f);
    fake_attach(f, &id, 1);
    fake_turn(f, 0);
    cr_assert_eq(f->state_count, 0); /* done: not again */
}

/* A crash comes between the record and the note that it is done. Mail that froze again stays
 * frozen. */
Test(operator, release_is_not_repeated_for_mail_that_froze_again)
{
    uint64_t id = frozen_mail();
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['all'],'reason':'x'}")));
    int rc = sqlite3_exec(f->db, "CREATE TABLE kept AS SELECT * FROM jobs", NULL, NULL, NULL);
    cr_assert_eq(rc, SQLITE_OK);
    f->echo = true;
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "no again");
    fake_turn(f, 0);
    rc = sqlite3_exec(f->db, "INSERT INTO jobs SELECT * FROM kept", NULL, NULL, NULL);
    cr_assert_eq(rc, SQLITE_OK, "the job was done, and its row is there again");
    fake_restart_control(f, false);
    fake_forget_sent(f);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(f->state_count, 0);
    cr_assert_eq(fake_total(f, "frozen"), 1);
}

Test(operator, acting_needs_a_selection_and_a_reason_and_the_agreed_count)
{
    (void)frozen_mail();
    static const char *const refused[] = {
        "{'cmd':'hold','reason':'x'}",
        "{'cmd':'hold','select':[],'reason':'x'}",
        "{'cmd':'hold','select':['all']}",
        "{'cmd':'release','select':['all']}",
        "{'cmd':'retry','select':['all'],'reason':''}",
        "{'cmd':'rules','remove':1}",
        "{'cmd':'rules','remove':1,'reason':' '}",
        "{'cmd':'retry','select':['all'],'reason':' \\t\\r\\n '}",
        "{'cmd':'list','after':5}",
        "{'cmd':'list','after':null}",
        "{'cmd':'list','after':'!!'}",
        "{'cmd':'hold','select':['colour=red'],'reason':'x'}",
        "{'cmd':'hold','select':['state=frozen'],'reason':'x'}",
        "{'cmd':'hold','select':['age>5'],'reason':'x'}",
        "{'cmd':'release','select':['all'],'reason':'x','yes_count':7}",
        "{'cmd':'release','select':['state=frozen','state=waiting'],'reason':'x'}",
        "{'cmd':'destroy','select':['all'],'reason':'x'}",
        "{'cmd':'show','id':'!!'}",
        "{'cmd':'list','limit':0}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        json_t *answer = fake_admin(f, refused[i]);
        cr_assert(json_is_false(json_object_get(answer, "ok")), "%s", refused[i]);
        cr_assert_eq(fake_number(answer, "exit"), 64, "%s", refused[i]);
        json_decref(answer);
    }
    json_t *rules = fake_admin(f, "{'cmd':'rules'}");
    cr_assert_eq(json_array_size(json_object_get(rules, "rules")), 0);
    json_decref(rules);
    cr_assert_eq(fake_total(f, "frozen"), 1);
}

Test(operator, dry_run_changes_nothing)
{
    uint64_t id = frozen_mail();
    json_t *answer = fake_admin(f, "{'cmd':'release','select':['all'],'dry_run':true}");
    cr_assert_eq(fake_number(answer, "released"), 1);
    json_decref(answer);
    answer = fake_admin(f, "{'cmd':'hold','select':['all'],'dry_run':true}");
    cr_assert_eq(fake_number(answer, "deliveries"), 1);
    json_decref(answer);
    f->echo = true;
    fake_turn(f, 1000);
    cr_assert_not(fake_was_sent(f, id));
    json_t *audit = fake_admin(f, "{'cmd':'audit'}");
    cr_assert_eq(json_array_size(json_object_get(audit, "entries")), 0);
    json_decref(audit);
}

Test(operator, retry_makes_waiting_mail_due_and_closes_the_breaker)
{
    uint64_t id = 0;
    for (int i = 0; i < 3; i++) {
        id = fake_simple(f, 1);
        fake_turn(f, 0);
        fake_attempt(f, id, OUTCOME_CONNECT_TIMEOUT, ABI_FLAG_LAST);
        fake_turn(f, 0);
    }
    fake_forget_sent(f);
    json_t *answer = fake_admin(f, "{'cmd':'retry','select':['hop=h1'],'reason':'it is back'}");
    cr_assert_eq(fake_number(answer, "retried"), 3);
    json_decref(answer);
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 1); /* gradually */
    json_t *audit = fake_admin(f, "{'cmd':'audit'}");
    json_t *entry = json_array_get(json_object_get(audit, "entries"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(entry, "who")), "tester");
    cr_assert_str_eq(json_string_value(json_object_get(entry, "reason")), "it is back");
    json_decref(audit);
}

Test(operator, list_pages_and_count_groups)
{
    for (int i = 0; i < 7; i++) {
        fake_simple(f, i % 2 == 0 ? 1 : 2);
    }
    fake_turn(f, 0);
    char after[32] = "";
    size_t seen = 0;
    bool more = true;
    while (more) {
        char request[128];
        snprintf(request, sizeof request,
                 after[0] == '\0' ? "{'cmd':'list','limit':3%s}"
                                  : "{'cmd':'list','limit':3,'after':'%s'}",
                 after);
        json_t *answer = fake_admin(f, request);
        json_t *list = json_object_get(answer, "deliveries");
        seen += json_array_size(list);
        more = json_is_true(json_object_get(answer, "more"));
        cr_assert_eq(fake_number(answer, "total"), 7);
        json_t *last = json_array_get(list, json_array_size(list) - 1);
        snprintf(after, sizeof after, "%s", json_string_value(json_object_get(last, "id")));
        json_decref(answer);
    }
    cr_assert_eq(seen, 7);
    json_t *answer = fake_admin(f, "{'cmd':'count','by':'route'}");
    cr_assert_eq(fake_number(answer, "deliveries"), 7);
    cr_assert_eq(json_array_size(json_object_get(answer, "by")), 2);
    json_decref(answer);
    answer = fake_admin(f, "{'cmd':'count','by':'domain','select':['route=r1']}");
    json_t *by = json_array_get(json_object_get(answer, "by"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(by, "key")), "one.test");
    cr_assert_eq(fake_number(by, "deliveries"), 4);
    json_decref(answer);
}

Test(operator, show_tells_everything_about_one)
{
    uint64_t id = frozen_mail();
    char request[128];
    char text[ID_TEXT_SIZE];
    snprintf(request, sizeof request, "{'cmd':'show','id':'%s','body':true}", id_format(id, text));
    json_t *o = fake_admin(f, request);
    cr_assert_str_eq(json_string_value(json_object_get(o, "sender")), "a@from.test");
    cr_assert_str_eq(json_string_value(json_object_get(o, "helo")), "client.test");
    cr_assert_str_eq(json_string_value(json_object_get(o, "reply")), "nobody");
    cr_assert_str_eq(json_string_value(json_object_get(o, "body")), "Subject: x\r\n\r\nbody\r\n");
    json_t *rcpt = json_array_get(json_object_get(o, "recipients"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(rcpt, "state")), "frozen");
    cr_assert_eq(json_array_size(json_object_get(o, "events")), 1);
    json_decref(o);
}

/* A person asks for the newest events. When older ones are missing, the answer says so. */
Test(operator, show_gives_the_newest_events_and_says_what_is_cut)
{
    char request[128];
    char text[ID_TEXT_SIZE];
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    snprintf(request, sizeof request, "{'cmd':'show','id':'%s'}", id_format(id, text));
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, 0, "the oldest");
    fake_turn(f, 0);
    json_t *answer = fake_admin(f, request);
    cr_assert_eq(json_array_size(json_object_get(answer, "events")), 1);
    cr_assert(json_is_false(json_object_get(answer, "truncated")));
    json_decref(answer);
    for (int i = 0; i < 300; i++) {
        fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, 0, i < 299 ? "" : "the newest");
    }
    fake_turn(f, 0);
    answer = fake_admin(f, request);
    json_t *events = json_object_get(answer, "events");
    cr_assert_eq(json_array_size(events), 200);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(events, 199), "reply")),
                     "the newest");
    cr_assert(json_is_true(json_object_get(answer, "truncated")));
    json_decref(answer);
}

/* A domain that vanished gets 451 for a while, not 550. */
Test(operator, domain_dropped_from_the_configuration_is_graced)
{
    struct config fewer = *f->config;
    size_t len;
    uint64_t before;
    uint64_t after;
    uint32_t route;
    (void)control_policy(f->control, &len, &before);
    fewer.route_count = 2;
    f->time.wall_ms += 40 * 86400 * UINT64_C(1000); /* it has run for a long time */
    cr_assert_eq(fake_reload(f, &fewer), 0);
    const void *data = control_policy(f->control, &len, &after);
    const struct policy *policy = policy_verify(data, len);
    cr_assert_not_null(policy);
    cr_assert_gt(after, before);
    cr_assert_eq(policy_lookup(policy, bytes_str("x@three.test"), &route), POLICY_GRACE);
    cr_assert_eq(policy_lookup(policy, bytes_str("x@one.test"), &route), POLICY_ACCEPT);
    cr_assert_eq(route, f->config->route[0].id);
    fake_turn(f, 2 * 86400 * UINT64_C(1000));
    data = control_policy(f->control, &len, &after);
    cr_assert_eq(policy_lookup(policy_verify(data, len), bytes_str("x@three.test"), &route),
                 POLICY_NOT_RELAYED);
}

static uint64_t published(void)
{
    return atomic_load(&f->region->policy_published);
}

static void adopt(void)
{
    const struct policy *policy;
    void *data;
    size_t len;
    cr_assert_eq(policy_load(f->config->state_dir, &policy, &data, &len, NULL), 0);
    cr_assert_geq(policy_generation(policy), published(), "the file has what was published");
    atomic_store(&f->region->policy_adopted, policy_generation(policy));
    policy_unload(data, len);
}

/* A full disk at one reload must not stop delivery until somebody restarts control. */
Test(operator, policy_that_could_not_be_saved_is_published_by_the_next_try)
{
    char in_the_way[128];
    snprintf(f->config->state_dir, sizeof f->config->state_dir, "%s", f->dir);
    snprintf(in_the_way, sizeof in_the_way, "%s/policy.snap.tmp", f->dir);
    fake_restart_control(f, true);
    f->old_policy = true; /* adopt() does it */
    fake_attach(f, NULL, 0);
    adopt();
    uint64_t before = published();
    struct config other = *f->config;
    other.route_count = 2;
    cr_assert_eq(mkdir(in_the_way, 0700), 0);
    cr_assert_lt(fake_reload(f, &other), 0);
    cr_assert_eq(published(), before);
    adopt();
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id), "the old one stays, and mail goes on");
    cr_assert_eq(rmdir(in_the_way), 0);
    cr_assert_eq(fake_reload(f, &other), 0);
    cr_assert_gt(published(), before);
    adopt();
    id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id));
}

static void refuse(const char *request, const char *why)
{
    json_t *answer = fake_admin(f, request);
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert(error != NULL && strstr(error, why) != NULL, "%s: %s", request,
              error == NULL ? "taken" : error);
    json_decref(answer);
}

/* Mail grows out of such a rule, and would be delivered while the rule is in force. */
Test(operator, hold_of_young_mail_is_refused)
{
    refuse("{'cmd':'hold','select':['route=r1','age<10m'],'reason':'x'}", "hold each by id=");
    refuse("{'cmd':'hold','select':['age<7d'],'dry_run':true}", "route=, sender= or domain=");
    json_t *answer = fake_admin(f, "{'cmd':'rules'}");
    cr_assert_eq(json_array_size(json_object_get(answer, "rules")), 0);
    json_decref(answer);
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'list','select':['age<10m']}")));
}

Test(operator, what_could_be_a_slip_is_refused)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    refuse("{'cmd':'hold','select':['route=r1'],'dry_run':1}", "dry_run");
    refuse("{'cmd':'hold','select':['route=r1'],'dry_run':'true','reason':'x'}", "dry_run");
    refuse("{'cmd':'hold','select':['route=nosuch'],'reason':'x'}", "no route is called nosuch");
    refuse("{'cmd':'count','select':['route=nosuch']}", "(there are: ");
    refuse("{'cmd':'count','select':['route=nosuch']}", "r1");
    refuse("{'cmd':'count','select':['hop=nosuch']}", "h1");
    refuse("{'cmd':'retry','select':['hop=nosuch'],'reason':'x'}", "no hop is called nosuch");
    refuse("{'cmd':'hold','select':['route=r1'],'reason':7}", "reason");
    refuse("{'cmd':'hold','select':['route=r1'],'reason':'x','review_ms':9223372036854775807}",
           "review_ms");
    cr_assert_eq(fake_total(f, "held"), 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
}

Test(operator, reason_keeps_its_words)
{
    json_decref(
        hold("{'cmd':'hold','select':['route=r1'],'reason':'St\\u00f6rung\\u202e \\u0007'}"));
    json_t *answer = fake_admin(f, "{'cmd':'rules'}");
    const json_t *rule = json_array_get(json_object_get(answer, "rules"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(rule, "reason")), "St\xc3\xb6rung? ?");
    json_decref(answer);
}

/* The hop has no waiting mail, and held mail cannot make it be tried again. */
Test(operator, retry_of_a_hop_closes_its_breaker_also_without_mail)
{
    for (int i = 0; i < 20; i++) {
        uint64_t id = fake_simple(f, 2);
        fake_turn(f, 0);
        fake_attempt(f, id, OUTCOME_CONNECT_REFUSED, ABI_FLAG_LAST);
        fake_turn(f, 0);
    }
    json_decref(hold("{'cmd':'hold','select':['all'],'reason':'x'}"));
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    const json_t *hop = json_array_get(json_object_get(answer, "hops"), 1);
    cr_assert_str_eq(json_string_value(json_object_get(hop, "breaker")), "open");
    json_decref(answer);
    answer = fake_admin(f, "{'cmd':'retry','select':['hop=h2'],'reason':'x'}");
    cr_assert_eq(fake_number(answer, "retried"), 0);
    json_decref(answer);
    answer = fake_admin(f, "{'cmd':'status'}");
    hop = json_array_get(json_object_get(answer, "hops"), 1);
    cr_assert_str_eq(json_string_value(json_object_get(hop, "breaker")), "closed");
    json_decref(answer);
}

Test(operator, ids_of_routes_are_never_reused)
{
    struct config other = *f->config;
    struct config_route renamed[FAKE_ROUTES];
    memcpy(renamed, f->config->route, sizeof renamed);
    snprintf(renamed[0].name, sizeof renamed[0].name, "%s", "another");
    other.route = renamed;
    cr_assert_eq(fake_reload(f, &other), 0);
    json_decref(hold("{'cmd':'hold','select':['route=r1'],'reason':'it may come back'}"));
    cr_assert_gt(renamed[0].id, 3);
    cr_assert_eq(renamed[1].id, 2);
    cr_assert_eq(fake_reload(f, f->config), 0);
    cr_assert_eq(f->config->route[0].id, 1);
}

/* Control never starts with an empty database in place of a damaged one. */
Test(operator, damaged_database_is_refused)
{
    char error[CONFIG_ERROR_SIZE] = "";
    char path[128];
    struct control *c;
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/bad.db", f->dir);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 5000; i++) {
        fputs("this is no database", file);
    }
    fclose(file);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_lt(control_create(f->config, db, f->control_io, f->time, &c, error), 0);
    cr_assert(strstr(error, "policy database") != NULL, "%s", error);
    sqlite3_close(db);
}

/* A rule whose row cannot be read holds all mail (test_policy_db.c). One that has no number that a
 * rule can have could not be ended: control does not start without it. */
Test(operator, unreadable_rule_stands_in_for_all_and_needs_a_number)
{
    static const char bad[] = "INSERT INTO rules(kind, selection, author, reason, created_ms,"
                              " review_ms) VALUES('hold', '[\"what=?\"]', '', '', 0, 0)";
    static const char numbered[] = "INSERT INTO rules(id, kind, selection, author, reason,"
                                   " created_ms, review_ms)"
                                   " VALUES(4026531841, 'hold', '[\"all\"]', '', '', 0, 0)";
    char error[CONFIG_ERROR_SIZE] = "";
    struct control *c;
    cr_assert_eq(sqlite3_exec(f->db, bad, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(control_create(f->config, f->db, f->control_io, f->time, &c, error), 0);
    cr_assert_eq(c->core.rules.count, 1);
    cr_assert(c->core.rules.rule[0]->unreadable);
    cr_assert_eq(c->core.rules.rule[0]->select.term[0].key, SELECT_ALL);
    control_destroy(c);
    cr_assert_eq(sqlite3_exec(f->db, numbered, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_lt(control_create(f->config, f->db, f->control_io, f->time, &c, error), 0);
    cr_assert_not_null(strstr(error, "no number"), "%s", error);
}
