/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/net/test_route.c: the interface table and the choice of a way out. */
#include "tests/unit/net/fake_nic.h"

#include "common/limits/net.h"
#include "dataplane/net/route.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

static int create(const struct net_interface *interface, uint32_t count)
{
    static struct nic nic;
    static struct counters counters;
    struct net *net = NULL;
    int rc = net_create(&nic, interface, count, &counters, &net);
    net_destroy(net);
    return rc;
}

static int create_one(uint32_t port, const char *prefix, const char *gateway)
{
    struct net_interface interface = fake_interface(port, prefix, gateway);
    return create(&interface, 1);
}

Test(route, impossible_tables_are_refused)
{
    struct net_interface two[] = {fake_interface(0, "10.0.0.1/24", NULL),
                                  fake_interface(1, "10.0.0.1/24", NULL)};
    cr_assert_eq(create(two, 0), -EINVAL);
    cr_assert_eq(create(two, LIMIT_INTERFACES + 1), -EINVAL);
    cr_assert_eq(create(two, 2), -EINVAL, "one address twice");
    cr_assert_eq(create_one(FAKE_PORTS, "10.0.0.1/24", NULL), -EINVAL, "no such port");
    cr_assert_eq(create_one(0, "10.0.0.0/24", NULL), -EINVAL, "the network itself");
    cr_assert_eq(create_one(0, "10.0.0.255/24", NULL), -EINVAL, "its broadcast");
    cr_assert_eq(create_one(0, "127.0.0.1/8", NULL), -EINVAL);
    cr_assert_eq(create_one(0, "224.0.0.1/24", NULL), -EINVAL);
    cr_assert_eq(create_one(0, "2001:db8::1/64", NULL), -EINVAL, "no codec for IPv6 yet");
    cr_assert_eq(create_one(0, "10.0.0.1/24", "10.0.0.1"), -EINVAL, "we are no gateway to us");
    cr_assert_eq(create_one(0, "10.0.0.1/24", "10.0.1.1"), -EINVAL, "a gateway off the link");
    cr_assert_eq(create_one(0, "10.0.0.1/24", "10.0.0.255"), -EINVAL);
    cr_assert_eq(create_one(0, "10.0.0.1/24", "10.0.0.2"), 0);
    cr_assert_eq(create_one(0, "10.0.0.1/32", "10.0.9.1"), 0, "all gateways are off a /32");
    cr_assert_eq(create_one(0, "10.0.0.0/31", "10.0.0.1"), 0, "RFC 3021: no broadcast there");
}

static void expect_source(const struct fake *fake, const char *remote, const char *source)
{
    struct ip_addr out;
    struct ip_addr addr = fake_ip(remote);
    bool found = net_source_for(fake->net, &addr, &out);
    cr_assert_eq(found, source != NULL, "%s", remote);
    if (found) {
        struct ip_addr want = fake_ip(source);
        cr_assert(ip_equal(&out, &want), "%s", remote);
    }
}

Test(route, prefix_then_gateway)
{
    struct fake *fake = fake_create();
    expect_source(fake, "10.0.77.1", "10.0.0.10");
    expect_source(fake, "192.0.2.77", "192.0.2.10");
    expect_source(fake, "8.8.8.8", "192.0.2.10");
    expect_source(fake, "10.1.0.1", "192.0.2.10");
    /* Nowhere: ourselves, broadcasts, groups (RFC 1122 section 3.2.1.3). */
    expect_source(fake, "10.0.0.10", NULL);
    expect_source(fake, "10.0.255.255", NULL);
    expect_source(fake, "10.0.0.0", NULL);
    expect_source(fake, "192.0.2.255", NULL);
    expect_source(fake, "255.255.255.255", NULL);
    expect_source(fake, "224.0.0.1", NULL);
    expect_source(fake, "127.0.0.1", NULL);
    expect_source(fake, "0.0.0.0", NULL);
    expect_source(fake, "2001:db8::1", NULL);
    struct ip_addr ours = fake_ip("10.0.0.10");
    struct ip_addr other = fake_ip("10.0.0.11");
    cr_assert(net_is_ours(fake->net, &ours));
    cr_assert_not(net_is_ours(fake->net, &other));
    fake_destroy(fake);
}

Test(route, longest_prefix_wins)
{
    const struct net_interface interface[] = {fake_interface(0, "10.0.0.1/8", NULL),
                                              fake_interface(1, "10.1.0.1/16", NULL)};
    struct fake *fake = fake_create_with(interface, 2);
    expect_source(fake, "10.1.2.3", "10.1.0.1");
    expect_source(fake, "10.2.2.3", "10.0.0.1");
    expect_source(fake, "11.0.0.1", NULL);
    fake_destroy(fake);
}

Test(route, answers_leave_by_the_interface_that_owns_the_source)
{
    const struct net_interface interface[] = {fake_interface(0, "192.0.2.10/24", "192.0.2.1"),
                                              fake_interface(1, "10.0.0.10/16", "10.0.0.1")};
    struct fake *fake = fake_create_with(interface, 2);
    struct net_route route;
    struct ip_addr inside = fake_ip("10.0.0.10");
    struct ip_addr outside = fake_ip("192.0.2.10");
    struct ip_addr far = fake_ip("8.8.8.8");
    struct ip_addr near = fake_ip("10.0.0.44");
    struct ip_addr gateway = fake_ip("10.0.0.1");
    /* RFC 1122 section 3.3.4.2, strong end system. */
    cr_assert(route_find(fake->net, &inside, &far, &route));
    cr_assert_eq(route.interface, 1);
    cr_assert(ip_equal(&route.next_hop, &gateway));
    cr_assert(route_find(fake->net, &outside, &near, &route));
    cr_assert_eq(route.interface, 0);
    cr_assert(route_find(fake->net, NULL, &near, &route));
    cr_assert_eq(route.interface, 1);
    cr_assert(ip_equal(&route.next_hop, &near));
    fake_destroy(fake);
}
