/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/release.c: release of frozen mail, and retry of waiting mail.
 *
 *   release:  envelopes that could not be read are read again (restore.h)
 *             plan ─▶ database: a job ─▶ answer.  Then the job: a RELEASE for each frozen delivery
 *             that is meant, some at a time, until none is left ─▶ database: the job is done
 *   retry:    plan ─▶ database: audit ─▶ each is due now ─▶ answer
 *
 * Promise: a release that was answered is in the database until all of it is in the state log.
 *          After a crash of either process it goes on, and nothing is forgotten. It means the mail
 *          that it meant when it was asked for, however long it takes (moment.h).
 * Trap:    the job releases only mail that was frozen before it. What a record at or behind
 *          `before_pos` froze again stays frozen.
 */
#include "control/admin/act.h"
#include "control/admin/resume.h"
#include "control/admin/moment.h"
#include "control/admin/restore.h"
#include "control/core/hopside.h"
#include "control/core/mem.h"

#include "common/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A release that is not in the log after this time is sent again. */
#define AGAIN_NS (UINT64_C(60) * 1000000000)

/* The frozen recipients in `mask` whose state record lies before that place of the state log. */
static struct rcptset frozen_before(const struct delivery *d, const struct rcptset *mask,
                                    uint64_t before_pos)
{
    struct rcptset rcpts = {{0}};
    unsigned count = delivery_rcpt_count(d);
    for (unsigned i = 0; i < count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        if (rcpt.state == RCPT_FROZEN && rcptset_has(mask, i) && rcpt.state_pos < before_pos) {
            rcptset_add(&rcpts, i);
        }
    }
    return rcpts;
}

/* --- the job that goes on -------------------------------------------------------------------- */

struct releasing_job {
    struct job job;
    struct sieve sieve;

    uint32_t id; /* its id in the database */
    struct moment moment;
    uint64_t before_pos;
    uint64_t left; /* found in this round, still to release */
    uint64_t again_ns;
    bool resting;
};

static void release_visit(struct sieve *s, struct control *c, struct delivery *d,
                          const struct rcptset *mask)
{
    struct releasing_job *j = s->ctx;
    struct rcptset rcpts = frozen_before(d, mask, j->before_pos);
    if (rcptset_is_empty(&rcpts) || life_is_unreadable(&c->core, d)) {
        return;
    }
    j->left++;
    life_release(&c->core, d, &rcpts);
}

struct job_end {
    struct work work;
    struct releasing_job *job;
    int error;
};

static void end_run(struct work *work, struct work_tools *tools)
{
    struct job_end *end = (struct job_end *)work;
    end->error = store_job_done(tools->store, end->job->id);
}

static bool end_done(struct work *work, struct control *c)
{
    struct job_end *end = (struct job_end *)work;
    end->job->job.under_way = false;
    end->job->job.over = end->error == 0;

    if (end->error < 0) { /* the next round tries again */
        control_say(c, 3, "policy database: the end of job %" PRIu32 ": %s", end->job->id,
                    trouble_meaning(end->error));
        end->job->again_ns = c->core.now.now_ns + AGAIN_NS;
        end->job->resting = true;
    }
    mem_free(end);
    return true;
}

static void job_end_drop(struct work *work)
{
    struct job_end *job_end = (struct job_end *)work;
    mem_free(job_end);
}

static void end_job(struct releasing_job *j, struct control *c)
{
    struct job_end *end = mem_zalloc(sizeof *end);
    end->work =
        (struct work){.lane = WORK_STORE, .run = end_run, .done = end_done, .drop = job_end_drop};
    end->job = j;
    job_submit(&j->job, c, &end->work);
}

static void next_round(struct releasing_job *j)
{
    sieve_init(&j->sieve, &j->job, &j->job.request.select, release_visit, j);
    j->sieve.moment = &j->moment;
    j->sieve.acts = true;
    j->left = 0;
    j->resting = false;
}

static bool releasing_step(struct job *job, struct control *c)
{
    struct releasing_job *j = (struct releasing_job *)job;
    size_t on_the_way = c->core.outbox.releases.count;
    if (j->resting) {
        /* The state records of what is on the way will come. With nothing left, the database did
         * not take the end of the job: it is asked again later. */
        if ((on_the_way > 0 || j->left == 0) && c->core.now.now_ns < j->again_ns) {
            return false;
        }
        next_round(j);
        return true;
    }
    if (on_the_way >= OUTBOX_FULL) {
        return false;
    }
    if (!sieve_step(&j->sieve, c)) {
        return true;
    }
    if (j->left == 0) {
        end_job(j, c);
        return true;
    }
    j->resting = true;
    j->again_ns = c->core.now.now_ns + AGAIN_NS;
    return true;
}

