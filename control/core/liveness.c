/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/liveness.c: live messages per segment in a sorted array: there are thousands of
 * segments at most, and new ones come at its end. Pure. See liveness.h. */
#include "control/core/liveness.h"

#include "control/core/mem.h"

#include <string.h>

/* A jump of the log by more than this is left to the next listing. */
enum { ADVANCE_MAX = 4096 };

void liveness_fini(struct liveness *live)
{
    mem_free(live->segment);
    *live = (struct liveness){0};
}

static size_t lower(const struct liveness *live, uint64_t seq)
{
    size_t low = 0;
    size_t high = live->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (live->segment[middle].seq < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    assert(low == live->count || live->segment[low].seq >= seq);
    assert(low == 0 || live->segment[low - 1].seq < seq);
    return low;
}

static struct liveness_segment *find(const struct liveness *live, uint64_t seq)
{
    size_t i = lower(live, seq);
    return i < live->count && live->segment[i].seq == seq ? &live->segment[i] : NULL;
}

static struct liveness_segment *take(struct liveness *live, uint64_t seq)
{
    size_t i = lower(live, seq);
    if (i == live->count || live->segment[i].seq != seq) {
        live->segment =
            mem_grow(live->segment, &live->capacity, live->count + 1, sizeof *live->segment);
        memmove(&live->segment[i + 1], &live->segment[i],
                (live->count - i) * sizeof *live->segment);
        live->segment[i] = (struct liveness_segment){.seq = seq};
        live->count++;
        assert(live->count <= live->capacity);
    }
    assert(live->segment[i].seq == seq);
    return &live->segment[i];
}

static void drop(struct liveness *live, struct liveness_segment *segment)
{
    size_t i = (size_t)(segment - live->segment);
    assert(i < live->count && segment->live == 0);
    live->count--;
    memmove(&live->segment[i], &live->segment[i + 1], (live->count - i) * sizeof *live->segment);
}

void liveness_restart(struct liveness *live)
{
    size_t kept = 0;
    for (size_t i = 0; i < live->count; i++) {
        if (live->segment[i].live > 0 || live->segment[i].pinned) {
            live->segment[kept] = live->segment[i];
            live->segment[kept].exists = false;
            live->segment[kept++].offered_ns = 0;
        }
    }
    assert(kept <= live->count);
    live->count = kept;
    live->dirty = true;
}

void liveness_message_add(struct liveness *live, uint64_t first_pos, uint64_t last_pos)
{
    assert(first_pos <= last_pos);
    for (uint64_t seq = (first_pos >> 32); seq <= (last_pos >> 32); seq++) {
        take(live, seq)->live++;
    }
    assert(live->count > 0);
}

void liveness_message_remove(struct liveness *live, uint64_t first_pos, uint64_t last_pos)
{
    assert(first_pos <= last_pos);
    for (uint64_t seq = (first_pos >> 32); seq <= (last_pos >> 32); seq++) {
        struct liveness_segment *segment = find(live, seq);
        assert(segment != NULL && segment->live > 0);
        segment->live--;
        live->dirty |= segment->live == 0;
    }
}

bool liveness_pin(struct liveness *live, uint64_t seq)
{
    struct liveness_segment *segment = take(live, seq);
    bool news = !segment->pinned;
    segment->pinned = true;
    assert(segment->seq == seq && find(live, seq) == segment);
    return news;
}

size_t liveness_pinned_count(const struct liveness *live)
{
    size_t count = 0;
    for (size_t i = 0; i < live->count; i++) {
        count += live->segment[i].pinned;
    }
    assert(count <= live->count);
    return count;
}

void liveness_advance(struct liveness *live, uint64_t pos)
{
    uint64_t seq = (pos >> 32);
    if (seq <= live->newest_seq) {
        return;
    }
    if (live->newest_seq != 0 && seq - live->newest_seq <= ADVANCE_MAX) {
        for (uint64_t s = live->newest_seq; s <= seq; s++) {
            take(live, s)->exists = true;
        }
    }
    assert(seq > live->newest_seq);
    live->newest_seq = seq;
    live->dirty = true;
}

void liveness_segment_exists(struct liveness *live, uint64_t seq)
{
    struct liveness_segment *segment = take(live, seq);
    assert(segment->seq == seq);
    live->dirty |= !segment->exists;
    segment->exists = true;
}

bool liveness_segment_recycled(struct liveness *live, uint64_t seq)
{
    struct liveness_segment *segment = find(live, seq);
    if (segment == NULL) {
        return true;
    }
    if (segment->live > 0 || segment->pinned) {
        return false;
    }
    drop(live, segment);
    assert(find(live, seq) == NULL);
    return true;
}

bool liveness_offer(struct liveness *live, uint64_t now_ns, uint64_t again_ns, uint64_t *seq_out)
{
    for (size_t i = 0; live->dirty && i < live->count; i++) {
        struct liveness_segment *segment = &live->segment[i];
        if (segment->seq >= live->newest_seq) {
            break;
        }
        bool rested = segment->offered_ns == 0 || now_ns - segment->offered_ns >= again_ns;
        if (segment->exists && segment->live == 0 && !segment->pinned && rested) {
            /* Whoever takes the offer writes over it. */
            assert(segment->live == 0 && !segment->pinned && segment->seq < live->newest_seq);
            segment->offered_ns = now_ns == 0 ? 1 : now_ns;
            *seq_out = segment->seq;
            return true;
        }
    }
    live->dirty = false;
    return false;
}
