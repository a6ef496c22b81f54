/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/relay_parts.h: what the files of relay.h share. */
#ifndef HOLDFAST_TESTS_SIM_RELAY_PARTS_H
#define HOLDFAST_TESTS_SIM_RELAY_PARTS_H

#include "tests/sim/relay.h"

/* relay_ask.c: the answer to a request, when it is complete; a pending one when control waits for
 * others. `hasty`: does not wait. */
json_t *relay_await(struct relay *relay, json_t *answer, bool hasty);
/* Runs fn as that process. Returns true when the process was killed in it. */
bool relay_run(struct relay *relay, enum relay_actor actor, bool (*fn)(struct relay *relay));
void relay_strike(struct relay *relay, enum relay_crash crash);
/* Each tries to start its process. After a failure it is tried again later. */
bool relay_start_dataplane(struct relay *relay);
bool relay_start_control(struct relay *relay);
/* relay_ask.c: ends relay_deafen when its time is over. */
void relay_listen(struct relay *relay);
/* True: the worker took the cursed delivery, and the dataplane has crashed. */
bool relay_curse(struct relay *relay);
/* Records the last run's fault in the state log, as dataplane/main.c does. 0 or -errno. */
int relay_record_fault(struct relay *relay);

#endif
