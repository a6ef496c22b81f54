/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_meta.c: the two files without which nothing can be read, and the number
 * of the start in them. */
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

/* Ids would repeat after 2^20 starts: then no more. */
Test(meta, start_numbers_run_out)
{
    size_t len;
    struct format_meta meta;
    spool_writer_close(writer);
    uint8_t *file = memdisk_file(disk, "meta", &len);
    cr_assert(format_meta_decode(bytes_of(file, len), &meta));
    uint32_t start = meta.start;
    meta.start = (1u << 20) - 2;
    format_meta_encode(&meta, file);
    reopen();
    cr_assert_eq(spool_writer_start(writer), (1u << 20) - 1);
    spool_writer_close(writer);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), -ERANGE);
    meta.start = start;
    format_meta_encode(&meta, memdisk_file(disk, "meta", &len));
    reopen();
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
