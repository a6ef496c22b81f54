/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/bed.c: a worker's part around an SMTP session. See bed.h.
 *
 * Promise: gather buffers are allocated at their exact size, so that a sanitizer sees any overrun.
 */
#include "tests/unit/smtp/bed.h"

#include "common/crc32c.h"
#include "common/id.h"
#include "common/limits/chunk.h"

#include <stdio.h>
#include <stdlib.h>

void bed_text_add(struct bed_text *text, const void *data, size_t len)
{
    if (text->cap - text->len < len + 1) {
        text->cap = (text->len + len + 1) * 2;
        text->data = realloc(text->data, text->cap);
        assert(text->data != NULL);
    }
    if (len > 0) {
        memcpy(text->data + text->len, data, len);
    }
    text->len += len;
    text->data[text->len] = '\0';
}

void bed_text_clear(struct bed_text *text)
{
    text->len = 0;
    bed_text_add(text, "", 0);
}

void bed_text_free(struct bed_text *text)
{
    free(text->data);
    *text = (struct bed_text){0};
}

/* --- server ---------------------------------------------------------------------------------- */

static bool has_prefix(struct bytes b, const char *prefix)
{
    return bytes_equal_nocase(bytes_first(b, strlen(prefix)), bytes_str(prefix));
}

static enum smtp_rcpt_verdict lookup(void *ctx, struct bytes address, uint32_t *route_id_out)
{
    (void)ctx;
    size_t at = address.len;
    while (at > 0 && address.data[at - 1] != '@') {
        at--;
    }
    struct bytes domain = bytes_from(address, at);
    if (!bytes_equal_nocase(domain, bytes_str("campus.example")) &&
        !bytes_equal_nocase(domain, bytes_str("mx.campus.example"))) {
        return SMTP_RCPT_NOT_OURS;
    }
    if (has_prefix(address, "unknown")) {
        return SMTP_RCPT_UNKNOWN;
    }
    if (has_prefix(address, "untrusted")) {
        return SMTP_RCPT_UNTRUSTED;
    }
    *route_id_out = 7;
    if (address.data[0] == 'r' && address.len > 1 && address.data[1] >= '0' &&
        address.data[1] <= '9') {
        *route_id_out = (uint32_t)strtoul((const char *)address.data + 1, NULL, 10);
    }
    return SMTP_RCPT_ACCEPT;
}

void server_bed_init(struct server_bed *bed)
{
    memset(bed, 0, sizeof *bed);
    bed->env = (struct smtp_server_env){
        .hostname = "mx.campus.example",
        .message_bytes_max = 1000000,
        .rcpts_max = LIMIT_RCPTS,
        .lookup = lookup,
    };
    bed->buffer_cap = LIMIT_CHUNK_SMALL_BYTES;
    bed->wall_ms = UINT64_C(1709251199000); /* Thu, 29 Feb 2024 23:59:59 */
    struct ip_addr client;
    bool parsed = ip_parse("192.0.2.1", &client);
    assert(parsed);
    smtp_server_init(&bed->server, &bed->env, &client);
    bed_text_add(&bed->out, "", 0);
}

static void gather_free(struct smtp_gather *gather)
{
    free(gather->data);
    *gather = (struct smtp_gather){0};
}

void server_bed_fini(struct server_bed *bed)
{
    struct smtp_gather gather = smtp_server_take_buffer(&bed->server);
    gather_free(&gather);
    (void)smtp_server_take_transaction(&bed->server);
    bed_text_free(&bed->out);
    bed_text_free(&bed->first);
    bed_text_free(&bed->body);
}

static void drain(struct server_bed *bed)
{
    struct bytes out = smtp_server_output(&bed->server);
    bed_text_add(&bed->out, out.data, out.len);
    smtp_server_output_sent(&bed->server, out.len);
}

static void give_transaction(struct server_bed *bed)
{
    if (bed->no_transaction) {
        smtp_server_give_transaction(&bed->server, NULL);
        return;
    }
    assert(!bed->txn_lent);
    bed->txn_lent = true;
    bed->txn.id = id_make(3, bed->message_count + 1, 0);
    smtp_server_give_transaction(&bed->server, &bed->txn);
}

