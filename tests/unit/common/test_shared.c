/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_shared.c: what two processes share: regions, their layout, the ring in
 * them, counters. */
#include "common/abi.h"
#include "common/counters.h"
#include "common/limits/names.h"
#include "common/limits/ring.h"
#include "common/shm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- shm -------------------------------------------------------------------------------------- */

static char name[ABI_NAME_SIZE];

static void make_name(void)
{
    snprintf(name, sizeof name, "/holdfast-test-%d", (int)getpid());
}

static void remove_name(void)
{
    shm_remove(name);
}

TestSuite(shm, .init = make_name, .fini = remove_name, .timeout = 60);

Test(shm, what_one_writes_the_other_reads)
{
    enum { BYTES = 100000 };
    void *one;
    void *other;
    cr_assert_eq(shm_make(name, BYTES, &one), 0);
    cr_assert_eq(shm_attach(name, BYTES, &other), 0);
    cr_assert_neq(one, other);
    for (size_t i = 0; i < BYTES; i++) {
        cr_assert_eq(((uint8_t *)other)[i], 0, "a fresh region is zeroed");
    }
    ((uint8_t *)one)[BYTES - 1] = 0x5a;
    cr_assert_eq(((uint8_t *)other)[BYTES - 1], 0x5a);
    shm_detach(one, BYTES);
    ((uint8_t *)other)[0] = 1; /* a mapping outlives the other's */
    shm_detach(other, BYTES);
}

/* Only our user may read or write what is waiting to be delivered. */
Test(shm, is_ours_alone)
{
    void *mem;
    struct stat st;
    (void)umask(0);
    cr_assert_eq(shm_make(name, 4096, &mem), 0);
    int fd = shm_open(name, O_RDONLY, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    close(fd);
    shm_detach(mem, 4096);
}

Test(shm, too_small_is_told)
{
    void *mem;
    void *other;
    cr_assert_eq(shm_make(name, 4096, &mem), 0);
    cr_assert_eq(shm_attach(name, 4097, &other), -EPROTO);
    cr_assert_eq(shm_attach(name, 1 << 20, &other), -EPROTO);
    cr_assert_eq(shm_attach(name, 4000, &other), 0, "larger than needed will do");
    shm_detach(other, 4000);
    shm_detach(mem, 4096);
}

/* One that was made but not yet sized (its maker was killed in between). */
Test(shm, an_empty_one_is_too_small)
{
    void *mem;
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(shm_attach(name, 1, &mem), -EPROTO);
}

Test(shm, a_missing_one_is_told)
{
    void *mem;
    cr_assert_eq(shm_attach(name, 4096, &mem), -ENOENT);
    shm_remove(name); /* a name that is gone is fine */
}

/* What a killed run left is removed, not reused: its bytes are not in the new region, and who has
 * the old one mapped keeps it. */
Test(shm, a_stale_name_gives_a_fresh_region)
{
    void *stale;
    void *fresh;
    cr_assert_eq(shm_make(name, 4096, &stale), 0);
    memset(stale, 0xff, 4096);
    cr_assert_eq(shm_make(name, 8192, &fresh), 0);
    cr_assert_eq(((uint8_t *)fresh)[0], 0);
    ((uint8_t *)fresh)[0] = 7;
    cr_assert_eq(((uint8_t *)stale)[0], 0xff);
    shm_detach(stale, 4096);
    shm_detach(fresh, 8192);
}

Test(shm, removing_leaves_the_mappings)
{
    void *one;
    void *other;
    cr_assert_eq(shm_make(name, 4096, &one), 0);
    cr_assert_eq(shm_attach(name, 4096, &other), 0);
    shm_remove(name);
    cr_assert_eq(shm_attach(name, 4096, &(void *){NULL}), -ENOENT);
    ((uint8_t *)one)[9] = 9;
    cr_assert_eq(((uint8_t *)other)[9], 9);
    shm_detach(one, 4096);
    shm_detach(other, 4096);
}

/* A full tmpfs shows when the region is made, not as SIGBUS later; nothing is left behind. */
Test(shm, more_than_there_is_fails_at_once)
{
    void *mem;
    int r = shm_make(name, (size_t)1 << 50, &mem);
    cr_assert(r == -ENOSPC || r == -EFBIG || r == -ENOMEM, "%d", r);
    cr_assert_eq(shm_attach(name, 1, &mem), -ENOENT);
}

/* --- layout ----------------------------------------------------------------------------------- */

Test(abi, slots_hold_one_message_each)
{
    cr_assert_eq(sizeof(struct ring_slot), RING_SLOT_BYTES);
    cr_assert_eq(sizeof(struct abi_up), RING_SLOT_BYTES);
    cr_assert_eq(sizeof(struct abi_down), RING_SLOT_BYTES);
    cr_assert_eq(offsetof(struct ring, slot) % 64, 0);
    cr_assert_eq(offsetof(struct ring, head) - offsetof(struct ring, tail), 64, "two lines");
}

/* The two processes are built together, but may run apart: the hash is the same in one build. */
Test(abi, the_layout_hash_is_stable)
{
    uint32_t hash = abi_layout_hash();
    cr_assert_neq(hash, 0);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(abi_layout_hash(), hash);
    }
}

