/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/act.c: `hold`, `release`, `retry`, and `rules remove`: what changes something.
 *
 *   reason? ─▶ ask control for the plan (dry_run) ─▶ print it ─▶ yes? ─▶ do it ─▶ say what was done
 *
 * Promise: the command acts only with a reason, after it printed the plan, and after a yes. The yes
 *          is typed at a terminal, or is --yes. --yes=COUNT counts only while the plan has that
 *          count.
 * Trap:    standard input that is not a terminal is never a yes.
 */
#include "control/cli/act.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The number of deliveries. Each command names it differently. */
static int64_t count_of(const json_t *answer)
{
    static const char *const keys[] = {"deliveries", "released", "retried"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (json_object_get(answer, keys[i]) != NULL) {
            return member_number(answer, keys[i]);
        }
    }
    return 0;
}

static void print_unreadable(const json_t *answer, FILE *out)
{
    int64_t count = member_number(answer, "unreadable");
    if (count > 0) {
        fprintf(out,
                "%" PRId64 " more stay frozen: they are damaged, and for whom they are cannot be "
                "read (OPERATING, Damage)\n",
                count);
    }
}

static void print_plan(const char *verb, const json_t *request, const json_t *plan, FILE *out)
{
    char clean[CLI_TEXT_SIZE];
    size_t i;
    json_t *term;
    fprintf(out, "%s", verb);
    json_array_foreach(json_object_get(request, "select"), i, term)
    {
        fprintf(out, " %s", utf8_clean(json_string_value(term), clean, sizeof clean));
    }
    if (json_object_get(request, "remove") != NULL) {
        fprintf(out, " rule %" PRId64, member_number(request, "remove"));
    }
    fprintf(out, ": %" PRId64 " deliveries", count_of(plan));
    if (json_object_get(plan, "rcpts") != NULL) {
        fprintf(out, ", %" PRId64 " recipients", member_number(plan, "rcpts"));
    }
    if (member_number(plan, "in_flight") > 0) {
        fprintf(out, "; %" PRId64 " are under way now", member_number(plan, "in_flight"));
    }
    fprintf(out, "\n");
    print_unreadable(plan, out);
}

/* Asks at the terminal. Anything but "yes" or "y" alone, in whatever case, is a no. */
static bool ask(void)
{
    static const char blanks[] = " \t\r\n";
    char line[128];
    fprintf(stderr, "do it? [yes/no] ");
    fflush(stderr);
    if (fgets(line, sizeof line, stdin) == NULL) {
        return false;
    }
    if (strchr(line, '\n') == NULL && !feof(stdin)) {
        return false; /* what follows is not in the line, and may take it back */
    }
    char *word = line + strspn(line, blanks);
    size_t len = strcspn(word, blanks);
    bool alone = word[len + strspn(word + len, blanks)] == '\0';
    word[len] = '\0';
    return alone && (strcasecmp(word, "yes") == 0 || strcasecmp(word, "y") == 0);
}

static int confirm(const struct cli *cli, const struct args *args, int64_t count)
{
    if (args->has_yes_count && (int64_t)args->yes_count != count) {
        return cli_fail(cli, CLI_EXIT_USAGE,
                        "the plan has %" PRId64 " deliveries, not %" PRIu64 ": nothing was changed",
                        count, args->yes_count);
    }
    if ((args->given & CLI_OPT_YES) != 0) {
        return 0;
    }
    if (!isatty(STDIN_FILENO)) {
        return cli_fail(cli, CLI_EXIT_USAGE,
                        "not a terminal: give --yes or --yes=%" PRId64 " (nothing was changed)",
                        count);
    }
    return ask() ? 0 : cli_fail(cli, CLI_EXIT_WARNING, "nothing was changed");
}

static int make_plan(struct cli *cli, const json_t *request, json_t **plan_out)
{
    int r;
    json_t *dry = json_deep_copy(request);
    assert(dry != NULL);
    json_object_set_new(dry, "dry_run", json_true());
    *plan_out = client_request(cli, dry, &r);
    return *plan_out == NULL ? r : 0;
}

static bool reason_is_given(const struct args *args)
{
    return args->reason != NULL && args->reason[strspn(args->reason, " \t")] != '\0';
}

