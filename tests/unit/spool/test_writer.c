/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_writer.c: what the writer promises, on a disk in memory. */
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

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

static void crash(void)
{
    spool_writer_close(writer);
    memdisk_crash(disk);
}

TestSuite(writer, .init = setup, .fini = teardown);

/* spool.h: OK for a LAST only after every record of the message is durable. */
Test(writer, committed_message_survives_a_crash)
{
    uint64_t pos;
    size_t len;
    cr_assert_eq(helper_message(writer, 16, 3, 5000, &pos), SPOOL_RESULT_OK);
    crash();
    reopen();
    cr_assert_eq(helper_check_body(io, pos, 16, &len), 0);
    cr_assert_eq(len, 15000);
}

TestSuite(writer_dsync, .init = setup, .fini = teardown);

/* Where a durable write costs no flush, RWF_DSYNC takes the place of the sync. */
Test(writer_dsync, commits_without_a_sync)
{
    spool_writer_close(writer);
    memdisk_set_dsync(disk, true);
    reopen();
    for (uint64_t id = 16; id < 10 * 16; id += 16) { /* a crash may spare one by chance */
        uint64_t before = memdisk_syncs(disk);
        uint64_t pos;
        cr_assert_eq(helper_message(writer, id, 1, 100, &pos), SPOOL_RESULT_OK);
        cr_assert(id > 16 || memdisk_syncs(disk) == before); /* later, segments are prepared */
        crash();
        reopen();
        cr_assert_eq(helper_check_body(io, pos, id, NULL), 0);
        for (uint64_t seq = 1; seq < spool_pos_seq(spool_writer_message_pos(writer)); seq++) {
            helper_simple(writer, SPOOL_SUBMIT_RECYCLE, seq, UINT64_MAX);
        }
    }
}

Test(writer, unacknowledged_message_may_vanish_but_never_half)
{
    struct spool_txn txn = {.id = 32};
    struct helper_record *r = helper_submit(writer, &txn, 3000, true);
    (void)spool_writer_turn(writer, false); /* written at most */
    crash();
    helper_record_free(r);
    reopen();
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert(seen.commit_count <= 1);
    cr_assert_eq(seen.damage_count, 0);
    if (seen.commit_count == 1) {
        cr_assert_eq(helper_check_body(io, seen.commit_pos[0], 32, NULL), 0);
    }
}

/* writer.h: results leave in the order of submission; a NOTE after all before it. */
Test(writer, results_keep_their_order)
{
    enum { COUNT = 200 };
    struct spool_txn txn[COUNT];
    struct helper_record *r[COUNT];
    static struct spool_submit state[COUNT];
    static struct spool_submit note[COUNT];
    for (int i = 0; i < COUNT; i++) {
        txn[i] = (struct spool_txn){.id = (uint64_t)i * 16};
        r[i] = helper_submit(writer, &txn[i], 100 + (size_t)i * 37, true);
        state[i] = (struct spool_submit){.kind = SPOOL_SUBMIT_STATE};
        state[i].state.kind = ABI_STATE_OUTCOME;
        state[i].state.id = (uint64_t)i;
        spool_writer_submit(writer, &state[i]);
        note[i] = (struct spool_submit){.kind = SPOOL_SUBMIT_NOTE};
        spool_writer_submit(writer, &note[i]);
    }
    int commits = 0;
    int states = 0;
    int notes = 0;
    uint64_t last_pos = 0;
    for (struct spool_submit *s = helper_run(writer); s != NULL; s = s->next) {
        cr_assert_eq(s->result, SPOOL_RESULT_OK);
        if (s->kind == SPOOL_SUBMIT_COMMIT) {
            cr_assert_eq(s, &r[commits++]->submit);
            cr_assert_gt(s->pos, last_pos);
            last_pos = s->pos;
        } else if (s->kind == SPOOL_SUBMIT_STATE) {
            cr_assert_eq(s, &state[states++]);
        } else {
            cr_assert_eq(s, &note[notes++]);
            cr_assert(commits >= notes && states >= notes);
        }
    }
    cr_assert(commits == COUNT && states == COUNT && notes == COUNT);
    for (int i = 0; i < COUNT; i++) {
        helper_record_free(r[i]);
    }
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert(seen.commit_count == COUNT && seen.state_count == COUNT && seen.damage_count == 0);
}

