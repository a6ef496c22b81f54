/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/setup.c: see setup.h. */
#include "control/shell/setup.h"

#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FOLDER_MODE = 0750, RUN_MODE = 0755, BUSY_MS = 2000 };

static int fail(char error[CONFIG_ERROR_SIZE], const char *what, int err)
{
    bool root = geteuid() == 0 || (err != -EACCES && err != -EPERM);
    snprintf(error, CONFIG_ERROR_SIZE, "%s: %s%s", what, strerror(-err),
             root ? "" : ": start as root, privileges are dropped afterwards");
    return err;
}

/* The ids of the configured user and group; -1 where none is configured. */
static int find_user(const struct config *config, uid_t *uid_out, gid_t *gid_out,
                     char error[CONFIG_ERROR_SIZE])
{
    *uid_out = (uid_t)-1;
    *gid_out = (gid_t)-1;
    if (config->user[0] != '\0') {
        const struct passwd *user = getpwnam(config->user);
        if (user == NULL) {
            snprintf(error, CONFIG_ERROR_SIZE, "user: no such user: %s", config->user);
            return -EINVAL;
        }
        *uid_out = user->pw_uid;
        *gid_out = user->pw_gid;
    }
    if (config->group[0] != '\0') {
        const struct group *group = getgrnam(config->group);
        if (group == NULL) {
            snprintf(error, CONFIG_ERROR_SIZE, "group: no such group: %s", config->group);
            return -EINVAL;
        }
        *gid_out = group->gr_gid;
    }
    return 0;
}

int setup_names(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    uid_t uid;
    gid_t gid;
    if (config->control.admin_group[0] != '\0' && getgrnam(config->control.admin_group) == NULL) {
        snprintf(error, CONFIG_ERROR_SIZE, "admin_group: no such group: %s",
                 config->control.admin_group);
        return -EINVAL;
    }
    return find_user(config, &uid, &gid, error);
}

int setup_spool(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    char path[CONFIG_PATH_SIZE + 32];
    struct stat st;
    snprintf(path, sizeof path, "%s/policy.db", config->state_dir);
    if (stat(path, &st) == 0 && stat(config->spool.dir, &st) < 0) {
        int err = -errno;
        snprintf(error, CONFIG_ERROR_SIZE,
                 "spool.dir %s: %s, but state_dir is of a relay that ran: mount or restore it, or "
                 "make an empty folder",
                 config->spool.dir, strerror(-err));
        return err;
    }
    return 0;
}

static int make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid,
                       char error[CONFIG_ERROR_SIZE])
{
    char part[CONFIG_PATH_SIZE];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(part, 0755); /* a parent: what is wrong with it shows below */
            *p = '/';
        }
    }
    if (mkdir(path, mode) < 0) {
        return errno == EEXIST ? 0 : fail(error, path, -errno);
    }
    if (geteuid() == 0 && (uid != (uid_t)-1 || gid != (gid_t)-1) && chown(path, uid, gid) < 0) {
        return fail(error, path, -errno);
    }
    return 0;
}

int setup_folders(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    uid_t uid;
    gid_t gid;
    int r = find_user(config, &uid, &gid, error);
    if (r == 0) {
        r = make_folder(config->run_dir, RUN_MODE, uid, gid, error);
    }
    r = r == 0 ? make_folder(config->state_dir, FOLDER_MODE, uid, gid, error) : r;
    /* setup_spool saw that this is no relay whose spool is missing. */
    return r == 0 ? make_folder(config->spool.dir, FOLDER_MODE, uid, gid, error) : r;
}

static int take_lock(const char *folder, char error[CONFIG_ERROR_SIZE])
{
    char path[CONFIG_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/control.lock", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(error, path, -errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int err = -errno;
        if (err == -EWOULDBLOCK) {
            snprintf(error, CONFIG_ERROR_SIZE, "already running (%s is locked)", path);
        } else {
            (void)fail(error, path, err);
        }
        close(fd);
        return err;
    }
    return 0; /* stays open, and locked, until the process ends */
}

int setup_lock(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    int r = take_lock(config->run_dir, error);
    bool apart = strcmp(config->run_dir, config->state_dir) != 0;
    return r == 0 && apart ? take_lock(config->state_dir, error) : r;
}

