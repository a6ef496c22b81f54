/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/snapshot.h: what a checkpoint's blob says, for those who are not control: the
 * deliveries that were not done, and up to where the message log was in the table.
 *
 * Promise: hostile bytes are refused; whatever is below the floor and not named here is delivered.
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

/* Non-zero stops and is returned. */
typedef int (*snapshot_fn)(void *ctx, const struct snapshot_delivery *delivery);

/* Calls fn for each. 0, fn's return, or -EBADMSG. *floor_out: below this position of the message
 * log every commit was in the table, unless it was done. */
int snapshot_read(struct bytes blob, uint64_t *floor_out, snapshot_fn fn, void *ctx);

#endif
