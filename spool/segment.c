/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/segment.c: which segment may be written, and when an old one may be written again.
 *
 * A sealed message segment is free once all of this holds:
 *   - control wants nothing in it any more (RECYCLE), and said so after it had read the last
 *     commit that refers to a record in it;
 *   - no open transaction has a record in it: its commit would acknowledge bytes that are gone;
 *   - no read of it is under way.
 * A RECYCLE that comes too early is remembered and looked at again whenever one of these changes.
 * A sealed state segment is free once a durable checkpoint lies above it (STATE_RECYCLE).
 *
 * Promise: only SEALED segments become FREE; the active one never.
 * Trap:    a RECYCLE that is remembered has no effect when a commit after its seen_pos refers to
 *          the segment: control must say it again.
 */
#include "spool/writer.h"

struct segment *segment_find(const struct log *log, uint64_t seq)
{
    if (seq == 0) {
        return NULL;
    }
    if (log->active != NULL && log->active->seq == seq) {
        return log->active;
    }
    for (uint32_t i = 0; i < log->segment_count; i++) {
        if (log->seq[i] == seq) {
            return &log->segment[i];
        }
    }
    return NULL;
}

void segment_set_seq(struct log *log, struct segment *segment, uint64_t seq)
{
    assert(segment >= log->segment && segment < log->segment + log->segment_count);
    segment->seq = seq;
    log->seq[segment - log->segment] = seq;
}

void segment_set_state(struct log *log, struct segment *segment, enum segment_state state)
{
    assert(log->count[segment->state] > 0);
    log->count[segment->state]--;
    segment->state = state;
    log->count[state]++;
}

bool segment_rotate(struct log *log)
{
    assert(log->batch.phase == BATCH_NONE); /* all that the active one holds is durable */
    if (log->ready_count == 0) {
        return false;
    }
    struct segment *old = log->active;
    struct segment *next = log->ready[0];
    assert(next->state == SEGMENT_READY && (old == NULL || old->seq < next->seq));
    log->ready_count--;
    for (uint32_t i = 0; i < log->ready_count; i++) {
        log->ready[i] = log->ready[i + 1];
    }
    segment_set_state(log, next, SEGMENT_ACTIVE);
    log->active = next;
    log->offset = FORMAT_SEGMENT_START;
    if (old != NULL) {
        segment_set_state(log, old, SEGMENT_SEALED);
        segment_try_free(log, old);
    }
    return true;
}

static bool message_segment_unused(const struct segment *segment)
{
    return segment->seen_pos > segment->last_ref_pos && segment->seen_pos != 0 &&
           segment->pin_count == 0 && segment->read_count == 0;
}

void segment_try_free(struct log *log, struct segment *segment)
{
    if (segment->state != SEGMENT_SEALED || log->writer->fenced) {
        return;
    }
    if (log->kind == LOG_STATE) {
        if (segment->seq < log->recycle_below) {
            segment_set_state(log, segment, SEGMENT_FREE);
        }
        return;
    }
    if (!message_segment_unused(segment)) {
        return;
    }
    struct spool_writer *w = log->writer;
    segment_set_state(log, segment, SEGMENT_FREE);
    if (w->recycled_count == log->segment_count) { /* nobody asks: keep the newest */
        w->recycled_head = (w->recycled_head + 1) % log->segment_count;
        w->recycled_count--;
    }
    w->recycled[(w->recycled_head + w->recycled_count) % log->segment_count] = segment->seq;
    w->recycled_count++;
}

void segment_recycle(struct log *log, uint64_t seq, uint64_t seen_pos)
{
    assert(log->kind == LOG_MESSAGE);
    struct segment *segment = segment_find(log, seq);
    if (segment == NULL) {
        return; /* used again since */
    }
    if (seen_pos > segment->seen_pos) {
        segment->seen_pos = seen_pos;
    }
    segment_try_free(log, segment);
}

void segment_recycle_states(struct log *log, uint64_t below_seq)
{
    assert(log->kind == LOG_STATE);
    if (below_seq <= log->recycle_below) {
        return;
    }
    log->recycle_below = below_seq;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        segment_try_free(log, &log->segment[i]);
    }
}

bool segment_pin(struct log *log, struct spool_txn *txn)
{
    struct spool_writer *w = log->writer;
    struct segment *active = log->active;
    if (txn->pins != 0 && w->pin[txn->pins - 1].seq == active->seq) {
        return true; /* the newest pin is the first of the list */
    }
    if (w->pin_free == 0) {
        return false;
    }
    uint32_t number = w->pin_free;
    struct pin *pin = &w->pin[number - 1];
    w->pin_free = pin->next;
    *pin = (struct pin){
        .seq = active->seq, .segment = (uint32_t)(active - log->segment), .next = txn->pins};
    txn->pins = number;
    active->pin_count++;
    return true;
}

bool segment_pins_valid(const struct log *log, const struct spool_txn *txn)
{
    const struct spool_writer *w = log->writer;
    for (uint32_t number = txn->pins; number != 0; number = w->pin[number - 1].next) {
        const struct pin *pin = &w->pin[number - 1];
        const struct segment *segment = &log->segment[pin->segment];
        if (segment->seq != pin->seq ||
            (segment->state != SEGMENT_ACTIVE && segment->state != SEGMENT_SEALED)) {
            return false;
        }
    }
    return true;
}

void segment_unpin(struct log *log, struct spool_txn *txn, uint64_t commit_pos)
{
    struct spool_writer *w = log->writer;
    uint32_t number = txn->pins;
    txn->pins = 0;
    while (number != 0) {
        struct pin *pin = &w->pin[number - 1];
        struct segment *segment = &log->segment[pin->segment];
        uint32_t next = pin->next;
        pin->next = w->pin_free;
        w->pin_free = number;
        number = next;
        if (segment->seq != pin->seq) {
            continue; /* the commit failed for it already: segment_pins_valid */
        }
        assert(segment->pin_count > 0);
        segment->pin_count--;
        if (commit_pos > segment->last_ref_pos) {
            segment->last_ref_pos = commit_pos;
        }
        segment_try_free(log, segment);
    }
}
