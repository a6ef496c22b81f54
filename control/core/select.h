/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/select.h: an operator's selection of mail: terms, all of which must match.
 *
 *   id=  route=  domain=  rcpt=  sender=  class=  hop=  state=  rule=  age>  age<   all
 *
 * rcpt= and sender= match without case, with * for any run of characters; sender=<> is the null
 * sender. domain= is the domain of a recipient. Durations: 90s 5m 2h 7d.
 *
 * Matching has two steps. The first asks what control knows of the delivery. When that matches and
 * a term asks for the envelope, the second step asks the envelope.
 *
 * Promise: parsing refuses what it does not fully understand. Matching is a function of its
 *          arguments.
 * Trap:    a selection is of deliveries, but domain=, rcpt=, class= and state=frozen choose
 *          recipients within them: the mask says which. Both steps narrow the same mask.
 */
#ifndef HOLDFAST_CONTROL_CORE_SELECT_H
#define HOLDFAST_CONTROL_CORE_SELECT_H

#include "common/assert.h"
#include "common/envelope.h"
#include "common/limits/rules.h"
#include "common/outcome.h"
#include "common/rcptset.h"
#include "control/core/delivery_state.h"

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

/* false: error_out says which term and why. No terms are an empty selection, which matches
 * nothing: the caller refuses it or takes it for `all`. */
must_check bool select_parse_terms(const char *const *term, size_t count, struct select *select_out,
                                   char error_out[SELECT_ERROR_SIZE]);
/* Reads durations as in age>: false when it is none. */
must_check bool select_parse_duration(const char *text, uint64_t *ms_out);
/* What stands before the value: "id=", "age>"; "all" has none. */
const char *select_key_prefix(enum select_key key);
/* That term is asked of the envelope. */
bool select_key_is_envelope(enum select_key key);
/* Some term needs the envelope. */
bool select_needs_envelope(const struct select *select);
/* The match cannot change while the delivery lives. */
bool select_is_fixed(const struct select *select);
bool select_has(const struct select *select, enum select_key key);
/* The value of the first term of that key, 0 without one. */
uint64_t select_number(const struct select *select, enum select_key key);

/* What control knows of a delivery, and a selection may ask for. */
struct select_facts {
    uint64_t id;
    const char *route_name;
    const char *const *hop_name; /* hop_count of them: the route's */
    uint32_t hop_count;
    uint32_t held_rule; /* 0: none */
    uint64_t age_ms;
    enum delivery_state state;
    struct rcptset pending; /* waiting or frozen */
    struct rcptset frozen;
    /* The last outcome of a pending recipient. Asked only for class=. */
    enum outcome (*class_of)(const void *ctx, unsigned rcpt);
    /* That rule holds it beside held_rule. Asked only for rule=. NULL: none does. */
    bool (*is_held_by)(const void *ctx, uint32_t rule_id);
    const void *ctx;
};

enum select_verdict {
    SELECT_NO,
    SELECT_YES,
    SELECT_NEED_ENVELOPE, /* the facts match, and terms are left for the envelope */
};

/* The first step. *mask_out: the pending recipients that are meant; empty for SELECT_NO. */
enum select_verdict select_match_facts(const struct select *select,
                                       const struct select_facts *facts, struct rcptset *mask_out);
/* The second step: asks the terms that need the envelope, and only those. *mask: in, recipients of
 * the delivery; out, those of them that are meant. true when there are any. */
bool select_match_envelope(const struct select *select, const struct envelope *envelope,
                           unsigned route_index, struct rcptset *mask);

/* The same steps over terms that lie elsewhere than in a struct select. */
enum select_verdict select_terms_match_facts(const struct select_term *term, uint32_t count,
                                             const struct select_facts *facts,
                                             struct rcptset *mask_out);
bool select_terms_match_envelope(const struct select_term *term, uint32_t count,
                                 const struct envelope *envelope, unsigned route_index,
                                 struct rcptset *mask);

/* The second step for one recipient alone. All of it is in lower case already. */
bool select_terms_match_rcpt(const struct select_term *term, uint32_t count, struct bytes sender,
                             struct bytes rcpt);

/* What is behind the last '@'; all of it without one. Borrowed from the address. */
struct bytes select_domain_of(struct bytes address);

#endif
