/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/suspects.h: suspects are deliveries that the dataplane was handling when it faulted.
 * They go one at a time, with nothing else under way, so that another fault hurts no other mail.
 * When the others pause for them in vain too often, they go beside the others (send.c). */
#ifndef HOLDFAST_CONTROL_CORE_SUSPECTS_H
#define HOLDFAST_CONTROL_CORE_SUSPECTS_H

#include <stdint.h>

struct suspects {
    uint64_t alone_id; /* the suspect under way, alone; 0: none */
    uint64_t alone_until_ns;
    uint64_t next_ns;
    uint32_t vain; /* pauses that ended before the others were done */
};

#endif
