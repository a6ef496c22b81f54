/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/job.h: an operator's request while it is carried out: a step of it in each turn.
 *
 *   control_admin ─▶ job ─ step, step, … ─▶ answer ─▶ control_admin_ready
 *                     └─▶ a lane, and back (under_way)
 *
 * Promise: a step is bounded. A job that changes something is carried out whether or not somebody
 *          still waits for its answer; one that only looks ends with its client.
 * Trap:    a job with a lane (under_way) is not freed before its work came back.
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
    char *select_text; /* as it came, for rule and audit */
};

struct job {
    struct list node;
    uint64_t token;
    struct admin_request request;
    /* One step. true: it did something, or has more to do at once. */
    bool (*step)(struct job *job, struct control *control);
    void (*fini)(struct job *job); /* of what follows the struct job; may be NULL */
    json_t *answer;                /* set: it is complete */
    bool looks;                    /* changes nothing: ends when nobody waits */
    bool background;               /* nobody ever waits for an answer */
    bool forgotten;
    bool under_way; /* with a lane */
    bool over;      /* background: it is done */
};

/* A job of `size` bytes that begins with a struct job; takes the request over. */
void *job_create(struct control *control, size_t size, struct admin_request *request,
                 bool (*step)(struct job *job, struct control *control));
/* Gives the job to a lane. */
void job_submit(struct job *job, struct control *control, struct work *work);
/* Steps every job. true: there is more to do at once. */
bool jobs_turn(struct control *control);
void jobs_fini(struct control *control);
/* Of those that nobody waits for: how many. */
size_t jobs_count(const struct control *control, bool background);

#endif
