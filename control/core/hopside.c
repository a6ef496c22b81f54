/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/hopside.c: what outcomes say about a hop: its breaker and its window. Pure.
 *
 * Promise: a hop that does not answer is left alone but for canaries; one that answers 4xx to
 *          everything (no breaker ever opens) is asked ever fewer at once.
 */
#include "control/core/hopside.h"

enum { TEMPFAILS_HALVE = 8 }; /* 4xx in a row that halve the window */

/* The hop answered to a message: it is there, whatever it said. What was found out before a word
 * was said to it proves nothing. */
static bool is_answer(enum outcome outcome)
{
    return outcome_scope(outcome) == OUTCOME_SCOPE_MESSAGE && outcome != OUTCOME_DAMAGED &&
           outcome != OUTCOME_LOOP && outcome != OUTCOME_SUSPECT && outcome != OUTCOME_POISON;
}

static void closed(struct core *c, struct hop *hop, enum note_kind note)
{
    assert(hop->breaker.state == BREAKER_CLOSED && hop->breaker.failures == 0);
    hop->since_ms = c->now.wall_ms;
    hop->window = 1;
    notes_add(&c->notes, note, hop->name, 0, 0);
}

static void heard_answer(struct core *c, struct hop *hop, enum outcome outcome)
{
    if (breaker_close(&hop->breaker)) {
        closed(c, hop, NOTE_BREAKER_CLOSED);
    }
    assert(hop->breaker.state == BREAKER_CLOSED && hop->breaker.failures == 0);
    if (outcome == OUTCOME_REPLY_4XX) {
        hop->tempfail_run++;
        if (hop->tempfail_run % TEMPFAILS_HALVE == 0 && hop->window > 1) {
            hop->window /= 2;
        }
        return;
    }
    hop->tempfail_run = 0;
    hop->successes += outcome == OUTCOME_DELIVERED;
    if (hop->window < hop->connection_count_max) {
        hop->window++;
    }
    assert(!hop->known || (hop->window > 0 && hop->window <= hop->connection_count_max));
}

void hopside_heard(struct core *c, struct hop *hop, enum outcome outcome, uint16_t code,
                   uint64_t pos, struct flight *flight)
{
    assert(outcome_valid(outcome) && hop != NULL);
    enum outcome_scope scope = outcome_scope(outcome);
    if (scope != OUTCOME_SCOPE_SELF) {
        hop->last_outcome = (uint8_t)outcome;
        hop->last_code = code;
        hop->last_state_pos = pos;
        hop->heard_ns = c->now.now_ns;
    }
    bool was_probe = flight != NULL && flight->probe && flight->hop == hop;
    if (is_answer(outcome)) {
        heard_answer(c, hop, outcome);
    } else if (scope == OUTCOME_SCOPE_HOP && (flight == NULL || !flight->saw_hop)) {
        if (breaker_fail(&hop->breaker, c->now.now_ns, outcome == OUTCOME_GREETING_5XX,
                         was_probe)) {
            hop->since_ms = c->now.wall_ms;
            hop->window = 1;
            notes_add(&c->notes, NOTE_BREAKER_OPEN, hop->name, outcome, 0);
        }
    } else {
        return;
    }
    if (was_probe) {
        flight->probe = false;
    }
    assert(!was_probe || hop->breaker.state != BREAKER_PROBING);
}

void hopside_close(struct core *c, struct hop *hop)
{
    if (breaker_close(&hop->breaker)) {
        closed(c, hop, NOTE_BREAKER_CLOSED_BY_HAND);
    }
    assert(hop->breaker.state == BREAKER_CLOSED);
}

void hopside_close_route(struct core *c, const struct route *route)
{
    assert(route->hop_count <= LIMIT_HOPS_PER_ROUTE);
    for (uint32_t i = 0; i < route->hop_count; i++) {
        hopside_close(c, route->hop[i]);
    }
}
