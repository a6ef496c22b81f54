/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/main.c: control with a large queue: what a delivery costs in memory, how long a
 * turn of its loop takes while operators work and live mail flows, how long a start takes.
 *
 *   rules ─▶ fill (held, frozen) ─▶ questions at rest ─▶ live mail at rest ─▶ the mix ─▶ restarts
 *
 * Promise: every delivery came through the up ring from a log that is on the disk; at the end of
 *          each part the totals of `status` are what was made, or the program fails.
 * Trap:    a turn's time is taken from the clock: on a machine that others use, it contains their
 *          time. turn_cpu_max_us is the CPU time of this thread alone. */
#include "bench/control/operators.h"
#include "bench/pauses.h"

#include "common/limits/rules.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DIR_OPTION,
    DELIVERIES,
    HELD,
    RECORDS,
    OPERATORS,
    RULES,
    RECIPIENTS,
    LIVE,
    REST,
    MIX,
    ASKS,
};

static struct bench_option option[] = {
    [DIR_OPTION] = {"dir", "an empty directory, for spool and state",
                    .text = "/var/tmp/holdfast-bench-control"},
    [DELIVERIES] = {"deliveries", "of one recipient each, held or frozen", 1000000, 100, 100000000,
                    NULL},
    [HELD] = {"held", "percent of them that a rule holds; the rest is frozen", 50, 1, 99, NULL},
    [RECORDS] = {"records", "messages on the disk at most: beyond, some deliveries share one",
                 1000000, 100, 100000000, NULL},
    [OPERATORS] = {"operators", "listing, counting, holding and releasing, in turn", 3, 0,
                   OPERATORS_MAX, NULL},
    [RULES] = {"rules", "that hold nothing, to see what they cost a live message", 1000, 0,
               LIMIT_RULES - 1, NULL},
    [RECIPIENTS] = {"recipients", "listed in the configuration that is reloaded", 500000, 1,
                    CONFIG_RECIPIENTS_MAX - 1, NULL},
    [LIVE] = {"live", "messages a second, delivered at once", 2000, 1, 100000, NULL},
    [REST] = {"rest", "seconds of live mail alone", 10, 1, 600, NULL},
    [MIX] = {"mix", "seconds of the mix at least; it lasts until each act was done once", 20, 1,
             600, NULL},
    [ASKS] = {"asks", "times that each question is asked at rest", 5, 1, 99, NULL},
    {NULL},
};

static const char *const reload_name[2] = {"reload0.conf", "reload1.conf"};
static const char start_name[] = "start.conf";

/* Between two reloads or two checkpoints of the mix. */
#define AGAIN_NS (UINT64_C(5) * 1000000000)

struct totals {
    uint64_t held;
    uint64_t frozen;
    uint64_t waiting;
    uint64_t in_flight;
    uint64_t delivered_rcpts;
    uint64_t unread;
    bool attached;
};

struct restart {
    struct subject_start start;
    double indexed_ms; /* until the figures have everything */
};

struct bench {
    int doorbell_fd;
    struct bench_pauses *pauses;
    bool watched;
    struct dataplane *dp;
    struct subject *subject;
    struct operators operators;
    struct bench_histogram turn;     /* in the mix, those with work */
    struct bench_histogram turn_net; /* without the pauses of the machine in them */
    struct bench_histogram turn_cpu; /* CPU time of the same */
    struct bench_histogram pause;    /* of the machine, in the mix */
    struct bench_histogram reload;
    struct bench_histogram checkpoint;
    struct dataplane_latency live_rest;
    struct dataplane_latency live_mix;
    uint64_t share;
    uint64_t messages[2]; /* CAMPUS_HELD, CAMPUS_FROZEN */
    uint64_t reload_at_ns;
    uint64_t checkpoint_at_ns;
    uint32_t reloads;
    uint32_t checkpoints;
    struct bench_memory memory[3]; /* at first, with the held mail, with the frozen mail too */
    double fill_s[2];
    double live_cpu_us[2]; /* control's CPU time for a live message: without and with rules */
    double ask_ms[4];
    struct restart killed;
    struct restart clean;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_control: %s\n", what);
    exit(1);
}