Test(abi, the_rings_lie_apart_and_within_the_region)
{
    size_t up_bytes = ring_size(LIMIT_RING_UP_SLOTS);
    size_t down_bytes = ring_size(LIMIT_RING_DOWN_SLOTS);
    cr_assert_geq(abi_up_offset(), sizeof(struct abi_attach));
    cr_assert_eq(abi_up_offset() % 64, 0);
    cr_assert_geq(abi_down_offset(0), abi_up_offset() + up_bytes);
    for (uint32_t worker = 0; worker < LIMIT_WORKERS; worker++) {
        cr_assert_eq(abi_down_offset(worker) % 64, 0);
        cr_assert_geq(abi_down_offset(worker + 1), abi_down_offset(worker) + down_bytes);
        cr_assert_geq(abi_attach_size(worker + 1), abi_down_offset(worker) + down_bytes);
    }
}

Test(abi, names_are_of_the_instance_and_the_epoch)
{
    char out[ABI_NAME_SIZE];
    char longest[LIMIT_NAME_BYTES + 1];
    cr_assert_str_eq(abi_root_name("main", out), "/holdfast-main");
    cr_assert_str_eq(abi_attach_name("main", 0xabc, out), "/holdfast-main-0000000000000abc");
    memset(longest, 'x', LIMIT_NAME_BYTES);
    longest[LIMIT_NAME_BYTES] = '\0';
    abi_root_name(longest, out);
    abi_attach_name(longest, UINT64_MAX, out);
    cr_assert_eq(strlen(out), strlen("/holdfast-") + LIMIT_NAME_BYTES + 17);
}

/* --- a ring between two processes ------------------------------------------------------------- */

enum { SLOTS = 256 };

static struct message {
    uint64_t word[RING_SLOT_BYTES / 8];
} message_of(uint64_t n)
{
    struct message m;
    for (size_t i = 0; i < sizeof m.word / sizeof m.word[0]; i++) {
        m.word[i] = n * (2 * i + 1);
    }
    return m;
}

static bool is_whole(const struct message *m)
{
    struct message expected = message_of(m->word[0]);
    return memcmp(m, &expected, sizeof expected) == 0;
}

/* The child's end; it never returns and never asks Criterion. */
_Noreturn static void produce_until_killed(struct ring *ring)
{
    struct ring_end in;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails, this ends too */
    ring_open(&in, ring, SLOTS);
    for (uint64_t n = 0;; n++) {
        struct message m = message_of(n);
        while (!ring_put(&in, &m)) {
            (void)sched_yield();
        }
    }
}

/* ring.h: a message is seen whole or not at all; also when its producer is killed half-way. */
Test(shm, a_killed_producer_leaves_whole_messages_only)
{
    enum { MESSAGES = 20000, KILLS = 10 };
    size_t size = ring_size(SLOTS);
    void *mem;
    for (int kill_count = 0; kill_count < KILLS; kill_count++) {
        cr_assert_eq(shm_make(name, size, &mem), 0);
        ring_init(mem, SLOTS);
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            produce_until_killed(mem);
        }
        struct ring_end out;
        struct message m;
        uint64_t taken = 0;
        ring_open(&out, mem, SLOTS);
        while (taken < MESSAGES + (uint64_t)kill_count * 77) {
            if (ring_take(&out, &m)) {
                cr_assert(is_whole(&m) && m.word[0] == taken);
                taken++;
            } else {
                (void)sched_yield();
            }
        }
        cr_assert_eq(kill(pid, SIGKILL), 0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        while (ring_take(&out, &m)) {
            cr_assert(is_whole(&m) && m.word[0] == taken);
            taken++;
        }
        shm_detach(mem, size);
    }
}

