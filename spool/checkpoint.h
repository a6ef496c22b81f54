/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/checkpoint.h: checkpoints of control's table, written and read piece by piece.
 *
 *   ckpt.tmp ──blocks, fsync──▶ rename to ckpt-<number> ──fsync the directory──▶ remove old ones
 *
 * A checkpoint is a sequence of bytes of control's, and the two positions from which the logs are
 * to be read on. Memory: one block of 256 KiB for a writer, one for a reader, whatever the size.
 *
 * Promise: a checkpoint under its name is whole and durable, and the newest good one before it
 *          stays until the next is; a damaged one is passed over for the one before. Hostile bytes
 *          are -EBADMSG. No state is shared between calls: any thread may call these with a
 *          spool_io of its own.
 * Trap:    one writer at a time in a spool directory. The state log may be recycled only below the
 *          older one's position: the newest may turn out to be damaged when it is needed.
 */
#ifndef HOLDFAST_SPOOL_CHECKPOINT_H
#define HOLDFAST_SPOOL_CHECKPOINT_H

#include "common/bytes.h"
#include "spool/format.h"

/* Appended pieces up to this length come back whole: no two blocks share one. */
enum { SPOOL_CHECKPOINT_PIECE_MAX = FORMAT_CHECKPOINT_PAYLOAD_MAX };

struct spool_checkpoint_writer;

/* Begins a new checkpoint in a temporary file. 0 or -errno. */
must_check int spool_checkpoint_begin(struct spool_io *io,
                                      struct spool_checkpoint_writer **writer_out);
/* Adds bytes of any length. 0, -EFBIG (more than FORMAT_CHECKPOINT_BYTES_MAX) or -errno; an error
 * stays, so that finish tells it again. */
must_check int spool_checkpoint_append(struct spool_checkpoint_writer *writer, struct bytes piece);
/* Makes it durable under its name, then removes those that are not needed: the newest older good
 * one is kept. Frees the writer. 0 or -errno: the older ones are then as they were. */
must_check int spool_checkpoint_finish(struct spool_checkpoint_writer *writer, uint64_t message_pos,
                                       uint64_t state_pos);
/* Removes the temporary file and frees the writer. NULL is allowed. */
void spool_checkpoint_abandon(struct spool_checkpoint_writer *writer);

struct spool_checkpoint_reader;

/* Opens the newest checkpoint that verifies from its first block to its last: reads it once.
 * -ENOENT: there is none; -EBADMSG: only damaged ones; -errno.
 * *older_state_pos_out: the state position of the next older one that verifies (read once, too),
 * 0 without one: below that position's segment the state log may go. NULL: not asked for. */
must_check int spool_checkpoint_open(struct spool_io *io,
                                     struct spool_checkpoint_reader **reader_out,
                                     uint64_t *message_pos_out, uint64_t *state_pos_out,
                                     uint64_t *older_state_pos_out);
/* Bytes that spool_checkpoint_next hands out in all. */
uint64_t spool_checkpoint_bytes(const struct spool_checkpoint_reader *reader);
/* 1 with the next bytes, borrowed until the next call on this reader; 0 at the end; -EBADMSG when
 * the file is not any more what was verified; -errno. */
must_check int spool_checkpoint_next(struct spool_checkpoint_reader *reader,
                                     struct bytes *piece_out);
/* NULL is allowed. */
void spool_checkpoint_close(struct spool_checkpoint_reader *reader);

#endif
