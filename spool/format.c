/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/format.c: encodes and decodes what format.h draws.
 *
 * Promise: decode(encode(x)) is x; decode of anything else either is false or gives values inside
 *          all bounds.
 * Trap:    a field's place is written once in the encoder and once in the decoder; keep the two
 *          functions side by side and in the same order.
 */
#include "spool/format.h"

#include "common/crc32c.h"

#include <inttypes.h>
#include <stdio.h>

#define MAGIC_META       UINT64_C(0x31306174656d6668) /* "hfmeta01" */
#define MAGIC_SEGMENT    UINT64_C(0x3130676573666668) /* "hffseg01" */
#define MAGIC_BATCH      UINT64_C(0x3130686374626668) /* "hfbtch01" */
#define MAGIC_RECORD     UINT32_C(0x63726668)         /* "hfrc" */
#define MAGIC_STATE      UINT32_C(0x74736668)         /* "hfst" */
#define MAGIC_CHECKPOINT UINT64_C(0x333074706b636668) /* "hfckpt03" */

enum { RECORD_FIRST = 1, RECORD_LAST = 2 };

/* --- little-endian --------------------------------------------------------------------------- */

struct put {
    uint8_t *at;
};

static void put_le(struct put *p, uint64_t v, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        *p->at++ = (uint8_t)(v >> (8 * i));
    }
}

static void put16(struct put *p, uint16_t v)
{
    put_le(p, v, 2);
}

static void put32(struct put *p, uint32_t v)
{
    put_le(p, v, 4);
}

static void put64(struct put *p, uint64_t v)
{
    put_le(p, v, 8);
}

static uint32_t get32(const uint8_t *p)
{
    struct cursor c = cursor_of(bytes_of(p, 4));
    return cursor_le32(&c);
}

static uint64_t get64(const uint8_t *p)
{
    struct cursor c = cursor_of(bytes_of(p, 8));
    return cursor_le64(&c);
}

static bool is_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

struct siphash_key format_key(const uint8_t uuid[FORMAT_UUID_BYTES])
{
    return (struct siphash_key){.k0 = get64(uuid), .k1 = get64(uuid + 8)};
}

/* --- meta ------------------------------------------------------------------------------------ */

void format_meta_encode(const struct format_meta *meta, uint8_t out[FORMAT_META_BYTES])
{
    memset(out, 0, FORMAT_META_BYTES);
    struct put p = {out};
    put64(&p, MAGIC_META);
    put32(&p, FORMAT_VERSION);
    put32(&p, meta->start);
    put64(&p, meta->segment_bytes[LOG_MESSAGE]);
    put64(&p, meta->segment_bytes[LOG_STATE]);
    memcpy(p.at, meta->uuid, FORMAT_UUID_BYTES);
    p.at = out + FORMAT_META_BYTES - 4;
    put32(&p, crc32c(0, out, FORMAT_META_BYTES - 4));
}

static bool segment_bytes_valid(uint64_t bytes)
{
    return bytes >= FORMAT_SEGMENT_BYTES_MIN && bytes <= FORMAT_SEGMENT_BYTES_MAX &&
           bytes % FORMAT_CRC_BLOCK_BYTES == 0;
}

uint32_t format_meta_version(struct bytes b)
{
    if (b.len != FORMAT_META_BYTES ||
        get32(b.data + FORMAT_META_BYTES - 4) != crc32c(0, b.data, FORMAT_META_BYTES - 4)) {
        return 0;
    }
    struct cursor c = cursor_of(b);
    return cursor_le64(&c) == MAGIC_META ? cursor_le32(&c) : 0;
}

bool format_meta_decode(struct bytes b, struct format_meta *meta_out)
{
    if (b.len != FORMAT_META_BYTES ||
        get32(b.data + FORMAT_META_BYTES - 4) != crc32c(0, b.data, FORMAT_META_BYTES - 4)) {
        return false;
    }
    struct cursor c = cursor_of(b);
    uint64_t magic = cursor_le64(&c);
    uint32_t version = cursor_le32(&c);
    meta_out->start = cursor_le32(&c);
    meta_out->segment_bytes[LOG_MESSAGE] = cursor_le64(&c);
    meta_out->segment_bytes[LOG_STATE] = cursor_le64(&c);
    memcpy(meta_out->uuid, c.rest.data, FORMAT_UUID_BYTES);
    return magic == MAGIC_META && version == FORMAT_VERSION &&
           segment_bytes_valid(meta_out->segment_bytes[LOG_MESSAGE]) &&
           segment_bytes_valid(meta_out->segment_bytes[LOG_STATE]);
}

