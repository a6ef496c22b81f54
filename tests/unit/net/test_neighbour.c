/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/net/test_neighbour.c: the ARP conversation, and what strangers can do to it. */
#include "tests/unit/net/fake_nic.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)

static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* A fake after its announcements, with an empty wire. */
static struct fake *started(void)
{
    struct fake *fake = fake_create();
    net_tick(fake->net, START - 5 * SECOND);
    net_tick(fake->net, START - 2 * SECOND);
    cr_assert_eq(fake->nic.wire_count, 4);
    fake->nic.wire_count = 0;
    return fake;
}

static bool send_marked(struct fake *fake, const char *dst, uint8_t mark, uint64_t now_ns)
{
    struct ip_addr to = fake_ip(dst);
    struct ip_addr from;
    cr_assert(net_source_for(fake->net, &to, &from));
    uint8_t *room = net_begin_tcp(fake->net, &from, &to, 20);
    if (room == NULL) {
        return false;
    }
    memset(room, mark, 20);
    net_send(fake->net, now_ns);
    return true;
}

static enum net_verdict arp(struct fake *fake, uint32_t port, uint16_t op, uint8_t n,
                            const char *sender, const char *target, uint64_t now_ns)
{
    uint8_t frame[NIC_FRAME_BYTES];
    uint8_t mac[6];
    uint8_t dst[6];
    fake_mac_other(n, mac);
    fake_mac_ours(port, dst);
    size_t len = fake_arp(frame, op, op == 1 ? all : dst, mac, sender, target);
    return fake_input(fake, port, frame, len, now_ns, NULL);
}

static bool is_packet_to(const struct fake *fake, uint32_t i, uint8_t n, uint8_t mark)
{
    uint8_t mac[6];
    fake_mac_other(n, mac);
    const struct fake_frame *f = &fake->nic.wire[i];
    return i < fake->nic.wire_count && f->len == 54 && memcmp(f->data, mac, 6) == 0 &&
           f->data[34] == mark;
}

Test(neighbour, announces_itself_twice_at_start)
{
    struct fake *fake = fake_create();
    net_tick(fake->net, 0);
    cr_assert_eq(fake->nic.wire_count, 2, "each interface: RFC 5227 section 2.3");
    cr_assert(fake_is_arp(fake, 0, 1, "192.0.2.10"));
    cr_assert(fake_is_arp(fake, 1, 1, "10.0.0.10"));
    cr_assert_eq(memcmp(fake->nic.wire[0].data, all, 6), 0);
    cr_assert_eq(memcmp(fake->nic.wire[0].data + 28, fake->nic.wire[0].data + 38, 4), 0);
    net_tick(fake->net, SECOND);
    cr_assert_eq(fake->nic.wire_count, 2);
    net_tick(fake->net, 2 * SECOND);
    net_tick(fake->net, 9 * SECOND);
    cr_assert_eq(fake->nic.wire_count, 4);
    cr_assert_eq(fake_count(fake, COUNTER_tx_dropped), 3, "what the nic says");
    fake_destroy(fake);
}

Test(neighbour, answers_requests_for_our_addresses_only)
{
    struct fake *fake = started();
    cr_assert_eq(arp(fake, 1, 1, 7, "10.0.0.20", "10.0.0.10", START), NET_HANDLED);
    cr_assert_eq(fake->nic.wire_count, 1);
    const uint8_t *reply = fake->nic.wire[0].data;
    uint8_t asker[6];
    uint8_t ours[6];
    fake_mac_other(7, asker);
    fake_mac_ours(1, ours);
    cr_assert(fake_is_arp(fake, 0, 2, "10.0.0.20"), "RFC 826: swapped, as a reply");
    cr_assert_eq(memcmp(reply, asker, 6), 0, "to the asker alone");
    cr_assert_eq(memcmp(reply + 22, ours, 6), 0);
    cr_assert_eq(memcmp(reply + 32, asker, 6), 0);
    /* A request for somebody else's address, and one for ours on the wrong link. */
    arp(fake, 1, 1, 7, "10.0.0.20", "10.0.0.30", START);
    arp(fake, 0, 1, 7, "192.0.2.20", "10.0.0.10", START);
    cr_assert_eq(fake->nic.wire_count, 1);
    /* A probe (RFC 5227 section 2.1.1) has no sender yet; it learns that the address is taken. */
    arp(fake, 1, 1, 8, "0.0.0.0", "10.0.0.10", START);
    cr_assert(fake_is_arp(fake, 1, 2, "0.0.0.0"));
    fake_destroy(fake);
}

