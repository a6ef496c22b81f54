/* SPDX-License-Identifier: BSD-3-Clause */
/* common/counters.h: the dataplane's counters, from counters.def. */
#ifndef HOLDFAST_COMMON_COUNTERS_H
#define HOLDFAST_COMMON_COUNTERS_H

#include "common/counter_block.h"

enum counter {
#define COUNTER(name, unit, meaning) COUNTER_##name,
#include "common/counters.def"
#undef COUNTER
    COUNTER_COUNT,
};
_Static_assert((int)COUNTER_COUNT <= (int)ABI_COUNTERS_MAX, "counters fit the shared region");

struct counter_info {
    const char *name;
    const char *unit;
    const char *meaning;
};

extern const struct counter_info counter_info[COUNTER_COUNT];

static inline void counter_add(struct counters *c, enum counter counter, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&c->value[counter], memory_order_relaxed);
    atomic_store_explicit(&c->value[counter], v + n, memory_order_relaxed);
}

static inline void counter_set(struct counters *c, enum counter counter, uint64_t v)
{
    atomic_store_explicit(&c->value[counter], v, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counters *c, enum counter counter)
{
    return atomic_load_explicit(&c->value[counter], memory_order_relaxed);
}

#endif