/* spool.h: each record names up to SPOOL_BACK_MAX before it; a reader finds all in a few steps. */
Test(writer, long_chain_reads_back_identical)
{
    uint64_t pos;
    size_t len;
    cr_assert_eq(helper_message(writer, 48, 150, 20000, &pos), SPOOL_RESULT_OK);
    cr_assert_eq(helper_check_body(io, pos, 48, &len), 0);
    cr_assert_eq(len, 150 * 20000);
    cr_assert_eq(helper_message(writer, 64, 33, 1, &pos), SPOOL_RESULT_OK);
    cr_assert_eq(helper_check_body(io, pos, 64, &len), 0);
    cr_assert_eq(len, 33);
}

Test(writer, interleaved_transactions_stay_apart)
{
    struct spool_txn a = {.id = 16};
    struct spool_txn b = {.id = 32};
    struct helper_record *r[80];
    for (int i = 0; i < 80; i++) {
        r[i] = helper_submit(writer, i % 2 == 0 ? &a : &b, 9000, i >= 78);
    }
    helper_run(writer);
    cr_assert_eq(helper_check_body(io, r[78]->submit.pos, 16, NULL), 0);
    cr_assert_eq(helper_check_body(io, r[79]->submit.pos, 32, NULL), 0);
    cr_assert_neq(helper_check_body(io, r[79]->submit.pos, 16, NULL), 0);
    for (int i = 0; i < 80; i++) {
        helper_record_free(r[i]);
    }
}

/* READ verifies id and position before it says OK. */
Test(writer, read_verifies)
{
    uint64_t pos;
    cr_assert_eq(helper_message(writer, 16, 1, 3000, &pos), SPOOL_RESULT_OK);
    uint8_t *buffer = aligned_alloc(4096, 65536);
    struct spool_submit s = {
        .kind = SPOOL_SUBMIT_READ, .pos = pos, .id = 16, .buffer = buffer, .buffer_size = 65536};
    spool_writer_submit(writer, &s);
    helper_run(writer);
    cr_assert_eq(s.result, SPOOL_RESULT_OK);
    struct spool_record record;
    cr_assert(spool_record_parse(bytes_of(buffer, 65536), pos, 16, &record));
    cr_assert(record.body.len == 3000 && record.is_first && record.is_last);
    cr_assert_eq(record.body.data[9], helper_byte(16, 9));
    s.id = 32;
    spool_writer_submit(writer, &s);
    helper_run(writer);
    cr_assert_eq(s.result, SPOOL_RESULT_FAILED);
    s.id = 16;
    s.pos = pos + (UINT64_C(7) << 32);
    spool_writer_submit(writer, &s);
    helper_run(writer);
    cr_assert_eq(s.result, SPOOL_RESULT_FAILED);
    free(buffer);
}

/* A device that does not answer now says nothing about the bytes: UNREAD, not FAILED, which would
 * condemn the mail as damaged (spool.h). */
Test(writer, unreadable_is_not_damaged)
{
    static const int errors[] = {EIO, ENOMEM, EAGAIN};
    uint64_t pos;
    size_t len;
    cr_assert_eq(helper_message(writer, 16, 1, 3000, &pos), SPOOL_RESULT_OK);
    uint8_t *buffer = aligned_alloc(4096, 65536);
    struct spool_submit s = {
        .kind = SPOOL_SUBMIT_READ, .pos = pos, .id = 16, .buffer = buffer, .buffer_size = 65536};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        memset(buffer, 0, 65536);
        memdisk_fail(disk, SPOOL_IO_READ, 1, errors[i]);
        spool_writer_submit(writer, &s);
        helper_run(writer);
        cr_assert_eq(s.result, SPOOL_RESULT_UNREAD);
        spool_writer_submit(writer, &s); /* the same read succeeds when the device answers */
        helper_run(writer);
        cr_assert_eq(s.result, SPOOL_RESULT_OK);
    }
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_OK); /* reads fence nothing */
    memdisk_file(disk, "msg-000001.seg", &len)[spool_pos_offset(pos) + 900] ^= 1;
    spool_writer_submit(writer, &s);
    helper_run(writer);
    cr_assert_eq(s.result, SPOOL_RESULT_FAILED);
    free(buffer);
}

static uint32_t fill(uint64_t first_id)
{
    uint32_t count = 0;
    while (helper_message(writer, first_id + count * 16, 4, 60000, NULL) == SPOOL_RESULT_OK) {
        count++;
        cr_assert_lt(count, 100);
    }
    return count;
}

