/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/completion.c: `completion`: scripts for bash and zsh, from the tables of the command.
 *
 *   commands.def ─┐
 *   options.def  ─┼─▶ lists and `case` tables, the same for both shells ─▶ + a driver for each
 *   terms.def    ─┘
 *
 * Promise: the shell offers what the command takes, and nothing else.
 * Trap:    bash splits words at =. Of class=pol the script must complete `pol` alone. The script
 *          asks control for the names of routes, hops and rules. A person waits for the Tab key,
 *          so the wait is short.
 */
#include "control/cli/cli.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { NAMES_WAIT_S = 2 };

/* The part of the scripts that both shells run. */
static const char both[] =
    "# One word before the cursor: what it says about those behind it.\n"
    "_holdfast_word()\n"
    "{\n"
    "    if [[ -n $waiting ]]; then\n"
    "        case \"$waiting\" in\n"
    "            --socket | --config) globals+=(\"$waiting\" \"$1\") ;;\n"
    "        esac\n"
    "        waiting=''\n"
    "    elif [[ \"$1\" == -* ]]; then\n"
    "        case \"$1\" in\n"
    "            --socket=* | --config=*) globals+=(\"$1\") ;;\n"
    "        esac\n"
    "        [[ \" $_holdfast_valued \" == *\" $1 \"* ]] && waiting=$1\n"
    "    elif [[ -z $verb ]]; then\n"
    "        verb=$1\n"
    "    elif [[ -z $first ]]; then\n"
    "        first=$1\n"
    "    fi\n"
    "    return 0\n"
    "}\n"
    "# Sets choices and kind for the word at the cursor, and prefix, which is no part of the "
    "choices.\n"
    "_holdfast_choose()\n"
    "{\n"
    "    if [[ -n $waiting ]]; then\n"
    "        _holdfast_value \"$waiting\"\n"
    "    elif [[ \"$1\" == --*=* ]]; then\n"
    "        prefix=${1%%=*}=\n"
    "        _holdfast_value \"${1%%=*}\"\n"
    "    elif [[ \"$1\" == -* ]]; then\n"
    "        _holdfast_verb \"$verb\"\n"
    "        choices=$flags kind=''\n"
    "    elif [[ -z $verb ]]; then\n"
    "        choices=$_holdfast_verbs\n"
    "    else\n"
    "        _holdfast_verb \"$verb\"\n"
    "        if [[ -n $first && $kind != SELECT ]]; then\n"
    "            choices='' kind=''\n"
    "            _holdfast_second \"$verb $first\"\n"
    "        fi\n"
    "    fi\n"
    "    if [[ $kind == SELECT && \"$1\" == *=* ]]; then\n"
    "        prefix=${1%%=*}= kind=''\n"
    "        _holdfast_value \"$prefix\"\n"
    "    elif [[ $kind == SELECT ]]; then\n"
    "        choices=$_holdfast_terms kind=TERM\n"
    "    fi\n"
    "    case $kind in\n"
    "        COMMAND) choices=$_holdfast_verbs ;;\n"
    "        ROUTE) choices=$(holdfast \"${globals[@]}\" completion routes 2>/dev/null) ;;\n"
    "        HOP) choices=$(holdfast \"${globals[@]}\" completion hops 2>/dev/null) ;;\n"
    "        RULE) choices=$(holdfast \"${globals[@]}\" completion rules 2>/dev/null) ;;\n"
    "    esac\n"
    "}\n";