static void give_buffer(struct server_bed *bed)
{
    size_t cap = smtp_server_buffer_wanted(&bed->server);
    cap = cap > bed->buffer_cap ? cap : bed->buffer_cap;
    uint8_t *data = bed->no_buffer ? NULL : malloc(cap);
    assert(bed->no_buffer || data != NULL);
    smtp_server_give_buffer(&bed->server, data, cap);
}

/* A buffer came back: keeps its bytes as the body; the first buffer also has the envelope. */
static void keep_buffer(struct server_bed *bed)
{
    struct smtp_gather gather = smtp_server_take_buffer(&bed->server);
    assert(gather.data != NULL && gather.len > gather.envelope_bytes && gather.len <= gather.cap);
    assert(gather.crc == crc32c(0, gather.data, gather.len));
    if (gather.envelope_bytes > 0) {
        bed_text_clear(&bed->first);
        bed_text_clear(&bed->body);
        bed_text_add(&bed->first, gather.data, gather.envelope_bytes);
    }
    bed_text_add(&bed->body, gather.data + gather.envelope_bytes,
                 gather.len - gather.envelope_bytes);
    gather_free(&gather);
}

static void take_transaction(struct server_bed *bed)
{
    struct smtp_transaction *txn = smtp_server_take_transaction(&bed->server);
    assert(txn == NULL || (txn == &bed->txn && bed->txn_lent));
    if (txn != NULL) {
        bed->txn_lent = false;
    }
}

static void commit(struct server_bed *bed)
{
    keep_buffer(bed);
    bed->commit_count++;
    bool valid = envelope_decode(bytes_of(bed->first.data, bed->first.len), &bed->envelope);
    assert(valid && bed->server.total_bytes == bed->body.len);
    bed->loops = smtp_server_loops(&bed->server);
    if (bed->commit == SMTP_COMMIT_OK) {
        bed->message_count++;
        bed->all_crc = bed->all_crc * 31 + crc32c(0, bed->first.data, bed->first.len);
        bed->all_crc = bed->all_crc * 31 + crc32c(0, bed->body.data, bed->body.len);
    }
    /* While the commit is pending, no input is consumed. */
    size_t used = 1;
    enum smtp_server_action action =
        smtp_server_feed(&bed->server, bytes_str("NOOP\r\n"), bed->wall_ms, &used);
    assert(action == SMTP_SERVER_MORE && used == 0);
    smtp_server_committed(&bed->server, bed->commit);
    take_transaction(bed);
}

static void abort_message(struct server_bed *bed)
{
    struct smtp_gather gather = smtp_server_take_buffer(&bed->server);
    gather_free(&gather);
    take_transaction(bed);
    bed->abort_count++;
}

/* Does what the session asks for. false: it waits for input. */
static bool act(struct server_bed *bed, enum smtp_server_action action)
{
    switch (action) {
    case SMTP_SERVER_MORE:
        drain(bed);
        return false;
    case SMTP_SERVER_OUTPUT:
        drain(bed);
        return true;
    case SMTP_SERVER_TRANSACTION:
        give_transaction(bed);
        return true;
    case SMTP_SERVER_BUFFER:
        give_buffer(bed);
        return true;
    case SMTP_SERVER_CHUNK:
        keep_buffer(bed);
        if (++bed->chunk_count == bed->fail_at_chunk) {
            smtp_server_fail_body(&bed->server, bed->commit);
        }
        return true;
    case SMTP_SERVER_COMMIT:
        commit(bed);
        return true;
    case SMTP_SERVER_ABORT:
        abort_message(bed);
        return true;
    case SMTP_SERVER_CLOSE:
        drain(bed);
        bed->closed = true;
        return false;
    }
    return false;
}

