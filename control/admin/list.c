/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/list.c: list and count: deliveries by selection.
 *
 * Trap: a selection by sender, recipient or domain reads each envelope from the spool. Narrow it
 *       with route= where there is much mail.
 */
#include "control/admin/admin.h"

#include "common/limits/address.h"
#include "common/limits/admin.h"
#include "common/limits/message.h"
#include "control/core/mem.h"
#include "control/core/select_delivery.h"

#include <stdlib.h>

struct matches {
    const struct delivery **list;
    size_t count;
    size_t capacity;
};

/* An empty selection of a command that only looks means all. */
static bool is_match(struct control *c, const struct select *select, const struct delivery *d,
                     struct rcptset *mask_out)
{
    if (select->count == 0) {
        static const struct select all = {.count = 1, .term = {{.key = SELECT_ALL}}};
        select = &all;
    }
    return select_match(c, select, d, mask_out) == SELECT_YES;
}

typedef void (*match_fn)(void *ctx, const struct delivery *d, const struct rcptset *mask);

static void each_match(struct control *c, const struct select *select, match_fn fn, void *ctx)
{
    struct rcptset mask;
    if (select_has(select, SELECT_ID)) { /* at most a message's deliveries: no walk */
        uint64_t id = id_message(select_number(select, SELECT_ID));
        for (unsigned i = 0; i < LIMIT_ROUTES_PER_MESSAGE; i++) {
            const struct delivery *d = index_find(c, id | i);
            if (d != NULL && is_match(c, select, d, &mask)) {
                fn(ctx, d, &mask);
            }
        }
        return;
    }
    size_t at = 0;
    for (struct route *r = map_next(&c->routes, &at); r != NULL; r = map_next(&c->routes, &at)) {
        for (const struct list *l = r->all.next; l != &r->all; l = l->next) {
            const struct delivery *d = list_entry(l, struct delivery, route_node);
            if (is_match(c, select, d, &mask)) {
                fn(ctx, d, &mask);
            }
        }
    }
}

static void collect(void *ctx, const struct delivery *d, const struct rcptset *mask)
{
    struct matches *m = ctx;
    (void)mask;
    m->list = mem_grow(m->list, &m->capacity, m->count + 1, sizeof *m->list);
    m->list[m->count++] = d;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(const struct delivery *const *)a)->id;
    uint64_t y = (*(const struct delivery *const *)b)->id;
    return x < y ? -1 : x > y;
}

static json_t *rules_of(struct control *c, const struct delivery *d)
{
    json_t *ids = json_array();
    for (size_t i = 0; d->held_rule != 0 && rules_at(c, i) != NULL; i++) {
        uint32_t id = rules_at(c, i)->id;
        if (rules_holds_it(c, id, d)) {
            json_array_append_new(ids, json_integer(id));
        }
    }
    return ids;
}

static void add_envelope(struct control *c, const struct delivery *d, json_t *o)
{
    static struct envelope e; /* one thread; large for a stack */
    json_t *rcpts = json_array();
    if (catchup_envelope(c, d, &e)) {
        char clean[LIMIT_ADDRESS_BYTES + 1];
        admin_set_text(o, "sender", e.sender);
        for (unsigned i = 0; i < e.rcpt_count; i++) {
            if (e.rcpt[i].route_index == id_index(d->id)) {
                bytes_copy_clean(e.rcpt[i].address, clean, sizeof clean);
                json_array_append_new(rcpts, json_string(clean));
            }
        }
    } else {
        json_object_set_new(o, "sender", json_null());
    }
    json_object_set_new(o, "rcpts", rcpts);
}