static void releasing_fini(struct job *job)
{
    moment_fini(&((struct releasing_job *)job)->moment);
}

/* The moment's content goes over to the job. */
static void start_releasing(struct control *c, struct admin_request *request, struct moment *moment,
                            uint32_t id, uint64_t before_pos)
{
    struct releasing_job *j = job_create(c, sizeof *j, request, releasing_step);
    j->job.background = true;
    j->job.fini = releasing_fini;
    j->moment = moment_move(moment);
    j->id = id;
    j->before_pos = before_pos;
    next_round(j);
}

/* --- the request ----------------------------------------------------------------------------- */

struct release_job {
    struct job job;
    struct restore restore;
    bool restored;
    struct sieve sieve;
    struct act_txn txn;
    struct act_plan plan;
    struct moment moment;
    struct store_job stored;
    uint64_t unreadable; /* deliveries that are meant and stay: nobody knows for whom they are */
};

static void plan_visit(struct sieve *s, struct control *c, struct delivery *d,
                       const struct rcptset *mask)
{
    struct release_job *j = s->ctx;
    struct rcptset rcpts = frozen_before(d, mask, j->stored.before_pos);
    if (rcptset_is_empty(&rcpts)) {
        return;
    }
    if (life_is_unreadable(&c->core, d)) {
        j->unreadable++;
    } else {
        act_plan_add(&j->plan, d, &rcpts);
    }
}

static int add_job(struct act_txn *txn, struct store *store, char *result, size_t result_size)
{
    struct release_job *j = (struct release_job *)txn->job;
    char *select = moment_text(&j->moment, &j->job.request.select);
    j->stored.select = select;
    j->stored.who = j->job.request.who;
    j->stored.begun_ms = j->moment.wall_ms;
    j->stored.total = j->plan.deliveries;
    int r = j->plan.deliveries > 0 ? store_job_add(store, &j->stored) : 0;
    j->stored.select = NULL;
    free(select);
    (void)snprintf(result, result_size, "released");
    return r;
}

static json_t *released_answer(const struct release_job *j, bool dry_run)
{
    json_t *o = dry_run ? act_plan_answer(&j->plan) : admin_ok();
    admin_set_number(o, "released", j->plan.deliveries);
    admin_set_number(o, "rcpts", j->plan.rcpts);
    if (j->unreadable > 0) {
        admin_set_number(o, "unreadable", j->unreadable);
    }
    json_object_set_new(o, "rules_ended", json_array());
    return o;
}

/* Starts the job that goes on, with the request's selection. The answer needs only the plan. */
static void hand_on(struct release_job *j, struct control *c)
{
    struct admin_request request = j->job.request;
    request.json = NULL;
    request.select_text = NULL;
    start_releasing(c, &request, &j->moment, j->stored.id, j->stored.before_pos);
}

static bool release_step(struct job *job, struct control *c)
{
    struct release_job *j = (struct release_job *)job;
    if (j->txn.over) {
        if (j->txn.error == 0 && j->plan.deliveries > 0) {
            hand_on(j, c);
        }
        job->answer = j->txn.error < 0 ? act_txn_failed(&j->txn) : released_answer(j, false);
        return true;
    }
    if (!j->restored) {
        j->restored = restore_step(&j->restore, c);
        return true;
    }
    if (j->restore.any && !job->request.dry_run) {
        if (!restore_is_saved(c)) {
            return false;
        }
        if (c->saver.error < 0) {
            job->answer = admin_error(ADMIN_EXIT_FAILED,
                                      "nothing is released: the checkpoint that is to say which "
                                      "envelopes can be read again cannot be written: %s",
                                      trouble_meaning(c->saver.error));
            return true;
        }
    }
    if (!sieve_step(&j->sieve, c)) {
        return true;
    }
    if (job->request.dry_run) {
        job->answer = released_answer(j, true);
        return true;
    }
    job->answer = admin_check_count(&job->request, j->plan.deliveries);
    if (job->answer == NULL) {
        j->txn.change = add_job;
        act_txn_submit(&j->txn, job, c, j->plan.deliveries);
    }
    return true;
}

