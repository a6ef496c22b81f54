/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/ip4.c: reading and writing the IPv4 header. See ip4.h.
 *
 * A small TTL is no reason to drop what has arrived: RFC 1122 section 3.2.1.7 forbids it. Fragments
 * are dropped: our TCP sets DF and announces an MSS, so an honest peer does not need them, and
 * strangers could fill the memory for reassembly. The identification of an atomic datagram means
 * nothing (RFC 6864 section 4.1), so it is zero and tells nobody how much we send.
 */
#include "dataplane/net/ip4.h"

#include "dataplane/net/checksum.h"

#include <string.h>

enum {
    IP4_VERSION = 4,
    IP4_FLAG_DF = 0x4000,
    IP4_FLAG_MF = 0x2000,
    IP4_OFFSET_MASK = 0x1fff,
    IP4_TTL = 64, /* RFC 1700's recommended default */
    IP4_OPTION_END = 0,
    IP4_OPTION_NOP = 1,
    IP4_OPTION_LSRR = 131,
    IP4_OPTION_SSRR = 137,
};

/* Options are walked only to find source routes, which no honest host sends (RFC 7126 section 4.3),
 * and wrong lengths. */
static enum ip4_verdict options_check(struct bytes options)
{
    while (options.len > 0) {
        uint8_t kind = options.data[0];
        if (kind == IP4_OPTION_END) {
            return IP4_OK;
        }
        if (kind == IP4_OPTION_NOP) {
            options = bytes_from(options, 1);
            continue;
        }
        if (options.len < 2 || options.data[1] < 2 || options.data[1] > options.len) {
            return IP4_MALFORMED;
        }
        if (kind == IP4_OPTION_LSRR || kind == IP4_OPTION_SSRR) {
            return IP4_SOURCE_ROUTED;
        }
        options = bytes_from(options, options.data[1]);
    }
    return IP4_OK;
}

enum ip4_verdict ip4_parse(struct bytes data, bool checksum_good, struct ip4_packet *packet_out)
{
    if (data.len < IP4_HEADER_BYTES || data.data[0] >> 4 != IP4_VERSION) {
        return IP4_MALFORMED;
    }
    size_t header_len = (size_t)(data.data[0] & 0x0f) * 4;
    size_t total_len = get_be16(data.data + 2);
    if (header_len < IP4_HEADER_BYTES || total_len < header_len || total_len > data.len) {
        return IP4_MALFORMED;
    }
    /* RFC 1122 section 3.2.1.2: MUST verify, MUST silently discard. */
    if (!checksum_good && checksum_finish(checksum_add(0, data.data, header_len)) != 0) {
        return IP4_BAD_CHECKSUM;
    }
    if ((get_be16(data.data + 6) & (IP4_FLAG_MF | IP4_OFFSET_MASK)) != 0) {
        return IP4_FRAGMENT;
    }
    struct bytes header = bytes_first(data, header_len);
    enum ip4_verdict verdict = options_check(bytes_from(header, IP4_HEADER_BYTES));
    if (verdict != IP4_OK) {
        return verdict;
    }
    packet_out->src = ip_from_v4(data.data + 12);
    packet_out->dst = ip_from_v4(data.data + 16);
    packet_out->protocol = data.data[9];
    packet_out->payload = bytes_from(bytes_first(data, total_len), header_len);
    return IP4_OK;
}

bool ip4_parse_quoted(struct bytes data, struct ip4_packet *packet_out)
{
    if (data.len < IP4_HEADER_BYTES || data.data[0] >> 4 != IP4_VERSION) {
        return false;
    }
    size_t header_len = (size_t)(data.data[0] & 0x0f) * 4;
    if (header_len < IP4_HEADER_BYTES || header_len > data.len) {
        return false;
    }
    if ((get_be16(data.data + 6) & IP4_OFFSET_MASK) != 0) {
        return false; /* the transport header is in another fragment */
    }
    packet_out->src = ip_from_v4(data.data + 12);
    packet_out->dst = ip_from_v4(data.data + 16);
    packet_out->protocol = data.data[9];
    packet_out->payload = bytes_from(data, header_len);
    return true;
}

void ip4_write(uint8_t out[IP4_HEADER_BYTES], const struct ip_addr *src, const struct ip_addr *dst,
               uint8_t protocol, size_t payload_len)
{
    assert(payload_len <= UINT16_MAX - IP4_HEADER_BYTES);
    out[0] = (IP4_VERSION << 4) | (IP4_HEADER_BYTES / 4);
    out[1] = 0;
    put_be16(out + 2, (uint16_t)(IP4_HEADER_BYTES + payload_len));
    put_be16(out + 4, 0);
    put_be16(out + 6, IP4_FLAG_DF);
    out[8] = IP4_TTL;
    out[9] = protocol;
    put_be16(out + 10, 0);
    memcpy(out + 12, ip_v4_octets(src), 4);
    memcpy(out + 16, ip_v4_octets(dst), 4);
    put_be16(out + 10, checksum_finish(checksum_add(0, out, IP4_HEADER_BYTES)));
}

uint16_t ip4_transport_checksum(const struct ip4_packet *packet)
{
    assert(packet->payload.len <= UINT16_MAX);
    uint8_t pseudo[12];
    memcpy(pseudo, ip_v4_octets(&packet->src), 4);
    memcpy(pseudo + 4, ip_v4_octets(&packet->dst), 4);
    pseudo[8] = 0;
    pseudo[9] = packet->protocol;
    put_be16(pseudo + 10, (uint16_t)packet->payload.len);
    uint64_t sum = checksum_add(0, pseudo, sizeof pseudo);
    return checksum_finish(checksum_add(sum, packet->payload.data, packet->payload.len));
}

bool ip4_is_host(const struct ip_addr *addr)
{
    if (!ip_is_v4(addr)) {
        return false;
    }
    uint8_t first = ip_v4_octets(addr)[0];
    return first != 0 && first != 127 && first < 224;
}
