/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_checkpoint.c: what loads is the new checkpoint or the old one, always
 * whole. */
#include "common/crc32c.h"
#include "spool/checkpoint.h"
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

/* A checkpoint of two full blocks and a part of a third. */
enum { BLOB = 600000, HEADER = FORMAT_CHECKPOINT_HEADER_BYTES, BLOCK = 256 << 10 };

static uint8_t blob[BLOB];

static int save(struct spool_io *io, uint8_t number)
{
    memset(blob, number, sizeof blob);
    return spool_checkpoint_save(io, number * 10u, number * 100u, bytes_of(blob, sizeof blob));
}

/* Loads a checkpoint. Returns its number, 0 when none loads; *older_out is that of
 * spool_checkpoint_load. */
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

static int open_it(struct spool_io *io, struct spool_checkpoint_reader **reader_out)
{
    uint64_t message_pos;
    uint64_t state_pos;
    return spool_checkpoint_open(io, reader_out, &message_pos, &state_pos, NULL);
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
    /* When the newest one is damaged, it is passed over. */
    memdisk_file(disk, "ckpt-0000000005", &len)[50000] ^= 1;
    cr_assert_eq(load(io, &older), 4);
    cr_assert_eq(older, 0);
    cr_assert_eq(save(io, 6), 0);
    cr_assert_eq(load(io, &older), 6);
    cr_assert_eq(older, 400);
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
    memdisk_break(disk, "ckpt-0000000001", 0);
    cr_assert_eq(spool_checkpoint_load(io, &pos, &pos, &older, &data, &len), -EBADMSG,
                 "not as on a new spool");
    memdisk_destroy(disk);
}

/* --- pieces ---------------------------------------------------------------------------------- */

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 13);
}

Test(checkpoint, pieces_that_fit_a_block_come_back_whole)
{
    enum { PIECES = 3000 };
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    struct spool_checkpoint_writer *w;
    static uint8_t piece[SPOOL_CHECKPOINT_PIECE_MAX];
    cr_assert_eq(spool_checkpoint_begin(io, &w), 0);
    uint64_t total = 0;
    for (uint32_t i = 0; i < PIECES; i++) {
        uint32_t len = i % 1000 == 999 ? sizeof piece : 4 + i * 37 % 2000;
        memset(piece, (int)i, sizeof piece);
        memcpy(piece, &len, sizeof len);
        cr_assert_eq(spool_checkpoint_append(w, bytes_of(piece, len)), 0);
        cr_assert_eq(spool_checkpoint_append(w, bytes_of(NULL, 0)), 0);
        total += len;
    }
    cr_assert_eq(spool_checkpoint_finish(w, 11, 12), 0);
    struct spool_checkpoint_reader *r;
    uint64_t message_pos;
    uint64_t state_pos;
    uint64_t older = 1;
    cr_assert_eq(spool_checkpoint_open(io, &r, &message_pos, &state_pos, &older), 0);
    cr_assert(message_pos == 11 && state_pos == 12 && older == 0);
    cr_assert_eq(spool_checkpoint_bytes(r), total);
    struct bytes b;
    uint32_t count = 0;
    int more;
    while ((more = spool_checkpoint_next(r, &b)) > 0) {
        while (b.len > 0) {
            uint32_t len;
            cr_assert_geq(b.len, sizeof len);
            memcpy(&len, b.data, sizeof len);
            cr_assert_leq(len, b.len, "piece %u is cut", count);
            cr_assert(len == 4 || b.data[len - 1] == (uint8_t)count);
            b = bytes_from(b, len);
            count++;
        }
    }
    cr_assert(more == 0 && count == PIECES);
    spool_checkpoint_close(r);
    memdisk_destroy(disk);
}

Test(checkpoint, lengths_around_a_block)
{
    enum { FULL = SPOOL_CHECKPOINT_PIECE_MAX };
    static const size_t lengths[] = {0, 1, FULL - 1, FULL, FULL + 1, 2 * FULL, 3 * FULL};
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    uint8_t *data = malloc(3 * FULL);
    for (size_t i = 0; i < 3 * FULL; i++) {
        data[i] = byte_at(i);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i];
        struct spool_checkpoint_reader *r;
        cr_assert_eq(spool_checkpoint_save(io, 1, 2, bytes_of(data, len)), 0);
        cr_assert_eq(open_it(io, &r), 0);
        struct bytes b;
        size_t have = 0;
        int more;
        while ((more = spool_checkpoint_next(r, &b)) > 0) {
            cr_assert_eq(memcmp(b.data, data + have, b.len), 0);
            have += b.len;
        }
        cr_assert(more == 0 && have == len);
        spool_checkpoint_close(r);
    }
    free(data);
    memdisk_destroy(disk);
}

