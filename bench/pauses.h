/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/pauses.h: when the machine itself gave no processor time: a virtual machine is stopped by
 * its host, the kernel works through interrupts. A benchmark that measures latencies by the clock
 * says with it which part of them nobody in this process could have helped.
 *
 *   a thread for each CPU, pinned, SCHED_FIFO:  sleeps 200 us, looks how late it was woken
 *
 * Promise: only time in which the thread before all others on that CPU did not run is a pause.
 * Trap:    without the right to SCHED_FIFO there are no pauses: bench_pauses_watch says so.
 */
#ifndef HOLDFAST_BENCH_PAUSES_H
#define HOLDFAST_BENCH_PAUSES_H

#include "bench/bench.h"

#include <stdbool.h>

struct bench_pauses;

/* Begins to watch. *pauses_out is to be ended also when this gives false: nothing is watched. */
bool bench_pauses_watch(struct bench_pauses **pauses_out);
void bench_pauses_end(struct bench_pauses *pauses);

/* Nanoseconds of pauses of that CPU between two times of bench_now_ns. */
uint64_t bench_pauses_within(const struct bench_pauses *pauses, int cpu, uint64_t begin_ns,
                             uint64_t end_ns);
/* Nanoseconds between these times in which at least one CPU paused. */
uint64_t bench_pauses_anywhere(const struct bench_pauses *pauses, uint64_t begin_ns,
                               uint64_t end_ns);
/* The pauses of all CPUs since the watch began or bench_pauses_clear: at most the newest 8192 of
 * each. A long run has more, and `count` then says 8192 for each CPU. */
void bench_pauses_sum(const struct bench_pauses *pauses, struct bench_histogram *sum_out);
void bench_pauses_clear(struct bench_pauses *pauses);

#endif
