/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_link.c: attaching to a dataplane through shared memory, and noticing its
 * end. */
#include "tests/unit/control/fake.h"

#include "common/limits/names.h"
#include "control/shell/shell.h"

#include "common/shm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

static struct fake *f;
static struct link *link_;
static struct abi_root *root;
static char instance[LIMIT_NAME_BYTES + 1];
static char root_name[ABI_NAME_SIZE];
static uint64_t now_ns;

static void make_root(uint32_t start)
{
    void *mem;
    cr_assert_eq(shm_make(abi_root_name(instance, root_name), sizeof *root, &mem), 0);
    root = mem;
    root->version = ABI_VERSION;
    root->layout_hash = abi_layout_hash();
    root->start = start;
    root->pid = (uint32_t)getpid();
    root->worker_count = 1;
    atomic_store(&root->heartbeat_ns, now_ns);
    root->magic = ABI_MAGIC_ROOT;
}

static void set_up(void)
{
    snprintf(instance, sizeof instance, "test-link-%d", (int)getpid());
    now_ns = 100 * UINT64_C(1000000000);
    f = fake_create();
    make_root(1);
    link_ = link_create(instance);
}

static void tear_down(void)
{
    link_destroy(link_);
    shm_remove(root_name);
    shm_detach(root, sizeof *root);
    fake_destroy(f);
}

TestSuite(link, .init = set_up, .fini = tear_down);

static void pass(uint64_t ms, bool alive)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        now_ns += 100 * 1000000;
        if (alive) {
            atomic_store(&root->heartbeat_ns, now_ns);
        }
        link_turn(link_, f->control, now_ns);
    }
}

/* Maps what control offers, as the dataplane does, and says so. */
static struct abi_attach *accept_offer(char name[ABI_NAME_SIZE])
{
    void *mem;
    uint64_t epoch = atomic_load(&root->wanted_epoch);
    cr_assert_neq(epoch, 0);
    (void)abi_attach_name(instance, epoch, name);
    cr_assert_eq(shm_attach(name, abi_attach_size(1), &mem), 0);
    struct abi_attach *region = mem;
    cr_assert_eq(region->magic, ABI_MAGIC_ATTACH);
    cr_assert_eq(region->epoch, epoch);
    cr_assert_eq(region->layout_hash, abi_layout_hash());
    cr_assert_gt(atomic_load(&region->policy_published), 0);
    atomic_store(&root->attached_epoch, epoch);
    return region;
}

/* An offer that could not be mapped never will be: another, with other rings and another name. */
Test(link, an_offer_that_is_not_taken_is_made_anew)
{
    char name[ABI_NAME_SIZE];
    void *mem;
    pass(300, true);
    uint64_t first = atomic_load(&root->wanted_epoch);
    cr_assert_neq(first, 0);
    pass(2500, true);
    cr_assert_eq(atomic_load(&root->wanted_epoch), first);
    pass(1000, true);
    cr_assert_neq(atomic_load(&root->wanted_epoch), first);
    (void)abi_attach_name(instance, first, name);
    cr_assert_lt(shm_attach(name, abi_attach_size(1), &mem), 0);
    atomic_store(&root->attached_epoch, first); /* too late */
    pass(300, true);
    cr_assert_not(control_is_attached(f->control));
    struct abi_attach *region = accept_offer(name);
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    shm_detach(region, abi_attach_size(1));
}

/* abi.h: the name is removed as soon as both have it mapped. */
Test(link, attaches_with_fresh_rings_and_removes_the_name)
{
    char name[ABI_NAME_SIZE];
    void *mem;
    pass(300, true);
    cr_assert_not(control_is_attached(f->control));
    struct abi_attach *region = accept_offer(name);
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    cr_assert_lt(shm_attach(name, abi_attach_size(1), &mem), 0);
    cr_assert_gt(atomic_load(&region->control_heartbeat_ns), 0);
    pass(10000, true);
    cr_assert(control_is_attached(f->control));
    shm_detach(region, abi_attach_size(1));
}

Test(link, a_silent_dataplane_is_gone_after_three_seconds_and_may_come_back)
{
    char name[ABI_NAME_SIZE];
    pass(300, true);
    struct abi_attach *region = accept_offer(name);
    pass(300, true);
    uint64_t first = atomic_load(&root->attached_epoch);
    pass(2500, false);
    cr_assert(control_is_attached(f->control));
    pass(1500, false);
    cr_assert_not(control_is_attached(f->control));
    shm_detach(region, abi_attach_size(1));
    pass(500, true);
    region = accept_offer(name);
    cr_assert_neq(atomic_load(&root->attached_epoch), first); /* never the old rings again */
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    shm_detach(region, abi_attach_size(1));
}

Test(link, a_restarted_dataplane_gets_a_new_attach)
{
    char name[ABI_NAME_SIZE];
    pass(300, true);
    struct abi_attach *region = accept_offer(name);
    pass(300, true);
    shm_detach(region, abi_attach_size(1));
    shm_detach(root, sizeof *root);
    make_root(2);
    pass(300, true);
    cr_assert_not(control_is_attached(f->control));
    pass(300, true);
    region = accept_offer(name);
    pass(300, true);
    cr_assert(control_is_attached(f->control));
    shm_detach(region, abi_attach_size(1));
}

Test(link, a_root_of_another_layout_or_of_a_dead_process_is_left_alone)
{
    root->layout_hash++;
    pass(1000, true);
    cr_assert_eq(atomic_load(&root->wanted_epoch), 0);
    root->layout_hash--;
    root->worker_count = 1000000;
    pass(1000, true);
    cr_assert_eq(atomic_load(&root->wanted_epoch), 0);
    root->worker_count = 1;
    root->pid = INT32_MAX;
    pass(1000, true);
    cr_assert_eq(atomic_load(&root->wanted_epoch), 0);
}
