/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/select.c: the words of a selection. See select.h; select_match.c matches them. */
#include "control/core/select.h"

#include "common/id.h"
#include "common/limits/rules.h"

static const struct {
    const char *prefix;
    enum select_key key;
} keys[] = {
    {"id=", SELECT_ID},     {"route=", SELECT_ROUTE},   {"domain=", SELECT_DOMAIN},
    {"rcpt=", SELECT_RCPT}, {"sender=", SELECT_SENDER}, {"class=", SELECT_CLASS},
    {"hop=", SELECT_HOP},   {"state=", SELECT_STATE},   {"rule=", SELECT_RULE},
    {"age>", SELECT_OLDER}, {"age<", SELECT_YOUNGER},
};

const char *select_key_prefix(enum select_key key)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].key == key) {
            return keys[i].prefix;
        }
    }
    return "all";
}

/* Reads digits up to `most`. Returns what is behind them, NULL when there are none or too many. */
static const char *read_number(const char *text, uint64_t most, uint64_t *number_out)
{
    uint64_t n = 0;
    assert(most <= UINT64_MAX / 10 - 9);
    if (*text < '0' || *text > '9') {
        return NULL;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        n = n * 10 + (uint64_t)(*text - '0');
        if (n > most) {
            return NULL;
        }
    }
    assert(n <= most);
    *number_out = n;
    return text;
}

static uint64_t unit_ms(const char *unit)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].text) == 0) {
            return units[i].ms;
        }
    }
    return 0;
}

bool select_parse_duration(const char *text, uint64_t *ms_out)
{
    uint64_t n;
    const char *unit = read_number(text, UINT64_C(1) << 32, &n);
    uint64_t ms = unit == NULL ? 0 : unit_ms(unit);
    if (ms == 0) {
        return false;
    }
    assert(n <= UINT64_MAX / ms);
    *ms_out = n * ms;
    return true;
}

static bool parse_rule(const char *text, uint64_t *number_out)
{
    const char *end = read_number(text, UINT32_MAX, number_out);
    return end != NULL && *end == '\0' && *number_out > 0;
}

static bool parse_class(const char *text, uint64_t *number_out)
{
    enum outcome class;
    if (!outcome_parse(text, &class)) {
        return false;
    }
    assert(outcome_valid(class));
    *number_out = class;
    return true;
}

static bool parse_state(const char *text, uint64_t *number_out)
{
    for (int i = 0; i < DELIVERY_STATE_COUNT; i++) {
        if (strcmp(delivery_state_text((enum delivery_state)i), text) == 0) {
            *number_out = (uint64_t)i;
            return true;
        }
    }
    return false;
}

static bool parse_value(struct select_term *term)
{
    switch (term->key) {
    case SELECT_ID:
        return id_parse(term->text, &term->number);
    case SELECT_CLASS:
        return parse_class(term->text, &term->number);
    case SELECT_STATE:
        return parse_state(term->text, &term->number);
    case SELECT_RULE:
        return parse_rule(term->text, &term->number);
    case SELECT_OLDER:
    case SELECT_YOUNGER:
        return select_parse_duration(term->text, &term->number);
    case SELECT_ROUTE:
    case SELECT_DOMAIN:
    case SELECT_RCPT:
    case SELECT_HOP:
        return term->text[0] != '\0';
    case SELECT_SENDER:
    case SELECT_ALL:
        return true;
    }
    assert(false);
    return false;
}

static bool parse_term(const char *text, struct select_term *term)
{
    *term = (struct select_term){.key = SELECT_ALL};
    if (strcmp(text, "all") == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        size_t len = strlen(keys[i].prefix);
        if (strncmp(text, keys[i].prefix, len) == 0 && strlen(text + len) < SELECT_TEXT_SIZE) {
            term->key = keys[i].key;
            bytes_copy_str(bytes_str(text + len), term->text, sizeof term->text);
            return parse_value(term);
        }
    }
    return false;
}

/* The values there are, where a person cannot know them all by heart. */
static void add_known(struct text *error, enum select_key key)
{
    uint64_t count = key == SELECT_CLASS   ? (uint64_t)OUTCOME_COUNT
                     : key == SELECT_STATE ? (uint64_t)DELIVERY_STATE_COUNT
                                           : 0;
    for (uint64_t i = 0; i < count; i++) {
        text_append(error, i == 0 ? " (there are: " : ", ");
        text_append(error, key == SELECT_CLASS ? outcome_text((enum outcome)i)
                                               : delivery_state_text((enum delivery_state)i));
    }
    text_append(error, count > 0 ? ")" : "");
}

bool select_parse_terms(const char *const *term, size_t count, struct select *select,
                        char error[SELECT_ERROR_SIZE])
{
    struct text said = text_of(error, SELECT_ERROR_SIZE);
    *select = (struct select){0};
    if (count > LIMIT_SELECT_TERMS) {
        text_append(&said, "select: at most ");
        text_append_number(&said, LIMIT_SELECT_TERMS);
        text_append(&said, " terms");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!parse_term(term[i], &select->term[i])) {
            text_append(&said, "not a selection: ");
            text_append_first(&said, term[i], 64);
            add_known(&said, select->term[i].key);
            return false;
        }
        select->count++;
    }
    assert(select->count == count && count <= LIMIT_SELECT_TERMS && said.len == 0);
    return true;
}

bool select_has(const struct select *select, enum select_key key)
{
    assert(select->count <= LIMIT_SELECT_TERMS);
    for (uint32_t i = 0; i < select->count; i++) {
        if (select->term[i].key == key) {
            return true;
        }
    }
    return false;
}

uint64_t select_number(const struct select *select, enum select_key key)
{
    assert(select->count <= LIMIT_SELECT_TERMS);
    for (uint32_t i = 0; i < select->count; i++) {
        if (select->term[i].key == key) {
            return select->term[i].number;
        }
    }
    return 0;
}

bool select_key_is_envelope(enum select_key key)
{
    return key == SELECT_DOMAIN || key == SELECT_RCPT || key == SELECT_SENDER;
}

bool select_needs_envelope(const struct select *select)
{
    assert(select->count <= LIMIT_SELECT_TERMS);
    for (uint32_t i = 0; i < select->count; i++) {
        if (select_key_is_envelope(select->term[i].key)) {
            return true;
        }
    }
    return false;
}

bool select_is_fixed(const struct select *select)
{
    /* domain= and rcpt= ask for recipients not yet delivered: those only become fewer. hop= can
     * change with a reload. */
    return !select_has(select, SELECT_CLASS) && !select_has(select, SELECT_HOP) &&
           !select_has(select, SELECT_STATE) && !select_has(select, SELECT_RULE) &&
           !select_has(select, SELECT_OLDER) && !select_has(select, SELECT_YOUNGER);
}
