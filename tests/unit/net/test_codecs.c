/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/net/test_codecs.c: checksum, ARP, IPv4 and ICMP by themselves. */
#include "tests/unit/net/fake_nic.h"

#include "dataplane/net/arp.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/icmp.h"
#include "dataplane/net/ip4.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The checksum as RFC 1071 section 1 defines it, 16 bits at a time. */
static uint16_t checksum_slow(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += (uint32_t)(i % 2 == 0 ? data[i] << 8 : data[i]);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

Test(checksum, rfc1071_example)
{
    const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    /* RFC 1071 section 3: the sum is ddf2. */
    cr_assert_eq(checksum_finish(checksum_add(0, data, sizeof data)), (uint16_t)~0xddf2);
}

Test(checksum, every_length_and_carry)
{
    uint8_t data[300];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof data; i++) {
            data[i] = round == 0 ? 0xff : round == 1 ? (uint8_t)(i * 31) : (uint8_t)(255 - i % 3);
        }
        for (size_t len = 0; len <= sizeof data; len++) {
            cr_assert_eq(checksum_finish(checksum_add(0, data, len)), checksum_slow(data, len));
        }
    }
}

Test(checksum, pieces_of_even_length_add_up)
{
    uint8_t data[64];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 41 + 7);
    }
    for (size_t cut = 0; cut <= sizeof data; cut += 2) {
        uint64_t sum = checksum_add(0, data, cut);
        sum = checksum_add(sum, data + cut, sizeof data - cut);
        cr_assert_eq(checksum_finish(sum), checksum_slow(data, sizeof data));
    }
}

Test(arp, written_is_read)
{
    struct arp_packet in = {
        .op = ARP_OP_REPLY, .sender = fake_ip("10.0.0.1"), .target = fake_ip("10.0.0.2")};
    fake_mac_other(1, in.sender_mac);
    fake_mac_other(2, in.target_mac);
    uint8_t wire[ARP_PACKET_BYTES];
    arp_write(&in, wire);
    struct arp_packet out;
    cr_assert(arp_parse(bytes_of(wire, sizeof wire), &out));
    cr_assert_eq(out.op, ARP_OP_REPLY);
    cr_assert(ip_equal(&out.sender, &in.sender) && ip_equal(&out.target, &in.target));
    cr_assert_eq(memcmp(out.sender_mac, in.sender_mac, 6), 0);
    cr_assert_eq(memcmp(out.target_mac, in.target_mac, 6), 0);
}

Test(arp, refuses_what_is_not_ipv4_over_ethernet)
{
    struct arp_packet packet = {
        .op = ARP_OP_REQUEST, .sender = fake_ip("10.0.0.1"), .target = fake_ip("10.0.0.2")};
    fake_mac_other(1, packet.sender_mac);
    uint8_t good[ARP_PACKET_BYTES];
    arp_write(&packet, good);
    struct arp_packet out;
    for (size_t len = 0; len < sizeof good; len++) {
        cr_assert_not(arp_parse(bytes_of(good, len), &out), "cut to %zu", len);
    }
    /* Each field of RFC 826's header off by one bit. */
    for (size_t at = 0; at < 8; at++) {
        uint8_t bad[ARP_PACKET_BYTES];
        memcpy(bad, good, sizeof bad);
        bad[at] ^= 0x10;
        cr_assert_not(arp_parse(bytes_of(bad, sizeof bad), &out), "byte %zu", at);
    }
    good[8] |= 1; /* a group address as sender: RFC 1812 section 3.3.2 */
    cr_assert_not(arp_parse(bytes_of(good, sizeof good), &out));
    memset(good + 8, 0, 6);
    cr_assert_not(arp_parse(bytes_of(good, sizeof good), &out));
}

static enum ip4_verdict parse(const uint8_t *frame, size_t len, struct ip4_packet *out)
{
    return ip4_parse(bytes_of(frame + 14, len - 14), false, out);
}

Test(ip4, written_is_read_with_df_and_no_id)
{
    uint8_t wire[IP4_HEADER_BYTES + 4] = {0};
    struct ip_addr src = fake_ip("10.0.0.1");
    struct ip_addr dst = fake_ip("10.0.0.2");
    ip4_write(wire, &src, &dst, IP4_PROTOCOL_TCP, 4);
    struct ip4_packet out;
    cr_assert_eq(ip4_parse(bytes_of(wire, sizeof wire), false, &out), IP4_OK);
    cr_assert(ip_equal(&out.src, &src) && ip_equal(&out.dst, &dst));
    cr_assert_eq(out.payload.len, 4);
    cr_assert_eq(get_be16(wire + 6), 0x4000, "RFC 791: DF");
    cr_assert_eq(get_be16(wire + 4), 0, "RFC 6864 section 4.1: meaningless, so it says nothing");
    cr_assert_eq(wire[8], 64);
}

