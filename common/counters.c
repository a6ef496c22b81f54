/* SPDX-License-Identifier: BSD-3-Clause */
/* common/counters.c: the counters' names and meanings as a table. */
#include "common/counters.h"

const struct counter_info counter_info[COUNTER_COUNT] = {
#define COUNTER(name, unit, meaning) {#name, unit, meaning},
#include "common/counters.def"
#undef COUNTER
};
