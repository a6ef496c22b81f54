/* SPDX-License-Identifier: BSD-3-Clause */
/* common/ip.c: addresses of 16 bytes. See ip.h. */
#include "common/ip.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct ip_addr ip_from_v4(const uint8_t octet[4])
{
    struct ip_addr addr;
    memcpy(addr.octet, v4_prefix, sizeof v4_prefix);
    memcpy(addr.octet + 12, octet, 4);
    return addr;
}

bool ip_is_v4(const struct ip_addr *addr)
{
    return memcmp(addr->octet, v4_prefix, sizeof v4_prefix) == 0;
}

const uint8_t *ip_v4_octets(const struct ip_addr *addr)
{
    assert(ip_is_v4(addr));
    return addr->octet + 12;
}

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a->octet, b->octet, sizeof a->octet) == 0;
}

bool ip_is_zero(const struct ip_addr *addr)
{
    static const struct ip_addr zero;
    return ip_equal(addr, &zero);
}

bool ip_in_prefix(const struct ip_addr *addr, const struct ip_prefix *prefix)
{
    assert(prefix->bit_count <= 128);
    size_t whole = prefix->bit_count / 8;
    if (memcmp(addr->octet, prefix->addr.octet, whole) != 0) {
        return false;
    }
    unsigned rest = prefix->bit_count % 8;
    if (rest == 0) {
        return true;
    }
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((addr->octet[whole] ^ prefix->addr.octet[whole]) & mask) == 0;
}

bool ip_parse(const char *text, struct ip_addr *addr_out)
{
    uint8_t v4[4];
    if (inet_pton(AF_INET, text, v4) == 1) {
        *addr_out = ip_from_v4(v4);
        return true;
    }
    return inet_pton(AF_INET6, text, addr_out->octet) == 1;
}

bool ip_parse_prefix(const char *text, struct ip_prefix *prefix_out)
{
    char buf[IP_TEXT_SIZE];
    const char *slash = strchr(text, '/');
    if (slash == NULL || (size_t)(slash - text) >= sizeof buf) {
        return false;
    }
    memcpy(buf, text, (size_t)(slash - text));
    buf[slash - text] = '\0';
    if (!ip_parse(buf, &prefix_out->addr) || slash[1] < '0' || slash[1] > '9') {
        return false;
    }
    char *end;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    unsigned long most = ip_is_v4(&prefix_out->addr) ? 32 : 128;
    if (*end != '\0' || bits > most) {
        return false;
    }
    prefix_out->bit_count = (uint8_t)(bits + 128 - most);
    return true;
}

const char *ip_format(const struct ip_addr *addr, char out[IP_TEXT_SIZE])
{
    const char *text = ip_is_v4(addr) ? inet_ntop(AF_INET, addr->octet + 12, out, IP_TEXT_SIZE)
                                      : inet_ntop(AF_INET6, addr->octet, out, IP_TEXT_SIZE);
    assert(text != NULL);
    return text;
}
