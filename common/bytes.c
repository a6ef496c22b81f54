/* SPDX-License-Identifier: BSD-3-Clause */
/* common/bytes.c: byte views and cursors. See bytes.h. */
#include "common/bytes.h"

#include "common/assert.h"

bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

size_t bytes_index(struct bytes b, uint8_t c)
{
    if (b.len == 0) {
        return 0;
    }
    const uint8_t *p = memchr(b.data, c, b.len);
    return p == NULL ? b.len : (size_t)(p - b.data);
}

size_t bytes_copy_str(struct bytes b, char *out, size_t out_size)
{
    assert(out_size > 0);
    size_t len = b.len < out_size - 1 ? b.len : out_size - 1;
    if (len > 0) {
        memcpy(out, b.data, len);
    }
    out[len] = '\0';
    return len;
}

size_t bytes_copy_clean(struct bytes b, char *out, size_t out_size)
{
    size_t len = bytes_copy_str(b, out, out_size);
    for (size_t i = 0; i < len; i++) {
        if (out[i] < 0x20 || out[i] > 0x7e) {
            out[i] = '?';
        }
    }
    return len;
}

struct bytes cursor_take(struct cursor *c, size_t len)
{
    if (c->failed || len > c->rest.len) {
        c->failed = true;
        return bytes_of(NULL, 0);
    }
    struct bytes taken = bytes_of(c->rest.data, len);
    c->rest = bytes_from(c->rest, len);
    return taken;
}

static uint64_t take_le(struct cursor *c, size_t len)
{
    struct bytes b = cursor_take(c, len);
    uint64_t v = 0;
    for (size_t i = b.len; i > 0; i--) {
        v = v << 8 | b.data[i - 1];
    }
    return v;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)take_le(c, 1);
}

uint16_t cursor_be16(struct cursor *c)
{
    struct bytes b = cursor_take(c, 2);
    return b.len == 2 ? get_be16(b.data) : 0;
}

uint32_t cursor_be32(struct cursor *c)
{
    struct bytes b = cursor_take(c, 4);
    return b.len == 4 ? get_be32(b.data) : 0;
}

uint16_t cursor_le16(struct cursor *c)
{
    return (uint16_t)take_le(c, 2);
}

uint32_t cursor_le32(struct cursor *c)
{
    return (uint32_t)take_le(c, 4);
}

uint64_t cursor_le64(struct cursor *c)
{
    return take_le(c, 8);
}
