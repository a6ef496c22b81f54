/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/client.c: a session with a next hop, as a state machine.
 *
 * Promise: DELIVERED is said only for a 2xx to the end of the whole message. Every recipient of a
 *          delivery has a result at DONE and at BROKEN. Nothing from the spool can end a command
 *          early: addresses pass the validator once more before they are said.
 * Trap:    with PIPELINING (RFC 2920) replies also come for commands that should not have been
 *          sent. A result that is set stays; later replies are only counted.
 *
 *   BANNER ─220─▶ EHLO ─250─▶ READY ─begin─▶ ENVELOPE ──▶ BODY ──▶ DOT ──▶ DONE, READY
 *                  │ 500,502    ▲  ▲            │ all refused               │
 *                  └─▶ HELO ────┘  └── RSET ◀───┴──▶ DONE                   ▼
 *                                              421, bad replies, lost ──▶ BROKEN (from anywhere)
 * Without PIPELINING one command is under way at a time. With it, as many as the output has room
 * for. The body is sent by DATA even when the hop offers CHUNKING: 354 can only be the reply to
 * DATA. So a hop that sends one reply too many is noticed before the body, and that reply is not
 * taken for the body's. */
#include "dataplane/smtp/client_internal.h"

#include "dataplane/smtp/address.h"

#include <stdio.h>

void smtp_client_init(struct smtp_client *client, const char *hostname, bool lmtp)
{
    assert(hostname != NULL && strlen(hostname) <= LIMIT_DOMAIN_BYTES);
    memset(client, 0, sizeof *client);
    client->hostname = hostname;
    client->lmtp = lmtp;
    client->state = SMTP_CLIENT_STATE_BANNER;
}

/* --- output ---------------------------------------------------------------------------------- */

struct bytes smtp_client_output(const struct smtp_client *client)
{
    return bytes_of(client->out, client->out_len);
}

void smtp_client_output_sent(struct smtp_client *client, size_t len)
{
    assert(len <= client->out_len);
    client->out_len = (uint16_t)(client->out_len - len);
    memmove(client->out, client->out + len, client->out_len);
    if (len > 0) {
        client->flags |= CLIENT_DRAINED;
    }
    if (client->state == SMTP_CLIENT_STATE_ENVELOPE) {
        client_advance(client);
    }
}

const char *smtp_client_rcpt_text(const struct smtp_client *client, unsigned index)
{
    assert(index < LIMIT_RCPTS);
    unsigned number = client->result[index].text;
    assert(number <= client->text_count);
    return number == 0 ? "" : client->rcpt_text[number - 1];
}

/* --- the session ----------------------------------------------------------------------------- */

static enum smtp_client_action action_of(const struct smtp_client *client)
{
    if (client->done_pending) {
        return SMTP_CLIENT_DONE;
    }
    switch (client->state) {
    case SMTP_CLIENT_STATE_READY:
        return SMTP_CLIENT_READY;
    case SMTP_CLIENT_STATE_BODY:
        return SMTP_CLIENT_BODY;
    case SMTP_CLIENT_STATE_BROKEN:
        return SMTP_CLIENT_BROKEN;
    case SMTP_CLIENT_STATE_BANNER:
    case SMTP_CLIENT_STATE_EHLO:
    case SMTP_CLIENT_STATE_HELO:
    case SMTP_CLIENT_STATE_ENVELOPE:
    case SMTP_CLIENT_STATE_DOT:
    case SMTP_CLIENT_STATE_RSET:
    case SMTP_CLIENT_STATE_QUIT:
    case SMTP_CLIENT_STATE_COUNT:
        break;
    }
    return SMTP_CLIENT_MORE;
}

enum smtp_client_action smtp_client_feed(struct smtp_client *client, struct bytes input,
                                         size_t *consumed_out)
{
    size_t used = 0;
    enum smtp_client_action action = action_of(client);
    while (used < input.len && action != SMTP_CLIENT_DONE && action != SMTP_CLIENT_BROKEN) {
        used += client_reply_feed(client, bytes_from(input, used));
        assert(used <= input.len);
        action = action_of(client);
    }
    if (action == SMTP_CLIENT_DONE) {
        client->done_pending = false;
        if (used < input.len && client->state != SMTP_CLIENT_STATE_BROKEN) {
            /* More replies than commands: the next one would be taken for the reply to another
             * command. */
            client_break(client, OUTCOME_REPLY_INVALID, ABI_PHASE_NONE, 0);
        }
    }
    *consumed_out = used;
    return action;
}

