/* SPDX-License-Identifier: BSD-3-Clause */
/* common/ip.h: addresses of 16 bytes. An IPv4 address is its IPv4-mapped form ::ffff:a.b.c.d
 * (RFC 4291 section 2.5.5.2), so nothing above the packet codec knows two families. */
#ifndef HOLDFAST_COMMON_IP_H
#define HOLDFAST_COMMON_IP_H

#include "common/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ip_addr {
    uint8_t octet[16];
};

struct ip_endpoint {
    struct ip_addr addr;
    uint16_t port; /* host order */
};

struct ip_prefix {
    struct ip_addr addr;
    uint8_t bit_count; /* of 128; an IPv4 /24 is 120 */
};

enum { IP_TEXT_SIZE = 48 }; /* longest IPv6 text, a zone excluded, and the NUL */

struct ip_addr ip_from_v4(const uint8_t octet[4]);
bool ip_is_v4(const struct ip_addr *addr);
/* The last four bytes; only for an IPv4-mapped address. */
const uint8_t *ip_v4_octets(const struct ip_addr *addr);
bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);
bool ip_is_zero(const struct ip_addr *addr);
bool ip_in_prefix(const struct ip_addr *addr, const struct ip_prefix *prefix);

/* Parses dotted quad or IPv6 text. false when it is neither. */
must_check bool ip_parse(const char *text, struct ip_addr *addr_out);
/* Parses "address/bits"; bits counted in the address's own family. */
must_check bool ip_parse_prefix(const char *text, struct ip_prefix *prefix_out);
/* Writes the shortest usual text; IPv4-mapped addresses as a dotted quad. Returns out. */
const char *ip_format(const struct ip_addr *addr, char out[IP_TEXT_SIZE]);

#endif
