/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_select.c: the terms of a selection, and what they match: what control
 * knows of a delivery, and its envelope. */
#include "control/admin/select_json.h"
#include "control/core/select.h"

#include "common/id.h"

#include <criterion/criterion.h>

/* --- words ----------------------------------------------------------------------------------- */

static bool parses(const char *term)
{
    struct select select;
    char error[SELECT_ERROR_SIZE];
    bool good = select_parse_terms(&term, 1, &select, error);
    json_t *terms = json_pack("[s]", term);
    cr_assert_eq(select_parse(terms, &select, error), good);
    json_decref(terms);
    cr_assert(good || strstr(error, "not a selection") != NULL);
    return good;
}

Test(select, refuses_what_it_does_not_fully_understand)
{
    static const char *const good[] = {"all",        "id=10",     "route=x",  "age>90s",
                                       "age<7d",     "sender=<>", "rcpt=*@x", "class=policy",
                                       "state=held", "rule=3",    "hop=h",    "domain=x.y",
                                       "sender=",    "age>0ms",   "age>5m",   "rule=4294967295"};
    static const char *const bad[] = {"",
                                      "ALL",
                                      "id=",
                                      "id=u!",
                                      "age>",
                                      "age>5",
                                      "age>5w",
                                      "age>-1s",
                                      "rule=0",
                                      "rule=x",
                                      "state=x",
                                      "class=nope",
                                      "route=",
                                      "foo=1",
                                      "age=5s",
                                      "age>5ss",
                                      "rule=4294967296",
                                      "rule=3x",
                                      "age>s",
                                      "age>99999999999d",
                                      "age>99999999999999999999999s",
                                      "rcpt=",
                                      "domain=",
                                      "hop="};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(parses(good[i]), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(parses(bad[i]), "%s", bad[i]);
    }
    char term[SELECT_TEXT_SIZE + 16] = "rcpt=";
    memset(term + 5, 'a', SELECT_TEXT_SIZE - 1);
    cr_assert(parses(term));
    term[5 + SELECT_TEXT_SIZE - 1] = 'a';
    cr_assert_not(parses(term));
}

Test(select, durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"7ms", 7}, {"90s", 90000}, {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000}};
    uint64_t ms;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(select_parse_duration(good[i].text, &ms) && ms == good[i].ms, "%s", good[i].text);
    }
}

Test(select, says_what_there_is)
{
    struct select select;
    char error[SELECT_ERROR_SIZE];
    const char *terms[] = {"all", "class=nope", "x"};
    cr_assert_not(select_parse_terms(terms, 3, &select, error));
    cr_assert_not_null(strstr(error, "class=nope (there are: none, delivered, "), "%s", error);
    cr_assert_str_eq(error + strlen(error) - strlen("cancelled)"), "cancelled)");
    terms[0] = "state=gone";
    cr_assert_not(select_parse_terms(terms, 1, &select, error));
    cr_assert_str_eq(error, "not a selection: state=gone "
                            "(there are: waiting, in_flight, frozen, held, orphan)");
}

Test(select, number_of_terms)
{
    struct select select;
    char error[SELECT_ERROR_SIZE];
    const char *terms[LIMIT_SELECT_TERMS + 1];
    json_t *json = json_array();
    for (size_t i = 0; i <= LIMIT_SELECT_TERMS; i++) {
        terms[i] = "all";
    }
    cr_assert(select_parse_terms(terms, 0, &select, error) && select.count == 0);
    cr_assert(select_parse_terms(terms, LIMIT_SELECT_TERMS, &select, error));
    cr_assert_eq(select.count, LIMIT_SELECT_TERMS);
    cr_assert_not(select_parse_terms(terms, LIMIT_SELECT_TERMS + 1, &select, error));
    cr_assert_str_eq(error, "select: at most 32 terms");
    cr_assert(select_parse(NULL, &select, error) && select.count == 0);
    cr_assert(select_parse(json, &select, error) && select.count == 0);
    for (size_t i = 0; i <= LIMIT_SELECT_TERMS; i++) {
        cr_assert_eq(json_array_append_new(json, json_string("all")), 0);
    }
    cr_assert_not(select_parse(json, &select, error));
    json_decref(json);
    json = json_pack("{ss}", "a", "all");
    cr_assert_not(select_parse(json, &select, error));
    json_decref(json);
    json = json_pack("[si]", "all", 5);
    cr_assert_not(select_parse(json, &select, error));
    json_decref(json);
}

