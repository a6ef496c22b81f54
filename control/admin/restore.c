/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/restore.c: see restore.h. */
#include "control/admin/restore.h"

#include "control/core/feed.h"
#include "control/core/mem.h"
#include "control/shell/look.h"

#include <string.h>

static void visit(struct sieve *sieve, struct control *c, struct delivery *d,
                  const struct rcptset *mask)
{
    struct restore *r = sieve->ctx;
    (void)mask;
    if (life_is_unreadable(&c->core, d) && d->state == DELIVERY_FROZEN) {
        r->item = mem_grow(r->item, &r->capacity, r->count + 1, sizeof *r->item);
        r->item[r->count++] = (struct restore_item){.id = d->id, .first_pos = d->first_pos};
    }
}

void restore_init(struct restore *r, struct job *job)
{
    static const struct select every = {0};
    *r = (struct restore){.job = job};
    sieve_init(&r->sieve, job, &every, visit, r);
}

static bool there_is_any(const struct control *c)
{
    const struct route *none = routes_find(&c->core.routes, 0);
    return none != NULL && none->tally[DELIVERY_FROZEN].deliveries > 0;
}

static void batch_run(struct work *work, struct work_tools *tools)
{
    struct restore *r = (struct restore *)work;
    for (size_t i = r->at; i < r->at + r->batch; i++) {
        struct restore_item *item = &r->item[i];
        struct bytes encoded;
        if (look_envelope(tools, item->id, item->first_pos, &encoded) == 0 && encoded.len > 0) {
            item->encoded = mem_zalloc(encoded.len);
            item->len = encoded.len;
            memcpy(item->encoded, encoded.data, encoded.len);
        }
    }
}

static bool batch_done(struct work *work, struct control *c)
{
    struct restore *r = (struct restore *)work;
    r->job->under_way = false;
    for (; r->batch > 0; r->batch--, r->at++) {
        struct restore_item *item = &r->item[r->at];
        if (feed_restored(&c->core, item->id, bytes_of(item->encoded, item->len))) {
            c->saver.wanted = true; /* the last checkpoint says that they cannot be read */
            r->any = true;
        }
        mem_free(item->encoded);
        item->encoded = NULL;
    }
    return true;
}

bool restore_step(struct restore *r, struct control *c)
{
    assert(!r->job->under_way && r->batch == 0);
    if (!r->found && r->count == 0 && !there_is_any(c)) {
        r->found = true;
    }
    if (!r->found) {
        r->found = sieve_step(&r->sieve, c);
        return false;
    }
    if (r->at == r->count) {
        return true;
    }
    r->batch = r->count - r->at < RESTORE_BATCH ? r->count - r->at : RESTORE_BATCH;
    r->work = (struct work){.lane = WORK_LOOK, .run = batch_run, .done = batch_done};
    job_submit(r->job, c, &r->work);
    return false;
}

bool restore_is_saved(const struct control *c)
{
    return !c->saver.wanted && !c->saver.under_way;
}

void restore_fini(struct restore *r)
{
    for (size_t i = r->at; i < r->count; i++) {
        mem_free(r->item[i].encoded);
    }
    mem_free(r->item);
}
