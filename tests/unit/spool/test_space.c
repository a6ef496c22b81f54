/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_space.c: a filesystem without room. Mail is refused, outcomes wait.
 *
 * Promise: an outcome that was submitted is recorded when there is room, in its place in the order,
 *          or answered FAILED after a fence; it is never refused, and none overtakes it.
 */
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

enum {
    STATES = 12000,    /* about 3.5 MB, more than the two segments that are ready */
    SOON_TURNS = 400,  /* enough for what is possible, far from a retry by count */
    RETRY_TURNS = 4096 /* PREPARE_RETRY_COUNT */
};

static struct memdisk *disk;
static struct spool_io *io;
static struct spool_writer *writer;
static struct spool_submit *state;
static struct spool_submit note[2]; /* before the first and after the last state */
static uint32_t done_count;         /* states, in order */
static bool note_done[2];

static void submit_states(void)
{
    note[0] = note[1] = (struct spool_submit){.kind = SPOOL_SUBMIT_NOTE};
    spool_writer_submit(writer, &note[0]);
    for (uint32_t i = 0; i < STATES; i++) {
        struct spool_submit *s = &state[i];
        s->kind = SPOOL_SUBMIT_STATE;
        s->state.id = i + 1;
        s->state.kind = ABI_STATE_OUTCOME;
        s->state.outcome = OUTCOME_DELIVERED;
        s->state.rcpts = rcptset_first(1);
        s->state.text_len = LIMIT_REPLY_TEXT_BYTES;
        spool_writer_submit(writer, s);
    }
    spool_writer_submit(writer, &note[1]);
}

/* Turns, and checks that submissions come back in the order in which they were given, all with the
 * wanted result. */
static void turns(uint32_t count, enum spool_result wanted)
{
    for (uint32_t i = 0; i < count; i++) {
        struct spool_submit *s = spool_writer_turn(writer, true);
        for (; s != NULL; s = s->next) {
            if (s == &note[0] || s == &note[1]) {
                note_done[s - note] = true;
                cr_assert_eq(done_count, s == &note[0] ? 0 : STATES);
            } else if (s->kind == SPOOL_SUBMIT_STATE) {
                cr_assert_eq(s, &state[done_count++]);
            } else {
                continue;
            }
            cr_assert_eq(s->result, wanted);
        }
    }
}

/* Submits states and notes; some of them wait for room. */
static void setup(void)
{
    disk = memdisk_create(3);
    io = memdisk_io(disk);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    state = calloc(STATES, sizeof *state);
    cr_assert_not_null(state);
    memdisk_limit(disk, 1);
    submit_states();
    turns(SOON_TURNS, SPOOL_RESULT_OK);
    cr_assert(done_count > STATES / 4 && done_count < STATES);
    cr_assert(note_done[0] && !note_done[1]);
    uint32_t before = done_count;
    turns(SOON_TURNS, SPOOL_RESULT_OK);
    cr_assert_eq(done_count, before, "no more than that for now");
}

static void teardown(void)
{
    spool_writer_close(writer);
    memdisk_destroy(disk);
    free(state);
}

static int check_order(void *ctx, const struct spool_scan_item *item)
{
    uint32_t *count = ctx;
    cr_assert_eq(item->verdict, SPOOL_SCAN_RECORD);
    cr_assert_eq(item->state->id, ++*count);
    return 0;
}

static uint32_t recorded(uint64_t from)
{
    struct spool_reader *r;
    uint32_t count = 0;
    cr_assert_eq(spool_reader_open(io, &r), 0);
    cr_assert_eq(spool_scan_states(r, from, UINT64_MAX, check_order, &count), 0);
    spool_reader_close(r);
    return count;
}

static void expect_all(void)
{
    cr_assert(done_count == STATES && note_done[1]);
    cr_assert(spool_writer_idle(writer));
    for (uint32_t i = 1; i < STATES; i++) {
        cr_assert_gt(state[i].pos, state[i - 1].pos);
    }
}

/* Submits a message, and gives it only the few turns that an answer without waiting takes. Returns
 * its result. */
static enum spool_result message_soon(uint64_t id)
{
    struct spool_txn txn = {.id = id};
    struct helper_record *r = helper_submit(writer, &txn, 200000, true);
    for (uint32_t i = 0; i < SOON_TURNS && r->submit.result == 0; i++) {
        turns(1, SPOOL_RESULT_OK);
    }
    enum spool_result result = r->submit.result;
    cr_assert_neq(result, 0, "answered at once");
    helper_record_free(r);
    return result;
}

TestSuite(space, .init = setup, .fini = teardown);

/* spool.h: a STATE is not answered FULL. When somebody made room, further turns are enough. */
Test(space, states_wait_and_go_on_by_turns)
{
    struct spool_writer_stats stats;
    spool_writer_stats(writer, &stats);
    cr_assert_eq(stats.full, 0);
    memdisk_limit(disk, 0);
    turns(3 * RETRY_TURNS, SPOOL_RESULT_OK);
    expect_all();
    cr_assert_eq(recorded(0), STATES);
}

/* A retry on a filesystem that is still full changes nothing, and the next one still comes. */
Test(space, states_wait_through_vain_retries)
{
    uint32_t before = done_count;
    turns(4 * RETRY_TURNS, SPOOL_RESULT_OK);
    cr_assert_eq(done_count, before);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_OK);
    memdisk_limit(disk, 0);
    turns(3 * RETRY_TURNS, SPOOL_RESULT_OK);
    expect_all();
    cr_assert_eq(recorded(0), STATES);
}