Test(ip4, header_fields_are_checked)
{
    uint8_t f[NIC_FRAME_BYTES];
    struct ip4_packet out;
    size_t len = fake_ip4(f, 0, 6, "10.0.0.1", "10.0.0.2", "abcdefgh", 8);
    cr_assert_eq(parse(f, len, &out), IP4_OK);
    f[14] = 0x65; /* version 6 */
    fake_ip4_seal(f);
    cr_assert_eq(parse(f, len, &out), IP4_MALFORMED);
    f[14] = 0x44; /* header of 16 bytes */
    fake_ip4_seal(f);
    cr_assert_eq(parse(f, len, &out), IP4_MALFORMED);
    f[14] = 0x4f; /* header longer than the packet */
    cr_assert_eq(parse(f, len, &out), IP4_MALFORMED);
    f[14] = 0x45;
    put_be16(f + 16, 29); /* says one byte more than there is */
    fake_ip4_seal(f);
    cr_assert_eq(parse(f, len, &out), IP4_MALFORMED);
    put_be16(f + 16, 19); /* shorter than its header */
    fake_ip4_seal(f);
    cr_assert_eq(parse(f, len, &out), IP4_MALFORMED);
    put_be16(f + 16, 28);
    fake_ip4_seal(f);
    f[24] ^= 1;
    cr_assert_eq(parse(f, len, &out), IP4_BAD_CHECKSUM, "RFC 1122 section 3.2.1.2");
    cr_assert_eq(ip4_parse(bytes_of(f + 14, len - 14), true, &out), IP4_OK,
                 "the device has verified it");
}

Test(ip4, small_ttl_is_no_reason_to_drop)
{
    uint8_t f[NIC_FRAME_BYTES];
    struct ip4_packet out;
    size_t len = fake_ip4(f, 0, 6, "10.0.0.1", "10.0.0.2", "abcdefgh", 8);
    for (uint8_t ttl = 0; ttl < 2; ttl++) {
        f[22] = ttl;
        fake_ip4_seal(f);
        cr_assert_eq(parse(f, len, &out), IP4_OK, "RFC 1122 section 3.2.1.7: MUST NOT");
    }
}

Test(ip4, fragments_are_told_apart)
{
    uint8_t f[NIC_FRAME_BYTES];
    struct ip4_packet out;
    size_t len = fake_ip4(f, 0, 6, "10.0.0.1", "10.0.0.2", "abcdefgh", 8);
    const uint16_t fragment[] = {0x2000, 0x0001, 0x1fff, 0x2003};
    for (size_t i = 0; i < 4; i++) {
        put_be16(f + 20, fragment[i]);
        fake_ip4_seal(f);
        cr_assert_eq(parse(f, len, &out), IP4_FRAGMENT);
    }
    put_be16(f + 20, 0x4000);
    fake_ip4_seal(f);
    cr_assert_eq(parse(f, len, &out), IP4_OK, "DF alone is none");
}

/* A packet with 8 bytes of options in place of its payload's first bytes. */
static enum ip4_verdict parse_options(const uint8_t option[8], struct ip4_packet *out)
{
    uint8_t f[NIC_FRAME_BYTES];
    uint8_t payload[16];
    memcpy(payload, option, 8);
    memcpy(payload + 8, "ABCDEFGH", 8);
    size_t len = fake_ip4(f, 0, 6, "10.0.0.1", "10.0.0.2", payload, sizeof payload);
    f[14] = 0x47;
    fake_ip4_seal(f);
    uint8_t *copy = malloc(len);
    cr_assert_not_null(copy);
    memcpy(copy, f, len);
    enum ip4_verdict verdict = parse(copy, len, out);
    if (verdict == IP4_OK) {
        cr_assert_eq(out->payload.len, 8);
        cr_assert_eq(memcmp(out->payload.data, "ABCDEFGH", 8), 0);
    }
    free(copy);
    return verdict;
}

