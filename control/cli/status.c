/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/status.c: `holdfast status`: what is wrong and what to do, on one page.
 *
 * Promise: what is wrong and what to do comes first, then what is stuck, why, and since when. A
 *          quiet relay is a few lines.
 * Trap:    the exit code is the worse of two: the level that control tells, and the level that
 *          follows from its numbers. So a fault in control's own level cannot silence a monitor.
 */
#include "control/cli/cli.h"

#include "common/counters.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { HINTS_MAX = 8 };

static bool spool_is(const json_t *answer, const char *state)
{
    const json_t *dataplane = json_object_get(answer, "dataplane");
    return strcmp(member_text(dataplane, "spool"), state) == 0;
}

/* Control has started and reads its spool: its figures are not whole. */
static bool is_recovering(const json_t *answer)
{
    return json_object_get(answer, "recovery") != NULL;
}

static int level_of(const json_t *answer, const json_t *problems)
{
    const json_t *totals = json_object_get(answer, "totals");
    int64_t told = member_number(answer, "level");
    int level = told >= 2 ? 2 : told == 1;
    int worst = problems_level(problems);
    level = worst > level ? worst : level;
    if (!member_true(json_object_get(answer, "dataplane"), "attached") || !spool_is(answer, "ok")) {
        return CLI_EXIT_CRITICAL;
    }
    bool someone = member_number(totals, "frozen") > 0 || member_number(totals, "held") > 0;
    return level == 0 && someone ? CLI_EXIT_WARNING : level;
}

static const char *level_word(int level)
{
    return level == CLI_EXIT_OK ? "OK" : level == CLI_EXIT_WARNING ? "WARNING" : "CRITICAL";
}

static void print_title(const json_t *answer, int level)
{
    render_field(level_word(level), member_text(answer, "hostname"));
}

static void print_head(const json_t *answer)
{
    const json_t *dataplane = json_object_get(answer, "dataplane");
    const json_t *totals = json_object_get(answer, "totals");
    char age[TEXT_SHORT_SIZE];
    char text[CLI_TEXT_SIZE];
    putchar('\n');
    if (member_true(dataplane, "attached")) {
        snprintf(text, sizeof text, "start %" PRId64 ", heartbeat %s ago",
                 member_number(dataplane, "start"),
                 text_age(member_number(dataplane, "heartbeat_age_ms"), age));
    } else if (is_recovering(answer)) {
        snprintf(text, sizeof text,
                 "not attached yet: control reads its spool first; one that runs takes mail "
                 "meanwhile");
    } else {
        snprintf(text, sizeof text, "NOT ATTACHED: no mail comes in, none is delivered");
    }
    render_field("dataplane", text);
    const char *effect = spool_is(answer, "full")     ? " (the outside gets 452)"
                         : spool_is(answer, "fenced") ? " (the outside gets 421)"
                                                      : "";
    if (member_true(dataplane, "attached")) {
        snprintf(text, sizeof text, "%s%s, %" PRId64 " segments free; policy generation %" PRId64,
                 member_text(dataplane, "spool"), effect, member_number(answer, "segments_free"),
                 member_number(answer, "policy_generation"));
    } else {
        snprintf(text, sizeof text, "not known (holdfast spool verify reads it alone)");
    }
    render_field("spool", text);
    snprintf(text, sizeof text,
             "accepted %" PRId64 ", delivered %" PRId64 ", waiting %" PRId64 ", frozen %" PRId64
             ", held %" PRId64,
             member_number(totals, "accepted_rcpts"), member_number(totals, "delivered_rcpts"),
             member_number(totals, "waiting_rcpts"), member_number(totals, "frozen_rcpts"),
             member_number(totals, "held_rcpts"));
    render_field("recipients", text);
    snprintf(text, sizeof text,
             "waiting %" PRId64 ", in flight %" PRId64 ", frozen %" PRId64 ", held %" PRId64
             "; possible duplicates %" PRId64,
             member_number(totals, "waiting"), member_number(totals, "in_flight"),
             member_number(totals, "frozen"), member_number(totals, "held"),
             member_number(totals, "possible_duplicates"));
    render_field("deliveries", text);
}