Test(checkpoint, abandoned_leaves_what_was)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    struct spool_checkpoint_writer *w;
    uint64_t older;
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(spool_checkpoint_begin(io, &w), 0);
    cr_assert_eq(spool_checkpoint_append(w, bytes_of(blob, sizeof blob)), 0);
    cr_assert_eq(load(io, &older), 1);
    spool_checkpoint_abandon(w);
    spool_checkpoint_abandon(NULL);
    cr_assert_null(memdisk_file(disk, "ckpt.tmp", &len));
    cr_assert_eq(load(io, &older), 1);
    memdisk_destroy(disk);
}

Test(checkpoint, a_failed_write_is_told_and_told_again)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    struct spool_checkpoint_writer *w;
    uint64_t older;
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(spool_checkpoint_begin(io, &w), 0);
    memdisk_fail(disk, SPOOL_IO_WRITE, 1, ENOSPC);
    cr_assert_eq(spool_checkpoint_append(w, bytes_of(blob, sizeof blob)), -ENOSPC);
    cr_assert_eq(spool_checkpoint_append(w, bytes_of(blob, 1)), -ENOSPC);
    cr_assert_eq(spool_checkpoint_finish(w, 1, 2), -ENOSPC);
    cr_assert_null(memdisk_file(disk, "ckpt.tmp", &len), "a full disk gets its room back");
    memdisk_fail(disk, SPOOL_IO_SYNC, 1, EIO);
    cr_assert_eq(save(io, 2), -EIO);
    cr_assert_null(memdisk_file(disk, "ckpt-0000000002", &len));
    cr_assert_eq(load(io, &older), 1);
    memdisk_destroy(disk);
}

/* --- damage ---------------------------------------------------------------------------------- */

/* The second checkpoint is damaged: the first is read. */
static void check_passed_over(struct spool_io *io, const char *what, size_t at)
{
    uint64_t older = 7;
    cr_assert_eq(load(io, &older), 1, "%s at %zu", what, at);
    cr_assert_eq(older, 0);
}

Test(checkpoint, every_header_bit_and_payloads_here_and_there)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    uint64_t older;
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(save(io, 2), 0);
    uint8_t *data = memdisk_file(disk, "ckpt-0000000002", &len);
    cr_assert_eq(len, BLOB + 4 * HEADER + FORMAT_CHECKPOINT_END_BYTES);
    size_t tail = len - HEADER - FORMAT_CHECKPOINT_END_BYTES;
    for (size_t at = 0; at < len;) {
        data[at] ^= (uint8_t)(1 << at % 8);
        check_passed_over(io, "flip", at);
        data[at] ^= (uint8_t)(1 << at % 8);
        bool dense = at % BLOCK < HEADER + 1 || at >= tail;
        at += dense ? 1 : 20011;
        at = at < tail || dense ? at : tail;
    }
    cr_assert_eq(load(io, &older), 2);
    memdisk_destroy(disk);
}

/* Makes one checkpoint file of the bytes given, as the only newer one. */
static void replace(struct spool_io *io, const char *name, const uint8_t *data, size_t len)
{
    (void)!io->ops->remove(io, name);
    int file = io->ops->open(io, name, true, false);
    cr_assert_geq(file, 0);
    if (len > 0) {
        cr_assert_eq(io->ops->pwrite(io, file, data, len, 0), (int64_t)len);
    }
    io->ops->close(io, file);
}

/* A copy of checkpoint `number`, to be laid out anew. */
static uint8_t *copy_of(struct memdisk *disk, const char *name, size_t *len_out)
{
    const uint8_t *data = memdisk_file(disk, name, len_out);
    uint8_t *copy = malloc(*len_out + BLOCK);
    memcpy(copy, data, *len_out);
    return copy;
}

Test(checkpoint, torn_files)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(save(io, 2), 0);
    uint8_t *data = copy_of(disk, "ckpt-0000000002", &len);
    size_t cuts[] = {0,         1,         HEADER - 1,   HEADER,   HEADER + 1, BLOCK - 1, BLOCK,
                     BLOCK + 1, BLOCK * 2, len - HEADER, len - 33, len - 32,   len - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        replace(io, "ckpt-0000000002", data, cuts[i]);
        check_passed_over(io, "cut", cuts[i]);
    }
    data[len] = 0;
    replace(io, "ckpt-0000000002", data, len + 1);
    check_passed_over(io, "longer", len + 1);
    memset(data, 0, len);
    replace(io, "ckpt-0000000002", data, len);
    check_passed_over(io, "zeros", 0);
    free(data);
    memdisk_destroy(disk);
}

