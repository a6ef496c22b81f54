/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/door.h: the socket where control attaches: <run_dir>/attach.
 *
 *   control connects ──▶ it gets the root region ──▶ it offers attach regions, each with its epoch
 *
 * Promise: only a process of our own user is let in, one at a time: the newest. One that sends
 *          nonsense is disconnected, and nothing else happens.
 */
#ifndef HOLDFAST_DATAPLANE_DOOR_H
#define HOLDFAST_DATAPLANE_DOOR_H

#include "common/place.h"

#include <stdbool.h>
#include <stdint.h>

struct door {
    int listen_fd;
    int peer_fd; /* -1: nobody is there */
    int root_fd; /* the root region, for each control that connects */
};

/* Takes `root_fd`, also when it fails. 0 or -errno and a line. */
must_check int door_open_take(struct door *door, const struct place *place, int root_fd,
                              char error_out[CONFIG_ERROR_SIZE]);
void door_close(struct door *door);
/* Lets in a control that waits. true: control has offered a region since the last call. The newest
 * one is returned, and its descriptor is the caller's. */
bool door_turn(struct door *door, uint64_t *epoch_out, int *fd_out);

#endif
