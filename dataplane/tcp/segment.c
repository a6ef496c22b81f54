/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/segment.c: the header and its options, read and written.
 *
 * Promise: reading stays inside the segment; a segment with an option of a false length is refused
 *          whole. What is written has a true checksum, its pseudo-header included.
 * Trap:    an IPv4-mapped address means the IPv4 pseudo-header (RFC 9293 section 3.1), any other
 *          the IPv6 one (RFC 8200 section 8.1).
 */
#include "dataplane/tcp/core.h"

enum {
    HEADER_BYTES = 20,
    PROTOCOL_TCP = 6,
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WSCALE = 3,
    OPTION_SACK_PERMITTED = 4,
    OPTION_SACK = 5,
    OPTION_TIMESTAMPS = 8,
};

static void option_take(struct tcp_segment *segment, uint8_t kind, struct bytes value)
{
    /* A known kind with a length that is not its own is passed over like an unknown kind
     * (MUST-6). */
    if (kind == OPTION_MSS && value.len == 2) {
        segment->has_mss = true;
        segment->mss = get_be16(value.data);
    } else if (kind == OPTION_WSCALE && value.len == 1) {
        segment->has_wscale = true;
        segment->wscale = value.data[0];
    } else if (kind == OPTION_TIMESTAMPS && value.len == 8) {
        segment->has_timestamps = true;
        segment->ts_value = get_be32(value.data);
        segment->ts_echo = get_be32(value.data + 4);
    } else if (kind == OPTION_SACK_PERMITTED && value.len == 0) {
        segment->has_sack_permitted = true;
    } else if (kind == OPTION_SACK && value.len % 8 == 0 && value.len <= TCP_SACKS_MAX * 8) {
        segment->sack_count = (uint8_t)(value.len / 8);
        for (uint32_t i = 0; i < segment->sack_count; i++) {
            segment->sack[i].start = get_be32(value.data + (size_t)i * 8);
            segment->sack[i].end = get_be32(value.data + (size_t)i * 8 + 4);
        }
    }
}

/* RFC 9293 section 3.2: MUST-7: be prepared for an illegal option length. */
static bool options_parse(struct bytes options, struct tcp_segment *segment)
{
    struct cursor c = cursor_of(options);
    while (c.rest.len > 0) {
        uint8_t kind = cursor_u8(&c);
        if (kind == OPTION_END) {
            return true;
        }
        if (kind == OPTION_NOP) {
            continue;
        }
        uint8_t len = cursor_u8(&c);
        if (c.failed || len < 2) {
            return false;
        }
        struct bytes value = cursor_take(&c, len - 2u);
        if (c.failed) {
            return false;
        }
        option_take(segment, kind, value);
    }
    return true;
}

/* What nearly every segment of a connection carries: NOP NOP timestamps (RFC 7323 appendix A). */
static bool options_are_timestamps(struct bytes options)
{
    static const uint8_t shape[4] = {OPTION_NOP, OPTION_NOP, OPTION_TIMESTAMPS, 10};
    return options.len == TCP_TIMESTAMPS_BYTES && memcmp(options.data, shape, sizeof shape) == 0;
}

bool tcp_segment_parse(struct bytes wire, struct tcp_segment *segment_out)
{
    if (wire.len < HEADER_BYTES) {
        return false;
    }
    const uint8_t *h = wire.data;
    size_t header_len = (size_t)(h[12] >> 4) * 4;
    if (header_len < HEADER_BYTES || header_len > wire.len) {
        return false;
    }
    *segment_out = (struct tcp_segment){
        .src_port = get_be16(h),
        .dst_port = get_be16(h + 2),
        .seq = get_be32(h + 4),
        .ack = get_be32(h + 8),
        .flags = h[13] & 0x3f,
        .window = get_be16(h + 14),
        .payload = bytes_from(wire, header_len),
    };
    struct bytes options = bytes_of(h + HEADER_BYTES, header_len - HEADER_BYTES);
    if (options.len == 0) {
        return true;
    }
    if (options_are_timestamps(options)) {
        segment_out->has_timestamps = true;
        segment_out->ts_value = get_be32(options.data + 4);
        segment_out->ts_echo = get_be32(options.data + 8);
        return true;
    }
    return options_parse(options, segment_out);
}

uint32_t tcp_segment_length(const struct tcp_segment *segment)
{
    uint32_t len = (uint32_t)segment->payload.len;
    len += (segment->flags & TCP_FLAG_SYN) != 0 ? 1 : 0;
    len += (segment->flags & TCP_FLAG_FIN) != 0 ? 1 : 0;
    return len;
}

void tcp_option_put_timestamps(struct tcp_segment_out *out, uint32_t value, uint32_t echo)
{
    assert(out->option_len + TCP_TIMESTAMPS_BYTES <= sizeof out->option);
    uint8_t *p = out->option + out->option_len;
    p[0] = OPTION_NOP;
    p[1] = OPTION_NOP;
    p[2] = OPTION_TIMESTAMPS;
    p[3] = 10;
    put_be32(p + 4, value);
    put_be32(p + 8, echo);
    out->option_len = (uint8_t)(out->option_len + TCP_TIMESTAMPS_BYTES);
}

