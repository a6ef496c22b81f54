/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_meta.c: the two files without which nothing can be read, and the number
 * of the start in them. */
#include "common/id.h"
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <criterion/criterion.h>
#include <errno.h>

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

TestSuite(meta, .init = setup, .fini = teardown);

static void set_start(uint32_t start)
{
    size_t len;
    struct format_meta meta;
    static const char *const names[] = {"meta-2", "meta"};
    for (int i = 0; i < 2; i++) {
        uint8_t *file = memdisk_file(disk, names[i], &len);
        cr_assert(format_meta_decode(bytes_of(file, len), &meta));
        meta.start = start;
        format_meta_encode(&meta, file);
    }
}

/* Start numbers had 20 bits in an earlier version. */
Test(meta, start_numbers_go_on_behind_a_million)
{
    spool_writer_close(writer);
    set_start((1u << 20) - 2);
    for (uint32_t i = 0; i < 3; i++) {
        reopen();
        cr_assert_eq(spool_writer_start(writer), (1u << 20) - 1 + 2 * i);
        cr_assert_eq(spool_writer_start_last(writer), (1u << 20) + 2 * i);
        spool_writer_close(writer);
    }
    reopen();
}

/* When the numbers are used up, no start succeeds: ids would repeat. */
Test(meta, start_numbers_run_out_after_four_billion)
{
    spool_writer_close(writer);
    set_start(UINT32_MAX - 2);
    reopen();
    cr_assert_eq(spool_writer_start(writer), UINT32_MAX - 1);
    cr_assert_eq(spool_writer_start_last(writer), UINT32_MAX);
    cr_assert_eq(helper_message(writer, id_make(UINT32_MAX, 16, 0), 1, 100, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(spool_writer_start_last(writer), UINT32_MAX);
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), -ERANGE);
    set_start(5);
    reopen();
}

/* The next start number is durable before the run needs it, and no later start gets it. */
Test(meta, a_run_that_uses_its_last_start_number_gets_one_more)
{
    uint32_t start = spool_writer_start(writer);
    cr_assert_eq(helper_message(writer, id_make(start, 16, 0), 1, 100, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(spool_writer_start_last(writer), start + 1);
    for (uint32_t i = 1; i < 5; i++) {
        cr_assert_eq(helper_message(writer, id_make(start + i, 16, 0), 1, 100, NULL),
                     SPOOL_RESULT_OK);
        cr_assert_eq(spool_writer_start_last(writer), start + i + 1);
        cr_assert_eq(spool_writer_start(writer), start, "the run is the same");
    }
    spool_writer_close(writer);
    memdisk_crash(disk);
    reopen();
    cr_assert_eq(spool_writer_start(writer), start + 6);
}

/* On a full disk mail goes on, and the number is tried again after some thousand messages. */
Test(meta, a_start_number_that_cannot_be_reserved_is_tried_again)
{
    uint32_t last = spool_writer_start_last(writer);
    memdisk_limit(disk, 1);
    cr_assert_eq(helper_message(writer, id_make(last, 1, 0), 1, 100, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(spool_writer_start_last(writer), last);
    memdisk_limit(disk, UINT64_MAX);
    cr_assert_eq(helper_message(writer, id_make(last, 4096, 0), 1, 100, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(spool_writer_start_last(writer), last, "not yet");
    cr_assert_eq(helper_message(writer, id_make(last, 4097, 0), 1, 100, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(spool_writer_start_last(writer), last + 1);
}

static void flip_meta(const char *name)
{
    size_t len;
    memdisk_file(disk, name, &len)[20] ^= 1;
}

/* Either file is enough, and no start number comes twice. */
Test(meta, damaged_meta_is_said)
{
    static const char *const names[] = {"meta", "meta-2"};
    uint32_t start = spool_writer_start(writer);
    for (int i = 0; i < 4; i++) {
        spool_writer_close(writer);
        flip_meta(names[i % 2]);
        reopen();
        cr_assert_gt(spool_writer_start(writer), start);
        start = spool_writer_start(writer);
    }
    spool_writer_close(writer);
    flip_meta("meta");
    flip_meta("meta-2");
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), -EBADMSG);
    flip_meta("meta-2");
    reopen();
}

Test(meta, lost_meta_is_not_made_anew_over_segments)
{
    spool_writer_close(writer);
    cr_assert_eq(io->ops->rename(io, "meta", "elsewhere"), 0);
    cr_assert_eq(io->ops->rename(io, "meta-2", "elsewhere-2"), 0);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), -EBADMSG);
    cr_assert_eq(io->ops->rename(io, "elsewhere-2", "meta-2"), 0);
    reopen();
}
