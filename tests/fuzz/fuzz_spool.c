/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_spool.c: a spool directory whose bytes are not what was written.
 *
 * Target functions: spool_writer_open (recovery: meta, segment headers, the ends of both logs),
 * spool_scan_messages, spool_scan_states, spool_read_record, spool_read_body, spool_list_segments.
 *
 * Input: changes, each of { what: bits 0 to 2 the file, bits 3 and 4 how; block and offset, 2 bytes
 * each; value }: a byte, a sector of zeros, a sector copied from another block, a whole file of
 * zeros. The spool holds mail of one and of several records in two runs of a writer.
 *
 * Promise: recovery ends with a writer or with -EBADMSG for a spoiled meta file. Each message in a
 *          file that nobody touched is found, whatever became of the files beside it, and each byte
 *          of its body is right. No message is found that was not written, nor read with a wrong
 *          byte.
 */
#include "spool/reader.h"
#include "tests/fuzz/reach.h"
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(opened), MARK(meta_refused), MARK(damage_seen), MARK(all_found), MARK(some_lost),         \
        MARK(body_good), MARK(body_refused), MARK(new_message), MARK(found_beside_damage)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 12, CHANGES_MAX = 16, SECTOR = 512, RUNS = 2, MESSAGE_FILES = 3 };

struct world {
    struct memdisk *disk;
    struct spool_io *io;
    uint64_t id[MESSAGES];
    uint64_t pos[MESSAGES];
    uint32_t file[MESSAGES]; /* the number of the file that all of the message lies in */
    bool touched;            /* anything at all */
    bool file_touched[MESSAGE_FILES + 1];
};

static void fill(struct world *w)
{
    struct spool_writer *writer;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        if (i % (MESSAGES / RUNS) == 0) {
            int r = spool_writer_open(w->io, &helper_settings, &writer);
            assert(r == 0);
        }
        w->id[i] = (uint64_t)(i + 1) << 4;
        enum spool_result result =
            helper_message(writer, w->id[i], 1 + i % 3, 100 + i * 300, &w->pos[i]);
        assert(result == SPOOL_RESULT_OK);
        if (i + 1 < MESSAGES) { /* nothing after the last one: damage to it may be a torn tail */
            result = helper_state(writer, w->id[i], NULL);
            assert(result == SPOOL_RESULT_OK);
        }
        if ((i + 1) % (MESSAGES / RUNS) == 0) {
            spool_writer_close(writer);
        }
    }
}

/* No message is so large that it would lie in two segments of a run. */
static void find_files(struct world *w)
{
    struct spool_reader *reader;
    int r = spool_reader_open(w->io, &reader);
    assert(r == 0);
    const struct segment_table *table = &reader->table[LOG_MESSAGE];
    for (uint32_t i = 0; i < MESSAGES; i++) {
        size_t at = reader_table_at(table, spool_pos_seq(w->pos[i]));
        assert(at < table->count && table->file[at].seq == spool_pos_seq(w->pos[i]));
        w->file[i] = table->file[at].file_number;
        assert(w->file[i] >= 1 && w->file[i] <= MESSAGE_FILES);
    }
    spool_reader_close(reader);
    assert(w->file[0] != w->file[MESSAGES - 1]);
}

/* true: the file is not what it was. */
static bool change_file(uint8_t *file, size_t len, uint8_t how, size_t block, size_t offset,
                        uint8_t value)
{
    uint8_t *before = malloc(len);
    assert(before != NULL);
    memcpy(before, file, len);
    uint8_t *sector = file + block % (len / SECTOR) * SECTOR;
    switch (how & 3) {
    case 0:
        sector[offset % SECTOR] = value;
        break;
    case 1:
        memset(sector, 0, SECTOR);
        break;
    case 2:
        memmove(sector, file + offset % (len / SECTOR) * SECTOR, SECTOR);
        break;
    default:
        memset(file, 0, len);
        break;
    }
    bool changed = memcmp(before, file, len) != 0;
    free(before);
    return changed;
}

static void change(struct world *w, struct cursor *c)
{
    static const char *const name[8] = {
        "msg-000001.seg",   "msg-000002.seg",   "msg-000003.seg", "state-000001.seg",
        "state-000002.seg", "state-000003.seg", "meta",           "meta-2"};
    uint8_t what = cursor_u8(c);
    size_t block = cursor_le16(c);
    size_t offset = cursor_le16(c);
    uint8_t value = cursor_u8(c);
    size_t len = 0;
    uint8_t *file = c->failed ? NULL : memdisk_file(w->disk, name[what & 7], &len);
    if (file == NULL || len < SECTOR) {
        return;
    }
    bool changed = change_file(file, len, what >> 3, block, offset, value);
    w->touched |= changed;
    if ((what & 7) < MESSAGE_FILES) {
        w->file_touched[(what & 7) + 1] |= changed;
    }
    memdisk_keep(w->disk);
}

/* Checks that all that is found was written, and that all that nobody touched is found. */
static void check(struct world *w)
{
    static struct helper_seen seen;
    helper_scan(w->io, &seen);
    REACH_IF(seen.damage_count > 0, damage_seen);
    REACH_IF(seen.commit_count == MESSAGES, all_found);
    REACH_IF(seen.commit_count < MESSAGES, some_lost);
    assert(w->touched || (seen.commit_count == MESSAGES && seen.damage_count == 0));
    assert(w->touched || seen.state_count == MESSAGES - 1);
    for (uint32_t i = 0; i < seen.commit_count; i++) {
        assert(helper_has(w->id, MESSAGES, seen.commit[i]));
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        bool touched = w->file_touched[w->file[i]];
        int r = helper_check_body(w->io, w->pos[i], w->id[i], NULL);
        assert(touched || helper_has(seen.commit, seen.commit_count, w->id[i]));
        assert(r == 0 || (touched && (r == -EBADMSG || r == -ENOENT)));
        REACH_IF(!touched && seen.commit_count < MESSAGES, found_beside_damage);
        REACH_IF(r == 0, body_good);
        REACH_IF(r != 0, body_refused);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {.disk = memdisk_create(1)};
    struct world *w = &world;
    w->io = memdisk_io(w->disk);
    fill(w);
    find_files(w);
    struct cursor c = cursor_of(bytes_of(data, size));
    for (unsigned i = 0; i < CHANGES_MAX && c.rest.len > 0; i++) {
        change(w, &c);
    }
    struct spool_writer *writer;
    int r = spool_writer_open(w->io, &helper_settings, &writer);
    assert(r == 0 || (w->touched && r == -EBADMSG));
    if (r == 0) {
        REACH(opened);
        check(w);
        enum spool_result result = helper_message(writer, UINT64_C(1) << 40, 1, 100, NULL);
        assert(result == SPOOL_RESULT_OK || w->touched);
        REACH_IF(result == SPOOL_RESULT_OK, new_message);
        spool_writer_close(writer);
    } else {
        REACH(meta_refused);
    }
    memdisk_destroy(w->disk);
    return 0;
}
