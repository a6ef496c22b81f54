/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/delivery.h: one delivery, in 48 bytes: one message on one route.
 *
 * Most deliveries have one recipient and lie in one record of the message log. A delivery with more
 * recipients or records has a block of its own (`wide`). One that waits or is under way has a
 * struct live as well (schedule.h).
 *
 * Promise: a held or frozen delivery of one recipient costs these 48 bytes and its place in the
 *          index (index.h).
 * Trap:    recipients change only between life_lift and life_settle (life.h), which keep the sums.
 */
#ifndef HOLDFAST_CONTROL_CORE_DELIVERY_H
#define HOLDFAST_CONTROL_CORE_DELIVERY_H

#include "control/core/delivery_state.h"
#include "control/core/image_record.h"

#include "common/assert.h"
#include "common/outcome.h"
#include "common/rcptset.h"

#include <stdbool.h>
#include <stdint.h>

struct rcpt {
    uint64_t state_pos; /* the state record with the last reply; 0: none */
    uint16_t code;
    uint8_t state;   /* enum rcpt_state */
    uint8_t outcome; /* enum outcome: the last */
};

struct delivery_wide {
    uint64_t commit_pos;
    uint16_t rcpt_count;
    uint16_t waiting_count;
    uint16_t frozen_count;
    struct rcpt rcpt[];
};

enum {
    DELIVERY_ATTEMPTS_MAX = 511,
    DELIVERY_FAULTS_MAX = 3,
    DELIVERY_DOT_LOSSES_MAX = 7,
};

struct delivery {
    uint64_t id; /* 0: this place is free */
    uint64_t first_pos;
    union {
        uint64_t state_pos;         /* one recipient: its struct rcpt, with code, outcome and */
        struct delivery_wide *wide; /* rcpt_state below */
        uint64_t next_free;         /* a free place: the next one, by slot + 1 */
    };
    uint64_t received_ms : 42; /* since 1970: until 2109 */
    uint64_t attempts : 9;     /* stays at DELIVERY_ATTEMPTS_MAX */
    uint64_t state : 3;        /* enum delivery_state */
    uint64_t faults : 2;       /* the dataplane faulted over it */
    uint64_t dot_losses : 3;   /* connections lost at its dot while others passed */
    uint64_t is_wide : 1;
    uint64_t freezing : 1;  /* a FREEZE is on its way to the log: not sent meanwhile */
    uint64_t releasing : 1; /* a RELEASE likewise */
    uint64_t noted : 1;     /* the envelope terms of some rule match (rules.h) */
    uint64_t unjudged : 1;  /* the rules have not seen its envelope yet: not sent before */
    uint32_t body_bytes;
    uint32_t live;      /* waiting or in flight: its struct live; held: the rule's id */
    uint16_t route;     /* index in struct routes */
    uint16_t hop;       /* the last one tried; 0: none */
    uint16_t code;      /* one recipient */
    uint8_t outcome;    /* one recipient */
    uint8_t rcpt_state; /* one recipient: enum rcpt_state */
};
_Static_assert(sizeof(struct delivery) == 48, "a held delivery costs 48 bytes and its index entry");

/* `wide` is needed for more than one recipient, or more than one record. */
void delivery_init(struct delivery *d, uint64_t id, uint64_t first_pos, uint64_t commit_pos,
                   unsigned rcpt_count);
/* Gives back what it has elsewhere. */
void delivery_fini(struct delivery *d);

static inline unsigned delivery_rcpt_count(const struct delivery *d)
{
    return d->is_wide ? d->wide->rcpt_count : 1;
}

static inline unsigned delivery_waiting_count(const struct delivery *d)
{
    return d->is_wide ? d->wide->waiting_count : d->rcpt_state == RCPT_WAITING;
}

static inline unsigned delivery_frozen_count(const struct delivery *d)
{
    return d->is_wide ? d->wide->frozen_count : d->rcpt_state == RCPT_FROZEN;
}

static inline uint64_t delivery_commit_pos(const struct delivery *d)
{
    return d->is_wide ? d->wide->commit_pos : d->first_pos;
}

/* Recipient i, below delivery_rcpt_count. */
struct rcpt delivery_rcpt(const struct delivery *d, unsigned i);
void delivery_set_rcpt(struct delivery *d, unsigned i, struct rcpt rcpt);
/* Those in that state. */
struct rcptset delivery_rcpts(const struct delivery *d, enum rcpt_state state);
/* The class that is shown for the delivery: that of its first frozen recipient, or of its first
 * waiting one when none is frozen. */
enum outcome delivery_class(const struct delivery *d, unsigned *rcpt_out);

#endif
