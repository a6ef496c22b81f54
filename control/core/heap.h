/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/heap.h: deliveries by the time of their next attempt: a binary heap that knows each
 * one's place, so that any can be taken out. */
#ifndef HOLDFAST_CONTROL_CORE_HEAP_H
#define HOLDFAST_CONTROL_CORE_HEAP_H

#include "control/core/core.h"

void heap_put(struct control *c, struct delivery *d);
void heap_take(struct control *c, struct delivery *d);
/* The earliest, NULL when empty. */
static inline struct delivery *heap_top(const struct control *c)
{
    return c->heap_count == 0 ? NULL : c->heap[0];
}

#endif
