/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/rules.c: what the rules cost a message: an envelope in memory is judged by the index of the
 * rules, and by trying each rule in turn.
 *
 * Promise: nothing else is in the figures. Both ways judge the same envelopes in turns, and the
 *          first envelopes of each line are compared: answers that differ end the benchmark.
 *          Rounds are short, so that in most of them nobody else has the processor.
 * Trap:    rules and envelopes stay in the processor's caches, and it learns their branches: with
 *          little mail a message costs more. "each in turn" judges fewer messages, since it is
 *          slow. */
#include "bench/bench.h"

#include "control/core/rulebook.h"
#include "common/limits/address.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS_MAX = 99, ENVELOPES_MAX = 256, CHECKED = 16, TEXT_SIZE = LIMIT_ADDRESS_BYTES + 1 };

enum { RULES, MESSAGES, ENVELOPES, ROUNDS, SEED };

static struct bench_option option[] = {
    [RULES] = {"rules", "of each kind", LIMIT_RULES, 1, LIMIT_RULES, NULL},
    [MESSAGES] = {"messages", "in each round; a message of 128 recipients stands for 128", 4000, 1,
                  100000000, NULL},
    [ENVELOPES] = {"envelopes", "so many different ones", ENVELOPES_MAX, 1, ENVELOPES_MAX, NULL},
    [ROUNDS] = {"rounds", "of each line, after one to warm up", 31, 1, ROUNDS_MAX, NULL},
    [SEED] = {"seed", "of the names", 1, 1, UINT32_MAX, NULL},
    {NULL},
};

/* --- names at random ------------------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % below);
}

static const char *first_name(void)
{
    static const char *const names[] = {"anna",  "bernd",  "carla",  "david",  "eva",    "felix",
                                        "greta", "hannes", "ines",   "jonas",  "katrin", "lukas",
                                        "maria", "nils",   "olivia", "philipp"};
    return names[draw(sizeof names / sizeof names[0])];
}

static const char *last_name(void)
{
    static const char *const names[] = {
        "schmidt", "huber",  "nowak",   "okafor", "lindqvist", "moreau",   "rossi",  "chen",
        "ivanova", "yilmaz", "fischer", "becker", "jung",      "kowalski", "winter", "zimmermann"};
    return names[draw(sizeof names / sizeof names[0])];
}

static const char *campus_domain(void)
{
    static const char *const domains[] = {"campus.example",          "students.campus.example",
                                          "students.campus.example", "staff.campus.example",
                                          "physics.campus.example",  "law.campus.example",
                                          "med.campus.example",      "lists.campus.example"};
    return domains[draw(sizeof domains / sizeof domains[0])];
}

static void put_rcpt(char out[TEXT_SIZE])
{
    switch (draw(3)) {
    case 0:
        snprintf(out, TEXT_SIZE, "s%07u@students.campus.example", draw(60000));
        return;
    case 1:
        snprintf(out, TEXT_SIZE, "%s%u@%s", last_name(), draw(100), campus_domain());
        return;
    default:
        snprintf(out, TEXT_SIZE, "%s.%s@%s", first_name(), last_name(), campus_domain());
        return;
    }
}

static void put_sender(char out[TEXT_SIZE])
{
    switch (draw(8)) {
    case 0:
        out[0] = '\0'; /* a bounce */
        return;
    case 1:
    case 2:
        snprintf(out, TEXT_SIZE, "bounce-%u-%u@list%u.example.net", draw(1000000), draw(1000000),
                 5000 + draw(5000));
        return;
    case 3:
    case 4:
        snprintf(out, TEXT_SIZE, "News@shop%u.example.com", draw(5000));
        return;
    default:
        snprintf(out, TEXT_SIZE, "%s.%s@partner%u.example.org", first_name(), last_name(),
                 draw(500));
        return;
    }
}