/* --- segment --------------------------------------------------------------------------------- */

enum { SEGMENT_TAG_AT = 32, SEGMENT_FIELDS_END = 40 };

void format_segment_encode(const struct format_segment *segment, const struct siphash_key *key,
                           uint8_t *out)
{
    assert(segment->seq > 0 && segment->seq <= UINT32_MAX);
    memset(out, 0, FORMAT_SEGMENT_COPY_BYTES);
    struct put p = {out};
    put64(&p, MAGIC_SEGMENT);
    put32(&p, FORMAT_VERSION);
    put32(&p, segment->kind);
    put64(&p, segment->seq);
    put64(&p, segment->segment_bytes);
    put64(&p, siphash(key, out, SEGMENT_TAG_AT));
}

static bool segment_copy_decode(const uint8_t *at, const struct siphash_key *key,
                                enum log_kind kind, struct format_segment *segment_out)
{
    struct cursor c = cursor_of(bytes_of(at, SEGMENT_FIELDS_END));
    bool known = cursor_le64(&c) == MAGIC_SEGMENT && cursor_le32(&c) == FORMAT_VERSION &&
                 cursor_le32(&c) == (uint32_t)kind;
    segment_out->kind = kind;
    segment_out->seq = cursor_le64(&c);
    segment_out->segment_bytes = cursor_le64(&c);
    return known && cursor_le64(&c) == siphash(key, at, SEGMENT_TAG_AT) && segment_out->seq > 0 &&
           segment_out->seq <= UINT32_MAX && segment_bytes_valid(segment_out->segment_bytes);
}

enum format_segment_verdict format_segment_decode(struct bytes b, const struct siphash_key *key,
                                                  enum log_kind kind,
                                                  struct format_segment *segment_out)
{
    if (b.len < FORMAT_SEGMENT_START) {
        return FORMAT_SEGMENT_BLANK; /* a header is written only into a full-sized file */
    }
    const uint8_t *second = b.data + FORMAT_SEGMENT_COPY_BYTES;
    struct format_segment a;
    struct format_segment z;
    bool a_good = segment_copy_decode(b.data, key, kind, &a);
    bool z_good = segment_copy_decode(second, key, kind, &z);
    if (a_good || z_good) {
        *segment_out = a_good && (!z_good || a.seq >= z.seq) ? a : z;
        return FORMAT_SEGMENT_USED;
    }
    /* The second copy is written only when the first is durable, and batches only after both. So an
     * empty second copy means that nothing was ever written here, even if the first copy is
     * torn. */
    return is_zero(second, SPOOL_BLOCK_BYTES) ? FORMAT_SEGMENT_BLANK : FORMAT_SEGMENT_DAMAGED;
}

/* --- batch ----------------------------------------------------------------------------------- */

enum { BATCH_TAG_AT = 80, BATCH_CRC_AT = 88, BATCH_ZERO_AT = 92 };

void format_batch_encode(const struct format_batch *batch, const struct siphash_key *key,
                         uint8_t *out)
{
    uint32_t table_end = FORMAT_BATCH_FIXED_BYTES + 4 * format_block_count(batch->body_bytes);
    assert(batch->header_bytes == format_batch_header_bytes(batch->body_bytes));
    assert(batch->body_bytes > 0 && batch->body_bytes % SPOOL_BLOCK_BYTES == 0);
    memset(out, 0, FORMAT_BATCH_FIXED_BYTES);
    memset(out + table_end, 0, batch->header_bytes - table_end);
    struct put p = {out};
    put64(&p, MAGIC_BATCH);
    put64(&p, batch->seq);
    put32(&p, batch->offset);
    put32(&p, batch->header_bytes);
    put32(&p, batch->body_bytes);
    put32(&p, batch->record_count);
    put64(&p, batch->number);
    put64(&p, batch->durable_pos);
    put64(&p, batch->peer_durable_pos);
    put32(&p, batch->start);
    put16(&p, FORMAT_VERSION);
    put16(&p, (uint16_t)batch->kind);
    p.at = out + BATCH_CRC_AT;
    uint32_t table_crc =
        crc32c(0, out + FORMAT_BATCH_FIXED_BYTES, batch->header_bytes - FORMAT_BATCH_FIXED_BYTES);
    put32(&p, crc32c(table_crc, out, BATCH_TAG_AT));
    p.at = out + BATCH_TAG_AT;
    put64(&p, siphash(key, out, BATCH_TAG_AT));
}

