/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/main.c: holdfast-control: start, the loop, the end.
 *
 *   config ─▶ folders ─▶ lock ─▶ sockets ─▶ user ─▶ spool ─▶ database ─▶ threads ─▶ loop
 *                                                     loop: recovers beside operators ─▶ READY
 *
 * Promise: it starts completely, or says in one line why not. SIGTERM leaves a checkpoint. After a
 *          kill nothing is lost, but the next start takes longer. SIGHUP takes a new configuration,
 *          or keeps the old one.
 * Trap:    the loop sets control_sleeping, then looks at the ring once more, then sleeps, in this
 *          order (common/abi.h). In another order a message might wait for the next tick.
 */
#include "common/place.h"
#include "common/trouble.h"
#include "control/control.h"
#include "control/shell/listen.h"
#include "control/shell/setup.h"
#include "control/shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#ifndef HOLDFAST_VERSION
#define HOLDFAST_VERSION "0.1.0"
#endif

enum {
    EXIT_CONFIG = 1,      /* a person has to change something */
    EXIT_ENVIRONMENT = 2, /* the machine has a problem; another try may work */
    EXIT_USAGE = 64,
    EVENTS_MAX = 32,
    TICK_MS = 100,       /* half of LINK_LOOK_NS */
    SEEK_TICK_MS = 20,   /* LINK_SEEK_NS */
    PENDING_TICK_MS = 2, /* an operator waits: for a fence, or for a lane */
};

static const char usage[] =
    "usage: holdfast-control [--config PATH] [--check] [--new-policy]\n"
    "  --config PATH   configuration, /etc/holdfast/holdfast.conf by default\n"
    "  --check         say whether it is good, and exit\n"
    "  --new-policy    start without a policy database on a spool in use: forgets every hold\n"
    "  --version, --help\n";

struct options {
    const char *config_path;
    bool check;
    bool new_policy;
};

struct shell {
    struct config *config;
    struct config *first; /* read at the start: what cannot change while we run */
    const char *config_path;
    struct place place;
    struct spool_io *io;
    struct trouble trouble; /* of the spool, during the start */
    sqlite3 *db;
    struct control *control;
    struct threads *threads;
    struct server *server;
    struct link *link;
    int epoll_fd;
    int doorbell_fd;
    int signal_fd;
    bool reloading;
    bool reload_again; /* a signal came during a reload */
    bool end;
};

/* Returns -1 to go on, or the exit code. */
static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
        {"new-policy", no_argument, NULL, 'n'},   {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
    };
    *options = (struct options){.config_path = "/etc/holdfast/holdfast.conf"};
    int option;
    while ((option = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        if (option == 'c') {
            options->config_path = optarg;
        } else if (option == 'k') {
            options->check = true;
        } else if (option == 'n') {
            options->new_policy = true;
        } else if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        } else if (option == 'v') {
            puts("holdfast-control " HOLDFAST_VERSION);
            return 0;
        } else {
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return -1;
}

static int complain(const char *error, int code)
{
    fprintf(stderr, "holdfast-control: %s\n", error);
    return code;
}

static int watch_fd(struct shell *s, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_signals(struct shell *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        return -errno;
    }
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? -errno : 0;
}

static int open_outside(struct shell *s, char error[CONFIG_ERROR_SIZE])
{
    int r = place_open(s->config, &s->place, error);
    r = r == 0 ? place_lock(&s->place, "control.lock", true, error) : r;
    if (r < 0) {
        return r;
    }
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll_fd < 0 || open_signals(s) < 0 || watch_fd(s, s->signal_fd) < 0) {
        r = -errno;
        snprintf(error, CONFIG_ERROR_SIZE, "watching for events: %s", trouble_meaning(r));
        return r;
    }
    s->doorbell_fd = listen_doorbell(&s->place, error);
    if (s->doorbell_fd < 0) {
        return s->doorbell_fd;
    }
    int admin_fd = listen_admin(&s->place, s->config, error);
    if (admin_fd < 0) {
        return admin_fd;
    }
    r = server_create(admin_fd, s->epoll_fd, &s->place, &s->server);
    r = r == 0 ? watch_fd(s, s->doorbell_fd) : r;
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "epoll: %s", trouble_meaning(r));
        return r;
    }
    r = place_become(&s->place, error);
    if (r == 0 && s->place.uid == 0) {
        log_line(4, "no user is configured: it stays root");
    }
    return r;
}

