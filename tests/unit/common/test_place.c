/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_place.c: folders, locks and sockets of a daemon, and what other users
 * cannot do to them. Tests that need a second user are skipped without root. */
#include "common/place.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static struct config config;
static struct place place;
static char error[CONFIG_ERROR_SIZE];

static void set_up(void)
{
    snprintf(dir, sizeof dir, "/var/tmp/hf-place-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chmod(dir, 0755), 0);
    config_defaults(&config);
    snprintf(config.run_dir, sizeof config.run_dir, "%s/run", dir);
    snprintf(config.state_dir, sizeof config.state_dir, "%s/deep/state", dir);
    snprintf(config.spool.dir, sizeof config.spool.dir, "%s/spool", dir);
    place = (struct place){.run_fd = -1, .state_fd = -1, .lock_fd = {-1, -1}};
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void tear_down(void)
{
    place_close(&place);
    cr_assert_eq(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(place, .init = set_up, .fini = tear_down);

static void as_user(void)
{
    if (geteuid() != 0 || getpwnam("nobody") == NULL || getgrnam("nogroup") == NULL) {
        cr_skip_test("needs root and a user nobody");
    }
    snprintf(config.user, sizeof config.user, "nobody");
    snprintf(config.group, sizeof config.group, "nogroup");
}

static void open_place(void)
{
    cr_assert_eq(place_open(&config, &place, error), 0, "%s", error);
}

static void refused(int err, const char *why)
{
    cr_assert_eq(place_open(&config, &place, error), err, "%s", error);
    cr_assert_not_null(strstr(error, why), "%s", error);
    cr_assert_null(strchr(error, '\n'));
    place_close(&place);
}

static struct stat look(const char *path)
{
    struct stat st;
    cr_assert_eq(lstat(path, &st), 0, "%s: %s", path, strerror(errno));
    return st;
}

static char *in_run(const char *name)
{
    static char path[CONFIG_PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", config.run_dir, name);
    return path;
}

static void expect_folder(const char *path, mode_t mode)
{
    struct stat st = look(path);
    cr_assert(S_ISDIR(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, mode, "%s has mode %o", path, st.st_mode);
    cr_assert_eq(st.st_uid, place.uid);
    cr_assert_eq(st.st_gid, place.gid);
}

Test(place, missing_folders_are_made_whatever_the_umask)
{
    umask(0777);
    open_place();
    umask(022);
    expect_folder(config.run_dir, 0755);
    expect_folder(config.state_dir, 0750);
    expect_folder(config.spool.dir, 0750);
    cr_assert_eq(look(in_run("..")).st_nlink, 2 + 3, "nothing else is left there");
}

Test(place, the_users_folders_are_his_and_the_parents_are_not)
{
    char parent[CONFIG_PATH_SIZE];
    as_user();
    open_place();
    cr_assert_neq(place.uid, 0);
    expect_folder(config.run_dir, 0755);
    expect_folder(config.state_dir, 0750);
    snprintf(parent, sizeof parent, "%s/deep", dir);
    cr_assert_eq(look(parent).st_uid, 0);
    cr_assert_eq(geteuid(), 0, "still root: it has been lent to no path");
}

/* Root does not handle what the user could swap: below a folder of the user's it acts as the
 * user. */
Test(place, below_a_folder_of_the_user_all_is_made_as_the_user)
{
    as_user();
    open_place();
    place_close(&place);
    snprintf(config.state_dir, sizeof config.state_dir, "%s/run/a/b", dir);
    open_place();
    expect_folder(in_run("a"), 0755);
    expect_folder(config.state_dir, 0750);
    cr_assert_eq(chmod(config.run_dir, 0555), 0);
    place_close(&place);
    snprintf(config.state_dir, sizeof config.state_dir, "%s/run/c", dir);
    refused(-EACCES, "/run/c");
}

Test(place, what_others_own_or_write_is_refused)
{
    struct passwd *nobody = getpwnam("nobody");
    open_place();
    place_close(&place);
    cr_assert_eq(chmod(config.run_dir, 0775), 0);
    refused(-EPERM, "/run: others may write there (mode 0775)");
    cr_assert_eq(chmod(config.run_dir, 01777), 0);
    refused(-EPERM, "/run: others may write there (mode 1777)");
    cr_assert_eq(chmod(config.run_dir, 0755), 0);
    cr_assert_eq(chmod(dir, 0777), 0);
    refused(-EPERM, "others may write there (mode 0777)");
    cr_assert_eq(chmod(dir, 01777), 0); /* sticky, as /tmp: nobody else can replace what is there */
    open_place();
    place_close(&place);
    cr_assert_eq(chmod(dir, 0755), 0);
    if (geteuid() == 0 && nobody != NULL) {
        cr_assert_eq(chown(config.spool.dir, nobody->pw_uid, (gid_t)-1), 0);
        refused(-EPERM, "/spool: belongs to nobody, not to root");
        cr_assert_eq(chown(config.spool.dir, 0, (gid_t)-1), 0);
        cr_assert_eq(chown(dir, nobody->pw_uid, (gid_t)-1), 0);
        refused(-EPERM, "belongs to nobody, not to root");
        cr_assert_eq(chown(dir, 0, (gid_t)-1), 0);
    }
}

Test(place, a_link_of_the_users_leads_root_nowhere)
{
    char target[CONFIG_PATH_SIZE];
    as_user();
    open_place();
    place_close(&place);
    snprintf(target, sizeof target, "%s/secret", dir);
    cr_assert_eq(mkdir(target, 0755), 0);
    cr_assert_eq(symlink(target, in_run("link")), 0);
    cr_assert_eq(lchown(in_run("link"), place.uid, place.gid), 0);
    snprintf(config.state_dir, sizeof config.state_dir, "%s/run/link/made", dir);
    refused(-ENOTDIR, "/run/link/made");
    cr_assert_eq(look(target).st_nlink, 2, "nothing was made there");
}

/* As /var/run on Debian. */
Test(place, a_link_of_roots_in_a_folder_of_roots_is_followed)
{
    char link[CONFIG_PATH_SIZE];
    char target[CONFIG_PATH_SIZE];
    snprintf(link, sizeof link, "%s/var-run", dir);
    snprintf(target, sizeof target, "%s/target", dir);
    cr_assert_eq(mkdir(target, 0755), 0);
    cr_assert_eq(symlink(target, link), 0);
    snprintf(config.run_dir, sizeof config.run_dir, "%s/var-run/holdfast", dir);
    open_place();
    snprintf(target, sizeof target, "%s/target/holdfast", dir);
    expect_folder(target, 0755);
}

Test(place, no_folder_or_the_root_of_all_files_is_one_line)
{
    int fd = open(config.run_dir, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    refused(-ENOTDIR, config.run_dir);
    snprintf(config.run_dir, sizeof config.run_dir, "//");
    refused(-EINVAL, "root of all files");
}

/* What was to be opened, where on the way it failed, and what the system said. */
Test(place, what_fails_on_the_way_is_a_chain)
{
    char wanted[CONFIG_ERROR_SIZE];
    snprintf(wanted, sizeof wanted, "%s/deep", dir);
    int fd = creat(wanted, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    snprintf(wanted, sizeof wanted, "%s: opening %s/deep: Not a directory", config.state_dir, dir);
    refused(-ENOTDIR, wanted);
}

Test(place, spool_that_was_there_and_is_not_is_refused)
{
    open_place();
    place_close(&place);
    cr_assert_eq(rmdir(config.spool.dir), 0);
    for (int i = 0; i < 2; i++) {
        char path[CONFIG_PATH_SIZE + 16];
        snprintf(path, sizeof path, "%s/%s", config.state_dir,
                 i == 0 ? "policy.db" : "policy.snap");
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        cr_assert_geq(fd, 0);
        close(fd);
        refused(-ENOENT, "mount or restore it");
        cr_assert_eq(unlink(path), 0);
    }
    open_place(); /* the first start makes it */
}

Test(place, a_second_one_is_refused_wherever_it_shares)
{
    struct place other;
    open_place();
    cr_assert_eq(place_lock(&place, "control.lock", true, error), 0, "%s", error);
    cr_assert_eq(place_open(&config, &other, error), 0);
    cr_assert_eq(place_lock(&other, "control.lock", true, error), -EWOULDBLOCK);
    cr_assert_not_null(strstr(error, "already running"), "%s", error);
    cr_assert_eq(place_lock(&other, "dataplane.lock", false, error), 0, "%s", error);
    place_close(&other);
    snprintf(config.run_dir, sizeof config.run_dir, "%s/other", dir);
    cr_assert_eq(place_open(&config, &other, error), 0);
    cr_assert_eq(place_lock(&other, "control.lock", true, error), -EWOULDBLOCK, "one state_dir");
    cr_assert_not_null(strstr(error, config.state_dir), "%s", error);
    place_close(&other);
    place_close(&place);
    cr_assert_eq(place_open(&config, &other, error), 0);
    cr_assert_eq(place_lock(&other, "control.lock", true, error), 0, "it ended with its process");
    place_close(&other);
}

Test(place, a_lock_that_is_a_link_is_neither_followed_nor_made)
{
    char target[CONFIG_PATH_SIZE];
    open_place();
    snprintf(target, sizeof target, "%s/secret", dir);
    cr_assert_eq(symlink(target, in_run("control.lock")), 0);
    cr_assert_eq(place_lock(&place, "control.lock", false, error), -ELOOP);
    cr_assert_not_null(strstr(error, "control.lock"), "%s", error);
    cr_assert_neq(access(target, F_OK), 0);
    cr_assert_eq(unlink(in_run("control.lock")), 0);
    cr_assert_eq(mkfifo(in_run("control.lock"), 0600), 0);
    cr_assert_eq(place_lock(&place, "control.lock", false, error), -EPERM, "no file is no lock");
}

static void expect_socket(const char *name, mode_t mode, gid_t gid)
{
    struct stat st = look(in_run(name));
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, mode, "mode %o", st.st_mode);
    cr_assert_eq(st.st_uid, place.uid);
    cr_assert_eq(st.st_gid, gid);
}

/* The relay's user has put a link under the socket's name. The link is removed, and its target
 * stays. */
Test(place, a_socket_has_its_mode_and_group_and_a_link_in_its_place_harms_nothing)
{
    char target[CONFIG_PATH_SIZE];
    as_user();
    open_place();
    snprintf(target, sizeof target, "%s/secret", dir);
    int secret = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(secret, 0);
    close(secret);
    cr_assert_eq(symlink(target, in_run("admin.sock")), 0);
    struct stat before = look(target);
    gid_t gid = getgrnam("daemon") == NULL ? 0 : getgrnam("daemon")->gr_gid;
    int fd = place_bind(&place, "admin.sock", SOCK_STREAM, 0660, gid, error);
    cr_assert_geq(fd, 0, "%s", error);
    expect_socket("admin.sock", 0660, gid);
    struct stat after = look(target);
    cr_assert(before.st_uid == after.st_uid && before.st_gid == after.st_gid);
    cr_assert_eq(before.st_mode, after.st_mode);
    cr_assert_eq(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    cr_assert_eq(geteuid(), 0);
    close(fd);
    cr_assert_eq(chmod(config.run_dir, 02755), 0); /* its sockets get its own group at first */
    fd = place_bind(&place, "admin.sock", SOCK_STREAM, 0660, gid, error);
    cr_assert_geq(fd, 0, "a dead run's is replaced: %s", error);
    expect_socket("admin.sock", 0660, gid);
    close(fd);
    place_unbind(&place, "admin.sock");
    cr_assert_neq(access(in_run("admin.sock"), F_OK), 0);
}

Test(place, a_folder_in_the_place_of_a_socket_is_one_line)
{
    open_place();
    cr_assert_eq(mkdir(in_run("doorbell"), 0755), 0);
    int fd = place_bind(&place, "doorbell", SOCK_DGRAM, 0600, place.gid, error);
    cr_assert_lt(fd, 0);
    cr_assert_not_null(strstr(error, "/doorbell: "), "%s", error);
}

/* The path may lead elsewhere by now. The folder that was checked is used. */
Test(place, the_checked_folder_is_used_whatever_its_path_has_become)
{
    char moved[CONFIG_PATH_SIZE];
    open_place();
    snprintf(moved, sizeof moved, "%s/moved", dir);
    cr_assert_eq(rename(config.run_dir, moved), 0);
    cr_assert_eq(mkdir(config.run_dir, 0755), 0);
    int fd = place_bind(&place, "doorbell", SOCK_DGRAM, 0600, place.gid, error);
    cr_assert_geq(fd, 0, "%s", error);
    cr_assert_neq(access(in_run("doorbell"), F_OK), 0);
    struct sockaddr_un address;
    place_address(&place, "doorbell", &address);
    int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(sendto(other, "", 1, 0, (struct sockaddr *)&address, sizeof address), 1);
    close(other);
    close(fd);
}

/* Runs in a child what cannot be undone. An assertion there ends the child. */
static void in_child(void (*body)(void))
{
    int status = -1;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

static void expect_no_capability(void)
{
    char line[256];
    int zero = 0;
    FILE *status = fopen("/proc/self/status", "r");
    assert(status != NULL);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "Cap", 3) == 0) {
            zero += strcmp(strchr(line, '\t'), "\t0000000000000000\n") == 0 ? 1 : -100;
        }
    }
    fclose(status);
    assert(zero >= 5); /* inheritable, permitted, effective, bounding, ambient */
}

static void become(void)
{
    uid_t uid[3];
    gid_t gid[3];
    assert(place_open(&config, &place, error) == 0);
    assert(place_lock(&place, "control.lock", true, error) == 0);
    assert(place_become(&place, error) == 0);
    assert(getresuid(&uid[0], &uid[1], &uid[2]) == 0);
    assert(getresgid(&gid[0], &gid[1], &gid[2]) == 0);
    for (int i = 0; i < 3; i++) {
        assert(uid[i] == getpwnam("nobody")->pw_uid);
        assert(gid[i] == getgrnam("nogroup")->gr_gid);
    }
    assert(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    expect_no_capability();
    assert(place_bind(&place, "later", SOCK_SEQPACKET, 0600, place.gid, error) >= 0);
    assert(seteuid(0) < 0); /* nobody steps up from there */
}

Test(place, becoming_the_user_is_for_good)
{
    as_user();
    in_child(become);
}

static void start_as_daemon(void)
{
    assert(setresuid(1, 1, 1) == 0);
    assert(place_open(&config, &place, error) == -EPERM);
    assert(strstr(error, "start as root") != NULL);
}

Test(place, another_than_the_configured_user_cannot_start_it)
{
    as_user();
    in_child(start_as_daemon);
}

Test(place, names_that_do_not_exist_are_refused)
{
    cr_assert_eq(place_check_names(&config, error), 0, "%s", error);
    snprintf(config.control.admin_group, sizeof config.control.admin_group, "no-such-group");
    cr_assert_eq(place_check_names(&config, error), -EINVAL);
    cr_assert_str_eq(error, "admin_group: no such group: no-such-group");
    config.control.admin_group[0] = '\0';
    snprintf(config.group, sizeof config.group, "no-such-group");
    cr_assert_eq(place_check_names(&config, error), -EINVAL);
    cr_assert_str_eq(error, "group: no such group: no-such-group");
    config.group[0] = '\0';
    snprintf(config.user, sizeof config.user, "no-such-user");
    refused(-EINVAL, "user: no such user: no-such-user");
}
