/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_buffers.c: record buffers: owned, cached, pinned, evicted. */
#include "dataplane/buffers.h"

#include "common/limits/chunk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* 1 MiB: 85 small ones (a third), 10 large ones (the rest). */
enum { MIB = 1, SMALL = (1 << 20) / 3 / LIMIT_CHUNK_SMALL_BYTES };

static struct buffers *all;

static void make(void)
{
    all = calloc(1, sizeof *all);
    cr_assert_not_null(all);
    cr_assert_eq(buffers_init(all, MIB, NULL), 0);
}

static void unmake(void)
{
    buffers_fini(all);
    free(all);
}

TestSuite(buffers, .init = make, .fini = unmake);

/* An owned buffer whose first bytes say where it will lie. */
static struct buffer *keep_one(enum buffer_class class, uint64_t pos)
{
    struct buffer *buffer = buffer_take(all, class, 0);
    cr_assert_not_null(buffer);
    memcpy(buffer->data, &pos, sizeof pos);
    buffer_keep(all, buffer, pos);
    return buffer;
}

static bool is_cached(uint64_t pos)
{
    struct buffer *buffer = buffer_find(all, pos);
    if (buffer == NULL) {
        return false;
    }
    uint64_t told;
    memcpy(&told, buffer->data, sizeof told);
    cr_assert_eq(told, pos, "the record of another position");
    buffer_unpin(all, buffer);
    return true;
}

static uint32_t take_all(enum buffer_class class, uint32_t reserve, struct buffer **taken)
{
    uint32_t count = 0;
    while ((taken[count] = buffer_take(all, class, reserve)) != NULL) {
        count++;
    }
    return count;
}

/* O_DIRECT writes straight from them: block-aligned, and of the size of their class. */
Test(buffers, each_class_has_its_size_and_alignment)
{
    static const uint32_t bytes[] = {LIMIT_CHUNK_SMALL_BYTES, LIMIT_CHUNK_LARGE_BYTES};
    for (int c = 0; c < BUFFER_CLASS_COUNT; c++) {
        struct buffer *buffer = buffer_take(all, (enum buffer_class)c, 0);
        cr_assert_not_null(buffer);
        cr_assert_eq(buffer->size, bytes[c]);
        cr_assert_eq((int)buffer->class, c);
        cr_assert_eq((uintptr_t)buffer->data % 4096, 0);
        memset(buffer->data, 0xaa, buffer->size);
        buffer_give(all, buffer);
    }
}

/* The memory asked for is what it takes, a third of it for the small class. */
Test(buffers, the_classes_share_the_memory)
{
    uint64_t small = (uint64_t)all->memory[BUFFER_SMALL].count * LIMIT_CHUNK_SMALL_BYTES;
    uint64_t large = (uint64_t)all->memory[BUFFER_LARGE].count * LIMIT_CHUNK_LARGE_BYTES;
    cr_assert_eq(all->memory[BUFFER_SMALL].count, SMALL);
    cr_assert_leq(small + large, 1u << 20);
    cr_assert_gt(small + large, (1u << 20) - LIMIT_CHUNK_SMALL_BYTES - LIMIT_CHUNK_LARGE_BYTES);
}

Test(buffers, an_empty_class_answers_null_and_recovers)
{
    struct buffer *taken[SMALL + 1];
    cr_assert_eq(take_all(BUFFER_SMALL, 0, taken), SMALL);
    cr_assert_null(buffer_take(all, BUFFER_SMALL, 0));
    cr_assert_not_null(buffer_take(all, BUFFER_LARGE, 0), "the classes are apart");
    buffer_give(all, taken[7]);
    cr_assert_eq(buffer_take(all, BUFFER_SMALL, 0), taken[7]);
}

/* Intake leaves `reserve` for deliveries: without the reserve, exactly that many can still be
 * taken. */
Test(buffers, the_reserve_is_kept)
{
    struct buffer *taken[SMALL + 1];
    cr_assert_eq(take_all(BUFFER_SMALL, 10, taken), SMALL - 10);
    cr_assert_eq(take_all(BUFFER_SMALL, 0, taken), 10);
    cr_assert_null(buffer_take(all, BUFFER_SMALL, SMALL));
}

