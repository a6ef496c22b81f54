/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_lists.c: the lists of the configuration: interfaces, listen, hops. Routes are in
 * config_routes.c.
 *
 * Promise: names are unique, addresses are of the kind their use needs.
 * Trap:    counts grow as entries are read, so that config_free after a refusal frees what is
 *          there and no more.
 */
#include "common/config_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int config_read_texts(struct config_reader *reader, config_setting_t *setting, unsigned max,
                      char ***text_out, uint32_t *count_out)
{
    int r = config_expect_list(reader, setting, 0, max);
    if (r < 0) {
        return r;
    }
    unsigned length = (unsigned)config_setting_length(setting);
    *text_out = calloc(length + 1, sizeof **text_out);
    if (*text_out == NULL) {
        return config_refuse(reader, setting, "no memory");
    }
    for (unsigned i = 0; i < length; i++) {
        const char *text;
        r = config_expect_text(reader, config_setting_get_elem(setting, i), &text);
        if (r < 0) {
            return r;
        }
        (*text_out)[i] = strdup(text);
        if ((*text_out)[i] == NULL) {
            return config_refuse(reader, setting, "no memory");
        }
        *count_out = i + 1;
    }
    return 0;
}

/* True for an address that a host can have: not unspecified, loopback, multicast or broadcast. */
static bool is_host_address(const struct ip_addr *addr)
{
    if (!ip_is_v4(addr)) {
        return false;
    }
    const uint8_t *o = ip_v4_octets(addr);
    return o[0] != 0 && o[0] != 127 && o[0] < 224;
}

/* The TCP stack speaks only IPv4 so far. An IPv6 address is refused here, so that it is not
 * ignored. */
static int read_address(struct config_reader *reader, const config_setting_t *setting,
                        struct ip_addr *addr_out)
{
    const char *text;
    int r = config_expect_text(reader, setting, &text);
    if (r < 0) {
        return r;
    }
    const char *label = config_setting_label(setting);
    if (!ip_parse(text, addr_out)) {
        return config_refuse(reader, setting,
                             "%s: \"%.60s\" is not an address (such as \"198.51.100.10\")", label,
                             text);
    }
    if (!ip_is_v4(addr_out)) {
        return config_refuse(reader, setting, "%s: \"%.60s\" is IPv6 (only IPv4 is served so far)",
                             label, text);
    }
    if (!is_host_address(addr_out)) {
        return config_refuse(reader, setting,
                             "%s: \"%.60s\" is loopback, multicast or reserved (the address of a "
                             "host is needed)",
                             label, text);
    }
    return 0;
}

static int read_address_key(struct config_reader *reader, config_setting_t *setting, void *into)
{
    return read_address(reader, setting, into);
}

/* --- interfaces ------------------------------------------------------------------------------ */

#define I(field) CONFIG_FIELD(struct config_interface, field)

static bool is_network_or_broadcast(const struct ip_prefix *prefix)
{
    const uint8_t *o = prefix->addr.octet + 12;
    uint32_t addr = (uint32_t)o[0] << 24 | (uint32_t)o[1] << 16 | (uint32_t)o[2] << 8 | o[3];
    unsigned host_bits = 128u - prefix->bit_count;
    if (host_bits < 2) {
        return false; /* RFC 3021: a /31 has two hosts */
    }
    uint32_t mask = host_bits >= 32 ? UINT32_MAX : (UINT32_C(1) << host_bits) - 1;
    return (addr & mask) == 0 || (addr & mask) == mask;
}

