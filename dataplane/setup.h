/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/setup.h: what happens once at start: directories, the instance's lock, privileges, CPU
 * placement, and the doorbell's socket. Errors are one line in error_out. */
#ifndef HOLDFAST_DATAPLANE_SETUP_H
#define HOLDFAST_DATAPLANE_SETUP_H

#include "common/assert.h"
#include "common/config.h"

#include <stdint.h>

/* Makes run_dir (mode 0755), state_dir and spool.dir (0750), parents too, owned by config->user. */
must_check int setup_directories(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* Takes <run_dir>/dataplane.lock for the life of the process: one dataplane for an instance. */
must_check int setup_lock(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* Becomes config->user and config->group, when set, and may not gain privileges again. */
must_check int setup_drop_privileges(const struct config *config,
                                     char error_out[CONFIG_ERROR_SIZE]);
/* The calling thread runs on this CPU; a CPU that is not there is ignored. */
void setup_pin_thread(uint32_t cpu);
/* Tells the service manager, when there is one, that we serve. */
void setup_notify_ready(void);

struct doorbell;
/* The socket that wakes control: <run_dir>/doorbell, a datagram to whoever is bound there. */
struct doorbell *doorbell_create(const char *run_dir);
void doorbell_ring(void *doorbell);

#endif
