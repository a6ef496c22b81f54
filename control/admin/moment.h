/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/moment.h: what a selection meant at one moment, for a job that outlives it.
 *
 *   age>, age<  ─▶ asked as of the moment's wall time, whenever they are asked
 *   hop=        ─▶ the routes that had that hop then, by id
 *
 * All other terms say the same of frozen mail at any time, and stay in the selection.
 *
 * Promise: while the mail is frozen, the same mail is meant after hours, a reload, or a restart.
 */
#ifndef HOLDFAST_CONTROL_ADMIN_MOMENT_H
#define HOLDFAST_CONTROL_ADMIN_MOMENT_H

#include "control/core/core.h"

#include <jansson.h>

struct moment {
    uint64_t wall_ms;   /* since 1970 */
    bool by_route;      /* only mail of these routes */
    uint32_t *route_id; /* ascending */
    size_t route_count;
    size_t route_capacity;
};

/* Takes hop= out of the selection, and keeps the routes that it means now. Without hop= the moment
 * stays as it is. */
void moment_take_hops(struct moment *moment, struct select *select, const struct routes *routes);
/* Another moment with the same content, which is empty itself from now on. */
struct moment moment_move(struct moment *moment);
void moment_fini(struct moment *moment);
/* What control knows of a delivery, as it was at the moment. false: it is not of those routes. */
must_check bool moment_facts(const struct moment *moment, const struct core *core,
                             const struct delivery *d, struct select_facts *facts);

/* A new text for the database: the terms, and behind them a list of route ids, if there is one. The
 * wall time is not in it. */
must_check char *moment_text(const struct moment *moment, const struct select *select);
/* Reads such a text. true: *select_out and the routes are set; else nothing is to be freed. */
must_check bool moment_parse(const char *text, struct moment *moment, struct select *select_out);

#endif
