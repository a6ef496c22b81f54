/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/store_verify.c: is the policy database still the one that control writes to? See
 * store.h.
 *
 * A stamp is counted up in it. A copy that somebody put back has an older one.
 */
#include "control/shell/store.h"

#include <errno.h>
#include <string.h>

static int check_pages(struct store *store)
{
    sqlite3_stmt *statement = store_query(store, "PRAGMA quick_check(1)", "");
    if (statement == NULL) {
        return -EBADMSG;
    }
    bool row = sqlite3_step(statement) == SQLITE_ROW;
    const char *text = row ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    bool good = text != NULL && strcmp(text, "ok") == 0;
    sqlite3_finalize(statement);
    return good ? 0 : -EBADMSG;
}

static int check_stamp(struct store *store, uint64_t stamp, uint64_t *found_out)
{
    int r = store_meta_get(store, "stamp", found_out);
    if (r < 0) {
        return r;
    }
    return stamp == 0 || *found_out == stamp ? 0 : -ESTALE;
}

int store_verify(struct store *store, uint64_t *stamp, const char **what_out)
{
    uint64_t found = 0;
    *what_out = "opening a transaction";
    int r = store_begin(store);
    if (r == 0) {
        *what_out = "reading all of it";
        r = check_pages(store);
    }
    if (r == 0) {
        *what_out = "looking for what control wrote last";
        r = check_stamp(store, *stamp, &found);
    }
    if (r == 0) {
        *what_out = "writing to it";
        r = store_meta_set(store, "stamp", found + 1);
        r = r == 0 ? store_commit(store) : r;
    }
    if (r < 0) {
        store_rollback(store);
        return r;
    }
    *stamp = found + 1;
    assert(*stamp != 0);
    return 0;
}

bool store_is_lost(int error)
{
    assert(error < 0);
    return error != -ENOSPC && error != -EBUSY && error != -EACCES && error != -ENOMEM;
}