bool format_batch_decode(struct bytes b, const struct siphash_key *key,
                         struct format_batch *batch_out, uint32_t *needed_out)
{
    *needed_out = 0;
    struct cursor c = cursor_of(b);
    if (b.len < SPOOL_BLOCK_BYTES || cursor_le64(&c) != MAGIC_BATCH) {
        return false;
    }
    batch_out->seq = cursor_le64(&c);
    batch_out->offset = cursor_le32(&c);
    batch_out->header_bytes = cursor_le32(&c);
    batch_out->body_bytes = cursor_le32(&c);
    batch_out->record_count = cursor_le32(&c);
    batch_out->number = cursor_le64(&c);
    batch_out->durable_pos = cursor_le64(&c);
    batch_out->peer_durable_pos = cursor_le64(&c);
    batch_out->start = cursor_le32(&c);
    uint16_t version = cursor_le16(&c);
    uint16_t kind = cursor_le16(&c);
    batch_out->kind = kind == LOG_STATE ? LOG_STATE : LOG_MESSAGE;
    if (version != FORMAT_VERSION || kind >= LOG_COUNT || batch_out->body_bytes == 0 ||
        batch_out->body_bytes > FORMAT_BATCH_BODY_MAX ||
        batch_out->body_bytes % SPOOL_BLOCK_BYTES != 0 ||
        batch_out->header_bytes != format_batch_header_bytes(batch_out->body_bytes) ||
        batch_out->record_count == 0 ||
        batch_out->record_count > batch_out->body_bytes / FORMAT_STATE_FIXED_BYTES ||
        get64(b.data + BATCH_TAG_AT) != siphash(key, b.data, BATCH_TAG_AT) ||
        !is_zero(b.data + BATCH_ZERO_AT, FORMAT_BATCH_FIXED_BYTES - BATCH_ZERO_AT)) {
        return false;
    }
    if (b.len < batch_out->header_bytes) {
        *needed_out = batch_out->header_bytes;
        return false;
    }
    uint32_t crc = crc32c(0, b.data + FORMAT_BATCH_FIXED_BYTES,
                          batch_out->header_bytes - FORMAT_BATCH_FIXED_BYTES);
    return get32(b.data + BATCH_CRC_AT) == crc32c(crc, b.data, BATCH_TAG_AT);
}

bool format_batch_resembles(struct bytes b, uint64_t seq)
{
    struct cursor c = cursor_of(b);
    return cursor_le64(&c) == MAGIC_BATCH && cursor_le64(&c) == seq;
}

bool format_body_verify(const uint8_t *table, struct bytes body)
{
    for (size_t at = 0; at < body.len; at += FORMAT_CRC_BLOCK_BYTES, table += 4) {
        struct bytes block = bytes_first(bytes_from(body, at), FORMAT_CRC_BLOCK_BYTES);
        if (get32(table) != crc32c(0, block.data, block.len)) {
            return false;
        }
    }
    return true;
}

/* --- record ---------------------------------------------------------------------------------- */

enum { RECORD_CRC_AT = 124 };

void format_record_encode(const struct format_record *record, uint8_t *out)
{
    size_t prefix = spool_record_prefix(record->index);
    assert(record->back_count * 8 + SPOOL_RECORD_HEADER_BYTES == prefix);
    assert(record->is_first == (record->index == 0));
    memset(out, 0, SPOOL_RECORD_HEADER_BYTES);
    struct put p = {out};
    put32(&p, MAGIC_RECORD);
    put_le(&p, FORMAT_VERSION, 1);
    put_le(&p, (record->is_first ? RECORD_FIRST : 0u) | (record->is_last ? RECORD_LAST : 0u), 1);
    put16(&p, (uint16_t)record->back_count);
    put64(&p, record->seq);
    put32(&p, record->offset);
    put32(&p, record->index);
    put64(&p, record->id);
    put64(&p, record->first_pos);
    put32(&p, record->envelope_bytes);
    put32(&p, record->body_bytes);
    put32(&p, record->total_bytes);
    put32(&p, record->payload_crc);
    put64(&p, record->received_ms);
    p.at = out + SPOOL_RECORD_HEADER_BYTES;
    for (uint32_t i = 0; i < record->back_count; i++) {
        put64(&p, record->back[i]);
    }
    uint32_t crc = crc32c(0, out, RECORD_CRC_AT);
    p.at = out + RECORD_CRC_AT;
    put32(&p, crc32c(crc, out + SPOOL_RECORD_HEADER_BYTES, record->back_count * 8));
}

