/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_scan.c: sectors that cannot be read, and a writer that overtakes a scan. */
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct memdisk *disk;
static struct spool_io *io;
static struct spool_writer *writer;
static uint64_t pos[5];

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

TestSuite(scan, .init = setup, .fini = teardown);

static void start_again(void)
{
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
}

/* --- sectors that cannot be read ------------------------------------------------------------- */

/* A sector that cannot be read counts as damage: the rest is read, and a writer starts. */
Test(scan, unreadable_sector)
{
    memdisk_break(disk, "msg-000001.seg", spool_pos_offset(pos[2]) + 2048);
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert_eq(seen.commit_count, 4);
    cr_assert_geq(seen.damage_count, 1);
    cr_assert_not(helper_has(seen.commit, seen.commit_count, 16 + 2 * 16));
    cr_assert_eq(helper_check_body(io, pos[2], 16 + 2 * 16, NULL), -EIO);
    cr_assert_eq(helper_check_body(io, pos[3], 16 + 3 * 16, NULL), 0);
    start_again();
    cr_assert_eq(helper_message(writer, 1600, 1, 6000, NULL), SPOOL_RESULT_OK);
}

/* An unreadable sector in a segment's header: the other copy is used. */
Test(scan, unreadable_sector_in_a_segment_header)
{
    memdisk_break(disk, "msg-000001.seg", 0);
    struct helper_seen seen;
    helper_scan(io, &seen);
    cr_assert(seen.commit_count == 5 && seen.damage_count == 0);
    start_again();
    helper_scan(io, &seen);
    cr_assert(seen.commit_count == 5 && seen.damage_count == 0);
}

/* --- a writer that overtakes the scan -------------------------------------------------------- */

static const struct spool_io_ops *plain_ops;
static bool overtake_armed;

/* The scan has passed the first segment's end and opens the second: only now the writer fills the
 * first one and goes on in the second. */
static int open_overtaken(struct spool_io *disk_io, const char *name, bool create, bool direct)
{
    if (overtake_armed && strcmp(name, "msg-000002.seg") == 0) {
        overtake_armed = false;
        for (uint64_t i = 0; i < 12; i++) {
            cr_assert_eq(helper_message(writer, 160 + i * 16, 1, 100000, NULL), SPOOL_RESULT_OK);
        }
        cr_assert_eq(spool_pos_seq(spool_writer_message_pos(writer)), 2);
    }
    return plain_ops->open(disk_io, name, create, direct);
}

struct overtaken {
    uint64_t trusted_below; /* the first place that was not good */
    uint64_t last;          /* the last record */
    uint32_t damages;
};

static int see_overtaken(void *ctx, const struct spool_scan_item *item)
{
    struct overtaken *o = ctx;
    overtake_armed |= item->pos == pos[4];
    if (item->verdict == SPOOL_SCAN_RECORD) {
        o->last = item->pos;
    } else {
        o->damages += item->verdict == SPOOL_SCAN_DAMAGE;
        o->trusted_below = item->pos < o->trusted_below ? item->pos : o->trusted_below;
    }
    return 0;
}

/* A scan that the writer overtook says how far it is complete. Else what was written meanwhile
 * would never be read. */
Test(scan, overtaken_scan_says_where_it_is_not_complete)
{
    struct overtaken o = {.trusted_below = UINT64_MAX};
    struct spool_io_ops hooked = *io->ops;
    struct spool_reader *r;
    plain_ops = io->ops;
    hooked.open = open_overtaken;
    io->ops = &hooked;
    cr_assert_eq(helper_message(writer, 112, 1, 100000, NULL), SPOOL_RESULT_OK); /* prepares */
    uint64_t end = spool_writer_message_pos(writer);
    cr_assert_eq(spool_reader_open(io, &r), 0);
    cr_assert_eq(spool_scan_messages(r, 0, UINT64_MAX, see_overtaken, &o), 0);
    spool_reader_close(r);
    io->ops = plain_ops;
    cr_assert_eq(spool_pos_seq(o.last), 2, "the scan was not overtaken");
    cr_assert_eq(o.trusted_below, end);
    cr_assert_eq(o.damages, 0);
}

/* --- durability ------------------------------------------------------------------------------ */

/* A writer died between write and sync, and a reader read the record: it must still be there after
 * a loss of power. Without the reader's sync, many of the seeds lose it. */
Test(sync, what_a_reader_synced_stays)
{
    uint32_t left = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct memdisk *d = memdisk_create(seed);
        struct spool_writer *w;
        struct helper_seen seen;
        struct spool_reader *r;
        cr_assert_eq(spool_writer_open(memdisk_io(d), &helper_settings, &w), 0);
        memdisk_fail(d, SPOOL_IO_SYNC, 1, EIO);
        enum spool_result result = helper_message(w, 16, 1, 3000, NULL);
        spool_writer_close(w);
        helper_scan(memdisk_io(d), &seen);
        if (result == SPOOL_RESULT_FAILED && seen.commit_count == 1) {
            left++;
            cr_assert_eq(spool_reader_open(memdisk_io(d), &r), 0);
            cr_assert_eq(spool_sync_messages(r, seen.commit_pos[0]), 0);
            cr_assert_eq(spool_sync_states(r, format_pos(9, FORMAT_SEGMENT_START)), 0);
            spool_reader_close(r);
            memdisk_crash(d);
            cr_assert_eq(helper_check_body(memdisk_io(d), seen.commit_pos[0], 16, NULL), 0);
        }
        memdisk_destroy(d);
    }
    cr_assert_gt(left, 10);
}
