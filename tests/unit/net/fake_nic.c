/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/net/fake_nic.c: the nic seam over an array. See fake_nic.h. */
#include "tests/unit/net/fake_nic.h"

#include "dataplane/net/checksum.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* --- the seam -------------------------------------------------------------------------------- */

uint32_t nic_port_count(const struct nic *nic)
{
    cr_assert_not_null(nic);
    return FAKE_PORTS;
}

void nic_mac(const struct nic *nic, uint32_t port, uint8_t mac_out[NIC_MAC_BYTES])
{
    cr_assert(nic != NULL && port < FAKE_PORTS);
    fake_mac_ours(port, mac_out);
}

uint16_t nic_mtu(const struct nic *nic, uint32_t port)
{
    cr_assert(nic != NULL && port < FAKE_PORTS);
    return 1500;
}

uint32_t nic_receive(struct nic *nic, uint32_t port, struct nic_frame frames_out[NIC_BURST])
{
    cr_assert(nic != NULL && port < FAKE_PORTS && frames_out != NULL);
    return 0;
}

void nic_release(struct nic *nic, struct nic_frame *frame)
{
    cr_assert_gt(nic->taken_count, 0);
    nic->taken_count--;
    free(frame->owner);
}

bool nic_take(struct nic *nic, uint32_t port, struct nic_frame *frame_out)
{
    if (nic->taken_count >= nic->take_limit) {
        return false;
    }
    uint8_t *data = malloc(NIC_FRAME_BYTES);
    cr_assert_not_null(data);
    nic->taken_count++;
    *frame_out = (struct nic_frame){.data = data, .port = (uint8_t)port, .owner = data};
    return true;
}

void nic_send_take(struct nic *nic, struct nic_frame *frame)
{
    cr_assert_lt(nic->wire_count, FAKE_WIRE);
    struct fake_frame *f = &nic->wire[nic->wire_count++];
    f->port = frame->port;
    f->len = frame->len;
    memcpy(f->data, frame->data, frame->len);
    nic_release(nic, frame);
}

void nic_flush(struct nic *nic)
{
    cr_assert_not_null(nic);
}

uint64_t nic_tx_dropped(const struct nic *nic)
{
    cr_assert_not_null(nic);
    return 3;
}

/* --- set up ---------------------------------------------------------------------------------- */

void fake_mac_ours(uint32_t port, uint8_t mac_out[NIC_MAC_BYTES])
{
    const uint8_t mac[NIC_MAC_BYTES] = {0x02, 0, 0, 0, 0, (uint8_t)(port + 1)};
    memcpy(mac_out, mac, sizeof mac);
}

void fake_mac_other(uint8_t n, uint8_t mac_out[NIC_MAC_BYTES])
{
    const uint8_t mac[NIC_MAC_BYTES] = {0x02, 0xaa, 0, 0, 0, n};
    memcpy(mac_out, mac, sizeof mac);
}

struct ip_addr fake_ip(const char *text)
{
    struct ip_addr addr;
    cr_assert(ip_parse(text, &addr), "%s", text);
    return addr;
}

struct net_interface fake_interface(uint32_t port, const char *prefix, const char *gateway)
{
    struct ip_prefix p;
    cr_assert(ip_parse_prefix(prefix, &p), "%s", prefix);
    struct net_interface interface = {.port = port, .addr = p.addr, .prefix_bits = p.bit_count};
    if (gateway != NULL) {
        interface.gateway = fake_ip(gateway);
    }
    return interface;
}

struct fake *fake_create_with(const struct net_interface *interface, uint32_t count)
{
    struct fake *fake = calloc(1, sizeof *fake);
    cr_assert_not_null(fake);
    fake->nic.take_limit = 64;
    cr_assert_eq(net_create(&fake->nic, interface, count, &fake->counters, &fake->net), 0);
    return fake;
}

struct fake *fake_create(void)
{
    const struct net_interface interface[] = {
        fake_interface(0, "192.0.2.10/24", "192.0.2.1"),
        fake_interface(1, "10.0.0.10/16", NULL),
    };
    return fake_create_with(interface, 2);
}

void fake_destroy(struct fake *fake)
{
    net_destroy(fake->net);
    cr_assert_eq(fake->nic.taken_count, 0, "a frame was lost");
    free(fake);
}

enum net_verdict fake_input(struct fake *fake, uint32_t port, const uint8_t *data, size_t len,
                            uint64_t now_ns, struct net_packet *packet_out)
{
    static uint8_t *last;
    free(last); /* what packet_out borrows lives until the next call */
    last = malloc(len > 0 ? len : 1);
    cr_assert_not_null(last);
    memcpy(last, data, len);
    struct nic_frame frame = {.data = last, .len = (uint16_t)len, .port = (uint8_t)port};
    struct net_packet unused;
    return net_input(fake->net, &frame, now_ns, packet_out != NULL ? packet_out : &unused);
}

