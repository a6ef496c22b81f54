/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rules.h: the durable statements over mail, existing and future: holds.
 *
 * A rule's terms are of two kinds. Those that the envelope answers (sender=, rcpt=, domain=) are
 * asked once, where the envelope is in memory: the rule keeps the slots that match. All others are
 * asked again whenever a delivery is placed and just before it is sent.
 *
 * Promise: a delivery that a rule in force matches is not sent. When its envelope cannot be read,
 *          every rule that asks the envelope counts as matching. No rule costs a read for a new
 *          message.
 * Trap:    rules in memory mirror the database: a rule is in force only after it is durable there.
 *          A rule that is being planned judges envelopes, and holds nothing.
 */
#ifndef HOLDFAST_CONTROL_CORE_RULES_H
#define HOLDFAST_CONTROL_CORE_RULES_H

#include "control/core/delivery.h"
#include "control/core/rulebook.h"
#include "control/core/slotset.h"
#include "common/limits/admin.h"
#include "common/limits/rules.h"

enum {
    RULES_AUTHOR_SIZE = 128,
    RULES_REASON_SIZE = 512,
};

struct rule {
    uint32_t id; /* while it is planned: RULES_PLANNED and above */
    bool in_force;
    bool ending; /* a request ends it, and the database is being told: it holds on until then */
    bool asks_envelope;
    bool unreadable; /* its row in the database does not say what it held: it holds all mail */
    struct select select;
    char author[RULES_AUTHOR_SIZE];
    char reason[RULES_REASON_SIZE];
    uint64_t created_ms;
    uint64_t review_ms;
    uint64_t matches;     /* deliveries held by it */
    uint64_t rcpts;       /* their waiting recipients */
    uint64_t held_ever;   /* deliveries that it held since control started */
    struct slotset noted; /* asks_envelope: deliveries whose envelope matches */
};

#define RULES_PLANNED UINT32_C(0xf0000000)

struct rules {
    struct book *book; /* in force, and those planned that ask the envelope */
    struct rule *rule[LIMIT_RULES + LIMIT_ADMIN_FENCES];
    size_t count;
    uint32_t planned_next;
};

void rules_init(struct rules *rules, const struct siphash_key *key);
void rules_fini(struct rules *rules);
/* A copy of `rule`: in force when rule->id is not 0, else planned: it gets an id of its own. */
struct rule *rules_add(struct rules *rules, const struct rule *rule);
/* What was planned is durable under that id and in force from now on. */
void rules_enforce(struct rules *rules, struct rule *rule, uint32_t id);
/* Ends it, in memory. */
void rules_remove(struct rules *rules, struct rule *rule);
struct rule *rules_find(const struct rules *rules, uint32_t id);
/* That rule is in force and asks for mail above an age. */
bool rules_hold_by_age(const struct rules *rules, uint32_t id);
/* How many are in force. */
size_t rules_in_force(const struct rules *rules);

/* The envelope of that delivery is seen, NULL: it cannot be read. */
void rules_judge(struct rules *rules, struct delivery *d, uint32_t slot,
                 const struct envelope *envelope);
/* The envelope terms of that rule match the delivery. */
void rules_note(struct rule *rule, struct delivery *d, uint32_t slot);
/* The delivery goes: its slot is somebody else's soon. */
void rules_forget(struct rules *rules, const struct delivery *d, uint32_t slot);

/* That rule matches the delivery now. */
bool rules_match(const struct rule *rule, const struct delivery *d, uint32_t slot,
                 const struct select_facts *facts);
/* The lowest id of a rule in force that matches now, 0 without one. */
uint32_t rules_holding(const struct rules *rules, const struct delivery *d, uint32_t slot,
                       const struct select_facts *facts);
/* The delivery is held by its rule from now on (change 1), or is not held by it any more (-1). */
void rules_count(struct rules *rules, const struct delivery *d, int change);

#endif
