/* SPDX-License-Identifier: BSD-3-Clause */
/* common/place_folder.c: making, opening and checking the folders of a relay.
 *
 *   /  ──openat──▶  var  ──openat──▶  spool  ──openat──▶  holdfast
 *      each folder on the way: root's or the owner's, written by nobody else (or sticky);
 *      the last: the owner's alone
 *
 * Promise: nobody but root and the owner can put another folder in the place of one that was
 *          checked. What is refused gets one line that says which folder, and why.
 * Trap:    a symbolic link is followed only where root made it in a folder of root's (and, without
 *          root, where we made it). /var/run is such a one.
 *
 * A missing folder appears whole: it is made under a name of its own, gets owner and mode by its
 * descriptor, and then its name. So two daemons may start at once, and neither finds a folder that
 * the other has not handed over yet.
 */
#include "common/place_inside.h"

#include "common/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RUN_MODE = 0755,
    FOLDER_MODE = 0750,
    PARENT_MODE = 0755,
    NAME_SIZE = CONFIG_PATH_SIZE,
    USER_SIZE = 40
};

struct walk {
    const struct place *place;
    const char *path; /* all of it, from the root */
    size_t done;      /* bytes of it that are walked, for messages */
    mode_t mode;      /* of the last folder when it is made */
    bool make;        /* what is missing */
    char *error;
};

/* The line also says how far the walk came: the folder that is wrong may be one on the way. */
static int fail(const struct walk *w, int err, const char *doing)
{
    return place_fail(w->error, err, "%s: %s %.*s", w->path, doing, (int)w->done, w->path);
}

static const char *user_name(uid_t uid, char out[USER_SIZE])
{
    const struct passwd *user = getpwuid(uid);
    if (user != NULL) {
        snprintf(out, USER_SIZE, "%s", user->pw_name);
    } else {
        snprintf(out, USER_SIZE, "uid %u", (unsigned)uid);
    }
    return out;
}

static bool is_trusted(const struct walk *w, uid_t uid)
{
    return uid == 0 || uid == w->place->uid;
}

/* Checks that nobody but root and the owner can replace what this folder contains. */
static int check(const struct walk *w, int fd, bool last)
{
    char is[USER_SIZE];
    char should[USER_SIZE];
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return fail(w, -errno, "looking at");
    }
    bool owned = last ? st.st_uid == w->place->uid : is_trusted(w, st.st_uid);
    if (!owned) {
        snprintf(w->error, CONFIG_ERROR_SIZE, "%.*s: belongs to %s, not to %s%s", (int)w->done,
                 w->path, user_name(st.st_uid, is), user_name(w->place->uid, should),
                 geteuid() == 0 ? "" : PLACE_AS_ROOT);
        return -EPERM;
    }
    bool sticky = !last && (st.st_mode & S_ISVTX) != 0;
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !sticky) {
        snprintf(w->error, CONFIG_ERROR_SIZE,
                 "%.*s: others may write there (mode %04o): chmod go-w", (int)w->done, w->path,
                 (unsigned)st.st_mode & 07777);
        return -EPERM;
    }
    return 0;
}

static int open_folder(int at_fd, const char *name, bool last, int flags)
{
    /* O_PATH suffices on the way: a folder above may be one that we may enter and not list. */
    int fd = openat(at_fd, name, O_DIRECTORY | O_CLOEXEC | flags | (last ? O_RDONLY : O_PATH));
    return fd < 0 ? -errno : fd;
}

/* Makes the folder in `at_fd` under a temporary name, and renames it when it is complete. Where the
 * folder above is the owner's, this runs as the owner: somebody could swap a name there, and root
 * must not act on the wrong file. */
