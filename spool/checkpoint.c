/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/checkpoint.c: writing a checkpoint block by block. See checkpoint.h.
 *
 * Promise: until the file has its name, nothing of the older checkpoints is touched; an older one
 *          is removed only while one between it and the new one is good.
 * Trap:    each block carries the checkpoint's stamp. The stamp is random: a block that an earlier
 *          attempt left on the disk under the same number is not taken for a block of this
 *          checkpoint. */
#include "spool/checkpoint.h"

#include "common/crc32c.h"
#include "spool/checkpoint_file.h"
#include "spool/spool.h"

#include <errno.h>
#include <stdlib.h>

static const char NEW_NAME[] = "ckpt.tmp";

struct spool_checkpoint_writer {
    struct spool_io *io;
    int file;
    int err; /* the first error; it stays */
    uint64_t number;
    uint8_t stamp[FORMAT_CHECKPOINT_STAMP_BYTES];
    uint64_t offset;
    uint64_t block_count;
    uint64_t payload_bytes; /* of the blocks that are written */
    uint32_t used;          /* payload bytes in the buffer */
    struct checkpoint_listing old;
    uint8_t buffer[FORMAT_CHECKPOINT_HEADER_BYTES + FORMAT_CHECKPOINT_PAYLOAD_MAX];
};

static int make_stamp(struct spool_checkpoint_writer *w)
{
    struct spool_io *io = w->io;
    if (io->ops->random != NULL) {
        return io->ops->random(io, w->stamp, sizeof w->stamp);
    }
    memcpy(w->stamp, &w->number, sizeof w->number); /* a simulated disk has no random bytes */
    return 0;
}

static int make_file(struct spool_checkpoint_writer *w)
{
    struct spool_io *io = w->io;
    int err = io->ops->remove(io, NEW_NAME);
    if (err != 0 && err != -ENOENT) {
        return err;
    }
    w->file = io->ops->open(io, NEW_NAME, true, false);
    return w->file < 0 ? w->file : 0;
}

int spool_checkpoint_begin(struct spool_io *io, struct spool_checkpoint_writer **writer_out)
{
    struct spool_checkpoint_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return -ENOMEM;
    }
    w->io = io;
    w->file = -1;
    int err = checkpoint_list(io, &w->old);
    w->number = w->old.count > 0 ? w->old.number[0] + 1 : 1;
    if (err == 0 && w->number > FORMAT_CHECKPOINT_NUMBER_MAX) {
        err = -EOVERFLOW;
    }
    err = err == 0 ? make_stamp(w) : err;
    err = err == 0 ? make_file(w) : err;
    if (err != 0) {
        free(w);
        return err;
    }
    assert(w->file >= 0 && w->used == 0);
    *writer_out = w;
    return 0;
}

static int write_all(struct spool_checkpoint_writer *w, struct bytes b)
{
    while (b.len > 0) {
        int64_t put = w->io->ops->pwrite(w->io, w->file, b.data, b.len, w->offset);
        if (put <= 0) {
            return put < 0 ? (int)put : -EIO;
        }
        b = bytes_from(b, (size_t)put);
        w->offset += (uint64_t)put;
    }
    return 0;
}

/* Writes what the buffer holds as one block. */
static int write_block(struct spool_checkpoint_writer *w, enum format_checkpoint_kind kind)
{
    assert(w->used > 0 && w->used <= FORMAT_CHECKPOINT_PAYLOAD_MAX);
    struct format_checkpoint_block block = {
        .kind = kind,
        .number = w->number,
        .seq = w->block_count,
        .payload_bytes = w->used,
        .payload_crc = crc32c(0, w->buffer + FORMAT_CHECKPOINT_HEADER_BYTES, w->used),
    };
    memcpy(block.stamp, w->stamp, sizeof block.stamp);
    format_checkpoint_block_encode(&block, w->buffer);
    uint64_t begin = w->offset;
    int err = write_all(w, bytes_of(w->buffer, FORMAT_CHECKPOINT_HEADER_BYTES + w->used));
    if (kind == FORMAT_CHECKPOINT_DATA) {
        w->block_count++;
        w->payload_bytes += w->used;
    }
    w->used = 0;
    if (err == 0 && w->io->ops->write_out != NULL) {
        w->io->ops->write_out(w->io, w->file, begin, w->offset - begin);
    }
    return err;
}

static void flush(struct spool_checkpoint_writer *w)
{
    if (w->err == 0 && w->used > 0) {
        w->err = write_block(w, FORMAT_CHECKPOINT_DATA);
    }
}