/* --- what they mean -------------------------------------------------------------------------- */

enum { RCPTS = 4 };

static const enum outcome classes[RCPTS] = {OUTCOME_POLICY, OUTCOME_NONE, OUTCOME_POLICY,
                                            OUTCOME_SIZE};
static const char *const hops[] = {"alpha", "beta"};

static enum outcome class_of(const void *ctx, unsigned rcpt)
{
    (void)ctx;
    cr_assert_lt(rcpt, RCPTS);
    return classes[rcpt];
}

static bool is_held_by(const void *ctx, uint32_t rule_id)
{
    (void)ctx;
    return rule_id == 8;
}

/* Recipients 0, 1, 2 are pending; 0 is frozen. */
static struct select_facts facts_here(void)
{
    return (struct select_facts){
        .id = id_make(1, 77, 2),
        .route_name = "staff",
        .hop_name = hops,
        .hop_count = 2,
        .held_rule = 7,
        .age_ms = 60000,
        .state = DELIVERY_HELD,
        .pending = {{7}},
        .frozen = {{1}},
        .class_of = class_of,
        .is_held_by = is_held_by,
    };
}

/* The mask of recipients that match the facts, -1 when none does; and *verdict_out. */
static int ask(const struct select_facts *facts, const char *const *term, size_t count,
               enum select_verdict *verdict_out)
{
    struct select select;
    char error[SELECT_ERROR_SIZE];
    struct rcptset mask;
    cr_assert(select_parse_terms(term, count, &select, error), "%s", error);
    *verdict_out = select_match_facts(&select, facts, &mask);
    cr_assert(mask.word[1] == 0 && (*verdict_out == SELECT_NO) == rcptset_is_empty(&mask));
    return *verdict_out == SELECT_NO ? -1 : (int)mask.word[0];
}

Test(select, facts)
{
    char delivery[ID_TEXT_SIZE + 3];
    char message[ID_TEXT_SIZE + 3];
    char other[ID_TEXT_SIZE + 3];
    char digits[ID_TEXT_SIZE];
    snprintf(delivery, sizeof delivery, "id=%s", id_format(id_make(1, 77, 2), digits));
    snprintf(message, sizeof message, "id=%s", id_format(id_make(1, 77, 0), digits));
    snprintf(other, sizeof other, "id=%s", id_format(id_make(1, 77, 1), digits));
    const struct {
        const char *term;
        int mask;
    } cases[] = {
        {"all", 7},         {delivery, 7},       {message, 7},          {other, -1},
        {"route=staff", 7}, {"route=STAFF", -1}, {"hop=alpha", 7},      {"hop=beta", 7},
        {"hop=gamma", -1},  {"age>59s", 7},      {"age>60s", -1},       {"age<61s", 7},
        {"age<60s", -1},    {"state=held", 7},   {"state=waiting", -1}, {"state=frozen", 1},
        {"rule=7", 7},      {"rule=8", 7},       {"rule=9", -1},        {"class=policy", 5},
        {"class=none", 2},  {"class=size", -1}, /* delivered: not pending */
    };
    struct select_facts facts = facts_here();
    enum select_verdict verdict;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(ask(&facts, &cases[i].term, 1, &verdict), cases[i].mask, "%s", cases[i].term);
        cr_assert_neq(verdict, SELECT_NEED_ENVELOPE);
    }
    facts.is_held_by = NULL;
    cr_assert_eq(ask(&facts, (const char *[]){"rule=8"}, 1, &verdict), -1);
}

