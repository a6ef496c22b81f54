/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_envelope_ring.c: the envelope ring at its edges, between two threads, and
 * with nonsense from either side. */
#include "common/envelope_ring.h"

#include "common/limits/message.h"
#include "common/ring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static struct envelope_ring_end in, out;
static uint8_t copy[LIMIT_ENVELOPE_BYTES];

static struct envelope_ring *make(void)
{
    struct envelope_ring *ring = aligned_alloc(64, sizeof *ring);
    cr_assert_not_null(ring);
    envelope_ring_init(ring);
    envelope_ring_open(&in, ring);
    envelope_ring_open(&out, ring);
    return ring;
}

/* Moves both ends to where they are after this many bytes. */
static void move_to(uint64_t pos)
{
    in.own = in.other = out.own = pos;
    atomic_store(&in.ring->released, pos);
}

/* An entry of this length whose bytes differ from those of other entries. */
static struct bytes sample(uint64_t n, uint32_t len)
{
    static uint8_t data[LIMIT_ENVELOPE_BYTES];
    for (uint32_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(n * 31 + i);
    }
    return bytes_of(data, len);
}

static uint32_t put(uint64_t n, uint32_t len)
{
    uint32_t at;
    cr_assert(envelope_ring_put(&in, sample(n, len), &at), "entry %lu", (unsigned long)n);
    return at;
}

static void expect(uint64_t n, uint32_t at, uint32_t len)
{
    memset(copy, 0, sizeof copy);
    cr_assert(envelope_ring_get(&out, at, len, copy), "entry %lu", (unsigned long)n);
    cr_assert_eq(memcmp(copy, sample(n, len).data, len), 0, "entry %lu", (unsigned long)n);
}

Test(envelope_ring, gives_what_was_put_also_twice)
{
    struct envelope_ring *ring = make();
    uint32_t at[3];
    for (uint32_t n = 0; n < 3; n++) {
        at[n] = put(n, 13 + n);
    }
    for (uint32_t n = 0; n < 3; n++) {
        expect(n, at[n], 13 + n);
        envelope_ring_release(&out, at[n], 13 + n);
        expect(n, at[n], 13 + n);
    }
    cr_assert(!envelope_ring_get(&out, at[1], 14, copy), "it was released");
    free(ring);
}

/* An entry lies in one piece. Where the rest of the area is too short, it is skipped, and counts as
 * used. */
Test(envelope_ring, skips_the_rest_at_the_wrap)
{
    struct envelope_ring *ring = make();
    move_to(LIMIT_ENVELOPE_RING_BYTES - 64);
    uint32_t exact = put(1, 64);
    cr_assert_eq(in.own, LIMIT_ENVELOPE_RING_BYTES, "the rest fits exactly");
    expect(1, exact, 64);
    move_to(2 * (uint64_t)LIMIT_ENVELOPE_RING_BYTES - 64);
    uint32_t skipped = put(2, 65);
    cr_assert_eq(in.own, 2 * (uint64_t)LIMIT_ENVELOPE_RING_BYTES + 72);
    expect(2, skipped, 65);
    cr_assert_eq(memcmp(ring->area, sample(2, 65).data, 65), 0, "at the start of the area");
    free(ring);
}

Test(envelope_ring, full_is_an_answer)
{
    struct envelope_ring *ring = make();
    uint32_t count = 0, at, last = 0;
    while (envelope_ring_put(&in, sample(count, 1000), &at)) {
        last = at;
        count++;
    }
    cr_assert_eq(count, LIMIT_ENVELOPE_RING_BYTES / 1000);
    cr_assert(!envelope_ring_put(&in, sample(count, 1000), &at));
    uint32_t second = 125; /* in words: behind the first entry */
    envelope_ring_release(&out, second, 1000);
    cr_assert(envelope_ring_put(&in, sample(count, 8), &at), "the rest at the end");
    cr_assert(envelope_ring_put(&in, sample(count + 1, 992), &at), "where the first one was");
    cr_assert(!envelope_ring_put(&in, sample(count + 2, 9), &at), "but not into the second");
    expect(1, second, 1000);
    expect(count - 1, last, 1000);
    free(ring);
}

/* Messages carry 32 bits of a position: nothing goes wrong where these overflow. */
Test(envelope_ring, goes_on_over_32_bits_of_words)
{
    struct envelope_ring *ring = make();
    uint32_t held = 0, held_len = 0;
    move_to((UINT64_C(1) << 35) - LIMIT_ENVELOPE_RING_BYTES);
    for (uint32_t n = 0; n < 20000; n++) {
        uint32_t len = 1 + n * 7 % 1500;
        uint32_t at = put(n, len);
        expect(n, at, len);
        if (n > 0) {
            expect(n - 1, held, held_len); /* a message behind is no worse */
            envelope_ring_release(&out, at, len);
        }
        held = at;
        held_len = len;
    }
    cr_assert_gt(out.own, UINT64_C(1) << 35);
    free(ring);
}

