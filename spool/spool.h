/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/spool.h: the durable log of messages, and beside it the state log of what became of each.
 *
 *   positions   a record's position is segment sequence << 32 | byte offset. Sequences are never
 *               reused, a recycled file gets a new one: positions order the log and name a record
 *               for ever.
 *   records     a message is a chain: FIRST (holds the envelope), further chunks, LAST (the
 *               commit). A small message is one record that is both. Each record after the first
 *               carries the positions of up to SPOOL_BACK_MAX records before it, so a reader of
 *               LAST finds all the others in a few steps, and a commit is of constant size.
 *   batches     whatever arrived since the last batch is written and made durable as one.
 *
 * Promise: spool_writer reports SPOOL_RESULT_OK for a LAST only after every record of the message
 *          and every batch before it is durable. Recovery never writes into a recovered segment.
 *          A record whose sequence, id or CRC is wrong is never handed out as good.
 * Trap:    the writer is a pure core: it acts only inside spool_writer_turn, on one thread. A
 *          buffer that it was given is the writer's until it gives the buffer back.
 */
#ifndef HOLDFAST_SPOOL_SPOOL_H
#define HOLDFAST_SPOOL_SPOOL_H

#include "common/abi.h"
#include "common/assert.h"
#include "common/bytes.h"
#include "common/envelope.h"
#include "common/limits/reply.h"
#include "common/outcome.h"
#include "common/rcptset.h"
#include "spool/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPOOL_BLOCK_BYTES = 512, /* O_DIRECT alignment of record buffers and of records on disk */
    SPOOL_BACK_MAX = 32,
    SPOOL_RECORD_HEADER_BYTES = 128,
};

/* Bytes before the payload of the n-th record (0 is FIRST) of a message: header and back list. */
static inline size_t spool_record_prefix(uint32_t record_index)
{
    size_t back = record_index < SPOOL_BACK_MAX ? record_index : SPOOL_BACK_MAX;
    return SPOOL_RECORD_HEADER_BYTES + back * 8;
}

/* --- the writer ------------------------------------------------------------------------------ */

struct spool_settings {
    uint64_t segment_bytes;
    uint32_t segments_max; /* files of the message log at most */
    uint64_t state_segment_bytes;
    uint32_t batch_bytes_max; /* of the message log; 0: the default of 1 MiB */
};

enum spool_result {
    SPOOL_RESULT_OK = 1, /* durable */
    SPOOL_RESULT_FULL,   /* RECORD, COMMIT: no free segment: 452. A STATE waits instead */
    SPOOL_RESULT_FAILED, /* the volume is fenced: 421; READ: damaged, or gone */
    SPOOL_RESULT_UNREAD, /* READ: the device gave nothing now; nothing is known of the bytes */
};

/* One message that is being received. The worker makes it, zeroed but for its id, and gives it with
 * each of its records. Only the writer touches the second part. Nobody touches any of it after the
 * result of LAST or ABORT. */
struct spool_txn {
    uint64_t id;           /* message id */
    uint32_t record_count; /* records submitted so far; written by the worker */

    uint64_t first_pos;
    uint64_t last_pos;
    uint64_t back[SPOOL_BACK_MAX];
    uint32_t written_count;
    uint64_t written_bytes;   /* of the body */
    uint32_t pins;            /* segments in which its records lie: a list in the writer */
    enum spool_result failed; /* sticky: FULL or FAILED once a record could not be placed */
};

enum spool_submit_kind {
    SPOOL_SUBMIT_RECORD,        /* a chunk; buffer comes back with its result */
    SPOOL_SUBMIT_COMMIT,        /* the LAST record (FIRST too when it is the only one) */
    SPOOL_SUBMIT_ABORT,         /* the transaction ends without a commit; no buffer */
    SPOOL_SUBMIT_STATE,         /* a state record */
    SPOOL_SUBMIT_READ,          /* read and verify the record at `pos` into `buffer` */
    SPOOL_SUBMIT_RECYCLE,       /* control is done with segment seq */
    SPOOL_SUBMIT_STATE_RECYCLE, /* a durable checkpoint covers state segments below seq */
    SPOOL_SUBMIT_NOTE,          /* nothing is written; done when all submitted before is durable */
};

/* One submission. The submitter owns it and lends it to the writer until it is done. Only the
 * writer uses `next`. `cookie` and `user` are the submitter's. */
