/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/core_bed.c: see core_bed.h. */
#include "tests/fuzz/core_bed.h"

#include "common/config.h"
#include "control/core/check.h"

#include <stdio.h>

static struct config_hop hops[2] = {
    {.id = 1,
     .name = "h1",
     .address_count = 1,
     .port = 25,
     .connection_count_max = 4,
     .messages_per_connection_max = 100,
     .breaker_failures = 3,
     .probe_interval_ms = 1000},
    {.id = 2,
     .name = "h2",
     .address_count = 1,
     .port = 25,
     .connection_count_max = 1,
     .messages_per_connection_max = 1,
     .breaker_failures = 1,
     .probe_interval_ms = 1000},
};

static struct config_route routes[3] = {
    {.id = 1, .name = "r1", .owner = "o", .hop_count = 1},
    {.id = 2, .name = "r2", .owner = "o", .hop_count = 1, .hop_index = {1}},
    {.id = 3, .name = "r3", .owner = "o", .hop_count = 2, .hop_index = {0, 1}},
};

static void add_rule(struct core *core, uint32_t id, const char *term)
{
    char error[SELECT_ERROR_SIZE];
    struct rule rule = {.id = id, .author = "a", .reason = "r"};
    bool ok = select_parse_terms(&term, 1, &rule.select, error);
    assert(ok);
    (void)rules_add(&core->rules, &rule);
}

void core_bed_init(struct core *core)
{
    static const struct siphash_key key = {.k0 = 1, .k1 = 2};
    struct config config;
    config_defaults(&config);
    config.retry.first_ms = 1000;
    config.retry.max_ms = 60000;
    config.hop_count = 2;
    config.hop = hops;
    config.route_count = 3;
    config.route = routes;
    core_init(core, &key,
              (struct control_time){.now_ns = 1000000000, .wall_ms = UINT64_C(1700000000000)});
    add_rule(core, CORE_BED_SENDER_RULE, "sender=bad@held.test");
    add_rule(core, CORE_BED_ROUTE_RULE, "route=r2");
    core_configure(core, &config);
}

uint8_t *core_bed_image(struct core *core, size_t *len_out)
{
    image_begin(core, 0);
    core_check(core);
    bool whole = image_step(core, UINT32_MAX);
    assert(whole);
    core_check(core);
    uint8_t *data = NULL;
    size_t capacity = 0;
    size_t len = 0;
    struct image_piece *piece;
    while ((piece = image_take(&core->image)) != NULL) {
        data = mem_grow(data, &capacity, len + piece->len, 1);
        memcpy(data + len, piece->bytes, piece->len);
        len += piece->len;
        image_give(&core->image, piece);
    }
    *len_out = len;
    return data;
}