static void release_fini(struct job *job)
{
    struct release_job *j = (struct release_job *)job;
    moment_fini(&j->moment);
    restore_fini(&j->restore);
}

/* What is released is frozen. That it waits or is under way beside may change before the job is
 * done. */
static bool asks_other_state(const struct select *select)
{
    for (uint32_t i = 0; i < select->count; i++) {
        const struct select_term *term = &select->term[i];
        if (term->key == SELECT_STATE && term->number != DELIVERY_FROZEN) {
            return true;
        }
    }
    return false;
}

json_t *admin_release(struct control *c, struct admin_request *request)
{
    if (asks_other_state(&request->select)) {
        return admin_error(ADMIN_EXIT_USAGE,
                           "release: only frozen mail is released: leave state= out. Held mail "
                           "goes when its rule ends (rule=N), waiting mail by retry");
    }
    if (select_has(&request->select, SELECT_RULE)) {
        if (request->select.count != 1) {
            return admin_error(ADMIN_EXIT_USAGE,
                               "a hold ends as a whole: rule=N goes with no other term");
        }
        return admin_end_rule(c, request, (uint32_t)select_number(&request->select, SELECT_RULE));
    }
    struct release_job *j = job_create(c, sizeof *j, request, release_step);
    j->job.fini = release_fini;
    j->moment.wall_ms = c->core.now.wall_ms;
    moment_take_hops(&j->moment, &j->job.request.select, &c->core.routes);
    uint64_t top_pos = seen_top(&c->core.journal.states);
    j->stored.before_pos = top_pos > 0 ? top_pos : 1; /* damage found in reading has no record */
    restore_init(&j->restore, &j->job);
    sieve_init(&j->sieve, &j->job, &j->job.request.select, plan_visit, j);
    j->sieve.moment = &j->moment;
    return NULL;
}

/* --- after a restart ------------------------------------------------------------------------- */

struct resume {
    struct work work;
    struct stored {
        uint32_t id;
        uint64_t before_pos;
        char who[RULES_AUTHOR_SIZE];
        struct select select;
        struct moment moment;
    } * list;
    size_t count;
    size_t capacity;
    size_t bad_count; /* rows that cannot be read */
    uint32_t bad_id;  /* of the first */
    int error;
};

static int note_job(void *ctx, const struct store_job *job)
{
    struct resume *resume = ctx;
    resume->list =
        mem_grow(resume->list, &resume->capacity, resume->count + 1, sizeof *resume->list);
    struct stored *stored = &resume->list[resume->count];
    stored->moment = (struct moment){.wall_ms = job->begun_ms};
    bool good = moment_parse(job->select, &stored->moment, &stored->select);
    if (good && stored->select.count == 0 && !stored->moment.by_route) {
        moment_fini(&stored->moment); /* it would mean all mail, which nobody asked for */
        good = false;
    }
    if (!good) {
        resume->bad_id = resume->bad_count++ == 0 ? job->id : resume->bad_id;
        return 0; /* the others go on */
    }
    stored->id = job->id;
    stored->before_pos = job->before_pos;
    (void)snprintf(stored->who, sizeof stored->who, "%s", job->who);
    resume->count++;
    return 0;
}

static void resume_run(struct work *work, struct work_tools *tools)
{
    struct resume *resume = (struct resume *)work;
    resume->error = store_jobs_load(tools->store, note_job, resume);
}

static void resume_drop(struct work *work)
{
    struct resume *resume = (struct resume *)work;
    for (size_t i = 0; i < resume->count; i++) {
        moment_fini(&resume->list[i].moment);
    }
    mem_free(resume->list);
    mem_free(resume);
}

static bool resume_done(struct work *work, struct control *c)
{
    struct resume *resume = (struct resume *)work;
    if (resume->error < 0) {
        control_say(c, 3, "policy database: jobs that were under way: %s",
                    trouble_meaning(resume->error));
    }
    c->bad_jobs.count = resume->bad_count;
    c->bad_jobs.first_id = resume->bad_id;
    if (resume->bad_count > 0) {
        control_say(c, 3,
                    "policy database: %zu jobs cannot be read and do not go on, the first is job "
                    "%" PRIu32,
                    resume->bad_count, resume->bad_id);
    }
    for (size_t i = 0; i < resume->count; i++) {
        struct stored *stored = &resume->list[i];
        struct admin_request request = {.cmd = "release", .select = stored->select};
        memcpy(request.who, stored->who, sizeof request.who);
        /* A job of a version that kept hop= in its selection. */
        moment_take_hops(&stored->moment, &request.select, &c->core.routes);
        start_releasing(c, &request, &stored->moment, stored->id, stored->before_pos);
    }
    resume_drop(work);
    return true;
}

