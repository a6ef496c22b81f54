/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/store.h: the policy database: rules, releases under way, audit, names and their
 * ids.
 *
 * SQLite with WAL and synchronous=FULL. This file and store*.c are the only ones that speak SQL.
 *
 * Promise: what a function here reported done is durable. A database that fails its check, or is
 *          of a later version, is refused: starting empty would release every hold.
 * Trap:    ids of routes, hops and rules are never reused (AUTOINCREMENT): old mail carries them.
 */
#ifndef HOLDFAST_CONTROL_SHELL_STORE_H
#define HOLDFAST_CONTROL_SHELL_STORE_H

#include "common/config_fwd.h"
#include "common/limits/names.h"
#include "common/rcptset.h"
#include "control/core/rules.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdint.h>

struct store;

/* Checks (quick_check), makes or migrates the schema. 0 or -errno and a line. */
must_check int store_open(sqlite3 *db, struct store **store_out, char error_out[CONFIG_ERROR_SIZE]);
void store_close(struct store *store);
const char *store_error(const struct store *store);

must_check int store_begin(struct store *store);
must_check int store_commit(struct store *store);
void store_rollback(struct store *store);

enum store_names {
    STORE_ROUTES,
    STORE_HOPS,
};
/* The id of a name, given now if it has none yet. */
must_check int store_name_id(struct store *store, enum store_names which, const char *name,
                             uint32_t *id_out);
/* Whether a configuration ever had it. */
bool store_name_is_known(struct store *store, enum store_names which, const char *name);
/* The name that once had the id; false: never given. */
must_check bool store_id_name(struct store *store, enum store_names which, uint32_t id,
                              char name_out[LIMIT_NAME_BYTES + 1]);

must_check int store_meta_set(struct store *store, const char *key, uint64_t value);
/* 0 when it was never set. */
must_check int store_meta_get(struct store *store, const char *key, uint64_t *value_out);

/* The domain is in the configuration at that time. */
must_check int store_domain_present(struct store *store, const char *domain, uint64_t wall_ms);
/* Domains last present at that time or later, those of now included. */
must_check int store_domains_since(struct store *store, uint64_t since_ms,
                                   int (*fn)(void *ctx, const char *domain), void *ctx);

/* `select` as its JSON text. Gives the rule its id. */
must_check int store_rule_add(struct store *store, struct rule *rule, const char *select);
must_check int store_rule_end(struct store *store, uint32_t id, uint64_t wall_ms, const char *who);
must_check int store_rules_load(struct store *store,
                                int (*fn)(void *ctx, const struct rule *rule, const char *select),
                                void *ctx);
/* A new reference to its select; NULL when there is no such rule. */
json_t *store_rule_select(struct store *store, uint32_t id);

struct store_audit {
    uint64_t time_ms;
    const char *who;
    const char *cmd;
    const char *select; /* JSON text */
    const char *reason;
    uint64_t count;
    const char *result;
};
must_check int store_audit_add(struct store *store, const struct store_audit *audit);
/* The newest `limit`, newest first. */
must_check int store_audit_list(struct store *store, uint32_t limit, json_t *entries);

/* A release under way: of recipients frozen by state records below `before_pos`. */
must_check int store_release_add(struct store *store, uint64_t id, const struct rcptset *rcpts,
                                 uint64_t before_pos);
must_check int store_release_load(struct store *store,
                                  int (*fn)(void *ctx, uint64_t id, const struct rcptset *rcpts,
                                            uint64_t before_pos),
                                  void *ctx);
/* Forgets one: gathered, made durable by store_flush; a crash before only repeats it. */
void store_release_done(struct store *store, uint64_t id);
/* Replies that outlive their state segment. */
must_check int store_reply_add(struct store *store, uint64_t pos, const char *text);
must_check bool store_reply_find(struct store *store, uint64_t pos, char *out, size_t out_size);
void store_reply_done(struct store *store, uint64_t pos);
bool store_needs_flush(const struct store *store);
must_check int store_flush(struct store *store);

/* Between store.c and store_rules.c. */
sqlite3 *store_db(const struct store *store);
/* Prepares and binds by letters: i uint32, l uint64, s text. NULL: failed, see store_error. */
sqlite3_stmt *store_query(struct store *store, const char *sql, const char *types, ...);
/* Steps a statement that yields nothing, finalizes it. */
must_check int store_run(sqlite3_stmt *statement);

#endif
