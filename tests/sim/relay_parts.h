/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/relay_parts.h: between relay.c and relay_start.c. */
#ifndef HOLDFAST_TESTS_SIM_RELAY_PARTS_H
#define HOLDFAST_TESTS_SIM_RELAY_PARTS_H

#include "tests/sim/relay.h"

/* relay_ask.c: the answer to a request that may be pending, once it is complete; still pending when
 * control waits for others. `hasty`: does not wait. */
json_t *relay_await(struct relay *relay, json_t *answer, bool hasty);
/* Runs fn as that process, which may be killed in it: then true. */
bool relay_run(struct relay *relay, enum relay_actor actor, bool (*fn)(struct relay *relay));
void relay_strike(struct relay *relay, enum relay_crash crash);
/* Each tries to start its process; on failure it is to be tried again later. */
bool relay_start_dataplane(struct relay *relay);
bool relay_start_control(struct relay *relay);
/* relay_ask.c: ends relay_deafen when its time has come. */
void relay_listen(struct relay *relay);
/* True: the worker took the cursed delivery, and the dataplane is gone. */
bool relay_curse(struct relay *relay);
/* Names the last run's fault in the state log, as dataplane/main.c does. 0 or -errno. */
int relay_record_fault(struct relay *relay);

#endif
