/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/format.h: every byte the spool puts on a disk. All numbers are little-endian.
 *
 *   directory   lock  meta  meta-2  msg-000001.seg …  state-000001.seg …  ckpt-0000000001 …
 *
 *   segment     ┌─ header A ─┬─ header B ─┬─ batch ─┬─ batch ─┬─ … ─┬─ unused ─┐
 *               0          4096         8192                              segment_bytes
 *               Two copies, written and synced one after the other, so that a crash in between
 *               leaves one whole. Of two valid copies, the one with the higher sequence counts.
 *
 *   batch       ┌ fixed 96 ┬ CRC-32C of each 4 KiB of the body ┬ zeros to 512 ┬ body ┬ zeros ┐
 *               The body is whole blocks of 512. The zeros fill the last physical sector, and the
 *               next batch begins in a new one: if that batch is torn, no older one is.
 *               Sequence and offset in the header make a batch of an earlier use of the file, or
 *               one written to a wrong place, invalid; the tag is keyed with the spool's uuid, so
 *               that bytes in a mail never pass for a batch.
 *
 *   record      ┌ header 128 ┬ back list 8 × n ┬ envelope (FIRST) ┬ body ┬ zeros to 512 ┐
 *   state       ┌ header 72 ┬ reply text ┬ zeros to 8 ┐   several in one batch
 *
 *   checkpoint  ┌ header 64 ┬ payload ┬ header 64 ┬ payload ┬ … ┬ header 64 ┬ end 32 ┐
 *               Version 3: blocks of at most 256 KiB, one behind the other, the file ends with the
 *               END block. A header holds magic, version, kind (DATA, END), the checkpoint's
 *               number, its stamp (16 bytes, random, the same in all its blocks), the block's
 *               place in the sequence from 0, the payload's length and CRC-32C, and its own
 *               CRC-32C. END says the two positions, and how many blocks and bytes come before it:
 *               a block of another checkpoint, a block left out or twice, or a torn file does not
 *               verify.
 *
 * Promise: decoders read hostile bytes: they stay inside the view and answer false; what they
 *          accept is inside all bounds below.
 * Trap:    encoders write the whole structure, reserved bytes included. The decoders of batches
 *          and of checkpoint blocks refuse reserved bytes that are not zero; others ignore them.
 */
#ifndef HOLDFAST_SPOOL_FORMAT_H
#define HOLDFAST_SPOOL_FORMAT_H

#include "common/limits/chunk.h"
#include "common/limits/message.h"
#include "common/limits/reply.h"
#include "common/siphash.h"
#include "spool/io.h"
#include "spool/spool.h"

enum {
    FORMAT_VERSION = 2,
    FORMAT_UUID_BYTES = 16,
    FORMAT_META_BYTES = 512,

    /* One copy; a page apart, so that no physical sector holds both. */
    FORMAT_SEGMENT_COPY_BYTES = 4096,
    FORMAT_SEGMENT_START = 2 * FORMAT_SEGMENT_COPY_BYTES,

    /* What a disk writes or loses as a whole, even if it takes smaller writes. Each batch has
     * sectors of its own. */
    FORMAT_SECTOR_BYTES = 4096,

    FORMAT_BATCH_FIXED_BYTES = 96,
    FORMAT_CRC_BLOCK_BYTES = 4096,
    /* The largest body, which a reader must be able to hold: twice the batch size at which the
     * measured disk reached its full speed. */
    FORMAT_BATCH_BODY_MAX = 4 << 20,
    FORMAT_BATCH_TABLE_MAX = FORMAT_BATCH_BODY_MAX / FORMAT_CRC_BLOCK_BYTES * 4,
    FORMAT_BATCH_HEADER_MAX = (FORMAT_BATCH_FIXED_BYTES + FORMAT_BATCH_TABLE_MAX + 511) / 512 * 512,

    /* A gather buffer (LIMIT_CHUNK_LARGE_BYTES) with room for a larger one later. */
    FORMAT_RECORD_BYTES_MAX = 256 << 10,
    /* LIMIT_MESSAGE_BYTES in records that hold half a small buffer each. */
    FORMAT_RECORD_INDEX_MAX = 1 << 19,

    FORMAT_STATE_FIXED_BYTES = 72,
    FORMAT_STATE_BYTES_MAX = FORMAT_STATE_FIXED_BYTES + LIMIT_REPLY_TEXT_BYTES,