/* A full spool refuses messages (452), but outcomes can still be recorded. */
Test(writer, full_spool_refuses_messages_but_takes_states)
{
    uint32_t count = fill(16);
    cr_assert_gt(count, 6 * 3);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
    cr_assert_eq(spool_writer_free_segments(writer), 0);
    cr_assert_eq(helper_message(writer, 99984, 1, 100000, NULL), SPOOL_RESULT_FULL);
    for (uint64_t i = 0; i < 300; i++) {
        cr_assert_eq(helper_state(writer, i, NULL), SPOOL_RESULT_OK);
    }
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert_eq(seen.commit_count, count);
    cr_assert_eq(seen.damage_count, 0);
    uint64_t seen_pos = spool_writer_message_pos(writer);
    cr_assert_eq(helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, seen_pos), SPOOL_RESULT_OK);
    uint64_t seq = 0;
    cr_assert(spool_writer_take_recycled(writer, &seq) && seq == 1);
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
    cr_assert_eq(spool_writer_free_segments(writer), 1);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_OK);
    cr_assert_eq(helper_message(writer, 99968, 1, 100000, NULL), SPOOL_RESULT_OK);
}

/* A transaction that lost a record can not be committed, whatever is free by then. */
Test(writer, full_is_sticky_for_the_transaction)
{
    fill(16);
    struct spool_txn txn = {.id = 99984};
    struct helper_record *a = helper_submit(writer, &txn, 200000, false);
    helper_run(writer);
    cr_assert_eq(a->submit.result, SPOOL_RESULT_FULL);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    struct helper_record *b = helper_submit(writer, &txn, 10, true);
    helper_run(writer);
    cr_assert_eq(b->submit.result, SPOOL_RESULT_FULL);
    helper_record_free(a);
    helper_record_free(b);
}

/* Fills the active segment and a bit of the next one. */
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

/* A slow sender's first chunk pins its segment until the transaction ends. */
Test(writer, open_transaction_pins_its_segment)
{
    struct spool_txn slow = {.id = 16};
    struct helper_record *a = helper_submit(writer, &slow, 1000, false);
    helper_run(writer);
    next_segment(1600);
    cr_assert_eq(helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, UINT64_MAX), SPOOL_RESULT_OK);
    cr_assert_not(recycled(1));
    struct helper_record *b = helper_submit(writer, &slow, 1000, true);
    helper_run(writer);
    cr_assert_eq(b->submit.result, SPOOL_RESULT_OK);
    cr_assert(recycled(1)); /* seen_pos was beyond even this commit: remembered */
    helper_record_free(a);
    helper_record_free(b);
}

/* A commit that control has not read yet keeps the segments it refers to. */
Test(writer, unseen_commit_keeps_its_segments)
{
    struct spool_txn slow = {.id = 16};
    struct helper_record *a = helper_submit(writer, &slow, 1000, false);
    helper_run(writer);
    next_segment(1600);
    uint64_t seen_pos = spool_writer_message_pos(writer);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, seen_pos);
    struct helper_record *b = helper_submit(writer, &slow, 1000, true);
    helper_run(writer);
    cr_assert_eq(b->submit.result, SPOOL_RESULT_OK);
    cr_assert_not(recycled(1));
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, b->submit.pos); /* not past it */
    cr_assert_not(recycled(1));
    cr_assert_eq(helper_check_body(io, b->submit.pos, 16, NULL), 0);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    cr_assert(recycled(1));
    helper_record_free(a);
    helper_record_free(b);
}

Test(writer, aborted_transaction_lets_go)
{
    struct spool_txn slow = {.id = 16};
    struct helper_record *a = helper_submit(writer, &slow, 1000, false);
    helper_run(writer);
    next_segment(1600);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, spool_writer_message_pos(writer));
    cr_assert_not(recycled(1));
    struct spool_submit abort = {.kind = SPOOL_SUBMIT_ABORT, .txn = &slow};
    spool_writer_submit(writer, &abort);
    helper_run(writer);
    cr_assert_eq(abort.result, SPOOL_RESULT_OK);
    cr_assert(recycled(1));
    helper_record_free(a);
}

Test(writer, active_segment_is_never_recycled)
{
    cr_assert_eq(helper_message(writer, 16, 1, 100, NULL), SPOOL_RESULT_OK);
    uint64_t active = spool_pos_seq(spool_writer_message_pos(writer));
    uint64_t seen_pos = spool_writer_message_pos(writer);
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, active, seen_pos);
    uint64_t seq;
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
    next_segment(1600); /* later commits lie in it: the earlier RECYCLE has no effect */
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, active, spool_writer_message_pos(writer));
    cr_assert(recycled(active));
}

