/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/seen.h: which records of a log have been applied, exactly.
 *
 * Records come by two ways, the ring and the log itself, and may come by both. Below `floor`
 * everything is applied; above it, the positions that are applied are listed, for a commit with a
 * mask of its deliveries (they come one by one through the ring).
 *
 * Promise: a record is applied once, however often and by whatever way it comes.
 * Trap:    the floor may rise above a position only when everything below is applied.
 */
#ifndef HOLDFAST_CONTROL_CORE_SEEN_H
#define HOLDFAST_CONTROL_CORE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SEEN_ALL = 0xffff,
    /* No delivery has this index: only SEEN_ALL sets it. */
    SEEN_READ_INDEX = 15,
    /* Listed positions kept behind the newest one: more than a batch can hold out of order. */
    SEEN_KEEP = 1024,
};

struct seen_entry {
    uint64_t pos;
    uint16_t mask;
};

struct seen {
    uint64_t floor;
    struct seen_entry *entry; /* ascending */
    size_t count;
    size_t capacity;
};

void seen_fini(struct seen *seen);
bool seen_has(const struct seen *seen, uint64_t pos, unsigned index);
void seen_add(struct seen *seen, uint64_t pos, uint16_t mask);
/* Everything below `floor` is applied now. */
void seen_raise(struct seen *seen, uint64_t floor);
/* The log was found to end at `pos`: nothing from there on is applied. */
void seen_lower(struct seen *seen, uint64_t pos);
/* Lets the floor follow when the list grows beyond twice SEEN_KEEP. Only for records that came
 * through the ring in order. */
void seen_trim(struct seen *seen);
/* One past the newest applied position. */
uint64_t seen_top(const struct seen *seen);

#endif
