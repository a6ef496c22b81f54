/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/breaker.h: the breaker of one next hop.
 *
 *             failures in a row, or a 5xx greeting
 *     CLOSED ──────────────────────────────────────▶ OPEN ◀──┐ the probe failed, or said nothing
 *       ▲                                              │     │
 *       └────────── any answer to a message ───────────┴─▶ PROBING   one canary per interval
 *
 * Promise: a dead hop costs one delivery per probe interval, and its breaker closes by itself when
 *          the hop answers again.
 * Trap:    only an outcome that says something about the hop may come here. What a damaged message
 *          causes says nothing of it.
 */
#ifndef HOLDFAST_CONTROL_CORE_BREAKER_H
#define HOLDFAST_CONTROL_CORE_BREAKER_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_OPEN,
    BREAKER_PROBING,
};

struct breaker {
    enum breaker_state state;
    uint32_t failures; /* in a row */
    uint32_t failures_max;
    uint64_t probe_interval_ns;
    uint64_t next_probe_ns;
};

/* The hop failed. `at_once`: it said itself that it takes nothing. `was_probe`: the attempt that
 * failed was the canary. Returns true when this opened a closed breaker. */
bool breaker_fail(struct breaker *breaker, uint64_t now_ns, bool at_once, bool was_probe);
/* The hop answered to a message. Returns true when this closed an open breaker. */
bool breaker_close(struct breaker *breaker);
must_check bool breaker_may_probe(const struct breaker *breaker, uint64_t now_ns);
void breaker_probe_begin(struct breaker *breaker);
/* The canary ended and did not close the breaker: another may go after `delay_ns`. */
void breaker_probe_cancel(struct breaker *breaker, uint64_t now_ns, uint64_t delay_ns);
const char *breaker_state_text(enum breaker_state state);

#endif