Test(neighbour, packet_waits_for_the_reply)
{
    struct fake *fake = started();
    cr_assert(send_marked(fake, "10.0.0.20", 1, START));
    cr_assert(send_marked(fake, "10.0.0.20", 2, START));
    cr_assert_eq(fake->nic.wire_count, 1, "one request for both");
    cr_assert(fake_is_arp(fake, 0, 1, "10.0.0.20"));
    cr_assert_eq(memcmp(fake->nic.wire[0].data, all, 6), 0);
    cr_assert_eq(fake->nic.wire[0].port, 1);
    arp(fake, 1, 2, 5, "10.0.0.20", "10.0.0.10", START + 1);
    cr_assert_eq(fake->nic.wire_count, 3);
    cr_assert(is_packet_to(fake, 1, 5, 1) && is_packet_to(fake, 2, 5, 2), "in order");
    send_marked(fake, "10.0.0.20", 3, START + 2);
    cr_assert(is_packet_to(fake, 3, 5, 3), "known now");
    cr_assert_eq(fake_count(fake, COUNTER_arp_unresolved), 0);
    fake_destroy(fake);
}

Test(neighbour, far_packets_go_to_the_gateway)
{
    struct fake *fake = started();
    send_marked(fake, "8.8.8.8", 1, START);
    send_marked(fake, "9.9.9.9", 2, START);
    cr_assert_eq(fake->nic.wire_count, 1);
    cr_assert(fake_is_arp(fake, 0, 1, "192.0.2.1"));
    arp(fake, 0, 2, 9, "192.0.2.1", "192.0.2.10", START);
    cr_assert(is_packet_to(fake, 1, 9, 1) && is_packet_to(fake, 2, 9, 2));
    fake_destroy(fake);
}

Test(neighbour, silence_makes_the_destinations_unreachable)
{
    struct fake *fake = started();
    send_marked(fake, "8.8.8.8", 1, START);
    send_marked(fake, "9.9.9.9", 2, START);
    send_marked(fake, "9.9.9.9", 3, START);
    struct ip_addr dst;
    for (unsigned s = 1; s < 3; s++) {
        net_tick(fake->net, START + s * SECOND);
        cr_assert_eq(fake->nic.wire_count, 1 + s, "asked once a second");
        cr_assert_not(net_next_unreachable(fake->net, &dst));
    }
    net_tick(fake->net, START + 3 * SECOND);
    cr_assert_eq(fake->nic.wire_count, 3, "three times in all");
    struct ip_addr first = fake_ip("8.8.8.8");
    struct ip_addr second = fake_ip("9.9.9.9");
    cr_assert(net_next_unreachable(fake->net, &dst) && ip_equal(&dst, &first));
    cr_assert(net_next_unreachable(fake->net, &dst) && ip_equal(&dst, &second));
    cr_assert_not(net_next_unreachable(fake->net, &dst), "each once");
    cr_assert_eq(fake_count(fake, COUNTER_arp_unresolved), 3);
    send_marked(fake, "8.8.8.8", 4, START + 4 * SECOND);
    cr_assert_eq(fake->nic.wire_count, 4, "a later packet asks again");
    fake_destroy(fake);
}

Test(neighbour, no_route_is_reported)
{
    const struct net_interface interface = fake_interface(0, "10.0.0.10/24", NULL);
    struct fake *fake = fake_create_with(&interface, 1);
    struct ip_addr from = fake_ip("10.0.0.10");
    struct ip_addr to = fake_ip("8.8.8.8");
    struct ip_addr dst;
    cr_assert_null(net_begin_tcp(fake->net, &from, &to, 20));
    cr_assert(net_next_unreachable(fake->net, &dst) && ip_equal(&dst, &to));
    fake_destroy(fake);
}

Test(neighbour, waiting_packets_are_bounded_and_the_latest_kept)
{
    struct fake *fake = started();
    for (uint8_t mark = 1; mark <= 20; mark++) {
        send_marked(fake, "10.0.0.20", mark, START);
    }
    arp(fake, 1, 2, 5, "10.0.0.20", "10.0.0.10", START);
    cr_assert_eq(fake->nic.wire_count, 1 + 4);
    cr_assert(is_packet_to(fake, 4, 5, 20), "RFC 1122 section 2.3.2.2: the latest");
    cr_assert_eq(fake_count(fake, COUNTER_arp_unresolved), 16);
    fake_destroy(fake);
}

