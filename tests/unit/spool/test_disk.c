/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_disk.c: real files, with both ways of submitting. */
#include "tests/unit/spool/helper.h"
#include "spool/checkpoint.h"
#include "spool/tool.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static char dir[80];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void setup(void)
{
    /* Not /tmp when that is a tmpfs: O_DIRECT is part of what is tested. */
    snprintf(root, sizeof root, "/var/tmp/hf-spool-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/spool", root);
}

static void teardown(void)
{
    cr_assert_eq(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(disk, .init = setup, .fini = teardown, .timeout = 60);

static struct spool_io *open_disk(const char *kind, bool read_only)
{
    struct spool_io *io;
    int err = spool_io_create(dir, kind, -1, read_only, &io);
    if (err == -EPERM || err == -EACCES || err == -ENOSYS) {
        cr_skip_test("io_uring is forbidden here");
    }
    cr_assert_eq(err, 0, "%d", err);
    return io;
}

/* One whole life of a spool: batches of many records, a full spool, recycling, a restart, a reader
 * beside the writer. */
static void whole_life(const char *kind)
{
    struct spool_io *io = open_disk(kind, false);
    struct spool_writer *w;
    cr_assert_eq(spool_writer_open(io, &helper_settings, &w), 0);
    enum { COUNT = 1200 };
    static struct spool_txn txn[COUNT];
    static struct helper_record *r[COUNT];
    for (int i = 0; i < COUNT; i++) {
        txn[i] = (struct spool_txn){.id = 16 + (uint64_t)i * 16};
        r[i] = helper_submit(w, &txn[i], 200, true);
    }
    helper_run(w);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(r[i]->submit.result, SPOOL_RESULT_OK);
        helper_record_free(r[i]);
    }
    uint64_t pos;
    size_t len;
    cr_assert_eq(helper_message(w, 48000, 40, 30000, &pos), SPOOL_RESULT_OK);
    cr_assert_eq(helper_state(w, 48000, NULL), SPOOL_RESULT_OK);
    struct spool_io *beside = open_disk("auto", true);
    cr_assert_eq(helper_check_body(beside, pos, 48000, &len), 0);
    cr_assert_eq(len, 40 * 30000);
    struct spool_writer *second;
    struct spool_io *rival = open_disk(kind, false);
    cr_assert_eq(spool_writer_open(rival, &helper_settings, &second), -EWOULDBLOCK);
    rival->ops->destroy(rival);
    uint32_t n = 0;
    while (helper_message(w, 64000 + n * 16, 4, 60000, NULL) == SPOOL_RESULT_OK) {
        n++;
    }
    for (uint64_t seq = 1; seq < 4; seq++) {
        helper_simple(w, SPOOL_SUBMIT_RECYCLE, seq, spool_writer_message_pos(w));
    }
    cr_assert_eq(helper_message(w, 160000, 4, 60000, &pos), SPOOL_RESULT_OK);
    spool_writer_close(w);
    cr_assert_eq(spool_writer_open(io, &helper_settings, &w), 0);
    cr_assert_eq(spool_writer_start(w), 3);
    for (uint64_t seq = 2; seq < 5; seq++) { /* what was free but not yet used is asked for again */
        helper_simple(w, SPOOL_SUBMIT_RECYCLE, seq, spool_writer_message_pos(w));
    }
    cr_assert_eq(helper_message(w, 320000, 1, 100, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_check_body(beside, pos, 160000, NULL), 0);
    struct helper_seen seen;
    helper_scan(beside, &seen);
    cr_assert_eq(seen.damage_count, 0);
    cr_assert(helper_has(seen.commit, seen.commit_count, 320000));
    spool_writer_close(w);
    beside->ops->destroy(beside);
    io->ops->destroy(io);
}

Test(disk, whole_life_pwritev2)
{
    whole_life("pwritev2");
}

static void *write_one(void *ctx)
{
    struct spool_txn txn = {.id = 32};
    struct helper_record *r = helper_submit(ctx, &txn, 200, true);
    helper_run(ctx);
    cr_assert_eq(r->submit.result, SPOOL_RESULT_OK);
    return NULL;
}

/* A start after a fault does so: the main thread writes a record, then the writer's thread goes
 * on. */
Test(disk, io_uring_is_handed_to_another_thread)
{
    struct spool_io *io = open_disk("io_uring", false);
    struct spool_writer *w;
    pthread_t thread;
    cr_assert_eq(spool_writer_open(io, &helper_settings, &w), 0);
    struct spool_txn txn = {.id = 16};
    struct helper_record *r = helper_submit(w, &txn, 200, true);
    helper_run(w);
    cr_assert_eq(r->submit.result, SPOOL_RESULT_OK);
    cr_assert_eq(pthread_create(&thread, NULL, write_one, w), 0);
    pthread_join(thread, NULL);
    spool_writer_close(w);
    io->ops->destroy(io);
}

Test(disk, whole_life_io_uring)
{
    whole_life("io_uring");
}

Test(disk, kinds)
{
    struct spool_io *io;
    cr_assert_eq(spool_io_create(dir, "aio", -1, false, &io), -EINVAL);
    cr_assert_eq(spool_io_create("/nonexistent/spool", "auto", -1, false, &io), -ENOENT);
    cr_assert_eq(spool_io_create(dir, "auto", -1, true, &io), -ENOENT); /* makes nothing */
    io = open_disk("auto", false);
    io->ops->destroy(io);
    io = open_disk("auto", true);
    cr_assert_eq(io->ops->open(io, "meta", true, false), -EROFS);
    io->ops->destroy(io);
}

/* --- a reader beside a running writer -------------------------------------------------------- */

struct beside {
    _Atomic bool stop;
    _Atomic uint64_t durable_pos;
    uint32_t damage_count;
    uint32_t tail_count;
    uint64_t record_count;
};

static int count(void *ctx, const struct spool_scan_item *item)
{
    struct beside *b = ctx;
    b->damage_count += item->verdict == SPOOL_SCAN_DAMAGE;
    b->tail_count += item->verdict == SPOOL_SCAN_TAIL;
    b->record_count += item->verdict == SPOOL_SCAN_RECORD;
    return 0;
}

static void *read_on(void *arg)
{
    struct beside *b = arg;
    struct spool_io *io = open_disk("pwritev2", true);
    struct spool_reader *r;
    cr_assert_eq(spool_reader_open(io, &r), 0);
    uint64_t from = 0;
    while (!atomic_load(&b->stop)) {
        uint64_t to = atomic_load(&b->durable_pos);
        cr_assert_eq(spool_scan_messages(r, from, to, count, b), 0);
        cr_assert_eq(spool_scan_states(r, 0, UINT64_MAX, count, b), 0);
        from = to;
    }
    /* Then one scan from the start to the end. */
    cr_assert_eq(spool_scan_messages(r, 0, UINT64_MAX, count, b), 0);
    spool_reader_close(r);
    io->ops->destroy(io);
    return NULL;
}

Test(disk, reader_beside_a_running_writer)
{
    struct spool_io *io = open_disk("auto", false);
    struct spool_writer *w;
    cr_assert_eq(spool_writer_open(io, &helper_settings, &w), 0);
    static struct beside b;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, read_on, &b), 0);
    uint64_t recycled = 1;
    for (uint64_t i = 1; i < 400; i++) {
        cr_assert_eq(helper_message(w, i * 16, 1 + i % 3, 20000, NULL), SPOOL_RESULT_OK);
        helper_state(w, i * 16, NULL);
        uint64_t pos = spool_writer_message_pos(w);
        atomic_store(&b.durable_pos, pos);
        while (spool_pos_seq(pos) > recycled + 2) {
            helper_simple(w, SPOOL_SUBMIT_RECYCLE, recycled++, pos);
        }
    }
    atomic_store(&b.stop, true);
    pthread_join(thread, NULL);
    cr_assert_eq(b.damage_count, 0);
    cr_assert_gt(b.record_count, 100);
    spool_writer_close(w);
    io->ops->destroy(io);
}

