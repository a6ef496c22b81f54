/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/arp.c: reading and writing ARP packets. See arp.h. */
#include "dataplane/net/arp.h"

#include "dataplane/net/eth.h"

#include <string.h>

enum { ARP_HARDWARE_ETHERNET = 1, ARP_ADDR_BYTES = 4 };

bool arp_parse(struct bytes payload, struct arp_packet *arp_out)
{
    struct cursor c = cursor_of(payload);
    uint16_t hardware = cursor_be16(&c);
    uint16_t protocol = cursor_be16(&c);
    uint8_t hardware_len = cursor_u8(&c);
    uint8_t protocol_len = cursor_u8(&c);
    uint16_t op = cursor_be16(&c);
    struct bytes sender_mac = cursor_take(&c, NIC_MAC_BYTES);
    struct bytes sender = cursor_take(&c, ARP_ADDR_BYTES);
    struct bytes target_mac = cursor_take(&c, NIC_MAC_BYTES);
    struct bytes target = cursor_take(&c, ARP_ADDR_BYTES);
    if (c.failed || hardware != ARP_HARDWARE_ETHERNET || protocol != ETH_TYPE_IP4 ||
        hardware_len != NIC_MAC_BYTES || protocol_len != ARP_ADDR_BYTES) {
        return false;
    }
    if (op != ARP_OP_REQUEST && op != ARP_OP_REPLY) {
        return false;
    }
    if (eth_mac_is_group(sender_mac.data) || eth_mac_is_zero(sender_mac.data)) {
        return false; /* RFC 1812 section 3.3.2: never believe a group address */
    }
    arp_out->op = (enum arp_op)op;
    memcpy(arp_out->sender_mac, sender_mac.data, NIC_MAC_BYTES);
    arp_out->sender = ip_from_v4(sender.data);
    memcpy(arp_out->target_mac, target_mac.data, NIC_MAC_BYTES);
    arp_out->target = ip_from_v4(target.data);
    return true;
}

void arp_write(const struct arp_packet *arp, uint8_t out[ARP_PACKET_BYTES])
{
    assert(ip_is_v4(&arp->sender) && ip_is_v4(&arp->target));
    put_be16(out, ARP_HARDWARE_ETHERNET);
    put_be16(out + 2, ETH_TYPE_IP4);
    out[4] = NIC_MAC_BYTES;
    out[5] = ARP_ADDR_BYTES;
    put_be16(out + 6, (uint16_t)arp->op);
    memcpy(out + 8, arp->sender_mac, NIC_MAC_BYTES);
    memcpy(out + 14, ip_v4_octets(&arp->sender), ARP_ADDR_BYTES);
    memcpy(out + 18, arp->target_mac, NIC_MAC_BYTES);
    memcpy(out + 24, ip_v4_octets(&arp->target), ARP_ADDR_BYTES);
}
