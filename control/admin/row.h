/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/row.h: a delivery as `list` and `show` print it. The loop copies it from the core.
 * A lane reads its envelope and replies, and makes JSON of it. */
#ifndef HOLDFAST_CONTROL_ADMIN_ROW_H
#define HOLDFAST_CONTROL_ADMIN_ROW_H

#include "control/admin/admin.h"
#include "common/limits/names.h"

struct row {
    uint64_t id;
    uint64_t first_pos;
    uint64_t commit_pos;
    uint64_t received_ms;
    uint64_t age_ms;
    uint64_t next_ms;
    uint64_t state_pos;
    uint32_t rcpt_count;
    uint32_t pending_rcpts;
    uint32_t size;
    uint32_t attempts;
    enum delivery_state state;
    enum outcome class;
    uint16_t code;
    char route[LIMIT_NAME_BYTES + 1];
    char hop[LIMIT_NAME_BYTES + 1];
    uint32_t *rule; /* an array of rule_count */
    size_t rule_count;
};

void row_init(struct row *row, const struct control *control, const struct delivery *d);
void row_fini(struct row *row);
/* Call it in a lane. */
json_t *row_json(const struct row *row, struct work_tools *tools);

#endif
