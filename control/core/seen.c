/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/seen.c: a sorted array above a floor. See seen.h. */
#include "control/core/seen.h"

#include "control/core/mem.h"

#include "common/assert.h"

#include <string.h>

void seen_fini(struct seen *seen)
{
    mem_free(seen->entry);
    *seen = (struct seen){0};
}

/* Index of the first entry at or above pos. The newest is asked for most: it is tried first. */
static size_t lower(const struct seen *seen, uint64_t pos)
{
    if (seen->count == 0 || seen->entry[seen->count - 1].pos < pos) {
        return seen->count;
    }
    size_t low = 0;
    size_t high = seen->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seen->entry[middle].pos < pos) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    assert(seen->entry[low].pos >= pos && (low == 0 || seen->entry[low - 1].pos < pos));
    return low;
}

bool seen_has(const struct seen *seen, uint64_t pos, unsigned index)
{
    assert(index < 16);
    if (pos < seen->floor) {
        return true;
    }
    size_t i = lower(seen, pos);
    return i < seen->count && seen->entry[i].pos == pos && (seen->entry[i].mask >> index & 1) != 0;
}

void seen_add(struct seen *seen, uint64_t pos, uint16_t mask)
{
    if (pos < seen->floor) {
        return;
    }
    size_t i = lower(seen, pos);
    if (i < seen->count && seen->entry[i].pos == pos) {
        seen->entry[i].mask |= mask;
        return;
    }
    seen->entry = mem_grow(seen->entry, &seen->capacity, seen->count + 1, sizeof *seen->entry);
    memmove(&seen->entry[i + 1], &seen->entry[i], (seen->count - i) * sizeof *seen->entry);
    seen->entry[i] = (struct seen_entry){.pos = pos, .mask = mask};
    seen->count++;
    assert(seen->count <= seen->capacity && seen->entry[0].pos >= seen->floor);
    assert(i + 1 == seen->count || seen->entry[i + 1].pos > pos);
}

void seen_raise(struct seen *seen, uint64_t floor)
{
    if (floor <= seen->floor) {
        return;
    }
    size_t drop = lower(seen, floor);
    if (drop > 0) {
        seen->count -= drop;
        memmove(seen->entry, &seen->entry[drop], seen->count * sizeof *seen->entry);
    }
    assert(seen->count == 0 || seen->entry[0].pos >= floor);
    seen->floor = floor;
}

void seen_lower(struct seen *seen, uint64_t pos)
{
    seen->count = lower(seen, pos);
    seen->floor = seen->floor < pos ? seen->floor : pos;
    assert(seen_top(seen) <= pos);
}

void seen_trim(struct seen *seen)
{
    if (seen->count > 2 * SEEN_KEEP) {
        seen_raise(seen, seen->entry[seen->count - SEEN_KEEP].pos);
        assert(seen->count == SEEN_KEEP);
    }
}

uint64_t seen_top(const struct seen *seen)
{
    return seen->count == 0 ? seen->floor : seen->entry[seen->count - 1].pos + 1;
}