static int open_inside(struct shell *s, bool new_policy, char error[CONFIG_ERROR_SIZE])
{
    int r = spool_io_create(s->config->spool.dir, "pwritev2", -1, false, &s->io);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "spool %s: opening the directory: %s",
                 s->config->spool.dir, trouble_meaning(r));
        return r;
    }
    s->io->trouble = &s->trouble;
    r = setup_database(s->config, s->io, new_policy, &s->db, error);
    if (r < 0) {
        s->db = NULL;
        return r;
    }
    r = control_create(s->config, s->db, s->io, shell_time(), &s->control, error);
    if (r < 0) {
        return r;
    }
    control_on_event(s->control, log_event, NULL);
    char path[CONFIG_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/policy.db", s->config->state_dir);
    r = threads_create(s->control, s->config->spool.dir, path, &s->threads);
    r = r == 0 ? watch_fd(s, threads_wake_fd(s->threads)) : r;
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "starting the threads of control: %s",
                 trouble_meaning(r));
        return r;
    }
    s->io->trouble = NULL; /* from here on each lane has a disk of its own */
    control_recover(s->control, shell_time());
    s->link = link_create(&s->place);
    return 0;
}

static void close_all(struct shell *s)
{
    if (s->link != NULL) {
        link_destroy(s->link);
    }
    if (s->server != NULL) {
        server_destroy(s->server);
        listen_end(&s->place);
    }
    if (s->threads != NULL) {
        threads_destroy(s->threads);
    }
    if (s->control != NULL) {
        control_destroy(s->control);
    }
    if (s->db != NULL) {
        sqlite3_close(s->db);
    }
    if (s->io != NULL) {
        s->io->ops->destroy(s->io);
    }
    if (s->first != NULL && s->first != s->config) {
        config_free(s->first);
    }
    config_free(s->config);
    place_close(&s->place);
}

/* Names the first setting that cannot change without a restart, because sockets, files and names
 * were made from it. NULL: they are equal. */
static const char *fixed_difference(const struct config *a, const struct config *b)
{
    if (strcmp(a->instance, b->instance) != 0) {
        return "instance";
    }
    if (strcmp(a->run_dir, b->run_dir) != 0) {
        return "run_dir";
    }
    if (strcmp(a->state_dir, b->state_dir) != 0) {
        return "state_dir";
    }
    return strcmp(a->spool.dir, b->spool.dir) != 0 ? "spool.dir" : NULL;
}

/* Runs in a lane: a configuration may name half a million recipients. */
static int load_config(void *ctx, struct config **config_out, char error[CONFIG_ERROR_SIZE])
{
    const struct shell *s = ctx; /* only fields that do not change while we run */
    int r = config_load(s->config_path, config_out, error);
    const char *fixed = r < 0 ? NULL : fixed_difference(s->first, *config_out);
    if (fixed != NULL) {
        snprintf(error, CONFIG_ERROR_SIZE, "%s changes only with a restart", fixed);
        config_free(*config_out);
        *config_out = NULL;
        r = -EINVAL;
    }
    return r;
}

static void reload(struct shell *s);

static void reloaded(void *ctx, struct config *config, const char *error)
{
    struct shell *s = ctx;
    s->reloading = false;
    (void)sd_notify(0, "READY=1");
    if (error != NULL) {
        log_line(3, "configuration refused, the old one stays: %s", error);
    } else {
        s->config = config;
    }
    if (s->reload_again) {
        s->reload_again = false;
        reload(s);
    }
}

static void unload_config(void *ctx, struct config *config)
{
    const struct shell *s = ctx;
    if (config != s->first) { /* which says what is fixed, until the end */
        config_free(config);
    }
}

static void reload(struct shell *s)
{
    const struct control_reload request = {
        .load = load_config, .done = reloaded, .unload = unload_config, .ctx = s};
    if (s->reloading || control_recovered(s->control) != 1) {
        s->reload_again = true;
        return;
    }
    s->reloading = true;
    (void)sd_notify(0, "RELOADING=1");
    control_reload(s->control, &request, shell_time());
}

static void take_signals(struct shell *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            reload(s);
        } else {
            s->end = true;
        }
    }
}

static void drain_doorbell(const struct shell *s)
{
    char byte[16];
    while (recv(s->doorbell_fd, byte, sizeof byte, MSG_DONTWAIT) >= 0) {
    }
}

