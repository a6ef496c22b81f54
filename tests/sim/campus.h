/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/campus.h: the campus of a seed: its hops, routes, limits and times, as the
 * configuration that both processes get.
 *
 * Trap: control writes ids into its configuration, so each start gets a fresh one.
 */
#ifndef HOLDFAST_TESTS_SIM_CAMPUS_H
#define HOLDFAST_TESTS_SIM_CAMPUS_H

#include "common/config_fwd.h"
#include "spool/spool.h"
#include "tests/sim/rng.h"

#include <stdint.h>

enum {
    CAMPUS_HOPS_MAX = 3,
    CAMPUS_RELAY_OCTET = 10,
    CAMPUS_CLIENT_OCTET = 20, /* clients are 20, 21 */
    CAMPUS_HOP_OCTET = 30,    /* hop i is 30 + i */
    CAMPUS_NOBODY_OCTET = 99, /* an address that no host has */
    CAMPUS_SMTP_PORT = 25,
};

struct campus {
    uint32_t features;
    uint32_t hop_count;
    uint32_t route_count;
    uint32_t route_hops[CAMPUS_HOPS_MAX]; /* a bit for each hop */
    uint16_t hop_port[CAMPUS_HOPS_MAX];
    bool hop_lmtp[CAMPUS_HOPS_MAX];
    bool hop_has_dead_address[CAMPUS_HOPS_MAX];
    uint32_t connections_per_hop;
    uint32_t messages_per_connection;
    uint32_t connect_timeout_ms;
    uint32_t command_timeout_ms;
    uint32_t dot_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t keepalive_ms;
    uint32_t breaker_failures;
    uint32_t probe_interval_ms;
    uint32_t retry_first_ms;
    uint32_t retry_max_ms;
    uint32_t checkpoint_interval_ms;
    uint32_t buffer_mib;
    uint16_t mtu;
    struct spool_settings spool;
};

void campus_make(struct campus *campus, struct rng *rng, uint32_t features);
/* Lives as long as the process. */
/* `removed`: a bit for each route that the configuration lacks. */
struct config *campus_config(const struct campus *campus, uint32_t removed);

#endif
