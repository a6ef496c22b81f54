/* SPDX-License-Identifier: BSD-3-Clause */
/* common/counter_block.h: memory for one thread's counters, without their names: for files that
 * keep such a block and count nothing. A file that counts includes common/counters.h. */
#ifndef HOLDFAST_COMMON_COUNTER_BLOCK_H
#define HOLDFAST_COMMON_COUNTER_BLOCK_H

#include "common/abi.h"

/* One thread's own counters; the housekeeping thread adds up those of all threads. Only their own
 * thread stores, with relaxed order: a reader sees each value whole, but some time after it was
 * written. */
struct counters {
    _Atomic uint64_t value[ABI_COUNTERS_MAX];
};

#endif
