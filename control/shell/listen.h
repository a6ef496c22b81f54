/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/listen.h: the sockets in run_dir on which control listens: admin.sock, doorbell.
 *
 * Promise: each has its mode and its group from the moment it exists. Nobody can connect before.
 */
#ifndef HOLDFAST_CONTROL_SHELL_LISTEN_H
#define HOLDFAST_CONTROL_SHELL_LISTEN_H

#include "common/place.h"

/* Operators connect here: mode control.admin_mode, group control.admin_group. Returns the listening
 * socket or -errno and a line. */
must_check int listen_admin(const struct place *place, const struct config *config,
                            char error_out[CONFIG_ERROR_SIZE]);
/* The dataplane wakes control here; only the owner may. Returns the socket or -errno and a line. */
must_check int listen_doorbell(const struct place *place, char error_out[CONFIG_ERROR_SIZE]);
/* Removes the names of both sockets. */
void listen_end(const struct place *place);

#endif
