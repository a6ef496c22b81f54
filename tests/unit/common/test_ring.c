/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_ring.c: the ring between two threads, at its edges, and with nonsense in
 * its shared part. */
#include "common/ring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 64, MESSAGES = 300000 };

struct message {
    uint64_t word[RING_SLOT_BYTES / 8];
};

static struct message message_of(uint64_t n)
{
    struct message m;
    for (size_t i = 0; i < sizeof m.word / sizeof m.word[0]; i++) {
        m.word[i] = n * (i + 1);
    }
    return m;
}

static struct ring *make(uint32_t slot_count)
{
    struct ring *ring = aligned_alloc(64, ring_size(slot_count));
    cr_assert_not_null(ring);
    ring_init(ring, slot_count);
    return ring;
}

Test(ring, full_and_empty_are_answers)
{
    struct ring *ring = make(SLOTS);
    struct ring_end in, out;
    struct message m;
    ring_open(&in, ring, SLOTS);
    ring_open(&out, ring, SLOTS);
    cr_assert(!ring_take(&out, &m));
    cr_assert(ring_is_empty(&out));
    for (uint64_t i = 0; i < SLOTS; i++) {
        cr_assert_eq(ring_free(&in), SLOTS - i);
        m = message_of(i);
        cr_assert(ring_put(&in, &m));
    }
    cr_assert(!ring_put(&in, &m));
    cr_assert_eq(ring_free(&in), 0);
    for (uint64_t i = 0; i < SLOTS; i++) {
        struct message expected = message_of(i);
        cr_assert(ring_take(&out, &m));
        cr_assert_eq(memcmp(&m, &expected, sizeof m), 0);
    }
    cr_assert(!ring_take(&out, &m));
    free(ring);
}

/* Indexes use all 32 bits: nothing goes wrong where they overflow. */
Test(ring, goes_on_over_the_wrap)
{
    struct ring *ring = make(8);
    struct ring_end in, out;
    const uint32_t near = UINT32_MAX - 3;
    ring_open(&in, ring, 8);
    ring_open(&out, ring, 8);
    atomic_store(&ring->tail, near);
    atomic_store(&ring->head, near);
    in.own = in.other = out.own = out.other = near;
    for (uint64_t round = 0; round < 5; round++) {
        struct message m;
        for (uint64_t i = 0; i < 8; i++) {
            m = message_of(round * 8 + i);
            cr_assert(ring_put(&in, &m));
        }
        cr_assert(!ring_put(&in, &m));
        for (uint64_t i = 0; i < 8; i++) {
            cr_assert(ring_take(&out, &m));
            cr_assert_eq(m.word[0], round * 8 + i);
        }
        cr_assert(ring_is_empty(&out));
    }
    free(ring);
}

/* The other process may write anything into the shared part: we stay inside our slots. */
Test(ring, a_liar_cannot_move_us_out)
{
    struct ring *ring = make(8);
    struct ring_end in, out;
    struct message m = message_of(1);
    ring_open(&in, ring, 8);
    ring_open(&out, ring, 8);
    atomic_store(&ring->head, 0x80000000u);
    cr_assert_eq(ring_free(&in), 0);
    atomic_store(&ring->tail, 0xdeadbeefu);
    ring->slot_count = 0xffffffffu;
    for (int i = 0; i < 100; i++) {
        cr_assert(ring_take(&out, &m)); /* garbage, but from a slot: ASan watches */
    }
    free(ring);
}

static void *produce(void *arg)
{
    struct ring_end in;
    ring_open(&in, arg, SLOTS);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct message m = message_of(i);
        while (!ring_put(&in, &m)) {
            sched_yield();
        }
    }
    return NULL;
}

/* Messages are complete, in order, and each comes once. Run under ThreadSanitizer, this checks the
 * memory ordering. */
Test(ring, carries_between_threads)
{
    struct ring *ring = make(SLOTS);
    struct ring_end out;
    pthread_t thread;
    ring_open(&out, ring, SLOTS);
    cr_assert_eq(pthread_create(&thread, NULL, produce, ring), 0);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct message m;
        while (!ring_take(&out, &m)) {
            sched_yield();
        }
        struct message expected = message_of(i);
        cr_assert_eq(memcmp(&m, &expected, sizeof m), 0, "message %lu", (unsigned long)i);
    }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(ring_is_empty(&out));
    free(ring);
}
