/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/sieve.c: see sieve.h. */
#include "control/admin/sieve.h"

#include "control/shell/look.h"

#include "common/id.h"
#include "common/limits/message.h"

#include <errno.h>

static const struct select all = {.count = 1, .term = {{.key = SELECT_ALL}}};

void sieve_init(struct sieve *s, struct job *job, const struct select *select, sieve_visit_fn visit,
                void *ctx)
{
    *s = (struct sieve){
        .job = job, .select = select->count > 0 ? select : &all, .visit = visit, .ctx = ctx};
    if (select_has(select, SELECT_ID)) {
        s->of_message = id_message(select_number(select, SELECT_ID));
    }
}

/* --- the lane -------------------------------------------------------------------------------- */

static void look_at(struct sieve *s, struct sieve_item *item, struct work_tools *tools)
{
    struct envelope envelope;
    struct bytes encoded;
    int r = look_envelope(tools, item->id, item->first_pos, &encoded);
    bool good = r == 0 && envelope_decode(encoded, &envelope);
    if (!good) {
        item->unreadable = true;
    } else if (!select_match_envelope(s->select, &envelope, id_index(item->id), &item->mask)) {
        item->mask = (struct rcptset){{0}};
        return;
    }
    if (s->look != NULL) {
        s->look(s, item, good ? &envelope : NULL);
    }
}

static void batch_run(struct work *work, struct work_tools *tools)
{
    struct sieve *s = (struct sieve *)work;
    for (size_t i = 0; i < s->count; i++) {
        look_at(s, &s->item[i], tools);
    }
}

static bool batch_done(struct work *work, struct control *c)
{
    struct sieve *s = (struct sieve *)work;
    s->job->under_way = false;
    for (size_t i = 0; i < s->count; i++) {
        struct sieve_item *item = &s->item[i];
        struct delivery *d = index_find(&c->core.index, item->id);
        if (d == NULL || (item->unreadable && !s->unreadable_counts && s->look == NULL)) {
            continue;
        }
        struct rcptset done = delivery_rcpts(d, RCPT_DONE);
        rcptset_subtract(&item->mask, &done); /* some recipients may be delivered by now */
        if (!rcptset_is_empty(&item->mask)) {
            s->visit(s, c, d, &item->mask);
        }
    }
    s->count = 0;
    return true;
}

static void look(struct sieve *s, struct control *c)
{
    s->work = (struct work){.lane = WORK_LOOK, .run = batch_run, .done = batch_done};
    job_submit(s->job, c, &s->work);
}

/* --- the loop -------------------------------------------------------------------------------- */

static void consider(struct sieve *s, struct control *c, struct delivery *d)
{
    struct life_view view;
    struct rcptset mask;
    life_view_init(&view, &c->core, d);
    if (s->moment != NULL && !moment_facts(s->moment, &c->core, d, &view.facts)) {
        return;
    }
    enum select_verdict verdict = select_match_facts(s->select, &view.facts, &mask);
    if (verdict == SELECT_NO) {
        return;
    }
    if (verdict == SELECT_YES && s->look == NULL) {
        s->visit(s, c, d, &mask);
        return;
    }
    assert(s->count < SIEVE_BATCH);
    s->item[s->count++] = (struct sieve_item){.id = d->id, .first_pos = d->first_pos, .mask = mask};
}

static void step_message(struct sieve *s, struct control *c)
{
    for (; s->of_index < LIMIT_ROUTES_PER_MESSAGE && s->count < SIEVE_BATCH; s->of_index++) {
        struct delivery *d = index_find(&c->core.index, s->of_message | s->of_index);
        if (d != NULL) {
            consider(s, c, d);
        }
    }
    s->at_end = s->of_index == LIMIT_ROUTES_PER_MESSAGE;
}

static void step_slots(struct sieve *s, struct control *c)
{
    uint32_t budget = s->acts ? (c->pace + 3) / 4 : c->pace;
    struct delivery *d;
    while (s->count < SIEVE_BATCH && (d = index_next(&c->core.index, &s->slot, &budget)) != NULL) {
        consider(s, c, d);
    }
    s->at_end = s->slot >= index_slots(&c->core.index);
}

bool sieve_step(struct sieve *s, struct control *c)
{
    assert(!s->job->under_way && s->count == 0);
    if (s->at_end) {
        return true;
    }
    if (s->of_message != 0) {
        step_message(s, c);
    } else {
        step_slots(s, c);
    }
    if (s->count > 0) {
        look(s, c);
        return false;
    }
    return s->at_end;
}