int spool_checkpoint_append(struct spool_checkpoint_writer *w, struct bytes piece)
{
    if (w->err == 0 && piece.len > FORMAT_CHECKPOINT_BYTES_MAX - w->payload_bytes - w->used) {
        w->err = -EFBIG;
    }
    if (w->used + piece.len > FORMAT_CHECKPOINT_PAYLOAD_MAX &&
        piece.len <= FORMAT_CHECKPOINT_PAYLOAD_MAX) {
        flush(w); /* a piece that fits into one block is not split */
    }
    while (w->err == 0 && piece.len > 0) {
        struct bytes part = bytes_first(piece, FORMAT_CHECKPOINT_PAYLOAD_MAX - w->used);
        memcpy(w->buffer + FORMAT_CHECKPOINT_HEADER_BYTES + w->used, part.data, part.len);
        w->used += (uint32_t)part.len;
        piece = bytes_from(piece, part.len);
        if (w->used == FORMAT_CHECKPOINT_PAYLOAD_MAX) {
            flush(w);
        }
    }
    assert(w->used < FORMAT_CHECKPOINT_PAYLOAD_MAX);
    return w->err;
}

static int write_end(struct spool_checkpoint_writer *w, uint64_t message_pos, uint64_t state_pos)
{
    assert(w->used == 0);
    struct format_checkpoint_end end = {
        .message_pos = message_pos,
        .state_pos = state_pos,
        .payload_bytes = w->payload_bytes,
        .block_count = w->block_count,
    };
    format_checkpoint_end_encode(&end, w->buffer + FORMAT_CHECKPOINT_HEADER_BYTES);
    w->used = FORMAT_CHECKPOINT_END_BYTES;
    return write_block(w, FORMAT_CHECKPOINT_END);
}

/* Closes the file and gives it its name. */
static int publish(struct spool_checkpoint_writer *w)
{
    struct spool_io *io = w->io;
    char name[FORMAT_NAME_SIZE];
    io->ops->close(io, w->file);
    w->file = -1;
    int err = io->ops->rename(io, NEW_NAME, format_checkpoint_name(w->number, name));
    return err == 0 ? io->ops->sync_dir(io) : err;
}

static bool is_good(struct spool_checkpoint_writer *w, uint64_t number)
{
    struct checkpoint_walk walk;
    struct format_checkpoint_end end;
    if (checkpoint_walk_open(w->io, number, w->buffer, &walk) != 0) {
        return false;
    }
    bool good = checkpoint_verify(&walk, &end) == 0;
    checkpoint_walk_close(&walk);
    return good;
}

/* Keeps the newest older checkpoint that is good, and all newer ones. Removes the others. */
static void remove_old(struct spool_checkpoint_writer *w)
{
    struct spool_io *io = w->io;
    char name[FORMAT_NAME_SIZE];
    bool kept = false;
    for (uint32_t i = 0; i < w->old.count; i++) {
        if (!kept) {
            kept = is_good(w, w->old.number[i]);
            continue;
        }
        /* If this fails, the next checkpoint tries again. */
        (void)io->ops->remove(io, format_checkpoint_name(w->old.number[i], name));
    }
}

int spool_checkpoint_finish(struct spool_checkpoint_writer *w, uint64_t message_pos,
                            uint64_t state_pos)
{
    flush(w);
    int err = w->err;
    err = err == 0 ? write_end(w, message_pos, state_pos) : err;
    err = err == 0 ? w->io->ops->sync(w->io, w->file) : err;
    if (err != 0) {
        spool_checkpoint_abandon(w);
        return err;
    }
    err = publish(w);
    if (err == 0) {
        remove_old(w);
    }
    free(w);
    return err;
}

void spool_checkpoint_abandon(struct spool_checkpoint_writer *w)
{
    if (w == NULL) {
        return;
    }
    assert(w->file >= 0);
    w->io->ops->close(w->io, w->file);
    /* If this fails, the next checkpoint removes it. */
    (void)w->io->ops->remove(w->io, NEW_NAME);
    free(w);
}

int spool_checkpoint_save(struct spool_io *io, uint64_t message_pos, uint64_t state_pos,
                          struct bytes blob)
{
    struct spool_checkpoint_writer *w;
    int err = spool_checkpoint_begin(io, &w);
    if (err != 0) {
        return err;
    }
    err = spool_checkpoint_append(w, blob);
    if (err != 0) {
        spool_checkpoint_abandon(w);
        return err;
    }
    return spool_checkpoint_finish(w, message_pos, state_pos);
}
