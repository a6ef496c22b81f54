/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/routes.c: the routes and hops of the configuration in force, their durable ids,
 * and the policy snapshot made of them.
 *
 * Promise: a route or hop keeps its id through renames of everything else; one that is gone keeps
 *          its name and its mail (orphans), which goes on when it returns. The snapshot's
 *          generation changes exactly when its content does.
 * Trap:    a domain that vanished is answered 451 for domain_grace, so what was accepted lately is
 *          never rejected by a slip of the configuration.
 */
#include "common/config.h"
#include "control/core/index.h"
#include "control/core/mem.h"
#include "control/shell/store.h"

#include "common/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct route *routes_take(struct control *c, uint32_t id)
{
    struct route *r = map_find(&c->routes, id);
    if (r != NULL) {
        return r;
    }
    r = mem_zalloc(sizeof *r);
    r->id = id;
    if (!store_id_name(c->store, STORE_ROUTES, id, r->name)) {
        snprintf(r->name, sizeof r->name, "#%u", id); /* never one of ours: still shown */
    }
    list_init(&r->all);
    list_init(&r->ready);
    list_init(&r->active_node);
    map_put(&c->routes, id, r);
    return r;
}

struct hop *routes_find_hop(const struct control *c, uint32_t id)
{
    return map_find(&c->hops, id);
}

struct hop *routes_find_hop_name(const struct control *c, const char *name)
{
    size_t at = 0;
    for (struct hop *h = map_next(&c->hops, &at); h != NULL; h = map_next(&c->hops, &at)) {
        if (strcmp(h->name, name) == 0) {
            return h;
        }
    }
    return NULL;
}

static struct hop *take_hop(struct control *c, const struct config_hop *config)
{
    struct hop *h = routes_find_hop(c, config->id);
    if (h == NULL) {
        h = mem_zalloc(sizeof *h);
        h->id = config->id;
        h->window = config->connection_count_max;
        map_put(&c->hops, config->id, h);
    }
    snprintf(h->name, sizeof h->name, "%s", config->name);
    h->known = true;
    h->connection_count_max = config->connection_count_max > 0 ? config->connection_count_max : 1;
    h->window = h->window < h->connection_count_max ? h->window : h->connection_count_max;
    h->window = h->window > 0 ? h->window : 1;
    h->breaker.failures_max = config->breaker_failures > 0 ? config->breaker_failures : 1;
    h->breaker.probe_interval_ns = (uint64_t)config->probe_interval_ms * 1000000;
    return h;
}

int routes_present(struct control *c)
{
    const struct config *config = c->config;
    int r = store_begin(c->store);
    for (uint32_t i = 0; i < config->route_count && r == 0; i++) {
        for (uint32_t n = 0; n < config->route[i].domain_count && r == 0; n++) {
            r = store_domain_present(c->store, config->route[i].domain[n], c->now.wall_ms);
        }
    }
    if (r == 0) {
        r = store_commit(c->store);
    }
    if (r < 0) {
        store_rollback(c->store);
    }
    return r;
}

/* Durable ids for every name, in one transaction. */
static int assign_ids(struct control *c, struct config *config)
{
    int r = store_begin(c->store);
    for (uint32_t i = 0; i < config->hop_count && r == 0; i++) {
        r = store_name_id(c->store, STORE_HOPS, config->hop[i].name, &config->hop[i].id);
    }
    for (uint32_t i = 0; i < config->route_count && r == 0; i++) {
        struct config_route *route = &config->route[i];
        r = store_name_id(c->store, STORE_ROUTES, route->name, &route->id);
    }
    if (r == 0) {
        r = store_commit(c->store);
    }
    if (r < 0) {
        store_rollback(c->store);
    }
    return r;
}

/* Everything of the route goes to its place anew: it may be known again, or no more. */
static void resettle(struct control *c, struct route *r)
{
    for (struct list *l = r->all.next; l != &r->all; l = l->next) {
        struct delivery *d = list_entry(l, struct delivery, route_node);
        delivery_lift(c, d);
        delivery_settle(c, d);
    }
}

static void take_route(struct control *c, const struct config *config,
                       const struct config_route *from)
{
    struct route *r = routes_take(c, from->id);
    snprintf(r->name, sizeof r->name, "%s", from->name);
    snprintf(r->owner, sizeof r->owner, "%s", from->owner);
    assert(from->hop_count <= LIMIT_HOPS_PER_ROUTE);
    r->known = true;
    r->hop_count = from->hop_count;
    for (uint32_t i = 0; i < from->hop_count; i++) {
        assert(from->hop_index[i] < config->hop_count);
        r->hop[i] = routes_find_hop(c, config->hop[from->hop_index[i]].id);
        assert(r->hop[i] != NULL);
    }
}

int routes_apply(struct control *c, char error[CONFIG_ERROR_SIZE])
{
    struct config *config = c->config;
    int r = assign_ids(c, config);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "policy database: %s", store_error(c->store));
        return r;
    }
    size_t at = 0;
    for (struct hop *h = map_next(&c->hops, &at); h != NULL; h = map_next(&c->hops, &at)) {
        h->known = false;
    }
    at = 0;
    for (struct route *t = map_next(&c->routes, &at); t != NULL; t = map_next(&c->routes, &at)) {
        t->known = false;
        t->hop_count = 0;
    }
    for (uint32_t i = 0; i < config->hop_count; i++) {
        (void)take_hop(c, &config->hop[i]);
    }
    for (uint32_t i = 0; i < config->route_count; i++) {
        take_route(c, config, &config->route[i]);
    }
    at = 0;
    for (struct route *t = map_next(&c->routes, &at); t != NULL; t = map_next(&c->routes, &at)) {
        resettle(c, t);
    }
    return 0;
}

