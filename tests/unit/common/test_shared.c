/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_shared.c: what two processes share: regions, their layout, the ring in
 * them, counters. */
#include "common/abi.h"
#include "common/counters.h"
#include "common/limits/ring.h"
#include "common/region.h"

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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- region ----------------------------------------------------------------------------------- */

TestSuite(region, .timeout = 60);

Test(region, what_one_writes_the_other_reads)
{
    enum { BYTES = 100000 };
    int fd;
    void *one;
    void *other;
    cr_assert_eq(region_make("test", BYTES, &fd, &one), 0);
    cr_assert_eq(region_map(fd, BYTES, &other), 0);
    close(fd);
    cr_assert_neq(one, other);
    for (size_t i = 0; i < BYTES; i++) {
        cr_assert_eq(((uint8_t *)other)[i], 0, "a fresh region is zeroed");
    }
    ((uint8_t *)one)[BYTES - 1] = 0x5a;
    cr_assert_eq(((uint8_t *)other)[BYTES - 1], 0x5a);
    region_unmap(one, BYTES);
    ((uint8_t *)other)[0] = 1; /* a mapping outlives the other's */
    region_unmap(other, BYTES);
}

/* Only our user may read or write what is waiting to be delivered. */
Test(region, is_ours_alone)
{
    int fd;
    void *mem;
    struct stat st;
    (void)umask(0);
    cr_assert_eq(region_make("test", 4096, &fd, &mem), 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(fchmod(fd, 0660), 0);
    cr_assert_eq(region_map(fd, 4096, &(void *){NULL}), -EPERM, "others may write it");
    cr_assert_eq(fchmod(fd, 0600), 0);
    if (geteuid() == 0) {
        cr_assert_eq(fchown(fd, 1, (gid_t)-1), 0);
        cr_assert_eq(region_map(fd, 4096, &(void *){NULL}), -EPERM, "another's");
    }
    close(fd);
    region_unmap(mem, 4096);
}

/* When memory becomes shorter, access to it ends in SIGBUS. Not even the maker can shorten a
 * region. */
Test(region, nobody_changes_its_size)
{
    int fd;
    void *mem;
    cr_assert_eq(region_make("test", 8192, &fd, &mem), 0);
    cr_assert_eq(ftruncate(fd, 4096), -1);
    cr_assert_eq(ftruncate(fd, 0), -1);
    cr_assert_eq(ftruncate(fd, 16384), -1);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1, "nor adds a seal");
    ((uint8_t *)mem)[8191] = 1;
    close(fd);
    region_unmap(mem, 8192);
}

Test(region, another_size_is_told)
{
    int fd;
    void *mem;
    cr_assert_eq(region_make("test", 4096, &fd, &mem), 0);
    cr_assert_eq(region_map(fd, 4097, &(void *){NULL}), -EPROTO);
    cr_assert_eq(region_map(fd, 1 << 20, &(void *){NULL}), -EPROTO);
    cr_assert_eq(region_map(fd, 4000, &(void *){NULL}), -EPROTO);
    close(fd);
    region_unmap(mem, 4096);
}

/* Files, pipes, and memory that its maker could still shorten. */
Test(region, what_is_not_sealed_is_refused)
{
    void *mem = NULL;
    int end[2];
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert_eq(ftruncate(fd, 4096), 0);
    cr_assert_eq(fchmod(fd, 0600), 0);
    cr_assert_eq(region_map(fd, 4096, &mem), -EPERM);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    cr_assert_eq(region_map(fd, 4096, &mem), -EPERM, "its seals may still be added to");
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    cr_assert_eq(region_map(fd, 4096, &mem), 0);
    region_unmap(mem, 4096);
    close(fd);
    fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        cr_assert_eq(ftruncate(fd, 4096), 0);
        cr_assert_eq(region_map(fd, 4096, &mem), -EPERM);
        close(fd);
    }
    cr_assert_eq(pipe2(end, O_CLOEXEC), 0);
    cr_assert_eq(region_map(end[0], 4096, &mem), -EPERM);
    close(end[0]);
    close(end[1]);
    cr_assert_eq(region_map(end[0], 4096, &mem), -EBADF);
}

