/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rules.c: see rules.h. Pure. */
#include "control/core/rules.h"

#include "control/core/mem.h"
#include "common/limits/admin.h"
#include "common/limits/rules.h"

enum { MATCHES_MAX = LIMIT_RULES + LIMIT_ADMIN_FENCES };

void rules_init(struct rules *rules, const struct siphash_key *key)
{
    *rules = (struct rules){.book = book_create(key), .planned_next = RULES_PLANNED};
}

static void destroy(struct rule *rule)
{
    slotset_fini(&rule->noted);
    mem_free(rule);
}

void rules_fini(struct rules *rules)
{
    assert(rules->count <= MATCHES_MAX && book_envelope_count(rules->book) <= rules->count);
    for (size_t i = 0; i < rules->count; i++) {
        destroy(rules->rule[i]);
    }
    book_destroy(rules->book);
}

struct rule *rules_add(struct rules *rules, const struct rule *rule)
{
    assert(rules->count < sizeof rules->rule / sizeof rules->rule[0]);
    assert(rule->id < RULES_PLANNED && rules_find(rules, rule->id) == NULL);
    struct rule *copy = mem_zalloc(sizeof *copy);
    *copy = *rule;
    copy->matches = copy->rcpts = copy->held_ever = 0;
    copy->noted = (struct slotset){0};
    copy->in_force = rule->id != 0;
    copy->asks_envelope = select_needs_envelope(&rule->select);
    copy->id = copy->in_force ? rule->id : rules->planned_next++;
    rules->rule[rules->count++] = copy;
    if (copy->in_force || copy->asks_envelope) {
        book_add(rules->book, copy->id, &copy->select);
    }
    assert(copy->id != 0 && copy->in_force == (copy->id < RULES_PLANNED));
    return copy;
}

void rules_enforce(struct rules *rules, struct rule *rule, uint32_t id)
{
    assert(!rule->in_force && id != 0 && id < RULES_PLANNED);
    if (rule->asks_envelope) {
        book_remove(rules->book, rule->id);
    }
    rule->id = id;
    rule->in_force = true;
    book_add(rules->book, id, &rule->select);
    assert(rules_find(rules, id) == rule);
}

void rules_remove(struct rules *rules, struct rule *rule)
{
    size_t at = 0;
    uint32_t id = rule->id;
    while (at < rules->count && rules->rule[at] != rule) {
        at++;
    }
    assert(at < rules->count);
    if (rule->in_force || rule->asks_envelope) {
        book_remove(rules->book, rule->id);
    }
    rules->count--;
    for (; at < rules->count; at++) { /* in order of age */
        rules->rule[at] = rules->rule[at + 1];
    }
    destroy(rule);
    assert(rules_find(rules, id) == NULL);
}

struct rule *rules_find(const struct rules *rules, uint32_t id)
{
    for (size_t i = 0; id != 0 && i < rules->count; i++) {
        if (rules->rule[i]->id == id) {
            return rules->rule[i];
        }
    }
    return NULL;
}

bool rules_hold_by_age(const struct rules *rules, uint32_t id)
{
    const struct rule *rule = rules_find(rules, id);
    assert(rule == NULL || rule->id == id);
    return rule != NULL && rule->in_force && select_has(&rule->select, SELECT_OLDER);
}

size_t rules_in_force(const struct rules *rules)
{
    size_t count = 0;
    for (size_t i = 0; i < rules->count; i++) {
        count += rules->rule[i]->in_force;
    }
    assert(count <= rules->count && rules->count <= MATCHES_MAX);
    return count;
}

void rules_note(struct rule *rule, struct delivery *d, uint32_t slot)
{
    assert(rule->asks_envelope && d->id != 0);
    slotset_add(&rule->noted, slot);
    d->noted = true;
    assert(slotset_has(&rule->noted, slot));
}

void rules_judge(struct rules *rules, struct delivery *d, uint32_t slot,
                 const struct envelope *envelope)
{
    uint32_t id[MATCHES_MAX];
    assert(d->id != 0 && delivery_waiting_count(d) + delivery_frozen_count(d) > 0);
    d->unjudged = false;
    if (envelope == NULL) {
        for (size_t i = 0; i < rules->count; i++) {
            if (rules->rule[i]->asks_envelope) {
                rules_note(rules->rule[i], d, slot);
            }
        }
        return;
    }
    struct rcptset pending = delivery_rcpts(d, RCPT_WAITING);
    struct rcptset frozen = delivery_rcpts(d, RCPT_FROZEN);
    rcptset_union(&pending, &frozen);
    size_t count = book_match_envelope(rules->book, envelope, (unsigned)(d->id & 15), &pending, id,
                                       MATCHES_MAX);
    assert(count <= rules->count);
    for (size_t i = 0; i < count; i++) {
        rules_note(rules_find(rules, id[i]), d, slot);
    }
}

void rules_forget(struct rules *rules, const struct delivery *d, uint32_t slot)
{
    for (size_t i = 0; d->noted && i < rules->count; i++) {
        slotset_remove(&rules->rule[i]->noted, slot);
    }
}

bool rules_match(const struct rule *rule, const struct delivery *d, uint32_t slot,
                 const struct select_facts *facts)
{
    struct rcptset mask;
    assert(facts->id == d->id);
    assert(rule->asks_envelope || rule->noted.count == 0);
    if (rule->asks_envelope && !(d->noted && slotset_has(&rule->noted, slot))) {
        return false;
    }
    return select_match_facts(&rule->select, facts, &mask) != SELECT_NO;
}

uint32_t rules_holding(const struct rules *rules, const struct delivery *d, uint32_t slot,
                       const struct select_facts *facts)
{
    assert(facts->id == d->id);
    uint32_t best = book_match_now(rules->book, facts);
    for (size_t i = 0; d->noted && i < rules->count; i++) {
        const struct rule *rule = rules->rule[i];
        if (rule->in_force && rule->asks_envelope && (best == 0 || rule->id < best) &&
            rules_match(rule, d, slot, facts)) {
            best = rule->id;
        }
    }
    assert(best < RULES_PLANNED);
    return best;
}

void rules_count(struct rules *rules, const struct delivery *d, int change)
{
    assert(d->state == DELIVERY_HELD && (change == 1 || change == -1));
    struct rule *rule = rules_find(rules, d->live);
    if (rule == NULL) {
        return; /* it ended, and this one is still to be placed anew */
    }
    unsigned waiting = delivery_waiting_count(d);
    assert(change > 0 || (rule->matches > 0 && rule->rcpts >= waiting));
    rule->matches += change > 0 ? 1 : UINT64_MAX;
    rule->rcpts += change > 0 ? waiting : -(uint64_t)waiting;
    rule->held_ever += change > 0;
    assert(rule->matches <= rule->held_ever);
}
