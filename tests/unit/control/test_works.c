/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_works.c: when a lane's thread rests, and when it does not.
 *
 * Trap: a machine that stands still lengthens any pause. So a pause is held against its least
 *       length; where it has to be short, one of TRIES short ones is enough: a lane that rests
 *       where it must not has none.
 */
#include "control/shell/works.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <time.h>

enum { TRIES = 10 };

#define WORK_NS (UINT64_C(20) * 1000000)
#define REST_NS (3 * WORK_NS)

struct timed {
    struct work work;
    uint64_t begin_ns;
    uint64_t end_ns;
};

static struct works works;
static struct timed timed[2];
static pthread_t thread;

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void run(struct work *work, struct work_tools *tools)
{
    struct timed *t = (struct timed *)work;
    (void)tools;
    t->begin_ns = now_ns();
    do {
        t->end_ns = now_ns();
    } while (t->end_ns < t->begin_ns + WORK_NS);
}

static bool done(struct work *work, struct control *c)
{
    (void)work;
    (void)c;
    return true;
}

static void *serve(void *lane)
{
    works_serve(&works, *(enum work_lane *)lane);
    return NULL;
}

static void begin(enum work_lane *lane)
{
    works_init(&works, NULL, NULL);
    works.threaded = true;
    cr_assert_eq(pthread_create(&thread, NULL, serve, lane), 0);
    for (int i = 0; i < 2; i++) {
        timed[i] = (struct timed){.work = {.lane = *lane, .run = run, .done = done}};
    }
}

static void submit_and_wait(int count)
{
    for (int i = 0; i < count; i++) {
        works_submit(&works, &timed[i].work);
    }
    while (works_busy(&works)) {
        (void)works_finish(&works, NULL, 1);
    }
}

static void end(void)
{
    works_stop(&works);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    works_fini(&works);
}

static uint64_t gap_ns(void)
{
    cr_assert_geq(timed[1].begin_ns, timed[0].end_ns, "one after the other");
    return timed[1].begin_ns - timed[0].end_ns;
}

Test(works, the_lane_that_writes_checkpoints_leaves_the_disk_to_mail_most_of_the_time)
{
    enum work_lane lane = WORK_SAVE;
    begin(&lane);
    submit_and_wait(2);
    cr_assert_geq(gap_ns(), REST_NS);
    end();
}

Test(works, other_lanes_do_not_rest)
{
    enum work_lane lane = WORK_LOGS;
    uint64_t least_ns = UINT64_MAX;
    for (int i = 0; i < TRIES && least_ns >= REST_NS; i++) {
        begin(&lane);
        submit_and_wait(2);
        least_ns = gap_ns() < least_ns ? gap_ns() : least_ns;
        end();
    }
    cr_assert_lt(least_ns, REST_NS);
}

Test(works, nobody_rests_while_there_is_a_hurry)
{
    enum work_lane lane = WORK_SAVE;
    uint64_t least_ns = UINT64_MAX;
    for (int i = 0; i < TRIES && least_ns >= REST_NS; i++) {
        begin(&lane);
        works_hurry(&works, true);
        submit_and_wait(2);
        least_ns = gap_ns() < least_ns ? gap_ns() : least_ns;
        end();
    }
    cr_assert_lt(least_ns, REST_NS);
}

Test(works, the_end_of_the_process_ends_a_rest)
{
    enum work_lane lane = WORK_SAVE;
    uint64_t least_ns = UINT64_MAX;
    for (int i = 0; i < TRIES && least_ns >= REST_NS; i++) {
        begin(&lane);
        submit_and_wait(1);
        end();
        uint64_t took_ns = now_ns() - timed[0].end_ns;
        least_ns = took_ns < least_ns ? took_ns : least_ns;
    }
    cr_assert_lt(least_ns, REST_NS);
}