static int sleep_ms(const struct shell *s)
{
    uint64_t now_ns = shell_now_ns();
    uint64_t next_ns = control_next_ns(s->control);
    if (next_ns <= now_ns) {
        return 0;
    }
    uint64_t most_ms = server_is_waiting(s->server)   ? PENDING_TICK_MS
                       : link_region(s->link) == NULL ? SEEK_TICK_MS
                                                      : TICK_MS;
    uint64_t wait_ms = (next_ns - now_ns) / 1000000 + 1;
    return (int)(wait_ms < most_ms ? wait_ms : most_ms);
}

static void wait_for_events(struct shell *s, bool worked)
{
    struct epoll_event event[EVENTS_MAX];
    int timeout_ms = worked ? 0 : sleep_ms(s);
    struct abi_attach *region = link_region(s->link);
    if (region != NULL && timeout_ms > 0) {
        (void)atomic_exchange(&region->control_sleeping, 1); /* not a plain store: see abi.h */
        if (!control_ring_is_empty(s->control)) {
            timeout_ms = 0;
        }
    }
    int count = epoll_wait(s->epoll_fd, event, EVENTS_MAX, timeout_ms);
    if (region != NULL) {
        atomic_store_explicit(&region->control_sleeping, 0, memory_order_relaxed);
    }
    for (int i = 0; i < count; i++) {
        if (event[i].data.ptr != NULL) {
            server_event(s->server, s->control, &event[i]);
        }
    }
    drain_doorbell(s);
    threads_drain(s->threads);
    take_signals(s);
}

/* Returns 0 at the end, or -errno when control cannot recover. */
static int run(struct shell *s)
{
    bool ready = false;
    while (!s->end) {
        int recovered = control_recovered(s->control);
        if (recovered < 0) {
            return recovered;
        }
        if (recovered == 1 && !ready) {
            ready = true;
            (void)sd_notify(0, "READY=1");
            log_line(6, "holdfast-control " HOLDFAST_VERSION " ready");
            if (s->reload_again) {
                s->reload_again = false;
                reload(s);
            }
        }
        if (ready) {
            link_turn(s->link, s->control, shell_now_ns());
        }
        bool worked = control_turn(s->control, shell_time());
        server_turn(s->server, s->control);
        wait_for_events(s, worked);
    }
    (void)sd_notify(0, "STOPPING=1");
    if (!ready) {
        log_line(4, "it ends while it reads the spool: the checkpoint from before stays, and the "
                    "next start begins anew");
        return 0;
    }
    int r = control_checkpoint(s->control, shell_time());
    if (r < 0) {
        log_line(3, "cannot save a checkpoint: %s; the next start reads the logs",
                 trouble_meaning(r));
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    char error[CONFIG_ERROR_SIZE];
    int code = parse_options(argc, argv, &options);
    if (code >= 0) {
        return code;
    }
    struct shell s = {.config_path = options.config_path,
                      .place = {.run_fd = -1, .state_fd = -1, .lock_fd = {-1, -1}}};
    if (config_load(options.config_path, &s.config, error) < 0) {
        return complain(error, EXIT_CONFIG);
    }
    s.first = s.config;
    if (options.check) {
        bool good = place_check_names(s.config, error) == 0;
        code = good ? 0 : complain(error, EXIT_CONFIG);
        if (good) {
            printf("%s: good\n", options.config_path);
        }
        config_free(s.config);
        return code;
    }
    threads_favour_loop(); /* before privileges are dropped */
    threads_leave_cpu(s.config->dataplane.lcore);
    int r = open_outside(&s, error);
    r = r == 0 ? open_inside(&s, options.new_policy, error) : r;
    if (r < 0) {
        bool person = r == -EINVAL || r == -EWOULDBLOCK || r == -EBADMSG || r == -EPROTO;
        code = complain(error, person ? EXIT_CONFIG : EXIT_ENVIRONMENT);
        close_all(&s);
        return code;
    }
    r = run(&s);
    if (r < 0) {
        snprintf(error, sizeof error, "spool %.128s: recovering the delivery table: %s",
                 s.config->spool.dir, control_recover_error(s.control));
        code = complain(error, r == -EBADMSG ? EXIT_CONFIG : EXIT_ENVIRONMENT);
    } else {
        code = 0;
    }
    close_all(&s);
    return code;
}
