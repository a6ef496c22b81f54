/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/snapshot.h: reads a checkpoint for programs other than control: the deliveries that
 * were not done, and up to where the message log had been applied.
 *
 * Promise: hostile bytes are refused. A delivery below the floor that is not named here is
 *          delivered.
 */
#ifndef HOLDFAST_CONTROL_SHELL_SNAPSHOT_H
#define HOLDFAST_CONTROL_SHELL_SNAPSHOT_H

#include "common/bytes.h"
#include "common/rcptset.h"

#include <stdbool.h>
#include <stdint.h>

struct snapshot_delivery {
    uint64_t id;
    struct rcptset done;
    struct rcptset frozen;
};

/* When it returns non-zero, the reading stops and returns that. */
typedef int (*snapshot_fn)(void *ctx, const struct snapshot_delivery *delivery);

/* Calls fn for each. 0, fn's return, or -EBADMSG. *floor_out: below this position of the message
 * log every commit was in the table, unless it was done. */
int snapshot_read(struct bytes blob, uint64_t *floor_out, snapshot_fn fn, void *ctx);

#endif
