/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_checkpoint.c: a checkpoint is the new one or the old one, never half. */
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

enum { BLOB = 100000 };

static uint8_t blob[BLOB];

static int save(struct spool_io *io, uint8_t number)
{
    memset(blob, number, sizeof blob);
    return spool_checkpoint_save(io, number * 10u, number * 100u, bytes_of(blob, sizeof blob));
}

/* The number of the checkpoint that loads, 0 for none; *older_out as told. */
static uint8_t load(struct spool_io *io, uint64_t *older_out)
{
    uint64_t message_pos;
    uint64_t state_pos;
    void *data;
    size_t len;
    int err = spool_checkpoint_load(io, &message_pos, &state_pos, older_out, &data, &len);
    if (err == -ENOENT) {
        return 0;
    }
    cr_assert_eq(err, 0);
    uint8_t number = *(uint8_t *)data;
    cr_assert(len == BLOB && message_pos == number * 10u && state_pos == number * 100u);
    for (size_t i = 0; i < len; i++) {
        cr_assert_eq(((uint8_t *)data)[i], number);
    }
    free(data);
    return number;
}

Test(checkpoint, newest_and_the_one_before)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    uint64_t older;
    size_t len;
    cr_assert_eq(load(io, &older), 0);
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(load(io, &older), 1);
    cr_assert_eq(older, 0);
    for (uint8_t i = 2; i < 6; i++) {
        cr_assert_eq(save(io, i), 0);
        cr_assert_eq(load(io, &older), i);
        cr_assert_eq(older, (i - 1) * 100u);
    }
    cr_assert_null(memdisk_file(disk, "ckpt-0000000003", &len));
    cr_assert_not_null(memdisk_file(disk, "ckpt-0000000004", &len));
    /* A damaged newest is passed over. */
    memdisk_file(disk, "ckpt-0000000005", &len)[50000] ^= 1;
    cr_assert_eq(load(io, &older), 4);
    cr_assert_eq(older, 0);
    cr_assert_eq(save(io, 6), 0);
    cr_assert_eq(load(io, &older), 6);
    memdisk_destroy(disk);
}

Test(checkpoint, rot_costs_neither_the_good_one_nor_the_alarm)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    uint64_t older;
    uint64_t pos;
    void *data;
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(save(io, 2), 0);
    memdisk_file(disk, "ckpt-0000000002", &len)[50000] ^= 1;
    cr_assert_eq(save(io, 3), 0);
    cr_assert_not_null(memdisk_file(disk, "ckpt-0000000001", &len), "the good one stays");
    memdisk_file(disk, "ckpt-0000000003", &len)[50000] ^= 1;
    cr_assert_eq(load(io, &older), 1);
    memdisk_file(disk, "ckpt-0000000001", &len)[50000] ^= 1;
    cr_assert_eq(spool_checkpoint_load(io, &pos, &pos, &older, &data, &len), -EBADMSG,
                 "not as on a new spool");
    memdisk_destroy(disk);
}

Test(checkpoint, crash_at_every_operation)
{
    for (uint64_t at = 1; at < 12; at++) {
        for (uint64_t seed = 1; seed < 8; seed++) {
            struct memdisk *disk = memdisk_create(seed);
            struct spool_io *io = memdisk_io(disk);
            uint64_t older;
            cr_assert_eq(save(io, 1), 0);
            cr_assert_eq(save(io, 2), 0);
            memdisk_crash_at(disk, at);
            int err = save(io, 3);
            memdisk_crash(disk);
            uint8_t number = load(io, &older);
            cr_assert(number == 3 || (err != 0 && number == 2));
            cr_assert(older == (number - 1) * 100u);
            cr_assert_eq(save(io, 4), 0);
            cr_assert_eq(load(io, &older), 4);
            memdisk_destroy(disk);
        }
    }
}
