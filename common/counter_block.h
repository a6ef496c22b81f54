/* SPDX-License-Identifier: BSD-3-Clause */
/* common/counter_block.h: the room for one thread's counters, without their names: for who keeps
 * the room and does not count. Who counts includes common/counters.h. */
#ifndef HOLDFAST_COMMON_COUNTER_BLOCK_H
#define HOLDFAST_COMMON_COUNTER_BLOCK_H

#include "common/abi.h"

/* One thread's own counters; the housekeeping thread adds them up. Relaxed stores by one writer:
 * a reader sees each value some time after it was written, never torn. */
struct counters {
    _Atomic uint64_t value[ABI_COUNTERS_MAX];
};

#endif