    FORMAT_CHECKPOINT_VERSION = 3,
    FORMAT_CHECKPOINT_HEADER_BYTES = 64,
    FORMAT_CHECKPOINT_STAMP_BYTES = 16,
    FORMAT_CHECKPOINT_END_BYTES = 32,
    /* A block with its header is 256 KiB at most; a writer and a reader hold one in memory. */
    FORMAT_CHECKPOINT_PAYLOAD_MAX = (256 << 10) - FORMAT_CHECKPOINT_HEADER_BYTES,
    FORMAT_NAME_SIZE = 32,
};

_Static_assert(LIMIT_CHUNK_LARGE_BYTES <= FORMAT_RECORD_BYTES_MAX, "a gather buffer is a record");
_Static_assert(FORMAT_RECORD_BYTES_MAX <= FORMAT_BATCH_BODY_MAX, "a record fits a batch");
_Static_assert(LIMIT_MESSAGE_BYTES / (LIMIT_CHUNK_SMALL_BYTES / 2) <= FORMAT_RECORD_INDEX_MAX,
               "a message at its bound can be numbered");
_Static_assert(FORMAT_SEGMENT_START % FORMAT_SECTOR_BYTES == 0, "the first batch is alone, too");
_Static_assert(FORMAT_STATE_BYTES_MAX % 8 == 0, "state records are padded to 8");
_Static_assert(SPOOL_RECORD_HEADER_BYTES + SPOOL_BACK_MAX * 8 <= SPOOL_BLOCK_BYTES,
               "header and back list are in the first block");

#define FORMAT_SEGMENT_BYTES_MIN (UINT64_C(1) << 20)
#define FORMAT_SEGMENT_BYTES_MAX (UINT64_C(1) << 31) /* a position has 32 bits for the offset */
/* Ceiling of a checkpoint: 77 bytes, for one recipient, for each of 83 million deliveries. */
#define FORMAT_CHECKPOINT_BYTES_MAX (UINT64_C(6) << 30)
/* The largest number whose name is read back. Files whose names have more digits are not ours. */
#define FORMAT_CHECKPOINT_NUMBER_MAX (UINT64_C(1000000000000000000) - 1)

enum log_kind {
    LOG_MESSAGE,
    LOG_STATE,
    LOG_COUNT,
};

struct format_meta {
    uint8_t uuid[FORMAT_UUID_BYTES];
    uint64_t segment_bytes[LOG_COUNT];
    uint32_t start;
};

struct format_segment {
    enum log_kind kind;
    uint64_t seq;
    uint64_t segment_bytes;
};

struct format_batch {
    enum log_kind kind;
    uint64_t seq;
    uint32_t offset;
    uint32_t header_bytes;
    uint32_t body_bytes;
    uint32_t record_count;
    uint64_t number;
    uint64_t durable_pos;      /* this log was durable up to here when the batch was formed */
    uint64_t peer_durable_pos; /* the other log was durable up to here */
    uint32_t start;
};

struct format_record {
    uint64_t seq;
    uint32_t offset;
    uint32_t index;
    uint64_t id;
    uint64_t first_pos;
    bool is_first;
    bool is_last;
    uint32_t back_count;
    uint64_t back[SPOOL_BACK_MAX];
    uint32_t envelope_bytes;
    uint32_t body_bytes;
    uint32_t total_bytes;
    uint32_t payload_crc;
    uint64_t received_ms;
};

enum format_checkpoint_kind {
    FORMAT_CHECKPOINT_DATA = 1,
    FORMAT_CHECKPOINT_END = 2,
};

/* The header of one block of a checkpoint. */
struct format_checkpoint_block {
    enum format_checkpoint_kind kind;
    uint64_t number;
    uint8_t stamp[FORMAT_CHECKPOINT_STAMP_BYTES];
    uint64_t seq;
    uint32_t payload_bytes; /* DATA: 1 .. FORMAT_CHECKPOINT_PAYLOAD_MAX */
    uint32_t payload_crc;
};

/* The payload of the END block. */
struct format_checkpoint_end {
    uint64_t message_pos;
    uint64_t state_pos;
    uint64_t payload_bytes; /* of all DATA blocks */
    uint64_t block_count;   /* DATA blocks */
};

