/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_promise.c: what the writer promises in the worst cases: short writes,
 * bursts, commands of control that come late, data that a dead process left in the page cache. */
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include "spool/writer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

static struct memdisk *disk;
static struct spool_io *io;
static struct spool_writer *writer;

static void reopen(void)
{
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
}

static void setup(void)
{
    disk = memdisk_create(1);
    io = memdisk_io(disk);
    reopen();
}

static void teardown(void)
{
    spool_writer_close(writer);
    memdisk_destroy(disk);
}

TestSuite(promise, .init = setup, .fini = teardown, .timeout = 60);

static void free_all(struct helper_record **record, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        helper_record_free(record[i]);
    }
}

/* Writes messages until the next segment is the active one. */
static void next_segment(uint64_t id)
{
    uint64_t seq = spool_pos_seq(spool_writer_message_pos(writer));
    for (uint64_t i = 0; spool_pos_seq(spool_writer_message_pos(writer)) == seq; i++) {
        cr_assert_eq(helper_message(writer, id + i * 16, 1, 200000, NULL), SPOOL_RESULT_OK);
    }
}

static bool recycled(uint64_t seq)
{
    uint64_t got;
    return spool_writer_take_recycled(writer, &got) && got == seq;
}

/* --- short writes ---------------------------------------------------------------------------- */

/* A write that is cut short has failed: no record in it is answered, and none after it. */
Test(promise, a_short_write_is_not_answered)
{
    memdisk_shorten(disk, 0);
    cr_assert_eq(helper_message(writer, 16, 1, 10000, NULL), SPOOL_RESULT_FAILED);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FENCED);
    cr_assert_eq(helper_state(writer, 1, NULL), SPOOL_RESULT_FAILED);
}

/* Two writes of the meta file, then the header of the first segment that is made ready. */
Test(promise, a_short_segment_header_is_no_header)
{
    spool_writer_close(writer);
    memdisk_shorten(disk, 2);
    struct spool_writer *other = NULL;
    cr_assert_eq(spool_writer_open(io, &helper_settings, &other), -EIO);
    reopen();
}

/* --- bursts ---------------------------------------------------------------------------------- */

/* More messages at once than a batch has pieces for, and the sync after the last of its writes. */
Test(promise, a_burst_of_the_smallest_mail)
{
    enum { COUNT = 1500 };
    static struct spool_txn txn[COUNT];
    static struct helper_record *r[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        txn[i] = (struct spool_txn){.id = (uint64_t)i * 16};
        r[i] = helper_submit(writer, &txn[i], 10, true);
    }
    helper_run(writer);
    spool_writer_close(writer);
    memdisk_crash(disk);
    reopen();
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(r[i]->submit.result, SPOOL_RESULT_OK);
        cr_assert_eq(helper_check_body(io, r[i]->submit.pos, txn[i].id, NULL), 0);
    }
    free_all(r, COUNT);
}

/* While a segment is being prepared, mail waits; it is not refused. */
Test(promise, a_burst_over_many_segments_is_not_refused)
{
    enum { COUNT = 19 };
    struct spool_txn txn[COUNT];
    struct helper_record *r[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        txn[i] = (struct spool_txn){.id = (uint64_t)i * 16};
        r[i] = helper_submit(writer, &txn[i], 200000, true);
    }
    helper_run(writer);
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(r[i]->submit.result, SPOOL_RESULT_OK, "message %u", i);
    }
    free_all(r, COUNT);
}

/* --- what stands between records ------------------------------------------------------------- */

