/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/offline.c: `spool list|verify|export`: a spool read from its files alone.
 *
 * Promise: it works while neither daemon runs, and beside running ones. It writes nothing, except
 *          that export writes into its target.
 * Trap:    the files hold the numbers of routes and hops. The names are in control's database.
 */
#include "control/cli/cli.h"
#include "control/cli/known.h"

#include "common/config.h"
#include "common/id.h"
#include "spool/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct listing {
    const struct cli *cli;
    bool all;
    uint64_t shown;
    uint64_t done; /* messages wholly delivered, not shown */
};

static void copy_text(struct bytes b, char out[CLI_TEXT_SIZE])
{
    char raw[CLI_TEXT_SIZE];
    bytes_copy_str(b, raw, sizeof raw);
    utf8_clean(raw, out, CLI_TEXT_SIZE);
}

static const char *state_of(const struct spool_tool_delivery *d)
{
    unsigned delivered = rcptset_count(&d->delivered);
    unsigned frozen = rcptset_count(&d->frozen);
    return delivered >= d->rcpt_count            ? "delivered"
           : delivered + frozen >= d->rcpt_count ? "frozen"
                                                 : "waiting";
}

static bool is_done(const struct spool_tool_item *item)
{
    for (uint32_t i = 0; i < item->delivery_count; i++) {
        if (rcptset_count(&item->delivery[i].delivered) < item->delivery[i].rcpt_count) {
            return false;
        }
    }
    return item->has_envelope;
}

/* The recipients of that delivery, in their order. */
static json_t *rcpts_of(const struct spool_tool_item *item, const struct spool_tool_delivery *d)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < item->envelope->rcpt_count; i++) {
        if (item->envelope->rcpt[i].route_index == id_index(d->id)) {
            char text[CLI_TEXT_SIZE];
            copy_text(item->envelope->rcpt[i].address, text);
            json_array_append_new(list, json_string(text));
        }
    }
    return list;
}

static json_t *delivery_json(const struct spool_tool_item *item,
                             const struct spool_tool_delivery *d)
{
    char id[ID_TEXT_SIZE];
    char reply[CLI_TEXT_SIZE] = "";
    enum outcome class = OUTCOME_NONE;
    if (d->has_state) {
        copy_text(bytes_of(d->last.text, d->last.text_len < sizeof d->last.text
                                             ? d->last.text_len
                                             : sizeof d->last.text),
                  reply);
        class = outcome_valid(d->last.outcome) ? (enum outcome)d->last.outcome : OUTCOME_NONE;
    }
    return json_pack("{sssssIsisisissssso}", "id", id_format(d->id, id), "state", state_of(d),
                     "route_id", (json_int_t)d->route_id, "rcpt_count", (int)d->rcpt_count,
                     "delivered", (int)rcptset_count(&d->delivered), "frozen",
                     (int)rcptset_count(&d->frozen), "class", outcome_text(class), "reply", reply,
                     "rcpts", rcpts_of(item, d));
}

static void print_json_item(struct listing *listing, const struct spool_tool_item *item)
{
    char id[ID_TEXT_SIZE];
    char sender[CLI_TEXT_SIZE] = "";
    json_t *deliveries = json_array();
    if (item->has_envelope) {
        copy_text(item->envelope->sender, sender);
        for (uint32_t i = 0; i < item->delivery_count; i++) {
            json_array_append_new(deliveries, delivery_json(item, &item->delivery[i]));
        }
    }
    json_t *object = json_pack("{sssbsssIsIso}", "id", id_format(item->id, id), "whole_envelope",
                               (int)item->has_envelope, "sender", sender, "received_ms",
                               (json_int_t)item->received_ms, "size", (json_int_t)item->body_bytes,
                               "deliveries", deliveries);
    assert(object != NULL);
    fputs(listing->shown == 0 ? "" : ",\n", stdout);
    int r = json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    assert(r == 0 || ferror(stdout));
    json_decref(object);
}

static void print_delivery(const struct spool_tool_item *item, const struct spool_tool_delivery *d,
                           const char *sender)
{
    char id[ID_TEXT_SIZE];
    char age[TEXT_SHORT_SIZE];
    char size[TEXT_SHORT_SIZE];
    char reply[CLI_TEXT_SIZE];
    json_t *rcpts = rcpts_of(item, d);
    const char *first = json_string_value(json_array_get(rcpts, 0));
    printf("%-13s  %-9s  %5u  %8s  %7s  %s > %s", id_format(d->id, id), state_of(d), d->route_id,
           text_age(text_now_ms() - (int64_t)item->received_ms, age),
           text_size((int64_t)item->body_bytes, size), sender[0] == '\0' ? "<>" : sender,
           first == NULL ? "-" : first);
    if (json_array_size(rcpts) > 1) {
        printf(" (+%zu)", json_array_size(rcpts) - 1);
    }
    putchar('\n');
    if (d->has_state && outcome_valid(d->last.outcome) && strcmp(state_of(d), "delivered") != 0) {
        copy_text(bytes_of(d->last.text, d->last.text_len < sizeof d->last.text
                                             ? d->last.text_len
                                             : sizeof d->last.text),
                  reply);
        printf("    %s: %s\n", outcome_text((enum outcome)d->last.outcome), reply);
    }
    json_decref(rcpts);
}

