/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_check.c: what shows only when the whole configuration is read.
 *
 * Promise: no domain or recipient has two routes, every hop can be reached by some interface and
 *          is not this relay itself, the largest message fits the spool, the socket's path fits.
 * Trap:    a table of recipients that is empty for its domain would answer 550 to everybody; that
 *          is refused here, since a 5xx is only for what the sender did (RFC 5321 section 4.2.1).
 */
#include "common/config_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* A domain or address with the setting it came from, for its line. */
struct origin {
    const char *text;
    const config_setting_t *setting;
};

struct origins {
    struct origin *item;
    size_t count;
};

static int compare_origins(const void *a, const void *b)
{
    const struct origin *x = a;
    const struct origin *y = b;
    int order = strcmp(x->text, y->text);
    if (order != 0) {
        return order;
    }
    unsigned x_line = config_setting_source_line(x->setting);
    unsigned y_line = config_setting_source_line(y->setting);
    return x_line < y_line ? -1 : x_line > y_line;
}

static int find_origin(const void *key, const void *item)
{
    return strcmp(key, ((const struct origin *)item)->text);
}

/* All domains (or all recipients) of all routes, sorted. The caller frees item. */
static int collect(struct config_reader *reader, bool domains, struct origins *origins)
{
    const struct config *config = reader->config;
    size_t total = 0;
    for (uint32_t i = 0; i < config->route_count; i++) {
        total += domains ? config->route[i].domain_count : config->route[i].recipient_count;
    }
    origins->count = 0;
    origins->item = calloc(total + 1, sizeof *origins->item);
    config_setting_t *routes = config_lookup(reader->tree, "routes");
    if (origins->item == NULL) {
        return config_refuse(reader, routes, "no memory");
    }
    size_t most = domains ? (size_t)LIMIT_DOMAINS : (size_t)CONFIG_RECIPIENTS_MAX;
    if (total > most) {
        return config_refuse(reader, routes, "routes have %zu %s (%zu are possible)", total,
                             domains ? "domains" : "recipients", most);
    }
    for (uint32_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->route[i];
        config_setting_t *entry = config_setting_get_elem(routes, i);
        config_setting_t *list =
            config_setting_get_member(entry, domains ? "domains" : "recipients");
        uint32_t count = domains ? route->domain_count : route->recipient_count;
        for (uint32_t j = 0; j < count; j++) {
            origins->item[origins->count++] =
                (struct origin){.text = domains ? route->domain[j] : route->recipient[j],
                                .setting = config_setting_get_elem(list, j)};
        }
    }
    assert(origins->count == total);
    qsort(origins->item, origins->count, sizeof *origins->item, compare_origins);
    return 0;
}

static int check_unique(struct config_reader *reader, bool domains, const struct origins *origins)
{
    for (size_t i = 1; i < origins->count; i++) {
        const struct origin *first = &origins->item[i - 1];
        const struct origin *second = &origins->item[i];
        if (strcmp(first->text, second->text) == 0) {
            return config_refuse(reader, second->setting,
                                 "%s \"%.200s\" is already in line %u (one route only)",
                                 domains ? "domain" : "recipient", second->text,
                                 config_setting_source_line(first->setting));
        }
    }
    return 0;
}

/* A domain with recipients_only must have a listed recipient. */
static int check_tables(struct config_reader *reader, const struct origins *recipients)
{
    const struct config *config = reader->config;
    struct origins listed = {.item = calloc(recipients->count + 1, sizeof *listed.item)};
    if (listed.item == NULL) {
        return config_refuse(reader, NULL, "no memory");
    }
    for (size_t i = 0; i < recipients->count; i++) {
        listed.item[i] = (struct origin){.text = strrchr(recipients->item[i].text, '@') + 1,
                                         .setting = recipients->item[i].setting};
    }
    listed.count = recipients->count;
    qsort(listed.item, listed.count, sizeof *listed.item, compare_origins);
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < config->route_count; i++) {
        const struct config_route *route = &config->route[i];
        config_setting_t *entry = config_setting_get_elem(config_lookup(reader->tree, "routes"), i);
        for (uint32_t j = 0; r == 0 && route->recipients_only && j < route->domain_count; j++) {
            if (bsearch(route->domain[j], listed.item, listed.count, sizeof *listed.item,
                        find_origin) == NULL) {
                r = config_refuse(reader, entry,
                                  "route \"%s\" is recipients_only, but no recipient of \"%.200s\" "
                                  "is listed: all its mail would be answered 550",
                                  route->name, route->domain[j]);
            }
        }
    }
    free(listed.item);
    return r;
}

static int check_keys(struct config_reader *reader)
{
    struct origins domains = {0};
    struct origins recipients = {0};
    int r = collect(reader, true, &domains);
    if (r == 0) {
        r = check_unique(reader, true, &domains);
    }
    if (r == 0) {
        r = collect(reader, false, &recipients);
    }
    if (r == 0) {
        r = check_unique(reader, false, &recipients);
    }
    if (r == 0) {
        r = check_tables(reader, &recipients);
    }
    free(domains.item);
    free(recipients.item);
    return r;
}