/* Mail gets its 452 at once, also while outcomes wait. */
Test(space, messages_are_refused_at_once_meanwhile)
{
    uint32_t before = done_count;
    uint64_t id = 16;
    while (message_soon(id) == SPOOL_RESULT_OK) {
        id += 16;
    }
    cr_assert_gt(id, 5 * 16);
    cr_assert_eq(message_soon(id + 16), SPOOL_RESULT_FULL);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
    cr_assert(done_count == before && !note_done[1]);
    memdisk_limit(disk, 0);
    turns(3 * RETRY_TURNS, SPOOL_RESULT_OK);
    expect_all();
    cr_assert_eq(message_soon(id + 32), SPOOL_RESULT_OK);
}

/* A retry that fails counts as no room: no message waits for it, and the spool stays FULL. */
Test(space, vain_retry_does_not_look_like_room)
{
    uint64_t id = 16;
    while (message_soon(id) == SPOOL_RESULT_OK) {
        id += 16;
    }
    for (uint32_t i = 0; i < 50; i++) {
        struct spool_submit recycle = {.kind = SPOOL_SUBMIT_RECYCLE, .seq = 4000};
        spool_writer_submit(writer, &recycle);
        cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
        turns(1, SPOOL_RESULT_OK);
        cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
        cr_assert_eq(spool_writer_free_segments(writer), 0);
        cr_assert_eq(message_soon(id + 16 + i * 16), SPOOL_RESULT_FULL);
    }
}

/* Checks that a submission of this kind, which may free room, makes the writer try at once. */
static void expect_retry_after(enum spool_submit_kind kind)
{
    struct spool_submit s = {.kind = kind, .seq = 0};
    memdisk_limit(disk, 0);
    turns(SOON_TURNS, SPOOL_RESULT_OK);
    cr_assert_lt(done_count, STATES, "nothing else is one");
    spool_writer_submit(writer, &s);
    turns(SOON_TURNS, SPOOL_RESULT_OK);
    cr_assert_eq(s.result, SPOOL_RESULT_OK);
    expect_all();
    cr_assert_eq(recorded(0), STATES);
}

Test(space, recycle_tries_again)
{
    expect_retry_after(SPOOL_SUBMIT_RECYCLE);
}

Test(space, state_recycle_tries_again)
{
    expect_retry_after(SPOOL_SUBMIT_STATE_RECYCLE);
}

/* A state segment that a checkpoint frees gives room, too, although no file can grow. */
Test(space, freed_state_segment_is_room)
{
    uint32_t before = done_count;
    struct spool_submit s = {.kind = SPOOL_SUBMIT_STATE_RECYCLE,
                             .seq = spool_pos_seq(spool_writer_state_pos(writer))};
    cr_assert_gt(s.seq, 1);
    spool_writer_submit(writer, &s);
    turns(SOON_TURNS, SPOOL_RESULT_OK);
    cr_assert_gt(done_count, before);
    s.seq = spool_pos_seq(spool_writer_state_pos(writer));
    spool_writer_submit(writer, &s);
    turns(SOON_TURNS, SPOOL_RESULT_OK);
    expect_all();
}

/* A fence answers everything that waits, in order. */
Test(space, fence_fails_what_waits)
{
    uint32_t before = done_count;
    struct spool_txn txn = {.id = 16};
    memdisk_fail(disk, SPOOL_IO_SYNC, 1, EIO);
    struct helper_record *r = helper_submit(writer, &txn, 1000, true);
    turns(SOON_TURNS, SPOOL_RESULT_FAILED);
    cr_assert_eq(r->submit.result, SPOOL_RESULT_FAILED);
    cr_assert_gt(STATES, before);
    cr_assert(done_count == STATES && note_done[1]);
    cr_assert(spool_writer_idle(writer));
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FENCED);
    helper_record_free(r);
}

/* The power goes while some outcomes wait: every outcome that was answered is recorded. */
Test(space, crash_while_waiting_keeps_what_was_answered)
{
    uint32_t before = done_count;
    spool_writer_close(writer);
    memdisk_crash(disk);
    memdisk_limit(disk, 0);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    cr_assert_eq(recorded(0), before);
}

/* Messages stop while the volume still has room for outcomes, a checkpoint and a start. */
Test(reserve, messages_leave_a_reserve)
{
    enum { RESERVE = 64 << 20, CHECKPOINT = 20 << 20 };
    struct memdisk *d = memdisk_create(5);
    struct spool_io *volume = memdisk_io(d);
    struct spool_writer *w;
    memdisk_tell_space(d);
    memdisk_limit(d, RESERVE + 24 * HELPER_SEGMENT);
    struct spool_settings settings = helper_settings;
    settings.segments_max = 60;
    cr_assert_eq(spool_writer_open(volume, &settings, &w), 0);
    enum spool_result result = SPOOL_RESULT_OK;
    uint64_t id = 16;
    while (result == SPOOL_RESULT_OK) {
        result = helper_message(w, id += 16, 4, 60000, NULL);
    }
    cr_assert_eq(result, SPOOL_RESULT_FULL);
    cr_assert_gt(id, 16 * 8);
    cr_assert_geq(volume->ops->space(volume), RESERVE);
    cr_assert_eq(helper_state(w, 32, NULL), SPOOL_RESULT_OK);
    uint8_t *blob = calloc(1, CHECKPOINT);
    cr_assert_eq(spool_checkpoint_save(volume, 0, 0, bytes_of(blob, CHECKPOINT)), 0);
    free(blob);
    spool_writer_close(w);
    memdisk_crash(d);
    cr_assert_eq(spool_writer_open(volume, &settings, &w), 0);
    cr_assert_eq(helper_state(w, 48, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_message(w, 99984, 4, 60000, NULL), SPOOL_RESULT_FULL);
    spool_writer_close(w);
    memdisk_destroy(d);
}
