/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook.h: the rules by what they ask for, so that a message meets only those that
 * may match it.
 *
 *   of the envelope   sender= rcpt= without *           the whole address
 *                     domain= without *, and *@domain   the domain
 *                     other patterns                    three characters in a row; each end of the
 *                                                       address counts as a character
 *                     patterns without three in a row   two in a row, or else one
 *                     * alone                           a list that is always asked
 *   of the rest       id=  route=  hop=  class=         their values
 *                     age>  age<  all                   a list that is always asked
 *
 * Each rule stands under one key: the one of its terms that is asked for least. A match walks the
 * keys that the message has, and asks each rule found there in full (select.h), unless the address
 * lacks some character or pair of characters that the rule's pattern has.
 *
 * Promise: what a match answers is what asking every rule one after the other would.
 * Trap:    a rule whose terms ask the envelope is in the answer of book_match_envelope as soon as
 *          those terms match; its other terms were not asked.
 */
#ifndef HOLDFAST_CONTROL_CORE_RULEBOOK_H
#define HOLDFAST_CONTROL_CORE_RULEBOOK_H

#include "control/core/select.h"

#include "common/siphash.h"

struct book;

/* `key` is random: strangers choose the addresses that rules are made for. */
struct book *book_create(const struct siphash_key *key);
void book_destroy(struct book *book);
/* At most LIMIT_RULES; the id is not 0 and new. The selection is copied. */
void book_add(struct book *book, uint32_t rule_id, const struct select *select);
/* The rule must be there. */
void book_remove(struct book *book, uint32_t rule_id);

/* How many rules ask the envelope: with none of them no envelope is needed. */
size_t book_envelope_count(const struct book *book);
/* The rules with envelope terms all of which match this delivery: the recipients of `route_index`
 * in the envelope that are in `pending`. The lowest `max` ids, ascending. Returns how many. */
size_t book_match_envelope(const struct book *book, const struct envelope *envelope,
                           unsigned route_index, const struct rcptset *pending,
                           uint32_t *rule_id_out, size_t max);
/* The lowest id of a rule without envelope terms that matches now; 0 when none does. */
uint32_t book_match_now(const struct book *book, const struct select_facts *facts);

/* Asserts that the book agrees with itself: for core_check (check.h), never in the daemon. Returns
 * how many rules it has. */
size_t book_check(const struct book *book);

#endif
