/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_hash.c: CRC-32C and SipHash-2-4 by their published vectors. */
#include "common/crc32c.h"
#include "common/siphash.h"

#include <criterion/criterion.h>
#include <string.h>

/* RFC 3720 appendix B.4; there the CRC is shown as it goes on the wire, low byte first. */
Test(crc32c, has_the_vectors_of_iscsi)
{
    uint8_t b[48];
    memset(b, 0, 32);
    cr_assert_eq(crc32c(0, b, 32), 0x8a9136aau);
    memset(b, 0xff, 32);
    cr_assert_eq(crc32c(0, b, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++) {
        b[i] = i;
    }
    cr_assert_eq(crc32c(0, b, 32), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++) {
        b[i] = (uint8_t)(31 - i);
    }
    cr_assert_eq(crc32c(0, b, 32), 0x113fdb5cu);
    static const uint8_t read_pdu[48] = {0x01, 0xc0, 0, 0,    0,    0, 0, 0,    0,    0, 0,    0,
                                         0,    0,    0, 0,    0x14, 0, 0, 0,    0,    0, 0x04, 0,
                                         0,    0,    0, 0x14, 0,    0, 0, 0x18, 0x28, 0, 0,    0,
                                         0,    0,    0, 0,    0x02, 0, 0, 0,    0,    0, 0,    0};
    cr_assert_eq(crc32c(0, read_pdu, sizeof read_pdu), 0xd9963a56u);
    cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(crc32c(0, NULL, 0), 0);
}

static uint32_t by_the_bit(const uint8_t *p, size_t len)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

/* Any split of the bytes gives the CRC of the whole, at any alignment. */
Test(crc32c, pieces_give_the_whole)
{
    uint8_t b[100];
    for (size_t i = 0; i < sizeof b; i++) {
        b[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t from = 0; from < 9; from++) {
        size_t len = sizeof b - from;
        uint32_t whole = by_the_bit(b + from, len);
        for (size_t cut = 0; cut <= len; cut++) {
            uint32_t crc = crc32c(0, b + from, cut);
            cr_assert_eq(crc32c(crc, b + from + cut, len - cut), whole);
        }
    }
}

/* Aumasson and Bernstein 2012: key 00..0f, message 00..len-1; 15 bytes are in appendix A. */
Test(siphash, has_the_vectors_of_its_authors)
{
    static const uint64_t expected[16] = {
        0x726fdb47dd0e0e31u, 0x74f839c593dc67fdu, 0x0d6c8009d9a94f5au, 0x85676696d7fb7e2du,
        0xcf2794e0277187b7u, 0x18765564cd99a68du, 0xcbc9466e58fee3ceu, 0xab0200f58b01d137u,
        0x93f5f5799a932462u, 0x9e0082df0ba9e4b0u, 0x7a5dbbc594ddb9f3u, 0xf4b32f46226bada7u,
        0x751e8fbc860ee5fbu, 0x14ea5627c0843d90u, 0xf723ca908e7af2eeu, 0xa129ca6149be45e5u};
    const struct siphash_key key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t message[16];
    for (uint8_t i = 0; i < sizeof message; i++) {
        message[i] = i;
    }
    for (size_t len = 0; len < 16; len++) {
        cr_assert_eq(siphash(&key, message, len), expected[len], "length %zu", len);
    }
}
