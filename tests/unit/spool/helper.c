/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/helper.c: see helper.h. */
#include "tests/unit/spool/helper.h"

#include "common/crc32c.h"

#include <errno.h>
#include <stdlib.h>

const struct spool_settings helper_settings = {
    .segment_bytes = HELPER_SEGMENT,
    .segments_max = 6,
    .state_segment_bytes = HELPER_SEGMENT,
};

uint8_t helper_byte(uint64_t id, uint64_t offset)
{
    return (uint8_t)((id * UINT64_C(0x9e3779b97f4a7c15) + offset * 31) >> 7);
}

static size_t encode_envelope(uint64_t id, uint8_t *out, size_t size)
{
    struct envelope e = {.received_ms = 1000 + id, .rcpt_count = 2};
    e.helo = bytes_str("client.example");
    e.sender = bytes_str("sender@example.org");
    e.rcpt[0] = (struct envelope_rcpt){.route_id = 7, .address = bytes_str("a@uni.example")};
    e.rcpt[1] = (struct envelope_rcpt){
        .route_id = 8, .route_index = 1, .address = bytes_str("b@law.uni.example")};
    size_t len = envelope_encode(&e, out, size);
    assert(len > 0);
    return len;
}

struct helper_record *helper_submit(struct spool_writer *w, struct spool_txn *txn, size_t body_len,
                                    bool last)
{
    struct helper_record *r = calloc(1, sizeof *r);
    size_t prefix = spool_record_prefix(txn->record_count);
    size_t size = (prefix + 1024 + body_len + 511) / 512 * 512;
    assert(r != NULL);
    uint8_t *buffer = aligned_alloc(512, size);
    assert(buffer != NULL);
    memset(buffer, 0xee, size);
    struct spool_submit *s = &r->submit;
    r->txn = txn;
    s->kind = last ? SPOOL_SUBMIT_COMMIT : SPOOL_SUBMIT_RECORD;
    s->txn = txn;
    s->buffer = buffer;
    s->buffer_size = size;
    s->envelope_bytes =
        txn->record_count == 0 ? (uint32_t)encode_envelope(txn->id, buffer + prefix, 1024) : 0;
    s->body_bytes = (uint32_t)body_len;
    static uint64_t sent[1 << 12]; /* body bytes so far, by transaction */
    uint64_t *at = &sent[txn->id / 16 % (1 << 12)];
    *at = txn->record_count == 0 ? 0 : *at;
    uint8_t *body = buffer + prefix + s->envelope_bytes;
    for (size_t i = 0; i < body_len; i++) {
        body[i] = helper_byte(txn->id, *at + i);
    }
    *at += body_len;
    s->body_crc = crc32c(0, buffer + prefix, s->envelope_bytes + body_len);
    s->total_bytes = last ? (uint32_t)*at : 0;
    s->received_ms = 1000 + txn->id;
    txn->record_count++;
    spool_writer_submit(w, s);
    return r;
}

void helper_record_free(struct helper_record *r)
{
    free(r->submit.buffer);
    free(r);
}

struct spool_submit *helper_run(struct spool_writer *w)
{
    struct spool_submit *head = NULL;
    struct spool_submit **tail = &head;
    for (int turns = 0; !spool_writer_idle(w); turns++) {
        assert(turns < 1000000);
        *tail = spool_writer_turn(w, true);
        while (*tail != NULL) {
            tail = &(*tail)->next;
        }
    }
    return head;
}

enum spool_result helper_message(struct spool_writer *w, uint64_t id, uint32_t chunk_count,
                                 size_t chunk_len, uint64_t *pos_out)
{
    struct spool_txn txn = {.id = id};
    struct helper_record **record = calloc(chunk_count, sizeof(struct helper_record *));
    for (uint32_t i = 0; i < chunk_count; i++) {
        record[i] = helper_submit(w, &txn, chunk_len, i + 1 == chunk_count);
    }
    helper_run(w);
    enum spool_result result = record[chunk_count - 1]->submit.result;
    if (pos_out != NULL) {
        *pos_out = record[chunk_count - 1]->submit.pos;
    }
    for (uint32_t i = 0; i < chunk_count; i++) {
        helper_record_free(record[i]);
    }
    free(record);
    return result;
}

enum spool_result helper_state(struct spool_writer *w, uint64_t id, uint64_t *pos_out)
{
    struct spool_submit s = {.kind = SPOOL_SUBMIT_STATE};
    s.state.id = id;
    s.state.kind = ABI_STATE_OUTCOME;
    s.state.outcome = OUTCOME_DELIVERED;
    s.state.phase = ABI_PHASE_DOT;
    s.state.code = 250;
    s.state.rcpts = rcptset_first(1);
    s.state.time_ms = 77;
    s.state.text_len = (uint16_t)(id % LIMIT_REPLY_TEXT_BYTES);
    memset(s.state.text, 'x', s.state.text_len);
    spool_writer_submit(w, &s);
    helper_run(w);
    if (pos_out != NULL) {
        *pos_out = s.pos;
    }
    return s.result;
}

enum spool_result helper_simple(struct spool_writer *w, enum spool_submit_kind kind, uint64_t seq,
                                uint64_t seen_pos)
{
    struct spool_submit s = {.kind = kind, .seq = seq, .seen_pos = seen_pos};
    spool_writer_submit(w, &s);
    helper_run(w);
    return s.result;
}

static int see(void *ctx, const struct spool_scan_item *item)
{
    struct helper_seen *seen = ctx;
    assert(seen->commit_count < 512 && seen->state_count < 512);
    switch (item->verdict) {
    case SPOOL_SCAN_RECORD:
        if (item->state != NULL) {
            seen->state[seen->state_count++] = item->state->id;
            break;
        }
        seen->record_count++;
        if (item->record->is_last) {
            seen->commit[seen->commit_count] = item->record->id;
            seen->commit_pos[seen->commit_count++] = item->pos;
        }
        break;
    case SPOOL_SCAN_DAMAGE:
        seen->damage_count++;
        seen->damage_pos = item->pos;
        break;
    case SPOOL_SCAN_TAIL:
        seen->tail_count++;
        break;
    }
    return 0;
}

void helper_scan(struct spool_io *io, struct helper_seen *seen_out)
{
    struct spool_reader *r;
    memset(seen_out, 0, sizeof *seen_out);
    int err = spool_reader_open(io, &r);
    assert(err == 0);
    err = spool_scan_messages(r, 0, UINT64_MAX, see, seen_out);
    assert(err == 0);
    err = spool_scan_states(r, 0, UINT64_MAX, see, seen_out);
    assert(err == 0);
    spool_reader_close(r);
}

bool helper_has(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

struct compare {
    uint64_t id;
    size_t len;
};

static int compare_piece(void *ctx, struct bytes piece)
{
    struct compare *c = ctx;
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.data[i] != helper_byte(c->id, c->len + i)) {
            return -EILSEQ;
        }
    }
    c->len += piece.len;
    return 0;
}

int helper_check_body(struct spool_io *io, uint64_t commit_pos, uint64_t id, size_t *len_out)
{
    struct spool_reader *r;
    struct compare c = {.id = id};
    int err = spool_reader_open(io, &r);
    assert(err == 0);
    err = spool_read_body(r, commit_pos, id, compare_piece, &c);
    spool_reader_close(r);
    if (len_out != NULL) {
        *len_out = c.len;
    }
    return err;
}
