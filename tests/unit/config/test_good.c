/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/config/test_good.c: what is accepted, its defaults, and that the manual knows all. */
#include "common/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char least[] =
    "hostname = \"MX.campus.example\";\n"
    "interfaces = ( { name = \"out\"; device = \"d0\"; address = \"198.51.100.10/26\"; } );\n"
    "listen = ( { address = \"198.51.100.10\"; } );\n"
    "hops = ( { name = \"store\"; addresses = [ \"198.51.100.11\" ]; } );\n"
    "routes = ( { name = \"all\"; domains = [ \"Campus.Example\" ]; hops = [ \"store\" ]; } );\n";

static struct config *parse(const char *text)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    cr_assert_eq(config_parse("t", text, strlen(text), &config, error), 0, "%s", error);
    return config;
}

Test(config, example_is_good)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    int r = config_load(SOURCE_ROOT "/docs/holdfast.conf.example", &config, error);
    cr_assert_eq(r, 0, "%s", error);
    cr_assert_str_eq(config->hostname, "mx.campus.example");
    cr_assert_eq(config->dataplane.idle_nap_us, 50);
    cr_assert_eq(config->spool.segment_bytes, UINT64_C(64) << 20);
    cr_assert_eq(config->limits.message_bytes, 100u << 20);
    cr_assert_eq(config->control.admin_mode, 0660);
    cr_assert_eq(config->retry.first_ms, 2000);
    cr_assert_eq(config->hop[0].dot_timeout_ms, 120000);
    cr_assert_eq(config->hop[1].port, 2526);
    cr_assert_eq(config->route[1].hop_index[0], 1);
    cr_assert_str_eq(config->route[1].recipient[0], "rector@staff.campus.example");
    config_free(config);
}

/* RFC 5321 section 4.5.3.2: the timeouts a client should have are the defaults. */
Test(config, least_gets_sane_defaults)
{
    struct config *config = parse(least);
    cr_assert_str_eq(config->hostname, "mx.campus.example");
    cr_assert_str_eq(config->route[0].domain[0], "campus.example");
    cr_assert_str_eq(config->run_dir, "/run/holdfast");
    cr_assert_str_eq(config->route[0].owner, "postmaster@mx.campus.example");
    cr_assert_eq(config->listen[0].port, 25);
    cr_assert_eq(config->interface[0].mtu_bytes, 1500);
    cr_assert(ip_is_zero(&config->interface[0].gateway));
    cr_assert_eq(config->limits.rcpts, 128);
    cr_assert_eq(config->limits.command_timeout_ms, 5 * 60 * 1000);
    const struct config_hop *hop = &config->hop[0];
    cr_assert_eq(hop->port, 25);
    cr_assert_eq(hop->protocol, CONFIG_PROTOCOL_SMTP);
    cr_assert_eq(hop->command_timeout_ms, 5 * 60 * 1000);
    cr_assert_eq(hop->data_timeout_ms, 3 * 60 * 1000);
    cr_assert_eq(hop->dot_timeout_ms, 10 * 60 * 1000);
    config_free(config);
}

/* Simulator and tests make configurations without a file: what they get is what a file gives. */
Test(config, defaults_are_those_of_a_file_that_says_least)
{
    struct config *config = parse(least);
    static struct config bare;
    struct config_interface interface;
    struct config_hop hop;
    struct config_route route;
    memset(&bare, 0xff, sizeof bare);
    config_defaults(&bare);
    cr_assert_eq(memcmp(&bare.limits, &config->limits, sizeof bare.limits), 0);
    cr_assert_eq(memcmp(&bare.retry, &config->retry, sizeof bare.retry), 0);
    cr_assert_eq(memcmp(&bare.control, &config->control, sizeof bare.control), 0);
    cr_assert_eq(bare.dataplane.memory_mib, config->dataplane.memory_mib);
    cr_assert(bare.dataplane.hugepages && config->dataplane.hugepages);
    cr_assert_eq(bare.spool.segment_bytes, config->spool.segment_bytes);
    cr_assert_eq(bare.spool.segments_max, config->spool.segments_max);
    cr_assert_str_eq(bare.spool.dir, config->spool.dir);
    cr_assert_str_eq(bare.state_dir, config->state_dir);
    cr_assert(bare.hostname[0] == '\0' && bare.hop_count == 0 && bare.route == NULL);
    config_interface_defaults(&interface);
    cr_assert_eq(interface.mtu_bytes, config->interface[0].mtu_bytes);
    config_route_defaults(&route);
    cr_assert_eq(route.objective_ms, config->route[0].objective_ms);
    config_hop_defaults(&hop);
    memcpy(hop.name, config->hop[0].name, sizeof hop.name);
    memcpy(hop.address, config->hop[0].address, sizeof hop.address);
    hop.address_count = 1;
    hop.port = config->hop[0].port; /* which depends on the protocol */
    cr_assert_eq(memcmp(&hop, &config->hop[0], sizeof hop), 0);
    config_free(config);
}