static bool all_zero(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Buffers are used again: what they held before must not get to the disk. */
Test(promise, padding_tells_nothing_of_earlier_mail)
{
    struct spool_txn txn = {.id = 16};
    struct helper_record *r = helper_submit(writer, &txn, 10, true); /* the rest of it is 0xee */
    helper_run(writer);
    size_t size;
    const uint8_t *file = memdisk_file(disk, "msg-000001.seg", &size);
    size_t end = spool_pos_offset(r->submit.pos) + spool_record_prefix(0) +
                 r->submit.envelope_bytes + r->submit.body_bytes;
    cr_assert(end % 512 != 0 && all_zero(file + end, 512 - end % 512));
    helper_record_free(r);
    struct spool_submit state[3]; /* a batch of several, then one of a single short one */
    for (uint64_t i = 0; i < 3; i++) {
        state[i] = (struct spool_submit){.kind = SPOOL_SUBMIT_STATE};
        state[i].state.id = i + 1;
        state[i].state.kind = ABI_STATE_OUTCOME;
        state[i].state.text_len = LIMIT_REPLY_TEXT_BYTES;
        memset(state[i].state.text, 'x', LIMIT_REPLY_TEXT_BYTES);
        spool_writer_submit(writer, &state[i]);
    }
    helper_run(writer);
    uint64_t pos;
    cr_assert_eq(helper_state(writer, LIMIT_REPLY_TEXT_BYTES, &pos), SPOOL_RESULT_OK); /* no text */
    file = memdisk_file(disk, "state-000001.seg", &size);
    end = spool_pos_offset(pos) + FORMAT_STATE_FIXED_BYTES;
    cr_assert(all_zero(file + end, 512 - end % 512));
}

/* --- commands of control --------------------------------------------------------------------- */

/* An older RECYCLE that comes after a newer one changes nothing. */
Test(promise, a_late_recycle_takes_nothing_back)
{
    struct spool_txn slow = {.id = 16};
    struct helper_record *a = helper_submit(writer, &slow, 1000, false);
    helper_run(writer);
    uint64_t early = spool_writer_message_pos(writer);
    next_segment(1600);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, early);
    cr_assert_not(recycled(1));
    struct spool_submit abort = {.kind = SPOOL_SUBMIT_ABORT, .txn = &slow};
    spool_writer_submit(writer, &abort);
    helper_run(writer);
    cr_assert(recycled(1));
    helper_record_free(a);
}

/* STATE_RECYCLE of a segment covers those below it, not the segment itself. */
Test(promise, state_segments_are_kept_from_the_named_one_on)
{
    enum { COUNT = 9000 };
    struct spool_submit *state = calloc(COUNT, sizeof *state);
    cr_assert_not_null(state);
    for (uint64_t i = 0; i < COUNT; i++) {
        state[i].kind = SPOOL_SUBMIT_STATE;
        state[i].state.id = i + 1;
        state[i].state.kind = ABI_STATE_OUTCOME;
        state[i].state.text_len = LIMIT_REPLY_TEXT_BYTES;
        spool_writer_submit(writer, &state[i]);
    }
    helper_run(writer);
    uint64_t at = 0;
    while (spool_pos_seq(state[at].pos) < 2) {
        at++;
    }
    cr_assert_gt(spool_pos_seq(state[COUNT - 1].pos), 2);
    helper_simple(writer, SPOOL_SUBMIT_STATE_RECYCLE, 2, 0);
    for (uint64_t i = 0; i < COUNT; i++) { /* into whatever is free now */
        spool_writer_submit(writer, &state[i]);
    }
    uint64_t kept_pos = state[at].pos;
    helper_run(writer);
    struct spool_reader *r;
    struct spool_state_entry entry;
    cr_assert_eq(spool_reader_open(io, &r), 0);
    cr_assert_eq(spool_read_state(r, kept_pos, &entry), 0);
    cr_assert_eq(entry.id, at + 1);
    spool_reader_close(r);
    free(state);
}

static uint32_t looks;
static const struct spool_io_ops *real;

static int counted_list(struct spool_io *of, int (*fn)(void *ctx, const char *name), void *ctx)
{
    looks++;
    return real->list(of, fn, ctx);
}

/* Thousands of rows of a list may ask for replies whose segments are gone: the directory is not
 * looked at for each of them. What begins later is found all the same. */
