/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/store.c: the policy database: opening, names, domains, replies. See store.h. */
#include "control/shell/store.h"

#include "control/core/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_VERSION = 2 };

/* The error for a database that fails its own check. */
#define REFUSED "the policy database is damaged: restore it; starting empty would release holds"

struct store {
    sqlite3 *db;
    bool moved;    /* at the last look: the file that is open lies no longer at its path */
    char why[160]; /* what failed before the last rollback; empty: nothing since */
};

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
    "CREATE TABLE routes(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE hops(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE domains_seen(domain TEXT PRIMARY KEY, last_present_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE rules(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
    " selection TEXT NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL, review_ms INTEGER NOT NULL, ended_ms INTEGER, ended_by TEXT)"
    " STRICT;"
    "CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL,"
    " who TEXT NOT NULL, cmd TEXT NOT NULL, selection TEXT NOT NULL, reason TEXT NOT NULL,"
    " count INTEGER NOT NULL, result TEXT NOT NULL) STRICT;"
    "CREATE TABLE jobs(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
    " selection TEXT NOT NULL, who TEXT NOT NULL, begun_ms INTEGER NOT NULL,"
    " before_pos INTEGER NOT NULL, total INTEGER NOT NULL) STRICT;"
    "CREATE TABLE replies(pos INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"
    "PRAGMA user_version = 2;";

sqlite3 *store_db(const struct store *store)
{
    return store->db;
}

bool store_has_moved(struct store *store)
{
    int moved = 0; /* stays 0 for a database in memory */
    (void)sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    store->moved = moved != 0;
    return store->moved;
}

const char *store_error(const struct store *store)
{
    if (store->moved) {
        return "its file was removed or replaced while control ran";
    }
    return store->why[0] != '\0' ? store->why : sqlite3_errmsg(store->db);
}

static int errno_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return -EACCES;
    default:
        return -EIO;
    }
}

sqlite3_stmt *store_query(struct store *store, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = NULL;
    store->why[0] = '\0';
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    va_list args;
    va_start(args, types);
    for (int i = 0; rc == SQLITE_OK && types[i] != '\0'; i++) {
        if (types[i] == 'i') {
            rc = sqlite3_bind_int64(statement, i + 1, va_arg(args, uint32_t));
        } else if (types[i] == 'l') {
            rc = sqlite3_bind_int64(statement, i + 1, (sqlite3_int64)va_arg(args, uint64_t));
        } else {
            assert(types[i] == 's');
            rc = sqlite3_bind_text(statement, i + 1, va_arg(args, const char *), -1,
                                   SQLITE_TRANSIENT);
        }
    }
    va_end(args);
    if (rc != SQLITE_OK) {
        sqlite3_finalize(statement);
        return NULL;
    }
    return statement;
}

int store_run(sqlite3_stmt *statement)
{
    if (statement == NULL) {
        return -EIO;
    }
    int rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return errno_of(rc);
}

/* Reads the first column of the first row. Without a row, *value_out is unchanged. */
static int one_number(sqlite3_stmt *statement, uint64_t *value_out)
{
    if (statement == NULL) {
        return -EIO;
    }
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *value_out = (uint64_t)sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return errno_of(rc);
}

static int execute(struct store *store, const char *sql)
{
    return errno_of(sqlite3_exec(store->db, sql, NULL, NULL, NULL));
}

int store_begin(struct store *store)
{
    if (store_has_moved(store)) {
        return -ESTALE;
    }
    store->why[0] = '\0';
    /* What was kept of its pages is read again: somebody may have written over the file. */
    (void)sqlite3_db_release_memory(store->db);
    return execute(store, "BEGIN IMMEDIATE");
}

int store_commit(struct store *store)
{
    return execute(store, "COMMIT");
}

void store_rollback(struct store *store)
{
    if (sqlite3_errcode(store->db) != SQLITE_OK) {
        snprintf(store->why, sizeof store->why, "%s", sqlite3_errmsg(store->db));
    }
    (void)execute(store, "ROLLBACK"); /* fails when SQLite has rolled back by itself */
}

static int quick_check(struct store *store)
{
    sqlite3_stmt *statement = store_query(store, "PRAGMA quick_check(1)", "");
    if (statement == NULL) {
        return -EBADMSG;
    }
    int rc = sqlite3_step(statement);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    bool good = text != NULL && strcmp(text, "ok") == 0;
    sqlite3_finalize(statement);
    return good ? 0 : -EBADMSG;
}

static int prepare_schema(struct store *store, char error[CONFIG_ERROR_SIZE])
{
    uint64_t version = 0;
    uint64_t tables = 0;
    int r = one_number(store_query(store, "PRAGMA user_version", ""), &version);
    if (r == 0) {
        r = one_number(store_query(store, "SELECT count(*) FROM sqlite_schema", ""), &tables);
    }
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "%s (%s)", REFUSED, store_error(store));
        return r;
    }
    if (version == 0 && tables == 0) {
        r = store_begin(store);
        r = r == 0 ? execute(store, schema) : r;
        r = r == 0 ? store_commit(store) : r;
        if (r < 0) {
            snprintf(error, CONFIG_ERROR_SIZE, "cannot make the policy database: %s",
                     store_error(store));
            store_rollback(store);
        }
        return r;
    }
    if (version != SCHEMA_VERSION) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "the policy database has schema version %llu, this program knows %d",
                 (unsigned long long)version, SCHEMA_VERSION);
        return -EPROTO;
    }
    return 0;
}