static int read_prefix(struct config_reader *reader, config_setting_t *setting, void *into)
{
    struct config_interface *interface =
        (void *)((char *)into - offsetof(struct config_interface, addr));
    const char *text;
    int r = config_expect_text(reader, setting, &text);
    if (r < 0) {
        return r;
    }
    struct ip_prefix prefix;
    if (!ip_parse_prefix(text, &prefix)) {
        return config_refuse(reader, setting,
                             "address: \"%.60s\" is not an address with its prefix length (such "
                             "as \"198.51.100.10/26\")",
                             text);
    }
    if (!ip_is_v4(&prefix.addr)) {
        return config_refuse(reader, setting,
                             "address: \"%.60s\" is IPv6 (only IPv4 is served so far)", text);
    }
    if (!is_host_address(&prefix.addr) || is_network_or_broadcast(&prefix)) {
        return config_refuse(reader, setting,
                             "address: \"%.60s\" is not a host's address in that network", text);
    }
    interface->addr = prefix.addr;
    interface->prefix_bits = prefix.bit_count;
    return 0;
}

void config_interface_defaults(struct config_interface *interface)
{
    *interface = (struct config_interface){.mtu_bytes = 1500};
}

static const struct config_key interface_keys[] = {
    {"name", CONFIG_KIND_NAME, true, I(name), 0, 0, NULL},
    {"device", CONFIG_KIND_TEXT, true, I(device), 0, 0, NULL},
    {"address", CONFIG_KIND_CUSTOM, true, I(addr), 0, 0, read_prefix},
    {"gateway", CONFIG_KIND_CUSTOM, false, I(gateway), 0, 0, read_address_key},
    /* Every host takes 576 bytes (RFC 791 section 3.2); a frame buffer holds no more than 1500. */
    {"mtu", CONFIG_KIND_NUMBER, false, I(mtu_bytes), LIMIT_MTU_MIN_BYTES, LIMIT_MTU_MAX_BYTES,
     NULL},
};

static int check_interface(struct config_reader *reader, const config_setting_t *setting,
                           const struct config_interface *interface)
{
    const struct config *config = reader->config;
    for (uint32_t i = 0; i < config->interface_count; i++) {
        const struct config_interface *other = &config->interface[i];
        if (strcmp(other->name, interface->name) == 0) {
            return config_refuse(reader, setting, "interface \"%s\" is there twice",
                                 interface->name);
        }
        if (ip_equal(&other->addr, &interface->addr)) {
            return config_refuse(reader, setting, "interface \"%s\" has the address of \"%s\"",
                                 interface->name, other->name);
        }
        if (strcmp(other->device, interface->device) == 0) {
            return config_refuse(reader, setting, "interface \"%s\" has the device of \"%s\"",
                                 interface->name, other->name);
        }
    }
    struct ip_prefix prefix = {.addr = interface->addr, .bit_count = interface->prefix_bits};
    if (!ip_is_zero(&interface->gateway) && (!ip_in_prefix(&interface->gateway, &prefix) ||
                                             ip_equal(&interface->gateway, &interface->addr))) {
        return config_refuse(reader, setting,
                             "the gateway of interface \"%s\" is not another host in its network",
                             interface->name);
    }
    return 0;
}

int config_read_interfaces(struct config_reader *reader, config_setting_t *setting, void *into)
{
    (void)into;
    struct config *config = reader->config;
    int r = config_expect_list(reader, setting, 1, LIMIT_INTERFACES);
    for (unsigned i = 0; r == 0 && i < (unsigned)config_setting_length(setting); i++) {
        config_setting_t *entry = config_setting_get_elem(setting, i);
        struct config_interface *interface = &config->interface[config->interface_count];
        config_interface_defaults(interface);
        r = config_read_group(reader, entry, interface_keys,
                              sizeof interface_keys / sizeof interface_keys[0], interface);
        if (r == 0) {
            r = check_interface(reader, entry, interface);
        }
        config->interface_count += r == 0;
    }
    return r;
}

/* --- listen ---------------------------------------------------------------------------------- */

static const struct config_key listen_keys[] = {
    {"address", CONFIG_KIND_CUSTOM, true, CONFIG_FIELD(struct ip_endpoint, addr), 0, 0,
     read_address_key},
    {"port", CONFIG_KIND_NUMBER, false, CONFIG_FIELD(struct ip_endpoint, port), 1, 65535, NULL},
};

