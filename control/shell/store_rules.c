/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/store_rules.c: rules, audit and jobs in the policy database. See store.h. */
#include "control/shell/store.h"

#include <errno.h>
#include <stdio.h>

int store_rule_add(struct store *store, struct rule *rule, const char *select)
{
    int r = store_run(store_query(
        store,
        "INSERT INTO rules(kind, selection, author, reason, created_ms, review_ms)"
        " VALUES('hold', ?, ?, ?, ?, ?)",
        "sssll", select, rule->author, rule->reason, rule->created_ms, rule->review_ms));
    if (r < 0) {
        return r;
    }
    uint64_t id = (uint64_t)sqlite3_last_insert_rowid(store_db(store));
    if (id == 0 || id > UINT32_MAX) {
        return -ERANGE;
    }
    rule->id = (uint32_t)id;
    return 0;
}

int store_rule_end(struct store *store, uint32_t id, uint64_t wall_ms, const char *who)
{
    return store_run(store_query(store,
                                 "UPDATE rules SET ended_ms = ?, ended_by = ?"
                                 " WHERE id = ? AND ended_ms IS NULL",
                                 "lsi", wall_ms, who, id));
}

static void column_text(sqlite3_stmt *statement, int column, char *out, size_t out_size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(out, out_size, "%s", text == NULL ? "" : text);
}

int store_rules_load(struct store *store,
                     int (*fn)(void *ctx, const struct rule *rule, const char *select), void *ctx)
{
    sqlite3_stmt *statement = store_query(store,
                                          "SELECT id, selection, author, reason, created_ms,"
                                          " review_ms, kind FROM rules WHERE ended_ms IS NULL"
                                          " ORDER BY id",
                                          "");
    if (statement == NULL) {
        return -EIO;
    }
    int r = 0;
    int rc;
    while (r == 0 && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            r = -EIO;
            break;
        }
        struct rule rule = {0};
        rule.id = (uint32_t)sqlite3_column_int64(statement, 0);
        column_text(statement, 2, rule.author, sizeof rule.author);
        column_text(statement, 3, rule.reason, sizeof rule.reason);
        rule.created_ms = (uint64_t)sqlite3_column_int64(statement, 4);
        rule.review_ms = (uint64_t)sqlite3_column_int64(statement, 5);
        const char *kind = (const char *)sqlite3_column_text(statement, 6);
        const char *select = (const char *)sqlite3_column_text(statement, 1);
        bool known = kind != NULL && strcmp(kind, "hold") == 0;
        r = fn(ctx, &rule, known ? select : NULL);
    }
    sqlite3_finalize(statement);
    return r;
}

json_t *store_rule_select(struct store *store, uint32_t id)
{
    sqlite3_stmt *statement =
        store_query(store, "SELECT selection FROM rules WHERE id = ?", "i", id);
    json_t *select = NULL;
    if (statement != NULL && sqlite3_step(statement) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        select = text == NULL ? NULL : json_loads(text, 0, NULL);
    }
    sqlite3_finalize(statement);
    return select;
}

int store_audit_add(struct store *store, const struct store_audit *audit)
{
    return store_run(store_query(store,
                                 "INSERT INTO audit(time_ms, who, cmd, selection, reason, count,"
                                 " result) VALUES(?, ?, ?, ?, ?, ?, ?)",
                                 "lssssls", audit->time_ms, audit->who, audit->cmd, audit->select,
                                 audit->reason, audit->count, audit->result));
}

int store_audit_list(struct store *store, uint32_t limit, json_t *entries)
{
    sqlite3_stmt *statement = store_query(store,
                                          "SELECT id, time_ms, who, cmd, selection, reason, count,"
                                          " result FROM audit ORDER BY id DESC LIMIT ?",
                                          "i", limit);
    if (statement == NULL) {
        return -EIO;
    }
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *select = (const char *)sqlite3_column_text(statement, 4);
        json_t *terms = select == NULL ? NULL : json_loads(select, 0, NULL);
        json_t *entry = json_pack(
            "{sI sI ss? ss? so ss? sI ss?}", "id", (json_int_t)sqlite3_column_int64(statement, 0),
            "time_ms", (json_int_t)sqlite3_column_int64(statement, 1), "who",
            sqlite3_column_text(statement, 2), "cmd", sqlite3_column_text(statement, 3), "select",
            terms == NULL ? json_array() : terms, "reason", sqlite3_column_text(statement, 5),
            "count", (json_int_t)sqlite3_column_int64(statement, 6), "result",
            sqlite3_column_text(statement, 7));
        if (entry == NULL || json_array_append_new(entries, entry) != 0) {
            rc = SQLITE_NOMEM;
            break;
        }
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? 0 : -EIO;
}

int store_job_add(struct store *store, struct store_job *job)
{
    int r = store_run(store_query(store,
                                  "INSERT INTO jobs(kind, selection, who, begun_ms, before_pos,"
                                  " total) VALUES('release', ?, ?, ?, ?, ?)",
                                  "sslll", job->select, job->who, job->begun_ms, job->before_pos,
                                  job->total));
    if (r == 0) {
        job->id = (uint32_t)sqlite3_last_insert_rowid(store_db(store));
    }
    return r;
}

int store_job_done(struct store *store, uint32_t id)
{
    return store_run(store_query(store, "DELETE FROM jobs WHERE id = ?", "i", id));
}

int store_jobs_load(struct store *store, int (*fn)(void *ctx, const struct store_job *job),
                    void *ctx)
{
    sqlite3_stmt *statement =
        store_query(store,
                    "SELECT id, selection, who, begun_ms, before_pos, total, kind = 'release'"
                    " FROM jobs ORDER BY id",
                    "");
    if (statement == NULL) {
        return -EIO;
    }
    int rc;
    int r = 0;
    while (r == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *select = (const char *)sqlite3_column_text(statement, 1);
        const char *who = (const char *)sqlite3_column_text(statement, 2);
        bool known = sqlite3_column_int64(statement, 6) == 1;
        const struct store_job job = {.id = (uint32_t)sqlite3_column_int64(statement, 0),
                                      .select = known && select != NULL ? select : "",
                                      .who = who == NULL ? "" : who,
                                      .begun_ms = (uint64_t)sqlite3_column_int64(statement, 3),
                                      .before_pos = (uint64_t)sqlite3_column_int64(statement, 4),
                                      .total = (uint64_t)sqlite3_column_int64(statement, 5)};
        r = fn(ctx, &job);
    }
    sqlite3_finalize(statement);
    return r != 0 ? r : rc == SQLITE_DONE ? 0 : -EIO;
}
