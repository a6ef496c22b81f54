/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/checksum.c: the internet checksum, four bytes at a time.
 *
 * The sum of 16-bit words does not depend on the byte order it is taken in (RFC 1071 section 2 B),
 * so the words are loaded as they lie in memory and only the result is put in order. Words of 32
 * bits go into 64 bits: carries cannot be lost below 16 GiB of data.
 */
#include "dataplane/net/checksum.h"

#include "common/assert.h"
#include "common/bytes.h"

#include <string.h>

static inline uint64_t load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    assert(len <= UINT16_MAX);
    while (len >= 16) {
        sum += load_u32(p) + load_u32(p + 4) + load_u32(p + 8) + load_u32(p + 12);
        p += 16;
        len -= 16;
    }
    while (len >= 4) {
        sum += load_u32(p);
        p += 4;
        len -= 4;
    }
    if (len > 0) {
        uint8_t rest[4] = {0};
        memcpy(rest, p, len);
        sum += load_u32(rest);
    }
    return sum;
}

uint16_t checksum_finish(uint64_t sum)
{
    sum = (sum >> 32) + (sum & UINT32_MAX);
    sum = (sum >> 32) + (sum & UINT32_MAX);
    sum = (sum >> 16) + (sum & UINT16_MAX);
    sum = (sum >> 16) + (sum & UINT16_MAX);
    sum = (sum >> 16) + (sum & UINT16_MAX);
    assert(sum <= UINT16_MAX);
    uint16_t folded = (uint16_t)sum;
    uint8_t wire[2];
    memcpy(wire, &folded, sizeof wire);
    return (uint16_t)~get_be16(wire);
}
