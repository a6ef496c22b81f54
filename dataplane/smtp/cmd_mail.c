/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_mail.c: MAIL FROM (RFC 5321 section 4.1.1.2), with SIZE (RFC 1870) and BODY
 * (RFC 6152).
 *
 * Trap: MAIL is applied in two steps. apply_mail asks the caller for a transaction. The line stays
 *       in its buffer, and server_mail_resume parses it once more. */
#include "dataplane/smtp/server_internal.h"

static const char *check_size(const struct smtp_server *server, struct bytes value,
                              struct server_command *command_out)
{
    bool overflow;
    if (value.len > 20 || !smtp_number_parse(value, &command_out->size, &overflow)) {
        return value.len <= 20 && overflow ? "552 5.3.4 message too large"
                                           : "501 5.5.4 bad SIZE parameter";
    }
    return command_out->size > server->env->message_bytes_max ? "552 5.3.4 message too large"
                                                              : NULL;
}

static const char *check_body(struct bytes value, struct server_command *command_out)
{
    command_out->eight_bit = bytes_equal_nocase(value, bytes_str("8BITMIME"));
    if (!command_out->eight_bit && !bytes_equal_nocase(value, bytes_str("7BIT"))) {
        return "501 5.5.4 bad BODY parameter";
    }
    return NULL;
}

static const char *check_params(const struct smtp_server *server, struct bytes params,
                                struct server_command *command_out)
{
    struct bytes keyword;
    struct bytes value;
    bool size_seen = false;
    bool body_seen = false;
    int more;
    while ((more = smtp_param_take(&params, &keyword, &value)) > 0) {
        const char *refusal = "555 5.5.4 MAIL parameter not recognized";
        if (bytes_equal_nocase(keyword, bytes_str("SIZE"))) {
            refusal =
                size_seen ? "501 5.5.4 SIZE given twice" : check_size(server, value, command_out);
            size_seen = true;
        } else if (bytes_equal_nocase(keyword, bytes_str("BODY"))) {
            refusal = body_seen ? "501 5.5.4 BODY given twice" : check_body(value, command_out);
            body_seen = true;
        }
        if (refusal != NULL) {
            return refusal;
        }
    }
    return more < 0 ? "501 5.5.4 bad MAIL parameter" : NULL;
}

const char *check_mail(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    if (!bytes_equal_nocase(bytes_first(arg, 5), bytes_str("FROM:"))) {
        return "501 5.5.4 MAIL FROM:<address> is the syntax";
    }
    struct bytes rest = bytes_from(arg, 5);
    while (rest.len > 0 && rest.data[0] == ' ') { /* not in the grammar, but harmless and common */
        rest = bytes_from(rest, 1);
    }
    enum smtp_path_verdict verdict = smtp_path_parse(rest, &command_out->path, &rest);
    switch (verdict) {
    case SMTP_PATH_OK:
        break;
    case SMTP_PATH_SYNTAX:
        return "501 5.1.7 bad sender address syntax";
    case SMTP_PATH_TOO_LONG:
        return "501 5.1.7 sender address too long";
    case SMTP_PATH_NOT_ASCII:
        return "553 5.6.7 sender address is not ASCII";
    }
    if (command_out->path.kind == SMTP_PATH_POSTMASTER) {
        return "501 5.1.7 sender address needs a domain";
    }
    return check_params(server, rest, command_out);
}

void apply_mail(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    assert(server->txn == NULL && server->pending == SMTP_SERVER_MORE);
    server->pending = SMTP_SERVER_TRANSACTION;
}

/* Copies into the transaction's text, which has room for the longest that is allowed. */
static struct bytes text_add(struct smtp_transaction *txn, struct bytes b)
{
    assert(b.len <= sizeof txn->text - txn->text_used);
    uint8_t *at = txn->text + txn->text_used;
    memcpy(at, b.data, b.len);
    txn->text_used += (uint32_t)b.len;
    return bytes_of(at, b.len);
}

void server_mail_resume(struct smtp_server *server, struct smtp_transaction *txn)
{
    struct bytes verb;
    struct bytes arg = smtp_line_split(bytes_of(server->line, server->line_len - 1u), &verb);
    struct server_command command = {.arg = arg};
    const char *refusal = check_mail(server, arg, &command);
    assert(refusal == NULL); /* checked before the transaction was asked for */
    if (txn == NULL) {
        server_refuse(server, "452 4.3.1 too many transactions now");
        server->flags |= SERVER_REFUSED;
        return;
    }
    server->txn = txn;
    server->state = SMTP_SERVER_STATE_MAIL;
    server->flags &= (uint16_t)~SERVER_UNASKED;
    server->follow_count = 0;
    server->size_declared = command.size;
    txn->text_used = 0;
    struct envelope *envelope = &txn->envelope;
    envelope->flags = command.eight_bit ? ENVELOPE_8BITMIME : 0;
    envelope->received_ms = server->wall_ms;
    envelope->client = server->client;
    envelope->rcpt_count = 0;
    envelope->helo = text_add(txn, bytes_of(server->helo, server->helo_len));
    envelope->sender = text_add(txn, command.path.address);
    server_reply(server, "250 2.1.0 sender ok");
}
