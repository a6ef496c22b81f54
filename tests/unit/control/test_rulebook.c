/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_rulebook.c: the index of the rules gives the same result as asking every
 * rule one after the other, for random rules and mail that have much in common. */
#include "control/core/rulebook.h"

#include "common/id.h"
#include "common/limits/address.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % below);
}

/* All rules, to be asked one by one. */
struct line {
    uint32_t count;
    uint32_t id[LIMIT_RULES];
    struct select select[LIMIT_RULES];
};

static struct line line;
static struct book *book;

static void setup(void)
{
    const struct siphash_key key = {.k0 = 3, .k1 = 4};
    random_state = 88172645463325252;
    line.count = 0;
    book = book_create(&key);
}

static void teardown(void)
{
    book_destroy(book);
}

TestSuite(rulebook, .init = setup, .fini = teardown, .timeout = 100);

static void add_terms(uint32_t id, const char *const *term, size_t count)
{
    char error[SELECT_ERROR_SIZE];
    struct select *select = &line.select[line.count];
    cr_assert(select_parse_terms(term, count, select, error), "%s", error);
    line.id[line.count++] = id;
    book_add(book, id, select);
}

static void add(uint32_t id, const char *term)
{
    add_terms(id, &term, 1);
}

static void drop(uint32_t at)
{
    book_remove(book, line.id[at]);
    line.count--;
    line.id[at] = line.id[line.count];
    line.select[at] = line.select[line.count];
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static size_t ask_line(const struct envelope *e, unsigned route_index,
                       const struct rcptset *pending, uint32_t *id)
{
    size_t count = 0;
    for (uint32_t i = 0; i < line.count; i++) {
        struct rcptset mask = *pending;
        if (select_needs_envelope(&line.select[i]) &&
            select_match_envelope(&line.select[i], e, route_index, &mask)) {
            id[count++] = line.id[i];
        }
    }
    if (count > 0) {
        qsort(id, count, sizeof id[0], compare);
    }
    return count;
}

static void check_envelope(const struct envelope *e, unsigned route_index,
                           const struct rcptset *pending, size_t *matches)
{
    static uint32_t want[LIMIT_RULES];
    static uint32_t have[LIMIT_RULES];
    size_t wanted = ask_line(e, route_index, pending, want);
    size_t count = book_match_envelope(book, e, route_index, pending, have, LIMIT_RULES);
    cr_assert_eq(count, wanted);
    cr_assert_eq(memcmp(have, want, count * sizeof have[0]), 0);
    size_t first = draw(5);
    size_t some = book_match_envelope(book, e, route_index, pending, have, first);
    cr_assert_eq(some, wanted < first ? wanted : first);
    cr_assert_eq(memcmp(have, want, some * sizeof have[0]), 0);
    *matches += count;
}

/* --- addresses and patterns that have much in common ----------------------------------------- */

static const char *const locals[] = {"news",  "newsletter", "a",         "ab",
                                     "abc",   "ABCABC",     "bob.smith", "info",
                                     "x-y-z", "9",          "aaaaaa",    "Bounce+tag"};
static const char *const domains[] = {
    "campus.example",   "dept.campus.example", "Campus.Example", "abc", "b.c",
    "list.example.org", "aaaa.example"};

static size_t put_address(char out[64])
{
    const char *local = locals[draw(sizeof locals / sizeof locals[0])];
    const char *domain = domains[draw(sizeof domains / sizeof domains[0])];
    switch (draw(12)) {
    case 0:
        return (size_t)snprintf(out, 64, "%s", local);
    case 1:
        return (size_t)snprintf(out, 64, "\"%s@x\"@%s", local, domain);
    case 2:
        return (size_t)snprintf(out, 64, "%s%u@%s", local, draw(50), domain);
    default:
        return (size_t)snprintf(out, 64, "%s@%s", local, domain);
    }
}

/* Some characters of an address with stars between them, or one of the usual shapes. */
static void put_pattern(char out[64])
{
    char address[64];
    size_t len = put_address(address);
    switch (draw(6)) {
    case 0:
        snprintf(out, 64, "%s", address);
        return;
    case 1:
        snprintf(out, 64, "*@%s", domains[draw(sizeof domains / sizeof domains[0])]);
        return;
    case 2:
        snprintf(out, 64, "%s*", locals[draw(sizeof locals / sizeof locals[0])]);
        return;
    default:
        break;
    }
    size_t at = 0;
    for (size_t i = 0; i < len && at < 60; i++) {
        uint32_t what = draw(8);
        if (what < 5) {
            out[at++] = draw(4) == 0 ? (char)(address[i] ^ 0x20) : address[i];
        } else if (what == 5) {
            out[at++] = '*';
        } else if (what == 6 && (at == 0 || out[at - 1] != '*')) {
            out[at++] = '*';
            i += draw(6);
        } else {
            out[at++] = address[i];
        }
    }
    out[at] = '\0';
}

static void put_envelope_term(char out[80])
{
    char pattern[64];
    put_pattern(pattern);
    switch (draw(8)) {
    case 0:
        snprintf(out, 80, "sender=<>");
        break;
    case 1:
        snprintf(out, 80, "domain=%s", domains[draw(sizeof domains / sizeof domains[0])]);
        break;
    case 2:
        snprintf(out, 80, "domain=*%s", draw(2) == 0 ? ".example" : "campus*");
        break;
    case 3:
    case 4:
        snprintf(out, 80, "rcpt=%s", pattern[0] == '\0' ? "*" : pattern);
        break;
    default:
        snprintf(out, 80, "sender=%s", pattern);
        break;
    }
}

static void put_plain_term(char out[80])
{
    static const char *const terms[] = {"all",        "age>1m",       "age<1m",
                                        "age>0ms",    "class=policy", "class=none",
                                        "state=held", "rule=2",       "class=size"};
    char digits[ID_TEXT_SIZE];
    switch (draw(4)) {
    case 0:
        snprintf(out, 80, "id=%s", id_format(id_make(1, draw(6), draw(2)), digits));
        break;
    case 1:
        snprintf(out, 80, "route=r%u", draw(6));
        break;
    case 2:
        snprintf(out, 80, "hop=h%u", draw(6));
        break;
    default:
        snprintf(out, 80, "%s", terms[draw(sizeof terms / sizeof terms[0])]);
        break;
    }
}

static void add_random(uint32_t id)
{
    char text[4][80];
    const char *term[4];
    size_t count = 1 + (draw(3) == 0 ? draw(4) : 0);
    bool envelope = draw(3) > 0;
    for (size_t i = 0; i < count; i++) {
        term[i] = text[i];
        if (envelope && (i == 0 || draw(2) == 0)) {
            put_envelope_term(text[i]);
        } else {
            put_plain_term(text[i]);
        }
    }
    add_terms(id, term, count);
}

static void random_envelope(struct envelope *e, char memory[9][64])
{
    e->sender = draw(6) == 0 ? bytes_of(NULL, 0) : bytes_of(memory[8], put_address(memory[8]));
    e->rcpt_count = (uint16_t)(1 + draw(8));
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        e->rcpt[i].route_index = (uint8_t)draw(2);
        e->rcpt[i].address = bytes_of(memory[i], put_address(memory[i]));
    }
}