/* --- the operator's tool --------------------------------------------------------------------- */

static int look(void *ctx, const struct spool_tool_item *item)
{
    uint32_t *n = ctx;
    cr_assert(item->has_envelope && item->delivery_count == 2);
    cr_assert(bytes_equal(item->envelope->sender, bytes_str("sender@example.org")));
    cr_assert_eq(item->received_ms, 1000 + item->id);
    cr_assert_eq(item->body_bytes, 9000);
    bool first = item->id == 16;
    cr_assert_eq(rcptset_has(&item->delivery[0].delivered, 0), first);
    cr_assert_eq(item->delivery[0].has_state, first);
    cr_assert_not(item->delivery[1].has_state);
    cr_assert(item->delivery[0].route_id == 7 && item->delivery[1].route_id == 8);
    (*n)++;
    return 0;
}

static bool know(void *ctx, uint64_t id, uint64_t commit_pos, struct spool_tool_hint *hint_out)
{
    const uint64_t *pos = ctx;
    *hint_out = (struct spool_tool_hint){.is_done = true};
    return commit_pos == *pos && id >= 32;
}

static int look_again(void *ctx, const struct spool_tool_item *item)
{
    uint32_t *n = ctx;
    bool first = item->id == 16;
    cr_assert(rcptset_has(&item->delivery[0].delivered, 0));
    cr_assert_eq(rcptset_has(&item->delivery[1].delivered, 0), !first);
    (*n)++;
    return 0;
}