/* A message may say anything: reads stay inside the area (ASan watches), and nonsense releases
 * nothing. */
Test(envelope_ring, a_lying_message_reaches_nothing)
{
    struct envelope_ring *ring = make();
    const uint64_t own = 5 * (uint64_t)LIMIT_ENVELOPE_RING_BYTES + 4096;
    const uint32_t word = (uint32_t)(own / 8);
    const uint32_t words = LIMIT_ENVELOPE_RING_BYTES / 8;
    move_to(own);
    const struct {
        uint32_t at, bytes;
    } lie[] = {
        {word, 0},                         /* empty */
        {word, LIMIT_ENVELOPE_BYTES + 1},  /* longer than any */
        {word, UINT32_MAX},                /* its padding would overflow */
        {word - 1, 8},                     /* released */
        {word + words, 8},                 /* a turn too far */
        {word + words - 1, 9},             /* its end is a turn too far */
        {word + words - 4096 / 8 - 1, 16}, /* beyond the end of the area */
        {word + 0x80000000u, 8},
    };
    for (size_t i = 0; i < sizeof lie / sizeof lie[0]; i++) {
        cr_assert(!envelope_ring_get(&out, lie[i].at, lie[i].bytes, copy), "lie %zu", i);
        envelope_ring_release(&out, lie[i].at, lie[i].bytes);
        cr_assert_eq(out.own, own, "lie %zu", i);
    }
    cr_assert_eq(atomic_load(&ring->released), own);
    uint64_t random = 1;
    for (uint32_t i = 0; i < 200000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint32_t at = (uint32_t)(out.own / 8) + (uint32_t)(random >> 40) % (2 * words);
        uint32_t bytes = (uint32_t)(random >> 20) % (2 * LIMIT_ENVELOPE_BYTES);
        uint64_t before = out.own;
        bool found = envelope_ring_get(&out, at, bytes, copy);
        envelope_ring_release(&out, at, bytes);
        cr_assert(found || out.own == before);
        cr_assert_leq(out.own - before, LIMIT_ENVELOPE_RING_BYTES);
    }
    free(ring);
}

/* A consumer may write anything: puts stay inside the area, whether they succeed or not. */
Test(envelope_ring, a_lying_consumer_moves_no_put)
{
    struct envelope_ring *ring = make();
    uint64_t random = 1;
    for (uint32_t i = 0; i < 200000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t ahead = in.own + (random >> 40);
        atomic_store(&ring->released, i % 2 == 0 ? random : ahead);
        uint32_t at = 0;
        uint32_t len = 1 + (uint32_t)(random >> 33) % LIMIT_ENVELOPE_BYTES;
        if (envelope_ring_put(&in, bytes_of(copy, len), &at)) {
            cr_assert_leq(at % (LIMIT_ENVELOPE_RING_BYTES / 8) * 8u + len,
                          (uint32_t)LIMIT_ENVELOPE_RING_BYTES);
        }
    }
    free(ring);
}

/* --- between threads -------------------------------------------------------------------------- */

enum { MESSAGES = 100000, SLOTS = 1024 };

struct message {
    uint64_t n;
    uint32_t at, len;
    uint64_t rest[6];
};
_Static_assert(sizeof(struct message) == RING_SLOT_BYTES, "one slot");

static void *produce(void *arg)
{
    struct ring_end up;
    ring_open(&up, arg, SLOTS);
    for (uint64_t n = 0; n < MESSAGES; n++) {
        struct message m = {.n = n, .len = 1 + (uint32_t)(n * 13 % 700)};
        uint8_t data[700];
        memset(data, (int)(n & 0xff), sizeof data);
        while (!envelope_ring_put(&in, bytes_of(data, m.len), &m.at)) {
            sched_yield();
        }
        while (!ring_put(&up, &m)) {
            sched_yield();
        }
    }
    return NULL;
}

/* Each envelope is complete when its message is there. Run under ThreadSanitizer, this checks the
 * memory ordering. */
Test(envelope_ring, carries_between_threads)
{
    struct envelope_ring *ring = make();
    struct ring *up = aligned_alloc(64, ring_size(SLOTS));
    struct ring_end end;
    pthread_t thread;
    cr_assert_not_null(up);
    ring_init(up, SLOTS);
    ring_open(&end, up, SLOTS);
    cr_assert_eq(pthread_create(&thread, NULL, produce, up), 0);
    for (uint64_t n = 0; n < MESSAGES; n++) {
        struct message m;
        while (!ring_take(&end, &m)) {
            sched_yield();
        }
        cr_assert_eq(m.n, n);
        cr_assert(envelope_ring_get(&out, m.at, m.len, copy));
        envelope_ring_release(&out, m.at, m.len);
        for (uint32_t i = 0; i < m.len; i++) {
            cr_assert_eq(copy[i], (uint8_t)n, "message %lu", (unsigned long)n);
        }
    }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    free(up);
    free(ring);
}