int act_request(struct cli *cli, const struct args *args, const char *verb, json_t *request,
                json_t **answer_out)
{
    json_t *plan = NULL;
    bool dry_run = (args->given & CLI_OPT_DRY_RUN) != 0;
    int r = 0;
    *answer_out = NULL;
    if (!dry_run && !reason_is_given(args)) {
        bool removes = json_object_get(request, "remove") != NULL;
        r = cli_fail(cli, CLI_EXIT_USAGE, "%s needs --reason TEXT (it is kept in the audit)",
                     removes ? "rules remove" : verb);
    }
    if (r == 0) {
        r = make_plan(cli, request, &plan);
    }
    if (r == 0 && (!cli->json || !dry_run)) {
        print_plan(verb, request, plan, cli->json ? stderr : stdout);
        fflush(stdout);
    }
    if (r == 0 && dry_run) {
        if (cli->json) {
            cli_print_json(json_incref(plan));
        } else {
            printf("dry run: nothing was changed\n");
        }
    } else if (r == 0) {
        r = confirm(cli, args, count_of(plan));
        if (r == 0) {
            json_object_set_new(request, "reason", json_string(args->reason));
            /* The person said yes to this count. When it is another by now, control refuses. */
            bool asked = (args->given & CLI_OPT_YES) == 0 && strcmp(verb, "release") == 0;
            if (args->has_yes_count || asked) {
                json_object_set_new(request, "yes_count", json_integer(count_of(plan)));
            }
            *answer_out = client_request(cli, json_incref(request), &r);
        }
    }
    json_decref(plan);
    json_decref(request);
    if (r == 0 && *answer_out != NULL && cli->json) {
        cli_print_json(*answer_out);
        *answer_out = NULL;
    }
    return r;
}

/* The request of a command that acts on a selection, or NULL after saying what is wrong. */
static json_t *selected(const struct cli *cli, const struct args *args, const char *cmd)
{
    if (args->operand_count == 0) {
        cli_fail(cli, CLI_EXIT_USAGE, "%s: which mail? (a selection, or the word all)", cmd);
        return NULL;
    }
    json_t *select = terms_select(cli, args, 0);
    if (select == NULL) {
        return NULL;
    }
    json_t *request = client_command(cmd);
    json_object_set_new(request, "select", select);
    return request;
}

int command_hold(struct cli *cli, const struct args *args)
{
    json_t *request = selected(cli, args, "hold");
    if (request == NULL) {
        return CLI_EXIT_USAGE;
    }
    json_t *answer;
    int r = act_request(cli, args, "hold", request, &answer);
    if (answer == NULL) {
        return r;
    }
    int64_t rule = member_number(answer, "rule");
    printf("rule %" PRId64 ": held %" PRId64 " deliveries, %" PRId64 " recipients\n", rule,
           member_number(answer, "deliveries"), member_number(answer, "rcpts"));
    if (member_number(answer, "in_flight") > 0) {
        printf("%" PRId64 " were past recall and will complete\n",
               member_number(answer, "in_flight"));
    }
    printf("next: holdfast release rule=%" PRId64 " --reason TEXT\n", rule);
    json_decref(answer);
    return CLI_EXIT_OK;
}

void act_print_released(const json_t *answer)
{
    size_t i;
    json_t *rule;
    printf("released %" PRId64 " deliveries, %" PRId64 " recipients: due now\n",
           member_number(answer, "released"), member_number(answer, "rcpts"));
    print_unreadable(answer, stdout);
    json_array_foreach(json_object_get(answer, "rules_ended"), i, rule)
    {
        printf("rule %" PRId64 " is ended\n", (int64_t)json_integer_value(rule));
    }
}

int command_release(struct cli *cli, const struct args *args)
{
    json_t *request = selected(cli, args, "release");
    if (request == NULL) {
        return CLI_EXIT_USAGE;
    }
    json_t *answer;
    int r = act_request(cli, args, "release", request, &answer);
    if (answer != NULL) {
        act_print_released(answer);
        printf("next: holdfast status\n");
        json_decref(answer);
    }
    return r;
}

int command_retry(struct cli *cli, const struct args *args)
{
    json_t *request = selected(cli, args, "retry");
    if (request == NULL) {
        return CLI_EXIT_USAGE;
    }
    json_t *answer;
    int r = act_request(cli, args, "retry", request, &answer);
    if (answer != NULL) {
        printf("%" PRId64 " deliveries are due now\nnext: holdfast status\n",
               member_number(answer, "retried"));
        json_decref(answer);
    }
    return r;
}
