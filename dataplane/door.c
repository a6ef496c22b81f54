/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/door.c: see door.h. */
#include "dataplane/door.h"

#include "common/region.h"
#include "common/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4, MODE = 0600, PER_TURN = 8 };

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

int door_open_take(struct door *door, const struct place *place, int root_fd,
                   char error[CONFIG_ERROR_SIZE])
{
    assert(root_fd >= 0);
    *door = (struct door){.peer_fd = -1, .root_fd = root_fd};
    door->listen_fd = place_bind(place, "attach", SOCK_SEQPACKET, MODE, place->gid, error);
    int r = door->listen_fd < 0 ? door->listen_fd : 0;
    if (r == 0 && listen(door->listen_fd, BACKLOG) < 0) {
        r = -errno;
        snprintf(error, CONFIG_ERROR_SIZE, "%s/attach: listening: %s", place->run_dir,
                 trouble_meaning(r));
    }
    if (r < 0) {
        door_close(door);
    }
    return r;
}

void door_close(struct door *door)
{
    close_fd(&door->peer_fd);
    close_fd(&door->listen_fd);
    close_fd(&door->root_fd);
}

static void let_in(struct door *door, int fd)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    bool ours = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == geteuid();
    if (!ours || region_send(fd, 0, door->root_fd) < 0) {
        close(fd);
        return;
    }
    close_fd(&door->peer_fd);
    door->peer_fd = fd;
}

bool door_turn(struct door *door, uint64_t *epoch_out, int *fd_out)
{
    int fd;
    uint64_t epoch;
    bool offered = false;
    for (int i = 0; i < PER_TURN; i++) {
        fd = accept4(door->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            break;
        }
        let_in(door, fd);
    }
    for (int i = 0; i < PER_TURN && door->peer_fd >= 0; i++) {
        int r = region_receive(door->peer_fd, &epoch, &fd);
        if (r == -EAGAIN || r == -EINTR) {
            break;
        }
        if (r < 0) {
            close_fd(&door->peer_fd);
            break;
        }
        if (offered) {
            close(*fd_out); /* control has closed the connection */
        }
        *epoch_out = epoch;
        *fd_out = fd;
        offered = true;
    }
    return offered;
}
