/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/job.c: see job.h. */
#include "control/admin/job.h"

#include "control/core/mem.h"

#include <stdlib.h>

void *job_create(struct control *c, size_t size, struct admin_request *request,
                 bool (*step)(struct job *job, struct control *c))
{
    assert(size >= sizeof(struct job) && step != NULL);
    struct job *job = mem_zalloc(size);
    job->request = *request;
    request->json = NULL; /* the job owns it now */
    request->select_text = NULL;
    job->step = step;
    job->token = ++c->job_token;
    list_append(&c->jobs, &job->node);
    return job;
}

/* --- the end of a job ------------------------------------------------------------------------ */

/* An answer that nobody took may be 10 000 rows: a lane frees it. */
struct discard {
    struct work work;
    json_t *answer;
};

static void discard_run(struct work *work, struct work_tools *tools)
{
    struct discard *discard = (struct discard *)work;
    (void)tools;
    json_decref(discard->answer);
    discard->answer = NULL;
}

static void discard_drop(struct work *work)
{
    struct discard *discard = (struct discard *)work;
    json_decref(discard->answer);
    mem_free(discard);
}

static bool discard_done(struct work *work, struct control *c)
{
    (void)c;
    discard_drop(work);
    return true;
}

static void discard_answer(struct control *c, json_t *answer)
{
    struct discard *discard = mem_zalloc(sizeof *discard);
    discard->work = (struct work){
        .lane = WORK_LOOK, .run = discard_run, .done = discard_done, .drop = discard_drop};
    discard->answer = answer;
    works_submit(&c->works, &discard->work);
}

/* `c` is NULL when there are no lanes any more. */
static void end(struct job *job, struct control *c)
{
    if (job->fini != NULL) {
        job->fini(job);
    }
    list_remove(&job->node);
    json_decref(job->request.json);
    if (job->answer != NULL && c != NULL) {
        discard_answer(c, job->answer);
    } else {
        json_decref(job->answer);
    }
    free(job->request.select_text);
    mem_free(job);
}

/* --- its life -------------------------------------------------------------------------------- */

void job_submit(struct job *job, struct control *c, struct work *work)
{
    assert(!job->under_way);
    job->under_way = true;
    works_submit(&c->works, work);
}

bool jobs_turn(struct control *c)
{
    bool worked = false;
    struct list *next;
    for (struct list *l = c->jobs.next; l != &c->jobs; l = next) {
        next = l->next;
        struct job *job = list_entry(l, struct job, node);
        if (job->under_way) {
            continue;
        }
        if (job->over || (job->forgotten && (job->looks || job->answer != NULL))) {
            end(job, c);
        } else if (job->answer == NULL) {
            worked = job->step(job, c) || worked;
        }
    }
    return worked;
}

void jobs_fini(struct control *c)
{
    while (!list_is_empty(&c->jobs)) {
        end(list_entry(c->jobs.next, struct job, node), NULL);
    }
}

size_t jobs_count(const struct control *c, bool background)
{
    size_t count = 0;
    for (const struct list *l = c->jobs.next; l != &c->jobs; l = l->next) {
        count += list_entry(l, struct job, node)->background == background;
    }
    return count;
}

static struct job *find(struct control *c, uint64_t token)
{
    for (struct list *l = c->jobs.next; l != &c->jobs; l = l->next) {
        struct job *job = list_entry(l, struct job, node);
        if (job->token == token && !job->background) {
            return job;
        }
    }
    return NULL;
}

json_t *control_admin_ready(struct control *c, uint64_t token, struct control_time time)
{
    c->core.now = time;
    struct job *job = find(c, token);
    if (job == NULL) {
        return json_pack("{sisbsssi}", "v", 1, "ok", 0, "error", "no such request is pending",
                         "exit", 1);
    }
    if (job->answer == NULL) {
        return NULL;
    }
    json_t *answer = job->answer; /* the caller alone has it now: it may be for a lane */
    job->answer = NULL;
    job->over = true;
    return answer;
}

void control_admin_forget(struct control *c, uint64_t token)
{
    struct job *job = find(c, token);
    if (job != NULL) {
        job->forgotten = true;
    }
}
