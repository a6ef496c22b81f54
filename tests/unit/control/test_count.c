/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_count.c: count by domain, where there are many of them. */
#include "tests/unit/control/fake.h"

#include "control/admin/job.h"

#include "common/limits/admin.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PER_MAIL = 8, MAIL = 300, DOMAINS = MAIL * PER_MAIL, LEAST_WORKS = 3 };

static struct fake *f;

/* Each recipient in a domain of its own, as the format says. */
static void make_mail(int first, int count, const char *format)
{
    char address[PER_MAIL][256];
    struct fake_mail mail = {.sender = "a@from.test", .count = PER_MAIL};
    for (int i = first; i < first + count; i++) {
        for (int k = 0; k < PER_MAIL; k++) {
            snprintf(address[k], sizeof address[k], format, i * PER_MAIL + k);
            mail.route[k] = 1;
            mail.rcpt[k] = address[k];
        }
        (void)fake_mail(f, &mail);
    }
}

static void set_up(void)
{
    f = fake_create();
    fake_attach(f, NULL, 0);
    f->credits = 0;
    make_mail(0, MAIL, "user@d%d.One.test");
    fake_turn(f, 0);
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(count, .init = set_up, .fini = tear_down);

/* Begins it. Returns the token. */
static uint64_t begin(void)
{
    static const struct control_peer peer = {.who = "tester"};
    json_t *request = json_pack("{siss ss}", "v", 1, "cmd", "count", "by", "domain");
    json_t *answer = control_admin(f->control, request, &peer, f->time);
    const json_t *token = json_object_get(answer, "pending");
    cr_assert_not_null(token);
    uint64_t number = (uint64_t)json_integer_value(token);
    json_decref(request);
    json_decref(answer);
    return number;
}

static size_t domains_of(const json_t *answer)
{
    const json_t *by = json_object_get(answer, "by");
    size_t i;
    const json_t *entry;
    json_array_foreach(by, i, entry)
    {
        const char *key = json_string_value(json_object_get(entry, "key"));
        cr_assert_not_null(strstr(key, ".one.test"), "%s", key);
        cr_assert_eq(json_integer_value(json_object_get(entry, "deliveries")), 1);
        cr_assert_eq(json_integer_value(json_object_get(entry, "rcpts")), 1);
    }
    return json_array_size(by);
}

Test(count, every_domain_is_there_once)
{
    json_t *answer = fake_admin(f, "{'cmd':'count','by':'domain'}");
    cr_assert_eq(domains_of(answer), DOMAINS);
    cr_assert_eq(json_integer_value(json_object_get(answer, "deliveries")), MAIL);
    cr_assert_eq(json_integer_value(json_object_get(answer, "rcpts")), DOMAINS);
    json_decref(answer);
}

/* As many domains as have room, all of them as JSON writes them longest. One mail more is too
 * many. */
Test(count, answer_fits_its_frame_or_says_how_to_narrow_it_down)
{
    enum {
        LONG = 230,
        FITS = (LIMIT_ADMIN_ANSWER_BYTES - 4096) / (80 + 2 * LONG + 11) / PER_MAIL,
        CLOSE = LIMIT_ADMIN_ANSWER_BYTES / 10 * 8, /* the bound does not waste much */
    };
    static const char request[] = "{'cmd':'count','by':'domain','select':['domain=*.long']}";
    char format[256] = "u@";
    memset(format + 2, '"', LONG);
    snprintf(format + 2 + LONG, sizeof format - 2 - LONG, "%%06d.long");
    make_mail(0, FITS, format);
    json_t *answer = fake_admin(f, request);
    size_t bytes = json_dumpb(answer, NULL, 0, JSON_COMPACT);
    cr_assert_eq(json_array_size(json_object_get(answer, "by")), FITS * PER_MAIL);
    cr_assert_leq(bytes, LIMIT_ADMIN_ANSWER_BYTES);
    cr_assert_geq(bytes, CLOSE);
    json_decref(answer);
    make_mail(FITS, 1, format);
    answer = fake_admin(f, request);
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert_not_null(error);
    cr_assert_not_null(strstr(error, "narrow it down"), "%s", error);
    json_decref(answer);
}

/* When all envelopes are read, the list is made by the lane, some domains in a work. */
Test(count, list_is_made_in_works)
{
    uint64_t token = begin();
    json_t *answer = NULL;
    int works = 0;
    while (answer == NULL) {
        (void)control_turn(f->control, f->time);
        works += control_work(f->control);
        answer = control_admin_ready(f->control, token, f->time);
    }
    int batches = (MAIL + 127) / 128;
    cr_assert_geq(works, batches + LEAST_WORKS);
    cr_assert_eq(domains_of(answer), DOMAINS);
    json_decref(answer);
}

/* The client leaves, wherever the count is by then. Nothing is left of it (ASan says so). */
Test(count, one_that_nobody_waits_for_ends_wherever_it_is)
{
    for (int steps = 0; steps < 12; steps++) {
        uint64_t token = begin();
        for (int i = 0; i < steps; i++) {
            (void)control_turn(f->control, f->time);
            (void)control_work(f->control);
        }
        control_admin_forget(f->control, token);
        fake_turn(f, 0);
        cr_assert_eq(jobs_count(f->control, false), 0);
    }
    uint64_t token = begin(); /* control ends in the middle */
    (void)control_turn(f->control, f->time);
    (void)control_work(f->control);
    (void)token;
}
