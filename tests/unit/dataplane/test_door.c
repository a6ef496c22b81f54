/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_door.c: control connects, gets the root region, offers rings; and
 * others connect who do something else. */
#include "dataplane/door.h"

#include "common/region.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct place place;
static struct door door;
static uint64_t *root;

static void set_up(void)
{
    static char dir[] = "/var/tmp/hf-door-XXXXXX";
    char error[CONFIG_ERROR_SIZE];
    int fd;
    void *mem;
    cr_assert_not_null(mkdtemp(dir));
    place = (struct place){.uid = geteuid(), .gid = getegid(), .state_fd = -1};
    snprintf(place.run_dir, sizeof place.run_dir, "%s", dir);
    place.run_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(place.run_fd, 0);
    cr_assert_eq(region_make("root", 4096, &fd, &mem), 0);
    root = mem;
    *root = 4711;
    cr_assert_eq(door_open_take(&door, &place, fd, error), 0, "%s", error);
}

static void tear_down(void)
{
    door_close(&door);
    place_unbind(&place, "attach");
    cr_assert_eq(rmdir(place.run_dir), 0);
    close(place.run_fd);
    region_unmap(root, 4096);
}

TestSuite(door, .init = set_up, .fini = tear_down, .timeout = 60);

static int come(void)
{
    struct sockaddr_un address;
    place_address(&place, "attach", &address);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void expect_nothing(void)
{
    uint64_t epoch;
    int fd;
    cr_assert_not(door_turn(&door, &epoch, &fd));
}

static void expect_root(int peer)
{
    uint64_t word;
    int fd;
    void *mem;
    cr_assert_eq(region_receive(peer, &word, &fd), 0);
    cr_assert_eq(region_map(fd, 4096, &mem), 0);
    cr_assert_eq(*(uint64_t *)mem, 4711);
    region_unmap(mem, 4096);
    close(fd);
}

static void offer(int peer, uint64_t epoch)
{
    int fd;
    void *mem;
    cr_assert_eq(region_make("offer", 4096, &fd, &mem), 0);
    *(uint64_t *)mem = epoch;
    cr_assert_eq(region_send(peer, epoch, fd), 0);
    close(fd);
    region_unmap(mem, 4096);
}

static void expect_offer(uint64_t expected)
{
    uint64_t epoch;
    int fd;
    void *mem;
    cr_assert(door_turn(&door, &epoch, &fd));
    cr_assert_eq(epoch, expected);
    cr_assert_eq(region_map(fd, 4096, &mem), 0);
    cr_assert_eq(*(uint64_t *)mem, expected);
    region_unmap(mem, 4096);
    close(fd);
}

Test(door, control_gets_the_root_region_and_its_newest_offer_is_taken)
{
    struct stat st;
    cr_assert_eq(fstatat(place.run_fd, "attach", &st, AT_SYMLINK_NOFOLLOW), 0);
    cr_assert_eq(st.st_mode & 0777, 0600, "nobody but our user comes in");
    expect_nothing();
    int peer = come();
    expect_nothing();
    expect_root(peer);
    offer(peer, 1);
    expect_offer(1);
    offer(peer, 2);
    offer(peer, 3);
    expect_offer(3);
    expect_nothing();
    close(peer);
    expect_nothing();
}

/* A control was killed, and the next one comes. */
Test(door, the_newest_control_is_the_one)
{
    int old = come();
    expect_nothing();
    int young = come();
    expect_nothing();
    expect_root(old);
    expect_root(young);
    cr_assert_eq(send(old, "x", 1, MSG_NOSIGNAL), -1, "it was put out");
    offer(young, 5);
    expect_offer(5);
    close(old);
    close(young);
}

Test(door, nonsense_is_put_out_and_the_next_one_is_served)
{
    int peer = come();
    expect_nothing();
    cr_assert_eq(send(peer, "garbage!", 8, MSG_NOSIGNAL), 8);
    expect_nothing();
    cr_assert_eq(send(peer, "x", 1, MSG_NOSIGNAL), -1);
    close(peer);
    for (int i = 0; i < 20; i++) { /* gone before they are let in */
        close(come());
        expect_nothing();
    }
    peer = come();
    expect_nothing();
    expect_root(peer);
    offer(peer, 6);
    expect_offer(6);
    close(peer);
}
