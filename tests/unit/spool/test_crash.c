/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_crash.c: the power goes at every operation; bytes rot.
 *
 * The invariants: what was acknowledged is recovered, whole; what is recovered was submitted; a
 * crash is never taken for damage, nor damage for a crash. */
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

enum { IDS_MAX = 128 };

struct history {
    uint64_t acked[IDS_MAX];
    uint64_t acked_pos[IDS_MAX];
    uint32_t acked_count;
    uint64_t submitted[IDS_MAX];
    uint32_t submitted_count;
    uint64_t state[IDS_MAX];
    uint32_t state_count;
    uint64_t recycled_below; /* a sequence: segments below it may be gone */
};

static void message(struct spool_writer *w, struct history *h, uint64_t id, uint32_t chunks,
                    size_t len)
{
    uint64_t pos;
    h->submitted[h->submitted_count++] = id;
    if (helper_message(w, id, chunks, len, &pos) == SPOOL_RESULT_OK) {
        h->acked_pos[h->acked_count] = pos;
        h->acked[h->acked_count++] = id;
    }
}

static void state(struct spool_writer *w, struct history *h, uint64_t id)
{
    if (helper_state(w, id, NULL) == SPOOL_RESULT_OK) {
        h->state[h->state_count++] = id;
    }
}

/* Writes a few batches at a time to both logs; fills a segment, recycles it and uses it again. */
static void workload(struct spool_io *io, struct history *h, uint64_t base)
{
    struct spool_writer *w;
    if (spool_writer_open(io, &helper_settings, &w) != 0) {
        return;
    }
    message(w, h, base + 16, 1, 700);
    state(w, h, base + 16);
    message(w, h, base + 32, 3, 5000);
    for (uint64_t i = 0; i < 6; i++) {
        message(w, h, base + 48 + i * 16, 2, 100000);
    }
    uint64_t pos = spool_writer_message_pos(w);
    if (spool_pos_seq(pos) > 1 &&
        helper_simple(w, SPOOL_SUBMIT_RECYCLE, 1, pos) == SPOOL_RESULT_OK) {
        h->recycled_below = 2;
    }
    for (uint64_t i = 0; i < 6; i++) {
        message(w, h, base + 480 + i * 16, 2, 100000);
        state(w, h, base + 480 + i * 16);
    }
    spool_writer_close(w);
}

static void verify(struct spool_io *io, const struct history *h, uint64_t at)
{
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert_eq(seen.damage_count, 0, "crash at %lu: damage at %lx", at, seen.damage_pos);
    for (uint32_t i = 0; i < h->acked_count; i++) {
        if (spool_pos_seq(h->acked_pos[i]) < h->recycled_below) {
            continue;
        }
        cr_assert(helper_has(seen.commit, seen.commit_count, h->acked[i]),
                  "crash at %lu: message %lu lost", at, h->acked[i]);
    }
    for (uint32_t i = 0; i < h->state_count; i++) {
        cr_assert(helper_has(seen.state, seen.state_count, h->state[i]),
                  "crash at %lu: state %lu lost", at, h->state[i]);
    }
    for (uint32_t i = 0; i < seen.commit_count; i++) {
        cr_assert(helper_has(h->submitted, h->submitted_count, seen.commit[i]),
                  "crash at %lu: message %lu made up", at, seen.commit[i]);
        int err = helper_check_body(io, seen.commit_pos[i], seen.commit[i], NULL);
        cr_assert(err == 0 || spool_pos_seq(seen.commit_pos[i]) <= h->recycled_below,
                  "crash at %lu: body of %lu: %d", at, seen.commit[i], err);
    }
}

static uint64_t one_crash(uint64_t at, uint64_t seed)
{
    struct memdisk *disk = memdisk_create(at + seed);
    struct spool_io *io = memdisk_io(disk);
    struct history h = {.acked_count = 0};
    memdisk_crash_at(disk, at);
    workload(io, &h, 0);
    uint64_t operations = memdisk_operations(disk);
    memdisk_crash(disk);
    /* The power goes again during recovery; then recovery runs to its end. */
    struct spool_writer *w;
    memdisk_crash_at(disk, at % 17 + 1);
    if (spool_writer_open(io, &helper_settings, &w) == 0) {
        spool_writer_close(w);
    }
    memdisk_crash(disk);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &w), 0, "crash at %lu", at);
    verify(io, &h, at);
    message(w, &h, 9600, 2, 3000);
    cr_assert(h.acked_count > 0 && h.acked[h.acked_count - 1] == 9600);
    spool_writer_close(w);
    verify(io, &h, at);
    memdisk_destroy(disk);
    return operations;
}

