/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/sieve.h: finds the deliveries that a selection means. Each step looks at some
 * slots.
 *
 *   slots ─▶ what the core knows ─▶ (terms that ask the envelope: a lane reads it) ─▶ visit
 *
 * Promise: a delivery that exists and matches during the whole walk is visited exactly once. When
 *          it is visited, it exists, and its mask names only recipients that are not delivered yet.
 * Trap:    while the lane looks (`looking`), the sieve stays where it is.
 */
#ifndef HOLDFAST_CONTROL_ADMIN_SIEVE_H
#define HOLDFAST_CONTROL_ADMIN_SIEVE_H

#include "control/admin/job.h"
#include "control/admin/moment.h"

enum { SIEVE_BATCH = 128 };

struct sieve_item {
    uint64_t id;
    uint64_t first_pos;
    struct rcptset mask;
    bool unreadable;
};

struct sieve;
typedef void (*sieve_visit_fn)(struct sieve *sieve, struct control *control, struct delivery *d,
                               const struct rcptset *mask);
/* Called in the lane for each that matches. `envelope` NULL: it is unreadable. */
typedef void (*sieve_look_fn)(struct sieve *sieve, const struct sieve_item *item,
                              const struct envelope *envelope);

struct sieve {
    struct work work;
    struct job *job;
    const struct select *select;
    bool unreadable_counts;      /* an unreadable envelope matches: for a hold */
    bool acts;                   /* a visit does more than count: fewer of them in a step */
    const struct moment *moment; /* the selection is asked as of then; NULL: as of each step */
    sieve_visit_fn visit;
    sieve_look_fn look; /* NULL: not wanted */
    void *ctx;

    uint32_t slot;
    uint64_t of_message; /* the selection names a message: only its deliveries are visited */
    unsigned of_index;
    bool at_end;
    size_t count;
    struct sieve_item item[SIEVE_BATCH];
};

/* The selection is borrowed; an empty one means all. */
void sieve_init(struct sieve *sieve, struct job *job, const struct select *select,
                sieve_visit_fn visit, void *ctx);
/* true: all were visited. false: call it again in the next turn in which the job is not under
 * way. */
must_check bool sieve_step(struct sieve *sieve, struct control *control);

#endif