/* --- the equality ---------------------------------------------------------------------------- */

static enum outcome class_of(const void *ctx, unsigned rcpt)
{
    static const enum outcome classes[] = {OUTCOME_NONE, OUTCOME_POLICY, OUTCOME_SIZE};
    const uint32_t *first = ctx;
    return classes[(*first + rcpt / 40) % 3];
}

static uint32_t ask_line_now(const struct select_facts *facts)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < line.count; i++) {
        struct rcptset mask;
        if (!select_needs_envelope(&line.select[i]) &&
            select_match_facts(&line.select[i], facts, &mask) == SELECT_YES &&
            (best == 0 || line.id[i] < best)) {
            best = line.id[i];
        }
    }
    return best;
}

static void check_now(size_t *matches)
{
    static const char *const routes[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"};
    static const char *const hops[] = {"h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7"};
    uint32_t first = draw(3);
    struct select_facts facts = {
        .id = id_make(1, draw(8), draw(2)),
        .route_name = routes[draw(8)],
        .hop_name = hops + draw(4),
        .hop_count = draw(4),
        .held_rule = draw(4),
        .age_ms = draw(3) * 60000,
        .state = (enum delivery_state)draw(DELIVERY_STATE_COUNT),
        .class_of = class_of,
        .ctx = &first,
    };
    unsigned rcpts = draw(3) == 0 ? 1 + draw(LIMIT_RCPTS) : 1;
    for (unsigned i = 0; i < rcpts; i++) {
        if (draw(8) > 0) {
            rcptset_add(&facts.pending, i);
        }
        if (rcptset_has(&facts.pending, i) && draw(3) == 0) {
            rcptset_add(&facts.frozen, i);
        }
    }
    uint32_t want = ask_line_now(&facts);
    cr_assert_eq(book_match_now(book, &facts), want);
    *matches += want != 0;
}

static void check_all(size_t rounds, size_t *matches_envelope, size_t *matches_now)
{
    char memory[9][64];
    struct envelope e;
    for (size_t i = 0; i < rounds; i++) {
        struct rcptset pending = rcptset_first(8);
        random_envelope(&e, memory);
        if (draw(3) == 0) {
            pending.word[0] = draw(256);
        }
        check_envelope(&e, draw(2), &pending, matches_envelope);
        check_now(matches_now);
    }
}

Test(rulebook, answers_as_the_rules_one_by_one)
{
    size_t matches_envelope = 0;
    size_t matches_now = 0;
    uint32_t id = 0;
    for (int round = 0; round < 400; round++) {
        uint32_t wanted = draw(60);
        while (line.count > wanted) {
            drop(draw(line.count));
        }
        while (line.count < wanted) {
            add_random(++id);
        }
        check_all(40, &matches_envelope, &matches_now);
    }
    cr_assert_gt(matches_envelope, 20000); /* the test must match often enough to mean something */
    cr_assert_gt(matches_now, 4000);
    while (line.count > 0) {
        drop(0);
    }
    cr_assert_eq(book_envelope_count(book), 0);
    check_all(10, &matches_envelope, &matches_now);
}

Test(rulebook, as_many_rules_as_there_may_be)
{
    size_t matches_envelope = 0;
    size_t matches_now = 0;
    for (uint32_t id = 1; id <= LIMIT_RULES; id++) {
        add_random(UINT32_MAX - id * 7);
    }
    check_all(2000, &matches_envelope, &matches_now);
    cr_assert_gt(matches_envelope, 10000);
    cr_assert_gt(matches_now, 1000);
    for (int i = 0; i < 300; i++) { /* the memory of removed rules is used again */
        drop(draw(line.count));
        add_random((uint32_t)i + 1);
    }
    check_all(1000, &matches_envelope, &matches_now);
}

/* --- shapes one by one ----------------------------------------------------------------------- */

static bool meets(const char *sender, const char *rcpt)
{
    static uint32_t id[LIMIT_RULES];
    struct envelope e = {.sender = bytes_str(sender), .rcpt_count = 1};
    struct rcptset pending = rcptset_first(1);
    e.rcpt[0].address = bytes_str(rcpt);
    size_t matches = 0;
    check_envelope(&e, 0, &pending, &matches);
    return book_match_envelope(book, &e, 0, &pending, id, LIMIT_RULES) > 0;
}

Test(rulebook, each_shape_is_found)
{
    static const struct {
        const char *term;
        const char *sender;
        const char *rcpt;
    } cases[] = {
        {"sender=A@b.example", "a@B.example", "x@y"},
        {"sender=<>", "", "x@y"},
        {"sender=", "", "x@y"},
        {"sender=*", "", "x@y"},
        {"sender=*@b.example", "q@B.EXAMPLE", "x@y"},
        {"sender=a*@b.example", "abc@b.example", "x@y"},
        {"sender=*@c@b.example", "a@c@b.example", "x@y"},
        {"sender=*@", "a@", "x@y"},
        {"sender=*abc*", "1abc2", "x@y"},
        {"sender=*ABC", "xabc", "x@y"},
        {"sender=abc*", "Abcx", "x@y"},
        {"sender=*a*b*c*", "1a2b3c", "x@y"},
        {"sender=ab*", "ab", "x@y"},
        {"rcpt=x@y", "a@b", "X@Y"},
        {"rcpt=*@y", "a@b", "x@y"},
        {"rcpt=*xyz*@*", "a@b", "wxyz@y"},
        {"rcpt=*z", "a@b", "x@z"},
        {"domain=y.example", "a@b", "x@Y.example"},
        {"domain=Y", "a@b", "y"},
        {"domain=*.example", "a@b", "x@y.example"},
        {"domain=*y*", "a@b", "x@aya"},
        {"domain=*y", "a@b", "x@ay"},
        {"domain=y*", "a@b", "x@Ya"},
        {"domain=y*z", "a@b", "yz"},
        {"domain=*", "a@b", "x@"},
        {"rcpt=x*", "a@b", "X@"},
        {"rcpt=*z@", "a@b", "xz@"},
        {"rcpt=*q*w*", "a@b", "x@QyW"},
        {"rcpt=*qw*", "a@b", "qWx@y"},
        {"rcpt=**q**", "a@b", "x@y.q"},
        {"rcpt=*q*q", "a@b", "qx@q"},
        {"sender=q*w", "q@W", "x@y"},
        {"sender=*\002*", "a\002@b", "x@y"}, /* as the mark of an end */
        {"sender=*b\003*", "ab\003@b", "x@y"},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_not(meets(cases[i].sender, cases[i].rcpt), "%s", cases[i].term);
        add(i + 1, cases[i].term);
        cr_assert(meets(cases[i].sender, cases[i].rcpt), "%s", cases[i].term);
        cr_assert_eq(book_envelope_count(book), 1);
        (void)meets("nobody@nowhere.test", "no@where.test");
        drop(0);
        cr_assert_not(meets(cases[i].sender, cases[i].rcpt), "%s", cases[i].term);
    }
}

/* What two characters and less in a row tell apart, with terms for both sides. */
static void add_short(uint32_t id)
{
    static const char *const shapes[] = {"%c*",      "*%c",       "*%c*",     "*%c*%c*",
                                         "%c%c*%c",  "*%c%c",     "*%c%c*%c", "*%c*%c%c*",
                                         "%c*%c*%c", "*%c*%c*%c*"};
    char text[2][80];
    const char *term[2] = {text[0], text[1]};
    size_t count = 1 + (draw(4) == 0);
    for (size_t i = 0; i < count; i++) {
        static const char *const prefixes[] = {"rcpt=", "rcpt=", "domain=", "sender="};
        static const char letters[] = "abcABn.@-*9x";
        char pattern[64];
        char c[3];
        for (int at = 0; at < 3; at++) {
            c[at] = letters[draw(sizeof letters - 1)];
        }
        snprintf(pattern, sizeof pattern, shapes[draw(sizeof shapes / sizeof shapes[0])], c[0],
                 c[1], c[2]);
        snprintf(text[i], sizeof text[i], "%s%s", prefixes[draw(4)], pattern);
    }
    add_terms(id, term, count);
}

Test(rulebook, patterns_without_three_characters_in_a_row)
{
    size_t matches_envelope = 0;
    size_t matches_now = 0;
    uint32_t id = 0;
    for (int round = 0; round < 200; round++) {
        uint32_t wanted = draw(round % 10 == 0 ? LIMIT_RULES : 40);
        while (line.count > wanted) {
            drop(draw(line.count));
        }
        while (line.count < wanted) {
            add_short(++id);
        }
        check_all(40, &matches_envelope, &matches_now);
    }
    cr_assert_gt(matches_envelope, 50000);
    cr_assert_eq(matches_now, 0);
}

/* Long addresses of few letters have each key many times; the longest has room for its marks. */
Test(rulebook, addresses_as_long_as_they_may_be)
{
    static char memory[3][LIMIT_ADDRESS_BYTES];
    size_t matches = 0;
    for (uint32_t id = 1; id <= 300; id++) {
        add_short(id);
    }
    for (int round = 0; round < 1000; round++) {
        struct envelope e = {.rcpt_count = 2};
        struct rcptset pending = rcptset_first(2);
        for (int i = 0; i < 3; i++) {
            size_t len = LIMIT_ADDRESS_BYTES - draw(2) * draw(LIMIT_ADDRESS_BYTES);
            for (size_t at = 0; at < len; at++) {
                memory[i][at] = "aAbBcn9@"[draw(round % 2 == 0 ? 7 : 8)];
            }
            *(i == 2 ? &e.sender : &e.rcpt[i].address) = bytes_of(memory[i], len);
        }
        check_envelope(&e, 0, &pending, &matches);
    }
    cr_assert_gt(matches, 10000);
}

/* The domain of the recipient before is not asked for again: nothing may be missed by that. */
Test(rulebook, recipients_that_share_a_domain)
{
    static const char *const patterns[] = {"rcpt=*b@c*", "rcpt=*@dd*", "rcpt=*dd.e*",
                                           "rcpt=*zz@*", "rcpt=d.d@*", "rcpt=*@d.e"};
    static const char *const addresses[] = {"a@dd.example", "bb@dd.example", "zzz@dd.example",
                                            "b@c.d",        "ab@c.d",        "d.d@d.e",
                                            "q@d.e",        "zz@d.e",        "dd.example"};
    size_t matches = 0;
    for (uint32_t i = 0; i < 6; i++) {
        add(i + 1, patterns[i]);
    }
    for (int round = 0; round < 3000; round++) {
        struct envelope e = {.rcpt_count = 3};
        struct rcptset pending = {{1 + draw(7)}};
        for (int i = 0; i < 3; i++) {
            e.rcpt[i].address = bytes_str(addresses[draw(9)]);
        }
        check_envelope(&e, 0, &pending, &matches);
    }
    cr_assert_gt(matches, 1000);
}

Test(rulebook, the_lowest_id_holds)
{
    size_t matches = 0;
    add(9, "all");
    add(5, "route=r1");
    add(7, "hop=h1");
    add(3, "age>1h");
    add(1, "sender=*");
    for (int i = 0; i < 2000; i++) {
        check_now(&matches);
    }
    cr_assert_gt(matches, 1000);
}