static int on_item(void *ctx, const struct spool_tool_item *item)
{
    struct listing *listing = ctx;
    char sender[CLI_TEXT_SIZE];
    char id[ID_TEXT_SIZE];
    if (is_done(item) && !listing->all) {
        listing->done++;
        return 0;
    }
    if (listing->cli->json) {
        print_json_item(listing, item);
    } else if (!item->has_envelope) {
        printf("%-13s  damaged: its first record is gone or bad\n", id_format(item->id, id));
    } else {
        copy_text(item->envelope->sender, sender);
        for (uint32_t i = 0; i < item->delivery_count; i++) {
            print_delivery(item, &item->delivery[i], sender);
        }
    }
    listing->shown++;
    return ferror(stdout) ? -EIO : 0;
}

static int run_list(struct cli *cli, const struct args *args, const char *dir,
                    const struct spool_tool_source *source)
{
    struct listing listing = {.cli = cli, .all = (args->given & CLI_OPT_ALL) != 0};
    if (cli->json) {
        printf("{\"v\":1,\"ok\":true,\"messages\":[\n");
    } else {
        printf("%-13s  %-9s  %5s  %8s  %7s  %s\n", "ID", "STATE", "ROUTE", "AGE", "SIZE",
               "FROM > TO");
    }
    int r = spool_tool_list(source, on_item, &listing);
    if (cli->json) {
        printf("],\"complete\":%s}\n", r == 0 ? "true" : "false");
    } else {
        printf("%" PRIu64 " messages; %" PRIu64 " wholly delivered ones not shown (--all)\n",
               listing.shown, listing.done);
    }
    if (r < 0) {
        fprintf(stderr, "holdfast: %s: the list is not complete: %s\n", dir,
                trouble_text(source->trouble, r));
    }
    return r == 0 ? CLI_EXIT_OK : CLI_EXIT_CRITICAL;
}

/* --- verify, export -------------------------------------------------------------------------- */

struct complaints {
    const struct cli *cli;
    json_t *list;
};

static void on_bad(void *ctx, uint64_t pos, uint64_t id, const char *why)
{
    struct complaints *complaints = ctx;
    char text[ID_TEXT_SIZE] = "";
    if (id != 0) {
        id_format(id, text);
    }
    json_array_append_new(complaints->list,
                          json_pack("{sIsIssss}", "segment", (json_int_t)spool_pos_seq(pos),
                                    "offset", (json_int_t)spool_pos_offset(pos), "id", text, "why",
                                    why));
    if (!complaints->cli->json) {
        printf("BAD  segment %" PRIu64 " offset %" PRIu32 "%s%s: %s\n", spool_pos_seq(pos),
               spool_pos_offset(pos), id == 0 ? "" : "  message ", text, why);
    }
}

static int run_verify(struct cli *cli, const char *dir, const struct spool_tool_source *source)
{
    struct complaints complaints = {.cli = cli, .list = json_array()};
    struct spool_tool_counts c = {0};
    int r = spool_tool_verify(source, &c, on_bad, &complaints);
    if (r < 0) {
        json_decref(complaints.list);
        return cli_fail(cli, CLI_EXIT_CRITICAL, "%s: verify did not come to its end: %s", dir,
                        trouble_text(source->trouble, r));
    }
    if (cli->json) {
        cli_print_json(json_pack("{sisbsIsIsIsIsIsIsIso}", "v", 1, "ok", (int)(r == 0), "segments",
                                 (json_int_t)c.segments, "records", (json_int_t)c.records,
                                 "messages", (json_int_t)c.messages, "states", (json_int_t)c.states,
                                 "damaged", (json_int_t)c.damaged, "torn", (json_int_t)c.torn,
                                 "broken", (json_int_t)c.broken, "bad", complaints.list));
    } else {
        char size[TEXT_SHORT_SIZE];
        printf("%s: %" PRIu64 " segments, %" PRIu64 " records, %" PRIu64 " messages (%s), %" PRIu64
               " states; %" PRIu64 " damaged places, %" PRIu64 " broken messages, %" PRIu64
               " torn ends (normal after a crash)\n",
               r == 0 ? "good" : "DAMAGE", c.segments, c.records, c.messages,
               text_size((int64_t)c.body_bytes, size), c.states, c.damaged, c.broken, c.torn);
        json_decref(complaints.list);
    }
    return r == 0 ? CLI_EXIT_OK : CLI_EXIT_CRITICAL;
}

