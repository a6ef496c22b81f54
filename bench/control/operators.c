/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/operators.c: see operators.h. The requests are those of docs/ADMIN.md. */
#include "bench/control/operators.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROLES = 3, REQUEST_SIZE = 512 };

/* The pause between an answer and the next request, as of a script. A person is slower. */
#define THINK_NS (UINT64_C(10) * 1000000)

static const char *const act_names[OPERATORS_ACT_COUNT] = {"list", "count", "hold", "release"};

const char *operators_act_name(enum operators_act act)
{
    assert(act < OPERATORS_ACT_COUNT);
    return act_names[act];
}

void operators_init(struct operators *o, uint32_t count)
{
    assert(count <= OPERATORS_MAX);
    *o = (struct operators){.count = count};
}

/* --- what each asks for --------------------------------------------------------------------- */

/* "domain=d1.frozen3.campus.example", another one each time. */
static const char *domain_term(enum campus_group group, uint32_t step, char *out, size_t out_size)
{
    char domain[LIMIT_DOMAIN_BYTES + 1];
    (void)campus_domain(group, step / 7 % CAMPUS_ROUTES, step / 3, domain, sizeof domain);
    snprintf(out, out_size, "domain=%.200s", domain);
    return out;
}

static void list_request(uint32_t step, const char *after, char *out)
{
    char term[REQUEST_SIZE / 2] = "";
    char sender[64];
    switch (step % 6) {
    case 1:
    case 2: /* continues where the last page ended */
        if (after[0] != '\0') {
            snprintf(out, REQUEST_SIZE, "{\"v\":1,\"cmd\":\"list\",\"limit\":100,\"after\":\"%s\"}",
                     after);
            return;
        }
        break;
    case 3:
        snprintf(term, sizeof term, "\"state=frozen\"");
        break;
    case 4:
        snprintf(term, sizeof term, "\"sender=%s\"", campus_sender(step, sender, sizeof sender));
        break;
    case 5:
        term[0] = '"';
        (void)domain_term(CAMPUS_HELD, step, term + 1, sizeof term - 2);
        strncat(term, "\"", 2);
        break;
    default:
        break;
    }
    snprintf(out, REQUEST_SIZE, "{\"v\":1,\"cmd\":\"list\",\"limit\":100,\"select\":[%.250s]}",
             term);
}

static void count_request(uint32_t step, char *out)
{
    static const char *const by[] = {"domain", "route", "class", "state"};
    snprintf(out, REQUEST_SIZE, "{\"v\":1,\"cmd\":\"count\",\"select\":[],\"by\":\"%s\"}",
             by[step % (sizeof by / sizeof by[0])]);
}

static void hold_request(uint32_t step, char *out)
{
    char term[REQUEST_SIZE / 2];
    char sender[64];
    if (step % 4 == 0) {
        snprintf(term, sizeof term, "sender=%s", campus_sender(step, sender, sizeof sender));
    } else {
        (void)domain_term(CAMPUS_FROZEN, step, term, sizeof term);
    }
    snprintf(out, REQUEST_SIZE,
             "{\"v\":1,\"cmd\":\"hold\",\"select\":[\"%.200s\"],\"reason\":\"bench\"}", term);
}

/* Frozen mail of one domain or one route. It is tried again, and refused again. */
static void release_request(uint32_t step, char *out)
{
    char term[REQUEST_SIZE / 2];
    if (step % 8 == 3) {
        snprintf(term, sizeof term, "route=%s%u", campus_group_name(CAMPUS_FROZEN),
                 step / 8 % CAMPUS_ROUTES);
    } else {
        (void)domain_term(CAMPUS_FROZEN, step, term, sizeof term);
    }
    snprintf(out, REQUEST_SIZE,
             "{\"v\":1,\"cmd\":\"release\",\"select\":[\"%.200s\"],\"reason\":\"bench\"}", term);
}

