/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/checkpoint_read.c: reading a checkpoint: reads it twice, once to verify it, then to hand it
 * out. See checkpoint.h.
 *
 * Promise: nothing of a checkpoint is handed out unless all of it verified; every block is verified
 *          again when it is handed out.
 * Trap:    the file stays open between the two readings, so that it can still be read when a writer
 *          removes it meanwhile. */
#include "spool/checkpoint.h"

#include "spool/checkpoint_file.h"
#include "spool/spool.h"

#include <errno.h>
#include <stdlib.h>

struct spool_checkpoint_reader {
    struct checkpoint_walk walk;
    struct format_checkpoint_end end;
    uint8_t buffer[FORMAT_CHECKPOINT_PAYLOAD_MAX];
};

/* Opens and verifies one checkpoint. The walk stays open only when 0 is returned. */
static int open_verified(struct spool_io *io, uint64_t number, uint8_t *buffer,
                         struct checkpoint_walk *walk_out, struct format_checkpoint_end *end_out)
{
    int err = checkpoint_walk_open(io, number, buffer, walk_out);
    if (err != 0) {
        return err;
    }
    err = checkpoint_verify(walk_out, end_out);
    if (err != 0) {
        checkpoint_walk_close(walk_out);
    }
    return err;
}

/* True for an error that makes us skip this checkpoint and take an older one. */
static bool is_damage(int err)
{
    return err == -EBADMSG || err == -EIO;
}

/* Opens the first good checkpoint of the list from place *at on; *at becomes the place after it.
 * 0, -ENOENT, -EBADMSG, -errno. */
static int open_newest(struct spool_io *io, const struct checkpoint_listing *all, uint32_t *at,
                       uint8_t *buffer, struct checkpoint_walk *walk_out,
                       struct format_checkpoint_end *end_out)
{
    struct trouble *trouble = io->trouble;
    bool damaged = false;
    int err = -ENOENT;
    while (*at < all->count && (is_damage(err) || err == -ENOENT)) {
        err = open_verified(io, all->number[(*at)++], buffer, walk_out, end_out);
        if (is_damage(err) && io->trouble != NULL) {
            trouble->error = -EBADMSG; /* unreadable counts as damaged */
            io->trouble = NULL;        /* keeps the text about the newest one */
        }
        damaged |= is_damage(err);
    }
    io->trouble = trouble;
    if (!is_damage(err) && err != -ENOENT) {
        return err;
    }
    /* There were checkpoints: part of the state log may be gone. Without one, what was delivered
     * would be sent again. */
    return damaged ? trouble_add(trouble, -EBADMSG, "no checkpoint is good") : -ENOENT;
}

/* The state position of the first good checkpoint of the list from place `at` on; 0 when there is
 * none. */
static int find_older(struct spool_io *io, const struct checkpoint_listing *all, uint32_t at,
                      uint8_t *buffer, uint64_t *state_pos_out)
{
    struct checkpoint_walk walk;
    struct format_checkpoint_end end;
    struct trouble *trouble = io->trouble;
    *state_pos_out = 0;
    io->trouble = NULL; /* that there is no older one is no trouble */
    int err = open_newest(io, all, &at, buffer, &walk, &end);
    io->trouble = trouble;
    if (err == 0) {
        checkpoint_walk_close(&walk);
        *state_pos_out = end.state_pos;
    }
    return err == -ENOENT || err == -EBADMSG ? 0 : err;
}

int spool_checkpoint_open(struct spool_io *io, struct spool_checkpoint_reader **reader_out,
                          uint64_t *message_pos_out, uint64_t *state_pos_out,
                          uint64_t *older_state_pos_out)
{
    struct checkpoint_listing all;
    uint32_t at = 0;
    struct spool_checkpoint_reader *r = malloc(sizeof *r);
    if (r == NULL) {
        return -ENOMEM;
    }
    int err = checkpoint_list(io, &all);
    if (err == 0) {
        err = open_newest(io, &all, &at, r->buffer, &r->walk, &r->end);
    }
    if (err != 0) {
        free(r);
        return err;
    }
    if (older_state_pos_out != NULL) {
        err = find_older(io, &all, at, r->buffer, older_state_pos_out);
    }
    if (err != 0) {
        spool_checkpoint_close(r);
        return err;
    }
    checkpoint_walk_rewind(&r->walk);
    *message_pos_out = r->end.message_pos;
    *state_pos_out = r->end.state_pos;
    *reader_out = r;
    return 0;
}

uint64_t spool_checkpoint_bytes(const struct spool_checkpoint_reader *r)
{
    return r->end.payload_bytes;
}

int spool_checkpoint_next(struct spool_checkpoint_reader *r, struct bytes *piece_out)
{
    struct format_checkpoint_end end;
    int more = checkpoint_walk_next(&r->walk, piece_out, &end);
    bool same =
        more != 0 || (end.message_pos == r->end.message_pos && end.state_pos == r->end.state_pos &&
                      end.payload_bytes == r->end.payload_bytes);
    assert(more <= 0 || piece_out->len > 0);
    return same ? more : -EBADMSG;
}

void spool_checkpoint_close(struct spool_checkpoint_reader *r)
{
    if (r != NULL) {
        checkpoint_walk_close(&r->walk);
        free(r);
    }
}

/* Copies all bytes of the checkpoint into `blob`, which has just their length. */
static int read_all(struct spool_checkpoint_reader *r, uint8_t *blob, size_t len)
{
    struct bytes piece;
    size_t have = 0;
    int more;
    while ((more = spool_checkpoint_next(r, &piece)) > 0) {
        if (piece.len > len - have) {
            return -EBADMSG;
        }
        memcpy(blob + have, piece.data, piece.len);
        have += piece.len;
    }
    assert(more < 0 || have == len);
    return more;
}

int spool_checkpoint_load(struct spool_io *io, uint64_t *message_pos_out, uint64_t *state_pos_out,
                          uint64_t *older_state_pos_out, void **blob_out, size_t *len_out)
{
    struct spool_checkpoint_reader *r;
    int err = spool_checkpoint_open(io, &r, message_pos_out, state_pos_out, older_state_pos_out);
    if (err != 0) {
        return err;
    }
    size_t len = (size_t)spool_checkpoint_bytes(r);
    void *blob = malloc(len > 0 ? len : 1);
    err = blob == NULL ? -ENOMEM : read_all(r, blob, len);
    spool_checkpoint_close(r);
    if (err != 0) {
        free(blob);
        return err;
    }
    *blob_out = blob;
    *len_out = len;
    return 0;
}
