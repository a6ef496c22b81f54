/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/peer.c: see peer.h. */
#include "control/shell/peer.h"

#include "control/core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 32, RECORD_BYTES = 16384, GROUPS_MAX = 65536 };

static bool is_in(int fd, gid_t primary, gid_t wanted)
{
    socklen_t len = 0;
    if (wanted == (gid_t)-1) {
        return false;
    }
    if (primary == wanted) {
        return true;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
        len > GROUPS_MAX * sizeof(gid_t)) {
        return false; /* no further groups, or the kernel cannot tell */
    }
    gid_t *group = mem_zalloc(len);
    bool found = false;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, group, &len) == 0) {
        for (size_t i = 0; i < len / sizeof *group; i++) {
            found |= group[i] == wanted;
        }
    }
    mem_free(group);
    return found;
}

bool peer_judge(int fd, const struct place *place, struct peer *out)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    *out = (struct peer){.uid = (uid_t)-1};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
        return false;
    }
    out->uid = cred.uid;
    out->pid = cred.pid;
    bool ours = cred.uid == 0 || cred.uid == place->uid;
    out->may_act = ours || place->look_gid == (gid_t)-1 || is_in(fd, cred.gid, place->admin_gid);
    out->may_look = out->may_act || is_in(fd, cred.gid, place->look_gid);
    return true;
}

static void name_uid(uid_t uid, char *out, size_t out_size)
{
    struct passwd record;
    struct passwd *found = NULL;
    char *memory = mem_zalloc(RECORD_BYTES);
    if (getpwuid_r(uid, &record, memory, RECORD_BYTES, &found) == 0 && found != NULL) {
        (void)snprintf(out, out_size, "%.*s", NAME_MAX_BYTES, found->pw_name);
    } else {
        (void)snprintf(out, out_size, "uid:%u", (unsigned)uid);
    }
    mem_free(memory);
}

/* The user that the session logged in as, by the kernel's audit. -1: not known. */
static uid_t login_of(pid_t pid)
{
    char path[64];
    char text[16] = "";
    (void)snprintf(path, sizeof path, "/proc/%ld/loginuid", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return (uid_t)-1;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    return got > 0 ? (uid_t)strtoul(text, NULL, 10) : (uid_t)-1;
}

void peer_name(const struct peer *peer, char who[PEER_WHO_SIZE])
{
    char name[NAME_MAX_BYTES + 1];
    char login[NAME_MAX_BYTES + 1];
    name_uid(peer->uid, name, sizeof name);
    uid_t login_uid = login_of(peer->pid);
    if (login_uid == (uid_t)-1 || login_uid == peer->uid) {
        (void)snprintf(who, PEER_WHO_SIZE, "%s", name);
        return;
    }
    name_uid(login_uid, login, sizeof login);
    (void)snprintf(who, PEER_WHO_SIZE, "%s (login %s)", name, login);
}

void peer_add_sudo(const struct peer *peer, const char *sudo_user, char who[PEER_WHO_SIZE])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = sudo_user == NULL ? 0 : strlen(sudo_user);
    bool fits = len > 0 && len <= NAME_MAX_BYTES && strspn(sudo_user, plain) == len;
    size_t at = strlen(who);
    if (fits && peer->uid == 0 && strchr(who, '(') == NULL && at < PEER_WHO_SIZE) {
        (void)snprintf(who + at, PEER_WHO_SIZE - at, " (sudo %s)", sudo_user);
    }
}
