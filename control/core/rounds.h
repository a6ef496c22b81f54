/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rounds.h: two walks over all deliveries, some slots in each turn.
 *
 *   resettle   after a configuration: each delivery that waits goes to its place anew
 *   census     finds what no sum can keep: the oldest mail of each route, and the oldest of it that
 *              met 4xx. After changes, once a second at most
 */
#ifndef HOLDFAST_CONTROL_CORE_ROUNDS_H
#define HOLDFAST_CONTROL_CORE_ROUNDS_H

#include "control/core/core.h"

/* Starts (again) at the first slot. */
void rounds_resettle(struct core *core);
/* true: there is more to do now. */
bool rounds_turn(struct core *core);
uint64_t rounds_next_ns(const struct core *core);

#endif