Test(promise, a_segment_that_is_gone_is_looked_for_once)
{
    enum { COUNT = 9000, ROWS = 500 };
    struct spool_submit *state = calloc(COUNT, sizeof *state);
    uint64_t pos[ROWS];
    struct spool_io_ops ops = *io->ops;
    struct spool_reader *r;
    struct spool_state_entry entry;
    cr_assert_not_null(state);
    cr_assert_eq(spool_reader_open(io, &r), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        state[i].kind = SPOOL_SUBMIT_STATE;
        state[i].state.id = i + 1;
        state[i].state.kind = ABI_STATE_OUTCOME;
        state[i].state.text_len = LIMIT_REPLY_TEXT_BYTES;
        spool_writer_submit(writer, &state[i]);
    }
    helper_run(writer);
    for (uint64_t i = 0; i < ROWS; i++) {
        pos[i] = state[i].pos;
        cr_assert_eq(spool_pos_seq(pos[i]), 1);
        cr_assert_eq(spool_read_state(r, pos[i], &entry), 0);
    }
    helper_simple(writer, SPOOL_SUBMIT_STATE_RECYCLE, 2, 0);
    for (uint64_t i = 0; i < COUNT; i++) { /* into whatever is free now */
        spool_writer_submit(writer, &state[i]);
    }
    helper_run(writer);
    real = io->ops;
    ops.list = counted_list;
    io->ops = &ops;
    for (uint64_t i = 0; i < ROWS; i++) {
        cr_assert_eq(spool_read_state(r, pos[i], &entry), -ENOENT);
    }
    cr_assert_leq(looks, 2, "%u", looks);
    cr_assert_eq(spool_read_state(r, state[COUNT - 1].pos, &entry), 0);
    cr_assert_eq(entry.id, COUNT);
    io->ops = real;
    spool_reader_close(r);
    free(state);
}

/* A long message keeps all of its segments while it comes in, not only the first. */
Test(promise, every_segment_of_a_long_message_is_kept)
{
    struct spool_txn slow = {.id = 16};
    struct helper_record *r[3];
    r[0] = helper_submit(writer, &slow, 1000, false);
    helper_run(writer);
    next_segment(1600);
    r[1] = helper_submit(writer, &slow, 1000, false);
    helper_run(writer);
    cr_assert_eq(spool_pos_seq(r[1]->submit.pos), 2);
    next_segment(3200);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 2, UINT64_MAX);
    uint64_t seq;
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
    r[2] = helper_submit(writer, &slow, 1000, true);
    helper_run(writer);
    cr_assert_eq(r[2]->submit.result, SPOOL_RESULT_OK);
    cr_assert(recycled(2));
    free_all(r, 3);
}

/* After the fence no segment is freed: nobody knows what is durable. */
Test(promise, nothing_is_given_up_behind_a_fence)
{
    struct spool_txn slow = {.id = 16};
    struct helper_record *a = helper_submit(writer, &slow, 1000, false);
    helper_run(writer);
    next_segment(1600);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    memdisk_fail(disk, SPOOL_IO_SYNC, 1, EIO);
    cr_assert_eq(helper_state(writer, 1, NULL), SPOOL_RESULT_FAILED);
    struct spool_submit abort = {.kind = SPOOL_SUBMIT_ABORT, .txn = &slow};
    spool_writer_submit(writer, &abort);
    helper_run(writer);
    uint64_t seq;
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
    helper_record_free(a);
}

/* Without control nobody takes the list of recycled segments: the newest are kept, and no more than
 * there are segments. */
Test(promise, recycled_segments_that_nobody_asks_for)
{
    uint64_t last = 0;
    for (uint64_t id = 1600; last < 10; id += 1600) {
        uint64_t seq = spool_pos_seq(spool_writer_message_pos(writer));
        next_segment(id);
        helper_simple(writer, SPOOL_SUBMIT_RECYCLE, seq, spool_writer_message_pos(writer));
        last = seq;
    }
    uint64_t seq;
    for (uint64_t wanted = last - helper_settings.segments_max + 1; wanted <= last; wanted++) {
        cr_assert(spool_writer_take_recycled(writer, &seq) && seq == wanted);
    }
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
}

/* After a restart the spool is full from the beginning, before any message was refused. */
Test(promise, a_full_spool_is_full_after_a_restart)
{
    uint64_t id = 16;
    while (helper_message(writer, id, 1, 200000, NULL) == SPOOL_RESULT_OK) {
        id += 16;
    }
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    cr_assert_eq(spool_writer_free_segments(writer), 0);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_OK);
}

