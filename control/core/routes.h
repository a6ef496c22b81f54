/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/routes.h: the routes and hops that mail of ours may name, in force or not.
 *
 * Promise: a route or hop keeps its index as long as control runs. One that left the configuration
 *          keeps its name, and a route its mail (orphans), which goes on when the route returns.
 * Trap:    an index counts from 1: 0 is no hop.
 */
#ifndef HOLDFAST_CONTROL_CORE_ROUTES_H
#define HOLDFAST_CONTROL_CORE_ROUTES_H

#include "control/core/breaker.h"
#include "control/core/delivery_state.h"
#include "control/core/map.h"

#include "common/config.h"
#include "common/list.h"
#include "common/outcome.h"
#include "common/limits/names.h"
#include "common/limits/routes.h"

struct hop {
    uint32_t id;
    uint16_t index;
    bool known; /* in the present configuration */
    char name[LIMIT_NAME_BYTES + 1];
    uint32_t connection_count_max;
    struct breaker breaker;
    uint32_t in_flight;
    uint32_t window;       /* deliveries at once, 1 .. connection_count_max */
    uint32_t tempfail_run; /* 4xx in a row */
    uint32_t successes;
    uint64_t last_state_pos;
    uint64_t since_ms; /* of the breaker's state */
    uint64_t heard_ns; /* its last word; 0: never */
    uint16_t last_code;
    uint8_t last_outcome;
};

struct tally {
    uint64_t deliveries;
    uint64_t rcpts; /* waiting ones in these deliveries */
};

struct route {
    uint32_t id;
    uint16_t index;
    bool known;
    char name[LIMIT_NAME_BYTES + 1];
    char owner[CONFIG_TEXT_SIZE];
    uint64_t objective_ms;
    uint32_t hop_count;
    struct hop *hop[LIMIT_HOPS_PER_ROUTE];
    const char *hop_name[LIMIT_HOPS_PER_ROUTE];
    struct list ready;       /* struct live, due now */
    struct list active_node; /* among those with something ready */
    struct tally tally[DELIVERY_STATE_COUNT];
    uint64_t frozen_deliveries[OUTCOME_COUNT]; /* state FROZEN, by their first frozen class */
    uint64_t frozen_rcpts[OUTCOME_COUNT];
    uint64_t frozen_sample[OUTCOME_COUNT]; /* a delivery lately frozen so */
    uint64_t oldest_ms;                    /* received; by the last census; 0: no mail */
    uint64_t tempfail_oldest_ms;           /* received; waiting, last answer 4xx; 0: none */
    uint64_t tempfail_count;
    struct { /* the census under way */
        uint64_t oldest_ms;
        uint64_t tempfail_oldest_ms;
        uint64_t tempfail_count;
    } census;
};

struct routes {
    struct map by_id;
    struct map hop_by_id;
    struct route **route; /* by index */
    size_t route_count;   /* highest index */
    size_t route_capacity;
    struct hop **hop;
    size_t hop_count;
    size_t hop_capacity;
};

void routes_init(struct routes *routes);
void routes_fini(struct routes *routes);
/* The route of that id, made when there is none: not known, called "#id". */
struct route *routes_take(struct routes *routes, uint32_t id);
struct hop *routes_take_hop(struct routes *routes, uint32_t id);
void routes_set_name(struct route *route, const char *name);
struct route *routes_find(const struct routes *routes, uint32_t id);
struct route *routes_find_name(const struct routes *routes, const char *name);
struct hop *routes_find_hop(const struct routes *routes, uint32_t id);
struct hop *routes_find_hop_name(const struct routes *routes, const char *name);
/* By index. NULL for 0 and above the highest. */
struct route *routes_at(const struct routes *routes, size_t index);
struct hop *routes_hop_at(const struct routes *routes, size_t index);
/* What the configuration says (with durable ids in it) is in force. */
void routes_configure(struct routes *routes, const struct config *config);

#endif