Test(select, terms_narrow_each_other)
{
    struct select_facts facts = facts_here();
    enum select_verdict verdict;
    cr_assert_eq(ask(&facts, (const char *[]){"class=policy", "state=frozen"}, 2, &verdict), 1);
    cr_assert_eq(ask(&facts, (const char *[]){"class=none", "state=frozen"}, 2, &verdict), -1);
    cr_assert_eq(ask(&facts, (const char *[]){"class=none", "class=policy"}, 2, &verdict), -1);
    cr_assert_eq(ask(&facts, NULL, 0, &verdict), -1);
    cr_assert_eq(ask(&facts, (const char *[]){"class=policy", "rcpt=*"}, 2, &verdict), 5);
    cr_assert_eq(verdict, SELECT_NEED_ENVELOPE);
    cr_assert_eq(ask(&facts, (const char *[]){"route=x", "rcpt=*"}, 2, &verdict), -1);
    facts.pending = facts.frozen = (struct rcptset){{0}};
    cr_assert_eq(ask(&facts, (const char *[]){"all"}, 1, &verdict), -1);
}

/* Route 2 has the recipients 1, 2, 4 of the envelope. */
static struct envelope envelope_here(void)
{
    static const struct {
        uint8_t index;
        const char *address;
    } rcpts[] = {{0, "other@campus.example"},
                 {2, "Ann@Campus.Example"},
                 {2, "bob@dept.campus.example"},
                 {1, "x@y"},
                 {2, "postmaster"}};
    struct envelope e = {.sender = bytes_str("News-1@List.example"), .rcpt_count = 5};
    for (size_t i = 0; i < 5; i++) {
        e.rcpt[i].route_index = rcpts[i].index;
        e.rcpt[i].address = bytes_str(rcpts[i].address);
    }
    return e;
}

Test(select, envelope)
{
    static const struct {
        const char *term;
        uint64_t mask;
    } cases[] = {
        {"all", 15}, /* not asked of the envelope */
        {"route=none", 15},
        {"sender=news-1@list.example", 15},
        {"sender=*@LIST.*", 15},
        {"sender=news-*@*", 15},
        {"sender=*1*l*t.e*e", 15},
        {"sender=<>", 0},
        {"sender=", 0},
        {"sender=news-1@list.exampl", 0},
        {"sender=ews*", 0},
        {"rcpt=ann@campus.example", 1},
        {"rcpt=*@*campus.example", 3},
        {"rcpt=*", 7}, /* recipient 3 is not in the envelope */
        {"rcpt=x@y", 0},
        {"rcpt=other@campus.example", 0},
        {"domain=campus.example", 1},
        {"domain=*.CAMPUS.example", 2},
        {"domain=postmaster", 4}, /* without an @ all of it is the domain */
    };
    struct envelope e = envelope_here();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct select select;
        char error[SELECT_ERROR_SIZE];
        struct rcptset mask = {{15}};
        cr_assert(select_parse_terms(&cases[i].term, 1, &select, error));
        cr_assert_eq(select_match_envelope(&select, &e, 2, &mask), cases[i].mask != 0);
        cr_assert_eq(mask.word[0], cases[i].mask, "%s", cases[i].term);
        cr_assert_eq(mask.word[1], 0);
        mask = (struct rcptset){{2}}; /* what was outside stays outside */
        (void)select_match_envelope(&select, &e, 2, &mask);
        cr_assert_eq(mask.word[0], cases[i].mask & 2, "%s", cases[i].term);
    }
}

Test(select, null_sender_and_several_terms)
{
    struct select select;
    char error[SELECT_ERROR_SIZE];
    struct envelope e = envelope_here();
    struct rcptset mask = {{7}};
    static const char *const two[] = {"domain=*campus.example", "rcpt=*b@*"};
    cr_assert(select_parse_terms(two, 2, &select, error));
    cr_assert(select_match_envelope(&select, &e, 2, &mask));
    cr_assert_eq(mask.word[0], 2);
    e.sender = bytes_of(NULL, 0);
    static const char *const null[] = {"sender=<>", "sender=", "sender=*"};
    mask = (struct rcptset){{7}};
    cr_assert(select_parse_terms(null, 3, &select, error));
    cr_assert(select_match_envelope(&select, &e, 2, &mask));
    cr_assert(select_needs_envelope(&select) && select_is_fixed(&select));
}
