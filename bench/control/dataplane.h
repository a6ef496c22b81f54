/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/dataplane.h: a dataplane without a network, on a thread of its own: it writes true
 * logs with the spool's writer, tells control of them over true rings, and answers every DELIVER
 * at once. "live" mail is delivered, everything else gets 550.
 *
 * Promise: a COMMIT is put when its record is durable, in the log's order, as in the relay: the
 *          same writer does it (dataplane/writer.h).
 * Trap:    one thread plays worker and writer, on the CPU CAMPUS_LCORE where there is one. With a
 *          disk behind pwritev2 instead of io_uring, a DELIVER is seen only when a sync is done. */
#ifndef HOLDFAST_BENCH_CONTROL_DATAPLANE_H
#define HOLDFAST_BENCH_CONTROL_DATAPLANE_H

#include "bench/bench.h"
#include "bench/pauses.h"
#include "bench/control/campus.h"
#include "common/abi.h"

#include <stdbool.h>

struct dataplane;

/* Of live mail, until its DELIVER is seen. */
struct dataplane_latency {
    const struct bench_pauses *pauses; /* NULL: nobody watches */
    struct bench_histogram whole;      /* since the message was there: the disk's time is in it */
    struct bench_histogram net;        /* the same, without the time in which a CPU paused */
    struct bench_histogram control;    /* since its record was durable */
};

/* Opens the spool in `dir` and starts the thread. `doorbell_fd`: an eventfd that wakes control.
 * 0 or -errno. */
must_check int dataplane_create(const char *dir, uint32_t segment_mib, int doorbell_fd,
                                struct dataplane **out);
void dataplane_destroy(struct dataplane *dp);
const char *dataplane_io_name(const struct dataplane *dp);
void dataplane_set_campus(struct dataplane *dp, const struct campus *campus);

/* Makes fresh rings. Control attaches to them when dataplane_has_taken says that they are in use.
 * The dataplane owns them, and keeps all until dataplane_forget_older. */
struct abi_attach *dataplane_offer(struct dataplane *dp, uint64_t policy_generation);
bool dataplane_has_taken(const struct dataplane *dp, const struct abi_attach *region);
void dataplane_forget_older(struct dataplane *dp, const struct abi_attach *region);

/* Makes so many more messages of the group (not live), each with `share` deliveries of one
 * recipient to as many routes, as fast as control takes them. */
void dataplane_fill(struct dataplane *dp, enum campus_group group, uint64_t messages,
                    uint32_t share);
/* From now on, makes so many live messages a second. Their latency goes into the histograms.
 * rate 0: makes no more; those under way are still delivered, before the next call. */
void dataplane_live(struct dataplane *dp, uint32_t rate, struct dataplane_latency *latency);

/* Durable so far. */
uint64_t dataplane_committed(const struct dataplane *dp, enum campus_group group); /* messages */
uint64_t dataplane_delivered(const struct dataplane *dp); /* live, each once */
uint64_t dataplane_refused(const struct dataplane *dp);   /* attempts */
/* True when nothing is under way here: no submission, no fill, no live mail. */
bool dataplane_is_idle(const struct dataplane *dp);

#endif