/* A cached buffer can be taken: the reserve does not shrink because mail was kept. */
Test(buffers, cached_ones_do_not_eat_the_reserve)
{
    struct buffer *taken[SMALL + 1];
    for (uint64_t pos = 1; pos <= SMALL; pos++) {
        keep_one(BUFFER_SMALL, pos);
    }
    cr_assert_eq(all->owned_count[BUFFER_SMALL], 0);
    cr_assert_eq(take_all(BUFFER_SMALL, 10, taken), SMALL - 10);
}

Test(buffers, kept_is_found_by_its_position_only)
{
    keep_one(BUFFER_SMALL, UINT64_C(7) << 32 | 512);
    cr_assert(is_cached(UINT64_C(7) << 32 | 512));
    cr_assert(!is_cached(UINT64_C(7) << 32 | 1024));
    cr_assert(!is_cached(UINT64_C(8) << 32 | 512));
    cr_assert(!is_cached(512));
}

/* A given-back buffer's content is forgotten: it was never durable under any position. */
Test(buffers, given_is_never_found)
{
    struct buffer *buffer = buffer_take(all, BUFFER_SMALL, 0);
    buffer_give(all, buffer);
    cr_assert(!is_cached(1));
    cr_assert_eq(buffer->pos, 0);
}

/* Free ones go first, then the oldest of the cache. */
Test(buffers, evicts_the_oldest_first)
{
    for (uint64_t pos = 1; pos <= SMALL; pos++) {
        keep_one(BUFFER_SMALL, pos);
    }
    for (uint64_t pos = 1; pos <= SMALL; pos++) {
        struct buffer *buffer = buffer_find(all, pos);
        cr_assert_not_null(buffer, "position %lu", (unsigned long)pos);
        buffer_unpin(all, buffer); /* the order is as it was: each went to the end in turn */
    }
    struct buffer *taken = buffer_take(all, BUFFER_SMALL, 0);
    cr_assert_not_null(taken);
    cr_assert_eq(taken->pos, 0);
    cr_assert(!is_cached(1));
    cr_assert(is_cached(2) && is_cached(SMALL));
}

Test(buffers, free_ones_are_taken_before_cached_ones)
{
    keep_one(BUFFER_SMALL, 1);
    struct buffer *taken[SMALL];
    for (uint32_t i = 0; i < SMALL - 1; i++) {
        taken[i] = buffer_take(all, BUFFER_SMALL, 0);
        cr_assert_not_null(taken[i]);
        cr_assert(is_cached(1));
    }
    cr_assert_not_null(buffer_take(all, BUFFER_SMALL, 0));
    cr_assert(!is_cached(1), "the last one to be had");
}

/* A delivery sends from a buffer while intake takes it. A pin forbids that. */
Test(buffers, a_pinned_one_is_never_evicted)
{
    struct buffer *taken[SMALL + 1];
    keep_one(BUFFER_SMALL, 1);
    struct buffer *pinned = buffer_find(all, 1);
    struct buffer *again = buffer_find(all, 1);
    cr_assert(pinned != NULL && pinned == again);
    cr_assert_eq(pinned->pin_count, 2);
    cr_assert_eq(take_all(BUFFER_SMALL, 0, taken), SMALL - 1);
    for (uint32_t i = 0; i < SMALL - 1; i++) {
        cr_assert_neq(taken[i], pinned);
        memset(taken[i]->data, 0xff, taken[i]->size);
    }
    buffer_unpin(all, pinned);
    cr_assert_null(buffer_take(all, BUFFER_SMALL, 0), "still pinned once");
    uint64_t told;
    memcpy(&told, again->data, sizeof told);
    cr_assert_eq(told, 1);
    buffer_unpin(all, again);
    cr_assert_eq(buffer_take(all, BUFFER_SMALL, 0), again);
    cr_assert(!is_cached(1));
}

