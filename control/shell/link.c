/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/link.c: finding the dataplane and attaching to it.
 *
 *   root region there, fresh, alive? ──▶ make an attach region with fresh rings, set wanted_epoch
 *     ──▶ the dataplane sets attached_epoch ──▶ remove the name, control_attach
 *   not taken within 3 s ──▶ drop it, offer another
 *   heartbeat older than 3 s, pid gone, another start ──▶ control_detach, begin again
 *
 * Promise: rings are never used across two attaches.
 * Trap:    the root region is the other process's memory: each word is copied once, then checked.
 */
#include "common/limits/names.h"
#include "common/limits/ring.h"
#include "control/core/mem.h"
#include "control/shell/shell.h"

#include "common/shm.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HEARTBEAT_NS_MAX (UINT64_C(3) * 1000000000)
/* The dataplane takes an offer in milliseconds. One that it could not map it never will. */
#define OFFER_NS_MAX (UINT64_C(3) * 1000000000)

struct region {
    struct abi_attach *mem;
    size_t size;
    uint64_t epoch;
    uint32_t worker_count;
    char name[ABI_NAME_SIZE];
};

struct link {
    char instance[LIMIT_NAME_BYTES + 1];
    char root_name[ABI_NAME_SIZE];
    struct abi_root *root; /* of the start we deal with */
    uint32_t start;
    uint32_t pid;
    uint32_t worker_count;
    struct region offered; /* mem NULL: none */
    struct region used;
    uint64_t offered_ns;
    uint64_t look_ns;
    bool told_unfit;
};

static void region_drop(struct region *region)
{
    if (region->mem != NULL) {
        shm_remove(region->name);
        shm_detach(region->mem, region->size);
    }
    *region = (struct region){0};
}

/* Names that a killed run left: nobody will map them any more. */
static void sweep(const char *instance)
{
    char prefix[ABI_NAME_SIZE];
    char name[300];
    int len = snprintf(prefix, sizeof prefix, "holdfast-%s-", instance);
    DIR *dir = opendir("/dev/shm");
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strncmp(e->d_name, prefix, (size_t)len) == 0 && strlen(e->d_name + len) == 16 &&
            strspn(e->d_name + len, "0123456789abcdef") == 16) {
            snprintf(name, sizeof name, "/%s", e->d_name);
            shm_remove(name);
        }
    }
    closedir(dir);
}

struct link *link_create(const char *instance)
{
    struct link *link = mem_zalloc(sizeof *link);
    snprintf(link->instance, sizeof link->instance, "%s", instance);
    (void)abi_root_name(instance, link->root_name);
    sweep(instance);
    return link;
}

static void root_drop(struct link *link)
{
    region_drop(&link->offered);
    if (link->root != NULL) {
        shm_detach(link->root, sizeof *link->root);
        link->root = NULL;
    }
}

void link_destroy(struct link *link)
{
    root_drop(link);
    region_drop(&link->used);
    free(link);
}

struct abi_attach *link_region(struct link *link)
{
    return link->used.mem;
}

static bool is_fit(struct link *link, const struct abi_root *root)
{
    struct abi_root copy;
    if (atomic_load_explicit(&root->magic, memory_order_acquire) != ABI_MAGIC_ROOT) {
        return false; /* being made */
    }
    memcpy(&copy, root, offsetof(struct abi_root, heartbeat_ns));
    if (copy.version != ABI_VERSION || copy.layout_hash != abi_layout_hash() ||
        copy.worker_count == 0 || copy.worker_count > LIMIT_WORKERS || copy.pid == 0 ||
        copy.pid > INT32_MAX) {
        if (!link->told_unfit) {
            log_line(3, "the running dataplane is of another version: restart it");
            link->told_unfit = true;
        }
        return false;
    }
    link->start = copy.start;
    link->pid = copy.pid;
    link->worker_count = copy.worker_count;
    return true;
}

static uint64_t heartbeat_age_ns(const struct link *link, uint64_t now_ns)
{
    uint64_t beat = atomic_load_explicit(&link->root->heartbeat_ns, memory_order_relaxed);
    return beat < now_ns ? now_ns - beat : 0;
}

static bool is_alive(const struct link *link, uint64_t now_ns)
{
    bool there = kill((pid_t)link->pid, 0) == 0 || errno == EPERM;
    return there && heartbeat_age_ns(link, now_ns) <= HEARTBEAT_NS_MAX;
}

