/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/route.c: interface table and routing. See route.h.
 *
 * Eight interfaces at most, so a route is found by looking at all of them: first whether the
 * source's own interface can do it, then the longest prefix that holds the destination, then the
 * first gateway.
 */
#include "dataplane/net/route.h"

#include "dataplane/net/ip4.h"
#include "dataplane/net/state.h"

#include <errno.h>

/* Longest IPv4 prefix, of 128, that still has a broadcast address. */
enum { BROADCAST_BITS_MAX = 126, V4_BITS = 96 };

static void host_bits_set(struct ip_addr *addr, unsigned prefix_bits, bool ones)
{
    assert(prefix_bits <= 128);
    for (unsigned bit = prefix_bits; bit < 128; bit++) {
        uint8_t mask = (uint8_t)(0x80 >> (bit % 8));
        if (ones) {
            addr->octet[bit / 8] |= mask;
        } else {
            addr->octet[bit / 8] &= (uint8_t)~mask;
        }
    }
}

static bool is_broadcast(const struct net_link *link, const struct ip_addr *addr)
{
    return link->has_broadcast && (ip_equal(addr, &link->lowest) || ip_equal(addr, &link->highest));
}

bool route_is_broadcast(const struct net *net, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < net->link_count; i++) {
        if (is_broadcast(&net->link[i], addr)) {
            return true;
        }
    }
    return false;
}

bool route_is_neighbour(const struct net_link *link, const struct ip_addr *addr)
{
    if (ip_equal(addr, &link->conf.addr) || is_broadcast(link, addr) || !ip4_is_host(addr)) {
        return false;
    }
    return ip_equal(addr, &link->conf.gateway) || ip_in_prefix(addr, &link->prefix);
}

int route_link_init(struct net_link *link, const struct net_interface *interface, struct nic *nic)
{
    if (interface->port >= nic_port_count(nic) || interface->port >= NET_PORTS) {
        return -EINVAL;
    }
    /* The codecs here are for IPv4 only. */
    if (!ip4_is_host(&interface->addr) || interface->prefix_bits < V4_BITS ||
        interface->prefix_bits > 128) {
        return -EINVAL;
    }
    link->conf = *interface;
    link->prefix = (struct ip_prefix){interface->addr, interface->prefix_bits};
    link->lowest = interface->addr;
    host_bits_set(&link->lowest, interface->prefix_bits, false);
    link->highest = interface->addr;
    host_bits_set(&link->highest, interface->prefix_bits, true);
    link->has_broadcast = interface->prefix_bits <= BROADCAST_BITS_MAX;
    if (is_broadcast(link, &interface->addr)) {
        return -EINVAL;
    }
    const struct ip_addr *gateway = &interface->gateway;
    /* A gateway outside the prefix makes sense only for a /32, where everything is outside. */
    if (!ip_is_zero(gateway) &&
        (!route_is_neighbour(link, gateway) ||
         (interface->prefix_bits < 128 && !ip_in_prefix(gateway, &link->prefix)))) {
        return -EINVAL;
    }
    nic_mac(nic, interface->port, link->mac);
    link->mtu = nic_mtu(nic, interface->port);
    return 0;
}

static bool route_by(const struct net *net, uint32_t interface, const struct ip_addr *dst,
                     struct net_route *route_out)
{
    const struct net_link *link = &net->link[interface];
    route_out->interface = interface;
    if (route_is_neighbour(link, dst)) {
        route_out->next_hop = *dst;
        return true;
    }
    if (ip_is_zero(&link->conf.gateway)) {
        return false;
    }
    route_out->next_hop = link->conf.gateway;
    return true;
}

/* The longest prefix, else the first gateway; link_count when there is neither. */
static uint32_t interface_towards(const struct net *net, const struct ip_addr *dst)
{
    uint32_t best = net->link_count;
    uint32_t gateway = net->link_count;
    for (uint32_t i = 0; i < net->link_count; i++) {
        const struct net_link *link = &net->link[i];
        if (route_is_neighbour(link, dst) &&
            (best == net->link_count ||
             link->prefix.bit_count > net->link[best].prefix.bit_count)) {
            best = i;
        }
        if (gateway == net->link_count && !ip_is_zero(&link->conf.gateway)) {
            gateway = i;
        }
    }
    return best < net->link_count ? best : gateway;
}

bool route_find(const struct net *net, const struct ip_addr *src, const struct ip_addr *dst,
                struct net_route *route_out)
{
    if (!ip4_is_host(dst) || net_is_ours(net, dst) || route_is_broadcast(net, dst)) {
        return false;
    }
    uint32_t towards = interface_towards(net, dst);
    for (uint32_t i = 0; src != NULL && i < net->link_count; i++) {
        if (ip_equal(src, &net->link[i].conf.addr) && route_by(net, i, dst, route_out)) {
            return true;
        }
    }
    return towards < net->link_count && route_by(net, towards, dst, route_out);
}

uint32_t route_interface_of(const struct net *net, uint32_t port, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < net->link_count; i++) {
        if (net->link[i].conf.port == port && ip_equal(addr, &net->link[i].conf.addr)) {
            return i;
        }
    }
    return LIMIT_INTERFACES;
}

bool net_is_ours(const struct net *net, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < net->link_count; i++) {
        if (ip_equal(addr, &net->link[i].conf.addr)) {
            return true;
        }
    }
    return false;
}

bool net_source_for(const struct net *net, const struct ip_addr *remote, struct ip_addr *source_out)
{
    struct net_route route;
    if (!route_find(net, NULL, remote, &route)) {
        return false;
    }
    *source_out = net->link[route.interface].conf.addr;
    return true;
}
