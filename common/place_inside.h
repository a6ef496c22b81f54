/* SPDX-License-Identifier: BSD-3-Clause */
/* common/place_inside.h: what the files of place.h share. */
#ifndef HOLDFAST_COMMON_PLACE_INSIDE_H
#define HOLDFAST_COMMON_PLACE_INSIDE_H

#include "common/place.h"

#define PLACE_AS_ROOT ": start as root, privileges are dropped afterwards"

/* Fills ids and names. 0 or -EINVAL and a line. */
must_check int place_find_owner(const struct config *config, struct place *place,
                                char error_out[CONFIG_ERROR_SIZE]);
/* Makes sure that no program which this process might start gets more power than the process
 * has. */
must_check int place_renounce(char error_out[CONFIG_ERROR_SIZE]);
/* Makes, opens and checks run_dir, state_dir and spool.dir. 0 or -errno and a line. */
must_check int place_folders(struct place *place, const char *spool_dir,
                             char error_out[CONFIG_ERROR_SIZE]);
/* Until place_step_up, the effective user is the owner and the effective group `gid` (-1: the
 * owner's). Without root both do nothing. place_step_up also mends a step down that failed. */
must_check int place_step_down(const struct place *place, gid_t gid);
void place_step_up(const struct place *place);
/* Writes "WHERE: what the system said" and returns err. WHERE names the file and what was being
 * done to it. */
__attribute__((format(printf, 3, 4))) int place_fail(char error_out[CONFIG_ERROR_SIZE], int err,
                                                     const char *where, ...);

#endif
