/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/reader.h: the inside of the reader, shared by reader.c and scan.c.
 *
 * Promise: the reader works from files alone, also beside a running writer. After each open it
 *          looks at the segment's header, for the file may have a new sequence by now.
 * Trap:    bytes may have changed when they are read a second time. Code reads a bad place twice
 *          before it calls it damage.
 */
#ifndef HOLDFAST_SPOOL_READER_H
#define HOLDFAST_SPOOL_READER_H

#include "spool/format.h"
#include "spool/spool.h"

enum {
    WINDOW_READ_BYTES = 1 << 20,
    /* Holds the largest batch, whatever was read before it. */
    WINDOW_SCAN_BYTES = FORMAT_BATCH_HEADER_MAX + FORMAT_BATCH_BODY_MAX + WINDOW_READ_BYTES,
    WINDOW_PROBE_BYTES = 64 << 10,
};

/* A piece of a file in memory. */
struct window {
    struct spool_io *io;
    int file;
    uint8_t *data;
    size_t cap;
    size_t read_bytes; /* one read takes at least this many */
    uint64_t start;
    size_t len;
};

struct segment_file {
    uint64_t seq;
    uint32_t file_number;
};

/* The segments that hold a sequence, ascending. */
struct segment_table {
    struct segment_file *file;
    size_t count;
    size_t cap;
    uint32_t damaged_count; /* files whose header is damaged: nobody knows what they hold */
    uint32_t damaged_file_number;
    /* The newest sequence before the directory was last looked at. A segment up to it that was not
     * found then is gone for good: sequences only grow. Behind it, one may have begun meanwhile. */
    uint64_t settled_seq;
};

struct spool_reader {
    struct spool_io *io;
    bool has_meta;
    struct format_meta meta;
    struct siphash_key key;
    struct segment_table table[LOG_COUNT];
    struct window scan;
    struct window probe;
    uint8_t *record; /* FORMAT_RECORD_BYTES_MAX */
    uint64_t *chain; /* positions of a message's records */
    size_t chain_cap;
    struct {
        enum log_kind kind;
        uint32_t file_number;
        int file; /* -1: none */
    } last;
};

/* Looks at the directory again. */
must_check int reader_refresh(struct spool_reader *reader);
/* The first segment in the table with that sequence or a later one; count when there is none. */
size_t reader_table_at(const struct segment_table *table, uint64_t seq);
/* Opens a file of the table and checks that it still holds the sequence. Returns the file number,
 * -ENOENT when it does not, or -errno. The caller closes the file. */
must_check int reader_open_segment(struct spool_reader *reader, enum log_kind kind,
                                   const struct segment_file *file);

void window_set_file(struct window *window, int file);
/* Makes len bytes at offset available. Returns how many there are (fewer at the end of the file)
 * or -errno; *data_out is valid until the next call. */
must_check int64_t window_get(struct window *window, uint64_t offset, size_t len,
                              const uint8_t **data_out);
/* Reads and verifies a batch header. 1: there is one; 0: there is none, and *resembles_out tells
 * whether the bytes look like what is left of one; or -errno. */
must_check int window_probe(struct window *window, const struct spool_reader *reader,
                            enum log_kind kind, uint64_t pos, struct format_batch *batch_out,
                            bool *resembles_out);

/* Where a log ends. */
struct log_end {
    uint64_t end_pos;         /* end of the last valid batch, 0: there is none */
    uint64_t last_record_pos; /* 0: none */
    uint64_t batch_number;    /* of that batch */
    uint64_t peer_pos;        /* the durable end of the other log, as that batch says */
};
must_check int reader_log_end(struct spool_reader *reader, enum log_kind kind,
                              struct log_end *end_out);

#endif
