/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/fault.h: which delivery was being handled when the process faulted, kept for the next
 * start.
 *
 * Only faults of this process (a failed assertion, a wild pointer) count against a delivery: then
 * this handler runs, and knows which delivery it was. A kill or a loss of power says nothing about
 * any mail. */
#ifndef HOLDFAST_DATAPLANE_FAULT_H
#define HOLDFAST_DATAPLANE_FAULT_H

#include "common/assert.h"

#include <stdint.h>

struct worker;

/* Installs the handlers; `dir` is the spool directory. */
void fault_init(const char *dir, const struct worker *worker);
/* Gives the calling thread a stack of its own for the handler: without one, an overflow of the
 * thread's stack would end the process without a word. Call it once in each thread. */
void fault_enter_thread(void);
/* Does the same for the worker's thread. Only that thread's faults count against the delivery that
 * it is busy with. */
void fault_enter_worker(void);
/* The delivery that the last run's fault names, 0 for none. Returns 0 or -errno. */
must_check int fault_read(const char *dir, uint64_t *id_out);
/* Removes the record of the fault, when it is durable in the state log. */
void fault_clear(const char *dir);

#endif
