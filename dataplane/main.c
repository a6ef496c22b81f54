/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/main.c: holdfast-dataplane: configuration, EAL, ports, spool, then three threads:
 *
 *   worker        one lcore: the poll loop
 *   writer        the spool's I/O
 *   main          housekeeping and signals
 *
 * Promise: whatever keeps it from serving is reported as one clear line on standard error, and exit
 *          status 1.
 * Trap:    the order of the start matters: locks before the EAL; privileges are dropped after the
 *          ports are up and before the spool is made; the root region comes last, because it lets
 *          control in.
 */
#include "common/assert.h"
#include "common/config.h"
#include "common/counters.h"
#include "dataplane/fault.h"
#include "dataplane/housekeeping.h"
#include "dataplane/net/eal.h"
#include "dataplane/setup.h"
#include "dataplane/worker.h"
#include "dataplane/writer.h"
#include "spool/spool.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    HOUSEKEEPING_INTERVAL_MS = 20,
    DRAIN_MS_MAX = 10000,
    IDLE_TURNS_BEFORE_NAP = 64,
    ABANDON_MS_MAX = 2000,
    WRITER_STOP_MS_MAX = 5000, /* a disk that does not answer must not delay the end further */
    WRITER_SPINS = 20,
    WRITER_NAP_US_MIN = 20,
    WRITER_NAP_US_MAX = 500,
};

struct dataplane {
    struct config *config;
    struct place place;
    struct nic *nic;
    struct spool_io *io;
    struct spool_writer *spool;
    struct writer *writer;
    struct worker *worker;
    struct counters worker_counters;
    struct counters writer_counters;
    struct housekeeping housekeeping;
    struct doorbell *doorbell;
    pthread_t writer_thread;
    _Atomic bool stop_worker;
    _Atomic bool worker_ended;
    _Atomic bool stop_writer;
    _Atomic int64_t wall_offset_ms; /* wall clock minus the worker's clock */
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void nap_us(uint32_t us)
{
    struct timespec ts = {.tv_nsec = (long)us * 1000};
    nanosleep(&ts, NULL);
}

/* --- threads -------------------------------------------------------------------------------- */

static int run_worker(void *arg)
{
    struct dataplane *dp = arg;
    uint32_t idle = 0;
    uint32_t nap = dp->config->dataplane.idle_nap_us;
    prctl(PR_SET_TIMERSLACK, 1000);
    fault_enter_worker();
    uint64_t before = nic_cycles();
    while (!atomic_load_explicit(&dp->stop_worker, memory_order_relaxed)) {
        uint64_t now_ns = nic_now_ns();
        int64_t offset = atomic_load_explicit(&dp->wall_offset_ms, memory_order_relaxed);
        bool busy = worker_turn(dp->worker, now_ns, now_ns / 1000000 + (uint64_t)offset);
        idle = busy ? 0 : idle + 1;
        if (idle > IDLE_TURNS_BEFORE_NAP && nap > 0) {
            nap_us(nap);
        }
        uint64_t now = nic_cycles();
        counter_add(&dp->worker_counters,
                    busy ? COUNTER_worker_busy_cycles : COUNTER_worker_idle_cycles, now - before);
        before = now;
    }
    atomic_store_explicit(&dp->worker_ended, true, memory_order_release);
    return 0;
}

static void *run_writer(void *arg)
{
    struct dataplane *dp = arg;
    uint32_t idle = 0;
    uint32_t nap = WRITER_NAP_US_MIN;
    prctl(PR_SET_TIMERSLACK, 1000);
    setup_pin_thread(dp->config->dataplane.service_cpu);
    fault_enter_thread();
    uint64_t stop_ns = UINT64_MAX;
    while (clock_ns(CLOCK_MONOTONIC) < stop_ns) {
        if (stop_ns == UINT64_MAX && atomic_load_explicit(&dp->stop_writer, memory_order_relaxed)) {
            stop_ns = clock_ns(CLOCK_MONOTONIC) + WRITER_STOP_MS_MAX * UINT64_C(1000000);
        }
        if (stop_ns != UINT64_MAX && writer_idle(dp->writer)) {
            break;
        }
        if (writer_turn(dp->writer, true)) {
            idle = 0;
            nap = WRITER_NAP_US_MIN;
        } else if (++idle > WRITER_SPINS) {
            nap_us(nap);
            nap = nap * 2 < WRITER_NAP_US_MAX ? nap * 2 : WRITER_NAP_US_MAX;
        }
    }
    return NULL;
}

static void set_wall_offset(struct dataplane *dp)
{
    int64_t wall_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
    atomic_store_explicit(&dp->wall_offset_ms, wall_ms - (int64_t)(nic_now_ns() / 1000000),
                          memory_order_relaxed);
}

/* Does the housekeeping until a signal ends the process. */
static void keep_house(struct dataplane *dp, const sigset_t *signals)
{
    struct timespec interval = {.tv_nsec = HOUSEKEEPING_INTERVAL_MS * 1000000L};
    for (;;) {
        int number = sigtimedwait(signals, NULL, &interval);
        if (number == SIGTERM || number == SIGINT) {
            return;
        }
        set_wall_offset(dp);
        housekeeping_turn(&dp->housekeeping, clock_ns(CLOCK_MONOTONIC));
    }
}

static void wait_drained(struct dataplane *dp, uint64_t ms_max)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + ms_max * 1000000;
    while (!worker_is_drained(dp->worker) && clock_ns(CLOCK_MONOTONIC) < until) {
        housekeeping_turn(&dp->housekeeping, clock_ns(CLOCK_MONOTONIC));
        nap_us(HOUSEKEEPING_INTERVAL_MS * 1000);
    }
}