static const char bash_driver[] =
    "_holdfast()\n"
    "{\n"
    "    local line=${COMP_LINE:0:COMP_POINT} cur='' verb='' first='' word='' waiting=''\n"
    "    local flags='' choices='' kind='' prefix=''\n"
    "    local -a given globals=()\n"
    "    COMPREPLY=()\n"
    "    read -ra given <<< \"$line\"\n"
    "    if [[ $line != *[[:space:]] ]]; then\n"
    "        cur=${given[-1]}\n"
    "        unset 'given[-1]'\n"
    "    fi\n"
    "    for word in \"${given[@]:1}\"; do\n"
    "        _holdfast_word \"$word\"\n"
    "    done\n"
    "    _holdfast_choose \"$cur\"\n"
    "    local value=${cur#\"$prefix\"}\n"
    "    case $kind in\n"
    "        DIR) mapfile -t COMPREPLY < <(compgen -d -- \"$value\") ;;\n"
    "        FILE) mapfile -t COMPREPLY < <(compgen -f -- \"$value\") ;;\n"
    "        *) mapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$value\") ;;\n"
    "    esac\n"
    "    if [[ $kind == DIR || $kind == FILE ]]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "    elif [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then\n"
    "        compopt -o nospace 2>/dev/null\n"
    "    fi\n"
    "    # Where = does not part words, the shell replaces all of the word.\n"
    "    if [[ $prefix && $COMP_WORDBREAKS != *=* ]]; then\n"
    "        COMPREPLY=(\"${COMPREPLY[@]/#/$prefix}\")\n"
    "    fi\n"
    "}\n"
    "complete -F _holdfast holdfast\n";

static const char zsh_driver[] = "_holdfast()\n"
                                 "{\n"
                                 "    emulate -L zsh\n"
                                 "    local cur=$PREFIX verb='' first='' word='' waiting='' "
                                 "flags='' choices='' kind='' prefix=''\n"
                                 "    local -a globals\n"
                                 "    for word in \"${(@)words[2,CURRENT-1]}\"; do\n"
                                 "        _holdfast_word \"$word\"\n"
                                 "    done\n"
                                 "    _holdfast_choose \"$cur\"\n"
                                 "    [[ -n $prefix ]] && compset -P '*='\n"
                                 "    case $kind in\n"
                                 "        DIR) _files -/ ;;\n"
                                 "        FILE) _files ;;\n"
                                 "        TERM) compadd -S '' -- ${=choices} ;;\n"
                                 "        *) compadd -- ${=choices} ;;\n"
                                 "    esac\n"
                                 "}\n"
                                 "if [[ $funcstack[1] == _holdfast ]]; then\n"
                                 "    _holdfast \"$@\"\n"
                                 "else\n"
                                 "    compdef _holdfast holdfast\n"
                                 "fi\n";

/* --- the tables ------------------------------------------------------------------------------ */

/* Takes the next word of a command's operands, without brackets and dots, and moves *text behind
 * it. A bar is a word, too. Returns false when there is no more. */
static bool next_word(const char **text, char word[CLI_TEXT_SIZE])
{
    *text += strspn(*text, " []");
    size_t len = strcspn(*text, " []");
    assert(len < CLI_TEXT_SIZE); /* the tables are ours */
    memcpy(word, *text, len);
    word[len] = '\0';
    *text += len;
    word[strcspn(word, ".")] = '\0';
    return len > 0;
}

static bool is_literal(const char *word)
{
    return islower((unsigned char)word[0]) != 0;
}

/* Prints what the first operand of the command may be. */
static void print_verb(const struct command *command)
{
    const char *text = command->operands;
    char word[CLI_TEXT_SIZE];
    char kind[CLI_TEXT_SIZE] = "";
    bool begins = true;
    printf("        %s) flags='", command->name);
    for (size_t i = 0, n = 0; i < cli_option_count; i++) {
        if (options_takes(command, &cli_options[i])) {
            printf("%s%s", n++ == 0 ? "" : " ", cli_options[i].name);
        }
    }
    printf("' choices='");
    while (next_word(&text, word)) {
        if (begins && is_literal(word)) {
            printf("%s ", word);
        } else if (begins) {
            memcpy(kind, word, sizeof kind);
        }
        begins = strcmp(word, "|") == 0;
    }
    printf("' kind=%s ;;\n", kind);
}

/* Prints what the second operand may be, by the first: `export DIR`. */
static void print_second(const struct command *command)
{
    const char *text = command->operands;
    char word[CLI_TEXT_SIZE];
    char before[CLI_TEXT_SIZE] = "|";
    while (next_word(&text, word)) {
        if (is_literal(before) && !is_literal(word) && word[0] != '|') {
            printf("        '%s %s') kind=%s ;;\n", command->name, before, word);
        }
        memcpy(before, word, sizeof before);
    }
}

static void print_words(enum term_kind kind)
{
    for (size_t i = 0; terms_word(kind, i) != NULL; i++) {
        printf("%s%s", i == 0 ? "" : " ", terms_word(kind, i));
    }
}

static void print_term_value(const struct term *term)
{
    const char *kind = term->kind == TERM_ROUTE  ? "ROUTE"
                       : term->kind == TERM_HOP  ? "HOP"
                       : term->kind == TERM_RULE ? "RULE"
                                                 : "";
    printf("        '%s') kind=%s choices='", term->prefix, kind);
    print_words(term->kind);
    printf("' ;;\n");
}

static void print_option_value(const struct option *option)
{
    const char *value = option->value;
    if (value == NULL) {
        return;
    }
    const char *kind = strcmp(value, "DIR") == 0 ? "DIR" : strcmp(value, "PATH") == 0 ? "FILE" : "";
    printf("        %s) kind=%s choices='", option->name, kind);
    for (size_t i = 0; strcmp(value, "FIELD") == 0 && options_field(i) != NULL; i++) {
        printf("%s%s", i == 0 ? "" : " ", options_field(i));
    }
    printf("' ;;\n");
}

static void print_lists(void)
{
    printf("_holdfast_verbs='");
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("%s%s", i == 0 ? "" : " ", cli_commands[i].name);
    }
    printf("'\n_holdfast_terms='all");
    for (size_t i = 0; i < cli_term_count; i++) {
        if (strpbrk(cli_terms[i].prefix, "<>") == NULL) { /* a shell takes < and > for itself */
            printf(" %s", cli_terms[i].prefix);
        }
    }
    printf("'\n_holdfast_valued='");
    for (size_t i = 0, n = 0; i < cli_option_count; i++) {
        if (cli_options[i].value != NULL && cli_options[i].value[0] != '[') {
            printf("%s%s", n++ == 0 ? "" : " ", cli_options[i].name);
        }
    }
    printf("'\n");
}

