/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/test_format.c: encoders and decoders agree; decoders survive any bytes. */
#include "common/crc32c.h"
#include "spool/format.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct siphash_key key = {.k0 = 11, .k1 = 22};

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static size_t make_record(uint8_t *out, uint32_t index, uint32_t body_bytes)
{
    struct format_record r = {.seq = 5,
                              .offset = 81920,
                              .index = index,
                              .id = 1234,
                              .first_pos = format_pos(3, 8192),
                              .is_first = index == 0,
                              .is_last = true,
                              .body_bytes = body_bytes,
                              .total_bytes = 99,
                              .received_ms = 42};
    if (index == 0) {
        r.first_pos = format_pos(5, 81920);
        r.envelope_bytes = 10;
    }
    r.back_count = index < SPOOL_BACK_MAX ? index : SPOOL_BACK_MAX;
    for (uint32_t i = 0; i < r.back_count; i++) {
        r.back[i] = format_pos(4, 512 * (100 - i));
    }
    size_t prefix = spool_record_prefix(index);
    memset(out + prefix, 7, r.envelope_bytes + body_bytes);
    r.payload_crc = crc32c(0, out + prefix, r.envelope_bytes + body_bytes);
    format_record_encode(&r, out);
    return prefix + r.envelope_bytes + body_bytes;
}

Test(format, record_round_trip)
{
    static uint8_t data[4096];
    for (uint32_t index = 0; index < 40; index++) {
        size_t len = make_record(data, index, 777);
        struct spool_record r;
        cr_assert(spool_record_parse(bytes_of(data, len), format_pos(5, 81920), 1234, &r));
        cr_assert(r.index == index && r.body.len == 777 && r.is_last && r.received_ms == 42);
        cr_assert(r.envelope.len == (index == 0 ? 10 : 0) && r.total_bytes == 99);
        cr_assert_eq(r.back_count, index < 32 ? index : 32);
        cr_assert_not(spool_record_parse(bytes_of(data, len), format_pos(6, 81920), 1234, &r));
        cr_assert_not(spool_record_parse(bytes_of(data, len), format_pos(5, 81920), 1235, &r));
        cr_assert_not(spool_record_parse(bytes_of(data, len - 1), format_pos(5, 81920), 1234, &r));
    }
}

