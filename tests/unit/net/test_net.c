/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/net/test_net.c: what happens to each frame that arrives, above all to hostile ones. */
#include "tests/unit/net/fake_nic.h"

#include "dataplane/net/checksum.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

static uint64_t dropped(const struct fake *fake)
{
    return fake_count(fake, COUNTER_rx_dropped) + fake_count(fake, COUNTER_rx_bad_checksum) +
           fake_count(fake, COUNTER_ip_fragments);
}

Test(net, a_segment_is_handed_on)
{
    struct fake *fake = fake_create();
    uint8_t f[NIC_FRAME_BYTES];
    size_t len = fake_tcp(f, 0, "198.51.100.5", "192.0.2.10", 100);
    struct net_packet packet;
    cr_assert_eq(fake_input(fake, 0, f, len, 0, &packet), NET_TCP);
    struct ip_addr src = fake_ip("198.51.100.5");
    struct ip_addr dst = fake_ip("192.0.2.10");
    cr_assert(ip_equal(&packet.src, &src) && ip_equal(&packet.dst, &dst));
    cr_assert_eq(packet.segment.len, 120);
    cr_assert_eq(memcmp(packet.segment.data, f + 34, 120), 0);
    cr_assert_eq(fake_count(fake, COUNTER_rx_packets), 1);
    cr_assert_eq(dropped(fake), 0);
    fake_destroy(fake);
}

Test(net, ethernet_padding_is_trimmed)
{
    struct fake *fake = fake_create();
    uint8_t f[NIC_FRAME_BYTES] = {0};
    size_t len = fake_tcp(f, 0, "198.51.100.5", "192.0.2.10", 0);
    cr_assert_eq(len, 54);
    struct net_packet packet;
    /* RFC 894: padding to 46 bytes is no part of the packet. */
    cr_assert_eq(fake_input(fake, 0, f, 60, 0, &packet), NET_TCP);
    cr_assert_eq(packet.segment.len, 20);
    fake_destroy(fake);
}

Test(net, truncated_at_every_length)
{
    struct fake *fake = fake_create();
    uint8_t f[NIC_FRAME_BYTES];
    uint8_t mac[6];
    fake_mac_other(1, mac);
    uint8_t ours[6];
    fake_mac_ours(0, ours);
    size_t full = fake_tcp(f, 0, "198.51.100.5", "192.0.2.10", 10);
    for (size_t len = 0; len < full; len++) {
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED);
    }
    cr_assert_eq(dropped(fake), full);
    size_t echo = fake_echo(f, 0, "198.51.100.5", "192.0.2.10", 10);
    for (size_t len = 0; len < echo; len++) {
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED);
    }
    size_t arp = fake_arp(f, 1, ours, mac, "192.0.2.20", "192.0.2.10");
    for (size_t len = 0; len < arp; len++) {
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED);
    }
    cr_assert_eq(dropped(fake), full + echo + arp);
    cr_assert_eq(fake->nic.wire_count, 0, "none is answered");
    fake_destroy(fake);
}

Test(net, wrong_checksums_are_counted_apart)
{
    struct fake *fake = fake_create();
    uint8_t f[NIC_FRAME_BYTES];
    size_t len = fake_tcp(f, 0, "198.51.100.5", "192.0.2.10", 11);
    for (size_t at = 34; at < len; at++) {
        f[at] ^= 0x40;
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "RFC 9293 MUST-3");
        f[at] ^= 0x40;
    }
    cr_assert_eq(fake_count(fake, COUNTER_rx_bad_checksum), len - 34);
    f[22] ^= 1; /* TTL: the header's own */
    fake_input(fake, 0, f, len, 0, NULL);
    cr_assert_eq(fake_count(fake, COUNTER_rx_bad_checksum), len - 34 + 1);
    cr_assert_eq(fake_count(fake, COUNTER_rx_dropped), 0);
    /* The same frame is taken when the device says that it has verified both checksums. */
    f[34] ^= 0x40;
    struct nic_frame frame = {.data = f, .len = (uint16_t)len, .port = 0, .checksum_good = true};
    struct net_packet packet;
    cr_assert_eq(net_input(fake->net, &frame, 0, &packet), NET_TCP);
    fake_destroy(fake);
}

Test(net, fragments_are_counted_apart)
{
    struct fake *fake = fake_create();
    uint8_t f[NIC_FRAME_BYTES];
    size_t len = fake_tcp(f, 0, "198.51.100.5", "192.0.2.10", 11);
    put_be16(f + 20, 0x2000);
    fake_ip4_seal(f);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED);
    cr_assert_eq(fake_count(fake, COUNTER_ip_fragments), 1);
    cr_assert_eq(fake_count(fake, COUNTER_rx_dropped), 0);
    fake_destroy(fake);
}

