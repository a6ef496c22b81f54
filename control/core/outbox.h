/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/outbox.h: what goes down to the workers besides deliveries.
 *
 *   state commands   become state records: RELEASE by an operator, FREEZE by our own judgement.
 *                    They are sent some at a time, and again after each attach. One is done when
 *                    its record is seen in the state log
 *   fences           ask a worker to pass everything queued before them
 *   offers           of segments without live mail, and of the state log below a checkpoint
 *
 * Promise: a command stays until its record is seen, across attaches and gaps.
 * Trap:    what is here dies with the process. A release is in the policy database as a job until
 *          all of it is done; a freeze is derived again from the logs.
 */
#ifndef HOLDFAST_CONTROL_CORE_OUTBOX_H
#define HOLDFAST_CONTROL_CORE_OUTBOX_H

#include "control/core/attach.h"
#include "control/core/journal.h"
#include "control/core/map.h"

#include "common/list.h"
#include "common/outcome.h"

enum {
    OUTBOX_OUTSTANDING = 1024, /* commands not answered yet: a quarter of a down ring */
    OUTBOX_FULL = 8192,        /* who releases many waits while there are so many */
};

struct pending {
    uint64_t id;
    struct list node;
    struct rcptset rcpts;
    uint8_t kind; /* enum abi_state_kind */
    uint8_t outcome;
    bool sent;
};

struct fence {
    uint64_t token;
    struct list node;
    uint32_t waiting; /* bit per worker that has not answered */
    uint32_t unsent;  /* bit per worker that has not been asked on this attach */
};

struct outbox {
    struct map releases;
    struct map freezes;
    struct list unsent;
    uint32_t sent_count;
    struct list fences;
    uint32_t fence_count;
    uint64_t fence_token;
    uint64_t offer_ns;    /* when to offer again what the writer did not take */
    uint64_t recycle_seq; /* what STATE_RECYCLE is to say; 0: nothing */
};

void outbox_init(struct outbox *outbox);
void outbox_fini(struct outbox *outbox);

void outbox_add(struct outbox *outbox, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                const struct rcptset *rcpts);
/* Its record is in the log. Returns true when nothing of the command is left. */
bool outbox_done(struct outbox *outbox, uint64_t id, enum abi_state_kind kind,
                 const struct rcptset *rcpts);
struct pending *outbox_find(const struct outbox *outbox, uint64_t id, enum abi_state_kind kind);
/* There is nothing (left) to do for it. */
void outbox_forget(struct outbox *outbox, struct pending *pending);
/* The first unsent one, NULL: none, or enough are outstanding. */
struct pending *outbox_next(const struct outbox *outbox);
/* false: the ring is full. */
must_check bool outbox_send(struct outbox *outbox, struct attach *attach, struct pending *pending);
/* Fresh rings, or none: all is to be sent again. */
void outbox_resend_all(struct outbox *outbox);

/* A token; the fence is sent to every worker of this attach. */
uint64_t outbox_fence(struct outbox *outbox, const struct attach *attach);
/* Every worker has passed it (or there are none), or it is unknown. One passed is forgotten. */
bool outbox_fence_passed(struct outbox *outbox, const struct attach *attach, uint64_t token);
void outbox_fence_answer(struct outbox *outbox, uint64_t token, uint32_t worker);
void outbox_fences_again(struct outbox *outbox, const struct attach *attach, bool fresh);

/* Fences, offers, the state log's offer. true: something was put. */
bool outbox_turn(struct outbox *outbox, struct attach *attach, struct journal *journal,
                 uint64_t now_ns);
/* Only the state log's offer: a full state log keeps the set in flight from coming to its end. */
bool outbox_offer_states(struct outbox *outbox, struct attach *attach);

#endif