Test(ip4, options)
{
    struct ip4_packet out;
    cr_assert_eq(parse_options((uint8_t[8]){1, 1, 1, 1, 1, 1, 1, 1}, &out), IP4_OK);
    cr_assert_eq(parse_options((uint8_t[8]){0, 131, 3, 0, 0, 0, 0, 0}, &out), IP4_OK);
    cr_assert_eq(parse_options((uint8_t[8]){148, 4, 0, 0, 1, 1, 1, 1}, &out), IP4_OK);
    /* Source routes: RFC 7126 sections 4.3 and 4.4. */
    cr_assert_eq(parse_options((uint8_t[8]){131, 7, 4, 1, 2, 3, 4, 0}, &out), IP4_SOURCE_ROUTED);
    cr_assert_eq(parse_options((uint8_t[8]){1, 137, 7, 4, 1, 2, 3, 4}, &out), IP4_SOURCE_ROUTED);
    /* Option lengths that are wrong: a length of zero would loop for ever. */
    cr_assert_eq(parse_options((uint8_t[8]){148, 0, 0, 0, 0, 0, 0, 0}, &out), IP4_MALFORMED);
    cr_assert_eq(parse_options((uint8_t[8]){148, 1, 0, 0, 0, 0, 0, 0}, &out), IP4_MALFORMED);
    cr_assert_eq(parse_options((uint8_t[8]){148, 9, 0, 0, 0, 0, 0, 0}, &out), IP4_MALFORMED);
    cr_assert_eq(parse_options((uint8_t[8]){1, 1, 1, 1, 1, 1, 1, 148}, &out), IP4_MALFORMED);
}

Test(ip4, one_hosts_addresses)
{
    static const char *const host[] = {"1.2.3.4", "10.0.0.1", "223.255.255.254"};
    /* RFC 1122 section 3.2.1.3, RFC 6890. */
    static const char *const other[] = {"0.0.0.0",   "0.1.2.3",         "127.0.0.1",  "224.0.0.1",
                                        "240.0.0.1", "255.255.255.255", "2001:db8::1"};
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) {
        struct ip_addr addr = fake_ip(host[i]);
        cr_assert(ip4_is_host(&addr), "%s", host[i]);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct ip_addr addr = fake_ip(other[i]);
        cr_assert_not(ip4_is_host(&addr), "%s", other[i]);
    }
}

static size_t unreachable(uint8_t *out, uint8_t type, uint8_t code, const void *quoted, size_t len)
{
    memset(out, 0, 8);
    out[0] = type;
    out[1] = code;
    memcpy(out + 8, quoted, len);
    put_be16(out + 2, checksum_finish(checksum_add(0, out, 8 + len)));
    return 8 + len;
}

Test(icmp, unreachable_by_code)
{
    uint8_t f[NIC_FRAME_BYTES];
    fake_tcp(f, 0, "192.0.2.10", "198.51.100.5", 0);
    uint8_t message[64];
    struct icmp_message out;
    for (unsigned code = 0; code < 256; code++) {
        size_t len = unreachable(message, 3, (uint8_t)code, f + 14, 28);
        /* 4 is "fragmentation needed"; above 13 nothing says "unreachable" (RFC 1812 5.2.7.1). */
        enum icmp_kind want = code != 4 && code <= 13 ? ICMP_UNREACHABLE : ICMP_IGNORED;
        cr_assert_eq(icmp_parse(bytes_of(message, len), &out), want, "code %u", code);
    }
    cr_assert_eq(icmp_parse(bytes_of(message, unreachable(message, 11, 0, f + 14, 28)), &out),
                 ICMP_IGNORED);
    cr_assert_eq(icmp_parse(bytes_of(message, unreachable(message, 5, 0, f + 14, 28)), &out),
                 ICMP_IGNORED, "redirects");
}

Test(icmp, quoted_packet_is_foreign_bytes)
{
    uint8_t f[NIC_FRAME_BYTES];
    size_t all = fake_tcp(f, 0, "192.0.2.10", "198.51.100.5", 0) - 14;
    uint8_t message[128];
    struct icmp_message out;
    for (size_t cut = 0; cut <= all; cut++) {
        size_t len = unreachable(message, 3, 1, f + 14, cut);
        uint8_t *copy = malloc(len);
        cr_assert_not_null(copy);
        memcpy(copy, message, len);
        /* RFC 792: header and 64 bits of data, no less. */
        enum icmp_kind want = cut >= 28 ? ICMP_UNREACHABLE : ICMP_IGNORED;
        cr_assert_eq(icmp_parse(bytes_of(copy, len), &out), want, "cut to %zu", cut);
        free(copy);
    }
    f[20] = 0x20;
    f[21] = 0x05; /* a later fragment: what follows its header is not TCP's */
    cr_assert_eq(icmp_parse(bytes_of(message, unreachable(message, 3, 1, f + 14, 40)), &out),
                 ICMP_IGNORED);
    size_t len = unreachable(message, 3, 1, f + 14, 40);
    message[20] ^= 1;
    cr_assert_eq(icmp_parse(bytes_of(message, len), &out), ICMP_BAD_CHECKSUM);
}
