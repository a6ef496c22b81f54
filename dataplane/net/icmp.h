/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/icmp.h: the few ICMP messages that matter to us (RFC 792).
 *
 * Promise: every message but the two kinds below is ignored. Ignored are redirects, and
 *          "fragmentation needed" too: whoever believes it lets a stranger lower the MSS (RFC
 *          5927).
 * Trap:    anyone can send these. The quoted tuple and sequence are for TCP to check.
 */
#ifndef HOLDFAST_DATAPLANE_NET_ICMP_H
#define HOLDFAST_DATAPLANE_NET_ICMP_H

#include "common/assert.h"
#include "common/bytes.h"
#include "dataplane/net/ip4.h"

#include <stdint.h>

enum {
    /* RFC 792 promises 8 bytes of the transport header: TCP's ports and sequence number. */
    ICMP_QUOTED_BYTES = 8,
    ICMP_HEADER_BYTES = 8,
};

enum icmp_kind {
    ICMP_IGNORED,
    ICMP_BAD_CHECKSUM,
    ICMP_ECHO_REQUEST, /* body is the whole message */
    ICMP_UNREACHABLE,  /* quoted is the packet that could not be delivered */
};

struct icmp_message {
    struct bytes body;
    struct ip4_packet quoted;
};

/* The checksum is always verified here, because devices do not check ICMP's. */
enum icmp_kind icmp_parse(struct bytes payload, struct icmp_message *message_out);
/* Writes the reply to the echo request `body`, body.len bytes. */
void icmp_write_echo_reply(struct bytes body, uint8_t *out);

#endif
