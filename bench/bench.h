/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/bench.h: what the benchmarks in C share: options, clocks, medians. bench/run runs them and
 * says what machine they ran on. */
#ifndef HOLDFAST_BENCH_BENCH_H
#define HOLDFAST_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* "--name VALUE". The value stands there before as the default, afterwards as it was given. */
struct bench_option {
    const char *name;
    const char *help;
    uint64_t number; /* when text is NULL */
    uint64_t number_min;
    uint64_t number_max;
    const char *text;
};

/* Reads the arguments into the options, of which the last has the name NULL. Ends the program: with
 * a list of the options after --help, with status 64 after an argument that is none of them. */
void bench_options(int argc, char **argv, struct bench_option *option);
/* One line: "settings  --messages 1000 --depth 512". */
void bench_settings_print(const struct bench_option *option);

uint64_t bench_now_ns(void);
/* CPU time of the whole process. */
uint64_t bench_cpu_ns(void);
/* TSC; 0 where there is none. */
uint64_t bench_cycles(void);
/* Sorts the samples. */
double bench_median(double *sample, size_t count);

#endif