/* A spool that was full is not full when there is room again. */
Test(promise, a_spool_with_room_again_is_not_full)
{
    uint64_t id = 16;
    while (helper_message(writer, id, 1, 200000, NULL) == SPOOL_RESULT_OK) {
        id += 16;
    }
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    cr_assert_eq(helper_message(writer, id + 16, 1, 200000, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(spool_writer_free_segments(writer), 0);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_OK, "the active one has room");
}

/* A free segment is not read: it may be written again meanwhile. */
Test(promise, free_segments_are_not_read)
{
    uint64_t pos;
    cr_assert_eq(helper_message(writer, 16, 1, 1000, &pos), SPOOL_RESULT_OK);
    next_segment(1600);
    struct spool_submit read = {.kind = SPOOL_SUBMIT_READ, .pos = pos, .id = 16};
    read.buffer = aligned_alloc(4096, 8192);
    read.buffer_size = 8192;
    struct spool_submit recycle = {.kind = SPOOL_SUBMIT_RECYCLE,
                                   .seq = spool_pos_seq(pos),
                                   .seen_pos = spool_writer_message_pos(writer)};
    spool_writer_submit(writer, &recycle);
    spool_writer_submit(writer, &read);
    helper_run(writer);
    cr_assert_eq(read.result, SPOOL_RESULT_FAILED);
    free(read.buffer);
}

/* A reader that knows the segment by its earlier sequence finds it gone, not damaged. */
Test(promise, a_reader_finds_a_recycled_segment_gone)
{
    uint64_t pos;
    struct spool_reader *r;
    struct spool_record record;
    cr_assert_eq(helper_message(writer, 16, 1, 1000, &pos), SPOOL_RESULT_OK);
    cr_assert_eq(spool_reader_open(io, &r), 0);
    for (uint64_t id = 1600; id < 1600 * 8; id += 1600) {
        uint64_t seq = spool_pos_seq(spool_writer_message_pos(writer));
        next_segment(id);
        helper_simple(writer, SPOOL_SUBMIT_RECYCLE, seq, spool_writer_message_pos(writer));
    }
    cr_assert_eq(spool_read_record(r, pos, 16, &record), -ENOENT);
    spool_reader_close(r);
}

/* Fills three segments, of which control recycles the second one. Returns the last commit in the
 * first. */
static uint64_t without_the_second(void)
{
    uint64_t pos = 0;
    uint64_t last = 0;
    uint64_t id = 16;
    for (; spool_pos_seq(pos) < 3; id += 16) {
        cr_assert_eq(helper_message(writer, id, 1, 200000, &pos), SPOOL_RESULT_OK);
        last = spool_pos_seq(pos) == 1 ? pos : last;
    }
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 2, spool_writer_message_pos(writer));
    cr_assert(recycled(2));
    for (; spool_pos_seq(pos) < 5; id += 16) { /* it is used again */
        cr_assert_eq(helper_message(writer, id, 1, 200000, &pos), SPOOL_RESULT_OK);
    }
    return last;
}

/* When the segment after the bad place is gone, the durable positions in later batches tell nothing
 * about the bad place. */
Test(promise, a_gap_of_recycled_segments_is_no_damage)
{
    struct helper_seen seen;
    (void)without_the_second();
    helper_scan(io, &seen);
    cr_assert_eq(seen.damage_count, 0);
}

/* The same run wrote more after the bad batch before the gap: so that batch was durable once. */
Test(promise, rot_before_a_gap_of_recycled_segments_is_damage)
{
    struct helper_seen seen;
    size_t size;
    uint64_t last = without_the_second();
    uint8_t *file = memdisk_file(disk, "msg-000001.seg", &size);
    file[spool_pos_offset(last) + 1000] ^= 1;
    memdisk_keep(disk);
    helper_scan(io, &seen);
    cr_assert(seen.damage_count > 0 && spool_pos_seq(seen.damage_pos) == 1);
}

/* --- starts ---------------------------------------------------------------------------------- */

/* Data that a killed writer left in the page cache looks durable: a start syncs it before it uses
 * it. */