static void drain(struct dataplane *dp)
{
    worker_drain(dp->worker);
    wait_drained(dp, DRAIN_MS_MAX);
    worker_abandon(dp->worker);
    wait_drained(dp, ABANDON_MS_MAX);
}

/* --- start ---------------------------------------------------------------------------------- */

static int fail(const char *what, int r)
{
    fprintf(stderr, "holdfast-dataplane: %s: %s\n", what, trouble_meaning(r));
    return r;
}

/* A delivery during which the last run faulted is recorded in the state log before anything
 * else. */
static int record_fault(struct dataplane *dp)
{
    uint64_t id;
    int r = fault_read(dp->config->spool.dir, &id);
    if (r < 0) {
        return trouble_begin(dp->io->trouble, r, "reading the file fault");
    }
    if (id == 0) {
        return 0;
    }
    struct spool_submit s = {.kind = SPOOL_SUBMIT_STATE};
    s.state.id = id;
    s.state.kind = ABI_STATE_FAULT;
    s.state.outcome = OUTCOME_SUSPECT;
    s.state.time_ms = clock_ns(CLOCK_REALTIME) / 1000000;
    spool_writer_submit(dp->spool, &s);
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + WRITER_STOP_MS_MAX * UINT64_C(1000000);
    while (spool_writer_turn(dp->spool, true) == NULL) {
        if (clock_ns(CLOCK_MONOTONIC) > until) {
            return -ENOSPC;
        }
        nap_us(WRITER_NAP_US_MIN);
    }
    if (s.result != SPOOL_RESULT_OK) {
        return trouble_begin(dp->io->trouble, -EIO, "recording that the last run faulted");
    }
    fault_clear(dp->config->spool.dir);
    return 0;
}

static int fail_spool(const struct dataplane *dp, int r)
{
    fprintf(stderr, "holdfast-dataplane: spool %s: %s\n", dp->config->spool.dir,
            trouble_text(dp->io->trouble, r));
    dp->io->trouble = NULL;
    return r;
}

static int open_spool(struct dataplane *dp)
{
    const struct config *c = dp->config;
    struct trouble trouble = {0};
    int r =
        spool_io_create(c->spool.dir, c->spool.io, (int)c->dataplane.service_cpu, false, &dp->io);
    if (r < 0) {
        return fail(c->spool.dir, r);
    }
    dp->io->trouble = &trouble; /* until the writer's thread runs */
    struct spool_settings settings = {.segment_bytes = c->spool.segment_bytes,
                                      .segments_max = c->spool.segments_max,
                                      .state_segment_bytes = c->spool.state_segment_bytes};
    r = spool_writer_open(dp->io, &settings, &dp->spool);
    r = r < 0 ? r : record_fault(dp);
    if (r == -ENOSPC && dp->spool != NULL) {
        /* Only control can free the state log, and only through this process: so it starts without
         * the record. The record that waits in the writer is dropped; the fault file stays for the
         * next start. */
        fprintf(stderr, "holdfast-dataplane: the state log is full: a fault is not recorded yet\n");
        spool_writer_close(dp->spool);
        dp->spool = NULL;
        r = spool_writer_open(dp->io, &settings, &dp->spool);
    }
    if (r == 0 && spool_writer_free_segments(dp->spool) == 0) {
        fprintf(stderr, "holdfast-dataplane: %s: no room for new mail: it is answered 452\n",
                c->spool.dir);
    }
    if (r < 0) {
        return fail_spool(dp, r);
    }
    dp->io->trouble = NULL;
    return 0;
}

