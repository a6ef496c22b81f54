/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/check.h: does everything in the core agree with everything else?
 *
 * A delivery is found in many ways: by its id, by its place in a queue, by its flight, in the sets
 * of rules, in the sums that status shows. Each of them is kept by itself, in small steps. The
 * check walks all deliveries, counts anew, and compares.
 *
 * Promise: every disagreement ends the process, at the assertion that names it. Nothing is changed.
 * Trap:    it takes time and memory in proportion to the table: it is for tests, the simulator and
 *          fuzz targets, between two turns, and never for the daemon.
 */
#ifndef HOLDFAST_CONTROL_CORE_CHECK_H
#define HOLDFAST_CONTROL_CORE_CHECK_H

#include "control/core/core.h"

void core_check(const struct core *core);

#endif
