/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/ranges.c: a short sorted list of ranges of sequence numbers: what arrived ahead of
 * a hole (reassembly.c), what the peer says arrived (scoreboard.c).
 *
 * Promise: the ranges are disjoint, not adjacent, rising, and at most LIMIT_TCP_RANGES.
 * Trap:    all of them must lie within half of the sequence space, as any window does.
 */
#include "dataplane/tcp/core.h"

/* The ranges that [start, end) touches are first .. last-1. */
static void ranges_touched(const struct tcp_ranges *ranges, uint32_t start, uint32_t end,
                           uint32_t *first_out, uint32_t *last_out)
{
    uint32_t first = 0;
    while (first < ranges->count && seq_before(ranges->range[first].end, start)) {
        first++;
    }
    uint32_t last = first;
    while (last < ranges->count && seq_upto(ranges->range[last].start, end)) {
        last++;
    }
    *first_out = first;
    *last_out = last;
}

bool tcp_ranges_fit(const struct tcp_ranges *ranges, uint32_t start, uint32_t end)
{
    uint32_t first;
    uint32_t last;
    ranges_touched(ranges, start, end, &first, &last);
    return first < last || ranges->count < LIMIT_TCP_RANGES;
}

void tcp_ranges_add(struct tcp_ranges *ranges, uint32_t start, uint32_t end)
{
    uint32_t first;
    uint32_t last;
    assert(seq_before(start, end));
    ranges_touched(ranges, start, end, &first, &last);
    struct tcp_range merged = {.start = start, .end = end};
    if (first < last) {
        const struct tcp_range *low = &ranges->range[first];
        if (seq_before(low->start, start)) {
            merged.start = low->start;
        }
        merged.end = seq_later(end, ranges->range[last - 1].end);
    }
    uint32_t after = ranges->count - last;
    assert(first + 1 + after <= LIMIT_TCP_RANGES);
    memmove(&ranges->range[first + 1], &ranges->range[last], after * sizeof merged);
    ranges->range[first] = merged;
    ranges->count = first + 1 + after;
}

uint32_t tcp_ranges_trim(struct tcp_ranges *ranges, uint32_t seq)
{
    uint32_t met = 0;
    while (met < ranges->count && seq_upto(ranges->range[met].start, seq)) {
        seq = seq_later(seq, ranges->range[met].end);
        met++;
    }
    ranges->count -= met;
    memmove(ranges->range, ranges->range + met, ranges->count * sizeof ranges->range[0]);
    return seq;
}

uint32_t tcp_ranges_bytes(const struct tcp_ranges *ranges, uint32_t start, uint32_t end)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < ranges->count; i++) {
        uint32_t from = seq_later(ranges->range[i].start, start);
        uint32_t upto = seq_before(ranges->range[i].end, end) ? ranges->range[i].end : end;
        if (seq_before(from, upto)) {
            bytes += upto - from;
        }
    }
    return bytes;
}
