/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/bench.c: see bench.h. */
#include "bench/bench.h"

#include "common/assert.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void list_options(const char *program, const struct bench_option *option)
{
    printf("options of %s, with their defaults:\n", program);
    for (; option->name != NULL; option++) {
        if (option->text != NULL) {
            printf("  --%s %s\n      %s\n", option->name, option->text, option->help);
        } else {
            printf("  --%s %" PRIu64 "\n      %s\n", option->name, option->number, option->help);
        }
    }
}

static void refuse(const char *program, const char *argument, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program, argument, what);
    exit(64);
}

static void read_value(const char *program, struct bench_option *option, const char *value)
{
    if (value == NULL) {
        refuse(program, option->name, "needs a value");
    }
    if (option->text != NULL) {
        option->text = value;
        return;
    }
    char *end;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || n < option->number_min ||
        n > option->number_max) {
        fprintf(stderr, "%s: --%s %s: not a number from %" PRIu64 " to %" PRIu64 "\n", program,
                option->name, value, option->number_min, option->number_max);
        exit(64);
    }
    option->number = n;
}

void bench_options(int argc, char **argv, struct bench_option *option)
{
    for (int i = 1; i < argc; i += 2) {
        struct bench_option *found = option;
        if (strcmp(argv[i], "--help") == 0) {
            list_options(argv[0], option);
            exit(0);
        }
        while (found->name != NULL &&
               (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, found->name) != 0)) {
            found++;
        }
        if (found->name == NULL) {
            refuse(argv[0], argv[i], "no such option (--help lists them)");
        }
        read_value(argv[0], found, argv[i + 1]);
    }
}

void bench_settings_print(const struct bench_option *option)
{
    printf("settings ");
    for (; option->name != NULL; option++) {
        if (option->text != NULL) {
            printf(" --%s %s", option->name, option->text);
        } else {
            printf(" --%s %" PRIu64, option->name, option->number);
        }
    }
    printf("\n");
    fflush(stdout);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    int err = clock_gettime(clock, &t);
    assert(err == 0);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

uint64_t bench_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_cycles(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *sample, size_t count)
{
    assert(count > 0);
    qsort(sample, count, sizeof *sample, compare);
    return count % 2 == 1 ? sample[count / 2] : (sample[count / 2 - 1] + sample[count / 2]) / 2;
}

/* Below BENCH_HISTOGRAM_STEPS each number has its bucket; above, each power of two has so many. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned power = 0;
    while (ns >> power >= 2 * BENCH_HISTOGRAM_STEPS) {
        power++;
    }
    unsigned at = power * BENCH_HISTOGRAM_STEPS + (unsigned)(ns >> power);
    return at < BENCH_HISTOGRAM_BUCKETS ? at : BENCH_HISTOGRAM_BUCKETS - 1;
}

/* The largest number that falls into the bucket. */
static uint64_t bucket_top(unsigned at)
{
    if (at < 2 * BENCH_HISTOGRAM_STEPS) {
        return at;
    }
    unsigned power = at / BENCH_HISTOGRAM_STEPS - 1;
    uint64_t first = at - power * BENCH_HISTOGRAM_STEPS;
    return ((first + 1) << power) - 1;
}

void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns)
{
    unsigned at = bucket_of(ns);
    assert(bucket_top(at) >= ns || at == BENCH_HISTOGRAM_BUCKETS - 1);
    histogram->count++;
    histogram->sum_ns += ns;
    histogram->max_ns = ns > histogram->max_ns ? ns : histogram->max_ns;
    histogram->bucket[at]++;
}

double bench_histogram_us(const struct bench_histogram *histogram, double share)
{
    assert(share >= 0 && share <= 1);
    uint64_t seen = 0;
    for (unsigned i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (histogram->bucket[i] > 0 && (double)seen >= share * (double)histogram->count) {
            uint64_t top = bucket_top(i);
            return (double)(top < histogram->max_ns ? top : histogram->max_ns) / 1000;
        }
    }
    return (double)histogram->max_ns / 1000;
}

double bench_histogram_mean_us(const struct bench_histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum_ns / (double)histogram->count / 1000;
}

struct bench_memory bench_memory_now(void)
{
    char line[256];
    struct mallinfo2 info = mallinfo2();
    struct bench_memory m = {.malloc_bytes = info.uordblks + info.hblkhd};
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            m.resident_bytes = strtoull(line + 8, NULL, 10) * 1024;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return m;
}
