/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/housekeeping.c: heartbeat, attach, policy, counters. See housekeeping.h. */
#include "dataplane/housekeeping.h"

#include "common/shm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HANDOVER_POLL_US = 100, HANDOVER_POLLS_MAX = 50000 };

/* Waits until a thread has taken what it was given: its next turn, or the nap before it. */
#define WAIT_UNTIL(condition)                                                                      \
    for (int polls = 0; !(condition); polls++) {                                                   \
        assert(polls < HANDOVER_POLLS_MAX); /* five seconds without a turn: it hangs */            \
        usleep(HANDOVER_POLL_US);                                                                  \
    }

static void take_policy(struct housekeeping *h)
{
    const struct policy *policy;
    void *data;
    size_t bytes;
    int r = policy_load(h->config->state_dir, &policy, &data, &bytes);
    if (r < 0) {
        if (r != -ENOENT || h->policy != NULL) {
            fprintf(stderr, "holdfast-dataplane: policy snapshot: %s; keeping the last good one\n",
                    strerror(-r));
        }
        return;
    }
    for (uint32_t i = 0; i < h->worker_count; i++) {
        worker_set_policy(h->worker[i], policy);
    }
    if (h->policy != NULL) {
        for (uint32_t i = 0; i < h->worker_count; i++) {
            WAIT_UNTIL(worker_policy(h->worker[i]) == policy);
        }
        policy_unload(h->policy_data, h->policy_bytes);
    }
    h->policy = policy;
    h->policy_data = data;
    h->policy_bytes = bytes;
}

int housekeeping_init(struct housekeeping *h)
{
    char name[ABI_NAME_SIZE];
    void *mem;
    int r = shm_make(abi_root_name(h->config->instance, name), sizeof(struct abi_root), &mem);
    if (r < 0) {
        return r;
    }
    h->root = mem;
    h->root->version = ABI_VERSION;
    h->root->layout_hash = abi_layout_hash();
    h->root->start = h->start;
    h->root->pid = (uint32_t)getpid();
    h->root->worker_count = h->worker_count;
    take_policy(h);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&h->root->heartbeat_ns, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    atomic_thread_fence(memory_order_seq_cst);
    h->root->magic = ABI_MAGIC_ROOT; /* last: from here on it is complete */
    return 0;
}

void housekeeping_fini(struct housekeeping *h)
{
    char name[ABI_NAME_SIZE];
    if (h->root != NULL) {
        shm_remove(abi_root_name(h->config->instance, name));
        shm_detach(h->root, sizeof(struct abi_root));
    }
    if (h->region != NULL) {
        shm_detach(h->region, abi_attach_size(h->worker_count));
    }
    if (h->policy != NULL) {
        policy_unload(h->policy_data, h->policy_bytes);
    }
}

static bool region_is_sound(const struct housekeeping *h, const struct abi_attach *region,
                            uint64_t epoch)
{
    return region->magic == ABI_MAGIC_ATTACH && region->version == ABI_VERSION &&
           region->layout_hash == abi_layout_hash() && region->epoch == epoch &&
           region->worker_count == h->worker_count;
}

/* Writer first: its HELLO must come before anything a worker has to say. */
static void hand_over(struct housekeeping *h, struct abi_attach *region)
{
    writer_attach(h->writer, region);
    WAIT_UNTIL(writer_attached(h->writer) == region);
    for (uint32_t i = 0; i < h->worker_count; i++) {
        worker_attach(h->worker[i], region);
        WAIT_UNTIL(worker_attached(h->worker[i]) == region);
    }
    if (h->region != NULL) {
        shm_detach(h->region, abi_attach_size(h->worker_count));
    }
    h->region = region;
}

static void take_attach(struct housekeeping *h)
{
    uint64_t epoch = atomic_load(&h->root->wanted_epoch);
    if (epoch == 0 || epoch == h->epoch) {
        return;
    }
    h->epoch = epoch;
    char name[ABI_NAME_SIZE];
    void *mem;
    int r = shm_attach(abi_attach_name(h->config->instance, epoch, name),
                       abi_attach_size(h->worker_count), &mem);
    if (r < 0) {
        fprintf(stderr, "holdfast-dataplane: attach %016" PRIx64 ": %s\n", epoch, strerror(-r));
        return;
    }
    if (!region_is_sound(h, mem, epoch)) {
        fprintf(stderr, "holdfast-dataplane: control of another version asked to attach\n");
        shm_detach(mem, abi_attach_size(h->worker_count));
        return;
    }
    hand_over(h, mem);
    atomic_store(&h->root->attached_epoch, epoch);
    fprintf(stderr, "holdfast-dataplane: control attached\n");
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

void housekeeping_turn(struct housekeeping *h, uint64_t now_ns)
{
    atomic_store(&h->root->heartbeat_ns, now_ns);
    take_attach(h);
    if (h->region == NULL) {
        return;
    }
    uint64_t published = atomic_load(&h->region->policy_published);
    if (published != 0 && (h->policy == NULL || policy_generation(h->policy) < published)) {
        take_policy(h);
    }
    if (h->policy != NULL) {
        atomic_store(&h->region->policy_adopted, policy_generation(h->policy));
    }
    sum_counters(h);
}
