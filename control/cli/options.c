/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/options.c: arguments to struct args, by the table of options.def.
 *
 * Promise: an unknown option, or a value that is not a number where a number is wanted, ends the
 *          command with exit 64 before control is asked.
 */
#include "control/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct option cli_options[] = {
#define OPTION(flag, name, value, help) {name, value, CLI_OPT_##flag, help},
#include "control/cli/options.def"
#undef OPTION
};
const size_t cli_option_count = sizeof cli_options / sizeof cli_options[0];

const char *options_field(size_t i)
{
    static const char *const fields[] = {"route", "state", "class", "domain", "hop"};
    return i < sizeof fields / sizeof fields[0] ? fields[i] : NULL;
}

bool options_takes(const struct command *command, const struct option *option)
{
    return ((command->options | CLI_OPTS_GLOBAL) & option->flag) != 0;
}

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < cli_option_count; i++) {
        if (strlen(cli_options[i].name) == len && memcmp(cli_options[i].name, name, len) == 0) {
            return &cli_options[i];
        }
    }
    return NULL;
}

static bool parse_number(const char *text, uint64_t *value_out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value > INT64_MAX) {
        return false;
    }
    *value_out = value;
    return true;
}

static void apply_global(struct cli *cli, const struct option *option, const char *value)
{
    switch (option->flag) {
    case CLI_OPT_JSON:
        cli->json = true;
        break;
    case CLI_OPT_SOCKET:
        cli->socket_path = value;
        break;
    case CLI_OPT_CONFIG:
        cli->config_path = value;
        cli->config_is_default = false;
        break;
    default: /* the others are a command's */
        break;
    }
}

static int apply(struct cli *cli, const struct option *option, const char *value, struct args *args)
{
    args->given |= option->flag;
    switch (option->flag) {
    case CLI_OPT_REASON:
        args->reason = value;
        break;
    case CLI_OPT_YES:
        args->has_yes_count = value != NULL;
        if (value != NULL && !parse_number(value, &args->yes_count)) {
            return cli_fail(cli, CLI_EXIT_USAGE, "--yes=%s: not a count", value);
        }
        break;
    case CLI_OPT_LIMIT:
        if (!parse_number(value, &args->limit) || args->limit == 0) {
            return cli_fail(cli, CLI_EXIT_USAGE, "--limit %s: not a number above 0", value);
        }
        break;
    case CLI_OPT_AFTER:
        args->after = value;
        break;
    case CLI_OPT_BY:
        args->by = value;
        break;
    case CLI_OPT_DIR:
        args->dir = value;
        break;
    default: /* a plain flag, or a global one */
        apply_global(cli, option, value);
        break;
    }
    return 0;
}

/* Takes the value of the option at argv[*at]: what is behind the =, or the next argument. */
static int take_value(const struct cli *cli, const struct option *option, const char *equals,
                      int argc, char **argv, int *at, const char **value_out)
{
    *value_out = equals == NULL ? NULL : equals + 1;
    if (option->value == NULL) {
        return equals == NULL ? 0
                              : cli_fail(cli, CLI_EXIT_USAGE, "%s takes no value", option->name);
    }
    if (equals != NULL || option->value[0] == '[') {
        return 0;
    }
    if (*at + 1 >= argc) {
        return cli_fail(cli, CLI_EXIT_USAGE, "%s needs a value: %s", option->name, option->value);
    }
    *value_out = argv[++*at];
    return 0;
}

static int take_option(struct cli *cli, const struct command *command, int argc, char **argv,
                       int *at, struct args *args)
{
    const char *arg = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at];
    const char *equals = strchr(arg, '=');
    size_t len = equals == NULL ? strlen(arg) : (size_t)(equals - arg);
    const struct option *option = find_option(arg, len);
    if (option == NULL || !options_takes(command, option)) {
        return cli_fail(cli, CLI_EXIT_USAGE, "%s: unknown option %.*s (holdfast %s --help)",
                        command->name, (int)len, arg, command->name);
    }
    const char *value;
    int r = take_value(cli, option, equals, argc, argv, at, &value);
    return r != 0 ? r : apply(cli, option, value, args);
}

int options_parse(struct cli *cli, const struct command *command, int argc, char **argv,
                  struct args *args)
{
    bool ended = false;
    *args = (struct args){0};
    for (int i = 0; i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            int r = take_option(cli, command, argc, argv, &i, args);
            if (r != 0) {
                return r;
            }
        } else if (args->operand_count == CLI_OPERANDS_MAX) {
            return cli_fail(cli, CLI_EXIT_USAGE, "too many arguments");
        } else {
            args->operand[args->operand_count++] = argv[i];
        }
    }
    if ((args->given & CLI_OPT_HELP) == 0 && command->operands[0] == '\0' &&
        args->operand_count > 0) {
        return cli_fail(cli, CLI_EXIT_USAGE, "%s takes no arguments", command->name);
    }
    return 0;
}

void options_print(const struct command *command)
{
    for (size_t i = 0; i < cli_option_count; i++) {
        const struct option *option = &cli_options[i];
        if (options_takes(command, option)) {
            char left[32];
            const char *value = option->value;
            snprintf(left, sizeof left, "%s%s%s", option->name,
                     value == NULL     ? ""
                     : value[0] == '[' ? "[="
                                       : " ",
                     value == NULL ? "" : value + (value[0] == '['));
            printf("  %-18s %s\n", left, option->help);
        }
    }
}
