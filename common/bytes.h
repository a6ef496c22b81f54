/* SPDX-License-Identifier: BSD-3-Clause */
/* common/bytes.h: byte views and cursors, the only way foreign bytes are read.
 *
 * Promise: no read outside the view. A cursor that ran short stays failed and yields zeros, so a
 *          parser may read all its fields and test once.
 * Trap:    a view borrows; it does not own. An API that takes or gives one says for how long it is
 *          valid.
 */
#ifndef HOLDFAST_COMMON_BYTES_H
#define HOLDFAST_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t len;
};

static inline struct bytes bytes_of(const void *data, size_t len)
{
    return (struct bytes){.data = data, .len = len};
}

static inline struct bytes bytes_str(const char *str)
{
    return bytes_of(str, strlen(str));
}

/* The view from `offset` on; empty when offset is at or past the end. */
static inline struct bytes bytes_from(struct bytes b, size_t offset)
{
    if (offset >= b.len) {
        return bytes_of(b.data, 0);
    }
    return bytes_of(b.data + offset, b.len - offset);
}

/* At most the first `len` bytes. */
static inline struct bytes bytes_first(struct bytes b, size_t len)
{
    return bytes_of(b.data, len < b.len ? len : b.len);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ASCII case folding only: SMTP verbs and domains (RFC 5321 section 2.4). */
static inline uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool bytes_equal_nocase(struct bytes a, struct bytes b);

/* Index of the first `c`, or b.len when there is none. */
size_t bytes_index(struct bytes b, uint8_t c);

/* Copies b and a final NUL into out, cutting at out_size - 1. Returns the length copied. */
size_t bytes_copy_str(struct bytes b, char *out, size_t out_size);

/* Copies b into out as printable ASCII: control and high bytes become '?', cut to out_size - 1.
 * For anything a peer said that a person will read. */
size_t bytes_copy_clean(struct bytes b, char *out, size_t out_size);

/* A text that is built piece by piece in the caller's memory. What does not fit is cut off. The
 * text ends with a NUL at any time. */
struct text {
    char *out;
    size_t size;
    size_t len;
};

struct text text_of(char *out, size_t out_size);
void text_append(struct text *text, const char *str);
/* Appends at most the first `most` bytes of str. */
void text_append_first(struct text *text, const char *str, size_t most);
/* Appends the number in decimal digits. */
void text_append_number(struct text *text, uint64_t number);

struct cursor {
    struct bytes rest;
    bool failed;
};

static inline struct cursor cursor_of(struct bytes b)
{
    return (struct cursor){.rest = b, .failed = false};
}

struct bytes cursor_take(struct cursor *c, size_t len);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_be16(struct cursor *c);
uint32_t cursor_be32(struct cursor *c);
uint16_t cursor_le16(struct cursor *c);
uint32_t cursor_le32(struct cursor *c);
uint64_t cursor_le64(struct cursor *c);

static inline void put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, (uint16_t)(v >> 16));
    put_be16(p + 2, (uint16_t)v);
}

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
    return ((uint32_t)get_be16(p) << 16) | get_be16(p + 2);
}

#endif
