/* SPDX-License-Identifier: BSD-3-Clause */
/* common/id.c: ids as short text: Crockford's base32, which has no I, L, O, U to misread. */
#include "common/id.h"

#include "common/bytes.h"

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

const char *id_format(uint64_t id, char out[ID_TEXT_SIZE])
{
    char reversed[ID_TEXT_SIZE];
    size_t len = 0;
    do {
        reversed[len++] = digits[id & 31];
        id >>= 5;
    } while (id != 0);
    assert(len < ID_TEXT_SIZE);
    for (size_t i = 0; i < len; i++) {
        out[i] = reversed[len - 1 - i];
    }
    out[len] = '\0';
    return out;
}

bool id_parse(const char *text, uint64_t *id_out)
{
    size_t len = strlen(text);
    if (len == 0 || len >= ID_TEXT_SIZE) {
        return false;
    }
    uint64_t id = 0;
    for (size_t i = 0; i < len; i++) {
        const char *digit = memchr(digits, ascii_lower((uint8_t)text[i]), 32);
        if (digit == NULL || id >> 59 != 0) {
            return false;
        }
        id = id << 5 | (uint64_t)(digit - digits);
    }
    *id_out = id;
    return true;
}
