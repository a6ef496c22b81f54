/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/life.h: the life of a delivery: whatever changes one does it between a lift and a
 * settle.
 *
 *     life_lift    out of queues and sums; the image takes it as it is
 *        │         … recipients, times, counts change …
 *     life_settle  complete? removed. Else blamed, placed, into the sums and the queue of its place
 *
 *   placed:  under way ▸ IN_FLIGHT   nobody waits ▸ FROZEN   no route ▸ ORPHAN   a rule ▸ HELD
 *            else WAITING: by time, ready, or until the rules have seen its envelope
 *
 * Promise: the sums that status shows are kept, not counted.
 * Trap:    after life_settle the delivery may be gone.
 */
#ifndef HOLDFAST_CONTROL_CORE_LIFE_H
#define HOLDFAST_CONTROL_CORE_LIFE_H

#include "control/core/core.h"

enum {
    LIFE_FREEZE_FAULTS = 2, /* faults after which a delivery is suspect */
    LIFE_POISON_LOSSES = 5, /* connections lost at one message's dot while others pass */
};

struct life_facts {
    uint64_t id;
    uint64_t first_pos;
    uint64_t commit_pos;
    uint64_t received_ms;
    uint32_t route_id;
    uint32_t body_bytes;
    uint16_t rcpt_count;
};

/* Makes a delivery, whose id must be new. It is lifted: the caller settles it. */
struct delivery *life_begin(struct core *core, const struct life_facts *facts);
/* Returns its struct live: the caller may change when it is due. */
struct live *life_lift(struct core *core, struct delivery *d);
/* false: it was complete, and is gone. */
bool life_settle(struct core *core, struct delivery *d);
/* Lift and settle: to its place anew. */
void life_replace(struct core *core, struct delivery *d);
/* It waits in a queue. true: a rule holds it now, or its route is not known any more, and it went
 * to that place. */
must_check bool life_leaves_queue(struct core *core, struct delivery *d);

/* The envelope has come; NULL: it cannot be read. */
void life_judge(struct core *core, struct delivery *d, const struct envelope *envelope);
/* RELEASE of those of its frozen recipients is on its way. */
void life_release(struct core *core, struct delivery *d, const struct rcptset *rcpts);

/* Its envelope could not be read: nobody knows for whom it is. It stays frozen, whatever is
 * released. */
bool life_is_unreadable(const struct core *core, const struct delivery *d);

/* What a selection may ask of it. Borrows from the core; not to be copied. */
struct life_view {
    struct select_facts facts;
    const struct core *core;
    const struct delivery *d;
};
void life_view_init(struct life_view *view, const struct core *core, const struct delivery *d);

#endif