Test(crash, at_every_operation, .timeout = 240)
{
    uint64_t operations = one_crash(0, 1); /* never */
    cr_assert_gt(operations, 150);
    /* The first run makes all files, the same thing over and over. */
    for (uint64_t at = 1; at <= operations; at += at > 10 && at < 65 ? 11 : 1) {
        one_crash(at, 1);
        one_crash(at, 1000);
    }
}

Test(crash, over_and_over, .timeout = 120)
{
    struct memdisk *disk = memdisk_create(4711);
    struct spool_io *io = memdisk_io(disk);
    struct history h = {.acked_count = 0};
    struct spool_settings settings = helper_settings;
    settings.segments_max = 40;
    for (uint64_t run = 0; run < 12; run++) {
        struct spool_writer *w;
        memdisk_crash_at(disk, run == 0 ? 0 : 3 + run * 7);
        if (spool_writer_open(io, &settings, &w) == 0) {
            for (uint64_t i = 0; i < 4; i++) {
                message(w, &h, run * 1600 + i * 16, 2, 40000);
                state(w, &h, run * 1600 + i * 16);
            }
            spool_writer_close(w);
        }
        memdisk_crash(disk);
        verify(io, &h, run);
    }
    cr_assert_gt(h.acked_count, 8);
    memdisk_destroy(disk);
}

/* --- rot ------------------------------------------------------------------------------------- */

static struct memdisk *disk;
static struct spool_io *io;
static struct spool_writer *writer;
static uint64_t pos[8];

static void setup(void)
{
    disk = memdisk_create(7);
    io = memdisk_io(disk);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert_eq(helper_message(writer, 16 + i * 16, 1, 6000, &pos[i]), SPOOL_RESULT_OK);
    }
}

static void teardown(void)
{
    spool_writer_close(writer);
    memdisk_destroy(disk);
}

static uint8_t *at_pos(uint64_t where)
{
    size_t len;
    return memdisk_file(disk, "msg-000001.seg", &len) + spool_pos_offset(where);
}

static uint64_t batch_of(uint64_t record_pos)
{
    return record_pos - format_batch_header_bytes(6000);
}

static void expect(uint32_t commits, uint32_t damages, uint32_t tails)
{
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert_eq(seen.commit_count, commits, "%u messages", seen.commit_count);
    cr_assert_eq(seen.damage_count, damages, "%u damages", seen.damage_count);
    cr_assert_eq(seen.tail_count, tails, "%u tails", seen.tail_count);
}

TestSuite(rot, .init = setup, .fini = teardown);

Test(rot, nothing)
{
    expect(5, 0, 0);
}

Test(rot, in_a_body)
{
    at_pos(pos[2])[3000] ^= 4;
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert(seen.commit_count == 4 && seen.damage_count >= 1 && seen.tail_count == 0);
    cr_assert_eq(helper_check_body(io, pos[2], 48, NULL), -EBADMSG);
    cr_assert_eq(helper_check_body(io, pos[3], 64, NULL), 0);
}

Test(rot, in_the_padding_is_damage_but_loses_nothing)
{
    at_pos(pos[2])[6000 + 128 + 200] ^= 4;
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert_eq(seen.damage_count, 1);
    cr_assert_eq(seen.commit_count, 5);
}

Test(rot, in_a_batch_header)
{
    at_pos(batch_of(pos[2]))[30] ^= 4;
    expect(4, 1, 0);
}

Test(rot, of_a_whole_batch)
{
    memset(at_pos(batch_of(pos[2])), 0, 7000);
    expect(4, 1, 0);
}

