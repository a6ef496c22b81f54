/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/look.c: `list`, `count`, `show`: the deliveries themselves.
 *
 * Promise: a delivery that is stuck has a second line that says why: the class, the hop's reply,
 *          and the hop.
 */
#include "control/cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- list ------------------------------------------------------------------------------------ */

/* Writes why the delivery is in its state, or "" when there is nothing to say. */
static void format_why(const json_t *delivery, char out[CLI_TEXT_SIZE])
{
    const char *class = member_text(delivery, "class");
    const char *reply = member_text(delivery, "reply");
    const char *hop = member_text(delivery, "hop");
    const json_t *rules = json_object_get(delivery, "rules");
    int64_t code = member_number(delivery, "code");
    char number[24] = "";
    out[0] = '\0';
    size_t len = 0;
    if (class[0] != '\0' && strcmp(class, "none") != 0) {
        if (code != 0 && strtol(reply, NULL, 10) != code) {
            snprintf(number, sizeof number, " %" PRId64, code);
        }
        bool said = number[0] != '\0' || reply[0] != '\0';
        int n = snprintf(out, CLI_TEXT_SIZE, "%s%s%s%s%.250s%s%s", class, said ? ":" : "", number,
                         reply[0] == '\0' ? "" : " ", reply, hop[0] == '\0' ? "" : "  from ", hop);
        len = n < 0 || n >= CLI_TEXT_SIZE ? strlen(out) : (size_t)n;
    }
    for (size_t i = 0; i < json_array_size(rules) && len + 40 < CLI_TEXT_SIZE; i++) {
        len += (size_t)snprintf(out + len, CLI_TEXT_SIZE - len, "%sheld by rule %" PRId64,
                                len == 0 ? "" : "; ",
                                (int64_t)json_integer_value(json_array_get(rules, i)));
    }
}

static void add_delivery(struct table *table, const json_t *delivery)
{
    char n[TEXT_SHORT_SIZE];
    char why[CLI_TEXT_SIZE];
    const char *state = member_text(delivery, "state");
    const json_t *rcpts = json_object_get(delivery, "rcpts");
    const char *first = json_string_value(json_array_get(rcpts, 0));
    int64_t more = member_number(delivery, "rcpt_count") - 1;
    const char *sender = member_text(delivery, "sender");
    table_cell(table, member_text(delivery, "id"));
    table_cell(table, state);
    table_cell(table, member_text(delivery, "route"));
    table_cell(table, text_age(member_number(delivery, "age_ms"), n));
    table_cell(table, text_count(member_number(delivery, "attempts"), n));
    table_cell(table, strcmp(state, "waiting") == 0
                          ? text_age(member_number(delivery, "next_ms"), n)
                          : "-");
    table_cell(table, text_size(member_number(delivery, "size"), n));
    table_cell(table, sender[0] == '\0' ? "<>" : sender);
    if (more > 0) {
        table_format(table, "%.200s (+%" PRId64 ")", first == NULL ? "" : first, more);
    } else {
        table_cell(table, first == NULL ? "" : first);
    }
    format_why(delivery, why);
    if (why[0] != '\0') {
        table_note(table, why);
    }
}

static void print_list(const json_t *answer)
{
    static const char *const titles[] = {"ID",    "STATE", "ROUTE", ">AGE", ">TRIES",
                                         ">NEXT", ">SIZE", "FROM",  "TO"};
    struct table table;
    size_t i;
    json_t *item;
    json_t *last = NULL;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    table.width_max[7] = 40;
    table.width_max[8] = 48;
    json_array_foreach(json_object_get(answer, "deliveries"), i, item)
    {
        add_delivery(&table, item);
        last = item;
    }
    table_print(&table);
    printf("%zu of %" PRId64 "\n", i, member_number(answer, "total"));
    if (member_true(answer, "more") && last != NULL) {
        char clean[CLI_TEXT_SIZE];
        printf("more: add --after %s\n", utf8_clean(member_text(last, "id"), clean, sizeof clean));
    }
}