static char letter(void)
{
    return "abcdefghijklmnopqrstuvwxyz0123456789"[draw(36)];
}

/* --- rules ----------------------------------------------------------------------------------- */

enum kind { EXACT_SENDER, SENDER_DOMAIN, EXACT_RCPT, RCPT_GLOB, RCPT_SHORT, MIXED, KIND_COUNT };

static const struct {
    const char *key; /* of the figures */
    const char *title;
} kinds[KIND_COUNT] = {
    [EXACT_SENDER] = {"sender", "sender=a@b.example"},
    [SENDER_DOMAIN] = {"sender_domain", "sender=*@b.example"},
    [EXACT_RCPT] = {"rcpt", "rcpt=a@b.example"},
    [RCPT_GLOB] = {"rcpt_glob", "rcpt=*abc*"},
    [RCPT_SHORT] = {"rcpt_short", "rcpt=*ab*c*"},
    [MIXED] = {"mixed", "all of these"},
};

typedef char term_text[TEXT_SIZE + 16];

static void put_glob(uint32_t number, term_text out)
{
    switch (number % 4) {
    case 0:
        snprintf(out, sizeof(term_text), "rcpt=s%05u*@students.campus.example", number);
        return;
    case 1:
        snprintf(out, sizeof(term_text), "rcpt=*-group%u@*", number);
        return;
    case 2:
        snprintf(out, sizeof(term_text), "rcpt=%s*%s%u*", first_name(), last_name(), number);
        return;
    default:
        snprintf(out, sizeof(term_text), "rcpt=%s*@lab%u.*.example", last_name(), number);
        return;
    }
}

/* A term that has no three fixed characters in a row. */
static void put_short(uint32_t number, term_text out)
{
    char a = letter();
    char b = letter();
    char c = letter();
    char d = letter();
    switch (number % 4) {
    case 0:
        snprintf(out, sizeof(term_text), "rcpt=%c%c*%c%c@*", a, b, c, d);
        out[10] = '*'; /* "d@" would be a third one */
        return;
    case 1:
        snprintf(out, sizeof(term_text), "rcpt=*%c%c*%c*", a, b, c);
        return;
    case 2:
        snprintf(out, sizeof(term_text), "rcpt=%c*%c*%c%c*", a, b, c, d);
        return;
    default:
        snprintf(out, sizeof(term_text), "rcpt=*%c*%c*%c*%c*%c*", a, b, c, d, letter());
        return;
    }
}

static size_t put_rule(enum kind kind, uint32_t number, term_text term[2])
{
    switch (kind) {
    case EXACT_SENDER:
        snprintf(term[0], sizeof term[0], "sender=%s.%s.%u@partner%u.example.org", first_name(),
                 last_name(), number, draw(500));
        return 1;
    case SENDER_DOMAIN:
        snprintf(term[0], sizeof term[0], "sender=*@list%u.example.net", number);
        return 1;
    case EXACT_RCPT:
        snprintf(term[0], sizeof term[0], "rcpt=s9%06u@students.campus.example", number);
        return 1;
    case RCPT_GLOB:
        put_glob(number, term[0]);
        return 1;
    case RCPT_SHORT:
        put_short(number, term[0]);
        return 1;
    case MIXED:
    case KIND_COUNT:
        break;
    }
    size_t count = put_rule((enum kind)(number % MIXED), number / MIXED, term);
    if (number % 7 == 0) {
        snprintf(term[1], sizeof term[1], draw(2) == 0 ? "domain=*.campus.example" : "rcpt=*s*");
        count = 2;
    }
    return count;
}

static struct select selection[LIMIT_RULES];
static uint32_t rule_count;

