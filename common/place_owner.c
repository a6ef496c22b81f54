/* SPDX-License-Identifier: BSD-3-Clause */
/* common/place_owner.c: the user ids of a daemon. A daemon that starts as root takes the relay's
 * user as its effective one while it handles what others may write, and at last becomes that user
 * for good. See place.h.
 *
 * Trap: capabilities and no_new_privs belong to a thread. They are given up before there is a
 *       second one; the ids change in all threads, and the capabilities of a user go with them.
 */
#include "common/place_inside.h"

#include "common/trouble.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const gid_t no_gid = (gid_t)-1;

int place_fail(char error[CONFIG_ERROR_SIZE], int err, const char *where, ...)
{
    bool root = geteuid() == 0 || (err != -EACCES && err != -EPERM);
    char words[CONFIG_PATH_SIZE + CONFIG_PATH_SIZE / 2];
    struct trouble trouble = {.error = 0};
    va_list args;
    va_start(args, where);
    (void)vsnprintf(words, sizeof words, where, args);
    va_end(args);
    (void)trouble_begin(&trouble, err, "%s", words);
    (void)snprintf(error, CONFIG_ERROR_SIZE, "%s%s", trouble_text(&trouble, err),
                   root ? "" : PLACE_AS_ROOT);
    return err;
}

static int refuse(char error[CONFIG_ERROR_SIZE], const char *key, const char *kind,
                  const char *name)
{
    snprintf(error, CONFIG_ERROR_SIZE, "%s: no such %s: %s", key, kind, name);
    return -EINVAL;
}

static int find_group(const char *key, const char *name, gid_t *gid_out,
                      char error[CONFIG_ERROR_SIZE])
{
    const struct group *group = getgrnam(name);
    if (group == NULL) {
        return refuse(error, key, "group", name);
    }
    *gid_out = group->gr_gid;
    return 0;
}

int place_find_owner(const struct config *config, struct place *place,
                     char error[CONFIG_ERROR_SIZE])
{
    int r = 0;
    place->uid = geteuid();
    place->gid = getegid();
    place->root_gid = place->gid;
    place->admin_gid = no_gid;
    place->look_gid = no_gid;
    if (config->user[0] != '\0') {
        const struct passwd *user = getpwnam(config->user);
        if (user == NULL) {
            return refuse(error, "user", "user", config->user);
        }
        place->uid = user->pw_uid;
        place->gid = user->pw_gid;
        snprintf(place->user, sizeof place->user, "%s", config->user);
    }
    if (config->group[0] != '\0') {
        r = find_group("group", config->group, &place->gid, error);
    }
    if (r == 0 && config->control.admin_group[0] != '\0') {
        r = find_group("admin_group", config->control.admin_group, &place->admin_gid, error);
    }
    if (r == 0 && config->control.look_group[0] != '\0') {
        r = find_group("look_group", config->control.look_group, &place->look_gid, error);
    }
    return r;
}

int place_check_names(const struct config *config, char error[CONFIG_ERROR_SIZE])
{
    struct place place = {0};
    return place_find_owner(config, &place, error);
}

/* Makes sure that no program which this process might start gets more power than the process has
 * (it starts none). Call it before any other thread is made, for each thread has its own set. */
int place_renounce(char error[CONFIG_ERROR_SIZE])
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return place_fail(error, -errno, "giving up new privileges");
    }
    /* This ends at the first number that is no capability. Without root it ends at once: there is
     * nothing to drop. */
    for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++) {
        assert(cap < 1024);
    }
    return 0;
}

int place_step_down(const struct place *place, gid_t gid)
{
    if (!place->root) {
        return 0;
    }
    assert(geteuid() == 0);
    if (setgroups(0, NULL) < 0 || setresgid(no_gid, gid == no_gid ? place->gid : gid, no_gid) < 0 ||
        setresuid((uid_t)-1, place->uid, (uid_t)-1) < 0) {
        return -errno;
    }
    return 0;
}

void place_step_up(const struct place *place)
{
    if (place->root) {
        int r = setresuid((uid_t)-1, 0, (uid_t)-1);
        assert(r == 0);
        r = setresgid(no_gid, place->root_gid, no_gid);
        assert(r == 0);
    }
}

static int clear_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int place_become(struct place *place, char error[CONFIG_ERROR_SIZE])
{
    bool moves = place->root && (place->uid != 0 || place->gid != getegid());
    if (moves) {
        int r = place->user[0] != '\0' ? initgroups(place->user, place->gid) : setgroups(0, NULL);
        if (r < 0 || setresgid(place->gid, place->gid, place->gid) < 0 ||
            setresuid(place->uid, place->uid, place->uid) < 0) {
            return place_fail(error, -errno, "becoming user %s", place->user);
        }
    }
    place->root = false;
    if (place->uid == 0) {
        return 0; /* no user is configured: it stays as it is */
    }
    int r = clear_capabilities();
    if (r < 0) {
        return place_fail(error, r, "giving up all capabilities");
    }
    r = setresuid(0, 0, 0);
    assert(r < 0); /* there is no way back */
    return 0;
}