Test(promise, what_a_start_has_seen_stays)
{
    uint32_t seen_count = 0;
    for (uint64_t id = 16; id <= 40 * 16; id += 16) {
        struct spool_txn txn = {.id = id};
        struct helper_record *r = helper_submit(writer, &txn, 3000, true);
        (void)spool_writer_turn(writer, false); /* written, and rarely synced */
        spool_writer_close(writer);             /* killed; the machine goes on */
        helper_record_free(r);
        reopen();
        struct helper_seen before;
        struct helper_seen after;
        helper_scan(io, &before);
        spool_writer_close(writer);
        memdisk_crash(disk);
        reopen();
        helper_scan(io, &after);
        for (uint32_t i = 0; i < before.commit_count; i++) {
            cr_assert(helper_has(after.commit, after.commit_count, before.commit[i]));
        }
        seen_count += before.commit_count;
        uint64_t active = spool_pos_seq(spool_writer_message_pos(writer));
        for (uint64_t seq = 1; seq < active; seq++) {
            helper_simple(writer, SPOOL_SUBMIT_RECYCLE, seq, UINT64_MAX);
        }
    }
    cr_assert_gt(seen_count, 10);
}

/* After a start nobody knows which old commits refer to a segment: any of them may. */
Test(promise, a_word_from_before_the_start_frees_nothing)
{
    uint64_t first;
    uint64_t last;
    cr_assert_eq(helper_message(writer, 16, 1, 1000, &first), SPOOL_RESULT_OK);
    next_segment(1600);
    cr_assert_eq(helper_message(writer, 32, 1, 1000, &last), SPOOL_RESULT_OK);
    spool_writer_close(writer);
    reopen();
    uint64_t seq;
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, last); /* has not read the last one */
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    cr_assert(recycled(1));
}

/* A file that a crash left too short grows whole before it is used; where it cannot, mail is
 * refused for want of room, and the volume goes on. */
Test(promise, a_short_file_is_no_segment)
{
    static const uint8_t zeros[100 << 10];
    spool_writer_close(writer);
    int file = io->ops->open(io, "msg-000003.seg", false, false);
    cr_assert_geq(file, 0);
    cr_assert_eq(io->ops->pwrite(io, file, zeros, sizeof zeros, 0), (int64_t)sizeof zeros);
    cr_assert_eq(io->ops->sync(io, file), 0);
    io->ops->close(io, file);
    memdisk_tell_space(disk);
    memdisk_limit(disk, UINT64_C(1) << 40);
    uint64_t used = (UINT64_C(1) << 40) - (uint64_t)io->ops->space(io);
    memdisk_limit(disk, used + (64 << 10)); /* no segment grows any more */
    reopen();
    enum spool_result result = SPOOL_RESULT_OK;
    for (uint64_t id = 16; result == SPOOL_RESULT_OK; id += 16) {
        result = helper_message(writer, id, 1, 200000, NULL);
    }
    cr_assert_eq(result, SPOOL_RESULT_FULL);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
}

/* The reserve that messages leave is for outcomes. */
Test(promise, outcomes_use_the_reserve)
{
    spool_writer_close(writer);
    memdisk_tell_space(disk);
    memdisk_limit(disk, 40 << 20); /* less than the reserve */
    reopen();
    for (uint64_t i = 0; i < 2000; i++) { /* each a batch: eight megabytes */
        struct spool_submit s = {.kind = SPOOL_SUBMIT_STATE};
        s.state.id = i + 1;
        s.state.kind = ABI_STATE_OUTCOME;
        s.state.text_len = LIMIT_REPLY_TEXT_BYTES;
        spool_writer_submit(writer, &s);
        helper_run(writer);
        cr_assert_eq(s.result, SPOOL_RESULT_OK);
    }
}

/* The disk lost the first block of the last segment: damage, not a segment to be used again. */
Test(promise, a_segment_without_its_first_block_is_kept)
{
    cr_assert_eq(helper_message(writer, 16, 1, 1000, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_state(writer, 1, NULL),
                 SPOOL_RESULT_OK); /* knows how far mail was durable */
    spool_writer_close(writer);
    size_t size;
    uint8_t *file = memdisk_file(disk, "msg-000001.seg", &size);
    memset(file + FORMAT_SEGMENT_START, 0, FORMAT_SECTOR_BYTES);
    memdisk_keep(disk);
    reopen();
    for (uint64_t id = 1600; id < 1600 + 40 * 16; id += 16) {
        (void)helper_message(writer, id, 1, 200000, NULL);
    }
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert_eq(seen.damage_count, 1);
    cr_assert_eq(spool_pos_seq(seen.damage_pos), 1);
}
