/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/setup.h: what has to be in place before control runs: folders, lock, user,
 * database. */
#ifndef HOLDFAST_CONTROL_SHELL_SETUP_H
#define HOLDFAST_CONTROL_SHELL_SETUP_H

#include "common/config.h"
#include "spool/io.h"

#include <sqlite3.h>
#include <stdbool.h>

/* The users and groups that the configuration names exist. 0 or -EINVAL and a line. */
must_check int setup_names(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* A relay that ran before has its spool: -ENOENT and a line when the folder is not there. */
must_check int setup_spool(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* Makes run_dir, state_dir and spool.dir with their missing parents, gives them to the configured
 * user when we are root. 0 or -errno and a line. */
must_check int setup_folders(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* Takes control.lock in run_dir and in state_dir for the life of the process. -EWOULDBLOCK: already
 * running. */
must_check int setup_lock(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* Binds <run_dir>/doorbell. Returns the socket or -errno and a line. */
must_check int setup_doorbell(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* Becomes the configured user and group, for good. */
must_check int setup_user(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* Opens <state_dir>/policy.db. Without one, or with one that has no tables, a spool that was in use
 * (it has a checkpoint) is refused unless `new_policy`: its holds would be released in silence. */
must_check int setup_database(const struct config *config, struct spool_io *io, bool new_policy,
                              sqlite3 **db_out, char error_out[CONFIG_ERROR_SIZE]);

#endif
