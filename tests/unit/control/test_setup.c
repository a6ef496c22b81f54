/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_setup.c: control does not start when its database is missing or
 * damaged, and it leaves the worker's CPU alone. */
#include "common/place.h"
#include "control/shell/setup.h"
#include "control/shell/shell.h"
#include "control/shell/store.h"
#include "spool/spool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config config;
static struct place place;
static struct spool_io *io;
static char error[CONFIG_ERROR_SIZE];

static void set_up(void)
{
    char dir[] = "/var/tmp/hf-setup-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    config_defaults(&config);
    snprintf(config.run_dir, sizeof config.run_dir, "%s/run", dir);
    snprintf(config.state_dir, sizeof config.state_dir, "%s/state", dir);
    snprintf(config.spool.dir, sizeof config.spool.dir, "%s/spool", dir);
    cr_assert_eq(place_open(&config, &place, error), 0, "%s", error);
    cr_assert_eq(spool_io_create(config.spool.dir, "pwritev2", -1, false, &io), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void tear_down(void)
{
    io->ops->destroy(io);
    place_close(&place);
    *strrchr(config.run_dir, '/') = '\0';
    cr_assert_eq(nftw(config.run_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(setup, .init = set_up, .fini = tear_down);

static char *in_state(const char *name)
{
    static char path[CONFIG_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/%s", config.state_dir, name);
    return path;
}

static void make_database(void)
{
    sqlite3 *db;
    struct store *store;
    cr_assert_eq(setup_database(&config, io, false, &db, error), 0, "%s", error);
    cr_assert_eq(store_open(db, &store, error), 0, "%s", error);
    store_close(store);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
}

static void use_spool(void)
{
    cr_assert_eq(spool_checkpoint_save(io, 0, 0, bytes_str("x")), 0);
}

static void expect_refusal(const char *why)
{
    sqlite3 *db;
    cr_assert_eq(setup_database(&config, io, false, &db, error), -EPROTO);
    cr_assert_not_null(strstr(error, why), "%s", error);
    cr_assert_eq(setup_database(&config, io, true, &db, error), 0, "--new-policy is the way out");
    sqlite3_close(db);
}

Test(setup, database_that_cannot_be_opened_is_refused_in_the_words_of_the_system)
{
    sqlite3 *db;
    cr_assert_eq(mkdir(in_state("policy.db"), 0700), 0);
    cr_assert_lt(setup_database(&config, io, false, &db, error), 0);
    cr_assert(strstr(error, "policy.db: opening the policy database: ") != NULL &&
                  strstr(error, strerror(EISDIR)) != NULL,
              "%s", error);
}

Test(setup, database_missing_on_a_used_spool_is_refused)
{
    make_database();
    use_spool();
    make_database();
    cr_assert_eq(unlink(in_state("policy.db")), 0);
    expect_refusal("is missing");
}

/* Such a file can result from a copy without its -wal. */
Test(setup, database_without_tables_on_a_used_spool_is_refused)
{
    sqlite3 *db;
    cr_assert_eq(sqlite3_open(in_state("policy.db"), &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE x(y); DROP TABLE x;",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
    make_database(); /* a first start that was cut short: the spool is new */
    cr_assert_eq(sqlite3_open(in_state("policy.db"), &db), SQLITE_OK);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
    cr_assert_eq(unlink(in_state("policy.db")), 0);
    cr_assert_eq(sqlite3_open(in_state("policy.db"), &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE x(y); DROP TABLE x;",
                              NULL, NULL, NULL),
                 SQLITE_OK);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
    use_spool();
    expect_refusal("is empty");
}

/* A backup by cp, taken while control runs, has the rules that were made before. */
Test(setup, database_file_is_whole_after_each_commit)
{
    sqlite3 *db;
    struct store *store;
    char data[256 * 1024];
    cr_assert_eq(setup_database(&config, io, false, &db, error), 0, "%s", error);
    cr_assert_eq(store_open(db, &store, error), 0, "%s", error);
    cr_assert_eq(store_meta_set(store, "test", 4711), 0);
    FILE *from = fopen(in_state("policy.db"), "r");
    size_t len = fread(data, 1, sizeof data, from);
    cr_assert(len > 0 && len < sizeof data);
    fclose(from);
    FILE *to = fopen(in_state("copy.db"), "w");
    cr_assert_eq(fwrite(data, 1, len, to), len);
    cr_assert_eq(fclose(to), 0);
    store_close(store);
    sqlite3_close(db);
    uint64_t value = 0;
    cr_assert_eq(sqlite3_open(in_state("copy.db"), &db), SQLITE_OK);
    cr_assert_eq(store_open(db, &store, error), 0, "%s", error);
    cr_assert_eq(store_meta_get(store, "test", &value), 0);
    cr_assert_eq(value, 4711);
    store_close(store);
    sqlite3_close(db);
}

/* Starts with the CPUs that this process may use, and takes them away one after the other. */
Test(threads, the_cpu_of_the_worker_is_left_alone_unless_it_is_the_only_one)
{
    cpu_set_t before;
    cpu_set_t after;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    threads_leave_cpu(CPU_SETSIZE);
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_assert(CPU_EQUAL(&before, &after));
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &before) && CPU_COUNT(&before) > 1) {
            CPU_CLR(cpu, &before);
        }
        threads_leave_cpu(cpu);
        cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
        cr_assert(CPU_EQUAL(&before, &after), "CPU %u", cpu);
    }
    cr_assert_eq(CPU_COUNT(&after), 1);
}
