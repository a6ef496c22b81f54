/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/net/fake_nic.h: a nic whose wire is an array, and frames to put on it.
 *
 * Promise: fake_nic_done fails the test when a frame was taken and neither sent nor released.
 */
#ifndef HOLDFAST_TESTS_UNIT_NET_FAKE_NIC_H
#define HOLDFAST_TESTS_UNIT_NET_FAKE_NIC_H

#include "common/counters.h"
#include "dataplane/net/net.h"

enum { FAKE_PORTS = 2, FAKE_WIRE = 1024 };

struct fake_frame {
    uint32_t port;
    uint16_t len;
    uint8_t data[NIC_FRAME_BYTES];
};

struct nic {
    uint32_t wire_count;
    uint32_t taken_count;
    uint32_t take_limit; /* frames that may be out at once */
    struct fake_frame wire[FAKE_WIRE];
};

/* Port p has MAC 02:00:00:00:00:p+1; strangers are 02:aa:00:00:00:n. */
void fake_mac_ours(uint32_t port, uint8_t mac_out[NIC_MAC_BYTES]);
void fake_mac_other(uint8_t n, uint8_t mac_out[NIC_MAC_BYTES]);

struct fake {
    struct nic nic;
    struct counters counters;
    struct net *net;
};

/* outside, port 0: 192.0.2.10/24, gateway 192.0.2.1; inside, port 1: 10.0.0.10/16. */
struct fake *fake_create(void);
struct fake *fake_create_with(const struct net_interface *interface, uint32_t count);
/* Checks that no frame leaked. */
void fake_destroy(struct fake *fake);

struct ip_addr fake_ip(const char *text);
struct net_interface fake_interface(uint32_t port, const char *prefix, const char *gateway);

/* Gives a copy of exactly len bytes on the heap, so that the sanitizer sees a byte too far. */
enum net_verdict fake_input(struct fake *fake, uint32_t port, const uint8_t *data, size_t len,
                            uint64_t now_ns, struct net_packet *packet_out);

/* Frames, written to out (NIC_FRAME_BYTES); each returns the length. */
size_t fake_arp(uint8_t *out, uint16_t op, const uint8_t *eth_dst, const uint8_t *sender_mac,
                const char *sender, const char *target);
/* An IPv4 packet to our MAC at `port`, header checksum right. */
size_t fake_ip4(uint8_t *out, uint32_t port, uint8_t protocol, const char *src, const char *dst,
                const void *payload, size_t payload_len);
/* A TCP segment of 20 + data_len bytes in a packet, checksum right. */
size_t fake_tcp(uint8_t *out, uint32_t port, const char *src, const char *dst, size_t data_len);
size_t fake_echo(uint8_t *out, uint32_t port, const char *src, const char *dst, size_t data_len);
/* Makes the IPv4 header checksum of a frame right again. */
void fake_ip4_seal(uint8_t *frame);

/* Makes `addr` at `port` known with the MAC fake_mac_other(n): it sends us a request. */
void fake_know(struct fake *fake, uint32_t port, const char *addr, uint8_t n, uint64_t now_ns);

/* True when wire[i] is an ARP packet of that op for that target. */
bool fake_is_arp(const struct fake *fake, uint32_t i, uint16_t op, const char *target);
uint64_t fake_count(const struct fake *fake, enum counter counter);

#endif