static struct book *make_rules(enum kind kind)
{
    const struct siphash_key key = {.k0 = option[SEED].number, .k1 = 1};
    struct book *book = book_create(&key);
    rule_count = (uint32_t)option[RULES].number;
    for (uint32_t i = 0; i < rule_count; i++) {
        char error[SELECT_ERROR_SIZE];
        term_text text[2];
        size_t count = put_rule(kind, i, text);
        const char *const term[2] = {text[0], text[1]};
        bool good = select_parse_terms(term, count, &selection[i], error);
        assert(good);
        book_add(book, i + 1, &selection[i]);
    }
    return book;
}

/* --- envelopes ------------------------------------------------------------------------------- */

static struct envelope envelope[ENVELOPES_MAX];
static char sender_text[ENVELOPES_MAX][TEXT_SIZE];
static char rcpt_text[ENVELOPES_MAX][LIMIT_RCPTS][TEXT_SIZE];

/* An address of the campus that matches the pattern: each star becomes some characters. */
static void put_match(const char *pattern, char out[TEXT_SIZE])
{
    struct text text = text_of(out, TEXT_SIZE);
    const char *last = strrchr(pattern, '*');
    for (; *pattern != '\0'; pattern++) {
        if (pattern == last && strchr(out, '@') == NULL) {
            text_append(&text, "@");
            text_append(&text, campus_domain());
        } else {
            text_append_first(&text, *pattern == '*' ? first_name() : pattern,
                              *pattern == '*' ? 2 : 1);
        }
    }
}

/* Changes the envelope so that it meets that rule: by its sender, or by its last recipient. */
static void meet(unsigned at, const struct select *select)
{
    struct envelope *e = &envelope[at];
    for (uint32_t i = select->count; i-- > 0;) { /* the first term is the narrow one */
        if (select->term[i].key == SELECT_SENDER) {
            put_match(select->term[i].text, sender_text[at]);
            e->sender = bytes_str(sender_text[at]);
        } else if (select->term[i].key == SELECT_RCPT) {
            put_match(select->term[i].text, rcpt_text[at][e->rcpt_count - 1]);
            e->rcpt[e->rcpt_count - 1].address = bytes_str(rcpt_text[at][e->rcpt_count - 1]);
        }
    }
}

static void make_envelopes(unsigned rcpts, bool met)
{
    assert(rcpts <= LIMIT_RCPTS);
    for (unsigned i = 0; i < option[ENVELOPES].number; i++) {
        put_sender(sender_text[i]);
        envelope[i].sender = bytes_str(sender_text[i]);
        envelope[i].rcpt_count = (uint16_t)rcpts;
        for (unsigned r = 0; r < rcpts; r++) {
            put_rcpt(rcpt_text[i][r]);
            envelope[i].rcpt[r].address = bytes_str(rcpt_text[i][r]);
        }
        if (met) {
            meet(i, &selection[draw(rule_count)]);
        }
    }
}

/* --- judging --------------------------------------------------------------------------------- */

typedef size_t (*judge_fn)(const struct book *book, const struct envelope *e,
                           const struct rcptset *pending, uint32_t id[LIMIT_RULES]);

static size_t by_book(const struct book *book, const struct envelope *e,
                      const struct rcptset *pending, uint32_t id[LIMIT_RULES])
{
    return book_match_envelope(book, e, 0, pending, id, LIMIT_RULES);
}

static size_t in_turn(const struct book *book, const struct envelope *e,
                      const struct rcptset *pending, uint32_t id[LIMIT_RULES])
{
    size_t count = 0;
    (void)book;
    for (uint32_t i = 0; i < rule_count; i++) {
        struct rcptset mask = *pending;
        if (select_match_envelope(&selection[i], e, 0, &mask)) {
            id[count++] = i + 1;
        }
    }
    return count;
}

/* Returns the CPU time per message in ns; time of other processes is not in it. */
static double round_of(judge_fn judge, const struct book *book, unsigned rcpts, uint64_t messages)
{
    const struct rcptset pending = rcptset_first(rcpts);
    uint32_t id[LIMIT_RULES];
    unsigned at = 0;
    uint64_t ns = bench_thread_cpu_ns();
    for (uint64_t i = 0; i < messages; i++) {
        (void)judge(book, &envelope[at], &pending, id);
        at = at + 1 < option[ENVELOPES].number ? at + 1 : 0;
    }
    return (double)(bench_thread_cpu_ns() - ns) / (double)messages;
}

