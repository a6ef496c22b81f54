/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/works.h: work that may wait, and so is not done in the loop: files, SQLite,
 * parsing. A work is handed to a lane. The lane's thread runs it, and then the loop takes its
 * result.
 *
 *   loop ── works_submit ──▶ lane: run(work, tools) ──▶ finished ──▶ loop: done(work, control)
 *
 * Without threads (tests, the simulator) somebody calls works_run in place of each thread.
 *
 * Promise: works of one lane run one after the other, in order, but quick ones before those that
 *          are not. run touches the work and the lane's tools, and nothing of the loop's. The loop
 *          waits for no lock: a lane that loses its processor at any point stops nobody else.
 *          WORK_SAVE leaves the disk to mail for most of the time: it rests after each work, unless
 *          it is told to hurry.
 * Trap:    a work that was submitted is not touched by the loop until its done. What takes long
 *          because of what was asked comes in several works: a quick one waits for one at most.
 */
#ifndef HOLDFAST_CONTROL_SHELL_WORKS_H
#define HOLDFAST_CONTROL_SHELL_WORKS_H

#include "common/assert.h"
#include "spool/spool.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct store;
struct works;

enum work_lane {
    WORK_LOGS,  /* reads logs and checkpoint into the table, envelopes for rules; mail waits */
    WORK_LOOK,  /* reads envelopes, replies, bodies, for operators */
    WORK_SAVE,  /* writes checkpoints */
    WORK_STORE, /* the policy database and the policy snapshot */
    WORK_NAMES, /* the user database, which may ask the network: only who acts waits for it */
    WORK_LANES,
};

/* What belongs to one lane. Where there are threads, only the lane's thread uses it. */
struct work_tools {
    struct works *works;
    struct spool_io *io;
    struct store *store;
    struct spool_reader *reader; /* opened at the first use */
};

struct work {
    struct work *next;
    enum work_lane lane;
    bool quick; /* short whatever was asked, and a person waits: only in WORK_LOOK */
    void (*run)(struct work *work, struct work_tools *tools);
    /* Called by the loop. false: call it again in the next turn. true: the work is over, and done
     * has freed it. */
    bool (*done)(struct work *work, struct control *control);
    /* Frees the work when the process ends before it is done. NULL: somebody else owns its
     * memory. */
    void (*drop)(struct work *work);
};

/* Works in order, of one owner. */
struct work_list {
    struct work *first;
    struct work *last;
};

struct works {
    /* Handed over between threads: a stack that its only taker empties at once (works.c). */
    _Atomic(struct work *) submitted[WORK_LANES];
    _Atomic(struct work *) returned;
    sem_t asked[WORK_LANES]; /* a post for each submitted work */
    sem_t room;              /* for parts on their way */
    sem_t ended;             /* a post for each lane when `stopping` */
    atomic_bool stopping;
    atomic_bool hurry; /* no lane rests */

    struct work_list queued[WORK_LANES]; /* the lane's own */
    struct work_list quick[WORK_LANES];  /* the lane's own: those that go first */
    struct work_list finished;           /* the loop's own */
    uint32_t unfinished;                 /* the loop's own: submitted and not yet done */
    bool threaded;                       /* set before the threads start */
    void (*wake)(void *ctx);             /* the loop, from another thread; may be NULL */
    void *wake_ctx;
    struct work_tools tools[WORK_LANES];
};

void works_init(struct works *works, struct spool_io *io, struct store *store);
/* To be called when no thread runs any more. Drops queued and finished works. */
void works_fini(struct works *works);
void works_submit(struct works *works, struct work *work);
/* Runs the first work of that lane. false: there is none. */
bool works_run(struct works *works, enum work_lane lane);
/* The thread of a lane: runs works until works_stop. */
void works_serve(struct works *works, enum work_lane lane);
void works_stop(struct works *works);
/* true: no lane begins a rest, until it is false again. */
void works_hurry(struct works *works, bool hurry);
/* Called from a run: hands a part of its result to the loop, where it is done before the work
 * itself. Waits while many parts are on their way. false: the process ends, give up. */
must_check bool works_part(struct works *works, struct work *part);
/* Called by the loop: calls done of up to `max` finished works. true: there are more. */
bool works_finish(struct works *works, struct control *control, uint32_t max);
/* Something is submitted and not yet done. */
bool works_busy(const struct works *works);
/* The loop, where there are threads: waits until something is finished, at most that long. */
void works_wait(struct works *works, uint32_t timeout_ms);

/* Opens the lane's reader at its first use. 0 or -errno. */
must_check int work_reader(struct work_tools *tools, struct spool_reader **reader_out);

#endif
