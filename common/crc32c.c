/* SPDX-License-Identifier: BSD-3-Clause */
/* common/crc32c.c: CRC-32C by the SSE4.2 instruction where the processor has it, else bit by bit.
 * That is slow, and seldom used: on x86, DPDK does not start without SSE4.2. */
#include "common/crc32c.h"

#include <string.h>

static uint32_t plain_crc(uint32_t crc, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
        }
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t sse_crc(uint32_t crc, const uint8_t *p,
                                                          size_t len)
{
    uint64_t c = crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = __builtin_ia32_crc32di(c, word);
    }
    for (; len > 0; len--, p++) {
        c = __builtin_ia32_crc32qi((uint32_t)c, *p);
    }
    return (uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~sse_crc(crc, data, len);
    }
#endif
    return ~plain_crc(crc, data, len);
}
