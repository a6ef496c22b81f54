/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/writer_ops.c: what batches, preparation and reads have in common: giving an operation to
 * the disk, ending a submission, fencing the volume.
 *
 * Promise: an operation that was issued comes back from writer_reap exactly once, even if the disk
 *          refused it. This file calls no other file of the writer.
 * Trap:    an operation that the disk's full queue refused is under way all the same: nobody may
 *          wait for it to be finished before it is issued again.
 */
#include "spool/writer.h"

#include <errno.h>

/* --- results --------------------------------------------------------------------------------- */

void writer_finish(struct spool_writer *w, struct spool_submit *s, enum spool_result result)
{
    assert(w->item_count > 0 && result != RESULT_NONE);
    s->result = result;
    w->item_count--;
    submit_list_append(&w->done, s);
}

/* A NOTE keeps in seq and seen_pos, which it has no other use for, how many submissions of each
 * log came before it. */
void writer_notes(struct spool_writer *w)
{
    for (;;) {
        const struct spool_submit *s = w->notes.head;
        if (s == NULL || w->log[LOG_MESSAGE].done_count < s->seq ||
            w->log[LOG_STATE].done_count < s->seen_pos) {
            return;
        }
        writer_finish(w, submit_list_take(&w->notes),
                      w->fenced ? SPOOL_RESULT_FAILED : SPOOL_RESULT_OK);
    }
}

void writer_fence(struct spool_writer *w)
{
    w->stats.io_errors++;
    w->fenced = true;
}

/* --- operations ------------------------------------------------------------------------------ */

static void try_submit(struct spool_writer *w, struct spool_io_op *op)
{
    op->next = NULL;
    int err = w->io->ops->submit(w->io, op);
    if (err == -EAGAIN) {
        op->next = w->refused;
        w->refused = op;
    } else if (err < 0) {
        op->result = err;
        op->next = w->failed;
        w->failed = op;
    }
}

void writer_issue(struct spool_writer *w, struct writer_op *op)
{
    w->under_way++;
    try_submit(w, &op->io);
}

void writer_issue_refused(struct spool_writer *w)
{
    struct spool_io_op *op = w->refused;
    w->refused = NULL;
    while (op != NULL) {
        struct spool_io_op *next = op->next;
        try_submit(w, op);
        op = next;
    }
}

struct spool_io_op *writer_reap(struct spool_writer *w, bool wait)
{
    if (w->failed != NULL) {
        struct spool_io_op *failed = w->failed;
        w->failed = NULL;
        return failed;
    }
    return w->io->ops->reap(w->io, wait && w->refused == NULL);
}

void writer_drain(struct spool_writer *w)
{
    /* The kernel uses the memory of operations that are under way at the disk. Refused ones count
     * as under way, but are not at the disk. */
    uint32_t refused_count = 0;
    for (struct spool_io_op *op = w->refused; op != NULL; op = op->next) {
        refused_count++;
    }
    for (struct spool_io_op *op = w->failed; op != NULL; op = op->next) {
        refused_count++;
    }
    while (w->under_way > refused_count) {
        for (struct spool_io_op *op = w->io->ops->reap(w->io, true); op != NULL; op = op->next) {
            w->under_way--;
        }
    }
}
