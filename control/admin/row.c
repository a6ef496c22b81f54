/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/row.c: see row.h. */
#include "control/admin/row.h"

#include "control/core/mem.h"
#include "control/shell/look.h"

#include "common/id.h"
#include "common/limits/address.h"
#include "common/limits/reply.h"

/* Adds every rule in force that matches the delivery, not only the one that counts it. */
static void add_rules(struct row *row, const struct control *c, const struct delivery *d)
{
    const struct rules *rules = &c->core.rules;
    size_t capacity = 0;
    if (d->state == DELIVERY_WAITING || rules->count == 0) {
        return;
    }
    struct life_view view;
    life_view_init(&view, &c->core, d);
    uint32_t slot = index_slot(&c->core.index, d);
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = rules->rule[i];
        if (rule->in_force && rules_match(rule, d, slot, &view.facts)) {
            row->rule = mem_grow(row->rule, &capacity, row->rule_count + 1, sizeof *row->rule);
            row->rule[row->rule_count++] = rule->id;
        }
    }
}

void row_init(struct row *row, const struct control *c, const struct delivery *d)
{
    unsigned rcpt;
    const struct core *core = &c->core;
    const struct route *route = routes_at(&core->routes, d->route);
    const struct hop *hop = routes_hop_at(&core->routes, d->hop);
    if (hop == NULL && route->hop_count > 0) {
        hop = route->hop[0];
    }
    *row = (struct row){
        .id = d->id,
        .first_pos = d->first_pos,
        .commit_pos = delivery_commit_pos(d),
        .received_ms = d->received_ms,
        .age_ms = core->now.wall_ms > d->received_ms ? core->now.wall_ms - d->received_ms : 0,
        .rcpt_count = delivery_rcpt_count(d),
        .pending_rcpts = delivery_waiting_count(d) + delivery_frozen_count(d),
        .size = d->body_bytes,
        .attempts = (uint32_t)d->attempts,
        .state = (enum delivery_state)d->state,
        .class = delivery_class(d, &rcpt),
    };
    struct rcpt shown = delivery_rcpt(d, rcpt);
    row->code = shown.code;
    row->state_pos = shown.state_pos;
    (void)bytes_copy_str(bytes_str(route->name), row->route, sizeof row->route);
    (void)bytes_copy_str(bytes_str(hop == NULL ? "" : hop->name), row->hop, sizeof row->hop);
    if (d->state == DELIVERY_WAITING) {
        uint64_t due_ns = schedule_live(&core->schedule, d)->due_ns;
        row->next_ms = due_ns > core->now.now_ns ? (due_ns - core->now.now_ns) / 1000000 : 0;
    }
    add_rules(row, c, d);
}

void row_fini(struct row *row)
{
    mem_free(row->rule);
}

static void add_envelope(const struct row *row, struct work_tools *tools, json_t *o)
{
    struct envelope e;
    struct bytes encoded;
    json_t *rcpts = json_array();
    if (look_envelope(tools, row->id, row->first_pos, &encoded) == 0 &&
        envelope_decode(encoded, &e)) {
        char clean[LIMIT_ADDRESS_BYTES + 1];
        admin_set_text(o, "sender", e.sender);
        for (unsigned i = 0; i < e.rcpt_count; i++) {
            if (e.rcpt[i].route_index == id_index(row->id)) {
                bytes_copy_clean(e.rcpt[i].address, clean, sizeof clean);
                json_array_append_new(rcpts, json_string(clean));
            }
        }
    } else {
        json_object_set_new(o, "sender", json_null());
    }
    json_object_set_new(o, "rcpts", rcpts);
}

json_t *row_json(const struct row *row, struct work_tools *tools)
{
    char reply[LIMIT_REPLY_TEXT_BYTES + 1];
    json_t *o = json_object();
    admin_set_id(o, "id", row->id);
    admin_set_text(o, "route", bytes_str(row->route));
    admin_set_text(o, "state", bytes_str(delivery_state_text(row->state)));
    add_envelope(row, tools, o);
    admin_set_number(o, "rcpt_count", row->rcpt_count);
    admin_set_number(o, "pending_rcpts", row->pending_rcpts);
    admin_set_number(o, "size", row->size);
    admin_set_number(o, "age_ms", row->age_ms);
    admin_set_number(o, "attempts", row->attempts);
    admin_set_number(o, "next_ms", row->next_ms);
    admin_set_text(o, "class", bytes_str(outcome_text(row->class)));
    admin_set_number(o, "code", row->code);
    (void)look_reply(tools, row->state_pos, reply, sizeof reply);
    admin_set_text(o, "reply", bytes_str(reply));
    admin_set_text(o, "hop", bytes_str(row->hop));
    json_t *rules = json_array();
    for (size_t i = 0; i < row->rule_count; i++) {
        json_array_append_new(rules, json_integer(row->rule[i]));
    }
    json_object_set_new(o, "rules", rules);
    return o;
}
