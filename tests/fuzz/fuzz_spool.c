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
 * Promise: recovery ends with a writer or with -EBADMSG for a spoiled meta file. While nobody
 *          touched the message log each message is found, and each byte of its body is right; no
 *          message is found that was not written, nor read with a wrong byte.
 */
#include "tests/fuzz/reach.h"
#include "tests/unit/spool/helper.h"
#include "tests/unit/spool/memdisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(opened), MARK(meta_refused), MARK(damage_seen), MARK(all_found), MARK(some_lost),         \
        MARK(body_good), MARK(body_refused), MARK(new_message)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 12, CHANGES_MAX = 16, SECTOR = 512, RUNS = 2 };

struct world {
    struct memdisk *disk;
    struct spool_io *io;
    uint64_t id[MESSAGES];
    uint64_t pos[MESSAGES];
    bool touched;          /* anything at all */
    bool messages_touched; /* a file of the message log */
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
    uint8_t *sector = file + block % (len / SECTOR) * SECTOR;
    switch (what >> 3 & 3) {
    case 0:
        w->touched |= sector[offset % SECTOR] != value;
        sector[offset % SECTOR] = value;
        break;
    case 1:
        memset(sector, 0, SECTOR);
        w->touched = true;
        break;
    case 2:
        memmove(sector, file + offset % (len / SECTOR) * SECTOR, SECTOR);
        w->touched = true;
        break;
    default:
        memset(file, 0, len);
        w->touched = true;
        break;
    }
    w->messages_touched |= w->touched && (what & 7) < 3;
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
    assert(w->messages_touched || seen.commit_count == MESSAGES);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        int r = helper_check_body(w->io, w->pos[i], w->id[i], NULL);
        assert(r == 0 || (w->messages_touched && (r == -EBADMSG || r == -ENOENT)));
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