enum { MILLIONS = 2000000 };

static void *produce_millions(void *arg)
{
    struct ring_end in;
    ring_open(&in, arg, SLOTS);
    for (uint64_t n = 0; n < MILLIONS; n++) {
        struct message m = message_of(n);
        while (!ring_put(&in, &m)) {
            (void)sched_yield();
        }
    }
    return NULL;
}

/* Two millions between two threads; with -fsanitize=thread the ordering is proved too. */
Test(shm, millions_pass_whole_and_in_order)
{
    void *mem;
    pthread_t thread;
    struct ring_end out;
    cr_assert_eq(shm_make(name, ring_size(SLOTS), &mem), 0);
    ring_init(mem, SLOTS);
    ring_open(&out, mem, SLOTS);
    cr_assert_eq(pthread_create(&thread, NULL, produce_millions, mem), 0);
    for (uint64_t n = 0; n < MILLIONS;) {
        struct message m;
        if (ring_take(&out, &m)) {
            if (m.word[0] != n || !is_whole(&m)) {
                cr_assert_fail("message %" PRIu64, n);
            }
            n++;
        } else {
            (void)sched_yield();
        }
    }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(ring_is_empty(&out));
    shm_detach(mem, ring_size(SLOTS));
}

/* abi.h: each side treats the other's words as input. With garbled indexes, messages may be lost
 * or garbage, but every put and take stays in the slots; ASan and the guards watch. */
Test(shm, garbled_indexes_move_nobody_out)
{
    enum { GUARD = 4096, COUNT = 8, STEPS = 200000 };
    size_t size = ring_size(COUNT);
    uint8_t *memory = aligned_alloc(64, GUARD + size + GUARD);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, GUARD + size + GUARD);
    struct ring *ring = (struct ring *)(memory + GUARD);
    struct ring_end in;
    struct ring_end out;
    uint32_t random = 12345;
    uint32_t done = 0;
    ring_init(ring, COUNT);
    ring_open(&in, ring, COUNT);
    ring_open(&out, ring, COUNT);
    for (uint32_t step = 0; step < STEPS; step++) {
        random = random * 1664525 + 1013904223;
        struct message m = message_of(step);
        switch (random >> 28) {
        case 0:
            atomic_store(&ring->head, random);
            break;
        case 1:
            atomic_store(&ring->tail, random);
            break;
        case 2:
            atomic_store(&ring->head, in.own - (random >> 20 & 15));
            break;
        case 3:
            ring->slot_count = random;
            break;
        default:
            cr_assert_leq(ring_free(&in), COUNT);
            done += ring_put(&in, &m); /* any answer is good */
            done += ring_take(&out, &m);
            break;
        }
    }
    cr_assert_gt(done, 0);
    for (size_t i = 0; i < GUARD; i++) {
        cr_assert_eq(memory[i], 0xa5);
        cr_assert_eq(memory[GUARD + size + i], 0xa5);
    }
    free(memory);
}

/* --- counters --------------------------------------------------------------------------------- */

Test(counters, add_set_get)
{
    static struct counters c;
    counter_add(&c, COUNTER_accepted_messages, 3);
    counter_add(&c, COUNTER_accepted_messages, 4);
    counter_set(&c, COUNTER_segments_free, 9);
    counter_set(&c, COUNTER_segments_free, 8);
    for (int i = 0; i < COUNTER_COUNT; i++) {
        uint64_t expected = i == COUNTER_accepted_messages ? 7 : i == COUNTER_segments_free ? 8 : 0;
        cr_assert_eq(counter_get(&c, (enum counter)i), expected);
    }
}

/* Append only: the place in the list is the index in shared memory. */
Test(counters, have_their_places_and_units)
{
    cr_assert_eq(COUNTER_rx_packets, 0);
    cr_assert_leq((int)COUNTER_COUNT, (int)ABI_COUNTERS_MAX);
    cr_assert_str_eq(counter_info[COUNTER_ring_dropped].name, "ring_dropped");
    for (int i = 0; i < COUNTER_COUNT; i++) {
        cr_assert_gt(strlen(counter_info[i].unit), 0, "%s has no unit", counter_info[i].name);
    }
}
