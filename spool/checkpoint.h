/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/checkpoint.h: checkpoints of control's table, written and read piece by piece.
 *
 *   ckpt.tmp ──blocks, fsync──▶ rename to ckpt-<number> ──fsync the directory──▶ remove old ones
 *
 * A checkpoint is a sequence of bytes, whose meaning only control knows, and the two positions from
 * which the logs have to be read after it. A writer or a reader holds one block of 256 KiB in
 * memory, however large the checkpoint is.
 *
 * Promise: a checkpoint under its name is whole and durable. The newest good one before it stays
 *          until the next one is durable. A damaged one is skipped, and the one before it is used.
 *          Hostile bytes are -EBADMSG. No state is shared between calls: any thread may call these
 *          with a spool_io of its own.
 * Trap:    one writer at a time in a spool directory. The state log may be recycled only below the
 *          position of the older checkpoint: the newest may turn out to be damaged when it is
 *          needed.
 */
#ifndef HOLDFAST_SPOOL_CHECKPOINT_H
#define HOLDFAST_SPOOL_CHECKPOINT_H

#include "common/bytes.h"
#include "spool/format.h"

/* Pieces up to this length come back as they were appended: each lies in one block. */
enum { SPOOL_CHECKPOINT_PIECE_MAX = FORMAT_CHECKPOINT_PAYLOAD_MAX };

struct spool_checkpoint_writer;

/* Begins a new checkpoint in a temporary file. 0 or -errno. */
must_check int spool_checkpoint_begin(struct spool_io *io,
                                      struct spool_checkpoint_writer **writer_out);
/* Adds bytes of any length. 0, -EFBIG (more than FORMAT_CHECKPOINT_BYTES_MAX) or -errno. After an
 * error, all later calls return it, spool_checkpoint_finish too. */
must_check int spool_checkpoint_append(struct spool_checkpoint_writer *writer, struct bytes piece);
/* Makes the checkpoint durable under its name, then removes those that are no longer needed; the
 * newest good one before it is kept. Frees the writer. 0, or -errno: then the older ones are
 * unchanged. */
must_check int spool_checkpoint_finish(struct spool_checkpoint_writer *writer, uint64_t message_pos,
                                       uint64_t state_pos);
/* Removes the temporary file and frees the writer. NULL is allowed. */
void spool_checkpoint_abandon(struct spool_checkpoint_writer *writer);

struct spool_checkpoint_reader;

/* Opens the newest checkpoint that verifies from its first block to its last; this reads it once.
 * -ENOENT: there is none; -EBADMSG: only damaged ones; -errno. *older_state_pos_out is the state
 * position of the next older one that verifies (it is read once, too), or 0 without one. The state
 * log may be freed below that position's segment. NULL: not wanted. */
must_check int spool_checkpoint_open(struct spool_io *io,
                                     struct spool_checkpoint_reader **reader_out,
                                     uint64_t *message_pos_out, uint64_t *state_pos_out,
                                     uint64_t *older_state_pos_out);
/* The number of bytes that all calls of spool_checkpoint_next hand out together. */
uint64_t spool_checkpoint_bytes(const struct spool_checkpoint_reader *reader);
/* 1 with the next bytes, borrowed until the next call on this reader; 0 at the end; -EBADMSG when
 * the file is no longer what was verified; -errno. */
must_check int spool_checkpoint_next(struct spool_checkpoint_reader *reader,
                                     struct bytes *piece_out);
/* NULL is allowed. */
void spool_checkpoint_close(struct spool_checkpoint_reader *reader);

#endif
