/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/admin.h: one operator's request, as the files that answer it share it. */
#ifndef HOLDFAST_CONTROL_ADMIN_ADMIN_H
#define HOLDFAST_CONTROL_ADMIN_ADMIN_H

#include "control/admin/job.h"

#include "common/utf8.h"

enum {
    ADMIN_EXIT_FAILED = 1,
    ADMIN_EXIT_CRITICAL = 2,
    ADMIN_EXIT_USAGE = 64,
    ADMIN_LIST_DEFAULT = 100,
};

/* Answers, or makes a job and returns NULL. */
typedef json_t *(*admin_fn)(struct control *control, struct admin_request *request);

/* A new answer {"v":1,"ok":false,...}. */
__attribute__((format(printf, 2, 3))) json_t *admin_error(int exit_code, const char *format, ...);
/* A new answer {"v":1,"ok":true}. */
json_t *admin_ok(void);
void admin_set_number(json_t *object, const char *key, uint64_t value);
/* Sets a text that a peer chose: it is cleaned to printable ASCII. */
void admin_set_text(json_t *object, const char *key, struct bytes text);
/* Sets a text that a person wrote: UTF-8, without what would mislead at a terminal. */
void admin_set_words(json_t *object, const char *key, const char *text);
void admin_set_id(json_t *object, const char *key, uint64_t id);
/* The operator agreed to a number of deliveries. Returns an error if the number is another one now,
 * else NULL. */
json_t *admin_check_count(const struct admin_request *request, uint64_t count);

json_t *admin_status(struct control *control, struct admin_request *request);
json_t *admin_list(struct control *control, struct admin_request *request);
json_t *admin_count(struct control *control, struct admin_request *request);
json_t *admin_show(struct control *control, struct admin_request *request);
json_t *admin_hold(struct control *control, struct admin_request *request);
json_t *admin_release(struct control *control, struct admin_request *request);
json_t *admin_retry(struct control *control, struct admin_request *request);
json_t *admin_rules(struct control *control, struct admin_request *request);
json_t *admin_audit(struct control *control, struct admin_request *request);
json_t *admin_jobs(struct control *control, struct admin_request *request);
/* Ends that rule. */
json_t *admin_end_rule(struct control *control, struct admin_request *request, uint32_t id);

#endif