/* While a segment is read for a delivery, it is not freed. */
Test(writer, read_under_way_keeps_its_segment)
{
    uint64_t pos;
    cr_assert_eq(helper_message(writer, 16, 1, 1000, &pos), SPOOL_RESULT_OK);
    next_segment(1600);
    uint8_t *buffer = aligned_alloc(4096, 8192);
    struct spool_submit read = {
        .kind = SPOOL_SUBMIT_READ, .pos = pos, .id = 16, .buffer = buffer, .buffer_size = 8192};
    bool caught = false; /* at the disk: whether a turn reaps it is up to chance */
    for (int tries = 0; tries < 200 && !caught; tries++) {
        spool_writer_submit(writer, &read);
        caught = spool_writer_turn(writer, false) == NULL;
        if (!caught) {
            cr_assert_eq(read.result, SPOOL_RESULT_OK);
        }
    }
    cr_assert(caught);
    struct spool_submit recycle = {.kind = SPOOL_SUBMIT_RECYCLE,
                                   .seq = spool_pos_seq(pos),
                                   .seen_pos = spool_writer_message_pos(writer)};
    spool_writer_submit(writer, &recycle);
    uint64_t seq;
    cr_assert_not(spool_writer_take_recycled(writer, &seq));
    helper_run(writer);
    cr_assert_eq(read.result, SPOOL_RESULT_OK);
    cr_assert(recycled(spool_pos_seq(pos)));
    free(buffer);
}

/* Old records in a recycled file never verify again. */
Test(writer, stale_records_in_a_recycled_segment_stay_dead)
{
    uint64_t pos;
    cr_assert_eq(helper_message(writer, 16, 1, 1000, &pos), SPOOL_RESULT_OK);
    uint32_t count = fill(1600);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        helper_simple(writer, SPOOL_SUBMIT_RECYCLE, seq, spool_writer_message_pos(writer));
    }
    cr_assert_eq(helper_message(writer, 80000, 1, 1000, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_message(writer, 80016, 3, 150000, NULL), SPOOL_RESULT_OK);
    crash();
    reopen();
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert(seen.commit_count < count && seen.damage_count == 0);
    cr_assert(helper_has(seen.commit, seen.commit_count, 80000));
    cr_assert(helper_has(seen.commit, seen.commit_count, 80016));
    cr_assert_not(helper_has(seen.commit, seen.commit_count, 16));
    cr_assert_eq(helper_check_body(io, pos, 16, NULL), -ENOENT);
}

/* Recovery never writes into a recovered segment. */
Test(writer, recovered_segments_are_not_written)
{
    cr_assert_eq(helper_message(writer, 16, 1, 1000, NULL), SPOOL_RESULT_OK);
    uint64_t end = spool_writer_message_pos(writer);
    crash();
    reopen();
    /* The end is now the start of this run's first segment: all that was recovered is before. */
    cr_assert_gt(spool_pos_seq(spool_writer_message_pos(writer)), spool_pos_seq(end));
    cr_assert_eq(helper_message(writer, 32, 1, 1000, NULL), SPOOL_RESULT_OK);
    cr_assert_gt(spool_pos_seq(spool_writer_message_pos(writer)), spool_pos_seq(end));
    /* Only a RECYCLE of control, after it has read them, frees them. */
    helper_simple(writer, SPOOL_SUBMIT_RECYCLE, spool_pos_seq(end), end);
    cr_assert(recycled(spool_pos_seq(end)));
}

/* The first error of a sync fences the volume; no sync is tried again. */
Test(writer, failed_sync_fences)
{
    uint64_t pos;
    cr_assert_eq(helper_message(writer, 16, 1, 1000, &pos), SPOOL_RESULT_OK);
    memdisk_fail(disk, SPOOL_IO_SYNC, 1, EIO);
    cr_assert_eq(helper_message(writer, 32, 2, 1000, NULL), SPOOL_RESULT_FAILED);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FENCED);
    uint64_t syncs = memdisk_syncs(disk);
    cr_assert_eq(helper_message(writer, 48, 1, 1000, NULL), SPOOL_RESULT_FAILED);
    cr_assert_eq(helper_state(writer, 48, NULL), SPOOL_RESULT_FAILED);
    cr_assert_eq(helper_simple(writer, SPOOL_SUBMIT_NOTE, 0, 0), SPOOL_RESULT_FAILED);
    cr_assert_eq(helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, UINT64_MAX), SPOOL_RESULT_FAILED);
    cr_assert_eq(memdisk_syncs(disk), syncs);
    uint8_t *buffer = aligned_alloc(4096, 8192);
    struct spool_submit read = {
        .kind = SPOOL_SUBMIT_READ, .pos = pos, .id = 16, .buffer = buffer, .buffer_size = 8192};
    spool_writer_submit(writer, &read);
    helper_run(writer);
    cr_assert_eq(read.result, SPOOL_RESULT_OK);
    free(buffer);
}

