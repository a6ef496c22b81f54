/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/subject.c: see subject.h. */
#include "bench/control/subject.h"

#include "control/control.h"
#include "control/shell/setup.h"
#include "control/shell/shell.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICK_MS = 100,       /* as in control/shell/main.c */
    PENDING_TICK_MS = 2, /* an operator waits for an answer */
};

struct subject {
    char dir[CAMPUS_PATH_SIZE];
    struct config *config;
    struct spool_io *io;
    sqlite3 *db;
    struct control *control;
    struct threads *threads;
    struct dataplane *dp;
    char reload_name[2 * CAMPUS_PATH_SIZE];
    int doorbell_fd;
    struct abi_attach *used;
    struct abi_attach *offered;
    uint32_t pending; /* answers to come */
};

static struct control_time now(void)
{
    return (struct control_time){.now_ns = bench_now_ns(), .wall_ms = bench_wall_ms()};
}

static void need(bool good, const char *what, const char *error)
{
    if (!good) {
        fprintf(stderr, "bench_control: %s: %s\n", what, error);
        exit(1);
    }
}

static void say(void *ctx, int level, const char *line)
{
    (void)ctx;
    if (level <= 3) { /* what would be an alarm in the relay, too */
        fprintf(stderr, "control: %s\n", line);
    }
}

static struct config *load(const struct subject *s, const char *name)
{
    char path[CAMPUS_PATH_SIZE + 32];
    char error[CONFIG_ERROR_SIZE];
    struct config *config;
    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    int r = config_load(path, &config, error);
    need(r == 0, "configuration", error);
    return config;
}

/* Somebody asks for the status at once. Returns when that was answered. */
static uint64_t recover_beside_operator(struct subject *s)
{
    uint64_t answered_ns = 0;
    uint64_t token = 0;
    int r = 0;
    char *answer = subject_ask(s, "{\"v\":1,\"cmd\":\"status\"}", &token);
    while (r == 0 || answered_ns == 0) {
        bool worked = control_turn(s->control, now());
        answer = answer == NULL && answered_ns == 0 ? subject_ready(s, token) : answer;
        if (answer != NULL) {
            answered_ns = bench_now_ns();
            free(answer);
            answer = NULL;
        }
        subject_sleep(s, worked);
        r = control_recovered(s->control);
        need(r >= 0, "cannot recover the delivery table", r < 0 ? strerror(-r) : "");
    }
    return answered_ns;
}

