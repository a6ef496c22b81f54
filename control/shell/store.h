/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/store.h: the policy database: rules, jobs, audit, names and their ids.
 *
 * SQLite with WAL and synchronous=FULL. Only store*.c and setup.c, which opens the file, speak
 * SQL.
 *
 * Promise: what a function here reported as done is durable. A database that fails its check, or
 *          has another version, is refused: to start with an empty one would release every hold.
 * Trap:    ids of routes, hops and rules are never reused (AUTOINCREMENT): old mail carries them.
 */
#ifndef HOLDFAST_CONTROL_SHELL_STORE_H
#define HOLDFAST_CONTROL_SHELL_STORE_H

#include "common/config_fwd.h"
#include "common/rcptset.h"
#include "control/core/rules.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdint.h>

struct store;

/* Checks the database (quick_check), and makes the schema in a new one. 0 or -errno and a line. */
must_check int store_open(sqlite3 *db, struct store **store_out, char error_out[CONFIG_ERROR_SIZE]);
/* For reading, on an open handle of a database that store_open has checked. */
struct store *store_borrow(sqlite3 *db);
void store_close(struct store *store);
/* What the system said of the last failure, also behind a rollback. */
const char *store_error(const struct store *store);

/* The file that is open lies no longer at its path. */
must_check bool store_has_moved(struct store *store);
/* Reads all of it anew and checks it, sees that it has what was written last time, and writes to
 * it. *stamp is 0 the first time. 0, or -errno: see store_is_lost. store_error has the system's
 * words, *what_out says what was done. */
must_check int store_verify(struct store *store, uint64_t *stamp, const char **what_out);
/* After that error of store_verify nobody knows what the file says of the operators' rules. Else
 * they are in it, but it cannot be written to now. */
must_check bool store_is_lost(int error);

/* -ESTALE: see store_has_moved. */
must_check int store_begin(struct store *store);
must_check int store_commit(struct store *store);
void store_rollback(struct store *store);

enum store_names {
    STORE_ROUTES,
    STORE_HOPS,
};
/* The id of a name. A name without one is given one now. */
must_check int store_name_id(struct store *store, enum store_names which, const char *name,
                             uint32_t *id_out);
/* Every name that was ever given an id. */
must_check int store_names_load(struct store *store, enum store_names which,
                                int (*fn)(void *ctx, uint32_t id, const char *name), void *ctx);

must_check int store_meta_set(struct store *store, const char *key, uint64_t value);
/* 0 when it was never set. */
must_check int store_meta_get(struct store *store, const char *key, uint64_t *value_out);

/* Notes that the domain is in the configuration at that time. */
must_check int store_domain_present(struct store *store, const char *domain, uint64_t wall_ms);
/* Lists domains that were present at that time or later, and so those of now. */
must_check int store_domains_since(struct store *store, uint64_t since_ms,
                                   int (*fn)(void *ctx, const char *domain), void *ctx);

/* `select` is JSON text. Gives the rule its id. */
must_check int store_rule_add(struct store *store, struct rule *rule, const char *select);
must_check int store_rule_end(struct store *store, uint32_t id, uint64_t wall_ms, const char *who);
/* `select` is NULL where the row is of a kind that this version does not know, or has none. */
must_check int store_rules_load(struct store *store,
                                int (*fn)(void *ctx, const struct rule *rule, const char *select),
                                void *ctx);
/* A new reference to the rule's selection; NULL when there is no such rule. */
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

/* A job that goes on after a restart: it releases the mail that `select` (moment_text) meant at
 * `begun_ms` and that was frozen by state records below `before_pos`. */
struct store_job {
    uint32_t id;
    const char *select;
    const char *who;
    uint64_t begun_ms; /* the wall time as of which age> and age< are asked */
    uint64_t before_pos;
    uint64_t total; /* deliveries when it was planned */
};
/* Gives the job its id. */
must_check int store_job_add(struct store *store, struct store_job *job);
must_check int store_job_done(struct store *store, uint32_t id);
/* `select` is empty where the row is of a kind that this version does not know, or has none. */
must_check int store_jobs_load(struct store *store,
                               int (*fn)(void *ctx, const struct store_job *job), void *ctx);

/* Keeps a reply whose state segment will be recycled. */
must_check int store_reply_add(struct store *store, uint64_t pos, const char *text);
must_check bool store_reply_find(struct store *store, uint64_t pos, char *out, size_t out_size);
/* Removes replies that nobody needs any more. */
must_check int store_replies_done(struct store *store, const uint64_t *pos, size_t count);

/* Between store.c, store_rules.c and store_verify.c. */
sqlite3 *store_db(const struct store *store);
/* Prepares a statement and binds values by letters: i uint32, l uint64, s text. NULL: it failed,
 * see store_error. */
sqlite3_stmt *store_query(struct store *store, const char *sql, const char *types, ...);
/* Runs a statement that gives no rows, and finalizes it. */
must_check int store_run(sqlite3_stmt *statement);

#endif
