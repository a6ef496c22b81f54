/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/answer.c: the members of an answer. See admin.h. */
#include "control/admin/admin.h"

#include "common/id.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

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

json_t *admin_check_count(const struct admin_request *request, uint64_t count)
{
    const json_t *agreed = json_object_get(request->json, "yes_count");
    if (agreed == NULL || (json_is_integer(agreed) && json_integer_value(agreed) >= 0 &&
                           (uint64_t)json_integer_value(agreed) == count)) {
        return NULL;
    }
    return admin_error(ADMIN_EXIT_USAGE, "the selection has %" PRIu64 " deliveries now", count);
}
