/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook_key.c: see rulebook_key.h.
 *
 * Promise: whatever a term matches has every key that the term offers, and every bit of its sign.
 * Trap:    for domains this holds because an address ends as its pattern does behind the last *.
 *          When an @ is in that part, the domain is what stands behind the @. */
#include "control/core/rulebook_key.h"

#include "common/id.h"

enum {
    /* What a kind of key costs, in rules: the more messages have such a key, the fewer rules must
     * stand under it for it to be chosen. */
    COST_WHOLE = 0,
    COST_DOMAIN = 4,
    COST_THREE = 16,
    COST_TWO = 32,
    COST_NULL_SENDER = 64, /* every bounce has it */
    COST_ONE = 128,
    COST_ONE_COMMON = 256,
};

enum { MARK_HEAD = 2, MARK_TAIL = 3, MARKED_PATTERN_SIZE = SELECT_TEXT_SIZE + 2 };

_Static_assert(BOOK_SENDER_ONE + BOOK_PART_MAX - 1 == BOOK_SENDER_THREE,
               "widths follow each other");
_Static_assert(BOOK_RCPT_ONE + BOOK_PART_MAX - 1 == BOOK_RCPT_THREE, "widths follow each other");

uint64_t book_key_text(const struct siphash_key *hash_key, enum book_kind kind, struct bytes text)
{
    return siphash(hash_key, text.data, text.len) ^ book_key_tag(kind);
}

/* --- marked text and its sign ---------------------------------------------------------------- */

static struct bytes mark(struct bytes text, uint8_t *out, size_t out_size)
{
    assert(text.len + 2 <= out_size);
    out[0] = MARK_HEAD;
    for (size_t i = 0; i < text.len; i++) {
        out[i + 1] = ascii_lower(text.data[i]);
    }
    out[text.len + 1] = MARK_TAIL;
    return bytes_of(out, text.len + 2);
}

struct bytes book_mark(struct bytes address, uint8_t out[BOOK_MARKED_SIZE])
{
    return mark(address, out, BOOK_MARKED_SIZE); /* envelope_decode sees to its length */
}

/* Letters have a bit each, digits and signs another one each. */
static uint64_t char_bit(uint8_t c)
{
    return UINT64_C(1) << ((c & 0x1f) | (~c >> 1 & 0x20));
}

static uint64_t pair_bit(uint8_t a, uint8_t b)
{
    return UINT64_C(1) << ((uint32_t)(a << 8 | b) * UINT32_C(0x9e3779b1) >> 26);
}

struct book_sign book_sign_of(struct bytes marked)
{
    struct book_sign sign = {0, 0};
    assert(marked.len >= 2);
    for (size_t i = 0; i + 1 < marked.len; i++) {
        sign.chars |= char_bit(marked.data[i]);
        sign.pairs |= pair_bit(marked.data[i], marked.data[i + 1]);
    }
    sign.chars |= char_bit(marked.data[marked.len - 1]);
    assert(sign.chars != 0 && sign.pairs != 0); /* its marks are there at least */
    return sign;
}

/* The pattern of a term in lower case between marks. A domain has no mark at its head: it is not
 * known what stands before it. */
static struct bytes mark_pattern(const struct select_term *term, uint8_t out[MARKED_PATTERN_SIZE])
{
    bool is_null = term->key == SELECT_SENDER && strcmp(term->text, "<>") == 0;
    struct bytes marked = mark(bytes_str(is_null ? "" : term->text), out, MARKED_PATTERN_SIZE);
    return bytes_from(marked, term->key == SELECT_DOMAIN ? 1 : 0);
}

struct book_sign book_terms_sign(const struct select_term *term, uint32_t count, bool of_rcpt)
{
    struct book_sign sign = {0, 0};
    assert(count <= LIMIT_SELECT_TERMS);
    for (uint32_t t = 0; t < count; t++) {
        uint8_t memory[MARKED_PATTERN_SIZE];
        if (!select_key_is_envelope(term[t].key) || (term[t].key != SELECT_SENDER) != of_rcpt) {
            continue;
        }
        struct bytes p = mark_pattern(&term[t], memory);
        for (size_t i = 0; i < p.len; i++) {
            sign.chars |= p.data[i] == '*' ? 0 : char_bit(p.data[i]);
            if (i > 0 && p.data[i - 1] != '*' && p.data[i] != '*') {
                sign.pairs |= pair_bit(p.data[i - 1], p.data[i]);
            }
        }
    }
    return sign;
}

/* --- what a term offers ---------------------------------------------------------------------- */

/* One term under way. */
struct offering {
    const struct siphash_key *hash_key;
    book_offer_fn fn;
    void *ctx;
    enum book_kind whole;
    enum book_kind domain;
    enum book_kind one;
};