static void print_tables(void)
{
    print_lists();
    printf("_holdfast_verb()\n{\n    case \"$1\" in\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        print_verb(&cli_commands[i]);
    }
    printf("        *) flags='");
    for (size_t i = 0, n = 0; i < cli_option_count; i++) {
        if ((cli_options[i].flag & CLI_OPTS_GLOBAL) != 0) {
            printf("%s%s", n++ == 0 ? "" : " ", cli_options[i].name);
        }
    }
    printf("' ;;\n    esac\n}\n_holdfast_second()\n{\n    case \"$1\" in\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        print_second(&cli_commands[i]);
    }
    printf("    esac\n}\n_holdfast_value()\n{\n    case \"$1\" in\n");
    for (size_t i = 0; i < cli_option_count; i++) {
        print_option_value(&cli_options[i]);
    }
    for (size_t i = 0; i < cli_term_count; i++) {
        print_term_value(&cli_terms[i]);
    }
    printf("    esac\n}\n");
    fputs(both, stdout);
}

/* --- names that control knows ---------------------------------------------------------------- */

static bool is_plain(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL) {
            return false; /* the shell must not see quotes, $ and the like */
        }
    }
    return name[0] != '\0';
}

static int print_names(struct cli *cli, const char *what)
{
    int r;
    size_t i;
    json_t *item;
    bool rules = strcmp(what, "rules") == 0;
    cli->wait_s = NAMES_WAIT_S;
    json_t *answer = client_request(cli, client_command(rules ? "rules" : "status"), &r);
    if (answer == NULL) {
        return r;
    }
    json_array_foreach(json_object_get(answer, what), i, item)
    {
        if (rules) {
            printf("%" PRId64 "\n", member_number(item, "id"));
        } else if (is_plain(member_text(item, "name"))) {
            puts(member_text(item, "name"));
        }
    }
    json_decref(answer);
    return CLI_EXIT_OK;
}

int command_completion(struct cli *cli, const struct args *args)
{
    const char *what = args->operand_count == 1 ? args->operand[0] : "";
    bool bash = strcmp(what, "bash") == 0;
    if (bash || strcmp(what, "zsh") == 0) {
        printf(bash ? "# bash completion for holdfast\n" : "#compdef holdfast\n");
        print_tables();
        fputs(bash ? bash_driver : zsh_driver, stdout);
        return CLI_EXIT_OK;
    }
    if (strcmp(what, "routes") == 0 || strcmp(what, "hops") == 0 || strcmp(what, "rules") == 0) {
        return print_names(cli, what);
    }
    return cli_fail(cli, CLI_EXIT_USAGE, "completion bash, or completion zsh");
}
