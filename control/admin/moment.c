/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/moment.c: see moment.h. */
#include "control/admin/moment.h"
#include "control/admin/select_json.h"
#include "control/core/mem.h"

#include <stdlib.h>
#include <string.h>

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void add_route(struct moment *m, uint32_t id)
{
    m->route_id =
        mem_grow(m->route_id, &m->route_capacity, m->route_count + 1, sizeof *m->route_id);
    m->route_id[m->route_count++] = id;
}

static bool has_hop(const struct route *route, const char *name)
{
    for (uint32_t i = 0; i < route->hop_count; i++) {
        if (strcmp(route->hop_name[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_all_hops(const struct route *route, const struct select *select)
{
    for (uint32_t i = 0; i < select->count; i++) {
        if (select->term[i].key == SELECT_HOP && !has_hop(route, select->term[i].text)) {
            return false;
        }
    }
    return true;
}

void moment_take_hops(struct moment *m, struct select *select, const struct routes *routes)
{
    uint32_t kept = 0;
    if (!select_has(select, SELECT_HOP)) {
        return;
    }
    assert(!m->by_route && m->route_count == 0);
    m->by_route = true;
    for (size_t i = 1; i <= routes->route_count; i++) {
        const struct route *route = routes_at(routes, i);
        if (has_all_hops(route, select)) {
            add_route(m, route->id);
        }
    }
    if (m->route_count > 0) {
        qsort(m->route_id, m->route_count, sizeof *m->route_id, by_number);
    }
    for (uint32_t i = 0; i < select->count; i++) {
        if (select->term[i].key != SELECT_HOP) {
            select->term[kept++] = select->term[i];
        }
    }
    select->count = kept;
    assert(!select_has(select, SELECT_HOP));
}

struct moment moment_move(struct moment *m)
{
    struct moment moved = *m;
    *m = (struct moment){0};
    return moved;
}

void moment_fini(struct moment *m)
{
    mem_free(m->route_id);
    *m = (struct moment){0};
}

bool moment_facts(const struct moment *m, const struct core *c, const struct delivery *d,
                  struct select_facts *facts)
{
    facts->age_ms = m->wall_ms > d->received_ms ? m->wall_ms - d->received_ms : 0;
    if (!m->by_route) {
        return true;
    }
    const struct route *route = routes_at(&c->routes, d->route);
    assert(route != NULL);
    return m->route_count > 0 &&
           bsearch(&route->id, m->route_id, m->route_count, sizeof *m->route_id, by_number) != NULL;
}

/* --- in the database -------------------------------------------------------------------------- */

char *moment_text(const struct moment *m, const struct select *select)
{
    json_t *list = select_json(select);
    if (m->by_route) {
        json_t *ids = json_array();
        for (size_t i = 0; i < m->route_count; i++) {
            json_array_append_new(ids, json_integer(m->route_id[i]));
        }
        json_array_append_new(list, ids);
    }
    char *text = json_dumps(list, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(list);
    assert(text != NULL);
    return text;
}

static bool parse_routes(struct moment *m, const json_t *ids)
{
    size_t i;
    json_t *id;
    m->by_route = true;
    json_array_foreach(ids, i, id)
    {
        json_int_t number = json_integer_value(id);
        if (number <= 0 || number > UINT32_MAX) {
            return false;
        }
        add_route(m, (uint32_t)number);
    }
    if (m->route_count > 0) {
        qsort(m->route_id, m->route_count, sizeof *m->route_id, by_number);
    }
    return true;
}

bool moment_parse(const char *text, struct moment *m, struct select *select)
{
    char error[SELECT_ERROR_SIZE];
    json_t *terms = json_loads(text, 0, NULL);
    size_t count = json_array_size(terms);
    const json_t *last = count == 0 ? NULL : json_array_get(terms, count - 1);
    bool good = json_is_array(terms);
    if (good && json_is_array(last)) {
        good = parse_routes(m, last) && json_array_remove(terms, count - 1) == 0;
    }
    good = good && select_parse(terms, select, error);
    json_decref(terms);
    if (!good) {
        moment_fini(m);
    }
    return good;
}
