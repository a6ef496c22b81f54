/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook_key.h: the keys under which rules are found: what kinds there are, how one
 * is made, and which ones the terms of a rule offer. */
#ifndef HOLDFAST_CONTROL_CORE_RULEBOOK_KEY_H
#define HOLDFAST_CONTROL_CORE_RULEBOOK_KEY_H

#include "common/siphash.h"
#include "control/core/select.h"

enum book_kind {
    BOOK_SENDER, /* a whole address */
    BOOK_RCPT,
    BOOK_SENDER_DOMAIN,
    BOOK_RCPT_DOMAIN,
    BOOK_SENDER_PART, /* three characters in a row */
    BOOK_RCPT_PART,
    BOOK_ID, /* of a message */
    BOOK_ROUTE,
    BOOK_HOP,
    BOOK_CLASS,
    BOOK_REST, /* no key */
    BOOK_KINDS,
};

/* Of text in lower case, or of a name as it is. */
uint64_t book_key_text(const struct siphash_key *hash_key, enum book_kind kind, struct bytes text);
uint64_t book_key_number(enum book_kind kind, uint64_t number);
/* Three characters at `text` as a number. */
uint64_t book_part(const uint8_t *text);

/* How many messages meet that key, and how many rules stand there already: lower is better. */
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