/* Every single bit of header, back list and payload is covered by a CRC. */
Test(format, record_bit_flips)
{
    static uint8_t data[1024];
    size_t len = make_record(data, 3, 100);
    struct spool_record r;
    for (size_t bit = 0; bit < len * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(spool_record_parse(bytes_of(data, len), format_pos(5, 81920), 1234, &r),
                      "bit %zu", bit);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(format, state_round_trip_and_bit_flips)
{
    uint8_t data[FORMAT_STATE_BYTES_MAX];
    struct spool_state_entry e = {.id = 77,
                                  .time_ms = 5,
                                  .hop_id = 6,
                                  .kind = ABI_STATE_FREEZE,
                                  .outcome = OUTCOME_LOOP,
                                  .phase = ABI_PHASE_DATA,
                                  .code = 554,
                                  .text_len = 11};
    memcpy(e.text, "hello world", 11);
    rcptset_add(&e.rcpts, 127);
    uint64_t pos = format_pos(9, 123456);
    uint32_t len = format_state_encode(&e, pos, data);
    struct spool_state_entry back;
    uint32_t took;
    cr_assert(format_state_decode(bytes_of(data, len), pos, &back, &took));
    cr_assert(took == len && memcmp(&back, &e, sizeof e) == 0);
    cr_assert_not(format_state_decode(bytes_of(data, len), pos + 8, &back, &took));
    for (size_t bit = 0; bit < len * 8u; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(format_state_decode(bytes_of(data, len), pos, &back, &took), "bit %zu", bit);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(format, batch_round_trip_and_bit_flips)
{
    static uint8_t data[FORMAT_BATCH_HEADER_MAX];
    const uint32_t body[] = {512, 4096, 4608, 1 << 20, FORMAT_BATCH_BODY_MAX};
    for (size_t i = 0; i < sizeof body / sizeof body[0]; i++) {
        struct format_batch b = {.kind = LOG_STATE,
                                 .seq = 3,
                                 .offset = 8192,
                                 .body_bytes = body[i],
                                 .record_count = 2,
                                 .number = 8,
                                 .durable_pos = 1,
                                 .peer_durable_pos = 2,
                                 .start = 4};
        b.header_bytes = format_batch_header_bytes(body[i]);
        memset(data, 0xab, sizeof data);
        format_batch_encode(&b, &key, data);
        struct format_batch back;
        uint32_t needed;
        cr_assert(format_batch_decode(bytes_of(data, b.header_bytes), &key, &back, &needed));
        cr_assert(back.body_bytes == body[i] && back.seq == 3 && back.peer_durable_pos == 2);
        struct siphash_key other = {.k0 = 11, .k1 = 23};
        cr_assert_not(format_batch_decode(bytes_of(data, b.header_bytes), &other, &back, &needed));
        if (b.header_bytes > 512) {
            cr_assert_not(format_batch_decode(bytes_of(data, 512), &key, &back, &needed));
            cr_assert_eq(needed, b.header_bytes);
        }
        for (size_t bit = 0; bit < b.header_bytes * 8u; bit++) {
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            cr_assert_not(
                format_batch_decode(bytes_of(data, b.header_bytes), &key, &back, &needed));
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

Test(format, meta_bit_flips)
{
    uint8_t data[FORMAT_META_BYTES];
    struct format_meta m = {.uuid = {1, 2, 3}, .segment_bytes = {1 << 20, 2 << 20}, .start = 9};
    struct format_meta back;
    format_meta_encode(&m, data);
    cr_assert(format_meta_decode(bytes_of(data, sizeof data), &back));
    cr_assert(back.start == 9 && back.segment_bytes[LOG_STATE] == 2 << 20 && back.uuid[2] == 3);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(format_meta_decode(bytes_of(data, sizeof data), &back));
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(format, checkpoint_bit_flips)
{
    uint8_t data[FORMAT_CHECKPOINT_HEADER_BYTES];
    struct bytes header = bytes_of(data, sizeof data);
    struct format_checkpoint_block b = {.kind = FORMAT_CHECKPOINT_DATA,
                                        .number = 3,
                                        .stamp = {7, 8},
                                        .seq = UINT64_C(1) << 40,
                                        .payload_bytes = FORMAT_CHECKPOINT_PAYLOAD_MAX,
                                        .payload_crc = 99};
    struct format_checkpoint_block back;
    format_checkpoint_block_encode(&b, data);
    cr_assert(format_checkpoint_block_decode(header, &back));
    cr_assert(back.kind == b.kind && back.number == 3 && back.seq == b.seq);
    cr_assert(back.payload_bytes == b.payload_bytes && back.payload_crc == 99);
    cr_assert_arr_eq(back.stamp, b.stamp, sizeof b.stamp);
    cr_assert_not(format_checkpoint_block_decode(bytes_first(header, 63), &back));
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(format_checkpoint_block_decode(header, &back));
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    struct format_checkpoint_end e = {
        .message_pos = 1, .state_pos = 2, .payload_bytes = 9, .block_count = 3};
    struct format_checkpoint_end e_back;
    format_checkpoint_end_encode(&e, data);
    struct bytes end = bytes_of(data, FORMAT_CHECKPOINT_END_BYTES);
    cr_assert(format_checkpoint_end_decode(end, &e_back));
    cr_assert(e_back.message_pos == 1 && e_back.state_pos == 2);
    cr_assert(e_back.payload_bytes == 9 && e_back.block_count == 3);
    cr_assert_not(format_checkpoint_end_decode(bytes_first(end, 31), &e_back));
    e.block_count = 10; /* blocks are not empty */
    format_checkpoint_end_encode(&e, data);
    cr_assert_not(format_checkpoint_end_decode(end, &e_back));
    e.payload_bytes = FORMAT_CHECKPOINT_BYTES_MAX + 1;
    format_checkpoint_end_encode(&e, data);
    cr_assert_not(format_checkpoint_end_decode(end, &e_back));
}

/* Headers whose checksum is right, but with values that no writer writes. */
Test(format, checkpoint_hostile_headers)
{
    static const struct {
        size_t at;
        uint8_t value[4];
        size_t len;
    } lies[] = {
        {8, {2, 0}, 2},          /* version */
        {10, {0, 0}, 2},         /* kind */
        {10, {3, 0}, 2},         /* kind */
        {10, {2, 0}, 2},         /* an END of another length */
        {12, {0, 0, 0, 0}, 4},   /* no payload */
        {12, {0xc1, 255, 3}, 4}, /* one byte too many */
        {12, {255, 255, 255, 255}, 4},
        {52, {1}, 1}, /* reserved */
        {59, {1}, 1},
    };
    struct format_checkpoint_block b = {.kind = FORMAT_CHECKPOINT_DATA, .payload_bytes = 5};
    struct format_checkpoint_block back;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        uint8_t data[FORMAT_CHECKPOINT_HEADER_BYTES];
        format_checkpoint_block_encode(&b, data);
        memcpy(data + lies[i].at, lies[i].value, lies[i].len);
        uint32_t crc = crc32c(0, data, 60);
        for (int k = 0; k < 4; k++) {
            data[60 + k] = (uint8_t)(crc >> (8 * k));
        }
        cr_assert_not(format_checkpoint_block_decode(bytes_of(data, sizeof data), &back), "%zu", i);
    }
}

Test(format, segment_copies)
{
    static uint8_t data[FORMAT_SEGMENT_START];
    struct format_segment s = {.kind = LOG_MESSAGE, .seq = 7, .segment_bytes = 1 << 20};
    struct format_segment back;
    struct bytes b = bytes_of(data, sizeof data);
    cr_assert_eq(format_segment_decode(b, &key, LOG_MESSAGE, &back), FORMAT_SEGMENT_BLANK);
    format_segment_encode(&s, &key, data);
    data[9] ^= 1; /* torn while the second copy was never written */
    cr_assert_eq(format_segment_decode(b, &key, LOG_MESSAGE, &back), FORMAT_SEGMENT_BLANK);
    format_segment_encode(&s, &key, data);
    format_segment_encode(&s, &key, data + FORMAT_SEGMENT_COPY_BYTES);
    cr_assert_eq(format_segment_decode(b, &key, LOG_MESSAGE, &back), FORMAT_SEGMENT_USED);
    cr_assert_eq(format_segment_decode(b, &key, LOG_STATE, &back), FORMAT_SEGMENT_DAMAGED);
    s.seq = 8; /* used again: the first copy is newer */
    format_segment_encode(&s, &key, data);
    cr_assert_eq(format_segment_decode(b, &key, LOG_MESSAGE, &back), FORMAT_SEGMENT_USED);
    cr_assert_eq(back.seq, 8);
    data[17] ^= 1; /* torn: still the old one */
    cr_assert_eq(format_segment_decode(b, &key, LOG_MESSAGE, &back), FORMAT_SEGMENT_USED);
    cr_assert_eq(back.seq, 7);
}

Test(format, names)
{
    char name[FORMAT_NAME_SIZE];
    enum log_kind kind;
    uint32_t file;
    uint64_t number;
    cr_assert_str_eq(format_segment_name(LOG_MESSAGE, 7, name), "msg-000007.seg");
    cr_assert(format_segment_name_parse("state-000012.seg", &kind, &file));
    cr_assert(kind == LOG_STATE && file == 12);
    cr_assert(format_segment_name_parse("msg-1234567.seg", &kind, &file));
    const char *const bad[] = {"msg-7.seg",
                               "msg-.seg",
                               "msg-000007.se",
                               "msg-00000x.seg",
                               "msg-",
                               "state-0000012.seg",
                               "msg-99999999999999999999.seg",
                               "",
                               "meta"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(format_segment_name_parse(bad[i], &kind, &file), "%s", bad[i]);
    }
    cr_assert(format_checkpoint_name_parse("ckpt-0000000007", &number) && number == 7);
    cr_assert_not(format_checkpoint_name_parse("ckpt-7", &number));
    cr_assert_not(format_checkpoint_name_parse("ckpt.tmp", &number));
}

/* All bytes from a disk are hostile: whatever a header claims, decoders stay inside the view (the
 * sanitizers watch) and inside the bounds. The checksums are made right, so that the fields are
 * really looked at. */
Test(format, random_bytes)
{
    for (int round = 0; round < 200000; round++) {
        size_t len = next_random() % 700;
        uint8_t *data = malloc(len + 1);
        for (size_t i = 0; i < len; i++) {
            data[i] = next_random() % 3 == 0 ? (uint8_t)next_random() : 0;
        }
        struct bytes b = bytes_of(data, len);
        static const char *const magic[] = {"hfrc", "hfst", "hfbtch01", "hffseg01", "hfckpt01"};
        const char *m = magic[next_random() % 5];
        if (len > 8) {
            memcpy(data, m, strlen(m));
            data[4] = m[2] == 'r' ? 1 : data[4];
        }
        if (m[2] == 'r' && len >= 128) {
            data[5] &= 3;
            data[6] %= 40;
            data[7] = 0;
            size_t back = data[6] * 8u;
            if (len >= 128 + back) {
                uint32_t crc = crc32c(crc32c(0, data, 124), data + 128, back);
                for (int i = 0; i < 4; i++) {
                    data[124 + i] = (uint8_t)(crc >> (8 * i));
                }
            }
        }
        struct format_record record;
        if (format_record_decode(b, &record)) {
            cr_assert(
                record.back_count <= SPOOL_BACK_MAX &&
                format_record_bytes(record.index, record.envelope_bytes + record.body_bytes) <=
                    FORMAT_RECORD_BYTES_MAX);
            struct spool_record parsed;
            (void)!spool_record_parse(b, format_pos(record.seq, record.offset), record.id, &parsed);
        }
        struct spool_state_entry entry;
        struct format_batch batch;
        struct format_segment segment;
        struct format_checkpoint_block block;
        struct format_checkpoint_end end;
        struct format_meta meta;
        uint32_t n;
        (void)!format_state_decode(b, 0, &entry, &n);
        (void)!format_batch_decode(b, &key, &batch, &n);
        (void)!format_segment_decode(b, &key, LOG_MESSAGE, &segment);
        (void)!format_checkpoint_block_decode(b, &block);
        (void)!format_checkpoint_end_decode(b, &end);
        (void)!format_meta_decode(b, &meta);
        free(data);
    }
}
