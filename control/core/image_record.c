/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/image_record.c: see image_record.h. Pure. */
#include "control/core/image_record.h"

#include "common/outcome.h"
#include "common/limits/rcpts.h"

/* The lengths of what is in records of these kinds always. */
enum { HEAD_BYTES = 4 + 8 * 8, DELIVERY_BYTES = 5 * 8 + 4 * 4 + 2 + 4 * 1 + 2, RCPT_BYTES = 12 };

_Static_assert(1 + DELIVERY_BYTES + RCPT_BYTES * LIMIT_RCPTS + 4 * IMAGE_RULES_MAX <=
                   IMAGE_RECORD_BYTES_MAX,
               "the longest record has room");

static uint8_t *put(uint8_t *p, uint64_t v, size_t len)
{
    assert(len > 0 && len <= 8 && (len == 8 || v >> (8 * len) == 0));
    for (size_t i = 0; i < len; i++) {
        *p++ = (uint8_t)(v >> (8 * i));
    }
    return p;
}

static uint8_t *put_head(const struct image_record *r, uint8_t *p)
{
    const uint8_t *begin = p;
    assert(r->head.version == IMAGE_VERSION);
    p = put(p, r->head.version, 4);
    p = put(p, r->head.accepted_rcpts, 8);
    p = put(p, r->head.delivered_rcpts, 8);
    p = put(p, r->head.possible_duplicates, 8);
    p = put(p, r->head.message_damage_top, 8);
    p = put(p, r->head.state_damage_top, 8);
    p = put(p, r->head.message_floor, 8);
    p = put(p, r->head.state_floor, 8);
    p = put(p, r->head.told_seq, 8);
    assert(p - begin == HEAD_BYTES);
    return p;
}

static uint8_t *put_delivery(const struct image_record *r, uint8_t *p)
{
    const uint8_t *begin = p;
    assert(r->delivery.id != 0);
    assert(r->delivery.rcpt_count > 0 && r->delivery.rcpt_count <= LIMIT_RCPTS);
    p = put(p, r->delivery.id, 8);
    p = put(p, r->delivery.first_pos, 8);
    p = put(p, r->delivery.commit_pos, 8);
    p = put(p, r->delivery.received_ms, 8);
    p = put(p, r->delivery.due_ms, 8);
    p = put(p, r->delivery.route_id, 4);
    p = put(p, r->delivery.hop_id, 4);
    p = put(p, r->delivery.body_bytes, 4);
    p = put(p, r->delivery.held_rule, 4);
    p = put(p, r->delivery.attempts, 2);
    p = put(p, r->delivery.faults, 1);
    p = put(p, r->delivery.dot_losses, 1);
    p = put(p, r->delivery.unjudged, 1);
    p = put(p, r->delivery.rule_count, 1);
    p = put(p, r->delivery.rcpt_count, 2);
    for (unsigned i = 0; i < r->delivery.rcpt_count; i++) {
        const struct image_rcpt *rcpt = &r->delivery.rcpt[i];
        p = put(p, rcpt->state, 1);
        p = put(p, rcpt->outcome, 1);
        p = put(p, rcpt->code, 2);
        p = put(p, rcpt->state_pos, 8);
    }
    for (unsigned i = 0; i < r->delivery.rule_count; i++) {
        p = put(p, r->delivery.rule[i], 4);
    }
    assert(p - begin ==
           DELIVERY_BYTES + RCPT_BYTES * r->delivery.rcpt_count + 4 * r->delivery.rule_count);
    return p;
}

size_t image_record_encode(const struct image_record *r, uint8_t *out)
{
    assert(r->kind >= IMAGE_HEAD && r->kind <= IMAGE_END);
    uint8_t *p = put(out, r->kind, 1);
    switch (r->kind) {
    case IMAGE_HEAD:
        p = put_head(r, p);
        break;
    case IMAGE_SEEN:
        p = put(p, r->seen.log, 1);
        p = put(p, r->seen.pos, 8);
        p = put(p, r->seen.mask, 2);
        break;
    case IMAGE_RULE:
        p = put(p, r->rule.id, 4);
        break;
    case IMAGE_PIN:
        p = put(p, r->pin.seq, 8);
        break;
    case IMAGE_DELIVERY:
        p = put_delivery(r, p);
        break;
    case IMAGE_END:
        p = put(p, r->end.deliveries, 8);
        break;
    }
    assert((size_t)(p - out) <= IMAGE_RECORD_BYTES_MAX);
    return (size_t)(p - out);
}

