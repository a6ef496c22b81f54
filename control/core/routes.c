/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/routes.c: see routes.h. Pure. */
#include "control/core/routes.h"

#include "control/core/mem.h"

#include "common/bytes.h"
#include "common/limits/routes.h"

enum { INDEX_MAX = UINT16_MAX - 1 };

void routes_init(struct routes *routes)
{
    *routes = (struct routes){0};
    routes->route = mem_grow(NULL, &routes->route_capacity, 1, sizeof(struct route *));
    routes->hop = mem_grow(NULL, &routes->hop_capacity, 1, sizeof(struct hop *));
    routes->route[0] = NULL;
    routes->hop[0] = NULL;
    (void)routes_take(routes, 0); /* of mail whose envelope cannot be read */
    assert(routes->route_count == 1 && routes_find(routes, 0) == routes_at(routes, 1));
}

void routes_fini(struct routes *routes)
{
    for (size_t i = 1; i <= routes->route_count; i++) {
        mem_free(routes->route[i]);
    }
    for (size_t i = 1; i <= routes->hop_count; i++) {
        mem_free(routes->hop[i]);
    }
    mem_free(routes->route);
    mem_free(routes->hop);
    map_fini(&routes->by_id);
    map_fini(&routes->hop_by_id);
}

/* "#17": a name for an id that nobody has named. */
static void name_number(char *name, size_t size, uint32_t id)
{
    char digits[16];
    size_t len = sizeof digits;
    assert(size > sizeof digits);
    do {
        digits[--len] = (char)('0' + id % 10);
        id /= 10;
    } while (id > 0);
    name[0] = '#';
    (void)bytes_copy_str(bytes_of(digits + len, sizeof digits - len), name + 1, size - 1);
}

struct route *routes_take(struct routes *routes, uint32_t id)
{
    struct route *r = map_find(&routes->by_id, id);
    if (r != NULL) {
        return r;
    }
    size_t index = routes->route_count + 1;
    assert(routes->by_id.count == routes->route_count);
    if (index > INDEX_MAX) {
        return routes->route[1]; /* ids come from a ring and a disk: no more names than room */
    }
    r = mem_zalloc(sizeof *r);
    r->id = id;
    r->index = (uint16_t)index;
    name_number(r->name, sizeof r->name, id);
    list_init(&r->ready);
    list_init(&r->active_node);
    routes->route =
        mem_grow(routes->route, &routes->route_capacity, index + 1, sizeof(struct route *));
    routes->route[index] = r;
    routes->route_count = index;
    map_put(&routes->by_id, id, r);
    assert(routes_at(routes, index) == r && routes_find(routes, id) == r && !r->known);
    return r;
}

struct hop *routes_take_hop(struct routes *routes, uint32_t id)
{
    struct hop *h = map_find(&routes->hop_by_id, id);
    if (h != NULL) {
        return h;
    }
    size_t index = routes->hop_count + 1;
    assert(index <= INDEX_MAX); /* hops come from the configuration and the database only */
    h = mem_zalloc(sizeof *h);
    h->id = id;
    h->index = (uint16_t)index;
    name_number(h->name, sizeof h->name, id);
    routes->hop = mem_grow(routes->hop, &routes->hop_capacity, index + 1, sizeof(struct hop *));
    routes->hop[index] = h;
    routes->hop_count = index;
    map_put(&routes->hop_by_id, id, h);
    assert(routes_hop_at(routes, index) == h && routes_find_hop(routes, id) == h && !h->known);
    return h;
}

void routes_set_name(struct route *route, const char *name)
{
    (void)bytes_copy_str(bytes_str(name), route->name, sizeof route->name);
}

struct route *routes_find(const struct routes *routes, uint32_t id)
{
    return map_find(&routes->by_id, id);
}

struct route *routes_find_name(const struct routes *routes, const char *name)
{
    assert(routes->route_count < routes->route_capacity); /* index 0 has its place, too */
    for (size_t i = 1; i <= routes->route_count; i++) {
        if (strcmp(routes->route[i]->name, name) == 0) {
            return routes->route[i];
        }
    }
    return NULL;
}

struct hop *routes_find_hop(const struct routes *routes, uint32_t id)
{
    return map_find(&routes->hop_by_id, id);
}

struct hop *routes_find_hop_name(const struct routes *routes, const char *name)
{
    assert(routes->hop_count < routes->hop_capacity);
    for (size_t i = 1; i <= routes->hop_count; i++) {
        if (strcmp(routes->hop[i]->name, name) == 0) {
            return routes->hop[i];
        }
    }
    return NULL;
}

struct route *routes_at(const struct routes *routes, size_t index)
{
    return index <= routes->route_count ? routes->route[index] : NULL;
}

struct hop *routes_hop_at(const struct routes *routes, size_t index)
{
    return index <= routes->hop_count ? routes->hop[index] : NULL;
}

static void configure_hop(struct routes *routes, const struct config_hop *config)
{
    bool is_new = routes_find_hop(routes, config->id) == NULL;
    assert(config->id != 0); /* 0 says "no hop" */
    struct hop *h = routes_take_hop(routes, config->id);
    uint32_t most = config->connection_count_max > 0 ? config->connection_count_max : 1;
    (void)bytes_copy_str(bytes_str(config->name), h->name, sizeof h->name);
    h->known = true;
    h->connection_count_max = most;
    h->window = is_new || h->window == 0 ? most : h->window;
    h->window = h->window < most ? h->window : most;
    h->breaker.failures_max = config->breaker_failures > 0 ? config->breaker_failures : 1;
    h->breaker.probe_interval_ns = (uint64_t)config->probe_interval_ms * 1000000;
    assert(h->window >= 1 && h->window <= h->connection_count_max);
}

static void configure_route(struct routes *routes, const struct config *config,
                            const struct config_route *from)
{
    struct route *r = routes_take(routes, from->id);
    assert(from->hop_count <= LIMIT_HOPS_PER_ROUTE);
    routes_set_name(r, from->name);
    (void)bytes_copy_str(bytes_str(from->owner), r->owner, sizeof r->owner);
    r->objective_ms = from->objective_ms;
    r->known = true;
    r->hop_count = from->hop_count;
    for (uint32_t i = 0; i < from->hop_count; i++) {
        assert(from->hop_index[i] < config->hop_count);
        r->hop[i] = routes_find_hop(routes, config->hop[from->hop_index[i]].id);
        assert(r->hop[i] != NULL);
        r->hop_name[i] = r->hop[i]->name;
    }
}

void routes_configure(struct routes *routes, const struct config *config)
{
    for (size_t i = 1; i <= routes->hop_count; i++) {
        routes->hop[i]->known = false;
    }
    for (size_t i = 1; i <= routes->route_count; i++) {
        routes->route[i]->known = false;
        routes->route[i]->hop_count = 0;
    }
    for (uint32_t i = 0; i < config->hop_count; i++) {
        configure_hop(routes, &config->hop[i]);
    }
    for (uint32_t i = 0; i < config->route_count; i++) {
        configure_route(routes, config, &config->route[i]);
    }
    assert(routes->hop_count >= config->hop_count);
}
