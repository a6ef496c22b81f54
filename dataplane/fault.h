/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/fault.h: which delivery was being handled when we faulted, kept for the next start.
 *
 * Only our own faults (a failed assertion, a wild pointer) count against a delivery: then this
 * handler runs and knows the very one. Being killed or losing power says nothing about any mail. */
#ifndef HOLDFAST_DATAPLANE_FAULT_H
#define HOLDFAST_DATAPLANE_FAULT_H

#include "common/assert.h"

#include <stdint.h>

struct worker;

/* Installs the handlers; `dir` is the spool directory. */
void fault_init(const char *dir, const struct worker *worker);
/* The calling thread gets a stack of its own for the handler, or an overflow of its stack would end
 * us without a word. Once for each thread. */
void fault_enter_thread(void);
/* The same, and the calling thread is the worker: only its faults are blamed on the delivery it is
 * busy with. */
void fault_enter_worker(void);
/* The delivery named by the last run's fault, 0 for none. Returns 0 or -errno. */
must_check int fault_read(const char *dir, uint64_t *id_out);
/* It is durable in the state log now. */
void fault_clear(const char *dir);

#endif
