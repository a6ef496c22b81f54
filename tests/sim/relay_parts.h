/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/relay_parts.h: between relay.c and relay_start.c. */
#ifndef HOLDFAST_TESTS_SIM_RELAY_PARTS_H
#define HOLDFAST_TESTS_SIM_RELAY_PARTS_H

#include "tests/sim/relay.h"

/* Runs fn as that process, which may be killed in it: then true. */
bool relay_run(struct relay *relay, enum relay_actor actor, bool (*fn)(struct relay *relay));
void relay_strike(struct relay *relay, enum relay_crash crash);
/* Each tries to start its process; on failure it is to be tried again later. */
bool relay_start_dataplane(struct relay *relay);
bool relay_start_control(struct relay *relay);

#endif
