/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/bench.h: what the benchmarks in C share: options, clocks, medians. bench/run runs them and
 * says what machine they ran on. */
#ifndef HOLDFAST_BENCH_BENCH_H
#define HOLDFAST_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Durations, within 2 in a hundred; the largest one exactly. */
enum { BENCH_HISTOGRAM_STEPS = 64, BENCH_HISTOGRAM_BUCKETS = 60 * BENCH_HISTOGRAM_STEPS };
struct bench_histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t bucket[BENCH_HISTOGRAM_BUCKETS];
};
void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns);
/* The duration, in microseconds, that `share` (0 to 1) of them do not exceed; 0 when there are
 * none. */
double bench_histogram_us(const struct bench_histogram *histogram, double share);
double bench_histogram_mean_us(const struct bench_histogram *histogram);

/* "--name VALUE". The value is the default at first, and what was given afterwards. */
struct bench_option {
    const char *name;
    const char *help;
    uint64_t number; /* when text is NULL */
    uint64_t number_min;
    uint64_t number_max;
    const char *text;
};

/* Reads the arguments into the options; the last option has the name NULL. After --help it ends the
 * program with a list of the options, after an unknown argument with status 64. */
void bench_options(int argc, char **argv, struct bench_option *option);
/* One line: "settings  --messages 1000 --depth 512". */
void bench_settings_print(const struct bench_option *option);

uint64_t bench_now_ns(void);
/* Milliseconds since 1970. */
uint64_t bench_wall_ms(void);
/* CPU time of the whole process; and of the calling thread. */
uint64_t bench_cpu_ns(void);
uint64_t bench_thread_cpu_ns(void);
/* TSC cycles; 0 where there is no TSC. */
uint64_t bench_cycles(void);
struct bench_memory {
    uint64_t resident_bytes; /* anonymous memory that the kernel has given */
    uint64_t malloc_bytes;   /* what is in use of it, by malloc's count */
};
/* Of this process. */
struct bench_memory bench_memory_now(void);
/* Sorts the samples. */
double bench_median(double *sample, size_t count);

#endif
