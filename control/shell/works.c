/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/works.c: lanes, their queues, and the way back. See works.h.
 *
 * A queue between threads is a stack. Anybody pushes with one compare-and-swap. Its only taker
 * takes all of it with one exchange and turns it round. Nobody pops a single work, so a work that
 * is pushed again meanwhile does no harm (no ABA).
 *
 * Memory ordering: a push releases what the work holds, and the exchange that takes it acquires it.
 * Pushes between them are read-modify-writes and keep the release of earlier ones visible.
 */
#include "control/shell/works.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { PARTS_MAX = 32 }; /* handed back at once: some tens of megabytes */

/* A lane rests so many times as long as its work took: the disk is the dataplane's meanwhile. */
static const uint64_t lane_rest[WORK_LANES] = {[WORK_SAVE] = 3};

#define REST_MAX_NS (UINT64_C(100) * 1000000)

void works_init(struct works *w, struct spool_io *io, struct store *store)
{
    memset(w, 0, sizeof *w);
    int r = sem_init(&w->room, 0, PARTS_MAX);
    assert(r == 0);
    r = sem_init(&w->ended, 0, 0);
    assert(r == 0);
    for (int i = 0; i < WORK_LANES; i++) {
        r = sem_init(&w->asked[i], 0, 0);
        assert(r == 0);
        w->tools[i] = (struct work_tools){.works = w, .io = io, .store = store};
    }
}

/* --- queues ---------------------------------------------------------------------------------- */

