/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/delivery.c: the recipients of a delivery, whichever way they are kept. See
 * delivery.h. Pure. */
#include "control/core/delivery.h"

#include "control/core/mem.h"
#include "common/limits/rcpts.h"

void delivery_init(struct delivery *d, uint64_t id, uint64_t first_pos, uint64_t commit_pos,
                   unsigned rcpt_count)
{
    assert(id != 0 && first_pos <= commit_pos);
    assert(rcpt_count > 0 && rcpt_count <= LIMIT_RCPTS);
    *d = (struct delivery){.id = id, .first_pos = first_pos};
    if (rcpt_count == 1 && first_pos == commit_pos) {
        assert(delivery_waiting_count(d) == 1 && delivery_commit_pos(d) == commit_pos);
        return;
    }
    d->is_wide = true;
    d->wide = mem_zalloc(sizeof *d->wide + rcpt_count * sizeof d->wide->rcpt[0]);
    d->wide->commit_pos = commit_pos;
    d->wide->rcpt_count = (uint16_t)rcpt_count;
    d->wide->waiting_count = (uint16_t)rcpt_count;
    assert(delivery_waiting_count(d) == rcpt_count && delivery_frozen_count(d) == 0);
}

void delivery_fini(struct delivery *d)
{
    assert(d->id != 0 && (!d->is_wide || d->wide->rcpt_count > 0));
    if (d->is_wide) {
        mem_free(d->wide);
    }
    *d = (struct delivery){0};
}

struct rcpt delivery_rcpt(const struct delivery *d, unsigned i)
{
    assert(i < delivery_rcpt_count(d));
    assert(d->id != 0);
    if (d->is_wide) {
        return d->wide->rcpt[i];
    }
    return (struct rcpt){
        .state_pos = d->state_pos, .code = d->code, .state = d->rcpt_state, .outcome = d->outcome};
}

void delivery_set_rcpt(struct delivery *d, unsigned i, struct rcpt rcpt)
{
    assert(i < delivery_rcpt_count(d) && rcpt.state <= RCPT_FROZEN);
    if (!d->is_wide) {
        d->state_pos = rcpt.state_pos;
        d->code = rcpt.code;
        d->rcpt_state = rcpt.state;
        d->outcome = rcpt.outcome;
        return;
    }
    struct delivery_wide *w = d->wide;
    uint8_t was = w->rcpt[i].state;
    w->waiting_count = (uint16_t)(w->waiting_count - (was == RCPT_WAITING));
    w->frozen_count = (uint16_t)(w->frozen_count - (was == RCPT_FROZEN));
    w->rcpt[i] = rcpt;
    w->waiting_count = (uint16_t)(w->waiting_count + (rcpt.state == RCPT_WAITING));
    w->frozen_count = (uint16_t)(w->frozen_count + (rcpt.state == RCPT_FROZEN));
    assert(w->waiting_count + w->frozen_count <= w->rcpt_count);
}

struct rcptset delivery_rcpts(const struct delivery *d, enum rcpt_state state)
{
    struct rcptset set = {{0}};
    if (!d->is_wide) {
        set.word[0] = d->rcpt_state == state;
        return set;
    }
    for (unsigned i = 0; i < d->wide->rcpt_count; i++) {
        if (delivery_rcpt(d, i).state == state) {
            rcptset_add(&set, i);
        }
    }
    assert(state != RCPT_WAITING || rcptset_is_empty(&set) == (delivery_waiting_count(d) == 0));
    assert(state != RCPT_FROZEN || rcptset_is_empty(&set) == (delivery_frozen_count(d) == 0));
    return set;
}

enum outcome delivery_class(const struct delivery *d, unsigned *rcpt_out)
{
    unsigned count = delivery_rcpt_count(d);
    unsigned waiting = count;
    unsigned found = count;
    for (unsigned i = 0; i < count && found == count; i++) {
        uint8_t state = delivery_rcpt(d, i).state;
        if (state == RCPT_FROZEN) {
            found = i;
        } else if (state == RCPT_WAITING && waiting == count) {
            waiting = i;
        }
    }
    found = found < count ? found : waiting;
    found = found < count ? found : 0;
    assert(found < count);
    if (rcpt_out != NULL) {
        *rcpt_out = found;
    }
    return (enum outcome)delivery_rcpt(d, found).outcome;
}