static bool get_head(struct cursor *in, struct image_record *r)
{
    assert(!in->failed && r->kind == IMAGE_HEAD);
    r->head.version = cursor_le32(in);
    r->head.accepted_rcpts = cursor_le64(in);
    r->head.delivered_rcpts = cursor_le64(in);
    r->head.possible_duplicates = cursor_le64(in);
    r->head.message_damage_top = cursor_le64(in);
    r->head.state_damage_top = cursor_le64(in);
    r->head.message_floor = cursor_le64(in);
    r->head.state_floor = cursor_le64(in);
    r->head.told_seq = cursor_le64(in);
    return !in->failed && r->head.version == IMAGE_VERSION;
}

static bool get_rcpts(struct cursor *in, struct image_record *r)
{
    unsigned open = 0;
    assert(r->delivery.rcpt_count > 0 && r->delivery.rcpt_count <= LIMIT_RCPTS);
    for (unsigned i = 0; i < r->delivery.rcpt_count; i++) {
        struct image_rcpt *rcpt = &r->delivery.rcpt[i];
        rcpt->state = cursor_u8(in);
        rcpt->outcome = cursor_u8(in);
        rcpt->code = cursor_le16(in);
        rcpt->state_pos = cursor_le64(in);
        if (rcpt->state > RCPT_FROZEN || !outcome_valid(rcpt->outcome)) {
            return false;
        }
        open += rcpt->state != RCPT_DONE;
    }
    for (unsigned i = 0; i < r->delivery.rule_count; i++) {
        r->delivery.rule[i] = cursor_le32(in);
    }
    assert(open <= r->delivery.rcpt_count);
    return !in->failed && open > 0;
}

static bool get_delivery(struct cursor *in, struct image_record *r)
{
    assert(!in->failed && r->kind == IMAGE_DELIVERY);
    r->delivery.id = cursor_le64(in);
    r->delivery.first_pos = cursor_le64(in);
    r->delivery.commit_pos = cursor_le64(in);
    r->delivery.received_ms = cursor_le64(in);
    r->delivery.due_ms = cursor_le64(in);
    r->delivery.route_id = cursor_le32(in);
    r->delivery.hop_id = cursor_le32(in);
    r->delivery.body_bytes = cursor_le32(in);
    r->delivery.held_rule = cursor_le32(in);
    r->delivery.attempts = cursor_le16(in);
    r->delivery.faults = cursor_u8(in);
    r->delivery.dot_losses = cursor_u8(in);
    r->delivery.unjudged = cursor_u8(in) != 0;
    r->delivery.rule_count = cursor_u8(in);
    r->delivery.rcpt_count = cursor_le16(in);
    if (in->failed || r->delivery.id == 0 || r->delivery.rcpt_count == 0 ||
        r->delivery.rcpt_count > LIMIT_RCPTS) {
        return false;
    }
    return get_rcpts(in, r);
}

static bool get_seen(struct cursor *in, struct image_record *r)
{
    assert(!in->failed && r->kind == IMAGE_SEEN);
    r->seen.log = cursor_u8(in);
    r->seen.pos = cursor_le64(in);
    r->seen.mask = cursor_le16(in);
    return !in->failed && r->seen.log <= 1;
}

bool image_record_decode(struct cursor *in, struct image_record *r)
{
    uint8_t kind = cursor_u8(in);
    r->kind = (enum image_kind)kind;
    switch (kind) {
    case IMAGE_HEAD:
        return get_head(in, r);
    case IMAGE_SEEN:
        return get_seen(in, r);
    case IMAGE_RULE:
        r->rule.id = cursor_le32(in);
        return !in->failed;
    case IMAGE_PIN:
        r->pin.seq = cursor_le64(in);
        return !in->failed;
    case IMAGE_DELIVERY:
        return get_delivery(in, r);
    case IMAGE_END:
        r->end.deliveries = cursor_le64(in);
        return !in->failed;
    default:
        return false;
    }
}