void resume_jobs(struct control *c)
{
    struct resume *resume = mem_zalloc(sizeof *resume);
    resume->work = (struct work){
        .lane = WORK_STORE, .run = resume_run, .done = resume_done, .drop = resume_drop};
    works_submit(&c->works, &resume->work);
}

/* --- retry ----------------------------------------------------------------------------------- */

struct retry_job {
    struct job job;
    struct sieve sieve;
    struct act_txn txn;
    struct act_plan plan;
    bool acting;
};

static void retry_visit(struct sieve *s, struct control *c, struct delivery *d,
                        const struct rcptset *mask)
{
    struct retry_job *j = s->ctx;
    if (d->state != DELIVERY_WAITING) {
        return;
    }
    if (!j->acting) {
        act_plan_add(&j->plan, d, mask);
        return;
    }
    const struct route *route = routes_at(&c->core.routes, d->route);
    life_lift(&c->core, d)->due_ns = c->core.now.now_ns;
    hopside_close_route(&c->core, route);
    (void)life_settle(&c->core, d);
}

/* Closes the breakers of the hops that are named, also of those without waiting mail. */
static void close_hops(const struct select *select, struct control *c)
{
    for (uint32_t i = 0; i < select->count; i++) {
        const struct select_term *term = &select->term[i];
        struct hop *hop =
            term->key == SELECT_HOP ? routes_find_hop_name(&c->core.routes, term->text) : NULL;
        if (hop != NULL) {
            hopside_close(&c->core, hop);
        }
    }
}

static json_t *retried_answer(const struct retry_job *j)
{
    json_t *o = j->job.request.dry_run ? act_plan_answer(&j->plan) : admin_ok();
    admin_set_number(o, "retried", j->plan.deliveries);
    return o;
}

static bool retry_step(struct job *job, struct control *c)
{
    struct retry_job *j = (struct retry_job *)job;
    if (j->txn.over && !j->acting) {
        if (j->txn.error < 0) {
            job->answer = act_txn_failed(&j->txn);
            return true;
        }
        j->acting = true;
        close_hops(&job->request.select, c);
        sieve_init(&j->sieve, job, &job->request.select, retry_visit, j);
        j->sieve.acts = true;
        return true;
    }
    if (!sieve_step(&j->sieve, c)) {
        return true;
    }
    if (j->acting || job->request.dry_run) {
        job->answer = retried_answer(j);
        return true;
    }
    job->answer = admin_check_count(&job->request, j->plan.deliveries);
    if (job->answer == NULL) {
        j->txn.result = "due now";
        act_txn_submit(&j->txn, job, c, j->plan.deliveries);
    }
    return true;
}

json_t *admin_retry(struct control *c, struct admin_request *request)
{
    struct retry_job *j = job_create(c, sizeof *j, request, retry_step);
    sieve_init(&j->sieve, &j->job, &j->job.request.select, retry_visit, j);
    return NULL;
}

/* --- jobs ------------------------------------------------------------------------------------ */

json_t *admin_jobs(struct control *c, struct admin_request *request)
{
    (void)request;
    json_t *list = json_array();
    for (const struct list *l = c->jobs.next; l != &c->jobs; l = l->next) {
        const struct job *job = list_entry(l, struct job, node);
        if (!job->background) {
            continue;
        }
        const struct releasing_job *j = (const struct releasing_job *)job;
        json_t *o = json_object();
        admin_set_number(o, "id", j->id);
        admin_set_text(o, "kind", bytes_str(job->request.cmd));
        admin_set_text(o, "who", bytes_str(job->request.who));
        admin_set_number(o, "found", j->left);
        admin_set_number(o, "on_the_way", c->core.outbox.releases.count);
        json_array_append_new(list, o);
    }
    json_t *o = admin_ok();
    json_object_set_new(o, "jobs", list);
    return o;
}