static inline uint32_t format_round(uint32_t bytes, uint32_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* Bytes of a batch in its segment, up to where the next batch begins. */
static inline uint32_t format_batch_bytes(uint32_t header_bytes, uint32_t body_bytes)
{
    return format_round(header_bytes + body_bytes, FORMAT_SECTOR_BYTES);
}

static inline uint64_t format_pos(uint64_t seq, uint32_t offset)
{
    return seq << 32 | offset;
}

static inline uint32_t format_block_count(uint32_t body_bytes)
{
    return (body_bytes + FORMAT_CRC_BLOCK_BYTES - 1) / FORMAT_CRC_BLOCK_BYTES;
}

/* Bytes of the header of a batch with that body. */
static inline uint32_t format_batch_header_bytes(uint32_t body_bytes)
{
    return format_round(FORMAT_BATCH_FIXED_BYTES + 4 * format_block_count(body_bytes),
                        SPOOL_BLOCK_BYTES);
}

/* Bytes of a record on disk. */
static inline uint32_t format_record_bytes(uint32_t index, uint32_t payload_bytes)
{
    return format_round((uint32_t)spool_record_prefix(index) + payload_bytes, SPOOL_BLOCK_BYTES);
}

struct siphash_key format_key(const uint8_t uuid[FORMAT_UUID_BYTES]);

void format_meta_encode(const struct format_meta *meta, uint8_t out[FORMAT_META_BYTES]);
must_check bool format_meta_decode(struct bytes b, struct format_meta *meta_out);
/* The version of the format in which the spool was written; 0 when that cannot be told. */
uint32_t format_meta_version(struct bytes b);
/* meta.c: 0 or -errno. -ENOENT: neither file is there; -EBADMSG: none is good. `sync`: a file is
 * synced before it is read. */
must_check int meta_save(struct spool_io *io, const struct format_meta *meta);
must_check int meta_load(struct spool_io *io, bool sync, struct format_meta *meta_out);

/* Writes one copy of FORMAT_SEGMENT_COPY_BYTES. */
void format_segment_encode(const struct format_segment *segment, const struct siphash_key *key,
                           uint8_t *out);
enum format_segment_verdict {
    FORMAT_SEGMENT_USED,    /* decoded */
    FORMAT_SEGMENT_BLANK,   /* never had a sequence */
    FORMAT_SEGMENT_DAMAGED, /* had a sequence, but neither copy verifies */
};
/* `b`: both copies, shorter when the file is. */
must_check enum format_segment_verdict format_segment_decode(struct bytes b,
                                                             const struct siphash_key *key,
                                                             enum log_kind kind,
                                                             struct format_segment *segment_out);

/* `out` has header_bytes, with the CRC table already at FORMAT_BATCH_FIXED_BYTES. */
void format_batch_encode(const struct format_batch *batch, const struct siphash_key *key,
                         uint8_t *out);
/* Verifies everything but the body. `b` begins at the header and holds at least one block; false
 * also when the header is longer than b: *needed_out is then its length, else 0. */
must_check bool format_batch_decode(struct bytes b, const struct siphash_key *key,
                                    struct format_batch *batch_out, uint32_t *needed_out);
/* True when the magic and the sequence are those of a batch that should be here. */
bool format_batch_resembles(struct bytes b, uint64_t seq);
/* `table` is the header's CRC table. */
must_check bool format_body_verify(const uint8_t *table, struct bytes body);

/* Header and back list: spool_record_prefix(index) bytes. */
void format_record_encode(const struct format_record *record, uint8_t *out);
must_check bool format_record_decode(struct bytes b, struct format_record *record_out);

/* Returns the length written, a multiple of 8, at most FORMAT_STATE_BYTES_MAX. */
uint32_t format_state_encode(const struct spool_state_entry *entry, uint64_t pos, uint8_t *out);
/* *len_out: the bytes that the record takes. */
must_check bool format_state_decode(struct bytes b, uint64_t pos,
                                    struct spool_state_entry *entry_out, uint32_t *len_out);

/* Writes FORMAT_CHECKPOINT_HEADER_BYTES. */
void format_checkpoint_block_encode(const struct format_checkpoint_block *block, uint8_t *out);
/* Verifies the header, not the payload. */
must_check bool format_checkpoint_block_decode(struct bytes b,
                                               struct format_checkpoint_block *block_out);
/* Writes FORMAT_CHECKPOINT_END_BYTES. The block's CRC covers them. */
void format_checkpoint_end_encode(const struct format_checkpoint_end *end, uint8_t *out);
must_check bool format_checkpoint_end_decode(struct bytes b, struct format_checkpoint_end *end_out);

/* "msg-000007.seg", "state-000007.seg", "ckpt-0000000007". Return out. */
const char *format_segment_name(enum log_kind kind, uint32_t file_number,
                                char out[FORMAT_NAME_SIZE]);
const char *format_checkpoint_name(uint64_t number, char out[FORMAT_NAME_SIZE]);
/* false when the name is not exactly one of these. */
must_check bool format_segment_name_parse(const char *name, enum log_kind *kind_out,
                                          uint32_t *file_number_out);
must_check bool format_checkpoint_name_parse(const char *name, uint64_t *number_out);

#endif
