/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/select.c: parsing and matching selections. See select.h. */
#include "control/core/select.h"

#include "control/core/index.h"
#include "control/core/rules.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *prefix;
    enum select_key key;
} keys[] = {
    {"id=", SELECT_ID},     {"route=", SELECT_ROUTE},   {"domain=", SELECT_DOMAIN},
    {"rcpt=", SELECT_RCPT}, {"sender=", SELECT_SENDER}, {"class=", SELECT_CLASS},
    {"hop=", SELECT_HOP},   {"state=", SELECT_STATE},   {"rule=", SELECT_RULE},
    {"age>", SELECT_OLDER}, {"age<", SELECT_YOUNGER},
};

bool select_parse_duration(const char *text, uint64_t *ms_out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long long n = strtoull(text, &end, 10);
    uint64_t unit_ms = 0;
    if (strcmp(end, "ms") == 0) {
        unit_ms = 1;
    } else if (end[0] != '\0' && end[1] == '\0') {
        unit_ms = *end == 's'   ? 1000u
                  : *end == 'm' ? 60000u
                  : *end == 'h' ? 3600000u
                  : *end == 'd' ? 86400000u
                                : 0u;
    }
    if (unit_ms == 0 || n > UINT64_C(1) << 32) {
        return false;
    }
    *ms_out = n * unit_ms;
    return true;
}

static bool parse_number(const char *text, uint64_t most, uint64_t *number_out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long long n = strtoull(text, &end, 10);
    *number_out = n;
    return *end == '\0' && n <= most;
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
    enum outcome class;
    switch (term->key) {
    case SELECT_ID:
        return id_parse(term->text, &term->number);
    case SELECT_CLASS:
        if (!outcome_parse(term->text, &class)) {
            return false;
        }
        term->number = class;
        return true;
    case SELECT_STATE:
        return parse_state(term->text, &term->number);
    case SELECT_RULE:
        return parse_number(term->text, UINT32_MAX, &term->number) && term->number > 0;
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
    if (strcmp(text, "all") == 0) {
        *term = (struct select_term){.key = SELECT_ALL};
        return true;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        size_t len = strlen(keys[i].prefix);
        if (strncmp(text, keys[i].prefix, len) == 0 && strlen(text + len) < SELECT_TEXT_SIZE) {
            *term = (struct select_term){.key = keys[i].key};
            bytes_copy_str(bytes_str(text + len), term->text, sizeof term->text);
            return parse_value(term);
        }
    }
    return false;
}

bool select_parse(const json_t *terms, struct select *select, char error[SELECT_ERROR_SIZE])
{
    *select = (struct select){0};
    if (terms == NULL) {
        return true;
    }
    if (!json_is_array(terms) || json_array_size(terms) > LIMIT_SELECT_TERMS) {
        snprintf(error, SELECT_ERROR_SIZE, "select: an array of at most %d terms",
                 LIMIT_SELECT_TERMS);
        return false;
    }
    for (size_t i = 0; i < json_array_size(terms); i++) {
        const char *text = json_string_value(json_array_get(terms, i));
        if (text == NULL || !parse_term(text, &select->term[i])) {
            snprintf(error, SELECT_ERROR_SIZE, "not a selection: %.200s",
                     text == NULL ? "(no text)" : text);
            return false;
        }
        select->count++;
    }
    return true;
}

bool select_has(const struct select *select, enum select_key key)
{
    for (uint32_t i = 0; i < select->count; i++) {
        if (select->term[i].key == key) {
            return true;
        }
    }
    return false;
}

uint64_t select_number(const struct select *select, enum select_key key)
{
    for (uint32_t i = 0; i < select->count; i++) {
        if (select->term[i].key == key) {
            return select->term[i].number;
        }
    }
    return 0;
}

bool select_needs_envelope(const struct select *select)
{
    return select_has(select, SELECT_DOMAIN) || select_has(select, SELECT_RCPT) ||
           select_has(select, SELECT_SENDER);
}

bool select_is_fixed(const struct select *select)
{
    /* domain= and rcpt= ask for recipients not yet delivered: those only become fewer. hop= can
     * change with a reload. */
    return !select_has(select, SELECT_CLASS) && !select_has(select, SELECT_HOP) &&
           !select_has(select, SELECT_STATE) && !select_has(select, SELECT_RULE) &&
           !select_has(select, SELECT_OLDER) && !select_has(select, SELECT_YOUNGER);
}

/* `pattern` with * for any run of characters, without case. */
static bool glob(const char *pattern, struct bytes text)
{
    const char *star = NULL;
    size_t star_at = 0;
    size_t at = 0;
    while (at < text.len) {
        if (*pattern == '*') {
            star = ++pattern;
            star_at = at;
        } else if (*pattern != '\0' &&
                   ascii_lower((uint8_t)*pattern) == ascii_lower(text.data[at])) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static bool match_sender(const char *pattern, struct bytes sender)
{
    if (strcmp(pattern, "<>") == 0) {
        return sender.len == 0;
    }
    return glob(pattern, sender);
}

static struct bytes domain_of(struct bytes address)
{
    size_t at = address.len;
    while (at > 0 && address.data[at - 1] != '@') {
        at--;
    }
    return bytes_from(address, at);
}

static void keep_rcpts(const struct select_term *term, const struct delivery *d,
                       const struct envelope *e, struct rcptset *mask)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->rcpt_count && n < d->rcpt_count; i++) {
        if (e->rcpt[i].route_index != id_index(d->id)) {
            continue;
        }
        struct bytes address = e->rcpt[i].address;
        bool yes = term->key == SELECT_DOMAIN ? glob(term->text, domain_of(address))
                                              : glob(term->text, address);
        if (!yes) {
            rcptset_remove(mask, n);
        }
        n++;
    }
}

static void keep_class(uint64_t class, const struct delivery *d, struct rcptset *mask)
{
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        if (d->rcpt[i].outcome != class) {
            rcptset_remove(mask, i);
        }
    }
}

