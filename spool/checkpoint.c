/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/checkpoint.c: control's table, saved whole.
 *
 *   ckpt.tmp ──write, fsync──▶ rename to ckpt-<number> ──fsync the directory──▶ remove the old ones
 *
 * Promise: a checkpoint under its name is whole and durable, and the one before it stays until the
 *          next is; a damaged one is passed over for the one before.
 * Trap:    the state log may be recycled only below the older one's position: the newest may turn
 *          out to be damaged when it is needed.
 */
#include "spool/format.h"

#include "common/crc32c.h"

#include <errno.h>
#include <stdlib.h>

/* One piece of synchronous I/O: keeps each call short of what a kernel cuts off (2 GiB). */
enum { PIECE_BYTES = 8 << 20, LISTED_MAX = 16 };

static const char NEW_NAME[] = "ckpt.tmp";

/* The newest numbers, descending. */
struct listing {
    uint64_t number[LISTED_MAX];
    uint32_t count;
};

static int note_name(void *ctx, const char *name)
{
    struct listing *l = ctx;
    uint64_t number;
    if (!format_checkpoint_name_parse(name, &number)) {
        return 0;
    }
    uint32_t at = 0;
    while (at < l->count && l->number[at] > number) {
        at++;
    }
    if (at == LISTED_MAX) {
        return 0;
    }
    uint32_t moved = (l->count < LISTED_MAX ? l->count : LISTED_MAX - 1u) - at;
    memmove(&l->number[at + 1], &l->number[at], moved * sizeof l->number[0]);
    l->number[at] = number;
    l->count = at + moved + 1;
    return 0;
}

static int write_all(struct spool_io *io, int file, struct bytes b, uint64_t offset)
{
    while (b.len > 0) {
        struct bytes piece = bytes_first(b, PIECE_BYTES);
        int64_t put = io->ops->pwrite(io, file, piece.data, piece.len, offset);
        if (put <= 0) {
            return put < 0 ? (int)put : -EIO;
        }
        b = bytes_from(b, (size_t)put);
        offset += (uint64_t)put;
    }
    return 0;
}

static int write_file(struct spool_io *io, const struct format_checkpoint *header,
                      struct bytes blob)
{
    uint8_t data[FORMAT_CHECKPOINT_HEADER_BYTES];
    format_checkpoint_encode(header, data);
    int err = io->ops->remove(io, NEW_NAME);
    if (err != 0 && err != -ENOENT) {
        return err;
    }
    int file = io->ops->open(io, NEW_NAME, true, false);
    if (file < 0) {
        return file;
    }
    err = write_all(io, file, bytes_of(data, sizeof data), 0);
    if (err == 0) {
        err = write_all(io, file, blob, sizeof data);
    }
    if (err == 0) {
        err = io->ops->sync(io, file);
    }
    io->ops->close(io, file);
    return err;
}

/* Reads a checkpoint's blob. -EBADMSG when it does not verify. */
static int read_blob(struct spool_io *io, int file, const struct format_checkpoint *header,
                     void **blob_out)
{
    int64_t size = io->ops->size(io, file);
    if (size < 0) {
        return (int)size;
    }
    if ((uint64_t)size < FORMAT_CHECKPOINT_HEADER_BYTES + header->blob_bytes) {
        return -EBADMSG;
    }
    size_t len = (size_t)header->blob_bytes;
    uint8_t *blob = malloc(len > 0 ? len : 1);
    if (blob == NULL) {
        return -ENOMEM;
    }
    size_t have = 0;
    int64_t got = 1;
    while (have < len && got > 0) {
        size_t piece = len - have < PIECE_BYTES ? len - have : PIECE_BYTES;
        got = io->ops->pread(io, file, blob + have, piece, FORMAT_CHECKPOINT_HEADER_BYTES + have);
        have += got > 0 ? (size_t)got : 0;
    }
    if (got < 0 || have < len || crc32c(0, blob, len) != header->blob_crc) {
        free(blob);
        return got < 0 ? (int)got : -EBADMSG;
    }
    *blob_out = blob;
    return 0;
}