/* Two reads of the same record make one cache entry; the other buffer is free again. */
Test(buffers, a_twin_is_given_back)
{
    struct buffer *one = buffer_take(all, BUFFER_LARGE, 0);
    struct buffer *two = buffer_take(all, BUFFER_LARGE, 0);
    cr_assert_eq(all->owned_count[BUFFER_LARGE], 2);
    buffer_keep(all, one, 77);
    buffer_keep(all, two, 77);
    cr_assert_eq(all->owned_count[BUFFER_LARGE], 0);
    struct buffer *found = buffer_find(all, 77);
    cr_assert_eq(found, one);
    buffer_unpin(all, found);
    cr_assert_eq(two->pos, 0);
}

/* Two buffers of different classes for one record (a small one read into a large buffer): each goes
 * back to its own class. */
Test(buffers, a_twin_of_the_other_class_goes_home)
{
    struct buffer *small = buffer_take(all, BUFFER_SMALL, 0);
    struct buffer *large = buffer_take(all, BUFFER_LARGE, 0);
    buffer_keep(all, small, 77);
    buffer_keep(all, large, 77);
    cr_assert_eq(all->owned_count[BUFFER_SMALL], 0);
    cr_assert_eq(all->owned_count[BUFFER_LARGE], 0);
    struct buffer *taken[64];
    uint32_t count = take_all(BUFFER_LARGE, 0, taken);
    cr_assert_eq(count, all->memory[BUFFER_LARGE].count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(taken[i]->size, LIMIT_CHUNK_LARGE_BYTES);
    }
}

struct model {
    uint64_t pos; /* 0: not kept */
    uint32_t pins;
    struct buffer *buffer;
};

static uint32_t random_below(uint32_t bound)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state % bound);
}

static void check_counts(const struct model *model, uint32_t model_count)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < model_count; i++) {
        if (model[i].buffer != NULL && (model[i].pos == 0 || model[i].pins > 0)) {
            busy++;
        }
        if (model[i].buffer != NULL && model[i].pins > 0) {
            cr_assert_eq(model[i].buffer->pos, model[i].pos, "a pinned one was taken away");
        }
    }
    cr_assert_eq(all->owned_count[BUFFER_SMALL], busy);
}

/* Compares random steps with a model: what is owned or pinned is counted and keeps its content. */
Test(buffers, any_order_of_steps_keeps_the_counts)
{
    enum { MODELS = SMALL, STEPS = 200000 };
    static struct model model[MODELS];
    for (uint32_t step = 0; step < STEPS; step++) {
        struct model *m = &model[random_below(MODELS)];
        if (m->buffer == NULL) {
            m->buffer = buffer_take(all, BUFFER_SMALL, 0);
        } else if (m->pos == 0 && random_below(4) == 0) {
            buffer_give(all, m->buffer);
            *m = (struct model){0};
        } else if (m->pos == 0) {
            m->pos = 1 + step; /* never used before */
            buffer_keep(all, m->buffer, m->pos);
        } else if (m->pins > 0 && random_below(2) == 0) {
            buffer_unpin(all, m->buffer);
            m->pins--;
        } else {
            struct buffer *found = buffer_find(all, m->pos);
            cr_assert(found == m->buffer || (found == NULL && m->pins == 0));
            *m = found == NULL
                     ? (struct model){0}
                     : (struct model){.pos = m->pos, .pins = m->pins + 1, .buffer = found};
        }
        if (step % 97 == 0) {
            check_counts(model, MODELS);
        }
    }
}

static void *lend_little(size_t size, size_t align)
{
    static int calls;
    return calls++ == 0 ? aligned_alloc(align, size) : NULL;
}

Test(buffers, no_memory_is_an_error)
{
    struct buffers *other = calloc(1, sizeof *other);
    cr_assert_not_null(other);
    cr_assert_eq(buffers_init(other, MIB, lend_little), -ENOMEM);
    free(other);
}

/* A bug of ours, so it is asserted. */
Test(buffers, giving_a_cached_one_stops_us, .signal = SIGABRT)
{
    buffer_give(all, keep_one(BUFFER_SMALL, 1));
}

Test(buffers, unpinning_too_often_stops_us, .signal = SIGABRT)
{
    buffer_unpin(all, keep_one(BUFFER_SMALL, 1));
}
