/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/select_json.c: see select_json.h. */
#include "control/admin/select_json.h"
#include "common/limits/rules.h"

#include <stdio.h>

bool select_parse(const json_t *terms, struct select *select, char error[SELECT_ERROR_SIZE])
{
    const char *text[LIMIT_SELECT_TERMS];
    size_t count = json_array_size(terms); /* 0 when it is no array */
    *select = (struct select){0};
    if (terms != NULL && (!json_is_array(terms) || count > LIMIT_SELECT_TERMS)) {
        snprintf(error, SELECT_ERROR_SIZE, "select: an array of at most %d terms",
                 LIMIT_SELECT_TERMS);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        text[i] = json_string_value(json_array_get(terms, i));
        if (text[i] == NULL) {
            snprintf(error, SELECT_ERROR_SIZE, "not a selection: (no text)");
            return false;
        }
    }
    return select_parse_terms(text, count, select, error);
}

json_t *select_json(const struct select *select)
{
    json_t *list = json_array();
    char text[SELECT_TEXT_SIZE + 16];
    for (uint32_t i = 0; i < select->count; i++) {
        snprintf(text, sizeof text, "%s%s", select_key_prefix(select->term[i].key),
                 select->term[i].text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}
