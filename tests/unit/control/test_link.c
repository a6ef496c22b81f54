/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_link.c: attaching to a dataplane through shared memory, and noticing its
 * end. */
#include "tests/unit/control/fake.h"

#include "control/shell/shell.h"

#include "common/region.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake *f;
static struct link *link_;
static struct place place;
static int door = -1; /* the dataplane's attach socket */
static int peer = -1; /* the connection from control */
static int root_fd = -1;
static struct abi_root *root;
static uint64_t offered; /* the epoch of the newest offer */
static int offered_fd = -1;
static uint64_t now_ns;

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static void make_root(uint32_t start)
{
    char error[CONFIG_ERROR_SIZE];
    void *mem;
    cr_assert_eq(region_make("root", sizeof *root, &root_fd, &mem), 0);
    root = mem;
    root->version = ABI_VERSION;
    root->layout_hash = abi_layout_hash();
    root->start = start;
    root->pid = (uint32_t)getpid();
    root->worker_count = 1;
    atomic_store(&root->heartbeat_ns, now_ns);
    root->magic = ABI_MAGIC_ROOT;
    door = place_bind(&place, "attach", SOCK_SEQPACKET, 0600, place.gid, error);
    cr_assert_geq(door, 0, "%s", error);
    cr_assert_eq(listen(door, 4), 0);
}

/* What a killed dataplane leaves: only the socket's name. */
static void end_root(void)
{
    close_fd(&peer);
    close_fd(&door);
    close_fd(&root_fd);
    close_fd(&offered_fd);
    offered = 0;
    region_unmap(root, sizeof *root);
}

static void set_up(void)
{
    static char dir[] = "/var/tmp/hf-link-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    now_ns = 100 * UINT64_C(1000000000);
    f = fake_create();
    place = (struct place){.uid = geteuid(), .gid = getegid(), .state_fd = -1};
    snprintf(place.run_dir, sizeof place.run_dir, "%s", dir);
    place.run_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(place.run_fd, 0);
    make_root(1);
    link_ = link_create(&place);
}

static void tear_down(void)
{
    link_destroy(link_);
    end_root();
    place_unbind(&place, "attach");
    cr_assert_eq(rmdir(place.run_dir), 0, "nothing else is left there");
    close(place.run_fd);
    fake_destroy(f);
}

TestSuite(link, .init = set_up, .fini = tear_down);

/* The dataplane's turn: accepts control, takes the newest offer. */
static void serve(void)
{
    int fd = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        close_fd(&peer);
        peer = fd;
        if (region_send(peer, 0, root_fd) < 0) {
            close_fd(&peer);
        }
    }
    uint64_t epoch;
    while (peer >= 0 && region_receive(peer, &epoch, &fd) == 0) {
        close_fd(&offered_fd);
        offered = epoch;
        offered_fd = fd;
    }
}

static void pass(uint64_t ms, bool alive)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        now_ns += 100 * 1000000;
        if (alive) {
            atomic_store(&root->heartbeat_ns, now_ns);
            serve();
        }
        link_turn(link_, f->control, now_ns);
    }
    serve();
}

/* Maps what control offers, as the dataplane does, and says so. */
static struct abi_attach *accept_offer(void)
{
    void *mem;
    cr_assert_neq(offered, 0);
    cr_assert_eq(region_map(offered_fd, abi_attach_size(1), &mem), 0);
    close_fd(&offered_fd);
    struct abi_attach *region = mem;
    cr_assert_eq(region->magic, ABI_MAGIC_ATTACH);
    cr_assert_eq(region->epoch, offered);
    cr_assert_eq(region->layout_hash, abi_layout_hash());
    cr_assert_gt(atomic_load(&region->policy_published), 0);
    atomic_store(&root->attached_epoch, offered);
    return region;
}

/* An offer that could not be mapped will never be mapped: control makes another, with other
 * rings. */
Test(link, an_offer_that_is_not_taken_is_made_anew)
{
    pass(500, true);
    uint64_t first = offered;
    cr_assert_neq(first, 0);
    pass(2500, true);
    cr_assert_eq(offered, first);
    pass(1000, true);
    cr_assert_neq(offered, first);
    atomic_store(&root->attached_epoch, first); /* too late */
    pass(300, true);
    cr_assert_not(control_is_attached(f->control));
    struct abi_attach *region = accept_offer();
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    region_unmap(region, abi_attach_size(1));
}

Test(link, attaches_with_fresh_rings_and_stays)
{
    pass(500, true);
    cr_assert_not(control_is_attached(f->control));
    struct abi_attach *region = accept_offer();
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    cr_assert_gt(atomic_load(&region->control_heartbeat_ns), 0);
    pass(10000, true);
    cr_assert(control_is_attached(f->control));
    region_unmap(region, abi_attach_size(1));
}

/* abi.h: memory that the other side could shorten, or that others can write, is never mapped. */
Test(link, a_root_that_is_not_sealed_is_refused)
{
    int fd = memfd_create("root", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fchmod(fd, 0600), 0);
    cr_assert_eq(write(fd, root, sizeof *root), (ssize_t)sizeof *root);
    int good = root_fd;
    root_fd = fd;
    pass(2000, true);
    cr_assert_eq(offered, 0);
    cr_assert_eq(ftruncate(fd, 0), 0);
    pass(500, true); /* nobody reads there */
    root_fd = good;
    close(fd);
    close_fd(&peer);
    pass(500, true);
    cr_assert_neq(offered, 0);
}

/* A hostile dataplane may send anything. */
Test(link, nonsense_instead_of_a_root_is_left_alone)
{
    int good = root_fd;
    root_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    pass(1000, true);
    close(root_fd);
    root_fd = place.run_fd;
    pass(1000, true);
    root_fd = good;
    cr_assert_eq(offered, 0);
    pass(1000, true);
    cr_assert_neq(offered, 0, "and when it sends the right thing, it is taken");
}

Test(link, a_silent_dataplane_is_gone_after_three_seconds_and_may_come_back)
{
    pass(500, true);
    struct abi_attach *region = accept_offer();
    pass(300, true);
    uint64_t first = atomic_load(&root->attached_epoch);
    pass(2500, false);
    cr_assert(control_is_attached(f->control));
    pass(1500, false);
    cr_assert_not(control_is_attached(f->control));
    region_unmap(region, abi_attach_size(1));
    pass(500, true);
    region = accept_offer();
    cr_assert_neq(atomic_load(&root->attached_epoch), first); /* never the old rings again */
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    region_unmap(region, abi_attach_size(1));
}

Test(link, a_restarted_dataplane_gets_a_new_attach)
{
    pass(500, true);
    struct abi_attach *region = accept_offer();
    pass(300, true);
    region_unmap(region, abi_attach_size(1));
    end_root();
    make_root(2);
    pass(300, true);
    cr_assert_not(control_is_attached(f->control));
    pass(300, true);
    region = accept_offer();
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    region_unmap(region, abi_attach_size(1));
}

Test(link, a_root_of_another_layout_or_of_a_dead_process_is_left_alone)
{
    root->layout_hash++;
    pass(1000, true);
    cr_assert_eq(offered, 0);
    root->layout_hash--;
    root->worker_count = 1000000;
    pass(1000, true);
    cr_assert_eq(offered, 0);
    root->worker_count = 1;
    root->pid = INT32_MAX;
    pass(1000, true);
    cr_assert_eq(offered, 0);
}
