/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/bench.h: what the benchmarks in C share: the machine's line, clocks, medians. */
#ifndef HOLDFAST_BENCH_BENCH_H
#define HOLDFAST_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* One line each: CPUs, model, kernel; compiler. */
void bench_machine_print(void);
uint64_t bench_now_ns(void);
/* CPU time of the whole process. */
uint64_t bench_cpu_ns(void);
/* TSC; 0 where there is none. */
uint64_t bench_cycles(void);
/* Sorts the samples. */
double bench_median(double *sample, size_t count);
/* The number of argument `name` ("--messages N"), or the default; ends the program when it is no
 * number. */
uint32_t bench_option(int argc, char **argv, const char *name, uint32_t otherwise);

#endif