static int check_listen(struct config_reader *reader, const config_setting_t *setting,
                        const struct ip_endpoint *listen)
{
    const struct config *config = reader->config;
    char text[IP_TEXT_SIZE];
    for (uint32_t i = 0; i < config->listen_count; i++) {
        if (ip_equal(&config->listen[i].addr, &listen->addr) &&
            config->listen[i].port == listen->port) {
            return config_refuse(reader, setting, "listen has %s port %u twice",
                                 ip_format(&listen->addr, text), listen->port);
        }
    }
    for (uint32_t i = 0; i < config->interface_count; i++) {
        if (ip_equal(&config->interface[i].addr, &listen->addr)) {
            return 0;
        }
    }
    return config_refuse(reader, setting,
                         "listen: no interface has the address %s (add it to one, or listen on one "
                         "of theirs)",
                         ip_format(&listen->addr, text));
}

int config_read_listen(struct config_reader *reader, config_setting_t *setting, void *into)
{
    (void)into;
    struct config *config = reader->config;
    int r = config_expect_list(reader, setting, 1, LIMIT_INTERFACES);
    for (unsigned i = 0; r == 0 && i < (unsigned)config_setting_length(setting); i++) {
        config_setting_t *entry = config_setting_get_elem(setting, i);
        struct ip_endpoint *listen = &config->listen[config->listen_count];
        listen->port = 25;
        r = config_read_group(reader, entry, listen_keys,
                              sizeof listen_keys / sizeof listen_keys[0], listen);
        if (r == 0) {
            r = check_listen(reader, entry, listen);
        }
        config->listen_count += r == 0;
    }
    return r;
}

/* --- hops ------------------------------------------------------------------------------------ */

#define H(field) CONFIG_FIELD(struct config_hop, field)

static int read_hop_addresses(struct config_reader *reader, config_setting_t *setting, void *into)
{
    struct config_hop *hop = (void *)((char *)into - offsetof(struct config_hop, address));
    int r = config_expect_list(reader, setting, 1, LIMIT_HOP_ADDRESSES);
    for (unsigned i = 0; r == 0 && i < (unsigned)config_setting_length(setting); i++) {
        const config_setting_t *entry = config_setting_get_elem(setting, i);
        r = read_address(reader, entry, &hop->address[i]);
        for (unsigned j = 0; r == 0 && j < i; j++) {
            if (ip_equal(&hop->address[j], &hop->address[i])) {
                r = config_refuse(reader, entry, "addresses: \"%s\" is there twice",
                                  config_setting_get_string(entry));
            }
        }
        hop->address_count = i + 1;
    }
    return r;
}

static int read_protocol(struct config_reader *reader, config_setting_t *setting, void *into)
{
    const char *text;
    int r = config_expect_text(reader, setting, &text);
    if (r < 0) {
        return r;
    }
    enum config_protocol protocol = CONFIG_PROTOCOL_SMTP;
    if (strcmp(text, "lmtp") == 0) {
        protocol = CONFIG_PROTOCOL_LMTP;
    } else if (strcmp(text, "smtp") != 0) {
        return config_refuse(reader, setting,
                             "protocol: \"%.40s\" is unknown (\"smtp\" or \"lmtp\")", text);
    }
    memcpy(into, &protocol, sizeof protocol);
    return 0;
}

/* No timeout of RFC 5321 section 4.5.3.2 is longer than an hour. */
#define TIMEOUT 100, 3600 * 1000