/* --- frames ---------------------------------------------------------------------------------- */

size_t fake_arp(uint8_t *out, uint16_t op, const uint8_t *eth_dst, const uint8_t *sender_mac,
                const char *sender, const char *target)
{
    struct ip_addr sender_addr = fake_ip(sender);
    struct ip_addr target_addr = fake_ip(target);
    memcpy(out, eth_dst, 6);
    memcpy(out + 6, sender_mac, 6);
    static const uint8_t fixed[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4};
    memcpy(out + 12, fixed, sizeof fixed);
    put_be16(out + 20, op);
    memcpy(out + 22, sender_mac, 6);
    memcpy(out + 28, ip_v4_octets(&sender_addr), 4);
    memset(out + 32, 0, 6);
    memcpy(out + 38, ip_v4_octets(&target_addr), 4);
    return 42;
}

void fake_ip4_seal(uint8_t *frame)
{
    uint8_t *ip = frame + 14;
    put_be16(ip + 10, 0);
    put_be16(ip + 10, checksum_finish(checksum_add(0, ip, (size_t)(ip[0] & 15) * 4)));
}

size_t fake_ip4(uint8_t *out, uint32_t port, uint8_t protocol, const char *src, const char *dst,
                const void *payload, size_t payload_len)
{
    struct ip_addr src_addr = fake_ip(src);
    struct ip_addr dst_addr = fake_ip(dst);
    fake_mac_ours(port, out);
    fake_mac_other(1, out + 6);
    put_be16(out + 12, 0x0800);
    uint8_t *ip = out + 14;
    memset(ip, 0, 20);
    ip[0] = 0x45;
    put_be16(ip + 2, (uint16_t)(20 + payload_len));
    ip[8] = 60;
    ip[9] = protocol;
    memcpy(ip + 12, ip_v4_octets(&src_addr), 4);
    memcpy(ip + 16, ip_v4_octets(&dst_addr), 4);
    memcpy(ip + 20, payload, payload_len);
    fake_ip4_seal(out);
    return 34 + payload_len;
}

size_t fake_tcp(uint8_t *out, uint32_t port, const char *src, const char *dst, size_t data_len)
{
    uint8_t segment[1480];
    size_t len = 20 + data_len;
    cr_assert_leq(len, sizeof segment);
    for (size_t i = 0; i < len; i++) {
        segment[i] = (uint8_t)(i * 7);
    }
    put_be16(segment + 16, 0);
    struct ip_addr src_addr = fake_ip(src);
    struct ip_addr dst_addr = fake_ip(dst);
    uint8_t pseudo[12] = {0};
    memcpy(pseudo, ip_v4_octets(&src_addr), 4);
    memcpy(pseudo + 4, ip_v4_octets(&dst_addr), 4);
    pseudo[9] = 6;
    put_be16(pseudo + 10, (uint16_t)len);
    uint64_t sum = checksum_add(checksum_add(0, pseudo, sizeof pseudo), segment, len);
    put_be16(segment + 16, checksum_finish(sum));
    return fake_ip4(out, port, 6, src, dst, segment, len);
}

size_t fake_echo(uint8_t *out, uint32_t port, const char *src, const char *dst, size_t data_len)
{
    uint8_t message[1480] = {8, 0, 0, 0, 0x12, 0x34, 0, 1};
    size_t len = 8 + data_len;
    cr_assert_leq(len, sizeof message);
    for (size_t i = 8; i < len; i++) {
        message[i] = (uint8_t)i;
    }
    put_be16(message + 2, checksum_finish(checksum_add(0, message, len)));
    return fake_ip4(out, port, 1, src, dst, message, len);
}

void fake_know(struct fake *fake, uint32_t port, const char *addr, uint8_t n, uint64_t now_ns)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t frame[NIC_FRAME_BYTES];
    uint8_t mac[6];
    fake_mac_other(n, mac);
    size_t len = fake_arp(frame, 1, all, mac, addr, port == 0 ? "192.0.2.10" : "10.0.0.10");
    uint32_t before = fake->nic.wire_count;
    cr_assert_eq(fake_input(fake, port, frame, len, now_ns, NULL), NET_HANDLED);
    cr_assert_eq(fake->nic.wire_count, before + 1, "the request is answered");
}

bool fake_is_arp(const struct fake *fake, uint32_t i, uint16_t op, const char *target)
{
    if (i >= fake->nic.wire_count) {
        return false;
    }
    const struct fake_frame *f = &fake->nic.wire[i];
    struct ip_addr addr = fake_ip(target);
    return f->len == 42 && get_be16(f->data + 12) == 0x0806 && get_be16(f->data + 20) == op &&
           memcmp(f->data + 38, ip_v4_octets(&addr), 4) == 0;
}

uint64_t fake_count(const struct fake *fake, enum counter counter)
{
    return counter_get(&fake->counters, counter);
}