static int make_workers(struct dataplane *dp)
{
    static uint32_t port[LIMIT_INTERFACES]; /* the worker keeps the pointer */
    for (uint32_t i = 0; i < dp->config->interface_count; i++) {
        port[i] = nic_port_of(dp->nic, i);
    }
    struct writer_settings ws = {.spool = dp->spool,
                                 .worker_count = 1,
                                 .counters = &dp->writer_counters,
                                 .doorbell = doorbell_ring,
                                 .doorbell_ctx = dp->doorbell};
    int r = writer_create(&ws, &dp->writer);
    struct worker_settings settings = {.config = dp->config,
                                       .ids = {.start = spool_writer_start(dp->spool)},
                                       .nic = dp->nic,
                                       .writer = dp->writer,
                                       .counters = &dp->worker_counters,
                                       .memory = nic_memory,
                                       .interface_port = port,
                                       .buffer_mib = dp->config->dataplane.memory_mib / 4};
    if (getrandom(&settings.key, sizeof settings.key, 0) != (ssize_t)sizeof settings.key) {
        return fail("random numbers", -EIO);
    }
    r = r < 0 ? r : worker_create(&settings, &dp->worker);
    if (r < 0) {
        return fail("worker memory (raise dataplane.memory)", r);
    }
    fault_init(dp->config->spool.dir, dp->worker);
    fault_enter_thread();
    dp->housekeeping = (struct housekeeping){.config = dp->config,
                                             .writer = dp->writer,
                                             .writer_counters = &dp->writer_counters,
                                             .worker_count = 1,
                                             .worker = {dp->worker},
                                             .worker_counters = {&dp->worker_counters},
                                             .start = settings.ids.start};
    char error[CONFIG_ERROR_SIZE];
    r = housekeeping_init(&dp->housekeeping, &dp->place, error);
    if (r < 0) {
        fprintf(stderr, "holdfast-dataplane: %s\n", error);
    }
    return r;
}

static int start(struct dataplane *dp)
{
    char error[CONFIG_ERROR_SIZE];
    int r = place_open(dp->config, &dp->place, error);
    r = r < 0 ? r : place_lock(&dp->place, "dataplane.lock", false, error);
    r = r < 0 ? r : nic_eal_init(dp->config, error);
    r = r < 0 ? r : nic_create(dp->config, &dp->nic, error);
    r = r < 0 ? r : place_become(&dp->place, error);
    if (r < 0) {
        fprintf(stderr, "holdfast-dataplane: %s\n", error);
        return r;
    }
    if (dp->place.uid == 0) {
        fprintf(stderr, "holdfast-dataplane: no user is configured: it stays root\n");
    }
    set_wall_offset(dp);
    dp->doorbell = doorbell_create(&dp->place);
    r = open_spool(dp);
    return r < 0 ? r : make_workers(dp);
}

static int serve(struct dataplane *dp)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    int r = start(dp);
    if (r < 0) {
        return r;
    }
    r = -pthread_create(&dp->writer_thread, NULL, run_writer, dp);
    if (r < 0) {
        return fail("writer thread", r);
    }
    r = nic_launch(dp->config->dataplane.lcore, run_worker, dp);
    if (r < 0) {
        return fail("worker lcore", r);
    }
    setup_notify_ready();
    fprintf(stderr, "holdfast-dataplane: ready\n");
    keep_house(dp, &signals);
    fprintf(stderr, "holdfast-dataplane: finishing what is under way\n");
    drain(dp);
    atomic_store(&dp->stop_worker, true);
    nic_join();
    /* DPDK's join orders what the worker did before what follows. This load says so in our own
     * code, since ThreadSanitizer does not see into DPDK. */
    bool ended = atomic_load_explicit(&dp->worker_ended, memory_order_acquire);
    assert(ended);
    atomic_store(&dp->stop_writer, true);
    pthread_join(dp->writer_thread, NULL);
    housekeeping_fini(&dp->housekeeping);
    place_unbind(&dp->place, "attach");
    spool_writer_close(dp->spool);
    nic_destroy(dp->nic);
    nic_eal_cleanup();
    return 0;
}

static const char usage[] =
    "usage: holdfast-dataplane [--config FILE] [--check]\n"
    "  --config FILE  configuration (default /etc/holdfast/holdfast.conf)\n"
    "  --check        read the configuration, say what is wrong with it, and exit\n"
    "  --help, --version\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    const char *path = "/etc/holdfast/holdfast.conf";
    bool check = false;
    for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (o == 'c') {
            path = optarg;
        } else if (o == 'k') {
            check = true;
        } else if (o == 'h' || o == 'V') {
            fputs(o == 'h' ? usage : "holdfast-dataplane " HOLDFAST_VERSION "\n", stdout);
            return 0;
        } else {
            fputs(usage, stderr);
            return 64;
        }
    }
    if (optind != argc) {
        fputs(usage, stderr);
        return 64;
    }
    static struct dataplane dp;
    char error[CONFIG_ERROR_SIZE];
    if (config_load(path, &dp.config, error) < 0) {
        fprintf(stderr, "holdfast-dataplane: %s\n", error);
        return 1;
    }
    if (check && place_check_names(dp.config, error) < 0) {
        fprintf(stderr, "holdfast-dataplane: %s\n", error);
        return 1;
    }
    if (check) {
        printf("%s: good\n", path);
        return 0;
    }
    return serve(&dp) < 0 ? 1 : 0;
}
