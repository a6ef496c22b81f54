/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/housekeeping.h: what the main thread does for the other threads, a few times a second:
 * the root region and its heartbeat, control's attaches, policy snapshots, the sums of the
 * counters.
 *
 * Promise: when control dies, restarts or writes nonsense, the workers go on; they only get fewer
 *          commands.
 * Trap:    memory of a region or a snapshot is unmapped only after every thread uses its successor.
 *          A thread may be slow (the writer waits for the disk). So handing over takes many turns,
 *          and the heartbeat goes on meanwhile.
 */
#ifndef HOLDFAST_DATAPLANE_HOUSEKEEPING_H
#define HOLDFAST_DATAPLANE_HOUSEKEEPING_H

#include "common/assert.h"
#include "common/config_fwd.h"
#include "common/limits/ring.h"
#include "dataplane/door.h"
#include "dataplane/worker.h"
#include "dataplane/writer.h"

#include <stdint.h>

struct housekeeping {
    const struct config *config;
    struct writer *writer;
    struct counters *writer_counters;
    uint32_t worker_count;
    struct worker *worker[LIMIT_WORKERS];
    struct counters *worker_counters[LIMIT_WORKERS];
    uint32_t start;

    struct door door;
    struct abi_root *root;
    struct abi_attach *region; /* in use by all threads */
    struct abi_attach *coming; /* being handed over */
    uint64_t epoch;            /* of the last attach that was accepted or refused */
    struct snapshot {
        const struct policy *policy;
        void *data;
        size_t bytes;
    } policy, policy_coming;
    uint64_t policy_failed_ns; /* when the snapshot could not be read; 0: it was read */
};

/* Makes the root region, loads the last policy snapshot, if there is one, and opens the door. 0 or
 * -errno and a line; housekeeping_fini is right in both cases. */
must_check int housekeeping_init(struct housekeeping *h, const struct place *place,
                                 char error_out[CONFIG_ERROR_SIZE]);
void housekeeping_fini(struct housekeeping *h);
/* One round; now_ns is CLOCK_MONOTONIC. */
void housekeeping_turn(struct housekeeping *h, uint64_t now_ns);

#endif