static size_t file_bytes(const char *name, char *out, size_t size)
{
    char path[160];
    snprintf(path, sizeof path, "%s/out/%s", root, name);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    fclose(f);
    return n;
}

Test(disk, tool)
{
    struct spool_io *io = open_disk("auto", false);
    struct spool_writer *w;
    cr_assert_eq(spool_writer_open(io, &helper_settings, &w), 0);
    uint64_t pos;
    cr_assert_eq(helper_message(w, 16, 3, 3000, NULL), SPOOL_RESULT_OK);
    cr_assert_eq(helper_message(w, 32, 3, 3000, &pos), SPOOL_RESULT_OK);
    cr_assert_eq(helper_state(w, 16, NULL), SPOOL_RESULT_OK);
    struct spool_io *beside = open_disk("auto", true);
    struct spool_reader *r;
    cr_assert_eq(spool_reader_open(beside, &r), 0);
    struct spool_tool_source source = {.reader = r};
    uint32_t n = 0;
    cr_assert_eq(spool_tool_list(&source, look, &n), 0);
    cr_assert_eq(n, 2);
    /* Somebody knows that the second message is done, and nothing of the first. */
    struct spool_tool_source asking = {.reader = r, .hint = know, .hint_ctx = &pos};
    n = 0;
    cr_assert_eq(spool_tool_list(&asking, look_again, &n), 0);
    cr_assert_eq(n, 2);
    struct spool_tool_counts counts;
    cr_assert_eq(spool_tool_verify(&source, &counts, NULL, NULL), 0);
    cr_assert(counts.messages == 2 && counts.records == 6 && counts.states == 1);
    cr_assert(counts.body_bytes == 18000 && counts.segments >= 1 && counts.torn == 0);

    char out[128];
    uint64_t exported;
    snprintf(out, sizeof out, "%s/out", root);
    cr_assert_eq(mkdir(out, 0700), 0);
    cr_assert_eq(spool_tool_export(&source, out, &exported, NULL, NULL), 0);
    cr_assert_eq(exported, 2);
    static char text[20000];
    cr_assert_eq(file_bytes("g.eml", text, sizeof text), 9000);
    cr_assert_eq((uint8_t)text[5000], helper_byte(16, 5000));
    cr_assert_gt(file_bytes("g.json", text, sizeof text), 100);
    cr_assert_not_null(strstr(text, "\"address\": \"a@uni.example\", \"state\": \"delivered\""));
    cr_assert_not_null(strstr(text, "\"address\": \"b@law.uni.example\", \"state\": \"waiting\""));
    cr_assert_eq(spool_tool_export(&source, out, &exported, NULL, NULL), -EEXIST);

    /* Rot in the second message: one damaged place in the log, one broken message. */
    char path[128];
    snprintf(path, sizeof path, "%s/msg-000001.seg", dir);
    spool_writer_close(w);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    off_t at = (off_t)spool_pos_offset(pos) + 1000;
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 8;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    cr_assert_gt(spool_tool_verify(&source, &counts, NULL, NULL), 0);
    cr_assert(counts.messages + counts.damaged >= 2 && counts.body_bytes == 9000);
    spool_reader_close(r);
    beside->ops->destroy(beside);
    io->ops->destroy(io);
}