/* Relations between the fields that the encoder upholds. */
static bool record_consistent(const struct format_record *r)
{
    uint32_t back = r->index < SPOOL_BACK_MAX ? r->index : SPOOL_BACK_MAX;
    uint64_t pos = format_pos(r->seq, r->offset);
    if (r->seq == 0 || r->seq > UINT32_MAX || r->offset % SPOOL_BLOCK_BYTES != 0 ||
        r->index > FORMAT_RECORD_INDEX_MAX || r->is_first != (r->index == 0) ||
        r->back_count != back || r->first_pos > pos || (r->first_pos == pos) != r->is_first ||
        r->envelope_bytes > LIMIT_ENVELOPE_BYTES || (r->envelope_bytes > 0 && !r->is_first) ||
        r->body_bytes > FORMAT_RECORD_BYTES_MAX ||
        format_record_bytes(r->index, r->envelope_bytes + r->body_bytes) >
            FORMAT_RECORD_BYTES_MAX) {
        return false;
    }
    uint64_t later = pos;
    for (uint32_t i = 0; i < r->back_count; i++) {
        if (r->back[i] >= later || r->back[i] < r->first_pos) {
            return false;
        }
        later = r->back[i];
    }
    return true;
}

bool format_record_decode(struct bytes b, struct format_record *r)
{
    struct cursor c = cursor_of(b);
    if (b.len < SPOOL_RECORD_HEADER_BYTES || cursor_le32(&c) != MAGIC_RECORD) {
        return false;
    }
    uint8_t version = cursor_u8(&c);
    uint8_t flags = cursor_u8(&c);
    r->is_first = (flags & RECORD_FIRST) != 0;
    r->is_last = (flags & RECORD_LAST) != 0;
    r->back_count = cursor_le16(&c);
    r->seq = cursor_le64(&c);
    r->offset = cursor_le32(&c);
    r->index = cursor_le32(&c);
    r->id = cursor_le64(&c);
    r->first_pos = cursor_le64(&c);
    r->envelope_bytes = cursor_le32(&c);
    r->body_bytes = cursor_le32(&c);
    r->total_bytes = cursor_le32(&c);
    r->payload_crc = cursor_le32(&c);
    r->received_ms = cursor_le64(&c);
    if (version != FORMAT_VERSION || (flags & ~(RECORD_FIRST | RECORD_LAST)) != 0 ||
        r->back_count > SPOOL_BACK_MAX || b.len < SPOOL_RECORD_HEADER_BYTES + r->back_count * 8u) {
        return false;
    }
    uint32_t crc = crc32c(0, b.data, RECORD_CRC_AT);
    crc = crc32c(crc, b.data + SPOOL_RECORD_HEADER_BYTES, r->back_count * 8u);
    if (get32(b.data + RECORD_CRC_AT) != crc) {
        return false;
    }
    for (uint32_t i = 0; i < r->back_count; i++) {
        r->back[i] = get64(b.data + SPOOL_RECORD_HEADER_BYTES + i * 8);
    }
    return record_consistent(r);
}

bool spool_record_parse(struct bytes b, uint64_t pos, uint64_t id, struct spool_record *record_out)
{
    struct format_record r;
    if (!format_record_decode(b, &r) || format_pos(r.seq, r.offset) != pos || r.id != id) {
        return false;
    }
    size_t prefix = spool_record_prefix(r.index);
    size_t payload = (size_t)r.envelope_bytes + r.body_bytes;
    if (b.len < prefix + payload || crc32c(0, b.data + prefix, payload) != r.payload_crc) {
        return false;
    }
    *record_out = (struct spool_record){
        .pos = pos,
        .id = r.id,
        .index = r.index,
        .is_first = r.is_first,
        .is_last = r.is_last,
        .envelope = bytes_of(b.data + prefix, r.envelope_bytes),
        .body = bytes_of(b.data + prefix + r.envelope_bytes, r.body_bytes),
        .back_count = r.back_count,
        .first_pos = r.first_pos,
        .total_bytes = r.total_bytes,
        .received_ms = r.received_ms,
    };
    memcpy(record_out->back, r.back, r.back_count * sizeof r.back[0]);
    return true;
}

/* --- state ----------------------------------------------------------------------------------- */

