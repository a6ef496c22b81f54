/* SPDX-License-Identifier: BSD-3-Clause */
/* common/place.c: locks and sockets of a daemon. See place.h; its folders are in place_folder.c,
 * who it is in place_owner.c. */
#include "common/place.h"

#include "common/place_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const gid_t no_gid = (gid_t)-1;

int place_open(const struct config *config, struct place *place, char error[CONFIG_ERROR_SIZE])
{
    *place = (struct place){.run_fd = -1, .state_fd = -1, .lock_fd = {-1, -1}};
    snprintf(place->run_dir, sizeof place->run_dir, "%s", config->run_dir);
    snprintf(place->state_dir, sizeof place->state_dir, "%s", config->state_dir);
    int r = place_find_owner(config, place, error);
    if (r < 0) {
        return r;
    }
    place->root = geteuid() == 0;
    if (!place->root && place->uid != geteuid()) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "user: started as user %u, not as root and not as %s" PLACE_AS_ROOT,
                 (unsigned)geteuid(), config->user);
        return -EPERM;
    }
    r = place_renounce(error);
    return r < 0 ? r : place_folders(place, config->spool.dir, error);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void place_close(struct place *place)
{
    for (int i = 0; i < PLACE_LOCKS; i++) {
        close_fd(&place->lock_fd[i]);
    }
    close_fd(&place->run_fd);
    close_fd(&place->state_fd);
}

/* --- locks ------------------------------------------------------------------------------------ */

/* Opens a lock file, as the owner. A symbolic link is not followed; a file that is not the owner's
 * is refused. */
static int open_lock(const struct place *place, int folder_fd, const char *name)
{
    int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != place->uid) {
        close(fd);
        return -EPERM;
    }
    return fd;
}

static int take_lock(const struct place *place, int folder_fd, const char *folder, const char *name,
                     int *fd_out, char error[CONFIG_ERROR_SIZE])
{
    int r = place_step_down(place, place->gid);
    if (r == 0) {
        r = open_lock(place, folder_fd, name);
    }
    place_step_up(place);
    if (r < 0) {
        return place_fail(error, r, "%s/%s: opening the lock file", folder, name);
    }
    if (flock(r, LOCK_EX | LOCK_NB) < 0) {
        int err = -errno;
        close(r);
        if (err == -EWOULDBLOCK) {
            snprintf(error, CONFIG_ERROR_SIZE, "already running (%s/%s is locked)", folder, name);
            return err;
        }
        return place_fail(error, err, "%s/%s: locking it", folder, name);
    }
    *fd_out = r;
    return 0;
}

int place_lock(struct place *place, const char *name, bool state_too, char error[CONFIG_ERROR_SIZE])
{
    assert(place->run_fd >= 0 && place->state_fd >= 0);
    int r = take_lock(place, place->run_fd, place->run_dir, name, &place->lock_fd[0], error);
    bool apart = strcmp(place->run_dir, place->state_dir) != 0;
    if (r == 0 && state_too && apart) {
        r = take_lock(place, place->state_fd, place->state_dir, name, &place->lock_fd[1], error);
    }
    return r;
}

/* --- sockets ---------------------------------------------------------------------------------- */

void place_address(const struct place *place, const char *name, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert(place->run_fd >= 0);
    /* There is no bindat: the path goes through the folder's descriptor. */
    int len = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s",
                       place->run_fd, name);
    assert(len > 0 && (size_t)len < sizeof address->sun_path);
}

/* Binds as the owner. The socket gets its mode and group when it is made, from the umask and the
 * effective group. */
static int bind_owned(const struct place *place, const char *name, int type, mode_t mode)
{
    struct sockaddr_un address;
    place_address(place, name, &address);
    if (unlinkat(place->run_fd, name, 0) < 0 && errno != ENOENT) {
        return -errno;
    }
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    mode_t mask = umask(0777 & ~mode);
    int r = bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

/* Gives the socket its group where the moment of its making did not: a folder with the setgid bit
 * gives the folder's group, and a process without root has only its own. This process is the
 * socket's owner here and uses no power of root's, so a swapped file could only be the same
 * user's. */
static int set_group(const struct place *place, const char *name, gid_t gid)
{
    struct stat st;
    if (fstatat(place->run_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    if (!S_ISSOCK(st.st_mode) || st.st_uid != place->uid) {
        return -EPERM;
    }
    if (gid == no_gid || st.st_gid == gid) {
        return 0;
    }
    return fchownat(place->run_fd, name, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int place_bind(const struct place *place, const char *name, int type, mode_t mode, gid_t gid,
               char error[CONFIG_ERROR_SIZE])
{
    assert((mode & ~0777u) == 0);
    int fd = -1;
    int r = place_step_down(place, gid);
    if (r == 0) {
        fd = bind_owned(place, name, type, mode);
        r = fd < 0 ? fd : set_group(place, name, gid);
    }
    place_step_up(place);
    if (r < 0) {
        close_fd(&fd);
        return place_fail(error, r, "%s/%s: making the socket", place->run_dir, name);
    }
    return fd;
}

void place_unbind(const struct place *place, const char *name)
{
    if (place->run_fd >= 0) {
        (void)unlinkat(place->run_fd, name, 0);
    }
}