size_t server_bed_feed(struct server_bed *bed, struct bytes input, size_t piece)
{
    size_t total = 0;
    bool more = true;
    while (!bed->closed && (more || total < input.len)) {
        size_t used;
        enum smtp_server_action action = smtp_server_feed(
            &bed->server, bytes_first(bytes_from(input, total), piece), bed->wall_ms, &used);
        total += used;
        more = act(bed, action);
        assert(more || used > 0 || total == input.len || bed->closed);
    }
    return total;
}

void server_bed_say(struct server_bed *bed, const char *text)
{
    (void)server_bed_feed(bed, bytes_str(text), SIZE_MAX);
}

struct bytes server_bed_content(const struct server_bed *bed)
{
    struct bytes body = bytes_of(bed->body.data, bed->body.len);
    for (unsigned line = 0; line < 3; line++) {
        body = bytes_from(body, bytes_index(body, '\n') + 1);
    }
    return body;
}

static char taken[1 << 20];

static const char *take_text(struct bed_text *text)
{
    (void)bytes_copy_str(bytes_of(text->data, text->len), taken, sizeof taken);
    bed_text_clear(text);
    return taken;
}

const char *server_bed_take(struct server_bed *bed)
{
    drain(bed);
    return take_text(&bed->out);
}

/* --- client ---------------------------------------------------------------------------------- */

void client_bed_init(struct client_bed *bed, bool lmtp)
{
    memset(bed, 0, sizeof *bed);
    bed->drain = SIZE_MAX;
    bed->body_room = SIZE_MAX;
    smtp_client_init(&bed->client, "relay.campus.example", lmtp);
    bed_text_add(&bed->out, "", 0);
}

void client_bed_fini(struct client_bed *bed)
{
    bed_text_free(&bed->out);
}

static bool push_output(struct client_bed *bed)
{
    struct bytes out = bytes_first(smtp_client_output(&bed->client), bed->drain);
    bed_text_add(&bed->out, out.data, out.len);
    smtp_client_output_sent(&bed->client, out.len);
    return out.len > 0;
}

static bool push_body(struct client_bed *bed)
{
    size_t room = bed->body_room < 65536 ? bed->body_room : 65536;
    if (smtp_client_body_done(&bed->client) || room == 0) {
        return false;
    }
    uint8_t *out = malloc(room);
    assert(out != NULL);
    size_t used;
    struct bytes rest = bytes_first(bytes_from(bed->body, bed->body_at), room);
    size_t written = smtp_client_body(&bed->client, rest, out, room, &used);
    assert(written > 0);
    bed_text_add(&bed->out, out, written);
    bed->body_at += used;
    free(out);
    return true;
}

/* Feeds the input once. Returns how much was consumed. */
static size_t feed_once(struct client_bed *bed, struct bytes input)
{
    size_t used;
    enum smtp_client_action action = smtp_client_feed(&bed->client, input, &used);
    bed->action = action;
    bed->done_count += action == SMTP_CLIENT_DONE;
    while (push_output(bed) || (action == SMTP_CLIENT_BODY && push_body(bed))) {
    }
    return used;
}

void client_bed_pump(struct client_bed *bed)
{
    (void)feed_once(bed, bytes_of("", 0));
}

size_t client_bed_feed(struct client_bed *bed, struct bytes input, size_t piece)
{
    size_t total = 0;
    while (total < input.len) {
        size_t used = feed_once(bed, bytes_first(bytes_from(input, total), piece));
        total += used;
        if (used == 0 && bed->action == SMTP_CLIENT_BROKEN) {
            break;
        }
    }
    client_bed_pump(bed);
    return total;
}

void client_bed_say(struct client_bed *bed, const char *text)
{
    (void)client_bed_feed(bed, bytes_str(text), SIZE_MAX);
}

void client_bed_begin(struct client_bed *bed)
{
    bed->body_at = 0;
    bed->delivery.body_bytes = (uint32_t)bed->body.len;
    smtp_client_begin(&bed->client, &bed->delivery);
    client_bed_pump(bed);
}

const char *client_bed_take(struct client_bed *bed)
{
    return take_text(&bed->out);
}