int store_open(sqlite3 *db, struct store **store_out, char error[CONFIG_ERROR_SIZE])
{
    struct store *store = mem_zalloc(sizeof *store);
    store->db = db;
    int r = quick_check(store);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "%s (%s)", REFUSED, store_error(store));
    }
    /* An in-memory database keeps its own journal mode, which is no error. */
    if (r == 0) {
        /* With a checkpoint at each commit (there are few), the file alone is a complete
         * database. */
        r = execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                           "PRAGMA wal_autocheckpoint = 1; PRAGMA foreign_keys = ON;");
        if (r < 0) {
            snprintf(error, CONFIG_ERROR_SIZE, "policy database: %s", store_error(store));
        }
    }
    if (r == 0) {
        r = prepare_schema(store, error);
    }
    if (r < 0) {
        store_close(store);
        return r;
    }
    *store_out = store;
    return 0;
}

struct store *store_borrow(sqlite3 *db)
{
    struct store *store = mem_zalloc(sizeof *store);
    store->db = db;
    return store;
}

void store_close(struct store *store)
{
    free(store);
}

static const struct {
    const char *find_id;
    const char *insert;
    const char *all;
} names_sql[] = {
    [STORE_ROUTES] = {"SELECT id FROM routes WHERE name = ?", "INSERT INTO routes(name) VALUES(?)",
                      "SELECT id, name FROM routes"},
    [STORE_HOPS] = {"SELECT id FROM hops WHERE name = ?", "INSERT INTO hops(name) VALUES(?)",
                    "SELECT id, name FROM hops"},
};

int store_name_id(struct store *store, enum store_names which, const char *name, uint32_t *id_out)
{
    uint64_t id = 0;
    int r = one_number(store_query(store, names_sql[which].find_id, "s", name), &id);
    if (r == 0 && id == 0) {
        r = store_run(store_query(store, names_sql[which].insert, "s", name));
        id = (uint64_t)sqlite3_last_insert_rowid(store->db);
    }
    if (r == 0 && (id == 0 || id > UINT32_MAX)) {
        r = -ERANGE;
    }
    *id_out = (uint32_t)id;
    return r;
}

int store_names_load(struct store *store, enum store_names which,
                     int (*fn)(void *ctx, uint32_t id, const char *name), void *ctx)
{
    sqlite3_stmt *statement = store_query(store, names_sql[which].all, "");
    if (statement == NULL) {
        return -EIO;
    }
    int rc;
    int r = 0;
    while (r == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        const char *name =
            rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 1) : NULL;
        r = rc != SQLITE_ROW
                ? errno_of(rc)
                : fn(ctx, (uint32_t)sqlite3_column_int64(statement, 0), name == NULL ? "" : name);
    }
    sqlite3_finalize(statement);
    return r;
}

int store_meta_set(struct store *store, const char *key, uint64_t value)
{
    return store_run(store_query(store,
                                 "INSERT INTO meta VALUES(?, ?)"
                                 " ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                                 "sl", key, value));
}

int store_meta_get(struct store *store, const char *key, uint64_t *value_out)
{
    *value_out = 0;
    return one_number(store_query(store, "SELECT value FROM meta WHERE key = ?", "s", key),
                      value_out);
}

int store_domain_present(struct store *store, const char *domain, uint64_t wall_ms)
{
    return store_run(store_query(store,
                                 "INSERT INTO domains_seen VALUES(?, ?) ON CONFLICT(domain) "
                                 "DO UPDATE SET last_present_ms = excluded.last_present_ms",
                                 "sl", domain, wall_ms));
}

int store_domains_since(struct store *store, uint64_t since_ms,
                        int (*fn)(void *ctx, const char *domain), void *ctx)
{
    sqlite3_stmt *statement = store_query(store,
                                          "SELECT domain FROM domains_seen"
                                          " WHERE last_present_ms >= ? ORDER BY domain",
                                          "l", since_ms);
    if (statement == NULL) {
        return -EIO;
    }
    int rc;
    int r = 0;
    while (r == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        r = rc == SQLITE_ROW ? fn(ctx, (const char *)sqlite3_column_text(statement, 0))
                             : errno_of(rc);
    }
    sqlite3_finalize(statement);
    return r;
}

int store_reply_add(struct store *store, uint64_t pos, const char *text)
{
    return store_run(
        store_query(store, "INSERT OR REPLACE INTO replies VALUES(?, ?)", "ls", pos, text));
}

bool store_reply_find(struct store *store, uint64_t pos, char *out, size_t out_size)
{
    sqlite3_stmt *statement =
        store_query(store, "SELECT text FROM replies WHERE pos = ?", "l", pos);
    bool found = statement != NULL && sqlite3_step(statement) == SQLITE_ROW;
    if (found) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        snprintf(out, out_size, "%s", text == NULL ? "" : text);
    }
    sqlite3_finalize(statement);
    return found;
}

int store_replies_done(struct store *store, const uint64_t *pos, size_t count)
{
    int r = store_begin(store);
    sqlite3_stmt *statement =
        r == 0 ? store_query(store, "DELETE FROM replies WHERE pos = ?", "") : NULL;
    r = r == 0 && statement == NULL ? -EIO : r;
    int rc = SQLITE_DONE;
    for (size_t i = 0; r == 0 && i < count && rc == SQLITE_DONE; i++) {
        sqlite3_reset(statement);
        rc = sqlite3_bind_int64(statement, 1, (sqlite3_int64)pos[i]);
        rc = rc == SQLITE_OK ? sqlite3_step(statement) : rc;
    }
    sqlite3_finalize(statement);
    r = r == 0 ? errno_of(rc) : r;
    r = r == 0 ? store_commit(store) : r;
    if (r < 0) {
        store_rollback(store);
    }
    return r;
}
