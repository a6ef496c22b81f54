/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/writer.h: the inside of the writer, shared by its files.
 *
 *   writer.c      open, close, submit, turn: the surface; reads
 *   recover.c     what open does: meta, start number, segments found, the ends of the logs
 *   log.c         batches of one log: choose, encode, write, sync, report
 *   prepare.c     segments made ready ahead: zeros, then the header with a new sequence
 *   segment.c     segments: who pins them, when one is free, which comes next
 *   writer_ops.c  operations to the disk and back; results, notes, the fence
 *
 * A file calls only files below it in this list.
 *
 *                submit ──▶ pending ──choose──▶ batch ──written──▶ syncing ──durable──▶ done list
 *   segment:     NEW ──zeros──▶ BLANK ──header──▶ READY ──▶ ACTIVE ──full──▶ SEALED ──▶ FREE ┐
 *                                          ▲───────────────header with a new sequence───────┘
 *                LOST: its header is damaged; kept for a person, never written.
 *
 * Promise: both logs run through the same code; they differ in how a record becomes bytes, and in
 *          what makes a segment free.
 * Trap:    nothing here allocates after open.
 */
#ifndef HOLDFAST_SPOOL_WRITER_H
#define HOLDFAST_SPOOL_WRITER_H

#include "spool/format.h"
#include "spool/spool.h"

enum {
    /* Write operations of one batch. Four of 256 pieces hold 1 MiB of records of 1 KiB. */
    LOG_OPS_MAX = 4,
    LOG_READY_MAX = 4,
    /* Segments kept ready ahead: one for now, one while the next is being prepared. */
    LOG_READY_WANTED = 2,
    BATCH_BYTES_DEFAULT = 1 << 20,
    /* About 480 states: more than a turn's worth of deliveries. */
    STATE_BATCH_BYTES = 128 << 10,
    STATE_SEGMENT_BYTES_DEFAULT = 64 << 20,
    SEGMENT_BYTES_DEFAULT = 256 << 20,
    PREPARE_CHUNK_BYTES = 1 << 20,
    /* How many turns or refused records lie between two tries to extend a file on a full
     * filesystem. There is no clock here, and a failing write in each turn would be a waste. */
    PREPARE_RETRY_COUNT = 4096,
    /* Two checkpoints of a full table and some; and state segments to go on with. */
    PREPARE_RESERVE_BYTES = 64 << 20,
    PREPARE_RESERVE_SEGMENTS = 4,
    READS_MAX = 64,
};

_Static_assert((int)STATE_BATCH_BYTES <= (int)FORMAT_BATCH_BODY_MAX, "a reader can hold it");
_Static_assert((int)BATCH_BYTES_DEFAULT <= (int)FORMAT_BATCH_BODY_MAX, "a reader can hold it");

enum segment_state {
    SEGMENT_NEW,   /* shorter than it should be */
    SEGMENT_BLANK, /* zeros, no sequence yet */
    SEGMENT_FREE,  /* to be used again under a new sequence */
    SEGMENT_PREPARING,
    SEGMENT_READY,
    SEGMENT_ACTIVE,
    SEGMENT_SEALED,
    SEGMENT_LOST,
    SEGMENT_STATE_COUNT,
};

struct segment {
    int file;
    uint32_t file_number;
    enum segment_state state;
    uint64_t seq;          /* 0: none yet */
    uint32_t pin_count;    /* open transactions with a record in the segment */
    uint32_t read_count;   /* reads under way */
    uint64_t last_ref_pos; /* the last commit that refers to a record in the segment */
    uint64_t seen_pos;     /* control's newest RECYCLE; 0: none */
};

struct submit_list {
    struct spool_submit *head;
    struct spool_submit **tail;
};

enum writer_op_owner { OP_BATCH, OP_PREPARE, OP_READ };

struct writer_op {
    struct spool_io_op io; /* first member: what reap returns is cast */
    enum writer_op_owner owner;
    struct log *log;
    int64_t wanted;            /* the result if nothing fails */
    struct spool_submit *read; /* OP_READ */
    struct segment *segment;   /* OP_READ */
    struct writer_op *next_free;
};

enum batch_phase { BATCH_NONE, BATCH_WRITING, BATCH_SYNCING };

struct batch {
    enum batch_phase phase;
    struct submit_list items;
    uint32_t record_count; /* records that are written: items that have no result yet */
    uint32_t header_bytes;
    uint32_t body_bytes;
    uint32_t bytes; /* with the zeros after the body */
    uint32_t op_count;
    uint32_t under_way;
    struct writer_op op[LOG_OPS_MAX];
    uint8_t *header;  /* FORMAT_BATCH_HEADER_MAX */
    uint8_t *staging; /* state log: STATE_BATCH_BYTES */
};

enum prepare_phase {
    PREPARE_NONE,
    PREPARE_ZERO,
    PREPARE_ZERO_SYNC,
    PREPARE_FIRST,
    PREPARE_FIRST_SYNC,
    PREPARE_SECOND,
    PREPARE_SECOND_SYNC,
};

struct prepare {
    enum prepare_phase phase;
    bool under_way;
    bool no_space; /* the filesystem is full: files cannot grow */
    bool retry;    /* try to grow one all the same */
    uint32_t refused_count;
    struct segment *segment;
    uint64_t zeroed_bytes;
    uint64_t seq;
    struct writer_op op;
    uint8_t *header; /* FORMAT_SEGMENT_COPY_BYTES */
};

