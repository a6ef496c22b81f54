/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_reader.c: a reader on a disk that fails for a moment, in part, or whole. */
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct memdisk *disk;
static struct spool_io *io;
static struct spool_writer *writer;
static struct spool_io_ops hooked;
static const struct spool_io_ops *plain;
static uint64_t pos[16]; /* of messages with the ids 16, 32, ...: the last ones in segment 2 */

static void set_up(void)
{
    disk = memdisk_create(5);
    io = memdisk_io(disk);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &writer), 0);
    for (uint64_t i = 0; i < 16; i++) {
        enum spool_result result = helper_message(writer, 16 + i * 16, 1, 100000, &pos[i]);
        cr_assert_eq(result, SPOOL_RESULT_OK);
    }
    cr_assert(spool_pos_seq(pos[0]) == 1 && spool_pos_seq(pos[15]) == 2);
    plain = io->ops;
    hooked = *plain;
}

static void tear_down(void)
{
    io->ops = plain;
    spool_writer_close(writer);
    memdisk_destroy(disk);
}

TestSuite(reader, .init = set_up, .fini = tear_down);

static struct spool_reader *open_reader(void)
{
    struct spool_reader *r;
    cr_assert_eq(spool_reader_open(io, &r), 0);
    return r;
}

/* --- reads ----------------------------------------------------------------------------------- */

static uint32_t errors_left;

static int64_t failing_pread(struct spool_io *of, int file, void *buf, size_t len, uint64_t offset)
{
    if (errors_left > 0 && offset >= FORMAT_SEGMENT_START) {
        errors_left--;
        return -EIO;
    }
    return plain->pread(of, file, buf, len, offset);
}

static int ignore_item(void *ctx, const struct spool_scan_item *item)
{
    (void)ctx;
    (void)item;
    return 0;
}

Test(reader, an_error_that_passes_is_none)
{
    struct spool_reader *r = open_reader();
    struct spool_record record;
    hooked.pread = failing_pread;
    io->ops = &hooked;
    errors_left = 5;
    cr_assert_eq(spool_read_record(r, pos[0], 16, &record), 0);
    cr_assert_eq(errors_left, 0);
    errors_left = UINT32_MAX;
    cr_assert_eq(spool_read_record(r, pos[0], 16, &record), -EIO);
    spool_reader_close(r);
}

/* Nothing at all can be read: that is no damage, the disk is gone. */
Test(reader, a_disk_that_cannot_be_read_is_an_error)
{
    struct spool_reader *r = open_reader();
    hooked.pread = failing_pread;
    io->ops = &hooked;
    errors_left = UINT32_MAX;
    cr_assert_eq(spool_scan_messages(r, 0, UINT64_MAX, ignore_item, NULL), -EIO);
    spool_reader_close(r);
}

/* The first copy of a header cannot be read: the second one says what it is, and not what was read
 * before it, the header of the other segment. */
Test(reader, bytes_that_cannot_be_read_are_not_those_of_the_read_before)
{
    struct spool_reader *r = open_reader();
    struct spool_record record;
    memdisk_break(disk, "msg-000001.seg", 0);
    cr_assert_eq(spool_read_record(r, pos[15], 16 + 15 * 16, &record), 0);
    cr_assert_eq(spool_read_record(r, pos[0], 16, &record), 0);
    spool_reader_close(r);
}

/* --- the directory --------------------------------------------------------------------------- */

static uint32_t names_left;

struct listing {
    int (*fn)(void *ctx, const char *name);
    void *ctx;
};

static int some_names(void *ctx, const char *name)
{
    struct listing *l = ctx;
    if (strncmp(name, "msg-", 4) == 0 && names_left-- == 0) {
        return -EIO;
    }
    return l->fn(l->ctx, name);
}

static int failing_list(struct spool_io *of, int (*fn)(void *ctx, const char *name), void *ctx)
{
    struct listing l = {.fn = fn, .ctx = ctx};
    return plain->list(of, some_names, &l);
}

static int ignore_seq(void *ctx, uint64_t seq)
{
    (void)ctx;
    (void)seq;
    return 0;
}

Test(reader, mail_is_not_gone_because_half_of_the_directory_was_read)
{
    struct spool_reader *r = open_reader();
    struct spool_record record;
    hooked.list = failing_list;
    io->ops = &hooked;
    names_left = 1;
    cr_assert_eq(spool_list_segments(r, ignore_seq, NULL), -EIO);
    io->ops = plain;
    cr_assert_eq(spool_read_record(r, pos[0], 16, &record), 0);
    cr_assert_eq(spool_read_record(r, pos[15], 16 + 15 * 16, &record), 0);
    spool_reader_close(r);
}

/* The file that is open is that of one segment of one log. */
Test(reader, each_record_is_read_from_its_own_file)
{
    struct spool_reader *r = open_reader();
    struct spool_record record;
    struct spool_state_entry entry;
    uint64_t state;
    cr_assert_eq(helper_state(writer, 16, &state), SPOOL_RESULT_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(spool_read_record(r, pos[0], 16, &record), 0);
        cr_assert_eq(spool_read_state(r, state, &entry), 0);
        cr_assert_eq(spool_read_record(r, pos[15], 16 + 15 * 16, &record), 0);
        cr_assert_eq(spool_read_record(r, pos[1], 32, &record), 0);
    }
    spool_reader_close(r);
}
