/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/terms.c: the terms of a selection, checked before control is asked.
 *
 * Promise: a misspelled key, class, state, number or duration is refused here, and the error names
 *          what is possible. Control checks the names of routes and hops.
 * Trap:    without quotes, age>15m makes the shell write a file. older=15m means the same.
 */
#include "control/cli/cli.h"

#include "common/outcome.h"

#include <stdlib.h>
#include <string.h>

const struct term cli_terms[] = {
#define TERM(prefix, sent, kind, value, help) {prefix, sent, TERM_##kind, value, help},
#include "control/cli/terms.def"
#undef TERM
};
const size_t cli_term_count = sizeof cli_terms / sizeof cli_terms[0];

const char *terms_word(enum term_kind kind, size_t i)
{
    static const char *const states[] = {"waiting", "in_flight", "frozen", "held", "orphan"};
    switch (kind) {
    case TERM_CLASS:
        return i < OUTCOME_COUNT ? outcome_text((enum outcome)i) : NULL;
    case TERM_STATE:
        return i < sizeof states / sizeof states[0] ? states[i] : NULL;
    case TERM_TEXT:
    case TERM_ROUTE:
    case TERM_HOP:
    case TERM_RULE:
    case TERM_DURATION:
        return NULL;
    }
    assert(!"a kind of term without words");
    return NULL;
}

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 10 && text[digits] == '\0';
}

static bool is_duration(const char *text)
{
    static const char *const units[] = {"ms", "s", "m", "h", "d"};
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; digits > 0 && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + digits, units[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Returns NULL when the value is good, else what a good value is. */
static const char *check_value(enum term_kind kind, const char *value, char words[CLI_TEXT_SIZE])
{
    switch (kind) {
    case TERM_CLASS:
    case TERM_STATE:
        words[0] = '\0';
        for (size_t i = 0, len = 0; terms_word(kind, i) != NULL; i++) {
            if (strcmp(terms_word(kind, i), value) == 0) {
                return NULL;
            }
            len += (size_t)snprintf(words + len, CLI_TEXT_SIZE - len, "%s%s", i == 0 ? "" : ", ",
                                    terms_word(kind, i));
            assert(len < CLI_TEXT_SIZE); /* the lists are ours */
        }
        return words;
    case TERM_RULE:
        return is_number(value) ? NULL : "a number (holdfast rules shows them)";
    case TERM_DURATION:
        return is_duration(value) ? NULL : "such as 90s, 15m, 2h, 7d";
    case TERM_TEXT:
    case TERM_ROUTE:
    case TERM_HOP:
        return value[0] == '\0' ? "something behind the =" : NULL;
    }
    assert(!"a kind of term without a check");
    return NULL;
}

static void say_keys(const struct cli *cli, const char *text)
{
    char keys[CLI_TEXT_SIZE] = "";
    size_t len = 0;
    for (size_t i = 0; i < cli_term_count; i++) {
        const char *quote = strpbrk(cli_terms[i].prefix, "<>") == NULL ? "" : "'";
        len += (size_t)snprintf(keys + len, sizeof keys - len, "%s%s%s ", quote,
                                cli_terms[i].prefix, quote);
        assert(len < sizeof keys);
    }
    cli_fail(cli, CLI_EXIT_USAGE, "%s: not a selection (%sall)", text, keys);
}

/* The term as control reads it. Says what is wrong and returns NULL when it is not good. */
static json_t *make_term(const struct cli *cli, const char *text)
{
    char words[CLI_TEXT_SIZE];
    if (strcmp(text, "all") == 0) {
        return json_string(text);
    }
    for (size_t i = 0; i < cli_term_count; i++) {
        const struct term *term = &cli_terms[i];
        size_t len = strlen(term->prefix);
        if (strncmp(text, term->prefix, len) != 0) {
            continue;
        }
        const char *right = check_value(term->kind, text + len, words);
        if (right != NULL) {
            cli_fail(cli, CLI_EXIT_USAGE, "%s: it must be %s%s", text,
                     right == words ? "one of " : "", right);
            return NULL;
        }
        char sent[CLI_TEXT_SIZE];
        int sent_len = snprintf(sent, sizeof sent, "%s%s", term->sent, text + len);
        json_t *json = sent_len < (int)sizeof sent ? json_string(sent) : NULL;
        if (json == NULL) {
            cli_fail(cli, CLI_EXIT_USAGE, "%.80s...: too long, or not UTF-8 text", text);
        }
        return json;
    }
    say_keys(cli, text);
    return NULL;
}

json_t *terms_select(const struct cli *cli, const struct args *args, size_t first)
{
    json_t *select = json_array();
    if (args->operand_count > first + CLI_TERMS_MAX) {
        cli_fail(cli, CLI_EXIT_USAGE, "too many terms (%d at most)", CLI_TERMS_MAX);
        json_decref(select);
        return NULL;
    }
    for (size_t i = first; i < args->operand_count; i++) {
        json_t *term = make_term(cli, args->operand[i]);
        if (term == NULL) {
            json_decref(select);
            return NULL;
        }
        json_array_append_new(select, term);
    }
    return select;
}
