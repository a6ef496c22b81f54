/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rules.h: the durable statements over mail, existing and future: holds.
 *
 * Promise: a delivery that an active hold matches is not sent. What cannot be told because the
 *          envelope is unreadable counts as matched.
 * Trap:    rules in memory mirror the database; they are changed only after it is durable there.
 */
#ifndef HOLDFAST_CONTROL_CORE_RULES_H
#define HOLDFAST_CONTROL_CORE_RULES_H

#include "control/core/core.h"
#include "control/core/select.h"

enum {
    RULES_AUTHOR_SIZE = 64,
    RULES_REASON_SIZE = 512,
};

struct rule {
    uint32_t id;
    struct select select;
    char author[RULES_AUTHOR_SIZE];
    char reason[RULES_REASON_SIZE];
    uint64_t created_ms;
    uint64_t review_ms;
    uint64_t matches; /* deliveries held by it */
    uint64_t rcpts;   /* their waiting recipients */
};

struct rules *rules_create(void);
void rules_destroy(struct rules *rules);
/* Takes a copy, in memory only. */
void rules_add(struct control *c, const struct rule *rule);
/* Ends it, in memory only: what it held and no other rule holds waits, due now. Returns how many
 * deliveries, and of how many waiting recipients. */
uint64_t rules_end(struct control *c, uint32_t id, uint64_t *rcpts_out);
struct rule *rules_find(struct control *c, uint32_t id);
/* Applies a rule just added to all deliveries there are. */
void rules_hold_existing(struct control *c, const struct rule *rule);
bool rules_any(const struct control *c);
/* Is it held? Asks every rule that may have changed its mind, sets d->held_rule. */
bool rules_hold(struct control *c, struct delivery *d);
/* That rule matches and is in force for it. */
bool rules_holds_it(struct control *c, uint32_t id, const struct delivery *d);
/* `d` is held by its rule from now (change 1) or no more (-1). */
void rules_count(struct control *c, const struct delivery *d, int change);
/* In order of age: NULL after the last. */
const struct rule *rules_at(const struct control *c, size_t index);

#endif
