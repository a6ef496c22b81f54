/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/core.h: the pure core of holdfast-control, and what it is made of.
 *
 *     core_turn, core_attach, image              what the shell calls
 *        │
 *     up ─▶ apply ─▶ hopside    send             what ring and logs say; choosing
 *        │     │                 │
 *        └──▶ life ◀─────────────┘               lift, settle, judge, place: the life of a delivery
 *              │
 *     rules  schedule  flights  outbox  journal  what a delivery waits in or hangs from
 *              │
 *            index  routes  notes                where things lie; leaves
 *
 * The core takes its state, an input and the time, and gives a new state and outputs. It names no
 * file, clock, database, JSON, log or process. Its outputs are entries of the down rings, notes,
 * and the wishes in struct wishes. The shell does what they ask for, and answers by the calls in
 * feed.h. check.h compares all of its parts with each other, in tests.
 *
 * Trap:    a delivery is changed only between life_lift and life_settle (life.h).
 */
#ifndef HOLDFAST_CONTROL_CORE_CORE_H
#define HOLDFAST_CONTROL_CORE_CORE_H

#include "control/core/attach.h"
#include "control/core/flight.h"
#include "control/core/image.h"
#include "control/core/index.h"
#include "control/core/journal.h"
#include "control/core/notes.h"
#include "control/core/outbox.h"
#include "control/core/routes.h"
#include "control/core/rules.h"
#include "control/core/schedule.h"
#include "control/core/suspects.h"
#include "control/core/wishes.h"

struct control_time {
    uint64_t now_ns;  /* monotonic */
    uint64_t wall_ms; /* since 1970; it may be set back */
};

struct core {
    struct control_time now;
    uint64_t newest_wall_ms; /* the latest that the clock showed, or that mail was received at */
    uint32_t retry_first_ms;
    uint32_t retry_max_ms;
    uint64_t policy_generation; /* the newest published */
    bool rules_lost;            /* the shell lost the operators' rules: nothing new is sent */

    struct index index;
    struct routes routes;
    struct rules rules;
    struct schedule schedule;
    struct flights flights;
    struct suspects suspects;
    struct journal journal;
    struct outbox outbox;
    struct attach attach;
    struct image image;
    struct notes notes;
    struct wishes wishes;
    struct {
        bool resettling;
        bool counting;
        uint32_t resettle_slot;
        uint32_t census_slot;
        uint64_t census_changes; /* `changes` when the last census began */
        uint64_t census_ns;      /* not before */
    } rounds;
    uint64_t changes; /* counts every change of a delivery: what looks now and then asks it */
};

void core_init(struct core *core, const struct siphash_key *key, struct control_time now);
void core_fini(struct core *core);
/* The configuration, with durable ids in it, is in force. Deliveries go to their places anew by
 * rounds.h, over the next turns. */
void core_configure(struct core *core, const struct config *config);

/* One bounded turn: takes from the up ring, sends, fills the down rings. Returns true when there is
 * more to do at once. */
bool core_turn(struct core *core);
/* When the next turn has something to do by the clock alone. */
uint64_t core_next_ns(const struct core *core);

/* Starts on fresh rings (an initialised region of abi_attach_size). */
void core_attach(struct core *core, struct abi_attach *region, uint32_t worker_count);
/* The dataplane is gone: deliveries under way wait again. The region is not touched any more. */
void core_detach(struct core *core);

#endif
