/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/admin.h: one operator's request, between the files that answer it. */
#ifndef HOLDFAST_CONTROL_ADMIN_ADMIN_H
#define HOLDFAST_CONTROL_ADMIN_ADMIN_H

#include "control/core/index.h"
#include "control/core/rules.h"
#include "control/shell/store.h"

#include "common/utf8.h"

enum {
    ADMIN_EXIT_FAILED = 1,
    ADMIN_EXIT_CRITICAL = 2,
    ADMIN_EXIT_USAGE = 64,
    ADMIN_LIST_DEFAULT = 100,
};

struct admin_request {
    const json_t *json;
    const char *cmd;
    char who[RULES_AUTHOR_SIZE];
    char reason[RULES_REASON_SIZE];
    struct select select;
    bool dry_run;
    char *select_text; /* as it came, for rule and audit */
};

typedef json_t *(*admin_fn)(struct control *c, struct admin_request *request);

/* A new answer {"v":1,"ok":false,...}. */
__attribute__((format(printf, 2, 3))) json_t *admin_error(int exit_code, const char *format, ...);
/* A new answer {"v":1,"ok":true}. */
json_t *admin_ok(void);
void admin_set_number(json_t *object, const char *key, uint64_t value);
/* Cleans: what peers said becomes printable ASCII. */
void admin_set_text(json_t *object, const char *key, struct bytes text);
/* What people said: UTF-8, without what would fool a terminal. */
void admin_set_words(json_t *object, const char *key, const char *text);
void admin_set_id(json_t *object, const char *key, uint64_t id);

json_t *admin_status(struct control *c, struct admin_request *request);
json_t *admin_list(struct control *c, struct admin_request *request);
json_t *admin_count(struct control *c, struct admin_request *request);
json_t *admin_show(struct control *c, struct admin_request *request);
json_t *admin_hold(struct control *c, struct admin_request *request);
json_t *admin_release(struct control *c, struct admin_request *request);
json_t *admin_retry(struct control *c, struct admin_request *request);
json_t *admin_rules(struct control *c, struct admin_request *request);
json_t *admin_audit(struct control *c, struct admin_request *request);

/* A delivery as `list` shows it. */
json_t *admin_delivery(struct control *c, const struct delivery *d);

#endif
