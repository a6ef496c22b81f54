/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/select_match.c: does a selection mean this delivery, and which of its recipients?
 * See select.h. */
#include "control/core/select.h"

#include "common/id.h"
#include "common/limits/rcpts.h"

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
    assert(at == text.len);
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

struct bytes select_domain_of(struct bytes address)
{
    size_t at = address.len;
    while (at > 0 && address.data[at - 1] != '@') {
        at--;
    }
    return bytes_from(address, at);
}

/* A recipient that the envelope does not name is not meant. */
static void keep_rcpts(const struct select_term *term, const struct envelope *e,
                       unsigned route_index, struct rcptset *mask)
{
    struct rcptset kept = {{0}};
    unsigned n = 0;
    assert(e->rcpt_count <= LIMIT_RCPTS);
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        if (e->rcpt[i].route_index != route_index) {
            continue;
        }
        struct bytes address = e->rcpt[i].address;
        if (rcptset_has(mask, n) &&
            glob(term->text, term->key == SELECT_DOMAIN ? select_domain_of(address) : address)) {
            rcptset_add(&kept, n);
        }
        n++;
    }
    assert(rcptset_is_subset(&kept, mask));
    *mask = kept;
}

bool select_terms_match_envelope(const struct select_term *term, uint32_t count,
                                 const struct envelope *e, unsigned route_index,
                                 struct rcptset *mask)
{
    assert(count <= LIMIT_SELECT_TERMS && e->rcpt_count <= LIMIT_RCPTS);
    for (uint32_t i = 0; i < count; i++) {
        if (term[i].key == SELECT_SENDER && !match_sender(term[i].text, e->sender)) {
            *mask = (struct rcptset){{0}};
            return false;
        }
        if (term[i].key == SELECT_DOMAIN || term[i].key == SELECT_RCPT) {
            keep_rcpts(&term[i], e, route_index, mask);
        }
    }
    return !rcptset_is_empty(mask);
}

/* As glob() for what is in lower case. */
static bool glob_lower(const char *pattern, struct bytes text)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.len;
    const char *star = NULL;
    const uint8_t *star_at = NULL;
    while (at < end) {
        if (*pattern == '*') {
            star = ++pattern;
            star_at = at;
        } else if (*pattern != '\0' && (uint8_t)*pattern == *at) {
            pattern++;
            at++;
            continue;
        } else if (star != NULL) {
            pattern = star;
            star_at++;
        } else {
            return false;
        }
        if (*star == '\0') {
            return true; /* the rest is what the star stands for */
        }
        if (*star != '*') { /* on to where what follows the star may begin */
            star_at = memchr(star_at, *star, (size_t)(end - star_at));
        }
        if (star_at == NULL) {
            return false;
        }
        at = star_at;
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

bool select_terms_match_rcpt(const struct select_term *term, uint32_t count, struct bytes sender,
                             struct bytes rcpt)
{
    bool match = true;
    assert(count <= LIMIT_SELECT_TERMS);
    for (uint32_t i = 0; i < count && match; i++) {
        const char *text = term[i].text;
        if (term[i].key == SELECT_SENDER) {
            match = strcmp(text, "<>") == 0 ? sender.len == 0 : glob_lower(text, sender);
        } else if (term[i].key == SELECT_RCPT) {
            match = glob_lower(text, rcpt);
        } else if (term[i].key == SELECT_DOMAIN) {
            match = glob_lower(text, select_domain_of(rcpt));
        }
    }
    return match;
}

bool select_match_envelope(const struct select *select, const struct envelope *e,
                           unsigned route_index, struct rcptset *mask)
{
    return select_terms_match_envelope(select->term, select->count, e, route_index, mask);
}

static void keep_class(uint64_t class, const struct select_facts *facts, struct rcptset *mask)
{
    assert(facts->class_of != NULL && class < OUTCOME_COUNT);
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) {
        if (mask->word[i / 64] == 0) {
            i |= 63; /* most deliveries have one recipient */
        } else if (rcptset_has(mask, i) && (uint64_t)facts->class_of(facts->ctx, i) != class) {
            rcptset_remove(mask, i);
        }
    }
}

static bool has_hop(const struct select_facts *facts, const char *name)
{
    assert(facts->hop_count == 0 || facts->hop_name != NULL);
    for (uint32_t i = 0; i < facts->hop_count; i++) {
        if (strcmp(facts->hop_name[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_held_by(const struct select_facts *facts, uint64_t rule_id)
{
    return facts->held_rule == rule_id ||
           (facts->is_held_by != NULL && facts->is_held_by(facts->ctx, (uint32_t)rule_id));
}

static bool match_state(const struct select_facts *facts, uint64_t state, struct rcptset *mask)
{
    assert(state < DELIVERY_STATE_COUNT && facts->state < DELIVERY_STATE_COUNT);
    if (state != DELIVERY_FROZEN) {
        return facts->state == state;
    }
    for (unsigned i = 0; i < LIMIT_RCPTS / 64; i++) {
        mask->word[i] &= facts->frozen.word[i]; /* frozen recipients of one that also waits count */
    }
    assert(rcptset_is_subset(mask, &facts->frozen));
    return true;
}

static bool match_fact(const struct select_term *term, const struct select_facts *facts,
                       struct rcptset *mask)
{
    switch (term->key) {
    case SELECT_ID:
        return facts->id == term->number ||
               (id_index(term->number) == 0 && id_message(facts->id) == term->number);
    case SELECT_ROUTE:
        return strcmp(facts->route_name, term->text) == 0;
    case SELECT_CLASS:
        keep_class(term->number, facts, mask);
        return true;
    case SELECT_HOP:
        return has_hop(facts, term->text);
    case SELECT_STATE:
        return match_state(facts, term->number, mask);
    case SELECT_RULE:
        return is_held_by(facts, term->number);
    case SELECT_OLDER:
        return facts->age_ms > term->number;
    case SELECT_YOUNGER:
        return facts->age_ms < term->number;
    case SELECT_ALL:
    case SELECT_DOMAIN:
    case SELECT_RCPT:
    case SELECT_SENDER:
        return true;
    }
    assert(false);
    return false;
}

enum select_verdict select_terms_match_facts(const struct select_term *term, uint32_t count,
                                             const struct select_facts *facts,
                                             struct rcptset *mask_out)
{
    bool more = false;
    bool match = count > 0;
    assert(count <= LIMIT_SELECT_TERMS && rcptset_is_subset(&facts->frozen, &facts->pending));
    *mask_out = facts->pending;
    for (uint32_t i = 0; i < count && match; i++) {
        match = match_fact(&term[i], facts, mask_out);
        more |= select_key_is_envelope(term[i].key);
    }
    if (!match || rcptset_is_empty(mask_out)) {
        *mask_out = (struct rcptset){{0}};
        return SELECT_NO;
    }
    assert(rcptset_is_subset(mask_out, &facts->pending));
    return more ? SELECT_NEED_ENVELOPE : SELECT_YES;
}

enum select_verdict select_match_facts(const struct select *select,
                                       const struct select_facts *facts, struct rcptset *mask_out)
{
    return select_terms_match_facts(select->term, select->count, facts, mask_out);
}