static void print_frozen(const json_t *answer)
{
    static const char *const titles[] = {"FROZEN ROUTE", "CLASS", ">MAIL", ">RCPTS", "REPLY"};
    struct table table;
    size_t i;
    json_t *item;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "frozen"), i, item)
    {
        table_cell(&table, member_text(item, "route"));
        table_cell(&table, member_text(item, "class"));
        table_format(&table, "%" PRId64, member_number(item, "count"));
        table_format(&table, "%" PRId64, member_number(item, "rcpts"));
        table_cell(&table, member_text(item, "sample_reply"));
    }
    if (table.cell_count > 0) {
        putchar('\n');
    }
    table_print(&table);
}

static bool route_is_quiet(const json_t *route)
{
    return member_number(route, "waiting") == 0 && member_number(route, "in_flight") == 0 &&
           member_number(route, "frozen") == 0 && member_number(route, "held") == 0;
}

static void print_routes(const json_t *answer, bool all)
{
    static const char *const titles[] = {"ROUTE", ">WAITING", ">IN FLIGHT", ">FROZEN",
                                         ">HELD", ">OLDEST",  "OWNER"};
    struct table table;
    char n[TEXT_SHORT_SIZE];
    size_t i;
    json_t *route;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "routes"), i, route)
    {
        if (route_is_quiet(route) && !all) {
            continue;
        }
        table_cell(&table, member_text(route, "name"));
        table_cell(&table, text_count(member_number(route, "waiting"), n));
        table_cell(&table, text_count(member_number(route, "in_flight"), n));
        table_cell(&table, text_count(member_number(route, "frozen"), n));
        table_cell(&table, text_count(member_number(route, "held"), n));
        table_cell(&table, route_is_quiet(route)
                               ? "-"
                               : text_age(member_number(route, "oldest_age_ms"), n));
        table_cell(&table, member_text(route, "owner"));
    }
    if (table.cell_count > 0) {
        putchar('\n');
    }
    table_print(&table);
}

static bool hop_is_quiet(const json_t *hop)
{
    return strcmp(member_text(hop, "breaker"), "closed") == 0 &&
           member_number(hop, "failures") == 0;
}

/* "timeout", "tempfail 451 4.3.0 try later": the class, then the hop's own words. */
static void format_reply(const json_t *object, const char *class_key, const char *code_key,
                         const char *text_key, char out[CLI_TEXT_SIZE])
{
    const char *reply = member_text(object, text_key);
    const char *class = member_text(object, class_key);
    int64_t code = member_number(object, code_key);
    char number[8] = "";
    snprintf(number, sizeof number, "%03d", (int)(code % 1000));
    bool has_number = strncmp(reply, number, 3) == 0; /* the reply begins with its own code */
    snprintf(out, CLI_TEXT_SIZE, "%s%s%s%s%s", class, code == 0 || has_number ? "" : " ",
             code == 0 || has_number ? "" : number, reply[0] == '\0' ? "" : " ", reply);
}

static void print_hops(const json_t *answer, bool all, int64_t now_ms)
{
    static const char *const titles[] = {"HOP",        "BREAKER",     ">FAILURES",  ">FOR",
                                         ">IN FLIGHT", ">NEXT PROBE", "LAST ANSWER"};
    struct table table;
    char n[TEXT_SHORT_SIZE];
    char reply[CLI_TEXT_SIZE];
    size_t i;
    json_t *hop;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "hops"), i, hop)
    {
        if (hop_is_quiet(hop) && !all) {
            continue;
        }
        bool open = strcmp(member_text(hop, "breaker"), "closed") != 0;
        int64_t since_ms = member_number(hop, "since_ms");
        table_cell(&table, member_text(hop, "name"));
        table_cell(&table, member_text(hop, "breaker"));
        table_cell(&table, text_count(member_number(hop, "failures"), n));
        table_cell(&table,
                   since_ms == 0 || now_ms < since_ms ? "-" : text_age(now_ms - since_ms, n));
        table_cell(&table, text_count(member_number(hop, "in_flight"), n));
        table_cell(&table, open ? text_age(member_number(hop, "next_probe_ms"), n) : "-");
        format_reply(hop, "last_outcome", "last_code", "last_text", reply);
        table_cell(&table, reply);
    }
    if (table.cell_count > 0) {
        putchar('\n');
    }
    table_print(&table);
}

