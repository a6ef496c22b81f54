/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/suspects.h: the turn of those that the dataplane faulted over: one at a time, with
 * nothing else under way, so that a second fault is surely its own. */
#ifndef HOLDFAST_CONTROL_CORE_SUSPECTS_H
#define HOLDFAST_CONTROL_CORE_SUSPECTS_H

#include <stdint.h>

struct suspects {
    uint64_t alone_id; /* the suspect under way, alone; 0: none */
    uint64_t alone_until_ns;
    uint64_t next_ns;
    uint32_t vain; /* times that the others paused and did not get done */
};

#endif
