/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/up.h: the consumer of the up ring. */
#ifndef HOLDFAST_CONTROL_CORE_UP_H
#define HOLDFAST_CONTROL_CORE_UP_H

#include "control/core/core.h"

/* Takes what the ring has, up to a bound. true: it took something. */
bool up_turn(struct core *core);
/* The answer to wishes.logs. `error`: 0 or -errno. */
void up_logs_read(struct core *core, uint64_t ticket, int error);

#endif