/* Checks that both ways give the same answers. Returns how many rules a message meets. */
static double compare(const struct book *book, unsigned rcpts)
{
    const struct rcptset pending = rcptset_first(rcpts);
    static uint32_t want[LIMIT_RULES];
    static uint32_t have[LIMIT_RULES];
    uint64_t met = 0;
    for (unsigned i = 0; i < option[ENVELOPES].number; i++) {
        size_t count = by_book(book, &envelope[i], &pending, have);
        met += count;
        if (i < CHECKED) {
            size_t wanted = in_turn(book, &envelope[i], &pending, want);
            assert(count == wanted && memcmp(have, want, count * sizeof have[0]) == 0);
        }
    }
    return (double)met / (double)option[ENVELOPES].number;
}

/* --- the table ------------------------------------------------------------------------------- */

struct result {
    double book_ns;
    double turn_ns;
};

static struct result measure(const struct book *book, unsigned rcpts)
{
    static double sample[2][ROUNDS_MAX];
    uint64_t rounds = option[ROUNDS].number;
    uint64_t messages = (option[MESSAGES].number + rcpts - 1) / rcpts;
    for (uint64_t i = 0; i <= rounds; i++) { /* the first is to warm up, and is written over */
        size_t at = i == 0 ? 0 : (size_t)i - 1;
        sample[0][at] = round_of(by_book, book, rcpts, messages);
        sample[1][at] = round_of(in_turn, book, rcpts, (messages + 63) / 64);
    }
    return (struct result){bench_median(sample[0], (size_t)rounds),
                           bench_median(sample[1], (size_t)rounds)};
}

static struct result result[KIND_COUNT][2][2]; /* by number of recipients, by whether rules match */
static const unsigned rcpt_counts[2] = {1, LIMIT_RCPTS};
static const char *const mails[2] = {"any", "met"};

static void measure_kind(enum kind kind)
{
    struct book *book = make_rules(kind);
    for (int many = 0; many < 2; many++) {
        for (int met = 0; met < 2; met++) {
            make_envelopes(rcpt_counts[many], met == 1);
            double rules_met = compare(book, rcpt_counts[many]);
            struct result r = measure(book, rcpt_counts[many]);
            printf("%-20s %10u %5s %10.2f %12.0f %14.0f %8.0f\n", kinds[kind].title,
                   rcpt_counts[many], mails[met], rules_met, r.book_ns, r.turn_ns,
                   r.turn_ns / r.book_ns);
            fflush(stdout);
            result[kind][many][met] = r;
        }
    }
    book_destroy(book);
}

static void report(void)
{
    double worst[2] = {0, 0};
    printf("rules=%" PRIu64, option[RULES].number);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        for (int many = 0; many < 2; many++) {
            for (int met = 0; met < 2; met++) {
                double ns = result[kind][many][met].book_ns;
                printf(" %s_%u_%s_ns=%.0f", kinds[kind].key, rcpt_counts[many], mails[met], ns);
                worst[many] = ns > worst[many] ? ns : worst[many];
            }
        }
    }
    printf(" worst_1_ns=%.0f worst_%d_ns=%.0f\n", worst[0], LIMIT_RCPTS, worst[1]);
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, option);
    bench_settings_print(option);
    random_state = UINT64_C(88172645463325252) ^ option[SEED].number << 32;
    printf("%-20s %10s %5s %10s %12s %14s %8s\n", "rules", "recipients", "mail", "rules met",
           "rulebook ns", "each in turn", "ratio");
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        measure_kind((enum kind)kind);
    }
    report();
    return 0;
}
