/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/works.c: lanes, their queues, and the way back. See works.h. */
#include "control/shell/works.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { PARTS_MAX = 32 }; /* on their way at once: some megabytes */

void works_init(struct works *w, struct spool_io *io, struct store *store)
{
    memset(w, 0, sizeof *w);
    int r = pthread_mutex_init(&w->lock, NULL);
    assert(r == 0);
    r = pthread_cond_init(&w->room, NULL);
    assert(r == 0);
    list_init(&w->finished);
    for (int i = 0; i < WORK_LANES; i++) {
        r = pthread_cond_init(&w->asked[i], NULL);
        assert(r == 0);
        list_init(&w->queued[i]);
        w->tools[i] = (struct work_tools){.works = w, .io = io, .store = store};
    }
}

static void drop_all(struct list *list)
{
    while (!list_is_empty(list)) {
        struct work *work = list_entry(list->next, struct work, node);
        list_remove(&work->node);
        if (work->drop != NULL) {
            work->drop(work);
        }
    }
}

void works_fini(struct works *w)
{
    drop_all(&w->finished);
    for (int i = 0; i < WORK_LANES; i++) {
        drop_all(&w->queued[i]);
        if (w->tools[i].reader != NULL) {
            spool_reader_close(w->tools[i].reader);
        }
        pthread_cond_destroy(&w->asked[i]);
    }
    pthread_cond_destroy(&w->room);
    pthread_mutex_destroy(&w->lock);
}

static void lock(struct works *w)
{
    int r = pthread_mutex_lock(&w->lock);
    assert(r == 0);
}

static void unlock(struct works *w)
{
    int r = pthread_mutex_unlock(&w->lock);
    assert(r == 0);
}

void works_submit(struct works *w, struct work *work)
{
    assert(work->run != NULL && work->done != NULL && work->lane < WORK_LANES);
    lock(w);
    list_append(&w->queued[work->lane], &work->node);
    w->unfinished++;
    pthread_cond_signal(&w->asked[work->lane]);
    unlock(w);
}

static struct work *take(struct works *w, enum work_lane lane)
{
    if (list_is_empty(&w->queued[lane])) {
        return NULL;
    }
    struct work *work = list_entry(w->queued[lane].next, struct work, node);
    list_remove(&work->node);
    return work;
}

static void run(struct works *w, struct work *work)
{
    work->run(work, &w->tools[work->lane]);
    lock(w);
    list_append(&w->finished, &work->node);
    unlock(w);
    if (w->wake != NULL) {
        w->wake(w->wake_ctx);
    }
}

bool works_run(struct works *w, enum work_lane lane)
{
    lock(w);
    struct work *work = take(w, lane);
    unlock(w);
    if (work == NULL) {
        return false;
    }
    run(w, work);
    return true;
}

void works_serve(struct works *w, enum work_lane lane)
{
    for (;;) {
        lock(w);
        while (!w->stopping && list_is_empty(&w->queued[lane])) {
            pthread_cond_wait(&w->asked[lane], &w->lock);
        }
        struct work *work = w->stopping ? NULL : take(w, lane);
        unlock(w);
        if (work == NULL) {
            return;
        }
        run(w, work);
    }
}

void works_stop(struct works *w)
{
    lock(w);
    w->stopping = true;
    for (int i = 0; i < WORK_LANES; i++) {
        pthread_cond_broadcast(&w->asked[i]);
    }
    pthread_cond_broadcast(&w->room);
    unlock(w);
}

bool works_part(struct works *w, struct work *part)
{
    assert(part->done != NULL);
    lock(w);
    while (w->threaded && !w->stopping && w->parts >= PARTS_MAX) {
        pthread_cond_wait(&w->room, &w->lock);
    }
    bool stopping = w->stopping;
    part->run = NULL; /* marks a part */
    list_append(&w->finished, &part->node);
    w->parts++;
    unlock(w);
    if (w->wake != NULL) {
        w->wake(w->wake_ctx);
    }
    return !stopping;
}

static void finish(struct works *w, bool is_part)
{
    lock(w);
    if (is_part) {
        assert(w->parts > 0);
        w->parts--;
        pthread_cond_signal(&w->room);
    } else {
        assert(w->unfinished > 0);
        w->unfinished--;
    }
    unlock(w);
}

bool works_finish(struct works *w, struct control *control, uint32_t max)
{
    for (uint32_t i = 0; i < max; i++) {
        lock(w);
        struct list *node = list_is_empty(&w->finished) ? NULL : w->finished.next;
        unlock(w);
        if (node == NULL) {
            return false;
        }
        /* Only the loop takes from this end: the work stays first while it is looked at. */
        struct work *work = list_entry(node, struct work, node);
        bool is_part = work->run == NULL;
        lock(w);
        list_remove(node);
        unlock(w);
        if (work->done(work, control)) {
            finish(w, is_part);
            continue;
        }
        lock(w);
        node->next = w->finished.next; /* first again: what comes behind speaks of what it says */
        node->prev = &w->finished;
        w->finished.next->prev = node;
        w->finished.next = node;
        unlock(w);
        return true;
    }
    lock(w);
    bool more = !list_is_empty(&w->finished);
    unlock(w);
    return more;
}

bool works_busy(struct works *w)
{
    lock(w);
    bool busy = w->unfinished > 0 || !list_is_empty(&w->finished);
    unlock(w);
    return busy;
}

void works_wait(struct works *w, uint32_t timeout_ms)
{
    assert(w->threaded);
    struct timespec pause = {.tv_sec = 0, .tv_nsec = 1000000};
    for (uint32_t i = 0; i < timeout_ms; i++) {
        lock(w);
        bool ready = !list_is_empty(&w->finished) || w->unfinished == 0;
        unlock(w);
        if (ready) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
}

int work_reader(struct work_tools *tools, struct spool_reader **reader_out)
{
    if (tools->reader == NULL) {
        int r = spool_reader_open(tools->io, &tools->reader);
        if (r < 0) {
            tools->reader = NULL;
            return r;
        }
    }
    *reader_out = tools->reader;
    return 0;
}
