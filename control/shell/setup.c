/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/setup.c: see setup.h. */
#include "control/shell/setup.h"

#include "common/config.h"
#include "common/trouble.h"
#include "spool/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BUSY_MS = 2000 };

/* Looks whether an earlier control used the spool. */
static int has_checkpoint(struct spool_io *io, bool *has_out)
{
    uint64_t message_pos;
    uint64_t state_pos;
    uint64_t older;
    void *blob;
    size_t len;
    int r = spool_checkpoint_load(io, &message_pos, &state_pos, &older, &blob, &len);
    *has_out = r == 0;
    if (r == 0) {
        free(blob);
    }
    return r == -ENOENT ? 0 : r;
}

/* Refuses a spool that was in use: without the operators' rules, every hold would be released
 * without a word. */
static int check_unused(struct spool_io *io, const char *path, const char *what,
                        char error[CONFIG_ERROR_SIZE])
{
    bool used = false;
    int r = has_checkpoint(io, &used);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "%s %s, and whether the spool is new cannot be told: %.200s", path, what,
                 trouble_text(io->trouble, r));
        return r;
    }
    if (!used) {
        return 0;
    }
    snprintf(error, CONFIG_ERROR_SIZE,
             "%s %s, but the spool is not new: restore it, or start with --new-policy "
             "(every hold is forgotten)",
             path, what);
    return -EPROTO; /* a person has to decide */
}

/* True for a database that was copied without its -wal file, or whose making was cut short. When it
 * cannot be read, false: store_open then says why. */
static bool has_no_tables(sqlite3 *db)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_schema", -1, &statement, NULL) !=
        SQLITE_OK) {
        return false;
    }
    bool none = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int64(statement, 0) == 0;
    sqlite3_finalize(statement);
    return none;
}

int setup_database(const struct config *config, struct spool_io *io, bool new_policy,
                   sqlite3 **db_out, char error[CONFIG_ERROR_SIZE])
{
    char path[CONFIG_PATH_SIZE + 32];
    struct stat st;
    snprintf(path, sizeof path, "%s/policy.db", config->state_dir);
    bool missing = stat(path, &st) < 0 || st.st_size == 0;
    int r = missing && !new_policy ? check_unused(io, path, "is missing", error) : 0;
    if (r < 0) {
        return r;
    }
    mode_t mask = umask(0077);
    int rc = sqlite3_open_v2(path, db_out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    umask(mask);
    if (rc != SQLITE_OK) {
        int system = *db_out == NULL ? 0 : sqlite3_system_errno(*db_out);
        snprintf(error, CONFIG_ERROR_SIZE, "%s: opening the policy database: %s%s%s", path,
                 sqlite3_errmsg(*db_out), system == 0 ? "" : ": ",
                 system == 0 ? "" : trouble_meaning(-system));
        r = -EIO;
    } else if (!missing && !new_policy && has_no_tables(*db_out)) {
        r = check_unused(io, path, "is empty", error);
    }
    if (r < 0) {
        sqlite3_close(*db_out);
        return r;
    }
    sqlite3_busy_timeout(*db_out, BUSY_MS); /* a backup may be reading it */
    return 0;
}
