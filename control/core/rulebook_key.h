/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook_key.h: the keys under which rules are found: what kinds there are, how one
 * is made, and which ones the terms of a rule offer; and the signs by which most of the rules under
 * a key are passed over. */
#ifndef HOLDFAST_CONTROL_CORE_RULEBOOK_KEY_H
#define HOLDFAST_CONTROL_CORE_RULEBOOK_KEY_H

#include "common/limits/address.h"
#include "common/siphash.h"
#include "control/core/select.h"

enum book_kind {
    BOOK_SENDER, /* a whole address */
    BOOK_RCPT,
    BOOK_SENDER_DOMAIN,
    BOOK_RCPT_DOMAIN,
    BOOK_SENDER_ONE, /* a character of the marked text; two, three of them in a row */
    BOOK_SENDER_TWO,
    BOOK_SENDER_THREE,
    BOOK_RCPT_ONE,
    BOOK_RCPT_TWO,
    BOOK_RCPT_THREE,
    BOOK_ID, /* of a message */
    BOOK_ROUTE,
    BOOK_HOP,
    BOOK_CLASS,
    BOOK_REST, /* no key */
    BOOK_KINDS,
};

static inline bool book_kind_is_part(enum book_kind kind)
{
    return (kind >= BOOK_SENDER_ONE && kind <= BOOK_SENDER_THREE) ||
           (kind >= BOOK_RCPT_ONE && kind <= BOOK_RCPT_THREE);
}

static inline bool book_kind_is_of_rcpt(enum book_kind kind)
{
    return kind == BOOK_RCPT || kind == BOOK_RCPT_DOMAIN ||
           (kind >= BOOK_RCPT_ONE && kind <= BOOK_RCPT_THREE);
}

enum {
    BOOK_PART_MAX = 3,                          /* characters in a row */
    BOOK_MARKED_SIZE = LIMIT_ADDRESS_BYTES + 2, /* an address with its marks */
};

/* The address in lower case between two marks. The marks stand for its ends: "^ab" is asked for by
 * ab*, which has only two characters. Returns a view of out. */
struct bytes book_mark(struct bytes address, uint8_t out[BOOK_MARKED_SIZE]);

/* What occurs in a marked text: its characters, and pairs of characters, each folded to a bit. */
struct book_sign {
    uint64_t chars;
    uint64_t pairs;
};

struct book_sign book_sign_of(struct bytes marked);
/* What occurs in every sender (of_rcpt: recipient) that these terms match. */
struct book_sign book_terms_sign(const struct select_term *term, uint32_t count, bool of_rcpt);
static inline bool book_sign_has(struct book_sign sign, struct book_sign wanted)
{
    return ((wanted.chars & ~sign.chars) | (wanted.pairs & ~sign.pairs)) == 0;
}

/* Keys of two kinds differ. */
static inline uint64_t book_key_tag(enum book_kind kind)
{
    return (uint64_t)(kind + 1) << 56;
}

/* Of text in lower case, or of a name as it is. */
uint64_t book_key_text(const struct siphash_key *hash_key, enum book_kind kind, struct bytes text);
static inline uint64_t book_key_number(enum book_kind kind, uint64_t number)
{
    return number ^ book_key_tag(kind);
}
/* So many characters at `text` as a number. */
static inline uint64_t book_part(const uint8_t *text, size_t width)
{
    uint64_t number = 0;
    assert(width > 0 && width <= BOOK_PART_MAX);
    for (size_t i = 0; i < width; i++) {
        number = number << 8 | text[i];
    }
    return number;
}

/* `cost`: how many messages meet that key, roughly; lower is better. */
struct book_offer {
    enum book_kind kind;
    uint64_t key;
    uint32_t cost;
};

typedef void (*book_offer_fn)(void *ctx, const struct book_offer *offer);

/* Calls fn with each key under which a rule with that term may stand, with the cost of its kind. A
 * term without one: not at all. */
void book_term_offers(const struct siphash_key *hash_key, const struct select_term *term,
                      book_offer_fn fn, void *ctx);

#endif
