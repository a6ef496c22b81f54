/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/threads.c: a thread for each lane (works.h), with a disk and a database handle of
 * its own where it needs one.
 *
 * Promise: signals stay with the loop. Every thread has ended before anything is freed.
 */
#include "control/shell/shell.h"

#include "control/core/mem.h"
#include "control/shell/store.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

struct lane {
    struct works *works;
    enum work_lane number;
    pthread_t thread;
    bool runs;
    struct spool_io *io;
};

struct threads {
    struct works *works;
    struct lane lane[WORK_LANES];
    sqlite3 *look_db;
    struct store *look_store;
    int wake_fd;
};

/* The loop sleeps most of the time and must run at once when it is woken. The lanes that no mail
 * waits for take what processor time is left. */
enum { LOOP_NICE = -10, BESIDE_NICE = 10 };

static const int lane_nice[WORK_LANES] = {
    [WORK_LOGS] = 0,
    [WORK_LOOK] = BESIDE_NICE,
    [WORK_SAVE] = BESIDE_NICE,
    [WORK_STORE] = BESIDE_NICE,
    [WORK_NAMES] = BESIDE_NICE,
};

void threads_favour_loop(void)
{
    (void)setpriority(PRIO_PROCESS, 0, LOOP_NICE); /* on Linux: of this thread alone */
}

void threads_leave_cpu(uint32_t cpu)
{
    cpu_set_t set;
    if (cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof set, &set) < 0) {
        return;
    }
    CPU_CLR(cpu, &set);
    if (CPU_COUNT(&set) > 0) {
        (void)sched_setaffinity(0, sizeof set, &set);
    }
}

static void *serve(void *ctx)
{
    struct lane *lane = ctx;
    /* A lane that cannot step back works all the same. */
    (void)setpriority(PRIO_PROCESS, 0, lane_nice[lane->number]);
    works_serve(lane->works, lane->number);
    return NULL;
}

/* The loop sleeps in epoll; an eventfd wakes it. */
static void wake(void *ctx)
{
    const struct threads *threads = ctx;
    uint64_t one = 1;
    ssize_t written = write(threads->wake_fd, &one, sizeof one);
    (void)written; /* a counter at its maximum wakes, too */
}

int threads_wake_fd(const struct threads *threads)
{
    return threads->wake_fd;
}

void threads_drain(const struct threads *threads)
{
    uint64_t count;
    ssize_t got = read(threads->wake_fd, &count, sizeof count);
    (void)got;
}

/* The look lane reads replies from the database while the store lane writes to it. */
static int open_look_db(struct threads *t, const char *db_path)
{
    if (sqlite3_open_v2(db_path, &t->look_db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        return -EIO;
    }
    (void)sqlite3_busy_timeout(t->look_db, 2000);
    t->look_store = store_borrow(t->look_db);
    t->works->tools[WORK_LOOK].store = t->look_store;
    return 0;
}

static int start(struct threads *t, enum work_lane number, const char *spool_dir)
{
    struct lane *lane = &t->lane[number];
    lane->works = t->works;
    lane->number = number;
    int r = number == WORK_NAMES ? 0 /* it has nothing to do with the spool */
                                 : spool_io_create(spool_dir, "pwritev2", -1, false, &lane->io);
    if (r < 0) {
        lane->io = NULL;
        return r;
    }
    t->works->tools[number].io = lane->io;
    r = -pthread_create(&lane->thread, NULL, serve, lane);
    lane->runs = r == 0;
    return r;
}

int threads_create(struct control *control, const char *spool_dir, const char *db_path,
                   struct threads **threads_out)
{
    struct threads *t = mem_zalloc(sizeof *t);
    t->works = control_works(control);
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = t->wake_fd < 0 ? -errno : open_look_db(t, db_path);
    t->works->threaded = true;
    t->works->wake = wake;
    t->works->wake_ctx = t;
    if (t->works->tools[WORK_LOOK].reader != NULL) { /* opened on the loop's disk */
        spool_reader_close(t->works->tools[WORK_LOOK].reader);
        t->works->tools[WORK_LOOK].reader = NULL;
    }
    for (int i = 0; r == 0 && i < WORK_LANES; i++) {
        r = start(t, (enum work_lane)i, spool_dir);
    }
    *threads_out = t;
    return r;
}

void threads_destroy(struct threads *t)
{
    works_stop(t->works);
    for (int i = 0; i < WORK_LANES; i++) {
        if (t->lane[i].runs) {
            (void)pthread_join(t->lane[i].thread, NULL);
        }
    }
    for (int i = 0; i < WORK_LANES; i++) {
        struct work_tools *tools = &t->works->tools[i];
        if (tools->reader != NULL) {
            spool_reader_close(tools->reader);
            tools->reader = NULL;
        }
        if (t->lane[i].io != NULL) {
            t->lane[i].io->ops->destroy(t->lane[i].io);
        }
    }
    if (t->look_store != NULL) {
        store_close(t->look_store);
    }
    (void)sqlite3_close(t->look_db);
    if (t->wake_fd >= 0) {
        close(t->wake_fd);
    }
    t->works->wake = NULL;
    mem_free(t);
}