static uint64_t deliveries_of(const struct bench *b, enum campus_group group)
{
    assert(group < CAMPUS_LIVE);
    return b->messages[group] * b->share;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Asks one question, and lets the loop go on until the answer is there. The caller frees it. */
static json_t *ask(struct bench *b, const char *request)
{
    uint64_t token = 0;
    char *text = subject_ask(b->subject, request, &token);
    while (text == NULL) {
        subject_sleep(b->subject, subject_turn(b->subject));
        text = subject_ready(b->subject, token);
    }
    json_t *answer = json_loads(text, 0, NULL);
    if (!json_is_true(json_object_get(answer, "ok"))) {
        fprintf(stderr, "bench_control: %s: %s\n", request, text);
        exit(1);
    }
    free(text);
    return answer;
}

static uint64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

static struct totals totals_of(struct bench *b)
{
    json_t *answer = ask(b, "{\"v\":1,\"cmd\":\"status\"}");
    const json_t *totals = json_object_get(answer, "totals");
    const json_t *dataplane = json_object_get(answer, "dataplane");
    struct totals t = {.held = number(totals, "held"),
                       .frozen = number(totals, "frozen"),
                       .waiting = number(totals, "waiting"),
                       .in_flight = number(totals, "in_flight"),
                       .delivered_rcpts = number(totals, "delivered_rcpts"),
                       .unread = number(dataplane, "unread"),
                       .attached = json_is_true(json_object_get(dataplane, "attached"))};
    json_decref(answer);
    return t;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void turn(struct bench *b)
{
    subject_sleep(b->subject, subject_turn(b->subject));
}

/* Turns until the totals are these and nothing is under way. Fails after `seconds`. */
static void turn_until(struct bench *b, uint64_t held, uint64_t frozen, uint64_t seconds)
{
    uint64_t look_ns = 0;
    uint64_t end_ns = bench_now_ns() + seconds * UINT64_C(1000000000);
    struct totals t = {0};
    for (;;) {
        turn(b);
        uint64_t now_ns = bench_now_ns();
        if (now_ns < end_ns && (now_ns < look_ns || !dataplane_is_idle(b->dp))) {
            continue;
        }
        t = totals_of(b);
        if (t.attached && t.held == held && t.frozen == frozen && t.waiting == 0 &&
            t.in_flight == 0 && t.unread == 0 && dataplane_is_idle(b->dp)) {
            break;
        }
        if (now_ns >= end_ns) {
            fprintf(stderr,
                    "bench_control: %s, held %" PRIu64 " of %" PRIu64 ", frozen %" PRIu64
                    " of %" PRIu64 ", waiting %" PRIu64 ", in flight %" PRIu64 ", unread %" PRIu64
                    " after %" PRIu64 " s\n",
                    t.attached ? "attached" : "not attached", t.held, held, t.frozen, frozen,
                    t.waiting, t.in_flight, t.unread, seconds);
            exit(1);
        }
        look_ns = bench_now_ns() + UINT64_C(20) * 1000000;
    }
    if (t.delivered_rcpts != dataplane_committed(b->dp, CAMPUS_LIVE)) {
        fprintf(stderr, "bench_control: live mail: %" PRIu64 " came, %" PRIu64 " counted\n",
                dataplane_committed(b->dp, CAMPUS_LIVE), t.delivered_rcpts);
        exit(1);
    }
}

/* --- parts ------------------------------------------------------------------------------------ */

static void open_all(struct bench *b)
{
    char path[CAMPUS_PATH_SIZE + 32];
    const char *dir = option[DIR_OPTION].text;
    struct subject_start start;
    struct campus campus;
    if (strlen(dir) >= CAMPUS_PATH_SIZE) {
        fail("--dir is too long");
    }
    for (int i = 0; i < 3; i++) {
        static const char *const below[] = {"", "/spool", "/state"};
        snprintf(path, sizeof path, "%s%s", dir, below[i]);
        if (mkdir(path, 0700) < 0 && (errno != EEXIST || i > 0)) {
            fprintf(stderr, "bench_control: %s: %s (it has to be empty)\n", path, strerror(errno));
            exit(1);
        }
    }
    uint32_t recipients = (uint32_t)option[RECIPIENTS].number;
    /* The writer zeroes some segments before it is ready: a small run does not wait for that. */
    uint32_t mib = option[DELIVERIES].number < 100000 ? 4 : 64;
    if (campus_write(dir, start_name, 1, mib) < 0 ||
        campus_write(dir, reload_name[0], recipients, mib) < 0 ||
        campus_write(dir, reload_name[1], recipients + 1, mib) < 0) {
        fail("cannot write the configurations");
    }
    b->doorbell_fd = eventfd(0, EFD_CLOEXEC);
    assert(b->doorbell_fd >= 0);
    snprintf(path, sizeof path, "%s/spool", dir);
    int err = dataplane_create(path, mib, b->doorbell_fd, &b->dp);
    if (err != 0) {
        fprintf(stderr, "bench_control: %s: %s\n", path, strerror(-err));
        exit(1);
    }
    b->subject = subject_start(dir, start_name, b->dp, b->doorbell_fd, &start);
    subject_campus(b->subject, &campus);
    dataplane_set_campus(b->dp, &campus);
    turn_until(b, 0, 0, 60);
}

static void fill(struct bench *b, enum campus_group group, uint64_t held, uint64_t frozen)
{
    uint64_t begin_ns = bench_now_ns();
    dataplane_fill(b->dp, group, b->messages[group], (uint32_t)b->share);
    turn_until(b, held, frozen, 3600);
    b->fill_s[group] = (double)(bench_now_ns() - begin_ns) / 1e9;
    printf("filled    %" PRIu64 " %s in %.1f s\n", deliveries_of(b, group),
           campus_group_name(group), b->fill_s[group]);
    fflush(stdout);
}

static void fill_all(struct bench *b)
{
    uint64_t deliveries = option[DELIVERIES].number;
    uint64_t records = option[RECORDS].number;
    b->share = (deliveries + records - 1) / records;
    if (b->share > CAMPUS_ROUTES) {
        fail("--records is too low: at most 15 deliveries share one");
    }
    uint64_t held = deliveries * option[HELD].number / 100;
    b->messages[CAMPUS_HELD] = (held + b->share - 1) / b->share;
    b->messages[CAMPUS_FROZEN] = (deliveries - held + b->share - 1) / b->share;
    printf("          %" PRIu64 " messages on the disk, %" PRIu64 " deliveries each, spool by %s\n",
           b->messages[CAMPUS_HELD] + b->messages[CAMPUS_FROZEN], b->share,
           dataplane_io_name(b->dp));
    json_decref(ask(b, "{\"v\":1,\"cmd\":\"hold\",\"select\":[\"hop=store-held\"],"
                       "\"reason\":\"bench\"}"));
    b->memory[0] = bench_memory_now();
    fill(b, CAMPUS_HELD, deliveries_of(b, CAMPUS_HELD), 0);
    b->memory[1] = bench_memory_now();
    fill(b, CAMPUS_FROZEN, deliveries_of(b, CAMPUS_HELD), deliveries_of(b, CAMPUS_FROZEN));
    b->memory[2] = bench_memory_now();
}

static const char *const questions[4][2] = {
    {"status", "{\"v\":1,\"cmd\":\"status\"}"},
    {"count --by route", "{\"v\":1,\"cmd\":\"count\",\"select\":[],\"by\":\"route\"}"},
    {"count --by class", "{\"v\":1,\"cmd\":\"count\",\"select\":[],\"by\":\"class\"}"},
    {"list, first page", "{\"v\":1,\"cmd\":\"list\",\"select\":[],\"limit\":100}"},
};

static void ask_at_rest(struct bench *b)
{
    double sample[99];
    for (int q = 0; q < 4; q++) {
        for (size_t i = 0; i < option[ASKS].number; i++) {
            uint64_t begin_ns = bench_now_ns();
            json_decref(ask(b, questions[q][1]));
            sample[i] = (double)(bench_now_ns() - begin_ns) / 1e6;
        }
        b->ask_ms[q] = bench_median(sample, option[ASKS].number);
    }
}

/* Measures live mail alone for some seconds. Returns control's CPU time for each message, turns and
 * wakeups included, in microseconds. */
static double live_alone(struct bench *b, struct dataplane_latency *latency)
{
    uint64_t end_ns = bench_now_ns() + option[REST].number * UINT64_C(1000000000);
    uint64_t delivered = dataplane_delivered(b->dp);
    uint64_t cpu_ns = bench_thread_cpu_ns();
    dataplane_live(b->dp, (uint32_t)option[LIVE].number, latency);
    while (bench_now_ns() < end_ns) {
        turn(b);
    }
    cpu_ns = bench_thread_cpu_ns() - cpu_ns;
    delivered = dataplane_delivered(b->dp) - delivered;
    dataplane_live(b->dp, 0, NULL);
    return delivered == 0 ? 0 : (double)cpu_ns / 1000 / (double)delivered;
}

/* Makes rules that hold nothing: half of them ask for an envelope's sender, half for a recipient.
 * There is no other mail yet, so making them needs no walk. */
static void live_beside_rules(struct bench *b)
{
    char request[256];
    static struct dataplane_latency latency;
    uint32_t rules = (uint32_t)option[RULES].number;
    static json_int_t rule[LIMIT_RULES];
    b->live_cpu_us[0] = live_alone(b, &latency);
    turn_until(b, 0, 0, 60);
    for (uint32_t i = 0; i < rules; i++) {
        snprintf(request, sizeof request,
                 "{\"v\":1,\"cmd\":\"hold\",\"select\":[\"%s=*@nobody%u.example\"],"
                 "\"reason\":\"bench\"}",
                 i % 2 == 0 ? "sender" : "rcpt", i);
        json_t *answer = ask(b, request);
        rule[i] = (json_int_t)number(answer, "rule");
        json_decref(answer);
    }
    b->live_cpu_us[1] = live_alone(b, &latency);
    turn_until(b, 0, 0, 60);
    for (uint32_t i = 0; i < rules; i++) {
        snprintf(request, sizeof request,
                 "{\"v\":1,\"cmd\":\"rules\",\"remove\":%" JSON_INTEGER_FORMAT
                 ",\"reason\":\"bench\"}",
                 rule[i]);
        json_decref(ask(b, request));
    }
}

/* Before the mix and after it: what the machine gives changes within a minute. */
static void live_at_rest(struct bench *b)
{
    (void)live_alone(b, &b->live_rest);
    turn_until(b, deliveries_of(b, CAMPUS_HELD), deliveries_of(b, CAMPUS_FROZEN), 60);
}

/* Begins a reload and a checkpoint, at the start of the mix and again some seconds after the
 * last. When both are due, the one that was due first goes first. */
static bool housekeeping(struct bench *b, bool ending)
{
    uint64_t now_ns = bench_now_ns();
    if (ending || !subject_is_settled(b->subject)) {
        return false;
    }
    if (now_ns >= b->reload_at_ns && b->reload_at_ns <= b->checkpoint_at_ns) {
        subject_reload(b->subject, reload_name[b->reloads++ % 2]);
        uint64_t done_ns = bench_now_ns();
        bench_histogram_add(&b->reload, done_ns - now_ns);
        b->reload_at_ns = done_ns + AGAIN_NS;
        return true;
    }
    if (now_ns >= b->checkpoint_at_ns) {
        subject_checkpoint(b->subject);
        uint64_t done_ns = bench_now_ns();
        b->checkpoints++;
        bench_histogram_add(&b->checkpoint, done_ns - now_ns);
        b->checkpoint_at_ns = done_ns + AGAIN_NS;
        return true;
    }
    return false;
}

/* One turn of the loop, with all that operators and signals ask for. It is measured when there was
 * work. */
static void mixed_turn(struct bench *b, bool ending)
{
    uint64_t begin_ns = bench_now_ns();
    uint64_t begin_cpu_ns = bench_thread_cpu_ns();
    int cpu = sched_getcpu();
    bool worked = subject_turn(b->subject);
    bool asked = operators_turn(&b->operators, b->subject);
    asked = housekeeping(b, ending) || asked;
    if (worked || asked) {
        bench_histogram_add(&b->turn_cpu, bench_thread_cpu_ns() - begin_cpu_ns);
        uint64_t end_ns = bench_now_ns();
        bench_histogram_add(&b->turn, end_ns - begin_ns);
        /* Of a turn that moved to another CPU nothing is taken away. */
        uint64_t paused_ns =
            cpu == sched_getcpu() ? bench_pauses_within(b->pauses, cpu, begin_ns, end_ns) : 0;
        bench_histogram_add(&b->turn_net, end_ns - begin_ns - paused_ns);
    }
    subject_sleep(b->subject, worked);
}

static void mix(struct bench *b)
{
    uint64_t end_ns = bench_now_ns() + option[MIX].number * UINT64_C(1000000000);
    operators_init(&b->operators, (uint32_t)option[OPERATORS].number);
    bench_pauses_clear(b->pauses);
    dataplane_live(b->dp, (uint32_t)option[LIVE].number, &b->live_mix);
    while (bench_now_ns() < end_ns || !operators_did_all(&b->operators) || b->reloads == 0 ||
           b->checkpoints == 0) {
        mixed_turn(b, false);
    }
    operators_stop(&b->operators);
    while (!operators_are_done(&b->operators) || !subject_is_settled(b->subject)) {
        mixed_turn(b, true);
    }
    bench_pauses_sum(b->pauses, &b->pause);
    dataplane_live(b->dp, 0, NULL);
    turn_until(b, deliveries_of(b, CAMPUS_HELD), deliveries_of(b, CAMPUS_FROZEN), 600);
}

/* Ends control, and starts it again with the same configuration. */
static struct restart restart(struct bench *b, bool clean)
{
    struct restart r;
    subject_end(b->subject, clean);
    b->subject = subject_start(option[DIR_OPTION].text, reload_name[(b->reloads + 1) % 2], b->dp,
                               b->doorbell_fd, &r.start);
    uint64_t begin_ns = bench_now_ns() - r.start.create_ns - r.start.recover_ns;
    struct totals t = totals_of(b);
    while (t.held + t.frozen < deliveries_of(b, CAMPUS_HELD) + deliveries_of(b, CAMPUS_FROZEN)) {
        turn(b);
        t = totals_of(b);
    }
    r.indexed_ms = (double)(bench_now_ns() - begin_ns) / 1e6;
    turn_until(b, deliveries_of(b, CAMPUS_HELD), deliveries_of(b, CAMPUS_FROZEN), 60);
    return r;
}

/* --- what came out ---------------------------------------------------------------------------- */

static double each(uint64_t before, uint64_t after, uint64_t deliveries)
{
    return after < before ? 0 : (double)(after - before) / (double)deliveries;
}

static void print_row(const char *name, const struct bench_histogram *h)
{
    printf("%-24s %9" PRIu64 " %11.0f %11.0f %11.0f %11.0f\n", name, h->count,
           bench_histogram_us(h, 0.5), bench_histogram_us(h, 0.99), bench_histogram_us(h, 0.999),
           (double)h->max_ns / 1000);
}

/* The times of the answer and the index count from the start of "create". */
static void print_restart(const char *name, const struct restart *r)
{
    printf("%-24s %12.1f %12.1f %12.1f %12.1f %12.1f\n", name, (double)r->start.config_ns / 1e6,
           (double)r->start.create_ns / 1e6, (double)r->start.recover_ns / 1e6,
           (double)r->start.answer_ns / 1e6, r->indexed_ms);
}

static void print_table(const struct bench *b)
{
    char name[32];
    printf("%-24s %9s %11s %11s %11s %11s\n", "microseconds", "count", "p50", "p99", "p99.9",
           "max");
    print_row("turns with work, mix", &b->turn);
    print_row("  without pauses", &b->turn_net);
    print_row("  CPU time of the same", &b->turn_cpu);
    if (b->watched) {
        print_row("pauses of the machine", &b->pause);
    } else {
        printf("pauses of the machine: not watched, that needs SCHED_FIFO\n");
    }
    for (int act = 0; act < OPERATORS_ACT_COUNT; act++) {
        snprintf(name, sizeof name, "%s, in its turn", operators_act_name((enum operators_act)act));
        print_row(name, &b->operators.still[act]);
        print_row("  until answered", &b->operators.answer[act]);
    }
    print_row("reload, in its turn", &b->reload);
    print_row("checkpoint, in its turn", &b->checkpoint);
    print_row("live mail at rest", &b->live_rest.whole);
    print_row("  without pauses", &b->live_rest.net);
    print_row("  since it was durable", &b->live_rest.control);
    print_row("live mail in the mix", &b->live_mix.whole);
    print_row("  without pauses", &b->live_mix.net);
    print_row("  since it was durable", &b->live_mix.control);
    printf("%-24s %12s %12s\n", "bytes a delivery", "resident", "malloc");
    for (int g = 0; g < CAMPUS_LIVE; g++) {
        uint64_t deliveries = deliveries_of(b, (enum campus_group)g);
        printf("%-24s %12.1f %12.1f\n", campus_group_name((enum campus_group)g),
               each(b->memory[g].resident_bytes, b->memory[g + 1].resident_bytes, deliveries),
               each(b->memory[g].malloc_bytes, b->memory[g + 1].malloc_bytes, deliveries));
    }
    printf("%-24s %12.1f %12s %12.1f\n", "CPU us a live message", b->live_cpu_us[0], "with rules",
           b->live_cpu_us[1]);
    printf("%-24s %12s\n", "milliseconds", "median");
    for (int q = 0; q < 4; q++) {
        printf("%-24s %12.1f\n", questions[q][0], b->ask_ms[q]);
    }
    printf("%-24s %12s %12s %12s %12s %12s\n", "milliseconds of a start", "config read", "create",
           "recover", "first answer", "all indexed");
    print_restart("after a kill", &b->killed);
    print_restart("after a clean end", &b->clean);
}

/* The ratio is that of the means: a stall of control or the disk raises it by the time that each
 * delayed message waited. A median would not show a stall. */
static void print_ratio(const char *kind, const struct bench_histogram *rest,
                        const struct bench_histogram *mix)
{
    double rest_us = bench_histogram_mean_us(rest);
    double mix_us = bench_histogram_mean_us(mix);
    printf(" live_rest%s_us=%.0f live_mix%s_us=%.0f live_latency%s_ratio=%.2f", kind, rest_us, kind,
           mix_us, kind, rest_us > 0 ? mix_us / rest_us : 0);
}

static void print_live(const struct bench *b)
{
    const struct dataplane_latency *rest = &b->live_rest;
    const struct dataplane_latency *mix = &b->live_mix;
    print_ratio("_control", &rest->control, &mix->control);
    print_ratio("_net", &rest->net, &mix->net);
    print_ratio("", &rest->whole, &mix->whole);
}

static void print_figures(const struct bench *b)
{
    uint64_t held = deliveries_of(b, CAMPUS_HELD);
    uint64_t frozen = deliveries_of(b, CAMPUS_FROZEN);
    printf("deliveries=%" PRIu64 " held_bytes=%.1f frozen_bytes=%.1f bytes_each=%.1f",
           held + frozen, each(b->memory[0].resident_bytes, b->memory[1].resident_bytes, held),
           each(b->memory[1].resident_bytes, b->memory[2].resident_bytes, frozen),
           each(b->memory[0].resident_bytes, b->memory[2].resident_bytes, held + frozen));
    printf(" turns=%" PRIu64 " turn_p50_us=%.0f turn_p99_us=%.0f turn_p999_us=%.0f"
           " turn_max_us=%.0f turn_net_p999_us=%.0f turn_net_max_us=%.0f turn_cpu_max_us=%.0f",
           b->turn.count, bench_histogram_us(&b->turn, 0.5), bench_histogram_us(&b->turn, 0.99),
           bench_histogram_us(&b->turn, 0.999), (double)b->turn.max_ns / 1000,
           bench_histogram_us(&b->turn_net, 0.999), (double)b->turn_net.max_ns / 1000,
           (double)b->turn_cpu.max_ns / 1000);
    double rules_us = b->live_cpu_us[1] - b->live_cpu_us[0];
    printf(" live_cpu_us=%.1f rules_cpu_us=%.1f", b->live_cpu_us[0], rules_us > 0 ? rules_us : 0);
    printf(" pauses=%" PRIu64 " pause_max_us=%.0f", b->pause.count, (double)b->pause.max_ns / 1000);
    printf(" reloads=%u checkpoints=%u", b->reloads, b->checkpoints);
    print_live(b);
    printf(" start_answer_ms=%.1f start_indexed_ms=%.1f killed_answer_ms=%.1f"
           " killed_indexed_ms=%.1f",
           (double)b->clean.start.answer_ns / 1e6, b->clean.indexed_ms,
           (double)b->killed.start.answer_ns / 1e6, b->killed.indexed_ms);
    printf(" status_ms=%.1f count_route_ms=%.1f count_class_ms=%.1f list_ms=%.1f\n", b->ask_ms[0],
           b->ask_ms[1], b->ask_ms[2], b->ask_ms[3]);
}

int main(int argc, char **argv)
{
    static struct bench b;
    bench_options(argc, argv, option);
    bench_settings_print(option);
    b.watched = bench_pauses_watch(&b.pauses);
    b.live_rest.pauses = b.live_mix.pauses = b.watched ? b.pauses : NULL;
    open_all(&b);
    live_beside_rules(&b);
    fill_all(&b);
    ask_at_rest(&b);
    live_at_rest(&b);
    mix(&b);
    live_at_rest(&b);
    b.killed = restart(&b, false);
    b.clean = restart(&b, true);
    print_table(&b);
    print_figures(&b);
    subject_end(b.subject, false);
    dataplane_destroy(b.dp);
    bench_pauses_end(b.pauses);
    close(b.doorbell_fd);
    return 0;
}