/* --- what to type next ----------------------------------------------------------------------- */

struct hints {
    size_t count;
};

__attribute__((format(printf, 3, 4))) static void hint(struct hints *hints, const char *why,
                                                       const char *format, ...)
{
    char command[CLI_TEXT_SIZE];
    char clean[CLI_TEXT_SIZE];
    va_list args;
    if (hints->count++ >= HINTS_MAX) {
        return;
    }
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (hints->count == 1) {
        printf("\nnext:\n");
    }
    printf("  %-52s # %s\n", utf8_clean(command, clean, sizeof clean), why);
}

static void print_hints(const json_t *answer)
{
    struct hints hints = {0};
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answer, "hops"), i, item)
    {
        if (strcmp(member_text(item, "breaker"), "closed") != 0) {
            hint(&hints, "once it is mended: do not wait for the probe",
                 "holdfast retry hop=%s --reason TEXT", member_text(item, "name"));
        }
    }
    json_array_foreach(json_object_get(answer, "frozen"), i, item)
    {
        hint(&hints, "which mail, and the whole reply", "holdfast list route=%s class=%s",
             member_text(item, "route"), member_text(item, "class"));
    }
    json_t *frozen = json_array_get(json_object_get(answer, "frozen"), 0);
    if (frozen != NULL) {
        hint(&hints, "once the cause is gone", "holdfast release route=%s class=%s --reason TEXT",
             member_text(frozen, "route"), member_text(frozen, "class"));
    }
    if (member_number(json_object_get(answer, "totals"), "held") > 0) {
        hint(&hints, "who holds it, and why", "holdfast rules");
    }
    if (hints.count > HINTS_MAX) {
        printf("  (%zu more)\n", hints.count - HINTS_MAX);
    }
}

static void print_counters(const json_t *answer)
{
    static const char *const titles[] = {"COUNTER", ">VALUE", "UNIT", "MEANING"};
    const json_t *counters = json_object_get(answer, "counters");
    struct table table;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        table_cell(&table, counter_info[i].name);
        table_format(&table, "%" PRId64, member_number(counters, counter_info[i].name));
        table_cell(&table, counter_info[i].unit);
        table_cell(&table, counter_info[i].meaning);
    }
    putchar('\n');
    table_print(&table);
}

int command_status(struct cli *cli, const struct args *args)
{
    int r;
    json_t *answer = client_request(cli, client_command("status"), &r);
    if (answer == NULL) {
        return r == CLI_EXIT_USAGE ? r : CLI_EXIT_CRITICAL;
    }
    bool told;
    json_t *problems = problems_of(answer, &told);
    int level = level_of(answer, problems);
    if (cli->json) {
        json_decref(problems);
        cli_print_json(answer);
        return level;
    }
    bool all = (args->given & CLI_OPT_ALL) != 0;
    print_title(answer, level);
    problems_print(problems, all);
    print_head(answer);
    print_frozen(answer);
    print_routes(answer, all);
    print_hops(answer, all, text_now_ms());
    if ((args->given & CLI_OPT_COUNTERS) != 0) {
        print_counters(answer);
    }
    if (!told) {
        print_hints(answer); /* otherwise each problem has said what to do */
    }
    json_decref(problems);
    json_decref(answer);
    return level;
}
