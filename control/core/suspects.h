/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/suspects.h: suspects are deliveries that were under way when the dataplane faulted.
 * They go one at a time, with nothing else under way: when it faults again, it is known which one
 * did it. */
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
