/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/setup.c: directories, lock, privileges, placement, doorbell. See setup.h. */
#include "dataplane/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static int say(char error_out[CONFIG_ERROR_SIZE], const char *what, int r)
{
    bool root = geteuid() == 0 || (r != -EACCES && r != -EPERM);
    snprintf(error_out, CONFIG_ERROR_SIZE, "%s: %s%s", what, strerror(-r),
             root ? "" : ": start as root, privileges are dropped afterwards");
    return r;
}

static int find_owner(const struct config *config, uid_t *uid_out, gid_t *gid_out,
                      char error_out[CONFIG_ERROR_SIZE])
{
    *uid_out = geteuid();
    *gid_out = getegid();
    if (config->user[0] != '\0') {
        const struct passwd *user = getpwnam(config->user);
        if (user == NULL) {
            snprintf(error_out, CONFIG_ERROR_SIZE, "%s: user '%s' does not exist", config->path,
                     config->user);
            return -EINVAL;
        }
        *uid_out = user->pw_uid;
        *gid_out = user->pw_gid;
    }
    if (config->group[0] != '\0') {
        const struct group *group = getgrnam(config->group);
        if (group == NULL) {
            snprintf(error_out, CONFIG_ERROR_SIZE, "%s: group '%s' does not exist", config->path,
                     config->group);
            return -EINVAL;
        }
        *gid_out = group->gr_gid;
    }
    return 0;
}

/* mkdir -p; only a directory made here gets the owner. */
static int make_directory(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    char part[CONFIG_PATH_SIZE];
    size_t len = strlen(path);
    assert(len < sizeof part);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, i == len ? mode : 0755) == 0) {
            if (i == len && chown(part, uid, gid) < 0) {
                return -errno;
            }
        } else if (errno != EEXIST) {
            return -errno;
        }
    }
    return 0;
}

/* A relay that ran before has its spool: an empty one in its place, on a volume that is not
 * mounted, would hide all that waits in the true one. */
static int check_spool(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    char path[CONFIG_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/policy.snap", config->state_dir);
    if (access(path, F_OK) < 0 || access(config->spool.dir, F_OK) == 0) {
        return 0;
    }
    int r = -errno;
    snprintf(error_out, CONFIG_ERROR_SIZE,
             "spool.dir %s: %s, but state_dir is of a relay that ran: mount or restore it, or make "
             "an empty folder",
             config->spool.dir, strerror(-r));
    return r;
}

int setup_directories(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    uid_t uid;
    gid_t gid;
    int r = find_owner(config, &uid, &gid, error_out);
    r = r < 0 ? r : check_spool(config, error_out);
    if (r < 0) {
        return r;
    }
    /* Sockets have modes of their own; who may talk to them must be able to reach them. */
    const struct {
        const char *path;
        mode_t mode;
    } dirs[] = {{config->run_dir, 0755}, {config->state_dir, 0750}, {config->spool.dir, 0750}};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        r = make_directory(dirs[i].path, dirs[i].mode, uid, gid);
        if (r < 0) {
            return say(error_out, dirs[i].path, r);
        }
    }
    return 0;
}

int setup_lock(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    char path[CONFIG_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/dataplane.lock", config->run_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return say(error_out, path, -errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = -errno;
        snprintf(error_out, CONFIG_ERROR_SIZE,
                 "instance '%s' is already running: %s/dataplane.lock is held", config->instance,
                 config->run_dir);
        close(fd);
        return r;
    }
    return 0; /* the descriptor stays open: the lock ends with the process */
}

int setup_drop_privileges(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    uid_t uid;
    gid_t gid;
    int r = find_owner(config, &uid, &gid, error_out);
    if (r < 0 || (config->user[0] == '\0' && config->group[0] == '\0')) {
        return r;
    }
    if (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
        return say(error_out, "dropping privileges", -errno);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return say(error_out, "no_new_privs", -errno);
    }
    return 0;
}

void setup_pin_thread(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void setup_notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

struct doorbell {
    int fd;
    struct sockaddr_un addr;
};

struct doorbell *doorbell_create(const char *run_dir)
{
    struct doorbell *d = calloc(1, sizeof *d);
    assert(d != NULL);
    d->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(d->fd >= 0);
    d->addr.sun_family = AF_UNIX;
    snprintf(d->addr.sun_path, sizeof d->addr.sun_path, "%s/doorbell", run_dir);
    return d;
}

void doorbell_ring(void *doorbell)
{
    struct doorbell *d = doorbell;
    /* Nobody there, or its buffer is full: then it is not asleep, or looks by itself soon. */
    (void)sendto(d->fd, "", 1, 0, (const struct sockaddr *)&d->addr, sizeof d->addr);
}