/* Maps the root region that has the name now; keeps the old mapping when it is the same start. */
static void find_root(struct link *link, struct control *control)
{
    void *mem;
    if (shm_attach(link->root_name, sizeof(struct abi_root), &mem) < 0) {
        return;
    }
    struct abi_root *root = mem;
    bool made = atomic_load_explicit(&root->magic, memory_order_acquire) == ABI_MAGIC_ROOT;
    uint32_t start = root->start;
    uint32_t pid = root->pid;
    bool same = link->root != NULL && start == link->start && pid == link->pid;
    if (same || !made) {
        shm_detach(mem, sizeof *root);
        return;
    }
    if (link->root != NULL) {
        control_detach(control);
        region_drop(&link->used);
        root_drop(link);
    }
    if (!is_fit(link, root)) {
        shm_detach(mem, sizeof *root);
        return;
    }
    link->told_unfit = false;
    link->root = root;
}

static void fill(struct region *region, uint64_t generation, uint64_t now_ns)
{
    struct abi_attach *mem = region->mem;
    mem->version = ABI_VERSION;
    mem->layout_hash = abi_layout_hash();
    mem->epoch = region->epoch;
    mem->worker_count = region->worker_count;
    atomic_store(&mem->control_heartbeat_ns, now_ns);
    atomic_store(&mem->policy_published, generation);
    abi_attach_init_rings(mem, region->worker_count);
    atomic_store_explicit(&mem->magic, ABI_MAGIC_ATTACH, memory_order_release);
}

static void offer(struct link *link, struct control *control, uint64_t now_ns)
{
    struct region *region = &link->offered;
    size_t len;
    uint64_t generation;
    void *mem = NULL;
    region_drop(region);
    if (getrandom(&region->epoch, sizeof region->epoch, 0) != sizeof region->epoch) {
        return;
    }
    region->worker_count = link->worker_count;
    region->size = abi_attach_size(region->worker_count);
    (void)abi_attach_name(link->instance, region->epoch, region->name);
    int r = shm_make(region->name, region->size, &mem);
    if (r < 0) {
        log_line(3, "cannot make the shared region %s: %s", region->name, strerror(-r));
        return;
    }
    region->mem = mem;
    link->offered_ns = now_ns;
    (void)control_policy(control, &len, &generation);
    fill(region, generation, now_ns);
    atomic_store_explicit(&link->root->wanted_epoch, region->epoch, memory_order_release);
}

static void take_offer(struct link *link, struct control *control)
{
    uint64_t epoch = atomic_load_explicit(&link->root->attached_epoch, memory_order_acquire);
    if (link->offered.mem == NULL || epoch != link->offered.epoch) {
        return;
    }
    struct region old = link->used;
    link->used = link->offered;
    link->offered = (struct region){0};
    shm_remove(link->used.name);
    control_attach(control, link->used.mem, link->used.worker_count);
    region_drop(&old);
}

void link_turn(struct link *link, struct control *control, uint64_t now_ns)
{
    if (link->used.mem != NULL) {
        atomic_store_explicit(&link->used.mem->control_heartbeat_ns, now_ns, memory_order_relaxed);
    }
    bool waiting = link->root != NULL && link->offered.mem != NULL;
    if (waiting) {
        atomic_store_explicit(&link->offered.mem->control_heartbeat_ns, now_ns,
                              memory_order_relaxed);
        take_offer(link, control);
    }
    if (now_ns < link->look_ns) {
        return;
    }
    link->look_ns = now_ns + (link->used.mem == NULL ? LINK_SEEK_NS : LINK_LOOK_NS);
    find_root(link, control);
    if (link->root == NULL) {
        control_set_heartbeat_age(control, 0);
        return;
    }
    control_set_heartbeat_age(control, heartbeat_age_ns(link, now_ns) / 1000000);
    if (!is_alive(link, now_ns)) {
        control_detach(control);
        region_drop(&link->used);
        root_drop(link);
        return;
    }
    if (link->offered.mem != NULL && now_ns - link->offered_ns >= OFFER_NS_MAX) {
        log_line(4, "the dataplane did not take the shared region %s: another is offered",
                 link->offered.name);
        region_drop(&link->offered);
    }
    bool needed = link->used.mem == NULL || control_wants_attach(control);
    if (needed && link->offered.mem == NULL) {
        offer(link, control, now_ns);
    }
}
