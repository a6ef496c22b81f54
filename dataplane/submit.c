/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/submit.c: submissions to the spool's writer thread.
 *
 * Promise: a submission that was taken always fits the ring: there are fewer of them than slots.
 * Trap:    a submission is the writer's from submission_send until its result comes back; its owner
 *          must live as long.
 */
#include "dataplane/conn.h"

struct submission *submission_take(struct worker *w, uint32_t reserve)
{
    if (w->submissions.free_count <= reserve) {
        return NULL;
    }
    struct submission *s = pool_take(&w->submissions);
    assert(s != NULL);
    *s = (struct submission){.worker = w->settings.index};
    return s;
}

void submission_send(struct worker *w, struct submission *s, enum spool_submit_kind kind,
                     void *owner, enum purpose purpose)
{
    s->spool.kind = kind;
    s->owner = owner;
    s->purpose = purpose;
    struct ring_slot slot = {{0}};
    memcpy(slot.data, &s, sizeof s);
    bool room = ring_put(&w->port->submit, &slot);
    assert(room);
}

void submission_note(struct worker *w, const struct abi_up *up)
{
    struct submission *s = submission_take(w, 0);
    assert(s != NULL);
    s->spool.user = *up;
    submission_send(w, s, SPOOL_SUBMIT_NOTE, NULL, PURPOSE_NOTHING);
}
