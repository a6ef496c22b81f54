/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/worker.h: one worker: network, TCP, SMTP server and clients, run to completion on one
 * lcore, sharing nothing with other workers.
 *
 * Promise: worker_turn makes no system call; 250 leaves only after the writer said durable.
 * Trap:    only the functions marked "any thread" may be called from outside the worker's thread.
 */
#ifndef HOLDFAST_DATAPLANE_WORKER_H
#define HOLDFAST_DATAPLANE_WORKER_H

#include "common/config_fwd.h"
#include "common/id.h"
#include "common/policy.h"
#include "common/siphash.h"
#include "dataplane/net/nic.h"
#include "dataplane/writer.h"

#include <stdbool.h>
#include <stdint.h>

struct counters;
struct worker;

struct worker_settings {
    const struct config *config; /* borrowed for the worker's life */
    uint32_t index;
    struct id_source ids; /* begins with the start number of the spool */
    struct nic *nic;
    struct writer *writer;
    struct counters *counters; /* the worker's own */
    struct siphash_key key;    /* secret of this run */
    /* Zeroed memory for the pools; NULL: malloc. Never given back before the end. */
    void *(*memory)(size_t size, size_t align);
    uint32_t buffer_mib; /* gather and read buffers together */
    /* The nic's port of each of config->interface; NULL: in order. */
    const uint32_t *interface_port;
};

must_check int worker_create(const struct worker_settings *settings, struct worker **worker_out);
void worker_destroy(struct worker *worker);

/* One turn of the loop. Returns true when there was work. */
bool worker_turn(struct worker *worker, uint64_t now_ns, uint64_t wall_ms);
/* When a turn is next needed by the clock alone: for the simulator and for naps. */
uint64_t worker_next_ns(const struct worker *worker);

/* Any thread: use this snapshot from the next turn on. The old one may be unloaded once
 * worker_policy returns the new one. NULL: no policy (RCPT is answered 451). */
void worker_set_policy(struct worker *worker, const struct policy *policy);
const struct policy *worker_policy(const struct worker *worker);

/* Any thread: take commands from this region's down ring from the next turn on, after telling
 * what is in flight. Only after writer_attached() returned the same region. NULL: none. */
void worker_attach(struct worker *worker, struct abi_attach *region);
struct abi_attach *worker_attached(const struct worker *worker);

/* Any thread: no new connections; transactions and deliveries under way may finish. */
void worker_drain(struct worker *worker);
/* Any thread, after worker_drain: what is still under way at next hops is given up and reported, so
 * that a reply we did not wait for is counted as a possible duplicate. */
void worker_abandon(struct worker *worker);
/* Nothing is under way any more (after worker_drain). Any thread. */
bool worker_is_drained(const struct worker *worker);

/* The delivery the worker is busy with at this moment, 0 for none: read by the fault handler. */
uint64_t worker_current_delivery(const struct worker *worker);

#endif
