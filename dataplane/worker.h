/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/worker.h: one worker: network, TCP, SMTP server and clients, run to completion on one
 * lcore, sharing nothing with other workers.
 *
 * Promise: worker_turn makes no system call; a 250 is sent only after the writer has said that the
 *          message is durable.
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
    struct id_source ids; /* begins with the spool's start number */
    struct nic *nic;
    struct writer *writer;
    struct counters *counters; /* the worker's own */
    struct siphash_key key;    /* secret of this run */
    /* Gives zeroed memory for the pools; NULL: malloc. It is not freed before the end. */
    void *(*memory)(size_t size, size_t align);
    uint32_t buffer_mib; /* for gather and read buffers together */
    /* The nic's port for each entry of config->interface; NULL: in order. */
    const uint32_t *interface_port;
};

must_check int worker_create(const struct worker_settings *settings, struct worker **worker_out);
void worker_destroy(struct worker *worker);

/* One turn of the loop. Returns true when there was work. */
bool worker_turn(struct worker *worker, uint64_t now_ns, uint64_t wall_ms);
/* The time at which a turn is needed even if nothing arrives: for the simulator and for naps. */
uint64_t worker_next_ns(const struct worker *worker);

/* Any thread: use this snapshot from the next turn on. The old one may be unloaded once
 * worker_policy returns the new one. NULL: no policy (RCPT is answered 451). */
void worker_set_policy(struct worker *worker, const struct policy *policy);
const struct policy *worker_policy(const struct worker *worker);

/* Any thread: from the next turn on, take commands from this region's down ring, after telling what
 * is in flight. Call it only after writer_attached() returned the same region. NULL: none. */
void worker_attach(struct worker *worker, struct abi_attach *region);
struct abi_attach *worker_attached(const struct worker *worker);

/* Any thread: accept no new connections; transactions and deliveries under way may finish. */
void worker_drain(struct worker *worker);
/* Any thread, after worker_drain: gives up and reports what is still under way at next hops, so
 * that a reply for which nobody waits counts as a possible duplicate. */
void worker_abandon(struct worker *worker);
/* Any thread, after worker_drain: true when nothing is under way any more. */
bool worker_is_drained(const struct worker *worker);

/* The delivery that the worker handles at this moment, 0 for none. The fault handler reads it. */
uint64_t worker_current_delivery(const struct worker *worker);

#endif