struct log {
    struct spool_writer *writer;
    enum log_kind kind;
    uint64_t segment_bytes;
    uint32_t batch_bytes_max;
    struct segment *segment;
    uint64_t *seq; /* of segment[i]; a separate array is fast to search */
    uint32_t segment_count;
    uint32_t count[SEGMENT_STATE_COUNT];
    struct segment *ready[LOG_READY_MAX];
    uint32_t ready_count;
    struct segment *active;
    uint32_t offset; /* where the next batch goes in the active one */
    struct submit_list pending;
    uint64_t submitted_count;
    uint64_t done_count;
    uint64_t durable_pos;
    /* Start of the first segment of this run. All that was recovered lies before it, so control may
     * free earlier segments that no record ever reached. */
    uint64_t fresh_pos;
    uint64_t next_seq;
    uint64_t batch_number;
    uint64_t recycle_below; /* state log: STATE_RECYCLE */
    struct batch batch;
    struct prepare prepare;
};

struct pin {
    uint64_t seq;
    uint32_t segment;
    uint32_t next; /* index + 1; 0: the last */
};

struct note_ticket {
    uint64_t count[LOG_COUNT];
};

struct spool_writer {
    struct spool_io *io;
    int lock_file;
    uint32_t start;            /* of this run; meta.start is the last number that is durable */
    uint64_t reserve_again_id; /* not before this id, after a failure */
    struct format_meta meta;
    struct siphash_key key;
    struct log log[LOG_COUNT];
    bool fenced;
    bool full;
    bool dsync;
    uint32_t under_way;  /* operations at the disk */
    uint32_t item_count; /* submissions not yet in the done list */
    struct submit_list reads;
    struct submit_list notes;
    struct submit_list done;
    struct spool_io_op *refused; /* the disk's queue was full: these are submitted again */
    struct spool_io_op *failed;  /* these could not be submitted: `result` says why */
    struct writer_op read_op[READS_MAX];
    struct writer_op *read_op_free;
    struct pin *pin;
    uint32_t pin_free;  /* index + 1 */
    uint64_t *recycled; /* ring of sequences, one place for each message segment */
    uint32_t recycled_head;
    uint32_t recycled_count;
    uint8_t *zeros; /* PREPARE_CHUNK_BYTES */
    struct spool_writer_stats stats;
};

/* The result of a submission or transaction that is not decided yet. */
#define RESULT_NONE ((enum spool_result)0)

static inline void submit_list_init(struct submit_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static inline void submit_list_append(struct submit_list *l, struct spool_submit *s)
{
    s->next = NULL;
    *l->tail = s;
    l->tail = &s->next;
}

static inline struct spool_submit *submit_list_take(struct submit_list *l)
{
    struct spool_submit *s = l->head;
    if (s != NULL) {
        l->head = s->next;
        if (l->head == NULL) {
            l->tail = &l->head;
        }
        s->next = NULL;
    }
    return s;
}

/* writer_ops.c */
/* Gives an operation to the disk; an error counts as its result. */
void writer_issue(struct spool_writer *w, struct writer_op *op);
/* Submits those operations again for which the disk's queue had no room. */
void writer_issue_refused(struct spool_writer *w);
/* Returns the finished operations as a list. `wait`: waits for at least one, unless some were
 * refused. */
struct spool_io_op *writer_reap(struct spool_writer *w, bool wait);
/* Waits for the operations that are under way at the disk, and forgets their results: for close. */
void writer_drain(struct spool_writer *w);
/* Moves a submission with its result to the done list. */
void writer_finish(struct spool_writer *w, struct spool_submit *s, enum spool_result result);
/* Reports each NOTE for which all that was submitted before it is reported. */
void writer_notes(struct spool_writer *w);
void writer_fence(struct spool_writer *w);

/* log.c */
void log_drive(struct log *log);
void log_op_done(struct log *log, struct writer_op *op);

/* segment.c */
struct segment *segment_find(const struct log *log, uint64_t seq);
void segment_set_seq(struct log *log, struct segment *segment, uint64_t seq);
void segment_set_state(struct log *log, struct segment *segment, enum segment_state state);
/* Makes a ready segment the active one, sealing the one before; false when none is ready. */
must_check bool segment_rotate(struct log *log);
/* Frees a sealed segment if nothing holds it. */
void segment_try_free(struct log *log, struct segment *segment);
void segment_recycle(struct log *log, uint64_t seq, uint64_t seen_pos);
void segment_recycle_states(struct log *log, uint64_t below_seq);
/* Notes that the transaction has a record in the active segment. false: the pool of pins is
 * empty. */
must_check bool segment_pin(struct log *log, struct spool_txn *txn);
/* True when every segment of the transaction still has the sequence that it had. */
must_check bool segment_pins_valid(const struct log *log, const struct spool_txn *txn);
/* Releases the segments of a transaction that is over. commit_pos 0: it has no commit. */
void segment_unpin(struct log *log, struct spool_txn *txn, uint64_t commit_pos);

/* prepare.c */
/* Takes the next step at preparing segments ahead, if there is one to take now. */
void prepare_drive(struct log *log);
void prepare_step_done(struct log *log, struct writer_op *op);
/* Call when there may be room again: makes the next step try to grow a file, although the
 * filesystem was full. */
void prepare_retry(struct log *log);
/* True when a file is being grown on a filesystem that was full before: it may fail. */
bool prepare_is_trial(const struct log *log);
/* True when some segment is being prepared or could be. */
bool prepare_possible(const struct log *log);
/* Prepares one segment and waits for its end: for open. Also 0 when there is nothing to
 * prepare. */
must_check int prepare_now(struct log *log);

/* recover.c */
must_check int recover_open(struct spool_writer *w, const struct spool_settings *settings);

#endif