static void offer_text(const struct offering *o, enum book_kind kind, struct bytes text,
                       uint32_t cost)
{
    assert(kind < BOOK_REST && !book_kind_is_part(kind));
    const struct book_offer offer = {
        .kind = kind, .key = book_key_text(o->hash_key, kind, text), .cost = cost};
    o->fn(o->ctx, &offer);
}

static void offer_number(const struct offering *o, enum book_kind kind, uint64_t number,
                         uint32_t cost)
{
    assert(kind < BOOK_REST);
    const struct book_offer offer = {
        .kind = kind, .key = book_key_number(kind, number), .cost = cost};
    o->fn(o->ctx, &offer);
}

/* A mark alone is in every text. */
static bool is_part(const uint8_t *text, size_t width)
{
    return memchr(text, '*', width) == NULL &&
           (width > 1 || (text[0] != MARK_HEAD && text[0] != MARK_TAIL));
}

static uint32_t part_cost(const uint8_t *text, size_t width)
{
    static const char common[] = "etaoinsrlcm.@"; /* most addresses have most of them */
    assert(width > 0 && width <= BOOK_PART_MAX);
    if (width > 1) {
        return width == 2 ? COST_TWO : COST_THREE;
    }
    return memchr(common, text[0], sizeof common - 1) == NULL ? COST_ONE : COST_ONE_COMMON;
}

/* Offers the longest parts that the pattern has. */
static void offer_parts(const struct offering *o, struct bytes marked)
{
    bool offered = false;
    assert(o->one == BOOK_SENDER_ONE || o->one == BOOK_RCPT_ONE);
    for (size_t width = BOOK_PART_MAX; width > 0 && !offered; width--) {
        enum book_kind kind = (enum book_kind)(o->one + width - 1);
        for (size_t i = 0; i + width <= marked.len; i++) {
            if (is_part(marked.data + i, width)) {
                offer_number(o, kind, book_part(marked.data + i, width),
                             part_cost(marked.data + i, width));
                offered = true;
            }
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

static void offer_pattern(const struct offering *o, struct bytes pattern, struct bytes marked)
{
    struct bytes tail = tail_of(pattern);
    assert(pattern.len + 2 == marked.len && tail.len <= pattern.len);
    if (tail.len == pattern.len) {
        bool is_null = pattern.len == 0;
        offer_text(o, o->whole, pattern, is_null ? COST_NULL_SENDER : COST_WHOLE);
        return;
    }
    if (bytes_index(tail, '@') < tail.len) {
        offer_text(o, o->domain, select_domain_of(tail), COST_DOMAIN);
    }
    offer_parts(o, marked);
}

static void offer_domain(const struct offering *o, struct bytes pattern, struct bytes marked)
{
    assert(pattern.len + 1 == marked.len); /* its head has no mark */
    if (bytes_index(pattern, '*') == pattern.len) {
        offer_text(o, o->domain, pattern, COST_DOMAIN);
    } else {
        offer_parts(o, marked);
    }
}

static void offer_address(struct offering *o, const struct select_term *term)
{
    uint8_t memory[MARKED_PATTERN_SIZE];
    bool sender = term->key == SELECT_SENDER;
    assert(select_key_is_envelope(term->key));
    struct bytes marked = mark_pattern(term, memory);
    struct bytes pattern = bytes_first(marked, marked.len - 1);
    o->whole = sender ? BOOK_SENDER : BOOK_RCPT;
    o->domain = sender ? BOOK_SENDER_DOMAIN : BOOK_RCPT_DOMAIN;
    o->one = sender ? BOOK_SENDER_ONE : BOOK_RCPT_ONE;
    if (term->key == SELECT_DOMAIN) {
        offer_domain(o, pattern, marked);
    } else {
        offer_pattern(o, bytes_from(pattern, 1), marked);
    }
}

void book_term_offers(const struct siphash_key *hash_key, const struct select_term *term,
                      book_offer_fn fn, void *ctx)
{
    struct offering o = {.hash_key = hash_key, .fn = fn, .ctx = ctx};
    assert(fn != NULL);
    switch (term->key) {
    case SELECT_ID:
        offer_number(&o, BOOK_ID, id_message(term->number), COST_WHOLE);
        return;
    case SELECT_ROUTE:
        offer_text(&o, BOOK_ROUTE, bytes_str(term->text), COST_THREE);
        return;
    case SELECT_HOP:
        offer_text(&o, BOOK_HOP, bytes_str(term->text), COST_THREE);
        return;
    case SELECT_CLASS:
        offer_number(&o, BOOK_CLASS, term->number, COST_THREE);
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