Test(checkpoint, blocks_of_elsewhere_or_in_another_order)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(save(io, 2), 0);
    uint8_t *first = copy_of(disk, "ckpt-0000000001", &len);
    uint8_t *second = copy_of(disk, "ckpt-0000000002", &len);
    uint8_t *data = malloc(len + BLOCK);
    /* a whole older one under the newer name */
    replace(io, "ckpt-0000000002", first, len);
    check_passed_over(io, "renamed", 0);
    /* one block of the older one: it verifies by itself */
    for (size_t at = 0; at < len; at += BLOCK) {
        memcpy(data, second, len);
        size_t n = len - at < BLOCK ? len - at : BLOCK;
        memcpy(data + at, first + at, n);
        replace(io, "ckpt-0000000002", data, len);
        check_passed_over(io, "foreign block", at);
    }
    /* the first two in each other's place */
    memcpy(data, second, len);
    memcpy(data, second + BLOCK, BLOCK);
    memcpy(data + BLOCK, second, BLOCK);
    replace(io, "ckpt-0000000002", data, len);
    check_passed_over(io, "exchanged", 0);
    /* one left out, one twice */
    memcpy(data + BLOCK, second + (size_t)2 * BLOCK, len - (size_t)2 * BLOCK);
    memcpy(data, second, BLOCK);
    replace(io, "ckpt-0000000002", data, len - BLOCK);
    check_passed_over(io, "left out", 0);
    memcpy(data + BLOCK, second, len);
    replace(io, "ckpt-0000000002", data, len + BLOCK);
    check_passed_over(io, "twice", 0);
    /* END before its blocks */
    replace(io, "ckpt-0000000002", second + len - HEADER - 32, HEADER + 32);
    check_passed_over(io, "end alone", 0);
    free(first);
    free(second);
    free(data);
    memdisk_destroy(disk);
}

/* On a simulated disk the stamp is made from the number: here that of another attempt is made by
 * hand. */
Test(checkpoint, a_block_of_an_earlier_attempt_at_the_same_number)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(save(io, 2), 0);
    uint8_t *data = memdisk_file(disk, "ckpt-0000000002", &len) + BLOCK;
    data[24] ^= 1;
    uint32_t crc = crc32c(0, data, HEADER - 4);
    memcpy(data + HEADER - 4, &crc, sizeof crc);
    struct format_checkpoint_block block;
    cr_assert(format_checkpoint_block_decode(bytes_of(data, HEADER), &block));
    check_passed_over(io, "stamp", 0);
    memdisk_destroy(disk);
}

Test(checkpoint, a_file_that_changes_after_it_was_verified)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    struct spool_checkpoint_reader *r;
    struct bytes b;
    size_t len;
    cr_assert_eq(save(io, 1), 0);
    cr_assert_eq(open_it(io, &r), 0);
    memdisk_file(disk, "ckpt-0000000001", &len)[BLOCK + HEADER] ^= 1;
    cr_assert_eq(spool_checkpoint_next(r, &b), 1);
    cr_assert_eq(spool_checkpoint_next(r, &b), -EBADMSG);
    cr_assert_eq(spool_checkpoint_next(r, &b), -EBADMSG);
    spool_checkpoint_close(r);
    memdisk_destroy(disk);
}

Test(checkpoint, noise_as_files)
{
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    struct spool_checkpoint_reader *r;
    struct spool_checkpoint_writer *w;
    uint8_t noise[4096];
    uint64_t random = 88172645463325252;
    uint64_t older;
    for (int i = 0; i < 40; i++) { /* more than are listed */
        char name[FORMAT_NAME_SIZE];
        for (size_t k = 0; k < sizeof noise; k++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            noise[k] = (uint8_t)random;
        }
        replace(io, format_checkpoint_name((uint64_t)i + 3, name), noise, (size_t)i * 100);
    }
    cr_assert_eq(open_it(io, &r), -EBADMSG);
    cr_assert_eq(save(io, 9), 0);
    cr_assert_eq(load(io, &older), 9);
    cr_assert_eq(older, 0);
    /* a number behind which there is none */
    replace(io, "ckpt-999999999999999999", noise, sizeof noise);
    cr_assert_eq(spool_checkpoint_begin(io, &w), -EOVERFLOW);
    cr_assert_eq(load(io, &older), 9);
    memdisk_destroy(disk);
}

/* --- crashes --------------------------------------------------------------------------------- */

Test(checkpoint, crash_at_every_operation)
{
    uint64_t at = 0;
    bool through = false;
    while (!through) {
        at++;
        for (uint64_t seed = 1; seed < 8; seed++) {
            struct memdisk *disk = memdisk_create(seed);
            struct spool_io *io = memdisk_io(disk);
            uint64_t older;
            cr_assert_eq(save(io, 1), 0);
            cr_assert_eq(save(io, 2), 0);
            memdisk_crash_at(disk, at);
            uint64_t before = memdisk_operations(disk);
            int err = save(io, 3);
            through = memdisk_operations(disk) - before < at;
            memdisk_crash(disk);
            uint8_t number = load(io, &older);
            cr_assert(number == 3 || (err != 0 && number == 2));
            cr_assert(older == (number - 1) * 100u);
            cr_assert_eq(save(io, 4), 0);
            cr_assert_eq(load(io, &older), 4);
            memdisk_destroy(disk);
        }
    }
    /* making the file, three blocks and the end, fsync, name, directory, the old one */
    cr_assert_eq(at, 1 + 4 + 1 + 1 + 1 + 1 + 1);
}