static int make_named(const struct walk *w, int at_fd, const char *name, bool last)
{
    char temporary[NAME_SIZE + 32];
    snprintf(temporary, sizeof temporary, ".%s.new-%d", name, (int)getpid());
    (void)unlinkat(at_fd, temporary, AT_REMOVEDIR); /* left by a process that was killed here */
    if (mkdirat(at_fd, temporary, 0700) < 0) {
        return -errno;
    }
    int fd = openat(at_fd, temporary, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : 0;
    if (r == 0 && last && geteuid() == 0 && fchown(fd, w->place->uid, w->place->gid) < 0) {
        r = -errno;
    }
    if (r == 0 && fchmod(fd, last ? w->mode : PARENT_MODE) < 0) {
        r = -errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (r == 0 && renameat2(at_fd, temporary, at_fd, name, RENAME_NOREPLACE) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlinkat(at_fd, temporary, AT_REMOVEDIR);
    }
    return r == -EEXIST ? 0 : r; /* the other daemon made it; it is checked like any other */
}

static int make_folder(const struct walk *w, int at_fd, const char *name, bool last)
{
    struct stat st;
    if (fstat(at_fd, &st) < 0) {
        return -errno;
    }
    bool owners = st.st_uid != 0;
    int r = owners ? place_step_down(w->place, w->place->gid) : 0;
    r = r < 0 ? r : make_named(w, at_fd, name, last);
    if (owners) {
        place_step_up(w->place);
    }
    return r;
}

/* Root follows only links that root made, in folders where only root could put them. */
static bool is_good_link(const struct walk *w, int at_fd, const char *name)
{
    struct stat folder;
    struct stat st;
    if (fstat(at_fd, &folder) < 0 || fstatat(at_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISLNK(st.st_mode)) {
        return false;
    }
    return geteuid() == 0 ? folder.st_uid == 0 && st.st_uid == 0 : is_trusted(w, st.st_uid);
}

/* Opens the folder `name` in `at_fd`, which is checked already, and checks it. */
static int step(const struct walk *w, int at_fd, const char *name, bool last)
{
    const char *doing = "opening";
    int fd = open_folder(at_fd, name, last, O_NOFOLLOW);
    if (fd == -ENOENT && w->make) {
        doing = "making";
        int r = make_folder(w, at_fd, name, last);
        fd = r < 0 ? r : open_folder(at_fd, name, last, O_NOFOLLOW);
    }
    if (fd == -ENOTDIR || fd == -ELOOP) {
        fd = is_good_link(w, at_fd, name) ? open_folder(at_fd, name, last, 0) : -ENOTDIR;
    }
    if (fd < 0) {
        return fail(w, fd, doing);
    }
    int r = check(w, fd, last);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

/* Returns the folder's descriptor, or -errno and a line. */
static int walk(struct walk *w)
{
    char name[NAME_SIZE];
    const char *p = w->path;
    assert(p[0] == '/' && strlen(p) < NAME_SIZE); /* config_load saw to it */
    w->done = strspn(p, "/");
    if (p[w->done] == '\0') {
        snprintf(w->error, CONFIG_ERROR_SIZE, "%s: the root of all files is no folder of ours", p);
        return -EINVAL;
    }
    int fd = open_folder(AT_FDCWD, "/", false, 0);
    while (fd >= 0) {
        p += strspn(p, "/");
        size_t len = strcspn(p, "/");
        if (len == 0) {
            return fd;
        }
        memcpy(name, p, len);
        name[len] = '\0';
        p += len;
        w->done = (size_t)(p - w->path);
        int next = step(w, fd, name, p[strspn(p, "/")] == '\0');
        close(fd);
        fd = next;
    }
    return fd;
}

/* True when state_dir is of a relay that ran before. Then a missing spool is most likely a volume
 * that is not mounted: a new, empty spool would hide all mail that waits on the volume. */
static bool has_run(const struct place *place)
{
    struct stat st;
    return fstatat(place->state_fd, "policy.db", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
           fstatat(place->state_fd, "policy.snap", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int spool_folder(const struct place *place, const char *path, char error[CONFIG_ERROR_SIZE])
{
    bool ran = has_run(place);
    struct walk w = {
        .place = place, .path = path, .mode = FOLDER_MODE, .make = !ran, .error = error};
    int fd = walk(&w);
    if (fd == -ENOENT && ran) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "spool.dir %s: opening it: %s, but state_dir is of a relay that ran: mount or "
                 "restore it, or make an empty folder",
                 path, trouble_meaning(-ENOENT));
    }
    if (fd < 0) {
        return fd;
    }
    close(fd);
    return 0;
}

int place_folders(struct place *place, const char *spool_dir, char error[CONFIG_ERROR_SIZE])
{
    struct walk run = {
        .place = place, .path = place->run_dir, .mode = RUN_MODE, .make = true, .error = error};
    struct walk state = {.place = place,
                         .path = place->state_dir,
                         .mode = FOLDER_MODE,
                         .make = true,
                         .error = error};
    place->run_fd = walk(&run);
    if (place->run_fd < 0) {
        return place->run_fd;
    }
    place->state_fd = walk(&state);
    return place->state_fd < 0 ? place->state_fd : spool_folder(place, spool_dir, error);
}