uint32_t format_state_encode(const struct spool_state_entry *e, uint64_t pos, uint8_t *out)
{
    assert(e->text_len <= LIMIT_REPLY_TEXT_BYTES);
    uint32_t len = format_round(FORMAT_STATE_FIXED_BYTES + e->text_len, 8);
    memset(out, 0, len);
    struct put p = {out};
    put32(&p, MAGIC_STATE);
    put32(&p, 0); /* the CRC's place */
    put64(&p, spool_pos_seq(pos));
    put32(&p, spool_pos_offset(pos));
    put16(&p, (uint16_t)len);
    put16(&p, e->text_len);
    put64(&p, e->id);
    put64(&p, e->rcpts.word[0]);
    put64(&p, e->rcpts.word[1]);
    put64(&p, e->time_ms);
    put32(&p, e->hop_id);
    put16(&p, e->code);
    put_le(&p, e->kind, 1);
    put_le(&p, e->outcome, 1);
    put_le(&p, e->phase, 1);
    memcpy(out + FORMAT_STATE_FIXED_BYTES, e->text, e->text_len);
    p.at = out + 4;
    put32(&p, crc32c(0, out, len));
    return len;
}
_Static_assert(LIMIT_RCPTS == 128, "a recipient set is two words on disk");

bool format_state_decode(struct bytes b, uint64_t pos, struct spool_state_entry *e,
                         uint32_t *len_out)
{
    struct cursor c = cursor_of(b);
    if (b.len < FORMAT_STATE_FIXED_BYTES || cursor_le32(&c) != MAGIC_STATE) {
        return false;
    }
    uint32_t crc = cursor_le32(&c);
    uint64_t seq = cursor_le64(&c);
    uint32_t offset = cursor_le32(&c);
    uint16_t len = cursor_le16(&c);
    memset(e, 0, sizeof *e);
    e->text_len = cursor_le16(&c);
    e->id = cursor_le64(&c);
    e->rcpts.word[0] = cursor_le64(&c);
    e->rcpts.word[1] = cursor_le64(&c);
    e->time_ms = cursor_le64(&c);
    e->hop_id = cursor_le32(&c);
    e->code = cursor_le16(&c);
    e->kind = cursor_u8(&c);
    e->outcome = cursor_u8(&c);
    e->phase = cursor_u8(&c);
    if (format_pos(seq, offset) != pos || seq > UINT32_MAX ||
        e->text_len > LIMIT_REPLY_TEXT_BYTES ||
        len != format_round(FORMAT_STATE_FIXED_BYTES + e->text_len, 8) || len > b.len) {
        return false;
    }
    static const uint8_t no_crc[4];
    uint32_t sum = crc32c(0, b.data, 4);
    sum = crc32c(sum, no_crc, sizeof no_crc);
    if (crc32c(sum, b.data + 8, len - 8u) != crc) {
        return false;
    }
    memcpy(e->text, b.data + FORMAT_STATE_FIXED_BYTES, e->text_len);
    *len_out = len;
    return e->kind >= ABI_STATE_OUTCOME && e->kind <= ABI_STATE_FAULT &&
           outcome_valid(e->outcome) && e->phase <= ABI_PHASE_DOT;
}

/* --- checkpoint ------------------------------------------------------------------------------ */

void format_checkpoint_block_encode(const struct format_checkpoint_block *block, uint8_t *out)
{
    assert(block->payload_bytes > 0 && block->payload_bytes <= FORMAT_CHECKPOINT_PAYLOAD_MAX);
    struct put p = {out};
    put64(&p, MAGIC_CHECKPOINT);
    put16(&p, FORMAT_CHECKPOINT_VERSION);
    put16(&p, block->kind);
    put32(&p, block->payload_bytes);
    put64(&p, block->number);
    memcpy(p.at, block->stamp, FORMAT_CHECKPOINT_STAMP_BYTES);
    p.at += FORMAT_CHECKPOINT_STAMP_BYTES;
    put64(&p, block->seq);
    put32(&p, block->payload_crc);
    put64(&p, 0); /* reserved */
    assert(p.at == out + FORMAT_CHECKPOINT_HEADER_BYTES - 4);
    put32(&p, crc32c(0, out, FORMAT_CHECKPOINT_HEADER_BYTES - 4));
}

