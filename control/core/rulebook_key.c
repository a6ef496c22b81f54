/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook_key.c: see rulebook_key.h.
 *
 * Promise: whatever a term matches has every key that the term offers.
 * Trap:    that holds for domains because nothing behind the last * of a pattern may differ: when
 *          an @ is there, the domain is what stands behind it. */
#include "control/core/rulebook_key.h"

#include "common/id.h"

enum {
    /* A key that more messages have must look emptier by so many rules to be taken. */
    COST_WHOLE = 0,
    COST_DOMAIN = 4,
    COST_PART = 16,
    COST_NULL_SENDER = 64, /* every bounce has it */
};

static uint64_t tag(enum book_kind kind)
{
    return (uint64_t)(kind + 1) << 56;
}

uint64_t book_key_text(const struct siphash_key *hash_key, enum book_kind kind, struct bytes text)
{
    return siphash(hash_key, text.data, text.len) ^ tag(kind);
}

uint64_t book_key_number(enum book_kind kind, uint64_t number)
{
    return number ^ tag(kind);
}

uint64_t book_part(const uint8_t *text)
{
    return (uint64_t)text[0] << 16 | (uint64_t)text[1] << 8 | text[2];
}

/* One term under way. */
struct offering {
    const struct siphash_key *hash_key;
    book_offer_fn fn;
    void *ctx;
    enum book_kind whole;
    enum book_kind domain;
    enum book_kind part;
};

static void offer_text(const struct offering *o, enum book_kind kind, struct bytes text,
                       uint32_t cost)
{
    const struct book_offer offer = {
        .kind = kind, .key = book_key_text(o->hash_key, kind, text), .cost = cost};
    o->fn(o->ctx, &offer);
}

static void offer_number(const struct offering *o, enum book_kind kind, uint64_t number,
                         uint32_t cost)
{
    const struct book_offer offer = {
        .kind = kind, .key = book_key_number(kind, number), .cost = cost};
    o->fn(o->ctx, &offer);
}

static void offer_parts(const struct offering *o, struct bytes pattern)
{
    for (size_t i = 0; i + 3 <= pattern.len; i++) {
        if (memchr(pattern.data + i, '*', 3) == NULL) {
            offer_number(o, o->part, book_part(pattern.data + i), COST_PART);
        }
    }
}

/* What is behind the last *. */
static struct bytes tail_of(struct bytes pattern)
{
    size_t at = pattern.len;
    while (at > 0 && pattern.data[at - 1] != '*') {
        at--;
    }
    return bytes_from(pattern, at);
}

static void offer_pattern(const struct offering *o, struct bytes pattern)
{
    struct bytes tail = tail_of(pattern);
    if (tail.len == pattern.len) {
        bool is_null = pattern.len == 0;
        offer_text(o, o->whole, pattern, is_null ? COST_NULL_SENDER : COST_WHOLE);
        return;
    }
    if (bytes_index(tail, '@') < tail.len) {
        offer_text(o, o->domain, select_domain_of(tail), COST_DOMAIN);
    }
    offer_parts(o, pattern);
}

static void offer_domain(const struct offering *o, struct bytes pattern)
{
    if (bytes_index(pattern, '*') == pattern.len) {
        offer_text(o, o->domain, pattern, COST_DOMAIN);
    } else {
        offer_parts(o, pattern);
    }
}

static void offer_address(struct offering *o, const struct select_term *term)
{
    uint8_t lower[SELECT_TEXT_SIZE];
    bool sender = term->key == SELECT_SENDER;
    struct bytes pattern = bytes_str(term->text);
    assert(pattern.len < sizeof lower);
    for (size_t i = 0; i < pattern.len; i++) {
        lower[i] = ascii_lower(pattern.data[i]);
    }
    pattern = bytes_of(lower, pattern.len);
    o->whole = sender ? BOOK_SENDER : BOOK_RCPT;
    o->domain = sender ? BOOK_SENDER_DOMAIN : BOOK_RCPT_DOMAIN;
    o->part = sender ? BOOK_SENDER_PART : BOOK_RCPT_PART;
    if (term->key == SELECT_DOMAIN) {
        offer_domain(o, pattern);
    } else if (sender && bytes_equal(pattern, bytes_str("<>"))) {
        offer_pattern(o, bytes_of(lower, 0));
    } else {
        offer_pattern(o, pattern);
    }
}

void book_term_offers(const struct siphash_key *hash_key, const struct select_term *term,
                      book_offer_fn fn, void *ctx)
{
    struct offering o = {.hash_key = hash_key, .fn = fn, .ctx = ctx};
    switch (term->key) {
    case SELECT_ID:
        offer_number(&o, BOOK_ID, id_message(term->number), COST_WHOLE);
        return;
    case SELECT_ROUTE:
        offer_text(&o, BOOK_ROUTE, bytes_str(term->text), COST_PART);
        return;
    case SELECT_HOP:
        offer_text(&o, BOOK_HOP, bytes_str(term->text), COST_PART);
        return;
    case SELECT_CLASS:
        offer_number(&o, BOOK_CLASS, term->number, COST_PART);
        return;
    case SELECT_SENDER:
    case SELECT_RCPT:
    case SELECT_DOMAIN:
        offer_address(&o, term);
        return;
    case SELECT_ALL:
    case SELECT_STATE:
    case SELECT_RULE:
    case SELECT_OLDER:
    case SELECT_YOUNGER:
        return;
    }
    assert(false);
}
