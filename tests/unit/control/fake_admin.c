/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/fake_admin.c: what an operator asks of a fake, and what is answered. See
 * fake.h. */
#include "tests/unit/control/fake.h"

#include "common/config.h"
#include "control/shell/parts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns the answer, or what is still pending when control waits for the dataplane. */
static json_t *await(struct fake *f, json_t *answer)
{
    const json_t *pending = json_object_get(answer, "pending");
    bool worked = pending != NULL;
    while (worked) {
        worked = control_turn(f->control, f->time);
        worked = control_work(f->control) || worked || works_busy(control_works(f->control));
        json_t *ready =
            control_admin_ready(f->control, (uint64_t)json_integer_value(pending), f->time);
        if (ready != NULL) {
            json_decref(answer);
            return ready;
        }
    }
    return answer;
}

json_t *fake_admin(struct fake *f, const char *request)
{
    char *text = strdup(request);
    for (char *p = text; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json_t *json = json_loads(text, 0, NULL);
    cr_assert_not_null(json, "%s", text);
    json_object_set_new(json, "v", json_integer(1));
    static const struct control_peer peer = {.who = "tester", .may_act = true};
    json_t *answer = control_admin(f->control, json, &peer, f->time);
    json_decref(json);
    free(text);
    return await(f, answer);
}

json_int_t fake_total(struct fake *f, const char *key)
{
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    json_int_t n = json_integer_value(json_object_get(json_object_get(answer, "totals"), key));
    json_decref(answer);
    return n;
}

json_int_t fake_number(const json_t *answer, const char *key)
{
    return json_integer_value(json_object_get(answer, key));
}

bool fake_ok(json_t *answer)
{
    bool ok = json_is_true(json_object_get(answer, "ok"));
    json_decref(answer);
    return ok;
}

const char *fake_state_of(struct fake *f, uint64_t id, char out[32])
{
    char request[128];
    char text[ID_TEXT_SIZE];
    snprintf(request, sizeof request, "{'cmd':'list','select':['id=%s']}", id_format(id, text));
    json_t *answer = fake_admin(f, request);
    const char *state = json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "deliveries"), 0), "state"));
    snprintf(out, 32, "%s", state == NULL ? "" : state);
    json_decref(answer);
    return out;
}

static int load_config(void *ctx, struct config **config_out, char error[CONFIG_ERROR_SIZE])
{
    const struct fake *f = ctx;
    (void)error;
    *config_out = f->next_config;
    return 0;
}

static void reloaded(void *ctx, struct config *config, const char *error)
{
    struct fake *f = ctx;
    (void)config;
    f->reload_over = true;
    f->reload_error = error == NULL ? 0 : -1;
}

int fake_reload(struct fake *f, struct config *config)
{
    const struct control_reload request = {.load = load_config, .done = reloaded, .ctx = f};
    f->next_config = config;
    f->reload_over = false;
    control_reload(f->control, &request, f->time);
    while (!f->reload_over) {
        bool worked = control_turn(f->control, f->time);
        (void)(control_work(f->control) || worked);
    }
    return f->reload_error;
}