bool format_checkpoint_block_decode(struct bytes b, struct format_checkpoint_block *block_out)
{
    if (b.len < FORMAT_CHECKPOINT_HEADER_BYTES ||
        get32(b.data + FORMAT_CHECKPOINT_HEADER_BYTES - 4) !=
            crc32c(0, b.data, FORMAT_CHECKPOINT_HEADER_BYTES - 4)) {
        return false;
    }
    struct cursor c = cursor_of(b);
    uint64_t magic = cursor_le64(&c);
    uint16_t version = cursor_le16(&c);
    uint16_t kind = cursor_le16(&c);
    block_out->payload_bytes = cursor_le32(&c);
    block_out->number = cursor_le64(&c);
    struct bytes stamp = cursor_take(&c, FORMAT_CHECKPOINT_STAMP_BYTES);
    memcpy(block_out->stamp, stamp.data, stamp.len);
    block_out->seq = cursor_le64(&c);
    block_out->payload_crc = cursor_le32(&c);
    uint64_t reserved = cursor_le64(&c);
    if (magic != MAGIC_CHECKPOINT || version != FORMAT_CHECKPOINT_VERSION || reserved != 0 ||
        (kind != FORMAT_CHECKPOINT_DATA && kind != FORMAT_CHECKPOINT_END)) {
        return false;
    }
    block_out->kind = (enum format_checkpoint_kind)kind;
    return kind == FORMAT_CHECKPOINT_END
               ? block_out->payload_bytes == FORMAT_CHECKPOINT_END_BYTES
               : block_out->payload_bytes > 0 &&
                     block_out->payload_bytes <= FORMAT_CHECKPOINT_PAYLOAD_MAX;
}

void format_checkpoint_end_encode(const struct format_checkpoint_end *end, uint8_t *out)
{
    struct put p = {out};
    put64(&p, end->message_pos);
    put64(&p, end->state_pos);
    put64(&p, end->payload_bytes);
    put64(&p, end->block_count);
    assert(p.at == out + FORMAT_CHECKPOINT_END_BYTES);
}

bool format_checkpoint_end_decode(struct bytes b, struct format_checkpoint_end *end_out)
{
    struct cursor c = cursor_of(b);
    end_out->message_pos = cursor_le64(&c);
    end_out->state_pos = cursor_le64(&c);
    end_out->payload_bytes = cursor_le64(&c);
    end_out->block_count = cursor_le64(&c);
    return b.len == FORMAT_CHECKPOINT_END_BYTES && !c.failed &&
           end_out->payload_bytes <= FORMAT_CHECKPOINT_BYTES_MAX &&
           end_out->block_count <= end_out->payload_bytes;
}

/* --- names ----------------------------------------------------------------------------------- */

const char *format_segment_name(enum log_kind kind, uint32_t file_number,
                                char out[FORMAT_NAME_SIZE])
{
    int len = snprintf(out, FORMAT_NAME_SIZE, "%s-%06" PRIu32 ".seg",
                       kind == LOG_STATE ? "state" : "msg", file_number);
    assert(len > 0 && len < FORMAT_NAME_SIZE);
    return out;
}

const char *format_checkpoint_name(uint64_t number, char out[FORMAT_NAME_SIZE])
{
    int len = snprintf(out, FORMAT_NAME_SIZE, "ckpt-%010" PRIu64, number);
    assert(len > 0 && len < FORMAT_NAME_SIZE);
    return out;
}

/* Parses all digits of `text` up to `end`. false when anything else is there. */
static bool parse_digits(const char *text, const char *end, uint64_t *number_out)
{
    uint64_t number = 0;
    if (text == end || end - text > 18) {
        return false;
    }
    for (; text < end; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *number_out = number;
    return true;
}

bool format_segment_name_parse(const char *name, enum log_kind *kind_out, uint32_t *file_number_out)
{
    const char *digits = NULL;
    if (strncmp(name, "msg-", 4) == 0) {
        *kind_out = LOG_MESSAGE;
        digits = name + 4;
    } else if (strncmp(name, "state-", 6) == 0) {
        *kind_out = LOG_STATE;
        digits = name + 6;
    } else {
        return false;
    }
    size_t len = strlen(digits);
    uint64_t number;
    char again[FORMAT_NAME_SIZE];
    if (len < 5 || !parse_digits(digits, digits + len - 4, &number) || number > UINT32_MAX) {
        return false;
    }
    *file_number_out = (uint32_t)number;
    return strcmp(format_segment_name(*kind_out, *file_number_out, again), name) == 0;
}

bool format_checkpoint_name_parse(const char *name, uint64_t *number_out)
{
    char again[FORMAT_NAME_SIZE];
    return strncmp(name, "ckpt-", 5) == 0 &&
           parse_digits(name + 5, name + strlen(name), number_out) &&
           strcmp(format_checkpoint_name(*number_out, again), name) == 0;
}
