/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rules.c: see rules.h.
 *
 * Each change of the set gives it a new generation. A delivery that no rule with unchanging terms
 * matched under this generation is not asked about them again: an envelope is read once, not at
 * every attempt.
 */
#include "control/core/rules.h"

#include "control/core/index.h"
#include "control/core/mem.h"
#include "control/core/select_delivery.h"

#include <stdlib.h>
#include <string.h>

struct rules {
    struct rule *rule[LIMIT_RULES];
    size_t count;
    uint32_t generation; /* from 1 */
};

struct rules *rules_create(void)
{
    struct rules *rules = mem_zalloc(sizeof *rules);
    rules->generation = 1;
    return rules;
}

void rules_destroy(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        free(rules->rule[i]);
    }
    free(rules);
}

void rules_add(struct control *c, const struct rule *rule)
{
    struct rules *rules = c->rules;
    assert(rules->count < LIMIT_RULES && rule->id != 0);
    struct rule *copy = mem_zalloc(sizeof *copy);
    *copy = *rule;
    copy->matches = 0;
    copy->rcpts = 0;
    rules->rule[rules->count++] = copy;
    rules->generation++;
}

struct rule *rules_find(struct control *c, uint32_t id)
{
    for (size_t i = 0; i < c->rules->count; i++) {
        if (c->rules->rule[i]->id == id) {
            return c->rules->rule[i];
        }
    }
    return NULL;
}

const struct rule *rules_at(const struct control *c, size_t index)
{
    return index < c->rules->count ? c->rules->rule[index] : NULL;
}

bool rules_any(const struct control *c)
{
    return c->rules->count > 0;
}

void rules_count(struct control *c, const struct delivery *d, int change)
{
    struct rule *rule = rules_find(c, d->held_rule);
    if (rule != NULL) {
        uint64_t one = change > 0 ? 1 : UINT64_MAX;
        assert(change > 0 || (rule->matches > 0 && rule->rcpts >= d->waiting_count));
        rule->matches += one;
        rule->rcpts += one * d->waiting_count;
    }
}

bool rules_hold(struct control *c, struct delivery *d)
{
    struct rules *rules = c->rules;
    if (d->held_rule != 0) {
        return true;
    }
    for (size_t i = 0; i < rules->count; i++) {
        const struct select *select = &rules->rule[i]->select;
        if (d->rule_generation == rules->generation && select_is_fixed(select)) {
            continue;
        }
        if (select_match(c, select, d, NULL) != SELECT_NO) {
            d->held_rule = rules->rule[i]->id;
            return true;
        }
    }
    d->rule_generation = rules->generation;
    return false;
}

bool rules_holds_it(struct control *c, uint32_t id, const struct delivery *d)
{
    if (d->held_rule == id) {
        return true;
    }
    struct rule *rule = rules_find(c, id);
    return rule != NULL && d->held_rule != 0 && !select_has(&rule->select, SELECT_RULE) &&
           select_match(c, &rule->select, d, NULL) == SELECT_YES;
}

void rules_hold_existing(struct control *c, const struct rule *rule)
{
    size_t at = 0;
    for (struct route *r = map_next(&c->routes, &at); r != NULL; r = map_next(&c->routes, &at)) {
        for (struct list *l = r->all.next; l != &r->all; l = l->next) {
            struct delivery *d = list_entry(l, struct delivery, route_node);
            if (d->held_rule != 0 || select_match(c, &rule->select, d, NULL) == SELECT_NO) {
                continue;
            }
            delivery_lift(c, d);
            d->held_rule = rule->id;
            delivery_settle(c, d);
        }
    }
}

uint64_t rules_end(struct control *c, uint32_t id, uint64_t *rcpts_out)
{
    struct rules *rules = c->rules;
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->rule[i]->id == id) {
            free(rules->rule[i]);
            rules->count--;
            memmove(&rules->rule[i], &rules->rule[i + 1],
                    (rules->count - i) * sizeof(struct rule *));
            break;
        }
    }
    rules->generation++;
    uint64_t freed = 0;
    *rcpts_out = 0;
    size_t at = 0;
    for (struct route *r = map_next(&c->routes, &at); r != NULL; r = map_next(&c->routes, &at)) {
        for (struct list *l = r->all.next; l != &r->all; l = l->next) {
            struct delivery *d = list_entry(l, struct delivery, route_node);
            if (d->held_rule != id) {
                continue;
            }
            bool was_held = d->state == DELIVERY_HELD;
            delivery_lift(c, d);
            d->held_rule = 0;
            d->due_ns = c->now.now_ns;
            delivery_settle(c, d);
            if (was_held && d->state == DELIVERY_WAITING) {
                freed++;
                *rcpts_out += d->waiting_count;
            }
        }
    }
    return freed;
}
