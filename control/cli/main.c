/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/main.c: the command `holdfast`: finds the command, parses, runs, exits.
 *
 * Promise: the exit code is one of four (cli.h).
 */
#include "control/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONFIG "/etc/holdfast/holdfast.conf"
enum {
    WAIT_S = 90, /* for an answer; docs/ADMIN.md asks for 60 at least */
};

const struct command cli_commands[] = {
#define COMMAND(name, run, operands, options, summary, text)                                       \
    {name, run, operands, options, summary, text},
#include "control/cli/commands.def"
#undef COMMAND
};
const size_t cli_command_count = sizeof cli_commands / sizeof cli_commands[0];

static void print_usage(void)
{
    printf("usage: holdfast [--json] [--socket PATH] [--config PATH] COMMAND [...]\n\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("  %-10s %-27s %s\n", cli_commands[i].name, cli_commands[i].operands,
               cli_commands[i].summary);
    }
    printf("\nSELECT: terms, all of which must hold, or the word all\n");
    for (size_t i = 0; i < cli_term_count; i++) {
        printf("  %s%-*s %s\n", cli_terms[i].prefix, (int)(17 - strlen(cli_terms[i].prefix)),
               cli_terms[i].value, cli_terms[i].help);
    }
    printf("\nOptions of a command: holdfast COMMAND --help. Exit: 0 ok, 1 warning, 2 critical, 64 "
           "usage.\nSee holdfast(1).\n");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i].name, name) == 0) {
            return &cli_commands[i];
        }
    }
    return NULL;
}

static int print_help(const struct command *command)
{
    printf("usage: holdfast %s%s%s [OPTION...]\n%s\n\n%s%s", command->name,
           command->operands[0] == '\0' ? "" : " ", command->operands, command->summary,
           command->text, command->text[0] == '\0' ? "" : "\n");
    options_print(command);
    return CLI_EXIT_OK;
}

int command_help(struct cli *cli, const struct args *args)
{
    if (args->operand_count == 0) {
        print_usage();
        return CLI_EXIT_OK;
    }
    const struct command *command = find_command(args->operand[0]);
    if (command == NULL || args->operand_count > 1) {
        return cli_fail(cli, CLI_EXIT_USAGE, "help: unknown command %s (holdfast help)",
                        args->operand[args->operand_count - 1]);
    }
    return print_help(command);
}

/* Takes the options before the command. Returns the index of the command, or -1 after an error. */
static int take_globals(struct cli *cli, int argc, char **argv, bool *help_out)
{
    int at = 1;
    while (at < argc && argv[at][0] == '-') {
        /* a command that takes the global options and nothing else */
        static const struct command none = {.name = "holdfast", .operands = ""};
        struct args args;
        bool takes_next = strcmp(argv[at], "--socket") == 0 || strcmp(argv[at], "--config") == 0;
        int count = takes_next && at + 1 < argc ? 2 : 1;
        if (options_parse(cli, &none, count, argv + at, &args) != 0) {
            return -1;
        }
        *help_out |= (args.given & CLI_OPT_HELP) != 0;
        at += count;
    }
    return at;
}

static int run_command(struct cli *cli, const struct command *command, int argc, char **argv)
{
    struct args args;
    int r = options_parse(cli, command, argc, argv, &args);
    if (r != 0) {
        return r;
    }
    if ((args.given & CLI_OPT_HELP) != 0) {
        return print_help(command);
    }
    r = command->run(cli, &args);
    client_close(cli);
    return r;
}

int main(int argc, char **argv)
{
    const char *config_path = getenv("HOLDFAST_CONFIG");
    struct cli cli = {.config_path = config_path == NULL ? DEFAULT_CONFIG : config_path,
                      .config_is_default = config_path == NULL,
                      .fd = -1,
                      .wait_s = WAIT_S};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("holdfast %s\n", HOLDFAST_VERSION);
        return CLI_EXIT_OK;
    }
    bool help = false;
    int at = take_globals(&cli, argc, argv, &help);
    if (at < 0) {
        return CLI_EXIT_USAGE;
    }
    const char *name = at < argc ? argv[at] : "";
    const struct command *command = find_command(name);
    int r;
    if (name[0] == '\0') {
        print_usage();
        r = help ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    } else if (command == NULL) {
        r = cli_fail(&cli, CLI_EXIT_USAGE, "unknown command %s (holdfast help)", name);
    } else if (help) {
        r = print_help(command);
    } else {
        r = run_command(&cli, command, argc - at - 1, argv + at + 1);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "holdfast: the output could not be written\n");
        return r > CLI_EXIT_CRITICAL ? r : CLI_EXIT_CRITICAL;
    }
    return r;
}