Test(net, martian_sources_are_dropped)
{
    /* RFC 1122 section 3.2.1.3, RFC 1812 section 5.3.7; our own is the LAND attack. */
    static const char *const martian[] = {
        "0.0.0.0",    "127.0.0.1", "224.0.0.5",   "255.255.255.255", "240.1.1.1",
        "192.0.2.10", "10.0.0.10", "192.0.2.255", "192.0.2.0",       "10.0.255.255",
    };
    struct fake *fake = fake_create();
    uint8_t f[NIC_FRAME_BYTES];
    for (size_t i = 0; i < sizeof martian / sizeof *martian; i++) {
        size_t len = fake_tcp(f, 0, martian[i], "192.0.2.10", 0);
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "%s", martian[i]);
        len = fake_echo(f, 0, martian[i], "192.0.2.10", 0);
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "%s", martian[i]);
        cr_assert_eq(fake_count(fake, COUNTER_rx_dropped), 2 * (i + 1), "%s", martian[i]);
    }
    cr_assert_eq(fake->nic.wire_count, 0);
    fake_destroy(fake);
}

Test(net, only_what_is_addressed_to_us_here)
{
    static const char *const other[] = {"192.0.2.11",      "192.0.2.255", "192.0.2.0",
                                        "255.255.255.255", "224.0.0.1",   "10.0.0.10"};
    struct fake *fake = fake_create();
    uint8_t f[NIC_FRAME_BYTES];
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        size_t len = fake_tcp(f, 0, "198.51.100.5", other[i], 0);
        /* The last is our inside address, seen from outside: RFC 1122 section 3.3.4.2. */
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "%s", other[i]);
    }
    size_t len = fake_tcp(f, 0, "198.51.100.5", "192.0.2.10", 0);
    f[5] ^= 0x70; /* another MAC, shown to us by a hub or promiscuous mode */
    cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED);
    memset(f, 0xff, 6);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "RFC 1122 section 3.3.6");
    fake_mac_ours(0, f);
    put_be16(f + 12, 0x86dd);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "IPv6");
    put_be16(f + 12, 0x8100);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "a VLAN tag");
    len = fake_ip4(f, 0, 17, "198.51.100.5", "192.0.2.10", "12345678", 8);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "UDP");
    len = fake_ip4(f, 0, 6, "198.51.100.5", "192.0.2.10", "1234567890123456789", 19);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED, "less than a TCP header");
    cr_assert_eq(fake_count(fake, COUNTER_rx_dropped), 12);
    fake_destroy(fake);
}

Test(net, echo_is_answered_by_the_way_it_came)
{
    struct fake *fake = fake_create();
    fake_know(fake, 0, "192.0.2.1", 9, 0);
    uint8_t f[NIC_FRAME_BYTES];
    for (size_t data_len = 0; data_len <= 1472; data_len += 736) {
        fake->nic.wire_count = 0;
        size_t len = fake_echo(f, 0, "198.51.100.5", "192.0.2.10", data_len);
        cr_assert_eq(fake_input(fake, 0, f, len, 0, NULL), NET_HANDLED);
        cr_assert_eq(fake->nic.wire_count, 1);
        const struct fake_frame *r = &fake->nic.wire[0];
        uint8_t gateway[6];
        fake_mac_other(9, gateway);
        cr_assert_eq(memcmp(r->data, gateway, 6), 0);
        cr_assert_eq(r->len, len);
        cr_assert_eq(memcmp(r->data + 26, f + 30, 4), 0, "RFC 1122 section 3.2.2.6: swapped");
        cr_assert_eq(memcmp(r->data + 30, f + 26, 4), 0);
        cr_assert_eq(r->data[34], 0);
        cr_assert_eq(memcmp(r->data + 38, f + 38, 4 + data_len), 0, "data returned as it came");
        cr_assert_eq(checksum_finish(checksum_add(0, r->data + 34, r->len - 34u)), 0);
        cr_assert_eq(checksum_finish(checksum_add(0, r->data + 14, 20)), 0);
    }
    size_t len = fake_echo(f, 0, "198.51.100.5", "192.0.2.10", 10);
    f[len - 1] ^= 1;
    fake->nic.wire_count = 0;
    fake_input(fake, 0, f, len, 0, NULL);
    cr_assert_eq(fake->nic.wire_count, 0);
    cr_assert_eq(fake_count(fake, COUNTER_rx_bad_checksum), 1);
    fake_destroy(fake);
}

Test(net, echo_has_a_budget)
{
    struct fake *fake = fake_create();
    fake_know(fake, 0, "192.0.2.20", 9, 0);
    fake->nic.wire_count = 0;
    uint8_t f[NIC_FRAME_BYTES];
    size_t len = fake_echo(f, 0, "192.0.2.20", "192.0.2.10", 10);
    for (unsigned i = 0; i < 1000; i++) {
        fake_input(fake, 0, f, len, SECOND, NULL);
    }
    cr_assert_eq(fake->nic.wire_count, 200, "a burst");
    fake->nic.wire_count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        fake_input(fake, 0, f, len, SECOND + i * (SECOND / 10000), NULL);
    }
    cr_assert_eq(fake->nic.wire_count, 199, "then 2 000 a second, for a tenth of one");
    fake_destroy(fake);
}