static int run_export(struct cli *cli, const char *target, const struct spool_tool_source *source)
{
    struct complaints complaints = {.cli = cli, .list = json_array()};
    uint64_t exported = 0;
    if (mkdir(target, 0700) < 0 && errno != EEXIST) {
        json_decref(complaints.list);
        return cli_fail(cli, CLI_EXIT_CRITICAL, "%s: making the directory: %s", target,
                        trouble_meaning(-errno));
    }
    int r = spool_tool_export(source, target, &exported, on_bad, &complaints);
    bool whole = json_array_size(complaints.list) == 0;
    if (r < 0) {
        json_decref(complaints.list);
        return cli_fail(cli, CLI_EXIT_CRITICAL,
                        "export to %s: %s (%" PRIu64 " messages were written before)", target,
                        trouble_text(source->trouble, r), exported);
    }
    if (cli->json) {
        cli_print_json(json_pack("{sisbsIso}", "v", 1, "ok", 1, "exported", (json_int_t)exported,
                                 "bad", complaints.list));
        return whole ? CLI_EXIT_OK : CLI_EXIT_CRITICAL;
    }
    printf("%" PRIu64 " messages in %s: ID.eml as received, ID.json who to and what became of "
           "them\n",
           exported, target);
    json_decref(complaints.list);
    return whole ? CLI_EXIT_OK : CLI_EXIT_CRITICAL;
}

/* --- the command ----------------------------------------------------------------------------- */

static int find_dir(const struct cli *cli, const struct args *args, char dir[CONFIG_PATH_SIZE])
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    if (args->dir != NULL) {
        return bytes_copy_str(bytes_str(args->dir), dir, CONFIG_PATH_SIZE) == strlen(args->dir)
                   ? 0
                   : cli_fail(cli, CLI_EXIT_USAGE, "--dir: the path is too long");
    }
    if (config_load(cli->config_path, &config, error) < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "%s (or give --dir DIR)", error);
    }
    bytes_copy_str(bytes_str(config->spool.dir), dir, CONFIG_PATH_SIZE);
    config_free(config);
    return 0;
}

static int count_segment(void *ctx, uint64_t seq)
{
    uint64_t *count = ctx;
    (void)seq;
    (*count)++;
    return 0;
}

/* A directory without a segment is probably the wrong directory. It must not be called good. */
static int run(struct cli *cli, const struct args *args, const char *dir,
               const struct spool_tool_source *source)
{
    uint64_t segments = 0;
    int r = spool_list_segments(source->reader, count_segment, &segments);
    if (r < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "%s: %s", dir, trouble_text(source->trouble, r));
    }
    if (segments == 0) {
        return cli_fail(cli, CLI_EXIT_WARNING, "%s: no segments (is it the spool's directory?)",
                        dir);
    }
    if (strcmp(args->operand[0], "list") == 0) {
        return run_list(cli, args, dir, source);
    }
    return args->operand_count == 2 ? run_export(cli, args->operand[1], source)
                                    : run_verify(cli, dir, source);
}

static int run_on(struct cli *cli, const struct args *args, const char *dir, struct spool_io *io)
{
    struct spool_reader *reader;
    int r = spool_reader_open(io, &reader);
    if (r < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "%s: this spool cannot be read: %s", dir,
                        trouble_text(io->trouble, r));
    }
    struct known *known = known_load(io, &r);
    if (r != 0) {
        fprintf(stderr, "holdfast: %s: %s: mail that was delivered long ago may show as waiting\n",
                dir, trouble_text(io->trouble, r));
    }
    struct spool_tool_source source = {.reader = reader,
                                       .trouble = io->trouble,
                                       .hint = known == NULL ? NULL : known_ask,
                                       .hint_ctx = known};
    int code = run(cli, args, dir, &source);
    known_free(known);
    spool_reader_close(reader);
    return code;
}

int command_spool(struct cli *cli, const struct args *args)
{
    const char *verb = args->operand_count > 0 ? args->operand[0] : "";
    bool is_export = strcmp(verb, "export") == 0;
    bool is_list = strcmp(verb, "list") == 0;
    if ((!is_export && !is_list && strcmp(verb, "verify") != 0) ||
        args->operand_count != (is_export ? 2u : 1u)) {
        return cli_fail(cli, CLI_EXIT_USAGE, "spool list, spool verify, or spool export DIR");
    }
    char dir[CONFIG_PATH_SIZE];
    int code = find_dir(cli, args, dir);
    if (code != 0) {
        return code;
    }
    struct spool_io *io;
    int r = spool_io_create(dir, "pwritev2", -1, true, &io);
    if (r < 0) {
        return cli_fail(cli, CLI_EXIT_CRITICAL, "%s: opening the spool's directory: %s", dir,
                        trouble_meaning(r));
    }
    struct trouble trouble = {0};
    io->trouble = &trouble;
    code = run_on(cli, args, dir, io);
    io->ops->destroy(io);
    return code;
}
