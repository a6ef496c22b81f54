/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/campus.c: see campus.h. Times are shorter than an operator would choose, so that hours
 * of trouble fit into minutes. None is shorter than what the network may need. */
#include "tests/sim/campus.h"

#include "common/config.h"
#include "tests/sim/feature.h"
#include "tests/sim/node.h"

#include <stdio.h>
#include <stdlib.h>

void campus_make(struct campus *c, struct rng *rng, uint32_t features)
{
    *c = (struct campus){.features = features};
    c->hop_count = (uint32_t)rng_range(rng, 1, CAMPUS_HOPS_MAX);
    c->route_count = c->hop_count;
    for (uint32_t i = 0; i < c->hop_count; i++) {
        c->route_hops[i] = 1u << i;
        if (rng_percent(rng, 30)) {
            c->route_hops[i] |= 1u << (i + 1) % c->hop_count;
        }
        c->hop_lmtp[i] = rng_percent(rng, 25);
        c->hop_port[i] = c->hop_lmtp[i] ? 24 : (uint16_t)(25 + i);
        c->hop_has_dead_address[i] = rng_percent(rng, 20);
    }
    c->connections_per_hop = (uint32_t)rng_range(rng, 1, 8);
    c->messages_per_connection = (uint32_t)rng_spread(rng, 1, 50);
    c->connect_timeout_ms = (uint32_t)rng_range(rng, 3000, 30000);
    c->command_timeout_ms = (uint32_t)rng_range(rng, 10000, 60000);
    c->dot_timeout_ms = (uint32_t)rng_range(rng, 20000, 60000);
    c->idle_timeout_ms = (uint32_t)rng_spread(rng, 100, 10000);
    c->breaker_failures = (uint32_t)rng_range(rng, 1, 6);
    c->probe_interval_ms = (uint32_t)rng_range(rng, 1000, 10000);
    c->retry_first_ms = (uint32_t)rng_range(rng, 500, 5000);
    c->retry_max_ms = (uint32_t)rng_range(rng, 10000, 120000);
    c->checkpoint_interval_ms = (uint32_t)rng_spread(rng, 500, 20000);
    c->buffer_mib = rng_percent(rng, 5) ? 128 : (uint32_t)rng_range(rng, 8, 24);
    c->mtu = rng_percent(rng, 50) ? 1500 : (uint16_t)rng_range(rng, 576, 1500);
    c->spool.segment_bytes = UINT64_C(1) << 20;
    c->spool.segments_max = (uint32_t)rng_spread(rng, 5, 24);
    if ((features & FEATURE_VOLUME) != 0) {
        c->spool.segments_max = (uint32_t)rng_range(rng, 6, 9);
    }
    c->spool.state_segment_bytes = UINT64_C(1) << 20;
    c->spool.batch_bytes_max = rng_percent(rng, 50) ? 0 : 128 * 1024;
    c->keepalive_ms = (uint32_t)rng_spread(rng, 1000, 60000);
}

static void fill_hop(struct config_hop *h, const struct campus *c, uint32_t i)
{
    config_hop_defaults(h);
    snprintf(h->name, sizeof h->name, "hop%u", i);
    if (c->hop_has_dead_address[i]) {
        h->address[h->address_count++] = node_addr(CAMPUS_NOBODY_OCTET);
    }
    h->address[h->address_count++] = node_addr((uint8_t)(CAMPUS_HOP_OCTET + i));
    h->port = c->hop_port[i];
    h->protocol = c->hop_lmtp[i] ? CONFIG_PROTOCOL_LMTP : CONFIG_PROTOCOL_SMTP;
    h->connection_count_max = c->connections_per_hop;
    h->messages_per_connection_max = c->messages_per_connection;
    h->connect_timeout_ms = c->connect_timeout_ms;
    h->command_timeout_ms = c->command_timeout_ms;
    h->data_timeout_ms = c->command_timeout_ms;
    h->dot_timeout_ms = c->dot_timeout_ms;
    h->idle_timeout_ms = c->idle_timeout_ms;
    h->keepalive_ms = c->keepalive_ms;
    h->breaker_failures = c->breaker_failures;
    h->probe_interval_ms = c->probe_interval_ms;
}

static void fill_route(struct config_route *r, const struct campus *c, uint32_t i)
{
    config_route_defaults(r);
    snprintf(r->name, sizeof r->name, "route%u", i);
    snprintf(r->owner, sizeof r->owner, "owner%u@campus.example", i);
    r->domain = calloc(1, sizeof *r->domain);
    assert(r->domain != NULL);
    r->domain[0] = malloc(32);
    assert(r->domain[0] != NULL);
    snprintf(r->domain[0], 32, "d%u.test", i);
    r->domain_count = 1;
    r->hop_index[r->hop_count++] = i;
    for (uint32_t h = 0; h < c->hop_count; h++) {
        if (h != i && (c->route_hops[i] >> h & 1) != 0) {
            r->hop_index[r->hop_count++] = h;
        }
    }
}

static void fill_limits(struct config *config, const struct campus *c)
{
    config->limits.message_bytes = 1u << 20;
    config->limits.rcpts = 100;
    config->limits.connections = 192;
    config->limits.connections_per_client = 64;
    config->limits.command_timeout_ms = 120000;
    config->limits.data_timeout_ms = 60000;
    config->limits.transaction_timeout_ms = 600000;
    config->retry.first_ms = c->retry_first_ms;
    config->retry.max_ms = c->retry_max_ms;
    config->control.checkpoint_interval_ms = c->checkpoint_interval_ms;
    config->control.domain_grace_ms = 7 * 86400000u; /* longer than every jump of the clock */
    config->spool.segment_bytes = c->spool.segment_bytes;
    config->spool.segments_max = c->spool.segments_max;
    config->spool.state_segment_bytes = c->spool.state_segment_bytes;
    config->dataplane.memory_mib = c->buffer_mib * 4;
}

struct config *campus_config(const struct campus *c, uint32_t removed)
{
    struct config *config = malloc(sizeof *config);
    assert(config != NULL);
    config_defaults(config);
    config->state_dir[0] = '\0'; /* the policy stays in memory */
    snprintf(config->hostname, sizeof config->hostname, "mx.campus.example");
    snprintf(config->instance, sizeof config->instance, "sim");
    config->interface_count = 1;
    config_interface_defaults(&config->interface[0]);
    snprintf(config->interface[0].name, sizeof config->interface[0].name, "wire");
    config->interface[0].addr = node_addr(CAMPUS_RELAY_OCTET);
    config->interface[0].prefix_bits = 120;
    config->interface[0].mtu_bytes = c->mtu;
    config->listen_count = 1;
    config->listen[0] =
        (struct ip_endpoint){.addr = node_addr(CAMPUS_RELAY_OCTET), .port = CAMPUS_SMTP_PORT};
    fill_limits(config, c);
    config->hop_count = c->hop_count;
    config->hop = calloc(c->hop_count, sizeof *config->hop);
    config->route = calloc(c->route_count, sizeof *config->route);
    assert(config->hop != NULL && config->route != NULL);
    for (uint32_t i = 0; i < c->hop_count; i++) {
        fill_hop(&config->hop[i], c, i);
    }
    for (uint32_t i = 0; i < c->route_count; i++) {
        if ((removed >> i & 1) == 0) {
            fill_route(&config->route[config->route_count++], c, i);
        }
    }
    return config;
}