static bool match_hop(const char *name, const struct delivery *d)
{
    for (uint32_t i = 0; i < d->route->hop_count; i++) {
        if (strcmp(d->route->hop[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool match_state(uint64_t state, const struct delivery *d, struct rcptset *mask)
{
    if (state != DELIVERY_FROZEN) {
        return d->state == state;
    }
    *mask = delivery_rcpts(d, RCPT_FROZEN); /* frozen recipients of one that also waits count */
    return d->frozen_count > 0;
}

/* Terms that need no envelope. Those of recipients only narrow the mask. */
static bool match_cheap(struct control *c, const struct select_term *term, const struct delivery *d,
                        struct rcptset *mask)
{
    uint64_t age_ms = c->now.wall_ms > d->received_ms ? c->now.wall_ms - d->received_ms : 0;
    switch (term->key) {
    case SELECT_ID:
        return d->id == term->number ||
               (id_index(term->number) == 0 && id_message(d->id) == term->number);
    case SELECT_ROUTE:
        return strcmp(d->route->name, term->text) == 0;
    case SELECT_CLASS:
        keep_class(term->number, d, mask);
        return !rcptset_is_empty(mask);
    case SELECT_HOP:
        return match_hop(term->text, d);
    case SELECT_STATE:
        return match_state(term->number, d, mask);
    case SELECT_RULE:
        return rules_holds_it(c, (uint32_t)term->number, d);
    case SELECT_OLDER:
        return age_ms > term->number;
    case SELECT_YOUNGER:
        return age_ms < term->number;
    case SELECT_ALL:
    case SELECT_DOMAIN:
    case SELECT_RCPT:
    case SELECT_SENDER:
        return true;
    }
    assert(false);
    return false;
}

enum select_verdict select_match(struct control *c, const struct select *select,
                                 const struct delivery *d, struct rcptset *mask_out)
{
    struct rcptset pending = delivery_rcpts(d, RCPT_WAITING);
    struct rcptset frozen = delivery_rcpts(d, RCPT_FROZEN);
    rcptset_union(&pending, &frozen);
    struct rcptset mask =
        select_has(select, SELECT_STATE) && select_number(select, SELECT_STATE) == DELIVERY_FROZEN
            ? frozen
            : pending;
    for (uint32_t i = 0; i < select->count; i++) {
        struct rcptset narrow = mask;
        if (!match_cheap(c, &select->term[i], d, &narrow)) {
            return SELECT_NO;
        }
        struct rcptset outside = mask;
        rcptset_subtract(&outside, &narrow);
        rcptset_subtract(&mask, &outside);
    }
    if (select->count > 0 && select_needs_envelope(select)) {
        struct envelope e;
        if (!catchup_envelope(c, d, &e)) {
            return SELECT_UNREADABLE;
        }
        for (uint32_t i = 0; i < select->count; i++) {
            const struct select_term *term = &select->term[i];
            if (term->key == SELECT_SENDER && !match_sender(term->text, e.sender)) {
                return SELECT_NO;
            }
            if (term->key == SELECT_DOMAIN || term->key == SELECT_RCPT) {
                keep_rcpts(term, d, &e, &mask);
            }
        }
    }
    if (mask_out != NULL) {
        *mask_out = mask;
    }
    return select->count > 0 && !rcptset_is_empty(&mask) ? SELECT_YES : SELECT_NO;
}
