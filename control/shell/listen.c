/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/listen.c: see listen.h. */
#include "control/shell/listen.h"

#include "common/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 128, DOORBELL_MODE = 0600, MODE_BITS = 0777, OPEN_MODE = 0666 };

int listen_admin(const struct place *place, const struct config *config,
                 char error[CONFIG_ERROR_SIZE])
{
    /* A file has one group, and there are two here. So with a look_group the socket lets everybody
     * connect, and peer.h decides who is served. */
    bool two = place->look_gid != (gid_t)-1;
    mode_t mode = two ? OPEN_MODE : config->control.admin_mode & MODE_BITS;
    int fd = place_bind(place, "admin.sock", SOCK_STREAM, mode, place->admin_gid, error);
    if (fd >= 0 && listen(fd, BACKLOG) < 0) {
        int r = -errno;
        snprintf(error, CONFIG_ERROR_SIZE, "%s/admin.sock: %s", place->run_dir, trouble_meaning(r));
        close(fd);
        return r;
    }
    return fd;
}

int listen_doorbell(const struct place *place, char error[CONFIG_ERROR_SIZE])
{
    return place_bind(place, "doorbell", SOCK_DGRAM, DOORBELL_MODE, place->gid, error);
}

void listen_end(const struct place *place)
{
    place_unbind(place, "admin.sock");
    place_unbind(place, "doorbell");
}