Test(neighbour, nobody_is_believed_who_was_not_asked)
{
    struct fake *fake = started();
    /* A reply that nobody asked for, an announcement, a request for somebody else's address. */
    arp(fake, 1, 2, 66, "10.0.0.20", "10.0.0.10", START);
    arp(fake, 1, 1, 66, "10.0.0.20", "10.0.0.20", START);
    arp(fake, 1, 1, 66, "10.0.0.20", "10.0.0.99", START);
    cr_assert_eq(fake->nic.wire_count, 0);
    send_marked(fake, "10.0.0.20", 1, START);
    cr_assert(fake_is_arp(fake, 0, 1, "10.0.0.20"), "so we have to ask");
    /* A reply for another link's address does not answer that. */
    arp(fake, 0, 2, 66, "10.0.0.20", "192.0.2.10", START);
    arp(fake, 1, 2, 66, "10.0.0.20", "10.0.0.11", START);
    cr_assert_eq(fake->nic.wire_count, 1);
    arp(fake, 1, 2, 5, "10.0.0.20", "10.0.0.10", START);
    cr_assert(is_packet_to(fake, 1, 5, 1));
    /* Later replies and requests with another MAC change nothing at once. */
    arp(fake, 1, 2, 66, "10.0.0.20", "10.0.0.10", START + 1);
    arp(fake, 1, 1, 66, "10.0.0.20", "10.0.0.10", START + 1);
    uint32_t at = fake->nic.wire_count;
    send_marked(fake, "10.0.0.20", 2, START + 2);
    cr_assert(is_packet_to(fake, at, 5, 2));
    fake_destroy(fake);
}

Test(neighbour, who_asks_us_is_known)
{
    struct fake *fake = started();
    fake_know(fake, 1, "10.0.0.20", 5, START);
    send_marked(fake, "10.0.0.20", 1, START);
    cr_assert(is_packet_to(fake, 1, 5, 1), "RFC 826: it is about to talk to us");
    /* But not an address that cannot be on that link. */
    arp(fake, 1, 1, 6, "192.0.2.1", "10.0.0.10", START);
    send_marked(fake, "8.8.8.8", 2, START);
    cr_assert(fake_is_arp(fake, 3, 1, "192.0.2.1"));
    fake_destroy(fake);
}

Test(neighbour, a_claim_makes_us_ask_and_the_reply_decides)
{
    struct fake *fake = started();
    fake_know(fake, 0, "192.0.2.1", 5, START);
    uint64_t now = START + 20 * SECOND;
    /* A standby gateway announces itself. */
    arp(fake, 0, 1, 6, "192.0.2.1", "192.0.2.1", now);
    cr_assert_eq(fake->nic.wire_count, 2);
    cr_assert(fake_is_arp(fake, 1, 1, "192.0.2.1"));
    cr_assert_eq(memcmp(fake->nic.wire[1].data, all, 6), 0, "everyone is asked");
    send_marked(fake, "8.8.8.8", 1, now);
    cr_assert(is_packet_to(fake, 2, 5, 1), "until then the old address is used");
    arp(fake, 0, 2, 6, "192.0.2.1", "192.0.2.10", now);
    send_marked(fake, "8.8.8.8", 2, now);
    cr_assert(is_packet_to(fake, 3, 6, 2));
    fake_destroy(fake);
}

Test(neighbour, confirmed_by_unicast_while_in_use)
{
    struct fake *fake = started();
    fake_know(fake, 1, "10.0.0.20", 5, START);
    send_marked(fake, "10.0.0.20", 1, START + 50 * SECOND);
    net_tick(fake->net, START + 61 * SECOND);
    cr_assert(fake_is_arp(fake, 2, 1, "10.0.0.20"));
    uint8_t mac[6];
    fake_mac_other(5, mac);
    cr_assert_eq(memcmp(fake->nic.wire[2].data, mac, 6), 0, "RFC 1122 section 2.3.2.1 (2)");
    send_marked(fake, "10.0.0.20", 2, START + 61 * SECOND);
    cr_assert(is_packet_to(fake, 3, 5, 2), "packets go on");
    arp(fake, 1, 2, 5, "10.0.0.20", "10.0.0.10", START + 62 * SECOND);
    net_tick(fake->net, START + 65 * SECOND);
    cr_assert_eq(fake->nic.wire_count, 4, "confirmed");
    /* Now the neighbour is gone: three probes, then it is asked for as an unknown one. */
    send_marked(fake, "10.0.0.20", 3, START + 120 * SECOND);
    for (unsigned s = 0; s < 4; s++) {
        net_tick(fake->net, START + (123 + s) * SECOND);
    }
    cr_assert_eq(fake->nic.wire_count, 8);
    send_marked(fake, "10.0.0.20", 4, START + 127 * SECOND);
    cr_assert(fake_is_arp(fake, 8, 1, "10.0.0.20"));
    cr_assert_eq(memcmp(fake->nic.wire[8].data, all, 6), 0);
    fake_destroy(fake);
}