/* A hold, the end of that hold, two releases, and again from the first. */
static enum operators_act rule_request(uint32_t step, int64_t rule, char *out)
{
    if (rule != 0) {
        snprintf(out, REQUEST_SIZE,
                 "{\"v\":1,\"cmd\":\"release\",\"select\":[\"rule=%lld\"],\"reason\":\"bench\"}",
                 (long long)rule);
        return OPERATORS_RELEASE;
    }
    if (step % 4 < 2) {
        hold_request(step, out);
        return OPERATORS_HOLD;
    }
    release_request(step, out);
    return OPERATORS_RELEASE;
}

/* --- asking and hearing ----------------------------------------------------------------------- */

static void hear(struct operators *o, uint32_t i, char *text)
{
    json_t *answer = json_loads(text, 0, NULL);
    if (!json_is_true(json_object_get(answer, "ok"))) {
        fprintf(stderr, "bench_control: %s refused: %s\n", act_names[o->one[i].act], text);
        exit(1);
    }
    free(text);
    if (o->one[i].act == OPERATORS_LIST) {
        const json_t *list = json_object_get(answer, "deliveries");
        const json_t *last = json_array_get(list, json_array_size(list) - 1);
        const char *id = json_string_value(json_object_get(last, "id"));
        snprintf(o->one[i].after, sizeof o->one[i].after, "%s", id == NULL ? "" : id);
    } else if (o->one[i].act == OPERATORS_HOLD) {
        o->one[i].rule = json_integer_value(json_object_get(answer, "rule"));
        assert(o->one[i].rule != 0);
    } else if (json_array_size(json_object_get(answer, "rules_ended")) > 0) {
        o->one[i].rule = 0;
    }
    json_decref(answer);
    o->one[i].next_ns = bench_now_ns() + THINK_NS;
}

static void note_answer(struct operators *o, uint32_t i)
{
    bench_histogram_add(&o->answer[o->one[i].act], bench_now_ns() - o->one[i].asked_ns);
}

static bool one_turn(struct operators *o, uint32_t i, struct subject *s)
{
    char request[REQUEST_SIZE];
    char *text;
    uint64_t begin_ns = bench_now_ns();
    if (o->one[i].pending) {
        text = subject_ready(s, o->one[i].token);
        if (text == NULL) {
            return false;
        }
        o->one[i].pending = false;
        note_answer(o, i);
        hear(o, i, text);
        return true;
    }
    if (begin_ns < o->one[i].next_ns || (o->stopping && o->one[i].rule == 0)) {
        return false;
    }
    uint32_t step = o->one[i].step++;
    if (i % ROLES == 0) {
        o->one[i].act = OPERATORS_LIST;
        list_request(step, o->one[i].after, request);
    } else if (i % ROLES == 1) {
        o->one[i].act = OPERATORS_COUNT;
        count_request(step, request);
    } else {
        o->one[i].act = rule_request(step, o->one[i].rule, request);
    }
    o->one[i].asked_ns = begin_ns;
    text = subject_ask(s, request, &o->one[i].token);
    bench_histogram_add(&o->still[o->one[i].act], bench_now_ns() - begin_ns);
    if (text == NULL) {
        o->one[i].pending = true;
    } else {
        note_answer(o, i);
        hear(o, i, text);
    }
    return true;
}

bool operators_turn(struct operators *o, struct subject *s)
{
    bool worked = false;
    for (uint32_t i = 0; i < o->count; i++) {
        worked = one_turn(o, i, s) || worked;
    }
    return worked;
}

void operators_stop(struct operators *o)
{
    o->stopping = true;
}

bool operators_are_done(const struct operators *o)
{
    assert(o->stopping);
    for (uint32_t i = 0; i < o->count; i++) {
        if (o->one[i].pending || o->one[i].rule != 0) {
            return false;
        }
    }
    return true;
}

bool operators_did_all(const struct operators *o)
{
    for (int act = 0; act < OPERATORS_ACT_COUNT; act++) {
        uint32_t role = act < OPERATORS_HOLD ? (uint32_t)act : OPERATORS_HOLD;
        if (role < o->count && o->answer[act].count == 0) {
            return false;
        }
    }
    return true;
}