static bool is_reachable(const struct config *config, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < config->interface_count; i++) {
        const struct config_interface *interface = &config->interface[i];
        struct ip_prefix prefix = {.addr = interface->addr, .bit_count = interface->prefix_bits};
        if (ip_in_prefix(addr, &prefix) || !ip_is_zero(&interface->gateway)) {
            return true;
        }
    }
    return false;
}

static bool is_own(const struct config *config, const struct ip_addr *addr)
{
    for (uint32_t i = 0; i < config->interface_count; i++) {
        if (ip_equal(addr, &config->interface[i].addr)) {
            return true;
        }
    }
    return false;
}

static int check_hop_addresses(struct config_reader *reader)
{
    const struct config *config = reader->config;
    config_setting_t *hops = config_lookup(reader->tree, "hops");
    for (uint32_t i = 0; i < config->hop_count; i++) {
        const struct config_hop *hop = &config->hop[i];
        config_setting_t *list =
            config_setting_get_member(config_setting_get_elem(hops, i), "addresses");
        for (uint32_t j = 0; j < hop->address_count; j++) {
            char text[IP_TEXT_SIZE];
            const config_setting_t *entry = config_setting_get_elem(list, j);
            if (is_own(config, &hop->address[j])) {
                return config_refuse(reader, entry,
                                     "hop \"%s\": %s is this relay itself: its mail would go round",
                                     hop->name, ip_format(&hop->address[j], text));
            }
            if (!is_reachable(config, &hop->address[j])) {
                return config_refuse(reader, entry,
                                     "hop \"%s\": %s is in no interface's network (give an "
                                     "interface a gateway)",
                                     hop->name, ip_format(&hop->address[j], text));
            }
        }
        if (hop->connection_count_max >= config->limits.connections) {
            return config_refuse(reader, config_setting_get_elem(hops, i),
                                 "hop \"%s\" may take %u connections, which is not less than "
                                 "limits.connections, %u",
                                 hop->name, hop->connection_count_max, config->limits.connections);
        }
    }
    return 0;
}

static int check_gateways(struct config_reader *reader)
{
    const struct config *config = reader->config;
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->interface_count; i++) {
        count += !ip_is_zero(&config->interface[i].gateway);
    }
    if (count > 1) {
        return config_refuse(reader, config_lookup(reader->tree, "interfaces"),
                             "%u interfaces have a gateway (one: it is the default route)", count);
    }
    return 0;
}

/* Checks each thing that must fit into another thing: a message into the spool, a path into its
 * field. */
static int check_sizes(struct config_reader *reader)
{
    struct config *config = reader->config;
    config_setting_t *per_client = config_lookup(reader->tree, "limits.connections_per_client");
    const struct sockaddr_un *un = NULL;
    if (strlen(config->run_dir) + sizeof "/admin.sock" > sizeof un->sun_path) {
        return config_refuse(reader, config_lookup(reader->tree, "run_dir"),
                             "run_dir is too long for a socket's path (%zu characters at most)",
                             sizeof un->sun_path - sizeof "/admin.sock");
    }
    if (config->spool.segment_bytes % (64 * 1024) != 0) {
        return config_refuse(reader, config_lookup(reader->tree, "spool.segment"),
                             "segment must be a multiple of 64KiB");
    }
    if (config->spool.state_segment_bytes % (64 * 1024) != 0) {
        return config_refuse(reader, config_lookup(reader->tree, "spool.state_segment"),
                             "state_segment must be a multiple of 64KiB");
    }
    /* The largest message must fit half of the spool, without two of its segments. */
    uint64_t room = config->spool.segment_bytes * (config->spool.segments_max - 2);
    if (config->limits.message_bytes > room / 2) {
        return config_refuse(reader, config_lookup(reader->tree, "limits.message"),
                             "limits.message is more than half of the spool (raise "
                             "spool.segments_max, or lower it)");
    }
    if (per_client == NULL && config->limits.connections_per_client > config->limits.connections) {
        config->limits.connections_per_client = config->limits.connections; /* only a default */
    }
    if (config->limits.connections_per_client > config->limits.connections) {
        return config_refuse(reader, per_client,
                             "connections_per_client is more than connections (%u)",
                             config->limits.connections);
    }
    if (config->retry.max_ms < config->retry.first_ms) {
        return config_refuse(reader, config_lookup(reader->tree, "retry"),
                             "retry: max is shorter than first");
    }
    if (config->user[0] == '\0' && config->group[0] != '\0') {
        return config_refuse(reader, config_lookup(reader->tree, "group"),
                             "group is set but user is not (set both, or neither)");
    }
    return 0;
}

int config_check_all(struct config_reader *reader)
{
    int r = check_sizes(reader);
    if (r == 0) {
        r = check_gateways(reader);
    }
    if (r == 0) {
        r = check_hop_addresses(reader);
    }
    if (r == 0) {
        r = check_keys(reader);
    }
    return r;
}
