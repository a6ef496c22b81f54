/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/link.c: finding the dataplane and attaching to it.
 *
 *   <run_dir>/attach there? ──▶ connect ──▶ the root region comes ──▶ fresh, alive?
 *     ──▶ offer an attach region with fresh rings
 *     ──▶ the dataplane sets attached_epoch ──▶ control_attach
 *   not taken within 3 s ──▶ drop it, offer another
 *   the connection ended, heartbeat older than 3 s ──▶ control_detach, begin again
 *
 * Promise: rings are never used across two attaches. A region is mapped only when it is our user's
 *          alone and sealed (common/region.h).
 * Trap:    the root region is the other process's memory: each word is copied once, then checked.
 */
#include "common/limits/ring.h"
#include "control/core/mem.h"
#include "control/shell/shell.h"

#include "common/region.h"
#include "common/trouble.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEARTBEAT_NS_MAX (UINT64_C(3) * 1000000000)
/* The dataplane takes an offer in milliseconds, or never: it could not map the region. */
#define OFFER_NS_MAX (UINT64_C(3) * 1000000000)

struct region {
    struct abi_attach *mem;
    size_t size;
    uint64_t epoch;
    uint32_t worker_count;
};

struct link {
    struct sockaddr_un address;
    int fd;                /* to the dataplane's socket; -1: no connection */
    struct abi_root *root; /* of the dataplane that we are connected to; NULL: not received yet */
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
        region_unmap(region->mem, region->size);
    }
    *region = (struct region){0};
}

struct link *link_create(const struct place *place)
{
    struct link *link = mem_zalloc(sizeof *link);
    place_address(place, "attach", &link->address);
    link->fd = -1;
    return link;
}

static void root_drop(struct link *link)
{
    region_drop(&link->offered);
    if (link->root != NULL) {
        region_unmap(link->root, sizeof *link->root);
        link->root = NULL;
    }
    if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
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
    bool made = atomic_load_explicit(&root->magic, memory_order_acquire) == ABI_MAGIC_ROOT;
    memcpy(&copy, root, offsetof(struct abi_root, heartbeat_ns));
    if (!made || copy.version != ABI_VERSION || copy.layout_hash != abi_layout_hash() ||
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

/* Connects to the attach socket of a dataplane that runs as our own user. */
static void connect_door(struct link *link)
{
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t len = sizeof cred;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        (connect(fd, (struct sockaddr *)&link->address, sizeof link->address) < 0 ||
         getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != geteuid())) {
        close(fd);
        fd = -1;
    }
    link->fd = fd;
}

/* Takes the root region, which the dataplane sends first. 0, -EAGAIN, or -errno: the region is of
 * no use. */
static int take_root(struct link *link)
{
    uint64_t word;
    int fd;
    void *mem;
    int r = region_receive(link->fd, &word, &fd);
    if (r < 0) {
        return r;
    }
    r = region_map(fd, sizeof(struct abi_root), &mem);
    close(fd);
    if (r == 0) {
        link->root = mem;
    } else if (!link->told_unfit) {
        log_line(3, "the shared memory of the running dataplane is refused: %s",
                 trouble_meaning(r));
        link->told_unfit = true;
    }
    return r;
}

/* The dataplane sends nothing after the root region. So anything that arrives means its end. */
static bool is_over(const struct link *link)
{
    uint64_t word;
    ssize_t len = recv(link->fd, &word, sizeof word, MSG_DONTWAIT);
    return len >= 0 || (errno != EAGAIN && errno != EINTR);
}

static void let_go(struct link *link, struct control *control)
{
    control_detach(control);
    region_drop(&link->used);
    root_drop(link);
}

/* Returns true when the root region of a dataplane of our build is mapped. */
static bool find_root(struct link *link, struct control *control)
{
    if (link->root != NULL && is_over(link)) {
        let_go(link, control);
    }
    if (link->fd < 0) {
        connect_door(link);
    }
    if (link->fd >= 0 && link->root == NULL) {
        int r = take_root(link);
        if (r < 0 && r != -EAGAIN && r != -EINTR) {
            root_drop(link);
        }
    }
    if (link->root == NULL) {
        return false;
    }
    if (!is_fit(link, link->root)) {
        control_detach(control);
        region_drop(&link->used);
        region_drop(&link->offered);
        return false;
    }
    link->told_unfit = false;
    return true;
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
    int fd;
    int r = region_make("holdfast-attach", region->size, &fd, &mem);
    if (r < 0) {
        log_line(3, "cannot make a shared region: %s", trouble_meaning(r));
        return;
    }
    region->mem = mem;
    link->offered_ns = now_ns;
    (void)control_policy(control, &len, &generation);
    fill(region, generation, now_ns);
    r = region_send(link->fd, region->epoch, fd);
    close(fd);
    if (r < 0) {
        region_drop(region); /* the next look will find the connection's end */
    }
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
    if (!find_root(link, control)) {
        control_set_heartbeat_age(control, 0);
        return;
    }
    control_set_heartbeat_age(control, heartbeat_age_ns(link, now_ns) / 1000000);
    if (!is_alive(link, now_ns)) {
        control_detach(control); /* if it wakes up, it gets fresh rings */
        region_drop(&link->used);
        region_drop(&link->offered);
        return;
    }
    if (link->offered.mem != NULL && now_ns - link->offered_ns >= OFFER_NS_MAX) {
        log_line(4, "the dataplane did not take the shared region: another is offered");
        region_drop(&link->offered);
    }
    bool needed = link->used.mem == NULL || control_wants_attach(control);
    if (needed && link->offered.mem == NULL) {
        offer(link, control, now_ns);
    }
}
