/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/setup.h: what happens once at start: CPU placement, the service manager, and the
 * doorbell's socket. Folders, lock and privileges: common/place.h. */
#ifndef HOLDFAST_DATAPLANE_SETUP_H
#define HOLDFAST_DATAPLANE_SETUP_H

#include "common/place.h"

#include <stdint.h>

/* Lets the calling thread run on this CPU. A CPU that does not exist is ignored. */
void setup_pin_thread(uint32_t cpu);
/* Tells the service manager, when there is one, that we serve. */
void setup_notify_ready(void);

struct doorbell;
/* The socket that wakes control: <run_dir>/doorbell, a datagram to whoever is bound there. */
struct doorbell *doorbell_create(const struct place *place);
void doorbell_ring(void *doorbell);

#endif