Test(neighbour, unused_ones_are_forgotten_silently)
{
    struct fake *fake = started();
    fake_know(fake, 1, "10.0.0.20", 5, START);
    net_tick(fake->net, START + 61 * SECOND);
    cr_assert_eq(fake->nic.wire_count, 1, "no probe for nobody's sake");
    send_marked(fake, "10.0.0.20", 1, START + 62 * SECOND);
    cr_assert(fake_is_arp(fake, 1, 1, "10.0.0.20"));
    fake_destroy(fake);
}

Test(neighbour, our_address_is_defended_but_not_in_a_storm)
{
    struct fake *fake = started();
    for (unsigned i = 0; i < 100; i++) {
        arp(fake, 1, 1, 66, "10.0.0.10", "10.0.0.10", START + i);
    }
    cr_assert_eq(fake->nic.wire_count, 1, "RFC 5227 section 2.4");
    cr_assert(fake_is_arp(fake, 0, 1, "10.0.0.10"));
    arp(fake, 1, 1, 66, "10.0.0.10", "10.0.0.10", START + 2 * SECOND);
    cr_assert_eq(fake->nic.wire_count, 2);
    fake_destroy(fake);
}

Test(neighbour, spoofed_neighbours_cannot_push_out_known_ones)
{
    struct fake *fake = started();
    fake_know(fake, 0, "192.0.2.1", 5, START);
    fake_know(fake, 1, "10.0.0.20", 6, START);
    fake->nic.wire_count = 0;
    /* As if 20 000 addresses of our own link had sent SYNs that we answer. */
    for (unsigned i = 0; i < 20000; i++) {
        char dst[32];
        snprintf(dst, sizeof dst, "10.0.%u.%u", 1 + i / 250, 1 + i % 250);
        send_marked(fake, dst, 1, START + i);
    }
    cr_assert_leq(fake->nic.wire_count, 64, "requests have a budget");
    uint32_t at = fake->nic.wire_count;
    send_marked(fake, "10.0.0.20", 2, START + SECOND);
    send_marked(fake, "8.8.8.8", 3, START + SECOND);
    cr_assert(is_packet_to(fake, at, 6, 2) && is_packet_to(fake, at + 1, 5, 3));
    /* Requests from as many strangers: they fill the free entries, and no more. */
    for (unsigned i = 0; i < 20000; i++) {
        char src[32];
        snprintf(src, sizeof src, "10.0.%u.%u", 100 + i / 250, 1 + i % 250);
        arp(fake, 1, 1, 66, src, "10.0.0.10", START + SECOND + i);
        fake->nic.wire_count = 0;
    }
    send_marked(fake, "10.0.0.20", 4, START + 2 * SECOND);
    send_marked(fake, "8.8.8.8", 5, START + 2 * SECOND);
    cr_assert(is_packet_to(fake, 0, 6, 4) && is_packet_to(fake, 1, 5, 5));
    fake->nic.wire_count = 0;
    /* A new neighbour still finds a place. */
    send_marked(fake, "10.0.200.1", 7, START + 3 * SECOND);
    cr_assert(fake_is_arp(fake, 0, 1, "10.0.200.1"));
    arp(fake, 1, 2, 8, "10.0.200.1", "10.0.0.10", START + 3 * SECOND);
    cr_assert(is_packet_to(fake, 1, 8, 7));
    fake_destroy(fake);
}

Test(neighbour, an_unanswered_gateway_keeps_its_place)
{
    struct fake *fake = started();
    send_marked(fake, "8.8.8.8", 9, START);
    for (unsigned i = 0; i < 3000; i++) {
        char dst[32];
        snprintf(dst, sizeof dst, "10.0.%u.%u", 1 + i / 250, 1 + i % 250);
        send_marked(fake, dst, 1, START + i);
    }
    uint32_t at = fake->nic.wire_count;
    arp(fake, 0, 2, 5, "192.0.2.1", "192.0.2.10", START + 4000);
    cr_assert(is_packet_to(fake, at, 5, 9));
    fake_destroy(fake);
}

Test(neighbour, an_empty_pool_loses_packets_not_frames)
{
    struct fake *fake = started();
    fake->nic.take_limit = 1;
    cr_assert(send_marked(fake, "10.0.0.20", 1, START));
    fake->nic.take_limit = 0;
    cr_assert_not(send_marked(fake, "10.0.0.20", 2, START));
    arp(fake, 1, 2, 5, "10.0.0.20", "10.0.0.10", START);
    cr_assert_eq(fake_count(fake, COUNTER_arp_unresolved), 1);
    fake->nic.take_limit = 8;
    uint32_t at = fake->nic.wire_count;
    cr_assert(send_marked(fake, "10.0.0.20", 3, START));
    cr_assert(is_packet_to(fake, at, 5, 3));
    fake_destroy(fake);
}
