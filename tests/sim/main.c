/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/main.c: `sim`: runs seeds, each in a process of its own, and adds up.
 *
 * Promise: ends with "seeds=N lost=N bounced=N fabricated=N died=N" and exit status 0 only when
 *          nothing at all was broken. A broken seed is printed with the command that repeats it.
 * Trap:    an assertion that fails, or a crash of the relay's code itself, ends a seed's process.
 *          Such a seed counts under died=N and is broken, whatever it had found before.
 */
#include "tests/sim/feature.h"
#include "tests/sim/trace.h"
#include "tests/sim/world.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64, SEED_SECONDS_MAX = 300, PROGRESS_EVERY = 100 };

struct options {
    uint64_t first;
    uint64_t seeds;
    uint32_t jobs;
    bool one;
    bool verbose;
    bool twice;
    uint32_t allowed; /* features */
    uint32_t forced;
    const char *program;
    const char *allowed_text; /* as they were given, or NULL */
    const char *forced_text;
};

/* What a seed's process tells its parent. */
struct verdict {
    uint64_t hash;
    uint64_t simulated_ns;
    uint32_t breaches[BREACH_COUNT];
    uint32_t accepted;
    uint32_t copies;
    uint32_t duplicates;
    uint32_t crashes;
    char first_breach[TRACE_TEXT_SIZE];
};

struct job {
    pid_t pid;
    int pipe;
    uint64_t seed;
};

struct sums {
    uint64_t done;
    uint64_t broken;
    uint64_t breaches[BREACH_COUNT];
    uint64_t died;
    uint64_t accepted;
    uint64_t copies;
    uint64_t duplicates;
    uint64_t crashes;
    double hours;
};

static void run_world(uint64_t seed, bool verbose, const struct options *options,
                      struct verdict *verdict_out)
{
    trace_begin(seed, verbose);
    struct world *w = world_create(seed, options->allowed, options->forced);
    trace_say("features: %s", feature_text(w->campus.features));
    world_run(w);
    *verdict_out = (struct verdict){.hash = trace.hash,
                                    .simulated_ns = trace.now_ns,
                                    .accepted = w->ledger->accepted_count,
                                    .copies = w->ledger->copy_count,
                                    .duplicates = w->ledger->duplicate_count,
                                    .crashes = w->relay->crash_count};
    memcpy(verdict_out->breaches, trace.breaches, sizeof trace.breaches);
    memcpy(verdict_out->first_breach, trace.first_breach, sizeof trace.first_breach);
}

static void begin(struct job *job, uint64_t seed, bool verbose, const struct options *options)
{
    int ends[2];
    int result = pipe(ends);
    assert(result == 0);
    fflush(NULL);
    job->seed = seed;
    job->pid = fork();
    assert(job->pid >= 0);
    if (job->pid == 0) {
        close(ends[0]);
        alarm(SEED_SECONDS_MAX); /* a seed that hangs is broken, too */
        struct verdict verdict;
        run_world(seed, verbose, options, &verdict);
        fflush(NULL);
        ssize_t written = write(ends[1], &verdict, sizeof verdict);
        _exit(written == (ssize_t)sizeof verdict ? 0 : 1);
    }
    close(ends[1]);
    job->pipe = ends[0];
}