static const struct config_key hop_keys[] = {
    {"name", CONFIG_KIND_NAME, true, H(name), 0, 0, NULL},
    {"addresses", CONFIG_KIND_CUSTOM, true, H(address), 0, 0, read_hop_addresses},
    {"port", CONFIG_KIND_NUMBER, false, H(port), 1, 65535, NULL},
    {"protocol", CONFIG_KIND_CUSTOM, false, H(protocol), 0, 0, read_protocol},
    {"connections", CONFIG_KIND_NUMBER, false, H(connection_count_max), 1, 10000, NULL},
    {"messages_per_connection", CONFIG_KIND_NUMBER, false, H(messages_per_connection_max), 1,
     1000000, NULL},
    {"connect_timeout", CONFIG_KIND_MSEC, false, H(connect_timeout_ms), TIMEOUT, NULL},
    {"command_timeout", CONFIG_KIND_MSEC, false, H(command_timeout_ms), TIMEOUT, NULL},
    {"data_timeout", CONFIG_KIND_MSEC, false, H(data_timeout_ms), TIMEOUT, NULL},
    {"dot_timeout", CONFIG_KIND_MSEC, false, H(dot_timeout_ms), TIMEOUT, NULL},
    {"idle_timeout", CONFIG_KIND_MSEC, false, H(idle_timeout_ms), TIMEOUT, NULL},
    {"keepalive", CONFIG_KIND_MSEC, false, H(keepalive_ms), 1000, 3600 * 1000, NULL},
    {"breaker_failures", CONFIG_KIND_NUMBER, false, H(breaker_failures), 1, 1000, NULL},
    {"probe_interval", CONFIG_KIND_MSEC, false, H(probe_interval_ms), TIMEOUT, NULL},
};

/* RFC 5321 section 4.5.3.2 has the timeouts: a client that gives up before the hop does makes
 * duplicates, above all at the dot. */
void config_hop_defaults(struct config_hop *hop)
{
    *hop = (struct config_hop){
        .protocol = CONFIG_PROTOCOL_SMTP,
        .connection_count_max = 20,
        .messages_per_connection_max = 100,
        .connect_timeout_ms = 30 * 1000,
        .command_timeout_ms = 5 * 60 * 1000,
        .data_timeout_ms = 3 * 60 * 1000,
        .dot_timeout_ms = 10 * 60 * 1000,
        .idle_timeout_ms = 5 * 1000,
        .keepalive_ms = 15 * 1000,
        .breaker_failures = 5,
        .probe_interval_ms = 30 * 1000,
    };
}

static int check_hop(struct config_reader *reader, const config_setting_t *setting,
                     struct config_hop *hop)
{
    const struct config *config = reader->config;
    for (uint32_t i = 0; i < config->hop_count; i++) {
        if (strcmp(config->hop[i].name, hop->name) == 0) {
            return config_refuse(reader, setting, "hop \"%s\" is there twice", hop->name);
        }
    }
    if (hop->protocol == CONFIG_PROTOCOL_LMTP && (hop->port == 0 || hop->port == 25)) {
        /* RFC 2033 section 5: LMTP must not be used on port 25. */
        return config_refuse(reader, setting,
                             "hop \"%s\" speaks LMTP and needs its own port (such as 24, not 25)",
                             hop->name);
    }
    hop->port = hop->port == 0 ? 25 : hop->port;
    return 0;
}

int config_read_hops(struct config_reader *reader, config_setting_t *setting, void *into)
{
    (void)into;
    struct config *config = reader->config;
    int r = config_expect_list(reader, setting, 1, LIMIT_HOPS);
    if (r < 0) {
        return r;
    }
    config->hop = calloc((size_t)config_setting_length(setting), sizeof *config->hop);
    if (config->hop == NULL) {
        return config_refuse(reader, setting, "no memory");
    }
    for (unsigned i = 0; r == 0 && i < (unsigned)config_setting_length(setting); i++) {
        config_setting_t *entry = config_setting_get_elem(setting, i);
        struct config_hop *hop = &config->hop[config->hop_count];
        config_hop_defaults(hop);
        r = config_read_group(reader, entry, hop_keys, sizeof hop_keys / sizeof hop_keys[0], hop);
        if (r == 0) {
            r = check_hop(reader, entry, hop);
        }
        config->hop_count += r == 0;
    }
    return r;
}
