/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/setup.h: opens the policy database before control runs. Folders, lock and user:
 * common/place.h. */
#ifndef HOLDFAST_CONTROL_SHELL_SETUP_H
#define HOLDFAST_CONTROL_SHELL_SETUP_H

#include "common/config_fwd.h"
#include "spool/io.h"

#include <sqlite3.h>
#include <stdbool.h>

/* Opens <state_dir>/policy.db. When the file is missing or has no tables, a spool that was in use
 * (it has a checkpoint) is refused unless `new_policy`: its holds would be released without a
 * word. */
must_check int setup_database(const struct config *config, struct spool_io *io, bool new_policy,
                              sqlite3 **db_out, char error_out[CONFIG_ERROR_SIZE]);

#endif