/* --- checkpoints ----------------------------------------------------------------------------- */

static void save_two(void *arg)
{
    struct spool_io *io = arg;
    static uint8_t blob[700000];
    for (uint64_t i = 1; i <= 2; i++) {
        struct spool_checkpoint_writer *w;
        cr_assert_eq(spool_checkpoint_begin(io, &w), 0);
        cr_assert_eq(spool_checkpoint_append(w, bytes_of(blob, sizeof blob)), 0);
        cr_assert_eq(spool_checkpoint_finish(w, i, i * 10), 0);
    }
}

static void *save_thread(void *arg)
{
    save_two(arg);
    return NULL;
}

/* The first block of a checkpoint. */
static struct format_checkpoint_block first_block(struct spool_io *io, const char *name)
{
    uint8_t data[FORMAT_CHECKPOINT_HEADER_BYTES];
    struct format_checkpoint_block block;
    int file = io->ops->open(io, name, false, false);
    cr_assert_geq(file, 0);
    cr_assert_eq(io->ops->pread(io, file, data, sizeof data, 0), sizeof data);
    io->ops->close(io, file);
    cr_assert(format_checkpoint_block_decode(bytes_of(data, sizeof data), &block));
    return block;
}

/* Checkpoints are written by a thread with an io of its own, while the writer of the logs runs. */
Test(disk, checkpoints_of_another_thread)
{
    struct spool_io *io = open_disk("pwritev2", false);
    struct spool_io *own = open_disk("pwritev2", false);
    struct spool_writer *w;
    pthread_t thread;
    cr_assert_eq(spool_writer_open(io, &helper_settings, &w), 0);
    cr_assert_eq(pthread_create(&thread, NULL, save_thread, own), 0);
    for (uint64_t id = 16; id < 1600; id += 16) {
        cr_assert_eq(helper_message(w, id, 1, 100, NULL), SPOOL_RESULT_OK);
    }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    struct spool_checkpoint_reader *r;
    uint64_t pos[3];
    struct bytes piece;
    uint64_t sum = 0;
    cr_assert_eq(spool_checkpoint_open(io, &r, &pos[0], &pos[1], &pos[2]), 0);
    cr_assert(pos[0] == 2 && pos[1] == 20 && pos[2] == 10);
    save_two(own); /* those that were there are removed: the open one goes on being read */
    int more;
    while ((more = spool_checkpoint_next(r, &piece)) > 0) {
        sum += piece.len;
    }
    cr_assert(more == 0 && sum == 700000);
    spool_checkpoint_close(r);
    struct format_checkpoint_block a = first_block(io, "ckpt-0000000003");
    struct format_checkpoint_block b = first_block(io, "ckpt-0000000004");
    cr_assert_neq(memcmp(a.stamp, b.stamp, sizeof a.stamp), 0);
    spool_writer_close(w);
    io->ops->destroy(io);
    own->ops->destroy(own);
}
