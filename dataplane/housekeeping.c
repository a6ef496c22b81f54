/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/housekeeping.c: heartbeat, attach, policy, counters. See housekeeping.h. */
#include "dataplane/housekeeping.h"

#include "common/config.h"
#include "common/counters.h"
#include "common/region.h"
#include "common/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const uint64_t policy_retry_ns = 1000000000;

/* Reads the newest snapshot and offers it to the workers. */
static void load_policy(struct housekeeping *h, uint64_t now_ns)
{
    struct snapshot *coming = &h->policy_coming;
    struct trouble trouble = {.error = 0};
    int r =
        policy_load(h->config->state_dir, &coming->policy, &coming->data, &coming->bytes, &trouble);
    if (r < 0) {
        *coming = (struct snapshot){0};
        if (h->policy_failed_ns == 0 && (r != -ENOENT || h->policy.policy != NULL)) {
            fprintf(stderr, "holdfast-dataplane: %s; keeping the last good one\n",
                    trouble_text(&trouble, r));
        }
        h->policy_failed_ns = now_ns;
        return;
    }
    h->policy_failed_ns = 0;
    for (uint32_t i = 0; i < h->worker_count; i++) {
        worker_set_policy(h->worker[i], coming->policy);
    }
}

/* Unloads the old snapshot when every worker uses the new one. */
static void adopt_policy(struct housekeeping *h)
{
    if (h->policy_coming.policy == NULL) {
        return;
    }
    for (uint32_t i = 0; i < h->worker_count; i++) {
        if (worker_policy(h->worker[i]) != h->policy_coming.policy) {
            return;
        }
    }
    if (h->policy.policy != NULL) {
        policy_unload(h->policy.data, h->policy.bytes);
    }
    h->policy = h->policy_coming;
    h->policy_coming = (struct snapshot){0};
}

int housekeeping_init(struct housekeeping *h, const struct place *place,
                      char error[CONFIG_ERROR_SIZE])
{
    int fd;
    void *mem;
    h->door = (struct door){.listen_fd = -1, .peer_fd = -1, .root_fd = -1};
    int r = region_make("holdfast-root", sizeof(struct abi_root), &fd, &mem);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "shared memory: making the root region: %s",
                 trouble_meaning(r));
        return r;
    }
    h->root = mem;
    h->root->version = ABI_VERSION;
    h->root->layout_hash = abi_layout_hash();
    h->root->start = h->start;
    h->root->pid = (uint32_t)getpid();
    h->root->worker_count = h->worker_count;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    load_policy(h, now_ns);
    atomic_store(&h->root->heartbeat_ns, now_ns);
    atomic_store_explicit(&h->root->magic, ABI_MAGIC_ROOT, memory_order_release);
    return door_open_take(&h->door, place, fd, error); /* last: it lets control in */
}

void housekeeping_fini(struct housekeeping *h)
{
    door_close(&h->door);
    if (h->root != NULL) {
        region_unmap(h->root, sizeof(struct abi_root));
    }
    if (h->region != NULL) {
        region_unmap(h->region, abi_attach_size(h->worker_count));
    }
    if (h->coming != NULL) {
        region_unmap(h->coming, abi_attach_size(h->worker_count));
    }
    if (h->policy.policy != NULL) {
        policy_unload(h->policy.data, h->policy.bytes);
    }
    if (h->policy_coming.policy != NULL) {
        policy_unload(h->policy_coming.data, h->policy_coming.bytes);
    }
}

static bool region_is_sound(const struct housekeeping *h, const struct abi_attach *region,
                            uint64_t epoch)
{
    uint64_t magic = atomic_load_explicit(&region->magic, memory_order_acquire);
    return magic == ABI_MAGIC_ATTACH && region->version == ABI_VERSION &&
           region->layout_hash == abi_layout_hash() && region->epoch == epoch &&
           region->worker_count == h->worker_count;
}

/* The writer comes first: its HELLO must precede what a worker says. This is tried in each turn
 * until all threads have the new region. */
static void hand_over(struct housekeeping *h)
{
    if (h->coming == NULL || writer_attached(h->writer) != h->coming) {
        return;
    }
    for (uint32_t i = 0; i < h->worker_count; i++) {
        worker_attach(h->worker[i], h->coming);
        if (worker_attached(h->worker[i]) != h->coming) {
            return;
        }
    }
    if (h->region != NULL) {
        region_unmap(h->region, abi_attach_size(h->worker_count));
    }
    h->region = h->coming;
    h->coming = NULL;
    atomic_store(&h->root->attached_epoch, h->epoch);
    fprintf(stderr, "holdfast-dataplane: control attached\n");
}

static void take_attach(struct housekeeping *h)
{
    uint64_t epoch;
    int fd;
    void *mem;
    if (h->coming != NULL || !door_turn(&h->door, &epoch, &fd)) {
        return;
    }
    int r = region_map(fd, abi_attach_size(h->worker_count), &mem);
    close(fd);
    if (r < 0) {
        fprintf(stderr, "holdfast-dataplane: mapping control's shared memory: %s\n",
                trouble_meaning(r));
        return;
    }
    if (epoch == h->epoch) {
        region_unmap(mem, abi_attach_size(h->worker_count));
        return; /* control used its rings before */
    }
    h->epoch = epoch;
    if (!region_is_sound(h, mem, epoch)) {
        fprintf(stderr, "holdfast-dataplane: control of another version asked to attach\n");
        region_unmap(mem, abi_attach_size(h->worker_count));
        return;
    }
    h->coming = mem;
    writer_attach(h->writer, h->coming);
}

static void sum_counters(struct housekeeping *h)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        uint64_t sum = counter_get(h->writer_counters, (enum counter)i);
        for (uint32_t k = 0; k < h->worker_count; k++) {
            sum += counter_get(h->worker_counters[k], (enum counter)i);
        }
        atomic_store_explicit(&h->region->counter[i], sum, memory_order_relaxed);
    }
}

static void follow_policy(struct housekeeping *h, uint64_t now_ns)
{
    adopt_policy(h);
    uint64_t generation = h->policy.policy == NULL ? 0 : policy_generation(h->policy.policy);
    uint64_t published = atomic_load(&h->region->policy_published);
    bool wait = h->policy_failed_ns != 0 && now_ns < h->policy_failed_ns + policy_retry_ns;
    if (published > generation && h->policy_coming.policy == NULL && !wait) {
        load_policy(h, now_ns);
    }
    atomic_store(&h->region->policy_adopted, generation);
}

void housekeeping_turn(struct housekeeping *h, uint64_t now_ns)
{
    atomic_store(&h->root->heartbeat_ns, now_ns);
    take_attach(h);
    hand_over(h);
    if (h->region != NULL) {
        follow_policy(h, now_ns);
        sum_counters(h);
    }
}
