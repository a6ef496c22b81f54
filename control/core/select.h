/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/select.h: an operator's selection of mail: terms, all of which must match.
 *
 *   id=  route=  domain=  rcpt=  sender=  class=  hop=  state=  rule=  age>  age<   all
 *
 * rcpt= and sender= match without case, with * for any run of characters; sender=<> is the null
 * sender. domain= is the domain of a recipient. Durations: 90s 5m 2h 7d.
 *
 * Promise: parsing refuses what it does not fully understand.
 * Trap:    a selection is of deliveries, but domain=, rcpt= and class= choose recipients within
 *          them: the mask says which.
 */
#ifndef HOLDFAST_CONTROL_CORE_SELECT_H
#define HOLDFAST_CONTROL_CORE_SELECT_H

#include "common/assert.h"
#include "common/envelope.h"
#include "common/limits/rules.h"
#include "common/rcptset.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SELECT_TEXT_SIZE = 256,
    SELECT_ERROR_SIZE = 384,
};

enum select_key {
    SELECT_ALL,
    SELECT_ID,
    SELECT_ROUTE,
    SELECT_DOMAIN,
    SELECT_RCPT,
    SELECT_SENDER,
    SELECT_CLASS,
    SELECT_HOP,
    SELECT_STATE,
    SELECT_RULE,
    SELECT_OLDER,
    SELECT_YOUNGER,
};

struct select_term {
    enum select_key key;
    uint64_t number; /* id, class, state, rule, milliseconds */
    char text[SELECT_TEXT_SIZE];
};

struct select {
    uint32_t count;
    struct select_term term[LIMIT_SELECT_TERMS];
};

struct control;
struct delivery;

/* `terms` is a JSON array of strings. false: error_out says which term and why. An empty array is
 * an empty selection, which matches nothing: the caller refuses or takes it for `all`. */
must_check bool select_parse(const json_t *terms, struct select *select_out,
                             char error_out[SELECT_ERROR_SIZE]);
/* Reads durations as in age>: false when it is none. */
must_check bool select_parse_duration(const char *text, uint64_t *ms_out);
/* Some term needs the envelope, that is a read from the spool. */
bool select_needs_envelope(const struct select *select);
/* The match cannot change while the delivery lives. */
bool select_is_fixed(const struct select *select);
bool select_has(const struct select *select, enum select_key key);
/* The value of the only term of that key, 0 without one. */
uint64_t select_number(const struct select *select, enum select_key key);

enum select_verdict {
    SELECT_NO,
    SELECT_YES,
    SELECT_UNREADABLE, /* the envelope was needed and the spool did not give it */
};

/* `mask_out` (may be NULL): the recipients, not yet delivered, that are meant. */
enum select_verdict select_match(struct control *c, const struct select *select,
                                 const struct delivery *d, struct rcptset *mask_out);

#endif