Test(writer, failed_write_fences_both_logs)
{
    memdisk_fail(disk, SPOOL_IO_WRITE, 1, EIO);
    cr_assert_eq(helper_state(writer, 5, NULL), SPOOL_RESULT_FAILED);
    cr_assert_eq(helper_message(writer, 16, 1, 1000, NULL), SPOOL_RESULT_FAILED);
}

/* A filesystem that is full while files still grow is FULL, not an I/O error. */
Test(writer, no_space_to_grow_is_full)
{
    memdisk_limit(disk, 6 << 20);
    uint32_t count = fill(16);
    cr_assert_gt(count, 3);
    cr_assert_eq(spool_writer_state(writer), ABI_SPOOL_FULL);
    cr_assert_eq(helper_state(writer, 5, NULL), SPOOL_RESULT_OK);
    memdisk_limit(disk, 0);
    enum spool_result result = SPOOL_RESULT_FULL;
    for (uint64_t i = 0; i < 20000 && result != SPOOL_RESULT_OK; i++) {
        result = helper_message(writer, 99984, 1, 200000, NULL);
    }
    cr_assert_eq(result, SPOOL_RESULT_OK);
}

/* STATE_RECYCLE frees sealed state segments below, never the active one. */
Test(writer, state_segments_are_used_again)
{
    enum { COUNT = 1500 };
    static struct spool_submit s[COUNT];
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < COUNT; i++) {
            s[i] = (struct spool_submit){.kind = SPOOL_SUBMIT_STATE};
            s[i].state.kind = ABI_STATE_OUTCOME;
            s[i].state.text_len = LIMIT_REPLY_TEXT_BYTES;
            spool_writer_submit(writer, &s[i]);
        }
        helper_run(writer);
        cr_assert_eq(s[COUNT - 1].result, SPOOL_RESULT_OK);
        uint64_t seq = spool_pos_seq(spool_writer_state_pos(writer));
        helper_simple(writer, SPOOL_SUBMIT_STATE_RECYCLE, seq, 0);
    }
    size_t len;
    cr_assert_gt(spool_pos_seq(spool_writer_state_pos(writer)), 4);
    cr_assert_not_null(memdisk_file(disk, "state-000001.seg", &len));
    (void)memdisk_file(disk, "state-000006.seg", &len);
    cr_assert_eq(len, 0); /* never needed */
}

/* common/id.h: the start number is durable before the first id of a run. */
Test(writer, start_number_counts_every_open)
{
    uint32_t start = spool_writer_start(writer);
    for (uint32_t i = 1; i < 4; i++) {
        crash();
        reopen();
        cr_assert_eq(spool_writer_start(writer), start + 2 * i, "two for each");
    }
}

/* Starts that write nothing use up no segments. */
Test(writer, starts_alone_cost_no_space)
{
    cr_assert_eq(helper_message(writer, 16, 1, 100, NULL), SPOOL_RESULT_OK);
    for (int i = 0; i < 20; i++) {
        crash();
        reopen();
        cr_assert_eq(spool_writer_free_segments(writer), 5);
    }
    cr_assert_eq(helper_message(writer, 32, 1, 100, NULL), SPOOL_RESULT_OK);
}

Test(writer, second_writer_is_refused)
{
    struct spool_writer *second;
    cr_assert_eq(spool_writer_open(io, &helper_settings, &second), -EWOULDBLOCK);
}

/* Existing segments keep their size whatever the settings say now. */
Test(writer, settings_do_not_change_existing_segments)
{
    uint64_t pos;
    cr_assert_eq(helper_message(writer, 16, 1, 1000, &pos), SPOOL_RESULT_OK);
    spool_writer_close(writer);
    struct spool_settings other = helper_settings;
    other.segment_bytes = 4 << 20;
    cr_assert_eq(spool_writer_open(io, &other, &writer), 0);
    cr_assert_eq(helper_message(writer, 32, 20, 100000, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_check_body(io, pos, 16, NULL), 0);
    size_t len;
    (void)memdisk_file(disk, "msg-000002.seg", &len);
    cr_assert_eq(len, HELPER_SEGMENT);
}