struct spool_submit {
    enum spool_submit_kind kind;
    enum spool_result result;
    struct spool_submit *next;
    void *cookie;

    /* RECORD, COMMIT: buffer is block-aligned; the payload lies at spool_record_prefix(index), the
     * writer fills what is before it. READ: buffer_size bytes to read into. */
    struct spool_txn *txn;
    uint8_t *buffer;
    size_t buffer_size;
    uint32_t envelope_bytes; /* FIRST only: the payload begins with the envelope */
    uint32_t body_bytes;     /* of this record */
    uint32_t body_crc;       /* CRC-32C of this record's payload (envelope included) */
    /* COMMIT: of the whole message */
    uint32_t total_bytes; /* of its body: the sum of body_bytes over its records */
    uint64_t received_ms;

    /* READ: `pos` and the message id that should be there; result FAILED when it is not. RECORD and
     * COMMIT: the position that the record got. */
    uint64_t pos;
    uint64_t id;

    struct spool_state_entry {
        uint64_t id; /* delivery */
        struct rcptset rcpts;
        uint64_t time_ms;
        uint32_t hop_id;
        uint8_t kind;    /* enum abi_state_kind */
        uint8_t outcome; /* enum outcome */
        uint8_t phase;   /* enum abi_phase */
        uint16_t code;
        uint16_t text_len;
        char text[LIMIT_REPLY_TEXT_BYTES]; /* cleaned reply */
    } state;

    /* RECYCLE, STATE_RECYCLE */
    uint64_t seq;
    uint64_t seen_pos;

    struct abi_up user; /* what to tell control when it is done; the spool does not look at it */
};

struct spool_writer;

/* Opens (or makes) the spool through `io`, takes its lock, recovers: finds the end of both logs,
 * opens fresh segments, makes the new start number durable. Never writes to a recovered segment.
 * Returns 0 or -errno; -EBADMSG when the spool's meta file is damaged, -EWOULDBLOCK when another
 * process has it. Prepares (pre-zeroes) the first segments before it returns. */
must_check int spool_writer_open(struct spool_io *io, const struct spool_settings *settings,
                                 struct spool_writer **writer_out);
void spool_writer_close(struct spool_writer *writer);
uint32_t spool_writer_start(const struct spool_writer *writer);
/* New ids may have start numbers from spool_writer_start to this one. It grows. */
uint32_t spool_writer_start_last(const struct spool_writer *writer);
uint64_t spool_writer_message_pos(const struct spool_writer *writer); /* durable end */
uint64_t spool_writer_state_pos(const struct spool_writer *writer);
uint32_t spool_writer_free_segments(const struct spool_writer *writer);
enum abi_spool_state spool_writer_state(const struct spool_writer *writer);

/* Takes a submission. Never fails: a fenced or full spool answers through the result. A STATE that
 * finds no room is answered only when there is room or the volume is fenced. Until then it waits,
 * and so do the STATEs and NOTEs behind it, in their order; the caller must go on calling turn. */
void spool_writer_submit(struct spool_writer *writer, struct spool_submit *submit);
/* Does what can be done now: reaps I/O, forms and issues batches, prepares segments. Returns the
 * submissions that are done, as a list through `next`: what is reported OK is durable, and NOTEs
 * keep their order among records. NULL: none. `wait`: sleeps in the kernel until a completion, if
 * I/O is under way and nothing is done yet. */
struct spool_submit *spool_writer_turn(struct spool_writer *writer, bool wait);
/* Gives the sequence of a message segment that became free since the last call, oldest first.
 * false: there are no more. For ABI_UP_RECYCLED. */
must_check bool spool_writer_take_recycled(struct spool_writer *writer, uint64_t *seq_out);
/* True when no submission is unfinished. */
bool spool_writer_idle(const struct spool_writer *writer);

struct spool_writer_stats {
    uint64_t batches;
    uint64_t message_bytes;
    uint64_t state_records;
    uint64_t io_errors;
    uint64_t full;
};
void spool_writer_stats(const struct spool_writer *writer, struct spool_writer_stats *stats_out);

/* --- reading --------------------------------------------------------------------------------- */

/* A verified record, borrowed until the callback or the next read returns. */
struct spool_record {
    uint64_t pos;
    uint64_t id; /* message */
    uint32_t index;
    bool is_first;
    bool is_last;
    struct bytes envelope; /* FIRST */
    struct bytes body;
    uint32_t back_count;
    uint64_t back[SPOOL_BACK_MAX]; /* newest first */
    /* LAST */
    uint64_t first_pos;
    uint32_t total_bytes;
    uint64_t received_ms;
};