void tcp_option_put_sack(struct tcp_segment_out *out, const struct tcp_range *range, uint32_t count)
{
    assert(out->option_len <= sizeof out->option);
    uint8_t *p = out->option + out->option_len;
    size_t room = sizeof out->option - out->option_len;
    count = min_u32(count, room < 12 ? 0 : (uint32_t)(room - 4) / 8);
    if (count == 0) {
        return;
    }
    assert(count <= TCP_SACKS_MAX);
    p[0] = OPTION_NOP;
    p[1] = OPTION_NOP;
    p[2] = OPTION_SACK;
    p[3] = (uint8_t)(2 + 8 * count);
    for (uint32_t i = 0; i < count; i++) {
        put_be32(p + 4 + (size_t)i * 8, range[i].start);
        put_be32(p + 8 + (size_t)i * 8, range[i].end);
    }
    out->option_len = (uint8_t)(out->option_len + 4 + 8 * count);
}

void tcp_option_put_syn(struct tcp_segment_out *out, uint16_t mss, const uint8_t *wscale,
                        bool sack_permitted)
{
    assert(out->option_len + 12u <= sizeof out->option);
    uint8_t *p = out->option + out->option_len;
    p[0] = OPTION_MSS;
    p[1] = 4;
    put_be16(p + 2, mss);
    out->option_len = (uint8_t)(out->option_len + 4);
    if (wscale != NULL) {
        p[4] = OPTION_NOP;
        p[5] = OPTION_WSCALE;
        p[6] = 3;
        p[7] = *wscale;
        out->option_len = (uint8_t)(out->option_len + 4);
        p += 4;
    }
    if (sack_permitted) {
        p[4] = OPTION_NOP;
        p[5] = OPTION_NOP;
        p[6] = OPTION_SACK_PERMITTED;
        p[7] = 2;
        out->option_len = (uint8_t)(out->option_len + 4);
    }
}

/* RFC 1071: the sum of 16-bit words does not depend on byte order or grouping. Words of 32 bits
 * are added into 64 bits, which cannot overflow for any IP packet. */
static uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len >= 16) {
        uint32_t word[4];
        memcpy(word, p, sizeof word);
        sum += (uint64_t)word[0] + word[1] + word[2] + word[3];
        p += sizeof word;
        len -= sizeof word;
    }
    while (len >= 2) {
        uint16_t word;
        memcpy(&word, p, sizeof word);
        sum += word;
        p += sizeof word;
        len -= sizeof word;
    }
    if (len == 1) {
        uint8_t pair[2] = {p[0], 0};
        uint16_t word;
        memcpy(&word, pair, sizeof word);
        sum += word;
    }
    return sum;
}

static uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint64_t pseudo_header_sum(const struct tcp_tuple *tuple, size_t len)
{
    uint64_t sum = 0;
    if (ip_is_v4(&tuple->local_addr)) {
        sum = checksum_add(sum, ip_v4_octets(&tuple->local_addr), 4);
        sum = checksum_add(sum, tuple->remote_addr.octet + 12, 4);
    } else {
        sum = checksum_add(sum, &tuple->local_addr, sizeof tuple->local_addr);
        sum = checksum_add(sum, &tuple->remote_addr, sizeof tuple->remote_addr);
    }
    uint8_t tail[8] = {0};
    put_be32(tail, (uint32_t)len);
    tail[7] = PROTOCOL_TCP;
    return checksum_add(sum, tail, sizeof tail);
}

size_t tcp_segment_write(const struct tcp_segment_out *segment, uint8_t *out)
{
    assert(segment->option_len % 4 == 0 && segment->option_len <= sizeof segment->option);
    size_t header_len = tcp_header_bytes(segment);
    put_be16(out, segment->tuple->local_port);
    put_be16(out + 2, segment->tuple->remote_port);
    put_be32(out + 4, segment->seq);
    put_be32(out + 8, segment->ack);
    out[12] = (uint8_t)(header_len / 4 << 4);
    out[13] = segment->flags;
    put_be16(out + 14, segment->window);
    put_be32(out + 16, 0); /* checksum, urgent pointer */
    memcpy(out + HEADER_BYTES, segment->option, segment->option_len);
    size_t len = header_len;
    for (unsigned i = 0; i < 2; i++) {
        if (segment->payload[i].len > 0) {
            memcpy(out + len, segment->payload[i].data, segment->payload[i].len);
            len += segment->payload[i].len;
        }
    }
    uint64_t sum = pseudo_header_sum(segment->tuple, len);
    uint16_t checksum = checksum_fold(checksum_add(sum, out, len));
    memcpy(out + 16, &checksum, sizeof checksum);
    return len;
}
