/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/problems.c: what is wrong, as `status` shows it first: a sentence for each problem,
 * and what to do.
 *
 * Promise: the worst problem comes first. Damage, orphans and a full spool are told in words, also
 *          when control's answer has no list of problems.
 */
#include "control/cli/cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { PROBLEMS_SHOWN_MAX = 20 };

__attribute__((format(printf, 5, 6))) static void add_problem(json_t *problems, const char *what,
                                                              int level, const char *act,
                                                              const char *format, ...)
{
    char text[CLI_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int r = json_array_append_new(
        problems, json_pack("{sssissss}", "what", what, "level", level, "text", text, "do", act));
    assert(r == 0);
}

/* Makes the list from the numbers of an answer that has no list of problems. */
static json_t *find_plain(const json_t *answer)
{
    const json_t *totals = json_object_get(answer, "totals");
    const json_t *dataplane = json_object_get(answer, "dataplane");
    const char *spool = member_text(dataplane, "spool");
    json_t *problems = json_array();
    if (!member_true(dataplane, "attached")) {
        add_problem(problems, "detached", 2, "see whether holdfast-dataplane runs, and its log",
                    "no dataplane is attached: no mail comes in, none is delivered");
    } else if (strcmp(spool, "fenced") == 0) {
        add_problem(problems, "spool_fenced", 2, "holdfast spool verify",
                    "the disk of the spool failed: senders get 421 (OPERATING, Damage)");
    } else if (strcmp(spool, "full") == 0) {
        add_problem(problems, "spool_full", 2, "holdfast count --by route",
                    "the spool is full: senders get 452");
    }
    if (member_number(totals, "damaged") > 0) {
        add_problem(problems, "damage", 2, "holdfast spool verify",
                    "%" PRId64 " places in the spool are damaged (OPERATING, Damage)",
                    member_number(totals, "damaged"));
    }
    if (member_number(totals, "orphans") > 0) {
        add_problem(problems, "orphans", 1, "holdfast list state=orphan",
                    "%" PRId64 " deliveries are orphans: their route is not in the configuration; "
                    "put a route of that name back",
                    member_number(totals, "orphans"));
    }
    return problems;
}

static void print_problem(const json_t *problem)
{
    char text[CLI_TEXT_SIZE];
    int64_t level = member_number(problem, "level");
    const char *act = member_text(problem, "do");
    render_field(level >= 2   ? "CRITICAL"
                 : level == 1 ? "WARNING"
                              : "NOTE",
                 member_text(problem, "text"));
    if (act[0] != '\0') {
        snprintf(text, sizeof text, "do: %s", act);
        render_field("", text);
    }
}

/* The worst first, else in the order in which they were told. */
void problems_print(const json_t *problems, bool all)
{
    size_t shown = 0;
    if (json_array_size(problems) > 0) {
        putchar('\n');
    }
    for (int level = 2; level >= 0; level--) {
        size_t i;
        json_t *problem;
        json_array_foreach(problems, i, problem)
        {
            int64_t its = member_number(problem, "level");
            its = its > 2 ? 2 : its < 0 ? 0 : its;
            if (its == level && (all || shown++ < PROBLEMS_SHOWN_MAX)) {
                print_problem(problem);
            }
        }
    }
    if (!all && shown > PROBLEMS_SHOWN_MAX) {
        printf("(%zu more: --all)\n", shown - PROBLEMS_SHOWN_MAX);
    }
}

json_t *problems_of(const json_t *answer, bool *told_out)
{
    json_t *told = json_object_get(answer, "problems");
    *told_out = json_is_array(told);
    return *told_out ? json_incref(told) : find_plain(answer);
}

int problems_level(const json_t *problems)
{
    int level = CLI_EXIT_OK;
    size_t i;
    json_t *problem;
    json_array_foreach(problems, i, problem)
    {
        int64_t its = member_number(problem, "level");
        int capped = its >= 2 ? CLI_EXIT_CRITICAL : its == 1 ? CLI_EXIT_WARNING : CLI_EXIT_OK;
        level = capped > level ? capped : level;
    }
    assert(level >= CLI_EXIT_OK && level <= CLI_EXIT_CRITICAL);
    return level;
}
