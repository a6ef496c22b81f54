/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/config/test_place.c: run_dir from configurations that are wrong elsewhere. */
#include "common/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum config_place find(const char *text, size_t len, char run_dir[CONFIG_PATH_SIZE])
{
    char path[] = "/tmp/holdfast-place-XXXXXX";
    char error[CONFIG_ERROR_SIZE] = "";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, len), (ssize_t)len);
    close(fd);
    enum config_place place = config_find_run_dir(path, run_dir, error);
    unlink(path);
    cr_assert((place == CONFIG_PLACE_GOOD) == (error[0] == '\0'), "%s", error);
    return place;
}

static void likely(const char *text, const char *wanted)
{
    char run_dir[CONFIG_PATH_SIZE];
    cr_assert_eq(find(text, strlen(text), run_dir), CONFIG_PLACE_LIKELY, "%s", text);
    cr_assert_str_eq(run_dir, wanted, "%s", text);
}

static void unknown(const char *text)
{
    char run_dir[CONFIG_PATH_SIZE];
    cr_assert_eq(find(text, strlen(text), run_dir), CONFIG_PLACE_UNKNOWN, "%s", text);
    cr_assert_str_eq(run_dir, "");
}

Test(place, a_good_configuration_says)
{
    char run_dir[CONFIG_PATH_SIZE];
    char error[CONFIG_ERROR_SIZE];
    cr_assert_eq(config_find_run_dir(SOURCE_ROOT "/docs/holdfast.conf.example", run_dir, error),
                 CONFIG_PLACE_GOOD);
    cr_assert_str_eq(run_dir, "/run/holdfast");
    cr_assert_eq(config_find_run_dir("/nonexistent/x", run_dir, error), CONFIG_PLACE_UNREADABLE);
    cr_assert(strstr(error, "/nonexistent/x") != NULL);
}

Test(place, a_mistake_elsewhere_does_not_matter)
{
    likely("hostname = \"mx.example.org\";\nrun_dir = \"/run/b\";\n", "/run/b"); /* incomplete */
    likely("run_dir = \"/run/b\";\nhops = ( { name = \"x\" ;\n", "/run/b");
    likely("hostname = \"mx.example.org;\n  run_dir : \"/run/b\" # here\nx = ;\n", "/run/b");
    likely("# run_dir = \"/run/a\";\nrun_dir=\"/run/b\"\nbogus = {\n", "/run/b");
    likely("/* a */ spool: { dir = \"/x{\"; };\nrun_dir = \"/run/b\", // b\n)\n", "/run/b");
    likely("url = \"http://{\";\nrun_dir = \"/run/b\";\n)\n", "/run/b");
    likely("my_run_dir = 1;\nrun_dir = \"/run/b\";\n)\n", "/run/b");
    likely("run_dir = \"/run/b\";", "/run/b");
}

/* The default is used only when no key of the file may be a misspelled run_dir. */
Test(place, silence_means_the_default)
{
    likely("hostname = \"mx.example.org\";\n", CONFIG_RUN_DIR);
    likely("hostname = 7;\ninstance = \"b\";\n", CONFIG_RUN_DIR);
    unknown("rundir = \"/run/b\";\nhostname = \"mx.example.org\";\n");
    unknown("hostname = \"mx.example.org\"\ninstance = ;\n");
    unknown("spool = { run_dir = \"/run/b\"; };\n");
    unknown("");
}

Test(place, doubt_is_not_resolved)
{
    unknown("run_dir = \"/run/a\";\nrun_dir = \"/run/b\";\n");
    unknown("run_dir = \"/run/a;\nx = ;\n");
    unknown("run_dir = \"/run/\" \"a\";\nx = ;\n");
    unknown("run_dir = \"/run/\"\n  \"a\";\nx = ;\n");
    unknown("run_dir = \"/run\\x2fa\";\nx = ;\n");
    unknown("run_dir = \"run/a\";\nx = ;\n");
    unknown("run_dir = /run/a;\n");
    unknown("run_dir = 7;\n");
    unknown("run_dir \"/run/a\";\n");
    unknown("x = ; run_dir = \"/run/a\";\n");
    unknown("run_dir = \"/run/a\"; x = ;\n");
    unknown("spool = {\nrun_dir = \"/run/a\";\nx = ;\n};\n");
    unknown("/*\nrun_dir = \"/run/a\";\n*/\nx = ;\n");
    unknown("run_dir = \"/run/a\";\nspool = { run_dir = \"/run/b\"; };\nx = ;\n");
}

Test(place, a_path_must_fit)
{
    char text[CONFIG_PATH_SIZE + 64];
    char path[CONFIG_PATH_SIZE + 1];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[CONFIG_PATH_SIZE] = '\0';
    snprintf(text, sizeof text, "run_dir = \"%s\";\nx = ;\n", path);
    unknown(text);
    path[CONFIG_PATH_SIZE - 1] = '\0';
    snprintf(text, sizeof text, "run_dir = \"%s\";\nx = ;\n", path);
    likely(text, path);
    char run_dir[CONFIG_PATH_SIZE];
    cr_assert_eq(find("run_dir = \"/run/a\";\n\0x = ;\n", 27, run_dir), CONFIG_PLACE_UNKNOWN);
}