int setup_doorbell(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path, sizeof address.sun_path, "%s/doorbell", config->run_dir);
    if (len < 0 || (size_t)len >= sizeof address.sun_path) {
        return fail(error, "run_dir", -ENAMETOOLONG);
    }
    uid_t uid;
    gid_t gid;
    int r = find_user(config, &uid, &gid, error);
    if (r < 0) {
        return r;
    }
    (void)unlink(address.sun_path); /* a dead run's */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return fail(error, "doorbell", -errno);
    }
    mode_t mask = umask(0117);
    r = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0 && geteuid() == 0 && (uid != (uid_t)-1 || gid != (gid_t)-1) &&
        chown(address.sun_path, uid, gid) < 0) {
        r = -errno;
    }
    if (r < 0) {
        close(fd);
        return fail(error, address.sun_path, r);
    }
    return fd;
}

int setup_user(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    uid_t uid;
    gid_t gid;
    int r = find_user(config, &uid, &gid, error);
    if (r < 0 || geteuid() != 0) {
        return r; /* not root: we are who we are */
    }
    if (gid != (gid_t)-1 &&
        ((config->user[0] != '\0' ? initgroups(config->user, gid) : setgroups(0, NULL)) < 0 ||
         setgid(gid) < 0)) {
        return fail(error, "group", -errno);
    }
    if (uid != (uid_t)-1 && setuid(uid) < 0) {
        return fail(error, "user", -errno);
    }
    return 0;
}

/* The spool was in use by an earlier control. */
static int has_checkpoint(struct spool_io *io, bool *has_out)
{
    uint64_t message_pos;
    uint64_t state_pos;
    uint64_t older;
    void *blob;
    size_t len;
    int r = spool_checkpoint_load(io, &message_pos, &state_pos, &older, &blob, &len);
    *has_out = r == 0;
    if (r == 0) {
        free(blob);
    }
    return r == -ENOENT ? 0 : r;
}

/* Starting without what the operators said would release every hold in silence. */
static int check_unused(struct spool_io *io, const char *path, const char *what,
                        char error[CONFIG_ERROR_SIZE])
{
    bool used = false;
    int r = has_checkpoint(io, &used);
    if (r < 0) {
        return fail(error, "spool checkpoint", r);
    }
    if (!used) {
        return 0;
    }
    snprintf(error, CONFIG_ERROR_SIZE,
             "%s %s, but the spool is not new: restore it, or start with --new-policy "
             "(every hold is forgotten)",
             path, what);
    return -EPROTO; /* a person has to say what is to be */
}

/* It was copied without its -wal, or its making was cut short. What cannot be read is store_open's
 * to tell. */
static bool has_no_tables(sqlite3 *db)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_schema", -1, &statement, NULL) !=
        SQLITE_OK) {
        return false;
    }
    bool none = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int64(statement, 0) == 0;
    sqlite3_finalize(statement);
    return none;
}

int setup_database(const struct config *config, struct spool_io *io, bool new_policy,
                   sqlite3 **db_out, char error[CONFIG_ERROR_SIZE])
{
    char path[CONFIG_PATH_SIZE + 32];
    struct stat st;
    snprintf(path, sizeof path, "%s/policy.db", config->state_dir);
    bool missing = stat(path, &st) < 0 || st.st_size == 0;
    int r = missing && !new_policy ? check_unused(io, path, "is missing", error) : 0;
    if (r < 0) {
        return r;
    }
    mode_t mask = umask(0077);
    int rc = sqlite3_open_v2(path, db_out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    umask(mask);
    if (rc != SQLITE_OK) {
        snprintf(error, CONFIG_ERROR_SIZE, "%s: %s", path, sqlite3_errmsg(*db_out));
        r = -EIO;
    } else if (!missing && !new_policy && has_no_tables(*db_out)) {
        r = check_unused(io, path, "is empty", error);
    }
    if (r < 0) {
        sqlite3_close(*db_out);
        return r;
    }
    sqlite3_busy_timeout(*db_out, BUSY_MS); /* a backup reading it */
    return 0;
}
