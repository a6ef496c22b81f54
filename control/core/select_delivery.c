/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/select_delivery.c: see select_delivery.h. */
#include "control/core/select_delivery.h"

#include "common/limits/routes.h"
#include "control/core/index.h"
#include "control/core/rules.h"

/* What the questions of select_facts are answered from. */
struct asked {
    struct control *c;
    const struct delivery *d;
};

static enum outcome class_of(const void *ctx, unsigned rcpt)
{
    const struct asked *asked = ctx;
    assert(rcpt < asked->d->rcpt_count);
    return (enum outcome)asked->d->rcpt[rcpt].outcome;
}

static bool is_held_by(const void *ctx, uint32_t rule_id)
{
    const struct asked *asked = ctx;
    return rules_holds_it(asked->c, rule_id, asked->d);
}

enum select_verdict select_match(struct control *c, const struct select *select,
                                 const struct delivery *d, struct rcptset *mask_out)
{
    const struct asked asked = {.c = c, .d = d};
    const char *hop_name[LIMIT_HOPS_PER_ROUTE];
    for (uint32_t i = 0; i < d->route->hop_count; i++) {
        hop_name[i] = d->route->hop[i]->name;
    }
    struct select_facts facts = {
        .id = d->id,
        .route_name = d->route->name,
        .hop_name = hop_name,
        .hop_count = d->route->hop_count,
        .held_rule = d->held_rule,
        .age_ms = c->now.wall_ms > d->received_ms ? c->now.wall_ms - d->received_ms : 0,
        .state = (enum delivery_state)d->state,
        .pending = delivery_rcpts(d, RCPT_WAITING),
        .frozen = delivery_rcpts(d, RCPT_FROZEN),
        .class_of = class_of,
        .is_held_by = is_held_by,
        .ctx = &asked,
    };
    rcptset_union(&facts.pending, &facts.frozen);
    struct rcptset mask;
    enum select_verdict verdict = select_match_facts(select, &facts, &mask);
    if (verdict == SELECT_NEED_ENVELOPE) {
        struct envelope e;
        if (!catchup_envelope(c, d, &e)) {
            return SELECT_UNREADABLE;
        }
        verdict =
            select_match_envelope(select, &e, id_index(d->id), &mask) ? SELECT_YES : SELECT_NO;
    }
    if (mask_out != NULL) {
        *mask_out = mask;
    }
    return verdict;
}