int command_list(struct cli *cli, const struct args *args)
{
    int r;
    json_t *select = terms_select(cli, args, 0);
    if (select == NULL) {
        return CLI_EXIT_USAGE;
    }
    json_t *request = client_command("list");
    json_object_set_new(request, "select", select);
    if ((args->given & CLI_OPT_LIMIT) != 0) {
        json_object_set_new(request, "limit", json_integer((json_int_t)args->limit));
    }
    if (args->after != NULL) {
        json_object_set_new(request, "after", json_string(args->after));
    }
    json_t *answer = client_request(cli, request, &r);
    if (answer == NULL) {
        return r;
    }
    if (cli->json) {
        cli_print_json(answer);
    } else {
        print_list(answer);
        json_decref(answer);
    }
    return CLI_EXIT_OK;
}

/* --- count ----------------------------------------------------------------------------------- */

static void print_count(const json_t *answer, const char *by)
{
    const char *const titles[] = {by == NULL ? "" : by, ">DELIVERIES", ">RECIPIENTS"};
    struct table table;
    size_t i;
    json_t *item;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "by"), i, item)
    {
        table_cell(&table, member_text(item, "key"));
        table_format(&table, "%" PRId64, member_number(item, "deliveries"));
        table_format(&table, "%" PRId64, member_number(item, "rcpts"));
    }
    table_print(&table);
    printf("%" PRId64 " deliveries, %" PRId64 " recipients\n", member_number(answer, "deliveries"),
           member_number(answer, "rcpts"));
}

/* "route,class": names of fields. Which may stand together, control says. */
static bool are_fields(const char *by)
{
    for (;;) {
        size_t len = strcspn(by, ",");
        bool known = false;
        for (size_t i = 0; !known && options_field(i) != NULL; i++) {
            known = strlen(options_field(i)) == len && strncmp(by, options_field(i), len) == 0;
        }
        if (!known || by[len] == '\0') {
            return known;
        }
        by += len + 1;
    }
}

int command_count(struct cli *cli, const struct args *args)
{
    int r;
    if (args->by != NULL && !are_fields(args->by)) {
        return cli_fail(cli, CLI_EXIT_USAGE,
                        "--by %s: route, state, class, hop, or several as in route,class; "
                        "or domain",
                        args->by);
    }
    json_t *select = terms_select(cli, args, 0);
    if (select == NULL) {
        return CLI_EXIT_USAGE;
    }
    json_t *request = client_command("count");
    json_object_set_new(request, "select", select);
    if (args->by != NULL) {
        json_object_set_new(request, "by", json_string(args->by));
    }
    json_t *answer = client_request(cli, request, &r);
    if (answer == NULL) {
        return r;
    }
    if (cli->json) {
        cli_print_json(answer);
    } else {
        print_count(answer, args->by);
        json_decref(answer);
    }
    return CLI_EXIT_OK;
}

/* --- show ------------------------------------------------------------------------------------ */

static void print_delivery(const json_t *answer)
{
    char n[TEXT_SHORT_SIZE];
    char text[CLI_TEXT_SIZE];
    const char *sender = member_text(answer, "sender");
    render_field("delivery", member_text(answer, "id"));
    snprintf(text, sizeof text, "%s on route %s", member_text(answer, "state"),
             member_text(answer, "route"));
    render_field("state", text);
    format_why(answer, text);
    render_field("why", text[0] == '\0' ? "-" : text);
    snprintf(text, sizeof text, "%s, ", text_time(member_number(answer, "received_ms"), n));
    size_t len = strlen(text);
    snprintf(text + len, sizeof text - len, "%s ago", text_age(member_number(answer, "age_ms"), n));
    render_field("received", text);
    snprintf(text, sizeof text, "%s (HELO %s)", member_text(answer, "client"),
             member_text(answer, "helo"));
    render_field("from host", text);
    render_field("sender", sender[0] == '\0' ? "<>" : sender);
    render_field("size", text_size(member_number(answer, "size"), n));
    if (strcmp(member_text(answer, "state"), "waiting") ==
        0) { /* in other states these numbers mean nothing */
        snprintf(text, sizeof text, "%" PRId64 ", next in %s", member_number(answer, "attempts"),
                 text_age(member_number(answer, "next_ms"), n));
        render_field("attempts", text);
    }
}

static void print_recipients(const json_t *answer)
{
    static const char *const titles[] = {"RECIPIENT", "STATE", "CLASS", ">CODE", "REPLY"};
    struct table table;
    char n[TEXT_SHORT_SIZE];
    size_t i;
    json_t *item;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "recipients"), i, item)
    {
        table_cell(&table, member_text(item, "rcpt"));
        table_cell(&table, member_text(item, "state"));
        table_cell(&table, member_text(item, "class"));
        table_cell(&table, text_count(member_number(item, "code"), n));
        table_cell(&table, member_text(item, "reply"));
    }
    putchar('\n');
    table_print(&table);
}