static int pair[2];

static void make_pair(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static int descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

TestSuite(handing, .init = make_pair, .timeout = 60);

Test(handing, a_region_comes_with_its_word)
{
    int fd;
    int taken;
    uint64_t word = 0;
    void *one;
    void *other;
    cr_assert_eq(region_receive(pair[1], &word, &taken), -EAGAIN);
    cr_assert_eq(region_make("test", 4096, &fd, &one), 0);
    cr_assert_eq(region_send(pair[0], UINT64_C(0x0123456789abcdef), fd), 0);
    close(fd);
    cr_assert_eq(region_receive(pair[1], &word, &taken), 0);
    cr_assert_eq(word, UINT64_C(0x0123456789abcdef));
    cr_assert_eq(fcntl(taken, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(region_map(taken, 4096, &other), 0);
    close(taken);
    ((uint8_t *)one)[9] = 9;
    cr_assert_eq(((uint8_t *)other)[9], 9);
    region_unmap(one, 4096);
    region_unmap(other, 4096);
    close(pair[0]);
    cr_assert_eq(region_receive(pair[1], &word, &taken), -EPIPE);
    cr_assert_eq(region_send(pair[1], 1, pair[1]), -EPIPE);
}

/* Words without a descriptor, descriptors without a word, two descriptors, messages that are too
 * long: no descriptor stays open. */
Test(handing, nonsense_is_told_and_leaves_no_descriptor)
{
    uint8_t bytes[16] = {0};
    uint64_t word;
    int fd;
    int before = descriptors();
    for (size_t len = 1; len <= sizeof bytes; len++) {
        for (unsigned fds = 0; fds <= 3; fds++) {
            if (len == sizeof word && fds == 1) {
                continue; /* as it should be */
            }
            int some[3] = {pair[0], pair[0], pair[0]};
            char room[CMSG_SPACE(sizeof some)] = {0};
            struct iovec iov = {.iov_base = bytes, .iov_len = len};
            struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
            if (fds > 0) {
                message.msg_control = room;
                message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
                struct cmsghdr *header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(fds * sizeof(int));
                memcpy(CMSG_DATA(header), some, fds * sizeof(int));
            }
            cr_assert_eq(sendmsg(pair[0], &message, 0), (ssize_t)len);
            cr_assert_eq(region_receive(pair[1], &word, &fd), -EPROTO, "%zu bytes, %u", len, fds);
            cr_assert_eq(descriptors(), before, "%zu bytes, %u", len, fds);
        }
    }
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

/* The child's part. It never returns and makes no assertion of Criterion's. */
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

/* ring.h: a message is seen whole or not at all, even when its producer is killed half-way. */
Test(region, a_killed_producer_leaves_whole_messages_only)
{
    enum { MESSAGES = 20000, KILLS = 10 };
    size_t size = ring_size(SLOTS);
    void *mem;
    int fd;
    for (int kill_count = 0; kill_count < KILLS; kill_count++) {
        cr_assert_eq(region_make("ring", size, &fd, &mem), 0);
        close(fd);
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
        region_unmap(mem, size);
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

/* Two million messages between two threads. With -fsanitize=thread, this checks the ordering
 * too. */
Test(region, millions_pass_whole_and_in_order)
{
    void *mem;
    int fd;
    pthread_t thread;
    struct ring_end out;
    cr_assert_eq(region_make("ring", ring_size(SLOTS), &fd, &mem), 0);
    close(fd);
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
    region_unmap(mem, ring_size(SLOTS));
}

/* abi.h: each side treats the other's words as input. With garbled indexes, messages may be lost
 * or garbage, but every put and take stays in the slots; ASan and the guards watch. */
Test(region, garbled_indexes_move_nobody_out)
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
