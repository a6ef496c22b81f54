/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/hopside.h: what an outcome says about the hop: its breaker and its window. */
#ifndef HOLDFAST_CONTROL_CORE_HOPSIDE_H
#define HOLDFAST_CONTROL_CORE_HOPSIDE_H

#include "control/core/core.h"

/* An outcome of a try at that hop. `pos`: its state record, 0 without one. `flight` may be NULL. */
void hopside_heard(struct core *core, struct hop *hop, enum outcome outcome, uint16_t code,
                   uint64_t pos, struct flight *flight);
/* An operator believes in it again. */
void hopside_close(struct core *core, struct hop *hop);
/* All hops of that route. */
void hopside_close_route(struct core *core, const struct route *route);

#endif