static void print_events(const json_t *answer)
{
    static const char *const titles[] = {"TIME", "EVENT", "CLASS", ">RCPTS",
                                         "HOP",  ">CODE", "REPLY"};
    struct table table;
    char n[TEXT_SHORT_SIZE];
    size_t i;
    json_t *item;
    table_init(&table, titles, sizeof titles / sizeof titles[0]);
    json_array_foreach(json_object_get(answer, "events"), i, item)
    {
        table_cell(&table, text_time(member_number(item, "time_ms"), n));
        table_cell(&table, member_text(item, "kind"));
        table_cell(&table, member_text(item, "class"));
        table_cell(&table, text_count(member_number(item, "rcpts"), n));
        table_cell(&table, member_text(item, "hop"));
        table_cell(&table, text_count(member_number(item, "code"), n));
        table_cell(&table, member_text(item, "reply"));
    }
    if (table.cell_count > 0) {
        putchar('\n');
    }
    table_print(&table);
}

/* Prints line by line, cleaned, to a terminal; byte by byte to a file or pipe. */
static void print_body_text(const char *body, size_t len)
{
    if (!isatty(STDOUT_FILENO)) {
        fwrite(body, 1, len, stdout);
        return;
    }
    const char *end = body + len;
    while (body < end) {
        const char *stop = memchr(body, '\n', (size_t)(end - body));
        size_t line_len = (size_t)((stop == NULL ? end : stop) - body);
        char *line =
            strndup(body, line_len > 0 && body[line_len - 1] == '\r' ? line_len - 1 : line_len);
        char *clean = malloc(line_len + 1);
        assert(line != NULL && clean != NULL);
        for (char *p = line; *p != '\0'; p++) {
            *p = *p == '\t' ? ' ' : *p;
        }
        puts(utf8_clean(line, clean, line_len + 1));
        free(clean);
        free(line);
        body += line_len + (stop != NULL);
    }
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c == '\0' ? NULL : strchr(digits, c);
    return p == NULL ? -1 : (int)(p - digits);
}

/* RFC 4648 section 4. The caller frees. */
static char *decode_base64(const char *text, size_t *len_out)
{
    char *out = malloc(strlen(text) / 4 * 3 + 4);
    uint32_t bits = 0;
    int bit_count = 0;
    size_t len = 0;
    assert(out != NULL);
    for (; base64_digit(*text) >= 0; text++) {
        bits = bits << 6 | (uint32_t)base64_digit(*text);
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out[len++] = (char)(bits >> bit_count);
        }
    }
    *len_out = len;
    return out;
}

static void print_body(const json_t *answer)
{
    const json_t *body = json_object_get(answer, "body");
    const char *encoded = json_string_value(json_object_get(answer, "body_base64"));
    putchar('\n');
    if (json_is_string(body)) {
        print_body_text(json_string_value(body), json_string_length(body));
    } else if (encoded != NULL) {
        size_t len;
        char *decoded = decode_base64(encoded, &len);
        print_body_text(decoded, len);
        free(decoded);
    } else {
        render_field("body", member_text(answer, "body_error"));
    }
    if (member_true(answer, "body_cut")) {
        printf("(cut here: it is longer; holdfast spool export has it all)\n");
    }
}

int command_show(struct cli *cli, const struct args *args)
{
    int r;
    if (args->operand_count != 1) {
        return cli_fail(cli, CLI_EXIT_USAGE, "show needs one ID (holdfast list shows them)");
    }
    const char *id = args->operand[0];
    json_t *request = client_command("show");
    json_object_set_new(request, "id", json_string(strncmp(id, "id=", 3) == 0 ? id + 3 : id));
    bool body = (args->given & CLI_OPT_BODY) != 0;
    json_object_set_new(request, "body", json_boolean(body));
    json_t *answer = client_request(cli, request, &r);
    if (answer == NULL) {
        return r;
    }
    if (cli->json) {
        cli_print_json(answer);
        return CLI_EXIT_OK;
    }
    print_delivery(answer);
    print_recipients(answer);
    print_events(answer);
    if (body) {
        print_body(answer);
    }
    json_decref(answer);
    return CLI_EXIT_OK;
}
