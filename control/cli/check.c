/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/check.c: `config check`: the configuration read as the daemons read it. */
#include "control/cli/cli.h"

#include "common/config.h"

#include <string.h>

static void print_summary(const struct config *config)
{
    uint32_t domains = 0;
    uint32_t recipients = 0;
    for (uint32_t i = 0; i < config->route_count; i++) {
        domains += config->route[i].domain_count;
        recipients += config->route[i].recipient_count;
    }
    printf("%s: good: %s, %u interfaces, %u hops, %u routes, %u domains, %u recipients\n",
           config->path, config->hostname, config->interface_count, config->hop_count,
           config->route_count, domains, recipients);
}

int command_config(struct cli *cli, const struct args *args)
{
    if (args->operand_count < 1 || args->operand_count > 2 ||
        strcmp(args->operand[0], "check") != 0) {
        return cli_fail(cli, CLI_EXIT_USAGE, "config check [FILE]");
    }
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    const char *path = args->operand_count == 2 ? args->operand[1] : cli->config_path;
    if (config_load(path, &config, error) < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "%s", error);
    }
    if (cli->json) {
        cli_print_json(json_pack("{sisbsssisi}", "v", 1, "ok", 1, "hostname", config->hostname,
                                 "hops", (int)config->hop_count, "routes",
                                 (int)config->route_count));
    } else {
        print_summary(config);
    }
    config_free(config);
    return CLI_EXIT_OK;
}
