/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/cli.h: the operator's command `holdfast`.
 *
 *   main.c         global options, finding the command, help
 *   commands.def   the commands: name, operands, options, what they do
 *   options.def    their options;  options.c  arguments to struct args
 *   terms.def      the terms of a selection;  terms.c  what is typed to what control reads
 *   completion.c   the three tables as scripts for bash and zsh
 *   client.c       the admin socket: one request, one answer (docs/ADMIN.md)
 *   status.c problems.c look.c act.c rules.c offline.c check.c  the commands, by group
 *   say.c          answers as JSON, and what went wrong
 *   render.c       tables and paragraphs for people;  text.c  ages, sizes, times, cleaning
 *
 * Promise: a command acts only with a reason, after it showed the plan, and after a yes. Text from
 *          the socket is cleaned before it is printed.
 * Trap:    monitoring reads the exit codes: 0 ok, 1 warning, 2 critical, 64 usage.
 */
#ifndef HOLDFAST_CONTROL_CLI_CLI_H
#define HOLDFAST_CONTROL_CLI_CLI_H

#include "common/assert.h"
#include "common/utf8.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cli_exit {
    CLI_EXIT_OK = 0,
    CLI_EXIT_WARNING = 1,
    CLI_EXIT_CRITICAL = 2,
    CLI_EXIT_USAGE = 64, /* EX_USAGE of sysexits.h */
};

/* The server takes 32 terms (LIMIT_SELECT_TERMS); a longer list is refused here. */
enum { CLI_TERMS_MAX = 32, CLI_OPERANDS_MAX = 64, CLI_TEXT_SIZE = 512 };

struct cli {
    bool json;
    const char *socket_path; /* --socket, or NULL */
    const char *config_path;
    bool config_is_default; /* nobody named one */
    int fd;                 /* of the admin socket; -1 before the first request */
    int wait_s;             /* for an answer */
};

enum {
#define OPTION(flag, name, value, help) CLI_BIT_##flag,
#include "control/cli/options.def"
#undef OPTION
};
enum cli_option {
#define OPTION(flag, name, value, help) CLI_OPT_##flag = 1 << CLI_BIT_##flag,
#include "control/cli/options.def"
#undef OPTION
    CLI_OPTS_ACT = CLI_OPT_REASON | CLI_OPT_DRY_RUN | CLI_OPT_YES,
    CLI_OPTS_GLOBAL = CLI_OPT_JSON | CLI_OPT_SOCKET | CLI_OPT_CONFIG | CLI_OPT_HELP,
};

struct option {
    const char *name;
    const char *value; /* NULL: takes none; in brackets: may follow after = */
    unsigned flag;
    const char *help;
};

extern const struct option cli_options[];
extern const size_t cli_option_count;

struct args {
    const char *operand[CLI_OPERANDS_MAX];
    size_t operand_count;
    unsigned given; /* enum cli_option */
    const char *reason;
    bool has_yes_count;
    uint64_t yes_count;
    uint64_t limit;
    const char *after;
    const char *by;
    const char *dir;
};

struct command {
    const char *name;
    int (*run)(struct cli *cli, const struct args *args);
    const char *operands; /* as in the usage line */
    unsigned options;
    const char *summary;
    const char *text;
};

extern const struct command cli_commands[];
extern const size_t cli_command_count;

#define COMMAND(name, run, operands, options, summary, text)                                       \
    int run(struct cli *cli, const struct args *args);
#include "control/cli/commands.def"
#undef COMMAND

/* --- options.c --- */

/* Fills args from argv; says what is wrong and returns CLI_EXIT_USAGE, or 0. */
must_check int options_parse(struct cli *cli, const struct command *command, int argc, char **argv,
                             struct args *args);
bool options_takes(const struct command *command, const struct option *option);
/* Prints the options of a command. */
void options_print(const struct command *command);
/* What --by knows; NULL behind the last. */
const char *options_field(size_t i);

/* --- terms.c --- */

enum term_kind {
    TERM_TEXT,
    TERM_ROUTE,
    TERM_HOP,
    TERM_RULE,
    TERM_CLASS,
    TERM_STATE,
    TERM_DURATION,
};

struct term {
    const char *prefix;
    const char *sent;
    enum term_kind kind;
    const char *value;
    const char *help;
};

extern const struct term cli_terms[];
extern const size_t cli_term_count;

/* The i-th word that such a value may be; NULL behind the last. Names of routes, hops and rules are
 * not known here. */
const char *terms_word(enum term_kind kind, size_t i);
/* The operands from `first` on, as a new JSON array of terms. Says what is wrong and returns NULL
 * when one is not a term. */
json_t *terms_select(const struct cli *cli, const struct args *args, size_t first);

/* --- client.c --- */

/* Sends the request, takes it over, and returns the answer when the answer is ok. Otherwise says
 * what is wrong, sets *exit_out and returns NULL. */
json_t *client_request(struct cli *cli, json_t *request, int *exit_out);
/* A new request for `cmd`. */
json_t *client_command(const char *cmd);
void client_close(struct cli *cli);

/* --- say.c --- */

/* Says what went wrong, as one line on standard error or as JSON. Returns exit_code. */
__attribute__((format(printf, 3, 4))) int cli_fail(const struct cli *cli, int exit_code,
                                                   const char *format, ...);
/* Prints an answer as JSON and releases it. */
void cli_print_json(json_t *answer);

/* --- text.c --- */

/* Columns that it takes, one per code point. */
size_t text_width(const char *text);
enum { TEXT_SHORT_SIZE = 40 };
const char *text_age(int64_t ms, char out[TEXT_SHORT_SIZE]);     /* 3m12s */
const char *text_size(int64_t bytes, char out[TEXT_SHORT_SIZE]); /* 2.1K */
const char *text_time(int64_t ms, char out[TEXT_SHORT_SIZE]);    /* 2024-05-03 03:12:45 */
const char *text_count(int64_t n, char out[TEXT_SHORT_SIZE]);    /* 12, or - for none */

int64_t text_now_ms(void); /* wall clock, since 1970 */

/* Members of an answer that may be missing. Text is "" then, numbers 0. */
const char *member_text(const json_t *object, const char *key);
int64_t member_number(const json_t *object, const char *key);
bool member_true(const json_t *object, const char *key);

/* --- problems.c --- */

/* The problems that an answer of `status` tells (*told_out), or else those that are plain from its
 * numbers. The caller releases the list. */
json_t *problems_of(const json_t *answer, bool *told_out);
/* The exit code that the worst of them asks for. */
int problems_level(const json_t *problems);
void problems_print(const json_t *problems, bool all);

/* --- render.c --- */

enum { TABLE_COLUMNS_MAX = 12 };

struct table {
    size_t column_count;
    const char *title[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX];       /* numbers */
    size_t width_max[TABLE_COLUMNS_MAX]; /* 0: as wide as it gets */
    size_t cell_count;
    size_t cell_capacity;
    char **cell; /* row by row; a NULL first cell: the second is an indented line */
};

/* Titles: "NAME", or ">COUNT" for right-aligned. */
void table_init(struct table *table, const char *const *title, size_t column_count);
/* The next cell, cleaned. */
void table_cell(struct table *table, const char *text);
__attribute__((format(printf, 2, 3))) void table_format(struct table *table, const char *format,
                                                        ...);
/* A line below the row just completed. */
void table_note(struct table *table, const char *text);
/* Prints and frees; nothing when there are no rows. */
void table_print(struct table *table);
/* "label   text" with the text cleaned. */
void render_field(const char *label, const char *text);

#endif