/* Decodes and verifies a record as read from disk into memory (header, back list, payload CRC):
 * what SPOOL_SUBMIT_READ has in its buffer. false: damaged or not that one. */
must_check bool spool_record_parse(struct bytes b, uint64_t pos, uint64_t id,
                                   struct spool_record *record_out);

/* A reader needs no writer and takes no lock. It works on files alone, also beside a running
 * writer. */
struct spool_reader;
must_check int spool_reader_open(struct spool_io *io, struct spool_reader **reader_out);
void spool_reader_close(struct spool_reader *reader);

enum spool_scan_verdict {
    SPOOL_SCAN_RECORD, /* `record` or `state` is good */
    SPOOL_SCAN_DAMAGE, /* bytes that should be good are not: pos and why are set */
    SPOOL_SCAN_TAIL,   /* an unacknowledged torn end: normal after a crash */
};
struct spool_scan_item {
    enum spool_scan_verdict verdict;
    uint64_t pos;
    const char *why;
    const struct spool_record *record;     /* message log */
    const struct spool_state_entry *state; /* state log */
};
typedef int (*spool_scan_fn)(void *ctx, const struct spool_scan_item *item);

/* Calls fn for every record with from <= position < to (UINT64_MAX: to the end), in log order over
 * the segments that exist. When fn returns non-zero, the scan stops and returns that. Segments that
 * were recycled meanwhile are skipped. */
must_check int spool_scan_messages(struct spool_reader *reader, uint64_t from, uint64_t to,
                                   spool_scan_fn fn, void *ctx);
must_check int spool_scan_states(struct spool_reader *reader, uint64_t from, uint64_t to,
                                 spool_scan_fn fn, void *ctx);
/* Makes the log durable up to `pos`, the last record that a scan without an end found: a writer
 * that died may have left the record only in the page cache. 0 or -errno. */
must_check int spool_sync_messages(struct spool_reader *reader, uint64_t pos);
must_check int spool_sync_states(struct spool_reader *reader, uint64_t pos);
/* Reads one record, borrowed until the next call on this reader. 0, -ENOENT (the segment is gone),
 * -EBADMSG (damaged), -errno. */
must_check int spool_read_record(struct spool_reader *reader, uint64_t pos, uint64_t id,
                                 struct spool_record *record_out);
must_check int spool_read_state(struct spool_reader *reader, uint64_t pos,
                                struct spool_state_entry *entry_out);
/* Hands out the body in order, piece by piece. 0 or as spool_read_record, or fn's return. */
typedef int (*spool_body_fn)(void *ctx, struct bytes piece);
must_check int spool_read_body(struct spool_reader *reader, uint64_t commit_pos, uint64_t id,
                               spool_body_fn fn, void *ctx);
/* Calls fn(ctx, seq) for each message segment that exists and holds a sequence, so that control
 * knows what it may recycle. */
must_check int spool_list_segments(struct spool_reader *reader, int (*fn)(void *ctx, uint64_t seq),
                                   void *ctx);
/* How many segments of the message log, or of the state log, exist from that position on. 0 or
 * -errno. */
must_check int spool_count_segments(struct spool_reader *reader, bool messages, uint64_t from,
                                    uint32_t *count_out);

/* --- checkpoints of control's delivery table ------------------------------------------------- */

/* Saves a whole checkpoint from memory, and loads one into memory, for tables that are small;
 * spool/checkpoint.h does it piece by piece. The errors are those of spool_checkpoint_finish and
 * spool_checkpoint_open. */
must_check int spool_checkpoint_save(struct spool_io *io, uint64_t message_pos, uint64_t state_pos,
                                     struct bytes blob);
/* *blob_out is malloc'd. */
must_check int spool_checkpoint_load(struct spool_io *io, uint64_t *message_pos_out,
                                     uint64_t *state_pos_out, uint64_t *older_state_pos_out,
                                     void **blob_out, size_t *len_out);

static inline uint64_t spool_pos_seq(uint64_t pos)
{
    return pos >> 32;
}

static inline uint32_t spool_pos_offset(uint64_t pos)
{
    return (uint32_t)pos;
}

#endif