static size_t icmp_error(uint8_t *out, const char *to, uint8_t code, const uint8_t *quoted,
                         size_t quoted_len)
{
    uint8_t message[200] = {3, code};
    memcpy(message + 8, quoted, quoted_len);
    put_be16(message + 2, checksum_finish(checksum_add(0, message, 8 + quoted_len)));
    return fake_ip4(out, 0, 1, "203.0.113.9", to, message, 8 + quoted_len);
}

Test(net, icmp_unreachable_names_our_segment)
{
    struct fake *fake = fake_create();
    uint8_t own[NIC_FRAME_BYTES];
    uint8_t f[NIC_FRAME_BYTES];
    fake_tcp(own, 0, "192.0.2.10", "198.51.100.5", 0);
    put_be16(own + 34, 40000);
    put_be16(own + 36, 25);
    put_be32(own + 38, 0x01020304);
    struct net_packet packet;
    size_t len = icmp_error(f, "192.0.2.10", 1, own + 14, 28);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, &packet), NET_UNREACHABLE);
    struct ip_addr src = fake_ip("192.0.2.10");
    struct ip_addr dst = fake_ip("198.51.100.5");
    cr_assert(ip_equal(&packet.src, &src) && ip_equal(&packet.dst, &dst));
    cr_assert_eq(packet.ports[0], 40000);
    cr_assert_eq(packet.ports[1], 25);
    cr_assert_eq(packet.seq, 0x01020304, "for the check of RFC 5927");
    len = icmp_error(f, "192.0.2.10", 4, own + 14, 28);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, &packet), NET_HANDLED, "fragmentation needed");
    fake_tcp(own, 0, "192.0.2.11", "198.51.100.5", 0);
    len = icmp_error(f, "192.0.2.10", 1, own + 14, 28);
    cr_assert_eq(fake_input(fake, 0, f, len, 0, &packet), NET_HANDLED, "not our packet");
    cr_assert_eq(fake_count(fake, COUNTER_rx_dropped), 2);
    fake_destroy(fake);
}

Test(net, a_full_sized_segment_fits)
{
    struct fake *fake = fake_create();
    fake_know(fake, 1, "10.0.0.20", 5, 0);
    struct ip_addr src = fake_ip("10.0.0.10");
    struct ip_addr dst = fake_ip("10.0.0.20");
    uint8_t *room = net_begin_tcp(fake->net, &src, &dst, 1480);
    cr_assert_not_null(room);
    memset(room, 0x5a, 1480);
    net_send(fake->net, 0);
    cr_assert_eq(fake->nic.wire[1].len, 1514);
    cr_assert_eq(get_be16(fake->nic.wire[1].data + 16), 1500);
    fake_destroy(fake);
}

Test(net, a_begun_packet_is_given_back_at_the_end)
{
    struct fake *fake = fake_create();
    struct ip_addr src = fake_ip("10.0.0.10");
    struct ip_addr dst = fake_ip("10.0.0.20");
    cr_assert_not_null(net_begin_tcp(fake->net, &src, &dst, 20));
    fake_destroy(fake); /* fails when a frame leaked */
}

Test(net, random_damage_never_hurts)
{
    struct fake *fake = fake_create();
    uint8_t good[3][NIC_FRAME_BYTES];
    uint8_t mac[6];
    uint8_t ours[6];
    fake_mac_other(1, mac);
    fake_mac_ours(0, ours);
    const size_t len[3] = {fake_tcp(good[0], 0, "198.51.100.5", "192.0.2.10", 40),
                           fake_echo(good[1], 0, "192.0.2.20", "192.0.2.10", 40),
                           fake_arp(good[2], 1, ours, mac, "192.0.2.20", "192.0.2.10")};
    uint64_t random = 88172645463325252u;
    for (unsigned i = 0; i < 200000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned which = (unsigned)(random % 3);
        uint8_t f[NIC_FRAME_BYTES];
        memcpy(f, good[which], len[which]);
        f[12 + (random >> 8) % (len[which] - 12)] ^= (uint8_t)(random >> 24);
        f[14 + (random >> 32) % 20] ^= (uint8_t)(random >> 40);
        if (which != 2 && (random >> 60) % 2 == 0 && (f[14] & 15) >= 5) {
            fake_ip4_seal(f);
        }
        size_t cut = len[which] - ((random >> 50) % 8 == 0 ? (random >> 53) % len[which] : 0);
        fake->nic.wire_count = 0;
        (void)fake_input(fake, 0, f, cut, i * 1000u, NULL);
        net_tick(fake->net, i * 1000u);
    }
    cr_assert_eq(fake_count(fake, COUNTER_rx_packets), 200000);
    fake_destroy(fake);
}