/* Nothing was written after it, so the rot cannot be told from a torn write. */
Test(rot, of_the_last_batch_looks_like_a_tail)
{
    at_pos(pos[4])[3000] ^= 4;
    expect(4, 0, 1);
    at_pos(pos[4])[3000] ^= 4;
    at_pos(batch_of(pos[4]))[40] ^= 4;
    expect(4, 0, 1);
}

/* The state log recorded later that the batch was durable: so it is damage. */
Test(rot, of_the_last_batch_is_known_to_the_other_log)
{
    cr_assert_eq(helper_state(writer, 16, NULL), SPOOL_RESULT_OK);
    at_pos(batch_of(pos[4]))[40] ^= 4;
    expect(4, 1, 0);
    memset(at_pos(batch_of(pos[4])), 0, 7000);
    expect(4, 1, 0);
}

/* The next run recorded where recovery found the end: so it is damage. */
Test(rot, of_an_older_run_is_known_to_the_next)
{
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    cr_assert_eq(helper_message(writer, 1600, 1, 6000, NULL), SPOOL_RESULT_OK);
    expect(6, 0, 0);
    at_pos(batch_of(pos[4]))[40] ^= 4;
    expect(5, 1, 0);
    at_pos(batch_of(pos[4]))[40] ^= 4;
    at_pos(pos[4])[40] ^= 4;
    expect(5, 2, 0); /* the batch is reported, and the record in it */
}

