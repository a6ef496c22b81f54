/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/campus.c: see campus.h. */
#include "bench/control/campus.h"

#include "common/limits/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const group_names[CAMPUS_GROUP_COUNT] = {"held", "frozen", "live"};
static const char *const hop_names[CAMPUS_GROUP_COUNT] = {"store-held", "store-refusing",
                                                          "store-live"};

const char *campus_group_name(enum campus_group group)
{
    assert(group < CAMPUS_GROUP_COUNT);
    return group_names[group];
}

const char *campus_sender(uint64_t number, char *out, size_t out_size)
{
    snprintf(out, out_size, "s%u@from.example", (unsigned)(number % CAMPUS_SENDERS));
    return out;
}

const char *campus_domain(enum campus_group group, uint32_t route, uint64_t number, char *out,
                          size_t out_size)
{
    assert(group < CAMPUS_GROUP_COUNT && route < CAMPUS_ROUTES);
    snprintf(out, out_size, "d%u.%s%u.campus.example", (unsigned)(number % CAMPUS_DOMAINS),
             group_names[group], route);
    return out;
}

static const char head[] = "hostname = \"mx.campus.example\";\n"
                           "instance = \"bench\";\n"
                           "run_dir = \"%s\";\n"
                           "state_dir = \"%s/state\";\n"
                           "interfaces = ( { name = \"outside\"; device = \"net_null0\"; "
                           "address = \"198.51.100.10/26\"; } );\n"
                           "listen = ( { address = \"198.51.100.10\"; port = 25; } );\n"
                           "spool: { dir = \"%s/spool\"; segment = \"%uMiB\"; segments_max = %d; "
                           "state_segment = \"%uMiB\"; };\n"
                           "dataplane: { lcore = %d; };\n"
                           "control: { checkpoint_interval = \"1h\"; };\n";

static void write_hops(FILE *f)
{
    fprintf(f, "hops = (\n");
    for (int g = 0; g < CAMPUS_GROUP_COUNT; g++) {
        fprintf(f,
                "  { name = \"%s\"; addresses = [ \"198.51.100.%d\" ]; port = 25; "
                "connections = 256; }%s\n",
                hop_names[g], 20 + g, g + 1 < CAMPUS_GROUP_COUNT ? "," : "");
    }
    fprintf(f, ");\n");
}

static void write_route(FILE *f, enum campus_group group, uint32_t route)
{
    char domain[LIMIT_DOMAIN_BYTES + 1];
    fprintf(f, "  { name = \"%s%u\"; hops = [ \"%s\" ]; domains = [ ", group_names[group], route,
            hop_names[group]);
    for (uint32_t d = 0; d < CAMPUS_DOMAINS; d++) {
        fprintf(f, "%s\"%s\"", d > 0 ? ", " : "",
                campus_domain(group, route, d, domain, sizeof domain));
    }
    fprintf(f, " ]; },\n");
}

static void write_people(FILE *f, uint32_t recipients)
{
    fprintf(f, "  { name = \"people\"; hops = [ \"store-live\" ]; "
               "domains = [ \"people.campus.example\" ];\n    recipients = [");
    for (uint32_t i = 0; i < recipients; i++) {
        fprintf(f, "%s\n    \"p%07u@people.campus.example\"", i > 0 ? "," : "", i);
    }
    fprintf(f, " ]; }\n");
}

int campus_write(const char *dir, const char *name, uint32_t recipients, uint32_t segment_mib)
{
    char path[CAMPUS_PATH_SIZE + 32];
    assert(strlen(dir) < CAMPUS_PATH_SIZE && recipients <= CONFIG_RECIPIENTS_MAX);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    if (f == NULL) {
        return -errno;
    }
    fprintf(f, head, dir, dir, dir, segment_mib, CAMPUS_SEGMENTS_MAX, segment_mib, CAMPUS_LCORE);
    write_hops(f);
    fprintf(f, "routes = (\n");
    for (uint32_t i = 0; i < CAMPUS_ROUTES; i++) {
        write_route(f, CAMPUS_HELD, i);
        write_route(f, CAMPUS_FROZEN, i);
    }
    write_route(f, CAMPUS_LIVE, 0);
    write_people(f, recipients);
    fprintf(f, ");\n");
    return fclose(f) == 0 ? 0 : -errno;
}

void campus_read(const struct config *config, struct campus *campus_out)
{
    char name[LIMIT_NAME_BYTES + 1];
    *campus_out = (struct campus){0};
    for (uint32_t i = 0; i < config->route_count; i++) {
        for (uint32_t g = 0; g < CAMPUS_GROUP_COUNT * CAMPUS_ROUTES; g++) {
            snprintf(name, sizeof name, "%s%u", group_names[g / CAMPUS_ROUTES], g % CAMPUS_ROUTES);
            if (strcmp(name, config->route[i].name) == 0) {
                campus_out->route_id[g / CAMPUS_ROUTES][g % CAMPUS_ROUTES] = config->route[i].id;
            }
        }
    }
    for (uint32_t i = 0; i < config->hop_count; i++) {
        if (strcmp(config->hop[i].name, hop_names[CAMPUS_LIVE]) == 0) {
            campus_out->live_hop_id = config->hop[i].id;
        }
    }
    assert(campus_out->route_id[CAMPUS_LIVE][0] != 0 && campus_out->live_hop_id != 0);
}
