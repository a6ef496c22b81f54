/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/admin.c: one operator's request: taken apart, given to who answers it.
 * docs/ADMIN.md.
 *
 * Promise: an acting command without a selection, without a reason, or with a count that is no
 *          longer true, changes nothing.
 */
#include "control/admin/admin.h"

#include "control/admin/select_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    admin_fn fn;
    bool acts; /* needs a selection and a reason */
} commands[] = {
    {"status", admin_status, false}, {"list", admin_list, false},
    {"count", admin_count, false},   {"show", admin_show, false},
    {"hold", admin_hold, true},      {"release", admin_release, true},
    {"retry", admin_retry, true},    {"rules", admin_rules, false},
    {"audit", admin_audit, false},
};

json_t *admin_ok(void)
{
    return json_pack("{sisb}", "v", 1, "ok", 1);
}

json_t *admin_error(int exit_code, const char *format, ...)
{
    char raw[512];
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    bytes_copy_clean(bytes_str(raw), line, sizeof line);
    return json_pack("{sisbsssi}", "v", 1, "ok", 0, "error", line, "exit", exit_code);
}

void admin_set_number(json_t *object, const char *key, uint64_t value)
{
    int r = json_object_set_new(object, key, json_integer((json_int_t)value));
    assert(r == 0);
}

void admin_set_text(json_t *object, const char *key, struct bytes text)
{
    char clean[512];
    bytes_copy_clean(text, clean, sizeof clean);
    int r = json_object_set_new(object, key, json_string(clean));
    assert(r == 0);
}

void admin_set_id(json_t *object, const char *key, uint64_t id)
{
    char text[ID_TEXT_SIZE];
    int r = json_object_set_new(object, key, json_string(id_format(id, text)));
    assert(r == 0);
}

void admin_set_words(json_t *object, const char *key, const char *text)
{
    char clean[RULES_REASON_SIZE];
    int r = json_object_set_new(object, key, json_string(utf8_clean(text, clean, sizeof clean)));
    assert(r == 0);
}

/* Appends a name to the list of names that an error tells; what has no room is left out. */
static void add_name(char *list, size_t size, const char *name)
{
    size_t len = strlen(list);
    assert(len < size);
    if (len + strlen(name) + sizeof ", " <= size) {
        snprintf(list + len, size - len, "%s%s", len == 0 ? "" : ", ", name);
    }
}

static json_t *no_such_name(const struct control *c, const struct select_term *term)
{
    char names[320] = "";
    size_t at = 0;
    if (term->key == SELECT_ROUTE) {
        for (const struct route *r = map_next(&c->routes, &at); r != NULL;
             r = map_next(&c->routes, &at)) {
            if (r->known) {
                add_name(names, sizeof names, r->name);
            }
        }
    } else {
        for (const struct hop *h = map_next(&c->hops, &at); h != NULL;
             h = map_next(&c->hops, &at)) {
            if (h->known) {
                add_name(names, sizeof names, h->name);
            }
        }
    }
    return admin_error(ADMIN_EXIT_USAGE, "no %s is called %.64s (there are: %s)",
                       term->key == SELECT_ROUTE ? "route" : "hop", term->text,
                       names[0] == '\0' ? "none" : names);
}

/* A name that never was anybody's is a slip of the finger: it would look like a queue that is
 * empty. One that left the configuration may come back. */
static json_t *check_names(const struct control *c, const struct select *select)
{
    for (uint32_t i = 0; i < select->count; i++) {
        const struct select_term *term = &select->term[i];
        bool is_name = term->key == SELECT_ROUTE || term->key == SELECT_HOP;
        enum store_names which = term->key == SELECT_ROUTE ? STORE_ROUTES : STORE_HOPS;
        if (is_name && !store_name_is_known(c->store, which, term->text)) {
            return no_such_name(c, term);
        }
    }
    return NULL;
}

static json_t *take_reason(const json_t *json, struct admin_request *request)
{
    const json_t *reason = json_object_get(json, "reason");
    const char *text = json_string_value(reason);
    if (reason != NULL && (text == NULL || strlen(text) >= sizeof request->reason)) {
        return admin_error(ADMIN_EXIT_USAGE, "reason: a text of at most %zu bytes",
                           sizeof request->reason - 1);
    }
    (void)utf8_clean(text == NULL ? "" : text, request->reason, sizeof request->reason);
    return NULL;
}

static json_t *parse(const struct control *c, const char *who, bool acts,
                     struct admin_request *request)
{
    const json_t *json = request->json;
    char error[SELECT_ERROR_SIZE];
    bytes_copy_clean(bytes_str(who), request->who, sizeof request->who);
    json_t *refused = take_reason(json, request);
    if (refused != NULL) {
        return refused;
    }
    const json_t *dry_run = json_object_get(json, "dry_run");
    if (dry_run != NULL && !json_is_boolean(dry_run)) {
        return admin_error(ADMIN_EXIT_USAGE, "dry_run is true or false");
    }
    request->dry_run = json_is_true(dry_run);
    const json_t *select = json_object_get(json, "select");
    if (!select_parse(select, &request->select, error)) {
        return admin_error(ADMIN_EXIT_USAGE, "%s", error);
    }
    refused = check_names(c, &request->select);
    if (refused != NULL) {
        return refused;
    }
    if (acts && request->select.count == 0) {
        return admin_error(ADMIN_EXIT_USAGE, "which mail? give a selection, or `all`");
    }
    if (acts && !request->dry_run && request->reason[0] == '\0') {
        return admin_error(ADMIN_EXIT_USAGE, "say why: a reason is required");
    }
    request->select_text = json_dumps(select, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    return NULL;
}

json_t *control_admin(struct control *c, const json_t *json, const char *who,
                      struct control_time time)
{
    c->now = time;
    const char *cmd = json_string_value(json_object_get(json, "cmd"));
    if (!json_is_object(json) || cmd == NULL) {
        return admin_error(ADMIN_EXIT_USAGE, "not a request");
    }
    const json_t *version = json_object_get(json, "v");
    if (!json_is_integer(version) || json_integer_value(version) != 1) {
        return admin_error(ADMIN_EXIT_USAGE, "this server speaks version 1");
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, cmd) != 0) {
            continue;
        }
        struct admin_request request = {.json = json, .cmd = commands[i].name};
        json_t *answer = parse(c, who, commands[i].acts, &request);
        if (answer == NULL) {
            answer = commands[i].fn(c, &request);
        }
        free(request.select_text);
        return answer;
    }
    return admin_error(ADMIN_EXIT_USAGE, "unknown command: %.40s", cmd);
}

/* Those the hold found under way and that still are: past recall, reported. */
static uint64_t under_way(const struct control *c, uint32_t rule)
{
    uint64_t count = 0;
    size_t at = 0;
    for (const struct flight *f = map_next(&c->flights, &at); f != NULL;
         f = map_next(&c->flights, &at)) {
        count += f->delivery != NULL && f->delivery->held_rule == rule;
    }
    return count;
}

json_t *control_admin_ready(struct control *c, uint64_t token, struct control_time time)
{
    c->now = time;
    for (struct list *l = c->fences.next; l != &c->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        if (fence->token != token) {
            continue;
        }
        if (fence->waiting != 0 && c->attach.phase != ATTACH_NONE) {
            return NULL;
        }
        json_t *answer = fence->answer;
        admin_set_number(answer, "in_flight", under_way(c, fence->rule));
        list_remove(&fence->node);
        free(fence);
        return answer;
    }
    return admin_error(ADMIN_EXIT_FAILED, "no such request is pending");
}