json_t *admin_delivery(struct control *c, const struct delivery *d)
{
    unsigned rcpt;
    char reply[LIMIT_REPLY_TEXT_BYTES + 1];
    enum outcome class = delivery_class(d, &rcpt);
    (void)catchup_reply(c, d->rcpt[rcpt].state_pos, reply, sizeof reply);
    const struct hop *hop = routes_find_hop(c, d->last_hop_id);
    if (hop == NULL && d->route->hop_count > 0) {
        hop = d->route->hop[0];
    }
    json_t *o = json_object();
    admin_set_id(o, "id", d->id);
    admin_set_text(o, "route", bytes_str(d->route->name));
    admin_set_text(o, "state", bytes_str(delivery_state_text((enum delivery_state)d->state)));
    add_envelope(c, d, o);
    admin_set_number(o, "rcpt_count", d->rcpt_count);
    admin_set_number(o, "pending_rcpts", (uint64_t)d->waiting_count + d->frozen_count);
    admin_set_number(o, "size", d->body_bytes);
    admin_set_number(o, "age_ms",
                     c->now.wall_ms > d->received_ms ? c->now.wall_ms - d->received_ms : 0);
    admin_set_number(o, "attempts", d->attempts);
    admin_set_number(o, "next_ms",
                     d->state == DELIVERY_WAITING && d->due_ns > c->now.now_ns
                         ? (d->due_ns - c->now.now_ns) / 1000000
                         : 0);
    admin_set_text(o, "class", bytes_str(outcome_text(class)));
    admin_set_number(o, "code", d->rcpt[rcpt].code);
    admin_set_text(o, "reply", bytes_str(reply));
    admin_set_text(o, "hop", bytes_str(hop == NULL ? "" : hop->name));
    json_object_set_new(o, "rules", rules_of(c, d));
    return o;
}

/* About its bytes in an answer. */
static size_t weight(const json_t *delivery)
{
    enum { MEMBERS = 512 };
    size_t bytes = MEMBERS + json_string_length(json_object_get(delivery, "reply")) +
                   json_string_length(json_object_get(delivery, "sender"));
    size_t i;
    const json_t *rcpt;
    json_array_foreach(json_object_get(delivery, "rcpts"), i, rcpt)
    {
        bytes += json_string_length(rcpt) + 3;
    }
    return bytes;
}

json_t *admin_list(struct control *c, struct admin_request *request)
{
    const json_t *limit_value = json_object_get(request->json, "limit");
    json_int_t limit = limit_value == NULL ? ADMIN_LIST_DEFAULT : json_integer_value(limit_value);
    const char *after_text = json_string_value(json_object_get(request->json, "after"));
    uint64_t after = 0;
    if (limit < 1 || limit > LIMIT_ADMIN_LIST) {
        return admin_error(ADMIN_EXIT_USAGE, "limit: 1 to %d", LIMIT_ADMIN_LIST);
    }
    if (after_text != NULL && !id_parse(after_text, &after)) {
        return admin_error(ADMIN_EXIT_USAGE, "after: not an id");
    }
    struct matches m = {0};
    each_match(c, &request->select, collect, &m);
    if (m.count > 0) {
        qsort(m.list, m.count, sizeof *m.list, by_id);
    }
    size_t at = 0;
    while (after_text != NULL && at < m.count && m.list[at]->id <= after) {
        at++;
    }
    json_t *list = json_array();
    size_t bytes = 0;
    for (; at < m.count && limit > 0 && bytes < LIMIT_ADMIN_LIST_BYTES; at++, limit--) {
        json_t *o = admin_delivery(c, m.list[at]);
        bytes += weight(o);
        json_array_append_new(list, o);
    }
    json_t *o = admin_ok();
    json_object_set_new(o, "deliveries", list);
    admin_set_number(o, "total", m.count);
    json_object_set_new(o, "more", json_boolean(at < m.count));
    free(m.list);
    return o;
}

enum by {
    BY_NONE,
    BY_ROUTE,
    BY_STATE,
    BY_CLASS,
    BY_DOMAIN,
    BY_HOP,
};

struct counting {
    struct control *c;
    enum by by;
    uint64_t deliveries;
    uint64_t rcpts;
    json_t *sums; /* key: [deliveries, rcpts] */
};

static void count_key(struct counting *n, const char *key, uint64_t rcpts)
{
    json_t *sum = json_object_get(n->sums, key);
    if (sum == NULL) {
        sum = json_pack("[ii]", 0, 0);
        json_object_set_new(n->sums, key, sum);
    }
    json_t *deliveries = json_array_get(sum, 0);
    json_t *total = json_array_get(sum, 1);
    json_integer_set(deliveries, json_integer_value(deliveries) + 1);
    json_integer_set(total, json_integer_value(total) + (json_int_t)rcpts);
}

