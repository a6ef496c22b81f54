/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_pool.c: objects of one size from one block. */
#include "dataplane/pool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct pool make(size_t object_bytes, uint32_t count, size_t align)
{
    struct pool pool;
    cr_assert_eq(pool_init(&pool, object_bytes, count, align, NULL), 0);
    return pool;
}

Test(pool, objects_are_zeroed_aligned_and_apart)
{
    enum { COUNT = 100, BYTES = 100, ALIGN = 64 };
    struct pool pool = make(BYTES, COUNT, ALIGN);
    uint8_t *taken[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        taken[i] = pool_take(&pool);
        cr_assert_not_null(taken[i]);
        cr_assert_eq((uintptr_t)taken[i] % ALIGN, 0);
        for (size_t b = 0; b < BYTES; b++) {
            cr_assert_eq(taken[i][b], 0);
        }
        memset(taken[i], (int)i + 1, BYTES);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        for (size_t b = 0; b < BYTES; b++) {
            cr_assert_eq(taken[i][b], i + 1, "object %u was written by another", i);
        }
    }
    pool_fini(&pool);
}

/* An exhausted pool has an answer, and goes on when something comes back. */
Test(pool, empty_is_an_answer)
{
    struct pool pool = make(8, 3, 8);
    void *one = pool_take(&pool);
    void *two = pool_take(&pool);
    void *three = pool_take(&pool);
    cr_assert(one != NULL && two != NULL && three != NULL);
    cr_assert_null(pool_take(&pool));
    cr_assert_eq(pool.free_count, 0);
    pool_give(&pool, two);
    cr_assert_eq(pool_take(&pool), two);
    cr_assert_null(pool_take(&pool));
    pool_fini(&pool);
}

Test(pool, last_given_is_first_taken)
{
    struct pool pool = make(64, 8, 64);
    void *a = pool_take(&pool);
    void *b = pool_take(&pool);
    pool_give(&pool, a);
    pool_give(&pool, b);
    cr_assert_eq(pool_take(&pool), b, "its lines are warm");
    cr_assert_eq(pool_take(&pool), a);
    pool_fini(&pool);
}

Test(pool, content_is_what_the_last_user_left)
{
    struct pool pool = make(16, 2, 16);
    uint8_t *object = pool_take(&pool);
    memset(object, 0x5a, 16);
    pool_give(&pool, object);
    object = pool_take(&pool);
    for (size_t i = 0; i < 16; i++) {
        cr_assert_eq(object[i], 0x5a);
    }
    pool_fini(&pool);
}

Test(pool, at_and_index_are_inverse)
{
    struct pool pool = make(40, 33, 32);
    for (uint32_t i = 0; i < 33; i++) {
        cr_assert_eq(pool_index(&pool, pool_at(&pool, i)), i);
    }
    pool_fini(&pool);
}

static uint8_t *lent;

static void *lend(size_t size, size_t align)
{
    lent = aligned_alloc(align, (size + align - 1) & ~(align - 1));
    cr_assert_not_null(lent);
    memset(lent, 0, size);
    return lent;
}

/* Memory from the EAL stays the EAL's: pool_fini does not unmap it. */
Test(pool, borrowed_memory_is_not_given_back)
{
    struct pool pool;
    cr_assert_eq(pool_init(&pool, 4096, 4, 4096, lend), 0);
    uint8_t *object = pool_take(&pool);
    cr_assert_eq(object, lent, "the first of the block comes first");
    pool_fini(&pool);
    memset(lent, 1, (size_t)4 * 4096);
    free(lent);
}

static void *lend_nothing(size_t size, size_t align)
{
    cr_assert(size > 0 && align > 0);
    return NULL;
}

Test(pool, no_memory_is_an_error_and_leaves_nothing)
{
    struct pool pool;
    cr_assert_eq(pool_init(&pool, 64, 4, 64, lend_nothing), -ENOMEM);
    cr_assert_null(pool.free_index);
    cr_assert_null(pool.memory);
}

/* Ours to get right, so asserted: given twice, or not from here. */
Test(pool, giving_twice_stops_us, .signal = SIGABRT)
{
    struct pool pool = make(8, 1, 8);
    void *object = pool_take(&pool);
    pool_give(&pool, object);
    pool_give(&pool, object);
}

Test(pool, giving_the_middle_of_an_object_stops_us, .signal = SIGABRT)
{
    struct pool pool = make(8, 2, 8);
    uint8_t *object = pool_take(&pool);
    pool_give(&pool, object + 1);
}
