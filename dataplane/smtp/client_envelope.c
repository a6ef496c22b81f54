/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/client_envelope.c: the commands of one delivery, and the results of its
 * recipients.
 *
 * Promise: a command is sent only when the hop offers PIPELINING, or has answered all before. A
 *          result that is set stays.
 * Trap:    with PIPELINING (RFC 2920) a hop also answers commands that should not have been sent:
 *          `command_answered` counts these replies too. */
#include "dataplane/smtp/client_internal.h"

#include <stdio.h>

/* --- commands -------------------------------------------------------------------------------- */

static void out_put(struct smtp_client *client, struct bytes b)
{
    assert(b.len <= sizeof client->out - client->out_len);
    memcpy(client->out + client->out_len, b.data, b.len);
    client->out_len = (uint16_t)(client->out_len + b.len);
}

void client_command(struct smtp_client *client, const char *verb, struct bytes arg, const char *end)
{
    out_put(client, bytes_str(verb));
    if (arg.len > 0) {
        out_put(client, arg);
    }
    out_put(client, bytes_str(end));
}

unsigned client_command_count(const struct smtp_client *client)
{
    return 2u + client->delivery->rcpt_count;
}

enum abi_phase smtp_client_phase(const struct smtp_client *client)
{
    switch (client->state) {
    case SMTP_CLIENT_STATE_BANNER:
        return ABI_PHASE_BANNER;
    case SMTP_CLIENT_STATE_EHLO:
    case SMTP_CLIENT_STATE_HELO:
        return ABI_PHASE_EHLO;
    case SMTP_CLIENT_STATE_ENVELOPE:
        if (client->command_answered == 0) {
            return ABI_PHASE_MAIL;
        }
        return client->command_answered <= client->delivery->rcpt_count ? ABI_PHASE_RCPT
                                                                        : ABI_PHASE_DATA;
    case SMTP_CLIENT_STATE_BODY:
        return ABI_PHASE_BODY;
    case SMTP_CLIENT_STATE_DOT:
        return ABI_PHASE_DOT;
    case SMTP_CLIENT_STATE_READY:
    case SMTP_CLIENT_STATE_RSET:
    case SMTP_CLIENT_STATE_QUIT:
    case SMTP_CLIENT_STATE_BROKEN:
    case SMTP_CLIENT_STATE_COUNT:
        break;
    }
    return ABI_PHASE_NONE;
}

static void mail_put(struct smtp_client *client)
{
    const struct smtp_delivery *delivery = client->delivery;
    char end[64] = ">";
    size_t len = 1;
    if ((client->capabilities & CLIENT_SIZE) != 0) {
        len += (size_t)snprintf(end + len, sizeof end - len, " SIZE=%u", delivery->body_bytes);
    }
    bool eight_bit = delivery->eight_bit && (client->capabilities & CLIENT_8BITMIME) != 0;
    (void)snprintf(end + len, sizeof end - len, "%s\r\n", eight_bit ? " BODY=8BITMIME" : "");
    client_command(client, "MAIL FROM:<", delivery->sender, end);
}

/* True when the next command may be sent. */
static bool may_send(struct smtp_client *client)
{
    const struct smtp_delivery *delivery = client->delivery;
    unsigned next = client->command_sent;
    bool idle = next == client->command_answered;
    if ((client->flags & CLIENT_STOP) != 0 || next >= client_command_count(client) ||
        sizeof client->out - client->out_len < CLIENT_COMMAND_ROOM) {
        return false;
    }
    if (next > delivery->rcpt_count && idle && client->rcpt_accepted == 0) {
        client->flags |= CLIENT_STOP; /* DATA without a recipient */
        return false;
    }
    return idle || (client->capabilities & CLIENT_PIPELINING) != 0;
}

void client_advance(struct smtp_client *client)
{
    const struct smtp_delivery *delivery = client->delivery;
    assert(client->state == SMTP_CLIENT_STATE_ENVELOPE && delivery != NULL);
    while (may_send(client)) {
        unsigned next = client->command_sent++;
        if (next == 0) {
            mail_put(client);
        } else if (next <= delivery->rcpt_count) {
            client_command(client, "RCPT TO:<", delivery->rcpt[next - 1], ">\r\n");
        } else {
            client_command(client, "DATA\r\n", bytes_of("", 0), "");
        }
    }
    if (client->command_answered < client->command_sent || client->out_len > 0) {
        return;
    }
    if ((client->flags & CLIENT_STOP) != 0) {
        client_finish(client, false);
    }
}

/* --- results --------------------------------------------------------------------------------- */

bool client_has_open_rcpt(const struct smtp_client *client)
{
    for (unsigned i = 0; i < client->delivery->rcpt_count; i++) {
        if (client->result[i].outcome == OUTCOME_NONE) {
            return true;
        }
    }
    return false;
}

void client_settle(struct smtp_client *client, struct smtp_rcpt_result result)
{
    assert(result.outcome != OUTCOME_NONE && client->delivery != NULL);
    for (unsigned i = 0; i < client->delivery->rcpt_count; i++) {
        if (client->result[i].outcome == OUTCOME_NONE) {
            client->result[i] = result;
        }
    }
}

uint8_t client_text_keep(struct smtp_client *client)
{
    memcpy(client->text, client->reply_text, sizeof client->text);
    for (unsigned i = 0; i < client->text_count; i++) {
        if (strcmp(client->rcpt_text[i], client->text) == 0) {
            return (uint8_t)(i + 1);
        }
    }
    if (client->text_count == SMTP_CLIENT_TEXTS) {
        return 0;
    }
    memcpy(client->rcpt_text[client->text_count++], client->text, sizeof client->text);
    return (uint8_t)client->text_count;
}

void client_finish(struct smtp_client *client, bool clean)
{
    assert(client->delivery != NULL && !client_has_open_rcpt(client));
    client->done_pending = true;
    client->delivery = NULL;
    client->state = clean ? SMTP_CLIENT_STATE_READY : SMTP_CLIENT_STATE_RSET;
    if (!clean) {
        client_command(client, "RSET\r\n", bytes_of("", 0), "");
    }
}

void client_break(struct smtp_client *client, enum outcome outcome, enum abi_phase phase,
                  uint16_t code)
{
    assert(client->delivery == NULL || !client_has_open_rcpt(client));
    client->state = SMTP_CLIENT_STATE_BROKEN;
    client->broken = (struct smtp_rcpt_result){
        .outcome = (uint8_t)outcome,
        .phase = (uint8_t)phase,
        .code = code,
    };
    client->delivery = NULL;
    client->out_len = 0; /* half an envelope is not to be finished */
}