static void domain_key(const struct envelope *e, unsigned i, char out[LIMIT_ADDRESS_BYTES + 1])
{
    struct bytes address = e->rcpt[i].address;
    size_t at = address.len;
    while (at > 0 && address.data[at - 1] != '@') {
        at--;
    }
    bytes_copy_clean(bytes_from(address, at), out, LIMIT_ADDRESS_BYTES + 1);
    for (char *p = out; *p != '\0'; p++) {
        *p = (char)ascii_lower((uint8_t)*p);
    }
}

/* A delivery to several domains counts once under each. */
static void count_domains(struct counting *n, const struct delivery *d, const struct rcptset *mask)
{
    static struct envelope e;
    char key[LIMIT_ADDRESS_BYTES + 1];
    char other[LIMIT_ADDRESS_BYTES + 1];
    if (!catchup_envelope(n->c, d, &e)) {
        count_key(n, "(unreadable)", rcptset_count(mask));
        return;
    }
    unsigned index[LIMIT_RCPTS];
    unsigned count = 0;
    unsigned rcpt = 0;
    for (unsigned i = 0; i < e.rcpt_count && rcpt < d->rcpt_count; i++) {
        if (e.rcpt[i].route_index == id_index(d->id) && rcptset_has(mask, rcpt++)) {
            index[count++] = i;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t same = 0;
        bool first = true;
        domain_key(&e, index[i], key);
        for (unsigned k = 0; k < count; k++) {
            domain_key(&e, index[k], other);
            bool equal = strcmp(key, other) == 0;
            first = first && !(equal && k < i);
            same += equal;
        }
        if (first) {
            count_key(n, key, same);
        }
    }
}

static void count_one(void *ctx, const struct delivery *d, const struct rcptset *mask)
{
    struct counting *n = ctx;
    uint64_t rcpts = rcptset_count(mask);
    n->deliveries++;
    n->rcpts += rcpts;
    switch (n->by) {
    case BY_NONE:
        return;
    case BY_ROUTE:
        count_key(n, d->route->name, rcpts);
        return;
    case BY_STATE:
        count_key(n, delivery_state_text((enum delivery_state)d->state), rcpts);
        return;
    case BY_CLASS:
        count_key(n, outcome_text(delivery_class(d, NULL)), rcpts);
        return;
    case BY_DOMAIN:
        count_domains(n, d, mask);
        return;
    case BY_HOP:
        count_key(n, d->route->hop_count > 0 ? d->route->hop[0]->name : "(none)", rcpts);
        return;
    }
}

static bool parse_by(const char *text, enum by *by_out)
{
    static const char *const names[] = {[BY_ROUTE] = "route",
                                        [BY_STATE] = "state",
                                        [BY_CLASS] = "class",
                                        [BY_DOMAIN] = "domain",
                                        [BY_HOP] = "hop"};
    for (int i = BY_ROUTE; text != NULL && i <= BY_HOP; i++) {
        if (strcmp(names[i], text) == 0) {
            *by_out = (enum by)i;
            return true;
        }
    }
    return text == NULL;
}

json_t *admin_count(struct control *c, struct admin_request *request)
{
    struct counting n = {.c = c, .by = BY_NONE};
    const json_t *by = json_object_get(request->json, "by");
    if ((by != NULL && !json_is_string(by)) || !parse_by(json_string_value(by), &n.by)) {
        return admin_error(ADMIN_EXIT_USAGE, "by: route, state, class, domain or hop");
    }
    n.sums = json_object();
    each_match(c, &request->select, count_one, &n);
    json_t *o = admin_ok();
    admin_set_number(o, "deliveries", n.deliveries);
    admin_set_number(o, "rcpts", n.rcpts);
    json_t *list = json_array();
    const char *key;
    json_t *sum;
    json_object_foreach(n.sums, key, sum)
    {
        json_t *entry = json_object();
        admin_set_text(entry, "key", bytes_str(key));
        json_object_set(entry, "deliveries", json_array_get(sum, 0));
        json_object_set(entry, "rcpts", json_array_get(sum, 1));
        json_array_append_new(list, entry);
    }
    json_object_set_new(o, "by", list);
    json_decref(n.sums);
    return o;
}
