/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/job.h: an operator's request while it is carried out: a step of it in each turn.
 *
 *   control_admin ─▶ job ─ step, step, … ─▶ answer ─▶ control_admin_ready
 *                     └─▶ a lane, and back (under_way)
 *
 * Promise: a step is bounded. A job that changes something is completed even when nobody waits for
 *          its answer any more. A job that only looks ends with its client.
 * Trap:    a job whose work is in a lane (under_way) is not freed before the work has come back.
 */
#ifndef HOLDFAST_CONTROL_ADMIN_JOB_H
#define HOLDFAST_CONTROL_ADMIN_JOB_H

#include "control/core/life.h"
#include "control/shell/parts.h"

struct admin_request {
    json_t *json; /* the job's own reference */
    const char *cmd;
    char who[RULES_AUTHOR_SIZE];
    char reason[RULES_REASON_SIZE];
    struct select select;
    bool dry_run;
    char *select_text; /* the request's text, for rule and audit */
};

struct job {
    struct list node;
    uint64_t token;
    struct admin_request request;
    /* Takes one step. true: it did something, or has more to do at once. */
    bool (*step)(struct job *job, struct control *control);
    /* Frees what lies behind the struct job; may be NULL. What is large it leaves in `answer`. */
    void (*fini)(struct job *job);
    json_t *answer;  /* not NULL: the answer is complete */
    bool looks;      /* changes nothing: ends when nobody waits for it */
    bool background; /* no client waits for an answer */
    bool forgotten;
    bool under_way; /* a lane has it */
    bool over;      /* a background job is done, or the answer was taken */
};

/* Makes a job of `size` bytes that begins with a struct job, and takes the request over. */
void *job_create(struct control *control, size_t size, struct admin_request *request,
                 bool (*step)(struct job *job, struct control *control));
/* Gives the job's work to a lane. */
void job_submit(struct job *job, struct control *control, struct work *work);
/* Takes a step of every job. true: there is more to do at once. */
bool jobs_turn(struct control *control);
void jobs_fini(struct control *control);
/* The number of background jobs, or of the others. */
size_t jobs_count(const struct control *control, bool background);

#endif
