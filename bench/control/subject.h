/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/subject.h: runs control as holdfast-control does. Only this part of the benchmark
 * calls control's functions, and changes with them.
 *
 * Promise: what main.c does in its loop happens here, in the same order; a request is text, as on
 *          the admin socket, and so is its answer.
 * Trap:    one thread calls all of this: the one whose turns are measured. */
#ifndef HOLDFAST_BENCH_CONTROL_SUBJECT_H
#define HOLDFAST_BENCH_CONTROL_SUBJECT_H

#include "bench/control/campus.h"
#include "bench/control/dataplane.h"

#include <stdbool.h>

struct subject;

/* How long each step of a start took. */
struct subject_start {
    uint64_t config_ns;  /* reading the configuration */
    uint64_t create_ns;  /* database, routes, policy */
    uint64_t answer_ns;  /* from the beginning of "create" to the first answer of status */
    uint64_t recover_ns; /* the table, from checkpoint and logs, as far as the start waits */
};

/* Starts control with <dir>/<name>, a configuration of campus_write. When it cannot, the program
 * ends with a line that says why. */
struct subject *subject_start(const char *dir, const char *name, struct dataplane *dp,
                              int doorbell_fd, struct subject_start *start_out);
/* `clean`: as at SIGTERM, with a checkpoint; else as at a kill. */
void subject_end(struct subject *s, bool clean);
void subject_campus(const struct subject *s, struct campus *campus_out);

/* One turn of control's loop, without requests, and the sleep after it. Returns true when there was
 * work. */
bool subject_turn(struct subject *s);
void subject_sleep(struct subject *s, bool worked);

/* Asks one request. The caller frees the answer. NULL: subject_ready gives it later. */
char *subject_ask(struct subject *s, const char *request, uint64_t *token_out);
char *subject_ready(struct subject *s, uint64_t token);

/* Begins a reload of <dir>/<name>, as SIGHUP does. subject_is_settled says when it is done. */
void subject_reload(struct subject *s, const char *name);
/* Begins a checkpoint, as when its interval is over. */
void subject_checkpoint(struct subject *s);
/* True when neither a reload nor a checkpoint is under way. */
bool subject_is_settled(const struct subject *s);

#endif
