/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/slotset.h: a set of slots of the index, in pages that exist only where it has any.
 *
 * Promise: a set of few among ten million costs some kilobytes; asking it is two reads.
 * Trap:    a slot is used again after its delivery is gone: rules.h takes it out of every set. */
#ifndef HOLDFAST_CONTROL_CORE_SLOTSET_H
#define HOLDFAST_CONTROL_CORE_SLOTSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slotset_page;

struct slotset {
    struct slotset_page **page;
    size_t page_capacity;
    size_t page_count;
    size_t count;
};

void slotset_fini(struct slotset *set);
bool slotset_has(const struct slotset *set, uint32_t slot);
void slotset_add(struct slotset *set, uint32_t slot);
void slotset_remove(struct slotset *set, uint32_t slot);
/* The first at or after *slot; UINT32_MAX without one. Looks at *budget words at most; when that
 * is used up first, *slot says where to go on and the answer is UINT32_MAX. */
uint32_t slotset_next(const struct slotset *set, uint32_t *slot, uint32_t *budget);
/* Behind the highest slot that may be in it. */
uint32_t slotset_end(const struct slotset *set);

#endif