/* A torn end stays a torn end, also when the log goes on in another segment. */
Test(rot, torn_tail_stays_a_tail)
{
    at_pos(pos[4])[3000] ^= 4;
    memdisk_keep(disk);
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    cr_assert_eq(helper_message(writer, 1600, 1, 6000, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_message(writer, 1616, 1, 6000, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_state(writer, 16, NULL), SPOOL_RESULT_OK);
    expect(6, 0, 1);
}

static struct spool_reader *open_reader(void)
{
    struct spool_reader *r;
    cr_assert_eq(spool_reader_open(io, &r), 0);
    return r;
}

static int count_verdicts(void *ctx, const struct spool_scan_item *item)
{
    uint32_t *count = ctx;
    count[item->verdict]++;
    return 0;
}

/* Scans as control does: from the start up to the end that the writer tells. */
static void expect_to_end(uint32_t records, uint32_t damages, uint32_t tails)
{
    uint32_t count[3] = {0};
    struct spool_reader *r = open_reader();
    cr_assert_eq(spool_scan_messages(r, 0, spool_writer_message_pos(writer), count_verdicts, count),
                 0);
    spool_reader_close(r);
    cr_assert_eq(count[SPOOL_SCAN_RECORD], records, "%u records", count[SPOOL_SCAN_RECORD]);
    cr_assert_eq(count[SPOOL_SCAN_DAMAGE], damages, "%u damages", count[SPOOL_SCAN_DAMAGE]);
    cr_assert_eq(count[SPOOL_SCAN_TAIL], tails, "%u tails", count[SPOOL_SCAN_TAIL]);
}

static void start_again(void)
{
    memdisk_keep(disk);
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
}

/* A start tells control an end in the new run's first segment, past the torn batch of the run
 * before. From there control reads on; it does not say that the torn batch was durable. Batches
 * name durable ends before it, so it stays a tail, whichever log is asked, after any number of
 * starts. */
static void torn_stays_torn_over_starts(uint64_t torn_pos)
{
    for (uint32_t i = 0; i < 3; i++) {
        start_again();
        cr_assert_gt(spool_writer_message_pos(writer), torn_pos);
        cr_assert_gt(spool_pos_seq(spool_writer_message_pos(writer)), spool_pos_seq(torn_pos));
        expect(4, 0, 1);
        expect_to_end(4, 0, 1);
        cr_assert_eq(helper_state(writer, 16 + i * 16, NULL), SPOOL_RESULT_OK); /* the peer */
        expect(4, 0, 1);
        expect_to_end(4, 0, 1);
    }
    cr_assert_eq(helper_message(writer, 1600, 1, 6000, NULL), SPOOL_RESULT_OK);
    expect(5, 0, 1);
    expect_to_end(5, 0, 1);
    start_again();
    expect_to_end(5, 0, 1);
}

Test(rot, torn_body_below_the_told_end_is_no_damage)
{
    at_pos(pos[4])[3000] ^= 4;
    torn_stays_torn_over_starts(pos[4]);
}

Test(rot, torn_header_below_the_told_end_is_no_damage)
{
    at_pos(batch_of(pos[4]))[40] ^= 4;
    torn_stays_torn_over_starts(pos[4]);
}

/* A torn batch is no damage when it is the only one of its segment, either. */
Test(rot, torn_first_batch_of_a_segment_is_no_damage)
{
    size_t len;
    uint64_t torn_pos;
    start_again();
    cr_assert_eq(helper_message(writer, 1600, 1, 6000, &torn_pos), SPOOL_RESULT_OK);
    uint8_t *at = memdisk_file(disk, "msg-000002.seg", &len) + spool_pos_offset(torn_pos);
    at[3000] ^= 4;
    for (uint32_t i = 0; i < 3; i++) {
        start_again();
        cr_assert_gt(spool_pos_seq(spool_writer_message_pos(writer)), spool_pos_seq(torn_pos));
        expect_to_end(5, 0, 1);
        cr_assert_eq(helper_state(writer, 16, NULL), SPOOL_RESULT_OK);
        expect_to_end(5, 0, 1);
    }
    cr_assert_eq(helper_message(writer, 1616, 1, 6000, NULL), SPOOL_RESULT_OK);
    expect(6, 0, 1);
}

/* What an earlier run knew to be durable is damage when it is bad, also below that end. */
Test(rot, damage_below_the_told_end_is_said)
{
    start_again();
    at_pos(pos[2])[3000] ^= 4;
    uint32_t count[3] = {0};
    struct spool_reader *r = open_reader();
    cr_assert_eq(spool_scan_messages(r, 0, spool_writer_message_pos(writer), count_verdicts, count),
                 0);
    spool_reader_close(r);
    cr_assert(count[SPOOL_SCAN_DAMAGE] >= 1 && count[SPOOL_SCAN_TAIL] == 0);
}

/* A segment that holds only a torn batch, or none, can be recycled right after the start. */
Test(rot, torn_segment_can_be_recycled_after_a_start)
{
    at_pos(pos[4])[3000] ^= 4;
    start_again();
    uint64_t seq = 0;
    uint64_t seen_pos = spool_writer_message_pos(writer);
    cr_assert_eq(helper_simple(writer, SPOOL_SUBMIT_RECYCLE, 1, seen_pos), SPOOL_RESULT_OK);
    cr_assert(spool_writer_take_recycled(writer, &seq) && seq == 1);
}

/* When the first copy of a segment header rots, the second one is used. When both rot, that is
 * said, and nothing is written to the segment. */
Test(rot, in_segment_headers)
{
    size_t len;
    uint8_t *file = memdisk_file(disk, "msg-000001.seg", &len);
    file[9] ^= 1;
    expect(5, 0, 0);
    file[4096 + 9] ^= 1;
    expect(0, 1, 0);
    memdisk_keep(disk);
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    uint32_t n = 0;
    while (helper_message(writer, 1600 + n * 16, 4, 60000, NULL) == SPOOL_RESULT_OK) {
        n++;
    }
    file = memdisk_file(disk, "msg-000001.seg", &len);
    file[9] ^= 1;
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert_eq(seen.commit_count, n + 5); /* after the repair by hand all is there */
}

/* The headers of all used segments rot: their sequences, which the other log knows, are not used
 * again. */
Test(rot, no_sequence_is_given_twice)
{
    size_t len;
    char name[] = "msg-000001.seg";
    cr_assert_eq(helper_state(writer, 16, NULL), SPOOL_RESULT_OK);
    spool_writer_close(writer);
    for (char n = '1'; n <= '6'; n++) {
        name[9] = n;
        uint8_t *file = memdisk_file(disk, name, &len);
        if (file != NULL && len > 8192) {
            file[9] ^= 1;
            file[4096 + 9] ^= 1;
        }
    }
    memdisk_keep(disk);
    struct spool_settings settings = helper_settings;
    settings.segments_max = 12;
    cr_assert_eq(spool_writer_open(io, &settings, &writer), 0);
    uint64_t where;
    cr_assert_eq(helper_message(writer, 1600, 1, 6000, &where), SPOOL_RESULT_OK);
    cr_assert_gt(where, pos[4]);
}

/* A mail may contain bytes that look like a batch; without the spool's key they do not verify. */
Test(rot, forged_batch_in_a_body)
{
    struct siphash_key wrong = {.k0 = 1, .k1 = 2};
    uint64_t inner = pos[2] + 1024;
    uint8_t *at = at_pos(inner);
    memset(at, 0, 1024);
    struct format_batch forged = {.kind = LOG_MESSAGE,
                                  .seq = spool_pos_seq(inner),
                                  .offset = spool_pos_offset(inner),
                                  .header_bytes = 512,
                                  .body_bytes = 512,
                                  .record_count = 1,
                                  .number = 9,
                                  .start = 1};
    format_batch_encode(&forged, &wrong, at);
    at_pos(batch_of(pos[2]))[30] ^= 4; /* so that the scan searches through the body */
    expect(4, 1, 0);
}

/* A scan that starts anywhere begins with the first record at or after it. */
static int count_records(void *ctx, const struct spool_scan_item *item)
{
    uint32_t *count = ctx;
    cr_assert_eq(item->verdict, SPOOL_SCAN_RECORD);
    (*count)++;
    return *count == 3 ? 77 : 0;
}

Test(rot, scan_ranges)
{
    struct spool_reader *r;
    uint32_t count = 0;
    cr_assert_eq(spool_reader_open(io, &r), 0);
    cr_assert_eq(spool_scan_messages(r, pos[3], UINT64_MAX, count_records, &count), 0);
    cr_assert_eq(count, 2);
    count = 0;
    cr_assert_eq(spool_scan_messages(r, batch_of(pos[4]), UINT64_MAX, count_records, &count), 0);
    cr_assert_eq(count, 1);
    count = 0;
    cr_assert_eq(spool_scan_messages(r, pos[1], pos[3], count_records, &count), 0);
    cr_assert_eq(count, 2);
    count = 0;
    cr_assert_eq(spool_scan_messages(r, 0, UINT64_MAX, count_records, &count), 77);
    count = 0;
    cr_assert_eq(
        spool_scan_messages(r, spool_writer_message_pos(writer), UINT64_MAX, count_records, &count),
        0);
    cr_assert_eq(count, 0);
    spool_reader_close(r);
}

/* Hostile bytes anywhere in a segment: no scan and no read leaves its buffers (the sanitizers
 * watch), and only what was written is handed out. */
static int only_submitted(void *ctx, const struct spool_scan_item *item)
{
    (void)ctx;
    if (item->verdict == SPOOL_SCAN_RECORD) {
        cr_assert(item->record->id >= 16 && item->record->id <= 80 && item->record->id % 16 == 0);
        for (size_t i = 0; i < item->record->body.len; i++) {
            cr_assert_eq(item->record->body.data[i], helper_byte(item->record->id, i));
        }
    }
    return 0;
}

static int ignore_piece(void *ctx, struct bytes piece)
{
    (void)ctx;
    (void)piece;
    return 0;
}

Test(rot, random_bytes_anywhere)
{
    size_t len;
    uint8_t *file = memdisk_file(disk, "msg-000001.seg", &len);
    uint8_t *whole = malloc(len);
    memcpy(whole, file, len);
    size_t used = spool_pos_offset(spool_writer_message_pos(writer)) + 1024;
    uint64_t random = 42;
    for (int round = 0; round < 400; round++) {
        for (int i = round % 20; i >= 0; i--) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            file[(random >> 20) % used] = (uint8_t)(random >> 56);
        }
        struct spool_reader *r;
        cr_assert_eq(spool_reader_open(io, &r), 0);
        cr_assert_eq(spool_scan_messages(r, 0, UINT64_MAX, only_submitted, NULL), 0);
        for (int i = 0; i < 5; i++) {
            int err = spool_read_body(r, pos[i], 16 + (uint64_t)i * 16, ignore_piece, NULL);
            cr_assert(err == 0 || err == -EBADMSG || err == -ENOENT);
        }
        spool_reader_close(r);
        memcpy(file, whole, used);
    }
    free(whole);
}
