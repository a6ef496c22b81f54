/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/arp.h: the ARP packet for IPv4 over Ethernet (RFC 826).
 *
 * Promise: what arp_parse accepts has a unicast sender MAC and a known opcode.
 * Trap:    a packet that parses may still lie. neighbour.c decides which ones are believed.
 */
#ifndef HOLDFAST_DATAPLANE_NET_ARP_H
#define HOLDFAST_DATAPLANE_NET_ARP_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/ip.h"
#include "dataplane/net/nic.h"

#include <stdbool.h>
#include <stdint.h>

enum { ARP_PACKET_BYTES = 28 };

enum arp_op {
    ARP_OP_REQUEST = 1,
    ARP_OP_REPLY = 2,
};

struct arp_packet {
    enum arp_op op;
    uint8_t sender_mac[NIC_MAC_BYTES];
    struct ip_addr sender; /* 0.0.0.0 in a probe (RFC 5227 section 2.1.1) */
    uint8_t target_mac[NIC_MAC_BYTES];
    struct ip_addr target;
};

must_check bool arp_parse(struct bytes payload, struct arp_packet *arp_out);
/* Writes the packet. Both addresses must be IPv4-mapped. */
void arp_write(const struct arp_packet *arp, uint8_t out[ARP_PACKET_BYTES]);

#endif