struct subject *subject_start(const char *dir, const char *name, struct dataplane *dp,
                              int doorbell_fd, struct subject_start *start_out)
{
    char error[CONFIG_ERROR_SIZE] = "";
    struct subject *s = calloc(1, sizeof *s);
    assert(s != NULL && strlen(dir) < sizeof s->dir);
    snprintf(s->dir, sizeof s->dir, "%s", dir);
    s->dp = dp;
    s->doorbell_fd = doorbell_fd;
    uint64_t begin_ns = bench_now_ns();
    s->config = load(s, name);
    uint64_t read_ns = bench_now_ns();
    int r = spool_io_create(s->config->spool.dir, "pwritev2", -1, false, &s->io);
    need(r == 0, s->config->spool.dir, strerror(-r));
    r = setup_database(s->config, s->io, false, &s->db, error);
    need(r == 0, "policy database", error);
    r = control_create(s->config, s->db, s->io, now(), &s->control, error);
    need(r == 0, "control", error);
    control_on_event(s->control, say, NULL);
    uint64_t created_ns = bench_now_ns();
    char path[CONFIG_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/policy.db", s->config->state_dir);
    threads_favour_loop();
    threads_leave_cpu(s->config->dataplane.lcore);
    r = threads_create(s->control, s->config->spool.dir, path, &s->threads);
    need(r == 0, "threads", strerror(-r));
    control_recover(s->control, now());
    uint64_t answer_ns = recover_beside_operator(s);
    *start_out = (struct subject_start){.config_ns = read_ns - begin_ns,
                                        .create_ns = created_ns - read_ns,
                                        .answer_ns = answer_ns - read_ns,
                                        .recover_ns = bench_now_ns() - created_ns};
    return s;
}

void subject_end(struct subject *s, bool clean)
{
    if (clean) {
        int r = control_checkpoint(s->control, now());
        need(r == 0, "checkpoint", strerror(-r));
    }
    threads_destroy(s->threads);
    control_destroy(s->control);
    sqlite3_close(s->db);
    s->io->ops->destroy(s->io);
    config_free(s->config);
    free(s);
}

void subject_campus(const struct subject *s, struct campus *campus_out)
{
    campus_read(s->config, campus_out);
}

/* Does what link.c does between processes: offers rings, attaches when the dataplane uses them. */
static void turn_link(struct subject *s)
{
    if (s->offered != NULL && dataplane_has_taken(s->dp, s->offered)) {
        control_attach(s->control, s->offered, 1);
        dataplane_forget_older(s->dp, s->offered);
        s->used = s->offered;
        s->offered = NULL;
    }
    if (s->offered == NULL && (s->used == NULL || control_wants_attach(s->control))) {
        size_t len;
        uint64_t generation;
        (void)control_policy(s->control, &len, &generation);
        s->offered = dataplane_offer(s->dp, generation);
    }
}

bool subject_turn(struct subject *s)
{
    turn_link(s);
    return control_turn(s->control, now());
}

void subject_sleep(struct subject *s, bool worked)
{
    uint64_t now_ns = bench_now_ns();
    uint64_t next_ns = control_next_ns(s->control);
    int most_ms = s->pending > 0 || s->used == NULL ? PENDING_TICK_MS : TICK_MS;
    int timeout_ms = 0;
    if (!worked && next_ns > now_ns) {
        uint64_t wait_ms = (next_ns - now_ns) / 1000000 + 1;
        timeout_ms = wait_ms < (uint64_t)most_ms ? (int)wait_ms : most_ms;
    }
    if (s->used != NULL && timeout_ms > 0) {
        (void)atomic_exchange(&s->used->control_sleeping, 1); /* not a plain store: see abi.h */
        timeout_ms = control_ring_is_empty(s->control) ? timeout_ms : 0;
    }
    struct pollfd bell[2] = {{.fd = s->doorbell_fd, .events = POLLIN},
                             {.fd = threads_wake_fd(s->threads), .events = POLLIN}};
    if (poll(bell, 2, timeout_ms) > 0) {
        threads_drain(s->threads);
    }
    if ((bell[0].revents & POLLIN) != 0) {
        uint64_t count;
        ssize_t got = read(s->doorbell_fd, &count, sizeof count);
        assert(got == (ssize_t)sizeof count);
    }
    if (s->used != NULL) {
        atomic_store_explicit(&s->used->control_sleeping, 0, memory_order_seq_cst);
    }
}

static char *answer_text(json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    assert(text != NULL);
    return text;
}

char *subject_ask(struct subject *s, const char *request, uint64_t *token_out)
{
    static const struct control_peer peer = {.who = "bench", .may_act = true};
    json_t *json = json_loads(request, JSON_REJECT_DUPLICATES, NULL);
    assert(json != NULL);
    json_t *answer = control_admin(s->control, json, &peer, now());
    json_decref(json);
    const json_t *token = json_object_get(answer, "pending");
    if (json_is_integer(token)) {
        *token_out = (uint64_t)json_integer_value(token);
        s->pending++;
        json_decref(answer);
        return NULL;
    }
    return answer_text(answer);
}

char *subject_ready(struct subject *s, uint64_t token)
{
    json_t *answer = control_admin_ready(s->control, token, now());
    if (answer == NULL) {
        return NULL;
    }
    assert(s->pending > 0);
    s->pending--;
    return answer_text(answer);
}

static int load_beside(void *ctx, struct config **config_out, char error[CONFIG_ERROR_SIZE])
{
    const struct subject *s = ctx;
    return config_load(s->reload_name, config_out, error);
}

static void reloaded(void *ctx, struct config *config, const char *error)
{
    struct subject *s = ctx;
    need(error == NULL, "reload", error);
    s->config = config;
}

static void unload(void *ctx, struct config *config)
{
    (void)ctx;
    config_free(config);
}

void subject_reload(struct subject *s, const char *name)
{
    const struct control_reload reload = {
        .load = load_beside, .done = reloaded, .unload = unload, .ctx = s};
    snprintf(s->reload_name, sizeof s->reload_name, "%s/%s", s->dir, name);
    control_reload(s->control, &reload, now());
}

void subject_checkpoint(struct subject *s)
{
    control_wish_checkpoint(s->control);
}

bool subject_is_settled(const struct subject *s)
{
    return !control_is_settling(s->control);
}
