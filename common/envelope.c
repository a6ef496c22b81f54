/* SPDX-License-Identifier: BSD-3-Clause */
/* common/envelope.c: the envelope's bytes. The layout is drawn in envelope.h. */
#include "common/envelope.h"

#include "common/limits/address.h"
#include "common/limits/message.h"

enum { ENVELOPE_VERSION = 1 };

struct out {
    uint8_t *data;
    size_t size;
    size_t len;
    bool full;
};

static void out_bytes(struct out *o, const void *data, size_t len)
{
    if (o->full || len > o->size - o->len) {
        o->full = true;
        return;
    }
    if (len > 0) {
        memcpy(o->data + o->len, data, len);
    }
    o->len += len;
}

static void out_le(struct out *o, uint64_t v, size_t len)
{
    uint8_t b[8];
    for (size_t i = 0; i < len; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
    out_bytes(o, b, len);
}

static void out_field(struct out *o, struct bytes b)
{
    assert(b.len <= UINT16_MAX);
    out_le(o, b.len, 2);
    out_bytes(o, b.data, b.len);
}

size_t envelope_encode(const struct envelope *e, uint8_t *data, size_t size)
{
    assert(e->rcpt_count > 0 && e->rcpt_count <= LIMIT_RCPTS);
    struct out o = {.data = data, .size = size};
    out_le(&o, ENVELOPE_VERSION, 1);
    out_le(&o, e->flags, 1);
    out_le(&o, e->rcpt_count, 2);
    out_le(&o, e->received_ms, 8);
    out_bytes(&o, e->client.octet, sizeof e->client.octet);
    out_field(&o, e->helo);
    out_field(&o, e->sender);
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        out_le(&o, e->rcpt[i].route_id, 4);
        out_le(&o, e->rcpt[i].route_index, 1);
        out_field(&o, e->rcpt[i].address);
    }
    return o.full ? 0 : o.len;
}

static struct bytes take_field(struct cursor *c, size_t most)
{
    size_t len = cursor_le16(c);
    if (len > most) {
        c->failed = true;
    }
    return cursor_take(c, len);
}

static void take_rcpts(struct cursor *c, struct envelope *e)
{
    unsigned routes = 0;
    for (unsigned i = 0; i < e->rcpt_count && !c->failed; i++) {
        struct envelope_rcpt *r = &e->rcpt[i];
        r->route_id = cursor_le32(c);
        r->route_index = cursor_u8(c);
        r->address = take_field(c, LIMIT_ADDRESS_BYTES);
        if (r->route_index > routes || r->route_index >= LIMIT_ROUTES_PER_MESSAGE) {
            c->failed = true; /* indexes go up without a gap, in the order of appearance */
        }
        routes += r->route_index == routes;
    }
}

bool envelope_decode(struct bytes b, struct envelope *e)
{
    struct cursor c = cursor_of(b);
    bool known = cursor_u8(&c) == ENVELOPE_VERSION;
    e->flags = cursor_u8(&c);
    e->rcpt_count = cursor_le16(&c);
    e->received_ms = cursor_le64(&c);
    struct bytes client = cursor_take(&c, sizeof e->client.octet);
    if (!known || c.failed || e->rcpt_count == 0 || e->rcpt_count > LIMIT_RCPTS) {
        return false;
    }
    memcpy(e->client.octet, client.data, client.len);
    e->helo = take_field(&c, LIMIT_DOMAIN_BYTES);
    e->sender = take_field(&c, LIMIT_ADDRESS_BYTES);
    take_rcpts(&c, e);
    return !c.failed && c.rest.len == 0;
}

unsigned envelope_route_rcpts(const struct envelope *e, unsigned route_index)
{
    unsigned count = 0;
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        count += e->rcpt[i].route_index == route_index;
    }
    return count;
}

unsigned envelope_route_count(const struct envelope *e)
{
    unsigned count = 0;
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        if (e->rcpt[i].route_index >= count) {
            count = e->rcpt[i].route_index + 1u;
        }
    }
    return count;
}
