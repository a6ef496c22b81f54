/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/pauses.h: times in which the machine itself gave no processor time: its host stopped the
 * virtual machine, or the kernel handled interrupts. A benchmark that measures latencies by the
 * clock can say which part of them does not come from this process.
 *
 *   a thread for each CPU, pinned, SCHED_FIFO:  sleeps 200 us, looks how late it was woken
 *
 * Promise: a pause is only time in which the thread with the highest priority on that CPU could not
 *          run.
 * Trap:    without the right to SCHED_FIFO there are no pauses: bench_pauses_watch says so.
 */
#ifndef HOLDFAST_BENCH_PAUSES_H
#define HOLDFAST_BENCH_PAUSES_H

#include "bench/bench.h"

#include <stdbool.h>

struct bench_pauses;

/* Begins to watch. false: nothing is watched; *pauses_out is to be ended in this case, too. */
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