static bool finish(struct job *job, struct verdict *verdict_out)
{
    int status;
    ssize_t got = read(job->pipe, verdict_out, sizeof *verdict_out);
    close(job->pipe);
    pid_t pid = waitpid(job->pid, &status, 0);
    assert(pid == job->pid);
    job->pid = 0;
    if (got == (ssize_t)sizeof *verdict_out && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    *verdict_out = (struct verdict){0};
    snprintf(verdict_out->first_breach, sizeof verdict_out->first_breach,
             "its process ended by %s %d", WIFSIGNALED(status) ? "signal" : "exit",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

/* Prints the command that repeats this seed. */
static void print_command(const struct options *options, uint64_t seed)
{
    printf("    %s --seed %" PRIu64, options->program, seed);
    if (options->allowed_text != NULL) {
        printf(" --features %s", options->allowed_text);
    }
    if (options->forced_text != NULL) {
        printf(" --force %s", options->forced_text);
    }
    putchar('\n');
}

static void add(const struct options *options, struct sums *sums, uint64_t seed,
                const struct verdict *v, bool lived)
{
    bool broken = !lived;
    for (int i = 0; i < BREACH_COUNT; i++) {
        sums->breaches[i] += v->breaches[i];
        broken |= v->breaches[i] > 0;
    }
    sums->done++;
    sums->died += !lived;
    sums->broken += broken;
    sums->accepted += v->accepted;
    sums->copies += v->copies;
    sums->duplicates += v->duplicates;
    sums->crashes += v->crashes;
    sums->hours += (double)v->simulated_ns / 3.6e12;
    if (broken) {
        printf("seed %" PRIu64 ": %s\n", seed, v->first_breach);
        print_command(options, seed);
    } else if (sums->done % PROGRESS_EVERY == 0) {
        printf("%" PRIu64 " seeds, %" PRIu64 " messages, %" PRIu64
               " crashes, %.0f simulated hours\n",
               sums->done, sums->accepted, sums->crashes, sums->hours);
    }
    fflush(stdout);
}

static int conclude(const struct sums *s)
{
    printf("accepted=%" PRIu64 " copies=%" PRIu64 " duplicates=%" PRIu64 " crashes=%" PRIu64
           " hours=%.1f\n",
           s->accepted, s->copies, s->duplicates, s->crashes, s->hours);
    if (s->broken > 0) {
        printf("broken=%" PRIu64, s->broken);
        for (int i = 0; i < BREACH_COUNT; i++) {
            printf(" %s=%" PRIu64, trace_breach_name((enum breach)i), s->breaches[i]);
        }
        putchar('\n');
    }
    printf("seeds=%" PRIu64 " lost=%" PRIu64 " bounced=%" PRIu64 " fabricated=%" PRIu64
           " died=%" PRIu64 "\n",
           s->done, s->breaches[BREACH_LOST], s->breaches[BREACH_BOUNCED],
           s->breaches[BREACH_FABRICATED], s->died);
    assert(s->died <= s->broken);
    return s->broken == 0 ? 0 : 1;
}

static int run_many(const struct options *options)
{
    struct job job[JOBS_MAX] = {{0}};
    struct sums sums = {0};
    uint64_t begun = 0;
    /* Seeds are reported in their order, so that the output of a run is the same each time. */
    for (uint64_t n = 0; n < options->seeds; n++) {
        while (begun < options->seeds && begun < n + options->jobs) {
            begin(&job[begun % options->jobs], options->first + begun, options->verbose, options);
            begun++;
        }
        struct verdict verdict;
        bool lived = finish(&job[n % options->jobs], &verdict);
        add(options, &sums, options->first + n, &verdict, lived);
    }
    return conclude(&sums);
}

/* Runs one seed. With `twice` both traces must be the same. */
static int run_one(const struct options *options)
{
    struct job job = {0};
    struct sums sums = {0};
    struct verdict verdict;
    begin(&job, options->first, options->verbose, options);
    bool lived = finish(&job, &verdict);
    add(options, &sums, options->first, &verdict, lived);
    printf("trace=%016" PRIx64 " simulated=%.3f s\n", verdict.hash,
           (double)verdict.simulated_ns / 1e9);
    if (options->twice) {
        struct verdict again;
        begin(&job, options->first, false, options);
        lived &= finish(&job, &again);
        if (!lived || again.hash != verdict.hash) {
            printf("not deterministic: trace=%016" PRIx64 " the second time\n", again.hash);
            sums.broken++;
        }
    }
    return conclude(&sums);
}

static uint64_t parse_number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "sim: not a number: %s\n", text);
        exit(64);
    }
    return value;
}

static uint32_t parse_features(const char *text)
{
    uint32_t features;
    if (!feature_parse(text, &features)) {
        fprintf(stderr, "sim: not a list of features: %s\n", text);
        exit(64);
    }
    return features;
}

static const char usage[] =
    "usage: sim [--seeds N] [--first K] [--jobs N] [--verbose]\n"
    "       sim --seed K [--twice] [--quiet]\n"
    "  --seeds N  how many seeds (default 200), from --first K (default 1)\n"
    "  --seed K   this one, with its story\n"
    "  --twice    this one twice: both traces must be the same\n"
    "  --jobs N   seeds at a time (default 1)\n"
    "  --features LIST, --force LIST   what a seed may draw, and what each must have: of volume,\n"
    "             hold, release, fault, loop, rot, deaf, clock, reload; all, none (default all, "
    "none)\n";

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"seeds", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},
        {"first", required_argument, NULL, 'f'},
        {"jobs", required_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'},
        {"quiet", no_argument, NULL, 'q'},
        {"twice", no_argument, NULL, 't'},
        {"features", required_argument, NULL, 'F'},
        {"force", required_argument, NULL, 'G'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {
        .first = 1, .seeds = 200, .jobs = 1, .allowed = FEATURE_DEFAULT, .program = argv[0]};
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (option) {
        case 'n':
            options.seeds = parse_number(optarg);
            break;
        case 's':
            options.one = options.verbose = true;
            options.first = parse_number(optarg);
            break;
        case 'f':
            options.first = parse_number(optarg);
            break;
        case 'j':
            options.jobs = (uint32_t)parse_number(optarg);
            break;
        case 'v':
            options.verbose = true;
            break;
        case 'q':
            options.verbose = false;
            break;
        case 't':
            options.twice = true;
            break;
        case 'F':
            options.allowed = parse_features(optarg);
            options.allowed_text = optarg;
            break;
        case 'G':
            options.forced = parse_features(optarg);
            options.forced_text = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 64;
        }
    }
    options.jobs = options.jobs < 1 ? 1 : options.jobs > JOBS_MAX ? JOBS_MAX : options.jobs;
    json_object_seed(1); /* for jansson's hash tables, which the kernel would seed otherwise */
    return options.one ? run_one(&options) : run_many(&options);
}
