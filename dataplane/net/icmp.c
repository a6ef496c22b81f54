/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/icmp.c: reading ICMP, answering echo. See icmp.h. */
#include "dataplane/net/icmp.h"

#include "dataplane/net/checksum.h"

#include <string.h>

enum {
    ICMP_TYPE_ECHO_REPLY = 0,
    ICMP_TYPE_UNREACHABLE = 3,
    ICMP_TYPE_ECHO_REQUEST = 8,
    ICMP_CODE_FRAGMENTATION_NEEDED = 4,
    ICMP_CODE_PROHIBITED = 13, /* the last code that says "cannot be reached": RFC 1812 5.2.7.1 */
};

enum icmp_kind icmp_parse(struct bytes payload, struct icmp_message *message_out)
{
    if (payload.len < ICMP_HEADER_BYTES) {
        return ICMP_IGNORED;
    }
    if (checksum_finish(checksum_add(0, payload.data, payload.len)) != 0) {
        return ICMP_BAD_CHECKSUM;
    }
    uint8_t type = payload.data[0];
    uint8_t code = payload.data[1];
    if (type == ICMP_TYPE_ECHO_REQUEST && code == 0) {
        message_out->body = payload;
        return ICMP_ECHO_REQUEST;
    }
    if (type != ICMP_TYPE_UNREACHABLE || code == ICMP_CODE_FRAGMENTATION_NEEDED ||
        code > ICMP_CODE_PROHIBITED) {
        return ICMP_IGNORED;
    }
    if (!ip4_parse_quoted(bytes_from(payload, ICMP_HEADER_BYTES), &message_out->quoted) ||
        message_out->quoted.protocol != IP4_PROTOCOL_TCP ||
        message_out->quoted.payload.len < ICMP_QUOTED_BYTES) {
        return ICMP_IGNORED;
    }
    return ICMP_UNREACHABLE;
}

void icmp_write_echo_reply(struct bytes body, uint8_t *out)
{
    assert(body.len >= ICMP_HEADER_BYTES);
    memcpy(out, body.data, body.len);
    out[0] = ICMP_TYPE_ECHO_REPLY;
    put_be16(out + 2, 0);
    put_be16(out + 2, checksum_finish(checksum_add(0, out, body.len)));
}
