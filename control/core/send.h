/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/send.h: which delivery goes to which hop, and when. */
#ifndef HOLDFAST_CONTROL_CORE_SEND_H
#define HOLDFAST_CONTROL_CORE_SEND_H

#include "control/core/core.h"

/* Sends what is due and finds a place at its hop, up to a bound. Returns true when it did
 * something. */
bool send_turn(struct core *core);
/* Sends state commands, up to a bound. Returns true when it did something. */
bool send_commands(struct core *core);
/* When send_turn has something to do by the clock alone. */
uint64_t send_next_ns(const struct core *core);

#endif
