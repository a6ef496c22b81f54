/* SPDX-License-Identifier: BSD-3-Clause */
/* common/place.h: owner, folders, locks and sockets of a relay on its machine, for both daemons.
 *
 *   place_open ─▶ place_lock ─▶ place_bind … ─▶ place_become      (the dataplane's ports between)
 *
 * Promise: nothing is done as root on a path that the relay's user, or anyone else, may write.
 *          Root makes a missing folder only in a folder that root alone writes, and hands it over
 *          by its descriptor; from then on every file and socket in it is made as the relay's
 *          user. Nothing gets an owner or a mode by its path.
 * Trap:    before place_become the effective ids go down and up again for the whole process: one
 *          thread only. Afterwards any thread may bind.
 *
 * Why the folders are the user's and not root's: sockets and logs come and go after root has been
 * given up. A folder of root's would need root for that, or a second folder inside it.
 */
#ifndef HOLDFAST_COMMON_PLACE_H
#define HOLDFAST_COMMON_PLACE_H

#include "common/assert.h"
#include "common/config.h"
#include "common/limits/names.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

enum { PLACE_LOCKS = 2 };

struct place {
    uid_t uid; /* who the daemon is after place_become */
    gid_t gid;
    gid_t admin_gid; /* of the admin socket; -1: none is configured */
    gid_t look_gid;  /* may look at the admin socket, not act; -1: none is configured */
    gid_t root_gid;  /* the group that the process was started with */
    char user[LIMIT_NAME_BYTES + 1];
    char run_dir[CONFIG_PATH_SIZE];
    char state_dir[CONFIG_PATH_SIZE];
    int run_fd; /* checked: the owner's, and nobody else writes there */
    int state_fd;
    int lock_fd[PLACE_LOCKS]; /* held until place_close */
    bool root;                /* started as root, and place_become was not called yet */
};

/* The users and groups that the configuration names exist. 0 or -EINVAL and a line. */
must_check int place_check_names(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);

/* Gives up whatever a program that we might start could gain, then makes run_dir (mode 0755),
 * state_dir and spool.dir (0750) where they are missing, and opens and checks them: owner, mode,
 * and every folder above. A spool.dir that is missing beside a state_dir that a relay has used is
 * refused: an unmounted volume. 0, or -errno and a line; place_close is right in both cases. */
must_check int place_open(const struct config *config, struct place *place_out,
                          char error_out[CONFIG_ERROR_SIZE]);
void place_close(struct place *place);

/* Takes the lock file `name` in run_dir, and where `state_too` in state_dir, until place_close.
 * -EWOULDBLOCK: another process has it. */
must_check int place_lock(struct place *place, const char *name, bool state_too,
                          char error_out[CONFIG_ERROR_SIZE]);

/* Binds a socket of `type` to `name` in run_dir, with this mode and group from its first moment.
 * A file that has the name is removed first: so hold the lock. Returns the socket (neither
 * blocking nor inherited) or -errno and a line. */
must_check int place_bind(const struct place *place, const char *name, int type, mode_t mode,
                          gid_t gid, char error_out[CONFIG_ERROR_SIZE]);
/* The address of `name` in run_dir. It goes through the descriptor of the checked folder, whatever
 * has the folder's path by now. */
void place_address(const struct place *place, const char *name, struct sockaddr_un *address_out);
/* Removes `name` from run_dir, as far as the present user may. */
void place_unbind(const struct place *place, const char *name);

/* Becomes the owner for good, with no capability left. 0 or -errno and a line. */
must_check int place_become(struct place *place, char error_out[CONFIG_ERROR_SIZE]);

#endif