Test(config, order_in_the_file_does_not_matter)
{
    char text[sizeof least + 16];
    const char *hops = strstr(least, "hops =");
    const char *routes = strstr(least, "routes =");
    snprintf(text, sizeof text, "%s%.*s%.*s", routes, (int)(routes - hops), hops,
             (int)(hops - least), least);
    config_free(parse(text));
}

Test(config, missing_file_is_told_without_a_line)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    cr_assert_eq(config_load("/nonexistent/h.conf", &config, error), -ENOENT);
    cr_assert_str_eq(error,
                     "/nonexistent/h.conf: reading the configuration: No such file or directory");
    cr_assert_eq(config_load("/tmp", &config, error), -EISDIR);
    cr_assert_eq(config_load("/dev/zero", &config, error), -EINVAL, "no endless file");
}

/* --- the manual ------------------------------------------------------------------------------ */

static const char *man_page(void)
{
    static char page[1 << 18];
    FILE *file = fopen(SOURCE_ROOT "/docs/man/holdfast.conf.5", "r");
    cr_assert_not_null(file);
    size_t len = fread(page, 1, sizeof page - 1, file);
    cr_assert_gt(len, 0);
    page[len] = '\0';
    fclose(file);
    return page;
}

/* An unknown key is answered with the known ones: each of them has its item in holdfast.conf.5. */
static void check_group(const char *config_text)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    const char *page = man_page();
    cr_assert_eq(config_parse("t", config_text, strlen(config_text), &config, error), -EINVAL);
    char *known = strstr(error, "(known here: ");
    cr_assert_not_null(known, "%s", error);
    known += strlen("(known here: ");
    known[strcspn(known, ")")] = '\0';
    for (char *save, *key = strtok_r(known, ", ", &save); key != NULL;
         key = strtok_r(NULL, ", ", &save)) {
        char item[128];
        snprintf(item, sizeof item, ".It Ic %s\n", key);
        cr_assert_not_null(strstr(page, item), "holdfast.conf(5) lacks %s", key);
    }
}

Test(config, the_manual_has_every_key)
{
    static const char *const groups[] = {"dataplane", "spool", "limits", "retry", "control"};
    char text[2048];
    check_group("zzz = 1;");
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        snprintf(text, sizeof text, "%s%s : { zzz = 1; };", least, groups[i]);
        check_group(text);
    }
    check_group("hostname = \"a.example\"; interfaces = ( { zzz = 1; } );");
    char *cut = strdup(least);
    cr_assert_not_null(cut);
    *strstr(cut, "listen") = '\0';
    snprintf(text, sizeof text, "%slisten = ( { zzz = 1; } );", cut);
    free(cut);
    check_group(text);
    cut = strdup(least);
    *strstr(cut, "hops") = '\0';
    snprintf(text, sizeof text, "%shops = ( { zzz = 1; } );", cut);
    free(cut);
    check_group(text);
    cut = strdup(least);
    *strstr(cut, "routes") = '\0';
    snprintf(text, sizeof text, "%sroutes = ( { zzz = 1; } );", cut);
    free(cut);
    check_group(text);
}
