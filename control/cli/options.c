/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/options.c: arguments to struct args, by one table; SELECT terms.
 *
 * Promise: an option a command does not know, a number that is none, a term without a known key
 *          end with exit 64 before anything is asked of control.
 * Trap:    age>15m without quotes makes the shell write a file. older=15m says the same.
 */
#include "control/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct option {
    const char *name;
    const char *value; /* NULL: takes none; in brackets: may follow after = */
    unsigned flag;     /* 0: a global one */
    const char *help;
};

static const struct option options[] = {
    {"--reason", "TEXT", CLI_OPT_REASON, "why; kept in the audit"},
    {"--dry-run", NULL, CLI_OPT_DRY_RUN, "print the plan and the count, change nothing"},
    {"--yes", "[COUNT]", CLI_OPT_YES, "do not ask; --yes=COUNT only if the plan has that count"},
    {"--limit", "N", CLI_OPT_LIMIT, "so many at most"},
    {"--after", "ID", CLI_OPT_AFTER, "go on behind this one"},
    {"--by", "FIELD", CLI_OPT_BY, "route, state, class, domain or hop"},
    {"--body", NULL, CLI_OPT_BODY, "the message itself, too"},
    {"--counters", NULL, CLI_OPT_COUNTERS, "the dataplane's counters, too"},
    {"--all", NULL, CLI_OPT_ALL, "also what has nothing to tell"},
    {"--dir", "DIR", CLI_OPT_DIR, "the spool's directory"},
    {"--json", NULL, 0, "the answer as JSON"},
    {"--socket", "PATH", 0, "control's socket"},
    {"--config", "PATH", 0, "the configuration, for the socket and the spool"},
    {"--help", NULL, 0, "this"},
};
enum { OPTION_COUNT = sizeof options / sizeof options[0] };

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
            return &options[i];
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

static int apply_global(struct cli *cli, const struct option *option, const char *value,
                        bool *help_out)
{
    if (strcmp(option->name, "--json") == 0) {
        cli->json = true;
    } else if (strcmp(option->name, "--socket") == 0) {
        cli->socket_path = value;
    } else if (strcmp(option->name, "--config") == 0) {
        cli->config_path = value;
        cli->config_is_default = false;
    } else {
        *help_out = true;
    }
    return 0;
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
    default: /* a plain flag */
        break;
    }
    return 0;
}

/* The value of the option at argv[*at]: after = or the next argument. */
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
                       int *at, struct args *args, bool *help_out)
{
    const char *arg = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at];
    const char *equals = strchr(arg, '=');
    size_t len = equals == NULL ? strlen(arg) : (size_t)(equals - arg);
    const struct option *option = find_option(arg, len);
    if (option == NULL || (option->flag != 0 && (command->options & option->flag) == 0)) {
        return cli_fail(cli, CLI_EXIT_USAGE, "%s: unknown option %.*s (holdfast %s --help)",
                        command->name, (int)len, arg, command->name);
    }
    const char *value;
    int r = take_value(cli, option, equals, argc, argv, at, &value);
    if (r != 0) {
        return r;
    }
    return option->flag == 0 ? apply_global(cli, option, value, help_out)
                             : apply(cli, option, value, args);
}

int options_parse(struct cli *cli, const struct command *command, int argc, char **argv,
                  struct args *args, bool *help_out)
{
    bool ended = false;
    *args = (struct args){0};
    *help_out = false;
    for (int i = 0; i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            int r = take_option(cli, command, argc, argv, &i, args, help_out);
            if (r != 0) {
                return r;
            }
        } else if (args->operand_count == CLI_OPERANDS_MAX) {
            return cli_fail(cli, CLI_EXIT_USAGE, "too many arguments");
        } else {
            args->operand[args->operand_count++] = argv[i];
        }
    }
    if (!*help_out && command->operands[0] == '\0' && args->operand_count > 0) {
        return cli_fail(cli, CLI_EXIT_USAGE, "%s takes no arguments", command->name);
    }
    return 0;
}

void options_print(const struct command *command)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options[i].flag == 0 || (command->options & options[i].flag) != 0) {
            char left[32];
            const char *value = options[i].value;
            snprintf(left, sizeof left, "%s%s%s", options[i].name,
                     value == NULL     ? ""
                     : value[0] == '[' ? "[="
                                       : " ",
                     value == NULL     ? ""
                     : value[0] == '[' ? value + 1
                                       : value);
            printf("  %-18s %s\n", left, options[i].help);
        }
    }
}

/* --- SELECT ---------------------------------------------------------------------------------- */

static const char *const term_keys[] = {"id=",    "route=", "domain=", "rcpt=", "sender=", "class=",
                                        "state=", "hop=",   "rule=",   "age>",  "age<"};

static json_t *make_term(const char *text)
{
    char term[CLI_TEXT_SIZE];
    bool older = strncmp(text, "older=", 6) == 0;
    if (older || strncmp(text, "newer=", 6) == 0) {
        int len = snprintf(term, sizeof term, "age%c%s", older ? '>' : '<', text + 6);
        return text[6] == '\0' || len >= (int)sizeof term ? NULL : json_string(term);
    }
    if (strcmp(text, "all") == 0) {
        return json_string(text);
    }
    for (size_t i = 0; i < sizeof term_keys / sizeof term_keys[0]; i++) {
        size_t len = strlen(term_keys[i]);
        if (strncmp(text, term_keys[i], len) == 0 && text[len] != '\0') {
            return json_string(text);
        }
    }
    return NULL;
}

json_t *options_select(const struct cli *cli, const struct args *args, size_t first)
{
    json_t *select = json_array();
    if (args->operand_count > first + CLI_TERMS_MAX) {
        cli_fail(cli, CLI_EXIT_USAGE, "too many terms (%d at most)", CLI_TERMS_MAX);
        json_decref(select);
        return NULL;
    }
    for (size_t i = first; i < args->operand_count; i++) {
        json_t *term = make_term(args->operand[i]);
        if (term == NULL) {
            cli_fail(cli, CLI_EXIT_USAGE,
                     "%s: not a selection (id= route= domain= rcpt= sender= class= state= hop= "
                     "rule= older= newer= 'age>' 'age<' all)",
                     args->operand[i]);
            json_decref(select);
            return NULL;
        }
        json_array_append_new(select, term);
    }
    return select;
}
