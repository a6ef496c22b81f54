/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/ip4.h: the IPv4 header (RFC 791, RFC 1122 section 3.2).
 *
 * Promise: an accepted packet is whole and unfragmented; its payload ends where the header says,
 *          not where the frame does.
 * Trap:    net.c checks whether its addresses are ours or plausible, not this file.
 */
#ifndef HOLDFAST_DATAPLANE_NET_IP4_H
#define HOLDFAST_DATAPLANE_NET_IP4_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/ip.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    IP4_HEADER_BYTES = 20, /* as we write it: without options */
    IP4_PROTOCOL_ICMP = 1,
    IP4_PROTOCOL_TCP = 6,
};

enum ip4_verdict {
    IP4_OK,
    IP4_MALFORMED,
    IP4_BAD_CHECKSUM,
    IP4_FRAGMENT,
    IP4_SOURCE_ROUTED,
};

struct ip4_packet {
    struct ip_addr src;
    struct ip_addr dst;
    uint8_t protocol;
    struct bytes payload; /* of true length */
};

/* `data` is what follows the link header, padding included. */
enum ip4_verdict ip4_parse(struct bytes data, bool checksum_good, struct ip4_packet *packet_out);

/* Reads only the addresses and the protocol of a header that came back inside an ICMP error: a
 * router may have changed its other fields. The payload is what is there, cut to the header's
 * length. */
must_check bool ip4_parse_quoted(struct bytes data, struct ip4_packet *packet_out);

/* Header of a packet with payload_len bytes behind it: DF, TTL 64, no options. */
void ip4_write(uint8_t out[IP4_HEADER_BYTES], const struct ip_addr *src, const struct ip_addr *dst,
               uint8_t protocol, size_t payload_len);

/* The checksum over pseudo-header and `payload` (RFC 9293 section 3.1): 0 when it is right. */
uint16_t ip4_transport_checksum(const struct ip4_packet *packet);

/* True for an address that one host can have: not this-network, loopback, multicast, class E or
 * broadcast (RFC 1122 section 3.2.1.3, RFC 6890). */
bool ip4_is_host(const struct ip_addr *addr);

#endif