struct grace {
    struct policy_grace *list;
    size_t count;
    size_t capacity;
    const char **present; /* domains of the configuration in force, sorted */
    size_t present_count;
};

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_grace(void *ctx, const char *domain)
{
    struct grace *grace = ctx;
    if (domain == NULL || grace->count >= LIMIT_DOMAINS ||
        (grace->present_count > 0 && bsearch(&domain, grace->present, grace->present_count,
                                             sizeof *grace->present, compare_text) != NULL)) {
        return 0;
    }
    grace->list = mem_grow(grace->list, &grace->capacity, grace->count + 1, sizeof *grace->list);
    grace->list[grace->count++].domain = mem_copy_str(domain);
    return 0;
}

static void list_present(const struct config *config, struct grace *grace)
{
    size_t capacity = 0;
    for (uint32_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->route[i];
        grace->present =
            mem_grow(grace->present, &capacity, grace->present_count + route->domain_count + 1,
                     sizeof *grace->present);
        for (uint32_t n = 0; n < route->domain_count; n++) {
            grace->present[grace->present_count++] = route->domain[n];
        }
    }
    if (grace->present_count > 0) {
        qsort(grace->present, grace->present_count, sizeof *grace->present, compare_text);
    }
}

/* The generation and content of the snapshot in the state directory; 0 without one. */
static uint64_t saved_generation(const struct control *c, uint64_t *content_out)
{
    const struct policy *policy;
    void *data;
    size_t len;
    *content_out = 0;
    if (c->config->state_dir[0] == '\0' ||
        policy_load(c->config->state_dir, &policy, &data, &len) != 0) {
        return 0;
    }
    uint64_t generation = policy_generation(policy);
    *content_out = policy_content(policy);
    policy_unload(data, len);
    return generation;
}

/* The generation of this content: the stored one if it is the same, else the next. */
static int find_generation(struct control *c, uint64_t content, uint64_t *generation_out,
                           bool *same_out)
{
    uint64_t stored = 0;
    uint64_t generation = 0;
    int r = store_meta_get(c->store, "policy_content", &stored);
    if (r == 0) {
        r = store_meta_get(c->store, "policy_generation", &generation);
    }
    /* The file may be ahead: of a new or a restored database, or of one that took no note of it. */
    uint64_t saved_content;
    uint64_t saved = saved_generation(c, &saved_content);
    uint64_t newest = saved > generation ? saved : generation;
    *same_out = generation > 0 && stored == content && saved <= generation;
    *generation_out = *same_out ? generation : newest + 1;
    return r;
}

static int note_generation(struct control *c, uint64_t content, uint64_t generation)
{
    int r = store_begin(c->store);
    r = r == 0 ? store_meta_set(c->store, "policy_content", content) : r;
    r = r == 0 ? store_meta_set(c->store, "policy_generation", generation) : r;
    r = r == 0 ? store_commit(c->store) : r;
    if (r < 0) {
        store_rollback(c->store);
    }
    return r;
}

static int save(const struct control *c, uint64_t generation, const void *data, size_t len)
{
    uint64_t content;
    if (c->config->state_dir[0] == '\0') {
        return 0;
    }
    bool saved = saved_generation(c, &content) == generation;
    if (saved && content == policy_content(data)) {
        return 0;
    }
    return policy_save(c->config->state_dir, data, len);
}

/* File first, then the database, then we: whatever fails, the generation that is published is one
 * that the dataplane finds in the file, and the next try makes good. */
static int build(struct control *c, const struct grace *grace)
{
    void *data = NULL;
    size_t len = 0;
    uint64_t generation;
    bool same = false;
    int r = policy_build(c->config, 1, grace->list, grace->count, &data, &len);
    if (r < 0) {
        return r;
    }
    uint64_t content = policy_content(data);
    free(data);
    r = find_generation(c, content, &generation, &same);
    if (r < 0 || (same && c->policy != NULL && c->policy_generation == generation)) {
        return r;
    }
    r = policy_build(c->config, generation, grace->list, grace->count, &data, &len);
    if (r < 0) {
        return r;
    }
    r = save(c, generation, data, len);
    r = r == 0 && !same ? note_generation(c, content, generation) : r;
    if (r < 0) {
        free(data);
        return r;
    }
    free(c->policy);
    c->policy = data;
    c->policy_len = len;
    c->policy_generation = generation;
    return 0;
}

int routes_publish(struct control *c, char error[CONFIG_ERROR_SIZE])
{
    struct grace grace = {0};
    uint64_t now_ms = c->now.wall_ms;
    uint64_t grace_ms = c->config->control.domain_grace_ms;
    list_present(c->config, &grace);
    int r = routes_present(c);
    if (r == 0) {
        r = store_domains_since(c->store, now_ms > grace_ms ? now_ms - grace_ms : 0, add_grace,
                                &grace);
    }
    if (r == 0) {
        r = build(c, &grace);
    }
    for (size_t i = 0; i < grace.count; i++) {
        free((char *)grace.list[i].domain);
    }
    free(grace.list);
    free(grace.present);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "policy snapshot: %s", strerror(-r));
    } else if (c->attach.region != NULL) {
        atomic_store_explicit(&c->attach.region->policy_published, c->policy_generation,
                              memory_order_release);
    }
    return r;
}

void routes_fini(struct control *c)
{
    size_t at = 0;
    for (struct route *r = map_next(&c->routes, &at); r != NULL; r = map_next(&c->routes, &at)) {
        free(r);
    }
    at = 0;
    for (struct hop *h = map_next(&c->hops, &at); h != NULL; h = map_next(&c->hops, &at)) {
        free(h);
    }
    map_fini(&c->routes);
    map_fini(&c->hops);
    free(c->policy);
}
