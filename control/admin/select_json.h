/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/select_json.h: a selection as it stands in requests and in the database: an array
 * of strings. */
#ifndef HOLDFAST_CONTROL_ADMIN_SELECT_JSON_H
#define HOLDFAST_CONTROL_ADMIN_SELECT_JSON_H

#include "control/core/select.h"

#include <jansson.h>

/* As select_parse_terms; NULL is an empty selection. */
must_check bool select_parse(const json_t *terms, struct select *select_out,
                             char error_out[SELECT_ERROR_SIZE]);

/* A new array with the terms as they were given. */
json_t *select_json(const struct select *select);

#endif
