/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/list.c: list: a page of deliveries by selection, ordered by id.
 *
 *   sieve ─▶ the lowest `limit` ids behind `after`, and how many match
 *        ─▶ some rows ─▶ lane: JSON ─▶ some rows ─▶ lane: JSON ─▶ ...
 *
 * Promise: the lane has few rows of one list at once, so that others' works come between.
 * Trap: a selection by sender, recipient or domain reads each envelope from the spool. That stops
 *       nothing else, but takes long where there is much mail: narrow it with route=.
 */
#include "control/admin/row.h"
#include "control/admin/sieve.h"
#include "control/core/mem.h"

#include "common/id.h"
#include "common/limits/admin.h"

#include <stdlib.h>

enum { ROWS_PER_WORK = 32 };

struct list_job {
    struct job job;
    struct work work;
    struct sieve sieve;
    bool sieved;
    uint64_t after; /* only ids above this one */
    bool has_after;
    size_t limit;
    uint64_t total;
    uint64_t beyond; /* how many of them lie behind `after` */
    uint64_t *id;    /* a heap with the largest id first; sorted at the end */
    size_t id_count;
    size_t next; /* of the ids: the first that is in no row yet */
    struct row row[ROWS_PER_WORK];
    size_t row_count;
    json_t *list; /* the lane fills it */
    size_t bytes; /* of it, approximately */
};

/* --- the lowest ids -------------------------------------------------------------------------- */

static void sink(uint64_t *id, size_t count)
{
    size_t i = 0;
    uint64_t moved = id[0];
    for (size_t child = 1; child < count; child = 2 * i + 1) {
        child += child + 1 < count && id[child + 1] > id[child];
        if (id[child] <= moved) {
            break;
        }
        id[i] = id[child];
        i = child;
    }
    id[i] = moved;
}

static void rise(uint64_t *id, size_t i)
{
    uint64_t moved = id[i];
    while (i > 0 && id[(i - 1) / 2] < moved) {
        id[i] = id[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    id[i] = moved;
}

static void keep_id(struct list_job *j, uint64_t id)
{
    if (j->id_count < j->limit) {
        j->id[j->id_count++] = id;
        rise(j->id, j->id_count - 1);
    } else if (id < j->id[0]) {
        j->id[0] = id;
        sink(j->id, j->id_count);
    }
}

static void visit(struct sieve *s, struct control *c, struct delivery *d,
                  const struct rcptset *mask)
{
    struct list_job *j = s->ctx;
    (void)c;
    (void)mask;
    j->total++;
    if (!j->has_after || d->id > j->after) {
        j->beyond++;
        keep_id(j, d->id);
    }
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* The approximate bytes of the delivery in an answer. */
static size_t weight(const json_t *delivery)
{
    enum { MEMBERS = 512 };
    size_t bytes = MEMBERS + json_string_length(json_object_get(delivery, "reply")) +
                   json_string_length(json_object_get(delivery, "sender"));
    size_t i;
    const json_t *rcpt;
    json_array_foreach(json_object_get(delivery, "rcpts"), i, rcpt)
    {
        bytes += json_string_length(rcpt) + 3;
    }
    return bytes;
}

static void rows_run(struct work *work, struct work_tools *tools)
{
    struct list_job *j = (struct list_job *)((char *)work - offsetof(struct list_job, work));
    for (size_t i = 0; i < j->row_count; i++) {
        json_t *o = row_json(&j->row[i], tools);
        j->bytes += weight(o);
        json_array_append_new(j->list, o);
    }
}

static void drop_rows(struct list_job *j)
{
    for (size_t i = 0; i < j->row_count; i++) {
        row_fini(&j->row[i]);
    }
    j->row_count = 0;
}

static bool rows_done(struct work *work, struct control *c)
{
    struct list_job *j = (struct list_job *)((char *)work - offsetof(struct list_job, work));
    (void)c;
    drop_rows(j);
    j->job.under_way = false;
    return true;
}

static void finish(struct list_job *j)
{
    json_t *o = admin_ok();
    json_object_set_new(o, "deliveries", j->list);
    j->list = NULL;
    admin_set_number(o, "total", j->total);
    json_object_set_new(o, "more", json_boolean(j->next < j->id_count || j->beyond > j->id_count));
    j->job.answer = o;
}

static bool step(struct job *job, struct control *c)
{
    struct list_job *j = (struct list_job *)job;
    if (!j->sieved) {
        if (!sieve_step(&j->sieve, c)) {
            return true;
        }
        j->sieved = true;
        qsort(j->id, j->id_count, sizeof *j->id, by_id);
        return true;
    }
    bool room = j->bytes < LIMIT_ADMIN_LIST_BYTES;
    assert(j->row_count == 0);
    for (int n = 0; room && n < ROWS_PER_WORK && j->next < j->id_count; n++) {
        const struct delivery *d = index_find(&c->core.index, j->id[j->next++]);
        if (d != NULL) { /* else it was done meanwhile */
            row_init(&j->row[j->row_count++], c, d);
        }
    }
    if (j->row_count > 0) {
        j->work = (struct work){.lane = WORK_LOOK, .run = rows_run, .done = rows_done};
        job_submit(job, c, &j->work);
    } else if (!room || j->next == j->id_count) {
        finish(j);
    }
    return true;
}

static void fini(struct job *job)
{
    struct list_job *j = (struct list_job *)job;
    drop_rows(j);
    mem_free(j->id);
    if (j->list != NULL) { /* nobody waits for it any more: it goes as an answer goes */
        j->job.answer = j->list;
    }
}

json_t *admin_list(struct control *c, struct admin_request *request)
{
    const json_t *limit_value = json_object_get(request->json, "limit");
    json_int_t limit = limit_value == NULL ? ADMIN_LIST_DEFAULT : json_integer_value(limit_value);
    const json_t *after_value = json_object_get(request->json, "after");
    const char *after_text = json_string_value(after_value);
    uint64_t after = 0;
    if (limit < 1 || limit > LIMIT_ADMIN_LIST) {
        return admin_error(ADMIN_EXIT_USAGE, "limit: 1 to %d", LIMIT_ADMIN_LIST);
    }
    if (after_value != NULL && (after_text == NULL || !id_parse(after_text, &after))) {
        return admin_error(ADMIN_EXIT_USAGE, "after: not an id");
    }
    struct list_job *j = job_create(c, sizeof *j, request, step);
    j->job.looks = true;
    j->job.fini = fini;
    j->after = after;
    j->has_after = after_text != NULL;
    j->limit = (size_t)limit;
    j->id = mem_zalloc(j->limit * sizeof *j->id);
    j->list = json_array();
    sieve_init(&j->sieve, &j->job, &j->job.request.select, visit, j);
    return NULL;
}
