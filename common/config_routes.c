/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_routes.c: the routes: which recipients go to which hops, and who owns them.
 *
 * Promise: every domain and address is valid and in lower case; every hop that a route names
 *          exists.
 * Trap:    names are put into lower case here, once. Later they are compared as bytes.
 */
#include "common/config_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define R(field) CONFIG_FIELD(struct config_route, field)

/* Status reports a route's mail that meets 4xx for longer than the route's objective. */
#define OBJECTIVE_MS_MIN     1000
#define OBJECTIVE_MS_MAX     (7u * 86400u * 1000u)
#define OBJECTIVE_MS_DEFAULT (4u * 3600u * 1000u)

typedef const char *(*check_fn)(const char *text);

/* Reads a list of domains or addresses: checks each, then makes it lower case. */
static int read_keys(struct config_reader *reader, config_setting_t *setting, unsigned max,
                     check_fn check, char ***text_out, uint32_t *count_out)
{
    int r = config_read_texts(reader, setting, max, text_out, count_out);
    for (uint32_t i = 0; r == 0 && i < *count_out; i++) {
        const char *right = check((*text_out)[i]);
        if (right != NULL) {
            return config_refuse(reader, config_setting_get_elem(setting, i),
                                 "%s: \"%.120s\" will not do (it must be: %s)",
                                 config_setting_label(setting), (*text_out)[i], right);
        }
        config_lower((*text_out)[i]);
    }
    return r;
}

static int read_domains(struct config_reader *reader, config_setting_t *setting, void *into)
{
    struct config_route *route = (void *)((char *)into - offsetof(struct config_route, domain));
    return read_keys(reader, setting, LIMIT_DOMAINS, config_check_domain, &route->domain,
                     &route->domain_count);
}

static int read_recipients(struct config_reader *reader, config_setting_t *setting, void *into)
{
    struct config_route *route = (void *)((char *)into - offsetof(struct config_route, recipient));
    return read_keys(reader, setting, CONFIG_RECIPIENTS_MAX, config_check_address,
                     &route->recipient, &route->recipient_count);
}

static int find_hop(struct config_reader *reader, const config_setting_t *setting,
                    uint32_t *index_out)
{
    const struct config *config = reader->config;
    const char *text;
    int r = config_expect_text(reader, setting, &text);
    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; i < config->hop_count; i++) {
        if (strcmp(config->hop[i].name, text) == 0) {
            *index_out = i;
            return 0;
        }
    }
    return config_refuse(reader, setting, "there is no hop \"%.60s\" (define it in hops)", text);
}

static int read_route_hops(struct config_reader *reader, config_setting_t *setting, void *into)
{
    struct config_route *route = (void *)((char *)into - offsetof(struct config_route, hop_index));
    int r = config_expect_list(reader, setting, 1, LIMIT_HOPS_PER_ROUTE);
    for (unsigned i = 0; r == 0 && i < (unsigned)config_setting_length(setting); i++) {
        const config_setting_t *entry = config_setting_get_elem(setting, i);
        r = find_hop(reader, entry, &route->hop_index[i]);
        for (unsigned j = 0; r == 0 && j < i; j++) {
            if (route->hop_index[j] == route->hop_index[i]) {
                r = config_refuse(reader, entry, "hops: \"%s\" is there twice",
                                  config_setting_get_string(entry));
            }
        }
        route->hop_count = i + 1;
    }
    return r;
}

void config_route_defaults(struct config_route *route)
{
    *route = (struct config_route){.objective_ms = OBJECTIVE_MS_DEFAULT};
}

static const struct config_key route_keys[] = {
    {"name", CONFIG_KIND_NAME, true, R(name), 0, 0, NULL},
    {"domains", CONFIG_KIND_CUSTOM, false, R(domain), 0, 0, read_domains},
    {"recipients", CONFIG_KIND_CUSTOM, false, R(recipient), 0, 0, read_recipients},
    {"recipients_only", CONFIG_KIND_BOOL, false, R(recipients_only), 0, 0, NULL},
    {"hops", CONFIG_KIND_CUSTOM, true, R(hop_index), 0, 0, read_route_hops},
    {"owner", CONFIG_KIND_TEXT, false, R(owner), 0, 0, NULL},
    {"objective", CONFIG_KIND_MSEC, false, R(objective_ms), OBJECTIVE_MS_MIN, OBJECTIVE_MS_MAX,
     NULL},
};

static int check_route(struct config_reader *reader, const config_setting_t *setting,
                       struct config_route *route)
{
    const struct config *config = reader->config;
    for (uint32_t i = 0; i < config->route_count; i++) {
        if (strcmp(config->route[i].name, route->name) == 0) {
            return config_refuse(reader, setting, "route \"%s\" is there twice", route->name);
        }
    }
    if (route->domain_count + route->recipient_count == 0) {
        return config_refuse(reader, setting,
                             "route \"%s\" takes nothing (give it domains or recipients)",
                             route->name);
    }
    if (route->recipients_only && route->domain_count == 0) {
        return config_refuse(reader, setting,
                             "route \"%s\" is recipients_only but has no domains (leave it out)",
                             route->name);
    }
    if (route->owner[0] == '\0') {
        /* RFC 5321 section 4.5.1: there always is a postmaster. */
        int len = snprintf(route->owner, sizeof route->owner, "postmaster@%.*s",
                           (int)sizeof route->owner - 12, config->hostname);
        assert(len > 0);
    }
    return 0;
}

int config_read_routes(struct config_reader *reader, config_setting_t *setting, void *into)
{
    (void)into;
    struct config *config = reader->config;
    int r = config_expect_list(reader, setting, 1, LIMIT_ROUTES);
    if (r < 0) {
        return r;
    }
    config->route = calloc((size_t)config_setting_length(setting), sizeof *config->route);
    if (config->route == NULL) {
        return config_refuse(reader, setting, "no memory");
    }
    for (unsigned i = 0; r == 0 && i < (unsigned)config_setting_length(setting); i++) {
        config_setting_t *entry = config_setting_get_elem(setting, i);
        struct config_route *route = &config->route[i];
        config_route_defaults(route);
        r = config_read_group(reader, entry, route_keys, sizeof route_keys / sizeof route_keys[0],
                              route);
        if (r == 0) {
            r = check_route(reader, entry, route);
        }
        config->route_count = i + 1; /* a refused one too: config_free frees its texts */
    }
    return r;
}
