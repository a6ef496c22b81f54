/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/apply.h: what the logs and the ring say about deliveries, applied.
 *
 *              DELIVERED                     all done: forgotten
 *   WAITING ──────────────▶ DONE
 *      │  ▲ RELEASE
 *      ▼  │                                  for each recipient; the delivery's own state follows
 *   FROZEN  (5xx classes, FREEZE)            from them, its flight, its route and the rules
 *
 * Promise: every record is applied once (seen.h), whichever way it comes, so that reading a log
 *          again, or after the ring, changes nothing.
 * Trap:    only an entry of the ring may end a flight: a record in the log does not say whether it
 *          was the last of its attempt.
 */
#ifndef HOLDFAST_CONTROL_CORE_APPLY_H
#define HOLDFAST_CONTROL_CORE_APPLY_H

#include "control/core/life.h"

enum apply_result {
    APPLY_NEW = 1, /* the delivery is new, and placed */
    APPLY_KNOWN,   /* it is known, or was */
    APPLY_REFUSED, /* it cannot be: told by a note */
};

/* `envelope`: NULL when it is not at hand; `unreadable`: it never will be. */
enum apply_result apply_commit(struct core *core, const struct life_facts *fact,
                               const struct envelope *envelope, bool unreadable);

struct state_fact {
    uint64_t id;
    uint64_t pos; /* 0: not in the log (an ATTEMPT) */
    struct rcptset rcpts;
    uint64_t time_ms;
    uint32_t hop_id;
    uint16_t code;
    uint16_t flags;
    uint8_t kind;
    uint8_t outcome;
    uint8_t phase;
    bool live; /* it happened just now, not read back from the log */
};
void apply_state(struct core *core, const struct state_fact *fact);
void apply_attempt(struct core *core, const struct state_fact *fact);
/* A message whose envelope is damaged: one delivery, frozen, for a person to see. */
void apply_damaged(struct core *core, struct life_facts *fact);
/* The envelope of `d`, which was unreadable (life_is_unreadable), can be read again: the message's
 * true deliveries, all frozen as damaged, take the place of `d`. `fact`: one for each of them. */
void apply_restored(struct core *core, struct delivery *d, const struct life_facts *fact,
                    size_t count, const struct envelope *envelope);
/* The delivery was believed under way, and is not: it waits again. */
void apply_flight_gone(struct core *core, struct flight *flight);

/* How long a delivery waits after so many attempts. Up to a quarter less, by its id: deliveries
 * that failed together do not return together. */
uint64_t apply_backoff_ns(uint64_t id, uint32_t attempts, uint32_t first_ms, uint32_t max_ms);

#endif
