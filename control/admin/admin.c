/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/admin.c: takes one operator's request apart, and gives it to the function that
 * answers it. docs/ADMIN.md.
 *
 * Promise: an acting command changes nothing when it has no selection or no reason, when its count
 *          is not the count of now, or when the policy database is lost.
 */
#include "control/admin/admin.h"
#include "control/admin/select_json.h"

#include "common/limits/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command {
    const char *name;
    admin_fn fn;
    bool acts;           /* needs a selection and a reason, and one who may act */
    const char *members; /* besides v, cmd and those of every command; space-separated */
} commands[] = {
    {"status", admin_status, false, ""},     {"list", admin_list, false, "limit after"},
    {"count", admin_count, false, "by"},     {"show", admin_show, false, "id body"},
    {"hold", admin_hold, true, "review_ms"}, {"release", admin_release, true, ""},
    {"retry", admin_retry, true, ""},        {"rules", admin_rules, false, "remove"},
    {"audit", admin_audit, false, "limit"},  {"jobs", admin_jobs, false, ""},
};

/* Appends a name to the list of names in an error. A name for which there is no room is left
 * out. */
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
    const struct routes *routes = &c->core.routes;
    bool route = term->key == SELECT_ROUTE;
    size_t count = route ? routes->route_count : routes->hop_count;
    for (size_t i = 1; i <= count; i++) {
        if (route ? routes->route[i]->known : routes->hop[i]->known) {
            add_name(names, sizeof names, route ? routes->route[i]->name : routes->hop[i]->name);
        }
    }
    return admin_error(ADMIN_EXIT_USAGE, "no %s is called %.64s (there are: %s)",
                       route ? "route" : "hop", term->text, names[0] == '\0' ? "none" : names);
}

/* Refuses a name that never existed: it is a typing error, and would look like an empty queue. A
 * name that left the configuration is accepted, since it may come back. */
static json_t *check_names(const struct control *c, const struct select *select)
{
    for (uint32_t i = 0; i < select->count; i++) {
        const struct select_term *term = &select->term[i];
        bool unknown =
            (term->key == SELECT_ROUTE && routes_find_name(&c->core.routes, term->text) == NULL) ||
            (term->key == SELECT_HOP && routes_find_hop_name(&c->core.routes, term->text) == NULL);
        if (unknown) {
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
    bool says_nothing = text == NULL || text[strspn(text, " \t\r\n")] == '\0';
    (void)utf8_clean(says_nothing ? "" : text, request->reason, sizeof request->reason);
    return NULL;
}

static bool is_word_of(const char *word, const char *words)
{
    size_t len = strlen(word);
    for (const char *p = words; *p != '\0'; p += strspn(p, " ")) {
        size_t word_len = strcspn(p, " ");
        if (word_len == len && strncmp(p, word, len) == 0) {
            return true;
        }
        p += word_len;
    }
    return false;
}

/* Refuses members that an acting command does not know: without what they ask for, the command
 * might do something wrong. */
static json_t *check_members(const json_t *json, const struct command *command)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        if (!is_word_of(key, "v cmd select reason dry_run yes_count") &&
            !is_word_of(key, command->members)) {
            return admin_error(ADMIN_EXIT_USAGE, "%s: no such member: %.60s", command->name, key);
        }
    }
    return NULL;
}

static bool does_act(const struct command *command, const json_t *json)
{
    return command->acts ||
           (is_word_of("remove", command->members) && json_object_get(json, "remove") != NULL);
}

