/* SPDX-License-Identifier: BSD-3-Clause */
/* common/utf8.c: see utf8.h. */
#include "common/utf8.h"

#include "common/assert.h"

#include <stdbool.h>
#include <string.h>

/* U+0080..U+009F are C2 80..9F; U+200B..200F, 202A..202E, 2066..2069 hide or reverse text. */
static bool is_unsafe(const unsigned char *p)
{
    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
        return true;
    }
    if (p[0] == 0xe2 && p[1] == 0x80) {
        return (p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae);
    }
    return p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9;
}

/* RFC 3629 section 4 forbids overlong forms, surrogates, and code points past U+10FFFF. */
static bool second_is_good(const unsigned char *p)
{
    switch (p[0]) {
    case 0xe0:
        return p[1] >= 0xa0;
    case 0xed:
        return p[1] <= 0x9f;
    case 0xf0:
        return p[1] >= 0x90;
    case 0xf4:
        return p[1] <= 0x8f;
    default:
        return true;
    }
}

/* The number of bytes of the UTF-8 sequence at p, or 0 when there is none. */
static size_t sequence(const unsigned char *p)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] > 0xf4 || (p[0] >= 0x80 && p[0] < 0xc2)) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return second_is_good(p) ? len : 0;
}

const char *utf8_clean(const char *text, char *out, size_t out_size)
{
    assert(out_size > 0);
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0;
    while (*p != '\0') {
        size_t len = sequence(p);
        bool bad = len == 0 || *p < 0x20 || *p == 0x7f || is_unsafe(p);
        size_t need = bad ? 1 : len;
        if (at + need >= out_size) {
            break;
        }
        if (bad) {
            out[at] = '?';
        } else {
            memcpy(out + at, p, len);
        }
        at += need;
        p += len == 0 ? 1 : len;
    }
    out[at] = '\0';
    return out;
}
