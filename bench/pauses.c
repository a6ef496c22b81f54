/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/pauses.c: see pauses.h.
 *
 * Each thread writes its pauses into a ring of its own and raises `count` afterwards (release). A
 * reader takes `count` first (acquire), and reads the newest backwards. A pause that is over before
 * the thread on the same CPU goes on is in the ring by then: the watcher runs first.
 */
#include "bench/pauses.h"

#include "common/assert.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    CPUS_MAX = 64,
    KEPT = 1 << 14,     /* pauses of a CPU: the ring */
    PERIOD_NS = 200000, /* 5 000 wakeups a second and CPU: about one percent of it */
    WITHIN_MAX = 1024,  /* pauses between two times; more are not counted */
    LEAST_NS = 100000,  /* a timer is that late on a busy machine without any pause */
};

struct pause {
    uint64_t begin_ns;
    uint64_t end_ns;
};

struct watcher {
    pthread_t thread;
    bool runs;
    int cpu;
    atomic_bool *end;
    _Atomic uint64_t count;
    uint64_t cleared; /* the reader's: `count` then */
    struct pause pause[KEPT];
};

struct bench_pauses {
    atomic_bool end;
    int count;
    struct watcher *watcher[CPUS_MAX];
};

static void note(struct watcher *w, uint64_t begin_ns, uint64_t end_ns)
{
    uint64_t count = atomic_load_explicit(&w->count, memory_order_relaxed);
    w->pause[count % KEPT] = (struct pause){.begin_ns = begin_ns, .end_ns = end_ns};
    atomic_store_explicit(&w->count, count + 1, memory_order_release);
}

static void *watch(void *ctx)
{
    struct watcher *w = ctx;
    (void)prctl(PR_SET_TIMERSLACK, 1);
    while (!atomic_load_explicit(w->end, memory_order_relaxed)) {
        uint64_t at_ns = bench_now_ns() + PERIOD_NS;
        struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                              .tv_nsec = (long)(at_ns % 1000000000)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        uint64_t now_ns = bench_now_ns();
        if (now_ns > at_ns + LEAST_NS) {
            note(w, at_ns, now_ns);
        }
    }
    return NULL;
}

static bool start(struct watcher *w)
{
    pthread_attr_t attr;
    cpu_set_t cpus;
    struct sched_param param = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    CPU_ZERO(&cpus);
    CPU_SET((size_t)w->cpu, &cpus);
    int r = pthread_attr_init(&attr);
    assert(r == 0);
    r = pthread_attr_setaffinity_np(&attr, sizeof cpus, &cpus);
    r = r == 0 ? pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED) : r;
    r = r == 0 ? pthread_attr_setschedpolicy(&attr, SCHED_FIFO) : r;
    r = r == 0 ? pthread_attr_setschedparam(&attr, &param) : r;
    r = r == 0 ? pthread_create(&w->thread, &attr, watch, w) : r;
    pthread_attr_destroy(&attr);
    w->runs = r == 0;
    return w->runs;
}

bool bench_pauses_watch(struct bench_pauses **pauses_out)
{
    struct bench_pauses *p = calloc(1, sizeof *p);
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    bool good = cpus > 0 && cpus <= CPUS_MAX;
    assert(p != NULL);
    for (int cpu = 0; good && cpu < (int)cpus; cpu++) {
        struct watcher *w = calloc(1, sizeof *w);
        assert(w != NULL);
        w->cpu = cpu;
        w->end = &p->end;
        p->watcher[p->count++] = w;
        good = start(w);
    }
    *pauses_out = p;
    return good;
}

void bench_pauses_end(struct bench_pauses *p)
{
    atomic_store(&p->end, true);
    for (int i = 0; i < p->count; i++) {
        if (p->watcher[i]->runs) {
            int r = pthread_join(p->watcher[i]->thread, NULL);
            assert(r == 0);
        }
        free(p->watcher[i]);
    }
    free(p);
}

static uint64_t oldest_of(uint64_t count)
{
    return count > KEPT / 2 ? count - KEPT / 2 : 0; /* far from where the thread writes now */
}

/* Adds the parts of that CPU's pauses that lie between the two times, the newest first. Returns how
 * many there are then, at most WITHIN_MAX. */
static size_t collect(const struct watcher *w, uint64_t begin_ns, uint64_t end_ns,
                      struct pause within[], size_t found)
{
    uint64_t count = atomic_load_explicit(&w->count, memory_order_acquire);
    for (uint64_t i = count; i > oldest_of(count) && found < WITHIN_MAX; i--) {
        struct pause pause = w->pause[(i - 1) % KEPT];
        if (pause.end_ns <= begin_ns) {
            break;
        }
        pause.begin_ns = pause.begin_ns > begin_ns ? pause.begin_ns : begin_ns;
        pause.end_ns = pause.end_ns < end_ns ? pause.end_ns : end_ns;
        if (pause.end_ns > pause.begin_ns) {
            within[found++] = pause;
        }
    }
    return found;
}

uint64_t bench_pauses_within(const struct bench_pauses *p, int cpu, uint64_t begin_ns,
                             uint64_t end_ns)
{
    struct pause within[WITHIN_MAX];
    uint64_t sum_ns = 0;
    if (cpu < 0 || cpu >= p->count) {
        return 0;
    }
    size_t found = collect(p->watcher[cpu], begin_ns, end_ns, within, 0);
    for (size_t i = 0; i < found; i++) {
        sum_ns += within[i].end_ns - within[i].begin_ns;
    }
    return sum_ns;
}

static int by_begin(const void *a, const void *b)
{
    const struct pause *one = a;
    const struct pause *other = b;
    return one->begin_ns < other->begin_ns ? -1 : one->begin_ns > other->begin_ns;
}

uint64_t bench_pauses_anywhere(const struct bench_pauses *p, uint64_t begin_ns, uint64_t end_ns)
{
    struct pause within[WITHIN_MAX];
    size_t found = 0;
    uint64_t sum_ns = 0;
    uint64_t counted_ns = begin_ns; /* up to here */
    for (int c = 0; c < p->count; c++) {
        found = collect(p->watcher[c], begin_ns, end_ns, within, found);
    }
    qsort(within, found, sizeof *within, by_begin);
    for (size_t i = 0; i < found; i++) {
        uint64_t from_ns = within[i].begin_ns > counted_ns ? within[i].begin_ns : counted_ns;
        if (within[i].end_ns > from_ns) {
            sum_ns += within[i].end_ns - from_ns;
            counted_ns = within[i].end_ns;
        }
    }
    return sum_ns;
}

void bench_pauses_sum(const struct bench_pauses *p, struct bench_histogram *sum_out)
{
    memset(sum_out, 0, sizeof *sum_out);
    for (int c = 0; c < p->count; c++) {
        const struct watcher *w = p->watcher[c];
        uint64_t count = atomic_load_explicit(&w->count, memory_order_acquire);
        uint64_t oldest = oldest_of(count);
        for (uint64_t i = w->cleared > oldest ? w->cleared : oldest; i < count; i++) {
            const struct pause *pause = &w->pause[i % KEPT];
            bench_histogram_add(sum_out, pause->end_ns - pause->begin_ns);
        }
    }
}

void bench_pauses_clear(struct bench_pauses *p)
{
    for (int c = 0; c < p->count; c++) {
        p->watcher[c]->cleared = atomic_load_explicit(&p->watcher[c]->count, memory_order_acquire);
    }
}
