/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/rules.c: `rules` and `audit`: the holds that exist, and who did what. */
#include "control/cli/act.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The terms with spaces between, as they were typed. */
static void format_select(const json_t *select, char out[CLI_TEXT_SIZE])
{
    size_t len = 0;
    size_t i;
    json_t *term;
    out[0] = '\0';
    json_array_foreach(select, i, term)
    {
        const char *text = json_string_value(term);
        int n = snprintf(out + len, CLI_TEXT_SIZE - len, "%s%s", i == 0 ? "" : " ",
                         text == NULL ? "?" : text);
        if (n < 0 || len + (size_t)n >= CLI_TEXT_SIZE) {
            break;
        }
        len += (size_t)n;
    }
}

static void print_rules(const json_t *answer)
{
    static const char *const titles[] = {"RULE",   "KIND",   ">MAIL", ">AGE",
                                         "REVIEW", "AUTHOR", "SELECT"};
    struct table table;
    char n[TEXT_SHORT_SIZE];
    char select[CLI_TEXT_SIZE];
    int64_t now_ms = text_now_ms();
    size_t i;
    json_t *rule;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "rules"), i, rule)
    {
        int64_t review_ms = member_number(rule, "review_ms");
        table_format(&table, "%" PRId64, member_number(rule, "id"));
        table_cell(&table, member_text(rule, "kind"));
        table_cell(&table, text_count(member_number(rule, "matches"), n));
        table_cell(&table, text_age(now_ms - member_number(rule, "created_ms"), n));
        table_format(&table, "%.16s%s", text_time(review_ms, n),
                     review_ms != 0 && review_ms < now_ms ? " OVERDUE" : "");
        table_cell(&table, member_text(rule, "author"));
        format_select(json_object_get(rule, "select"), select);
        table_cell(&table, member_true(rule, "unreadable") ? "(unreadable: holds all)" : select);
        table_note(&table, member_text(rule, "reason"));
    }
    table_print(&table);
    if (i == 0) {
        printf("no rules: nothing is held\n");
    } else {
        printf("end one: holdfast release rule=N --reason TEXT\n");
    }
}

static int remove_rule(struct cli *cli, const struct args *args)
{
    const char *text = args->operand[1];
    char *end;
    long id = strtol(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || id <= 0) {
        return cli_fail(cli, CLI_EXIT_USAGE, "rules remove %s: not the number of a rule", text);
    }
    json_t *request = client_command("rules");
    json_object_set_new(request, "remove", json_integer(id));
    json_t *answer;
    int r = act_request(cli, args, "release", request, &answer);
    if (answer != NULL) {
        act_print_released(answer);
        json_decref(answer);
    }
    return r;
}

int command_rules(struct cli *cli, const struct args *args)
{
    int r;
    if (args->operand_count == 2 && strcmp(args->operand[0], "remove") == 0) {
        return remove_rule(cli, args);
    }
    if (args->operand_count != 0) {
        return cli_fail(cli, CLI_EXIT_USAGE, "rules, or rules remove ID");
    }
    if ((args->given & ~(unsigned)CLI_OPTS_GLOBAL) != 0) {
        return cli_fail(cli, CLI_EXIT_USAGE, "these options go with rules remove ID");
    }
    json_t *answer = client_request(cli, client_command("rules"), &r);
    if (answer == NULL) {
        return r;
    }
    if (cli->json) {
        cli_print_json(answer);
    } else {
        print_rules(answer);
        json_decref(answer);
    }
    return CLI_EXIT_OK;
}

static void print_audit(const json_t *answer)
{
    static const char *const titles[] = {"ID", "TIME", "WHO", "DID", ">COUNT", "RESULT", "SELECT"};
    struct table table;
    char n[TEXT_SHORT_SIZE];
    char select[CLI_TEXT_SIZE];
    size_t i;
    json_t *entry;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "entries"), i, entry)
    {
        table_format(&table, "%" PRId64, member_number(entry, "id"));
        table_cell(&table, text_time(member_number(entry, "time_ms"), n));
        table_cell(&table, member_text(entry, "who"));
        table_cell(&table, member_text(entry, "cmd"));
        table_format(&table, "%" PRId64, member_number(entry, "count"));
        table_cell(&table, member_text(entry, "result"));
        format_select(json_object_get(entry, "select"), select);
        table_cell(&table, select);
        table_note(&table, member_text(entry, "reason"));
    }
    table_print(&table);
}

static void print_jobs(const json_t *answer)
{
    static const char *const titles[] = {"ID", "KIND", "WHO", ">FOUND", ">ON THE WAY"};
    struct table table;
    size_t i;
    json_t *job;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "jobs"), i, job)
    {
        table_format(&table, "%" PRId64, member_number(job, "id"));
        table_cell(&table, member_text(job, "kind"));
        table_cell(&table, member_text(job, "who"));
        table_format(&table, "%" PRId64, member_number(job, "found"));
        table_format(&table, "%" PRId64, member_number(job, "on_the_way"));
    }
    table_print(&table);
}

int command_jobs(struct cli *cli, const struct args *args)
{
    int r;
    (void)args;
    json_t *answer = client_request(cli, client_command("jobs"), &r);
    if (answer == NULL) {
        return r;
    }
    if (cli->json) {
        cli_print_json(answer);
    } else {
        print_jobs(answer);
        json_decref(answer);
    }
    return CLI_EXIT_OK;
}

int command_audit(struct cli *cli, const struct args *args)
{
    int r;
    json_t *request = client_command("audit");
    json_object_set_new(
        request, "limit",
        json_integer((args->given & CLI_OPT_LIMIT) != 0 ? (json_int_t)args->limit : 50));
    json_t *answer = client_request(cli, request, &r);
    if (answer == NULL) {
        return r;
    }
    if (cli->json) {
        cli_print_json(answer);
    } else {
        print_audit(answer);
        json_decref(answer);
    }
    return CLI_EXIT_OK;
}