static json_t *parse_select(const struct control *c, struct admin_request *request)
{
    char error[SELECT_ERROR_SIZE];
    const json_t *select = json_object_get(request->json, "select");
    if (!select_parse(select, &request->select, error)) {
        return admin_error(ADMIN_EXIT_USAGE, "%s", error);
    }
    request->select_text = json_dumps(select, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    return check_names(c, &request->select);
}

static json_t *parse(const struct control *c, const struct control_peer *peer,
                     const struct command *command, struct admin_request *request)
{
    const json_t *json = request->json;
    bool acts = does_act(command, json);
    bytes_copy_clean(bytes_str(peer->who), request->who, sizeof request->who);
    json_t *refused = acts ? check_members(json, command) : NULL;
    if (refused != NULL) {
        return refused;
    }
    if (acts && !peer->may_act) {
        return admin_error(ADMIN_EXIT_FAILED, "%s: you may look, not act (control.admin_group)",
                           command->name);
    }
    refused = take_reason(json, request);
    if (refused != NULL) {
        return refused;
    }
    const json_t *dry_run = json_object_get(json, "dry_run");
    if (dry_run != NULL && !json_is_boolean(dry_run)) {
        return admin_error(ADMIN_EXIT_USAGE, "dry_run is true or false");
    }
    request->dry_run = json_is_true(dry_run);
    refused = parse_select(c, request);
    if (refused != NULL) {
        return refused;
    }
    if (command->acts && request->select.count == 0) {
        return admin_error(ADMIN_EXIT_USAGE, "which mail? give a selection, or `all`");
    }
    if (command->acts && !request->dry_run && request->reason[0] == '\0') {
        return admin_error(ADMIN_EXIT_USAGE, "say why: a reason is required");
    }
    return NULL;
}

/* Starts the request. If it becomes a job, the job takes over the request's references. */
static json_t *start(struct control *c, const struct command *command,
                     const struct control_peer *peer, const json_t *json)
{
    struct admin_request request = {.json = json_incref((json_t *)json), .cmd = command->name};
    uint64_t before = c->job_token;
    json_t *answer = NULL;
    if (c->catchup.recovered != 1 && command->fn != admin_status) {
        char progress[PROGRESS_TEXT_SIZE];
        answer = admin_error(ADMIN_EXIT_FAILED,
                             "not now, nothing was done: control is still %s; ask again when "
                             "holdfast status says that it is done",
                             progress_text(c, progress));
    }
    answer = answer == NULL ? parse(c, peer, command, &request) : answer;
    if (answer == NULL && c->core.rules_lost && does_act(command, json) && !request.dry_run) {
        answer = admin_error(ADMIN_EXIT_CRITICAL, "%s; nothing was changed", c->verifier.why);
    }
    if (answer == NULL) {
        answer = command->fn(c, &request);
    }
    json_decref(request.json);
    free(request.select_text);
    if (answer != NULL) {
        return answer;
    }
    assert(c->job_token == before + 1);
    return json_pack("{sI}", "pending", (json_int_t)c->job_token);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

bool control_admin_needs_name(const json_t *json, bool may_act)
{
    const struct command *command = find_command(json_string_value(json_object_get(json, "cmd")));
    return command != NULL &&
           ((may_act && does_act(command, json)) || json_is_true(json_object_get(json, "body")));
}

json_t *control_admin(struct control *c, const json_t *json, const struct control_peer *peer,
                      struct control_time time)
{
    c->core.now = time;
    const char *cmd = json_string_value(json_object_get(json, "cmd"));
    if (!json_is_object(json) || cmd == NULL) {
        return admin_error(ADMIN_EXIT_USAGE, "not a request");
    }
    const json_t *version = json_object_get(json, "v");
    if (!json_is_integer(version) || json_integer_value(version) != 1) {
        return admin_error(ADMIN_EXIT_USAGE, "this server speaks version 1");
    }
    if (jobs_count(c, false) >= LIMIT_ADMIN_CONNS * 2) {
        return admin_error(ADMIN_EXIT_FAILED, "too many requests are under way");
    }
    const struct command *command = find_command(cmd);
    return command != NULL ? start(c, command, peer, json)
                           : admin_error(ADMIN_EXIT_USAGE, "unknown command: %.40s", cmd);
}