/* 0 with the header, and the blob when blob_out is given; -EBADMSG when it does not verify. */
static int load(struct spool_io *io, uint64_t number, struct format_checkpoint *header_out,
                void **blob_out)
{
    char name[FORMAT_NAME_SIZE];
    uint8_t data[FORMAT_CHECKPOINT_HEADER_BYTES];
    int file = io->ops->open(io, format_checkpoint_name(number, name), false, false);
    if (file < 0) {
        return file;
    }
    int64_t got = io->ops->pread(io, file, data, sizeof data, 0);
    int err = got < 0 ? (int)got : 0;
    if (err == 0 && (!format_checkpoint_decode(bytes_of(data, (size_t)got), header_out) ||
                     header_out->number != number)) {
        err = -EBADMSG;
    }
    void *blob = NULL;
    if (err == 0) {
        err = read_blob(io, file, header_out, &blob);
    }
    io->ops->close(io, file);
    if (err == 0 && blob_out != NULL) {
        *blob_out = blob;
    } else {
        free(blob);
    }
    return err;
}

int spool_checkpoint_save(struct spool_io *io, uint64_t message_pos, uint64_t state_pos,
                          struct bytes blob)
{
    assert(blob.len <= FORMAT_CHECKPOINT_BYTES_MAX);
    struct listing old = {.count = 0};
    char name[FORMAT_NAME_SIZE];
    int err = io->ops->list(io, note_name, &old);
    if (err != 0) {
        return err;
    }
    struct format_checkpoint header = {
        .number = old.count > 0 ? old.number[0] + 1 : 1,
        .message_pos = message_pos,
        .state_pos = state_pos,
        .blob_bytes = blob.len,
        .blob_crc = crc32c(0, blob.data, blob.len),
    };
    err = write_file(io, &header, blob);
    if (err == 0) {
        err = io->ops->rename(io, NEW_NAME, format_checkpoint_name(header.number, name));
    }
    if (err == 0) {
        err = io->ops->sync_dir(io);
    }
    bool kept = false; /* the newest older one that is good, and what is newer than that */
    for (uint32_t i = 0; err == 0 && i < old.count; i++) {
        if (!kept) {
            kept = load(io, old.number[i], &header, NULL) == 0;
            continue;
        }
        /* What cannot be removed now is removed next time. */
        (void)io->ops->remove(io, format_checkpoint_name(old.number[i], name));
    }
    return err;
}

int spool_checkpoint_load(struct spool_io *io, uint64_t *message_pos_out, uint64_t *state_pos_out,
                          uint64_t *older_state_pos_out, void **blob_out, size_t *len_out)
{
    struct listing all = {.count = 0};
    int err = io->ops->list(io, note_name, &all);
    bool found = false;
    bool damaged = false;
    *older_state_pos_out = 0; /* no older one that verifies: the state log may not go at all */
    for (uint32_t i = 0; err == 0 && i < all.count; i++) {
        struct format_checkpoint header;
        int bad = load(io, all.number[i], &header, found ? NULL : blob_out);
        if (bad == -EBADMSG || bad == -EIO || bad == -ENOENT) {
            damaged |= bad != -ENOENT;
            continue;
        }
        if (bad != 0) {
            err = bad;
        } else if (found) {
            *older_state_pos_out = header.state_pos;
            return 0;
        } else {
            *message_pos_out = header.message_pos;
            *state_pos_out = header.state_pos;
            *len_out = (size_t)header.blob_bytes;
            found = true;
        }
    }
    if (err != 0 && found) {
        free(*blob_out);
    }
    /* Without one the state log may be gone in part: what was delivered would be sent again. */
    return err != 0 ? err : found ? 0 : damaged ? -EBADMSG : -ENOENT;
}
