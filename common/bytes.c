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

struct text text_of(char *out, size_t out_size)
{
    assert(out_size > 0);
    out[0] = '\0';
    return (struct text){.out = out, .size = out_size};
}

void text_append_first(struct text *text, const char *str, size_t most)
{
    assert(text->len < text->size);
    struct bytes piece = bytes_first(bytes_str(str), most);
    text->len += bytes_copy_str(piece, text->out + text->len, text->size - text->len);
    assert(text->len < text->size && text->out[text->len] == '\0');
}

void text_append(struct text *text, const char *str)
{
    text_append_first(text, str, SIZE_MAX);
}

void text_append_number(struct text *text, uint64_t number)
{
    char digits[21]; /* of 2^64 - 1, and the NUL */
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text_append(text, digits + at);
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
