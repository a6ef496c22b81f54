/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/check_parts.h: the half of core_check (check.h) that looks at each part of the core
 * by itself: rules, routes, outbox, logs, image, attach, rounds. */
#ifndef HOLDFAST_CONTROL_CORE_CHECK_PARTS_H
#define HOLDFAST_CONTROL_CORE_CHECK_PARTS_H

#include "control/core/core.h"

void check_parts(const struct core *core);

#endif