static void push(_Atomic(struct work *) *stack, struct work *work)
{
    work->next = atomic_load_explicit(stack, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(stack, &work->next, work, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

static void append(struct work_list *list, struct work *work)
{
    assert((list->first == NULL) == (list->last == NULL));
    work->next = NULL;
    if (list->last == NULL) {
        list->first = work;
    } else {
        list->last->next = work;
    }
    list->last = work;
}

static struct work *take(struct work_list *list)
{
    struct work *work = list->first;
    if (work != NULL) {
        list->first = work->next;
        list->last = list->first == NULL ? NULL : list->last;
        work->next = NULL;
    }
    return work;
}

/* What was pushed since goes to the end of a list, the oldest first: quick works to their own. */
static void collect(_Atomic(struct work *) *stack, struct work_list *list, struct work_list *quick)
{
    struct work *newest = atomic_exchange_explicit(stack, NULL, memory_order_acquire);
    struct work *oldest = NULL;
    while (newest != NULL) {
        struct work *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    while (oldest != NULL) {
        struct work *newer = oldest->next;
        append(oldest->quick ? quick : list, oldest);
        oldest = newer;
    }
}

static void drop_all(struct work_list *list)
{
    struct work *work;
    while ((work = take(list)) != NULL) {
        if (work->drop != NULL) {
            work->drop(work);
        }
    }
}

void works_fini(struct works *w)
{
    collect(&w->returned, &w->finished, &w->finished);
    drop_all(&w->finished);
    for (int i = 0; i < WORK_LANES; i++) {
        collect(&w->submitted[i], &w->queued[i], &w->quick[i]);
        drop_all(&w->queued[i]);
        drop_all(&w->quick[i]);
        if (w->tools[i].reader != NULL) {
            spool_reader_close(w->tools[i].reader);
        }
        sem_destroy(&w->asked[i]);
    }
    sem_destroy(&w->room);
    sem_destroy(&w->ended);
}

/* --- lanes ----------------------------------------------------------------------------------- */

static struct work *next_of(struct works *w, enum work_lane lane)
{
    collect(&w->submitted[lane], &w->queued[lane], &w->quick[lane]);
    struct work *quick = take(&w->quick[lane]);
    return quick != NULL ? quick : take(&w->queued[lane]);
}

static void give_back(struct works *w, struct work *work)
{
    push(&w->returned, work); /* the loop may free it from here on */
    if (w->wake != NULL) {
        w->wake(w->wake_ctx);
    }
}

bool works_run(struct works *w, enum work_lane lane)
{
    struct work *work = next_of(w, lane);
    if (work == NULL) {
        return false;
    }
    work->run(work, &w->tools[lane]);
    give_back(w, work);
    return true;
}

static void wait_for(sem_t *sem)
{
    int r;
    do {
        r = sem_wait(sem);
    } while (r != 0 && errno == EINTR);
    assert(r == 0);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    int r = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(r == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Waits as a lane does after a work that took so long, or until works_stop. */
static void rest(struct works *w, enum work_lane lane, uint64_t took_ns)
{
    uint64_t rest_ns = lane_rest[lane] * took_ns;
    if (rest_ns == 0 || atomic_load_explicit(&w->hurry, memory_order_relaxed)) {
        return;
    }
    uint64_t end_ns = rest_ns < REST_MAX_NS ? rest_ns : REST_MAX_NS;
    end_ns += clock_ns();
    struct timespec end = {.tv_sec = (time_t)(end_ns / 1000000000),
                           .tv_nsec = (long)(end_ns % 1000000000)};
    int r;
    do {
        r = sem_clockwait(&w->ended, CLOCK_MONOTONIC, &end);
    } while (r != 0 && errno == EINTR);
    assert(r == 0 || errno == ETIMEDOUT);
}

void works_serve(struct works *w, enum work_lane lane)
{
    assert(w->threaded);
    for (;;) {
        wait_for(&w->asked[lane]);
        if (atomic_load_explicit(&w->stopping, memory_order_acquire)) {
            return;
        }
        uint64_t begin_ns = clock_ns();
        bool ran = works_run(w, lane);
        assert(ran); /* a post for each work */
        rest(w, lane, clock_ns() - begin_ns);
    }
}

bool works_part(struct works *w, struct work *part)
{
    assert(part->done != NULL);
    bool stopping = atomic_load_explicit(&w->stopping, memory_order_acquire);
    if (w->threaded && !stopping) {
        wait_for(&w->room);
        stopping = atomic_load_explicit(&w->stopping, memory_order_acquire);
    }
    part->run = NULL; /* marks a part */
    give_back(w, part);
    return !stopping;
}

/* --- the loop -------------------------------------------------------------------------------- */

static void post(sem_t *sem)
{
    int r = sem_post(sem);
    assert(r == 0);
}

void works_submit(struct works *w, struct work *work)
{
    assert(work->run != NULL && work->done != NULL && work->lane < WORK_LANES);
    assert(!work->quick || work->lane == WORK_LOOK);
    enum work_lane lane = work->lane; /* the work is the lane's once it is pushed */
    w->unfinished++;
    push(&w->submitted[lane], work);
    if (w->threaded) {
        post(&w->asked[lane]);
    }
}

void works_stop(struct works *w)
{
    assert(w->threaded);
    atomic_store_explicit(&w->stopping, true, memory_order_release);
    for (int i = 0; i < WORK_LANES; i++) {
        post(&w->asked[i]);
        post(&w->room); /* a lane that is about to wait for room gets one; then it sees the end */
        post(&w->ended);
    }
}

void works_hurry(struct works *w, bool hurry)
{
    atomic_store_explicit(&w->hurry, hurry, memory_order_relaxed);
}

bool works_finish(struct works *w, struct control *control, uint32_t max)
{
    collect(&w->returned, &w->finished, &w->finished);
    for (uint32_t i = 0; i < max && w->finished.first != NULL; i++) {
        struct work *work = w->finished.first;
        struct work *following = work->next; /* done may free the work */
        bool is_part = work->run == NULL;
        if (!work->done(work, control)) {
            return true; /* it stays first: later parts need what it has to hand over */
        }
        w->finished.first = following;
        w->finished.last = following == NULL ? NULL : w->finished.last;
        if (!is_part) {
            assert(w->unfinished > 0);
            w->unfinished--;
        } else if (w->threaded) {
            post(&w->room);
        }
    }
    return w->finished.first != NULL;
}

bool works_busy(const struct works *w)
{
    return w->unfinished > 0 || w->finished.first != NULL;
}

void works_wait(struct works *w, uint32_t timeout_ms)
{
    assert(w->threaded);
    struct timespec pause = {.tv_sec = 0, .tv_nsec = 1000000};
    for (uint32_t i = 0; i < timeout_ms; i++) {
        if (atomic_load_explicit(&w->returned, memory_order_relaxed) != NULL || !works_busy(w)) {
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
