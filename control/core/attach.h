/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/attach.h: what control knows of the dataplane that it is attached to.
 *
 *   NONE ─core_attach─▶ HELLO ──────────────────────────▶ INFLIGHT ─▶ RUNNING
 *                             the shell reads both logs
 *
 * Trap: while the shell reads the logs (`reading`), nothing is taken from the up ring, and nothing
 *       is sent: the next entries of the ring are about mail that the logs tell first. */
#ifndef HOLDFAST_CONTROL_CORE_ATTACH_H
#define HOLDFAST_CONTROL_CORE_ATTACH_H

#include "common/abi.h"
#include "common/envelope_ring.h"
#include "common/assert.h"
#include "common/limits/ring.h"

#include <stdbool.h>

enum attach_phase {
    ATTACH_NONE,
    ATTACH_HELLO,    /* waiting for HELLO; then, `reading`, for the logs */
    ATTACH_INFLIGHT, /* waiting for INFLIGHT_END */
    ATTACH_RUNNING,
};

struct attach {
    enum attach_phase phase;
    bool reading;   /* the shell reads the logs: for HELLO, or for a gap */
    bool for_hello; /* for which of them */
    bool has_held;  /* the entry behind the gap waits */
    struct abi_up held;
    struct abi_attach *region;
    uint32_t worker_count;
    uint32_t ends_left; /* INFLIGHT_ENDs to come: one per worker */
    struct ring_end up;
    struct envelope_ring_end envelopes;
    struct ring_end down[LIMIT_WORKERS];
    uint32_t in_flight[LIMIT_WORKERS];
    uint64_t number; /* the next one expected */
    uint64_t ticket; /* counts attaches: an answer for an older one is stale */
    uint32_t start;
    uint32_t credits;
    uint64_t hello_message_pos;
    uint64_t since_ns;
    bool wanted_again;
};

/* Onto that worker's ring. false: it is full. */
must_check static inline bool attach_put(struct attach *a, uint32_t worker,
                                         const struct abi_down *down)
{
    assert(a->phase >= ATTACH_INFLIGHT && worker < a->worker_count);
    return ring_put(&a->down[worker], down);
}

/* A bit for each worker. */
static inline uint32_t attach_workers(const struct attach *a)
{
    assert(a->worker_count <= LIMIT_WORKERS && LIMIT_WORKERS < 32);
    return (1u << a->worker_count) - 1;
}

/* Every worker has the policy of that generation: it knows all hops. */
static inline bool attach_policy_adopted(const struct attach *a, uint64_t generation)
{
    assert(a->region != NULL);
    return atomic_load_explicit(&a->region->policy_adopted, memory_order_acquire) >= generation;
}

#endif