/* Why the delivery is impossible on this connection; OUTCOME_NONE when it is possible. */
static enum outcome delivery_obstacle(const struct smtp_client *client,
                                      const struct smtp_delivery *delivery)
{
    if (delivery->sender.len > 0 && !smtp_mailbox_valid(delivery->sender)) {
        return OUTCOME_DAMAGED;
    }
    for (unsigned i = 0; i < delivery->rcpt_count; i++) {
        if (!smtp_mailbox_valid(delivery->rcpt[i])) {
            return OUTCOME_DAMAGED;
        }
    }
    if (client->size_max > 0 && delivery->body_bytes > client->size_max) {
        return OUTCOME_SIZE; /* RFC 1870 section 6 */
    }
    if (delivery->eight_bit && (client->capabilities & CLIENT_8BITMIME) == 0) {
        return OUTCOME_CAPABILITY; /* RFC 6152 section 3 */
    }
    return OUTCOME_NONE;
}

/* A hop that refused EHLO has not said what it can do. That must not freeze mail. */
static void refuse_by_helo(struct smtp_client *client)
{
    struct smtp_rcpt_result result = {
        .outcome = OUTCOME_GREETING_5XX, .phase = ABI_PHASE_EHLO, .code = client->ehlo_refusal};
    (void)snprintf(client->reply_text, sizeof client->reply_text, "EHLO refused, so no 8BITMIME");
    result.text = client_text_keep(client);
    client_settle(client, result);
    client_break(client, OUTCOME_GREETING_5XX, ABI_PHASE_EHLO, client->ehlo_refusal);
}

void smtp_client_begin(struct smtp_client *client, const struct smtp_delivery *delivery)
{
    assert(client->state == SMTP_CLIENT_STATE_READY && !client->done_pending);
    assert(delivery->rcpt_count > 0 && delivery->rcpt_count <= LIMIT_RCPTS);
    memset(client->result, 0, delivery->rcpt_count * sizeof client->result[0]);
    client->delivery = delivery;
    client->command_sent = 0;
    client->command_answered = 0;
    client->rcpt_accepted = 0;
    client->text_count = 0;
    client->text[0] = '\0';
    client->body_left = delivery->body_bytes;
    client->body_match = 0;
    client->literal_sent = 0;
    client->flags = client->line_len > 0 || client->reply_lines > 0 ? CLIENT_STALE : 0;
    enum outcome obstacle = delivery_obstacle(client, delivery);
    if (obstacle == OUTCOME_CAPABILITY && client->ehlo_refusal != 0) {
        refuse_by_helo(client);
        return;
    }
    if (obstacle != OUTCOME_NONE) {
        client_settle(client, (struct smtp_rcpt_result){.outcome = (uint8_t)obstacle,
                                                        .phase = ABI_PHASE_MAIL});
        client_finish(client, true);
        return;
    }
    client->state = SMTP_CLIENT_STATE_ENVELOPE;
    client_advance(client);
}

void smtp_client_quit(struct smtp_client *client)
{
    assert(client->state == SMTP_CLIENT_STATE_READY && client->delivery == NULL);
    client_command(client, "QUIT\r\n", bytes_of("", 0), "");
    client->state = SMTP_CLIENT_STATE_QUIT;
}

void smtp_client_set_unsent(struct smtp_client *client, bool unsent)
{
    client->flags &= (uint16_t)~CLIENT_UNSENT;
    if (unsent) {
        client->flags |= CLIENT_UNSENT;
    }
}

void smtp_client_lost(struct smtp_client *client, enum outcome outcome)
{
    client->done_pending = false;
    if (client->state == SMTP_CLIENT_STATE_BROKEN) {
        return;
    }
    enum abi_phase phase = smtp_client_phase(client);
    if (phase == ABI_PHASE_DOT) {
        outcome = OUTCOME_DOT_LOST;
    } else if (outcome == OUTCOME_NONE) {
        outcome = OUTCOME_CONNECTION_LOST;
    }
    if (client->delivery != NULL) {
        client_settle(client, (struct smtp_rcpt_result){.outcome = (uint8_t)outcome,
                                                        .phase = (uint8_t)phase});
    }
    client_break(client, outcome, phase, 0);
}

const char *smtp_client_state_name(enum smtp_client_state state)
{
    switch (state) {
#define SMTP_CLIENT_STATE(name, meaning)                                                           \
    case SMTP_CLIENT_STATE_##name:                                                                 \
        return #name;
#include "dataplane/smtp/client_states.def"
#undef SMTP_CLIENT_STATE
    case SMTP_CLIENT_STATE_COUNT:
        break;
    }
    return "?";
}
