/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/hold.h: what an operator was promised about held mail, as the ledger checks it. From
 * the moment that a hold is acknowledged, no mail that it selects reaches a hop, except what was
 * reported as in flight then.
 *
 * Trap: what a hop reads may have waited in its own TCP. The time that counts is when the network
 *       delivered it.
 */
#ifndef HOLDFAST_TESTS_SIM_HOLD_H
#define HOLDFAST_TESTS_SIM_HOLD_H

#include "tests/sim/mail.h"

enum { HOLD_BOOK_MAX = 6 };

enum hold_kind {
    HOLD_ALL,
    HOLD_ROUTE,
    HOLD_DOMAIN,
    HOLD_RCPT, /* the recipients whose address begins with "r<arg>." */
    HOLD_NULL_SENDER,
    HOLD_SENDER, /* the senders whose address begins with "s<arg>" */
    HOLD_AGE,    /* mail received more than `arg` seconds ago: the clock must not jump */
    HOLD_KIND_COUNT,
};

struct hold {
    bool active;
    enum hold_kind kind;
    uint32_t arg;
    uint64_t since_ns;
    uint64_t looked_ns;             /* AGE: what was in flight at this time is exempt */
    uint8_t exempt[MAIL_COUNT_MAX]; /* by mail id - 1: a bit for each recipient */
};

struct hold_book {
    struct hold hold[HOLD_BOOK_MAX];
};

struct hold_book *hold_book_create(void);
/* Takes a free place; NULL: the book is full. It is not active yet. */
struct hold *hold_take(struct hold_book *book, enum hold_kind kind, uint32_t arg);
/* Activates it. Nothing is exempt. */
void hold_begin(struct hold *hold);
void hold_end(struct hold *hold);
/* The term of a selection for this hold. */
const char *hold_term(const struct hold *hold, char out[64]);
/* A copy for this recipient reached a hop; the network delivered the last of it at heard_ns. */
void hold_check(const struct hold_book *book, const struct mail *mail, uint32_t rcpt,
                uint64_t heard_ns);

#endif
