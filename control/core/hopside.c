/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/hopside.c: what outcomes say about a hop: its breaker and its window.
 *
 * Promise: a hop that does not answer is left alone but for canaries; one that answers 4xx to
 *          everything (no breaker ever opens) is asked ever fewer at once.
 */
#include "control/core/core.h"

enum { TEMPFAILS_HALVE = 8 }; /* 4xx in a row that halve the window */

/* The hop answered to a message: it is there, whatever it said. What was found out before a word
 * was said to it proves nothing. */
static bool is_answer(const struct state_fact *fact)
{
    enum outcome outcome = (enum outcome)fact->outcome;
    if (outcome_scope(outcome) != OUTCOME_SCOPE_MESSAGE) {
        return false;
    }
    return outcome != OUTCOME_DAMAGED && outcome != OUTCOME_LOOP && outcome != OUTCOME_SUSPECT &&
           outcome != OUTCOME_POISON;
}

static void heard_answer(struct control *c, struct hop *hop, const struct state_fact *fact)
{
    if (breaker_close(&hop->breaker)) {
        hop->since_ms = c->now.wall_ms;
        hop->window = 1;
        control_say(c, 6, "hop %s answers again: breaker closed", hop->name);
    }
    if (fact->outcome == OUTCOME_REPLY_4XX) {
        hop->tempfail_run++;
        if (hop->tempfail_run % TEMPFAILS_HALVE == 0 && hop->window > 1) {
            hop->window /= 2;
        }
        return;
    }
    hop->tempfail_run = 0;
    hop->successes += fact->outcome == OUTCOME_DELIVERED;
    if (hop->window < hop->connection_count_max) {
        hop->window++;
    }
}

void hopside_heard(struct control *c, struct hop *hop, const struct state_fact *fact,
                   struct flight *flight)
{
    enum outcome outcome = (enum outcome)fact->outcome;
    enum outcome_scope scope = outcome_scope(outcome);
    if (scope != OUTCOME_SCOPE_SELF) {
        hop->last_outcome = fact->outcome;
        hop->last_code = fact->code;
        hop->last_state_pos = fact->pos;
    }
    bool was_probe = flight != NULL && flight->probe;
    if (is_answer(fact)) {
        heard_answer(c, hop, fact);
        if (flight != NULL) {
            flight->probe = false;
        }
    } else if (scope == OUTCOME_SCOPE_HOP && (flight == NULL || !flight->saw_hop)) {
        if (breaker_fail(&hop->breaker, c->now.now_ns, outcome == OUTCOME_GREETING_5XX,
                         was_probe)) {
            hop->since_ms = c->now.wall_ms;
            hop->window = 1;
            control_say(c, 4, "hop %s: breaker open: %s", hop->name, outcome_meaning(outcome));
        }
        if (flight != NULL) {
            flight->probe = false;
        }
    }
}

void hopside_close(struct control *c, struct hop *hop)
{
    if (breaker_close(&hop->breaker)) {
        hop->since_ms = c->now.wall_ms;
        hop->window = 1;
        control_say(c, 6, "hop %s: breaker closed by an operator", hop->name);
    }
}
