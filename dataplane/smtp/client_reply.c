/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/client_reply.c: reads a next hop's replies (RFC 5321 section 4.2), and does what
 * each of them means.
 *
 * Promise: a reply is bounded in lines and bytes, its codes agree, and what is kept of its text is
 *          printable and short. A reply to no command breaks the connection: if it were taken for
 *          the reply to another command, a message could count as delivered that is not.
 * Trap:    421 may come in place of any reply (section 3.8): the hop is closing. */
#include "dataplane/smtp/client_internal.h"

#include "dataplane/smtp/address.h"
#include "dataplane/smtp/reply.h"

static bool is_2xx(uint16_t code)
{
    return code >= 200 && code < 300;
}

static bool is_refusal(uint16_t code)
{
    return code >= 400 && code < 600;
}

static struct smtp_rcpt_result result_of(struct smtp_client *client, enum outcome outcome,
                                         enum abi_phase phase)
{
    return (struct smtp_rcpt_result){
        .outcome = (uint8_t)outcome,
        .phase = (uint8_t)phase,
        .code = client->reply_code,
        .text = client_text_keep(client),
    };
}

static struct smtp_rcpt_result refusal_of(struct smtp_client *client, enum abi_phase phase)
{
    return result_of(
        client, reply_classify(phase, client->reply_code, bytes_str(client->reply_text)), phase);
}

/* Gives a result to all recipients without one, and breaks the connection. */
static void give_up(struct smtp_client *client, enum outcome outcome)
{
    enum abi_phase phase = smtp_client_phase(client);
    struct smtp_rcpt_result result = result_of(client, outcome, phase);
    if (client->delivery != NULL) {
        client_settle(client, result);
    }
    client_break(client, outcome, phase, client->reply_code);
}

void client_invalid(struct smtp_client *client)
{
    give_up(client, OUTCOME_REPLY_INVALID);
}

/* --- before a delivery ----------------------------------------------------------------------- */

static void greeting_refused(struct smtp_client *client)
{
    if (!is_refusal(client->reply_code)) {
        client_invalid(client);
        return;
    }
    give_up(client, client->reply_code < 500 ? OUTCOME_GREETING_4XX : OUTCOME_GREETING_5XX);
}

static void on_banner(struct smtp_client *client)
{
    if (client->reply_code != 220) {
        greeting_refused(client);
        return;
    }
    client->state = SMTP_CLIENT_STATE_EHLO;
    client_command(client, client->lmtp ? "LHLO " : "EHLO ", bytes_str(client->hostname), "\r\n");
}

static void on_ehlo(struct smtp_client *client)
{
    bool unknown = client->reply_code == 500 || client->reply_code == 502;
    if (client->out_len > 0) {
        client_invalid(client); /* the reply came before EHLO was sent */
    } else if (client->reply_code == 250) {
        client->state = SMTP_CLIENT_STATE_READY;
    } else if (client->state == SMTP_CLIENT_STATE_EHLO && unknown && !client->lmtp) {
        client->state = SMTP_CLIENT_STATE_HELO; /* section 3.2 */
        client->capabilities = 0;
        client->size_max = 0;
        client->ehlo_refusal = client->reply_code;
        client_command(client, "HELO ", bytes_str(client->hostname), "\r\n");
    } else {
        greeting_refused(client);
    }
}

/* Takes one line of the reply to EHLO, after the first line. */
static void capability_take(struct smtp_client *client, struct bytes text)
{
    static const struct {
        const char *keyword;
        uint32_t capability;
    } known[] = {
        {"PIPELINING", CLIENT_PIPELINING},
        {"SIZE", CLIENT_SIZE},
        {"8BITMIME", CLIENT_8BITMIME},
        {"ENHANCEDSTATUSCODES", CLIENT_ENHANCED},
    };
    size_t len = bytes_index(text, ' ');
    struct bytes keyword = bytes_first(text, len);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (bytes_equal_nocase(keyword, bytes_str(known[i].keyword))) {
            client->capabilities |= known[i].capability;
            bool overflow;
            uint64_t number;
            if (known[i].capability == CLIENT_SIZE &&
                smtp_number_parse(bytes_from(text, len + 1), &number, &overflow)) {
                client->size_max = number; /* 0: no limit (RFC 1870 section 4) */
            }
            return;
        }
    }
}

/* --- during a delivery ----------------------------------------------------------------------- */

static void on_mail(struct smtp_client *client)
{
    if (is_2xx(client->reply_code)) {
        return;
    }
    client->flags |= CLIENT_STOP;
    client_settle(client, refusal_of(client, ABI_PHASE_MAIL));
}

static void on_rcpt(struct smtp_client *client, unsigned index)
{
    if (is_2xx(client->reply_code)) {
        client->rcpt_accepted++;
    } else if (client->result[index].outcome == OUTCOME_NONE) {
        client->result[index] = refusal_of(client, ABI_PHASE_RCPT);
    }
}

static void on_data(struct smtp_client *client)
{
    if (is_refusal(client->reply_code)) {
        if (client_has_open_rcpt(client)) {
            client_settle(client, refusal_of(client, ABI_PHASE_DATA));
        }
        client_finish(client, false);
    } else if (client_has_open_rcpt(client)) {
        client->state = SMTP_CLIENT_STATE_BODY;
    } else if (client->rcpt_accepted == 0 && !client->lmtp) {
        client->flags |= CLIENT_LONE_DOT; /* RFC 2920 section 3.1 */
        client->state = SMTP_CLIENT_STATE_DOT;
        client_command(client, ".\r\n", bytes_of("", 0), "");
    } else {
        /* MAIL was refused, and yet a recipient accepted; or with LMTP nobody is left to answer the
         * dot. A dot here could deliver an empty message, or wait for ever. */
        client_break(client, OUTCOME_REPLY_INVALID, ABI_PHASE_DATA, client->reply_code);
    }
}

static void on_envelope(struct smtp_client *client)
{
    uint16_t code = client->reply_code;
    unsigned index = client->command_answered;
    unsigned rcpt_count = client->delivery->rcpt_count;
    bool is_data = index > rcpt_count;
    bool asked = index < client->command_sent && (client->flags & CLIENT_DRAINED) != 0;
    bool last_unsent = index + 1u == client->command_sent && client->out_len > 0;
    bool fits = is_refusal(code) || (is_data ? code == 354 : is_2xx(code));
    if (!asked || last_unsent || !fits || (client->flags & CLIENT_STALE) != 0) {
        client_invalid(client);
        return;
    }
    client->command_answered++;
    if (is_data) {
        on_data(client);
        return;
    }
    if (index == 0) {
        on_mail(client);
    } else {
        on_rcpt(client, index - 1);
    }
    client_advance(client);
}

/* A reply while we still send the body: the hop will not read the rest. A 5xx here may be about
 * anything, so it freezes nothing. */
static void on_body(struct smtp_client *client)
{
    bool temporary = client->reply_code >= 400 && client->reply_code < 500;
    give_up(client, temporary ? OUTCOME_REPLY_4XX : OUTCOME_REPLY_INVALID);
}

static void on_dot(struct smtp_client *client)
{
    uint16_t code = client->reply_code;
    if (client->out_len > 0) {
        client_invalid(client); /* our dot is still here */
        return;
    }
    if ((client->flags & CLIENT_LONE_DOT) != 0) {
        client_finish(client, is_2xx(code) || is_refusal(code));
        return;
    }
    if ((client->flags & CLIENT_UNSENT) != 0) {
        on_body(client);
        return;
    }
    if (!is_2xx(code) && !is_refusal(code)) {
        client_invalid(client); /* 3xx to the final dot */
        return;
    }
    struct smtp_rcpt_result result = is_2xx(code)
                                         ? result_of(client, OUTCOME_DELIVERED, ABI_PHASE_DOT)
                                         : refusal_of(client, ABI_PHASE_DOT);
    if (client->lmtp) { /* one reply for each accepted recipient, in order: RFC 2033 section 4.2 */
        unsigned i = 0;
        while (client->result[i].outcome != OUTCOME_NONE) {
            i++;
        }
        assert(i < client->delivery->rcpt_count);
        client->result[i] = result;
    } else {
        client_settle(client, result);
    }
    if (!client_has_open_rcpt(client)) {
        client_finish(client, true);
    }
}

/* --- replies --------------------------------------------------------------------------------- */

static void on_reply(struct smtp_client *client)
{
    bool closing = client->reply_code == 421;
    switch (client->state) {
    case SMTP_CLIENT_STATE_BANNER:
        on_banner(client);
        return;
    case SMTP_CLIENT_STATE_EHLO:
    case SMTP_CLIENT_STATE_HELO:
        on_ehlo(client);
        return;
    case SMTP_CLIENT_STATE_READY:
        give_up(client, closing ? OUTCOME_REPLY_4XX : OUTCOME_REPLY_INVALID);
        return;
    case SMTP_CLIENT_STATE_ENVELOPE:
        if (closing) {
            give_up(client, OUTCOME_REPLY_4XX);
        } else {
            on_envelope(client);
        }
        return;
    case SMTP_CLIENT_STATE_BODY:
        on_body(client);
        return;
    case SMTP_CLIENT_STATE_DOT:
        if (closing) {
            give_up(client, OUTCOME_REPLY_4XX);
        } else {
            on_dot(client);
        }
        return;
    case SMTP_CLIENT_STATE_RSET:
        if (is_2xx(client->reply_code) && client->out_len == 0) {
            client->state = SMTP_CLIENT_STATE_READY;
        } else {
            give_up(client, closing ? OUTCOME_REPLY_4XX : OUTCOME_REPLY_INVALID);
        }
        return;
    case SMTP_CLIENT_STATE_QUIT:
        client_break(client, OUTCOME_NONE, ABI_PHASE_NONE, client->reply_code);
        return;
    case SMTP_CLIENT_STATE_BROKEN:
    case SMTP_CLIENT_STATE_COUNT:
        break;
    }
    assert(false);
}

static void text_add(struct smtp_client *client, struct bytes text)
{
    size_t room = sizeof client->reply_text - client->reply_text_len;
    char *end = client->reply_text + client->reply_text_len;
    if (client->reply_lines > 1 && room > 3) {
        memcpy(end, " / ", 4);
        end += 3;
        room -= 3;
    }
    end += bytes_copy_clean(text, end, room);
    client->reply_text_len = (uint16_t)(end - client->reply_text);
}

/* Parses three digits; 0 when they are no reply code (section 4.2). */
static uint16_t code_of(struct bytes line)
{
    uint16_t code = 0;
    for (size_t i = 0; i < 3; i++) {
        if (i >= line.len || line.data[i] < '0' || line.data[i] > '9') {
            return 0;
        }
        code = (uint16_t)(code * 10 + (line.data[i] - '0'));
    }
    return code >= 200 && code < 600 ? code : 0;
}

static void reply_reset(struct smtp_client *client)
{
    client->reply_lines = 0;
    client->reply_code = 0;
    client->reply_bytes = 0;
    client->reply_text_len = 0;
    client->reply_text[0] = '\0';
}

static void on_line(struct smtp_client *client, struct bytes line)
{
    uint16_t code = code_of(line);
    uint8_t mark = line.len > 3 ? line.data[3] : ' ';
    struct bytes text = bytes_from(line, 4);
    client->reply_lines++;
    bool agrees = client->reply_lines == 1 || code == client->reply_code;
    if (code == 0 || !agrees || (mark != ' ' && mark != '-') ||
        client->reply_lines > LIMIT_REPLY_LINES) {
        client->reply_code = code;
        text_add(client, line);
        client_invalid(client);
        return;
    }
    client->reply_code = code;
    text_add(client, text);
    if (client->state == SMTP_CLIENT_STATE_EHLO && client->reply_lines > 1) {
        capability_take(client, text);
    }
    if (mark == ' ') {
        client->reply_count++;
        on_reply(client);
        reply_reset(client);
    }
}

size_t client_reply_feed(struct smtp_client *client, struct bytes input)
{
    size_t end = bytes_index(input, '\n');
    bool whole = end < input.len;
    struct bytes piece =
        bytes_first(bytes_first(input, end), sizeof client->line - client->line_len);
    memcpy(client->line + client->line_len, piece.data, piece.len);
    client->line_len = (uint16_t)(client->line_len + piece.len); /* a longer line is cut */
    if (end > CLIENT_REPLY_BYTES_MAX - client->reply_bytes) {
        client_invalid(client);
        return end;
    }
    client->reply_bytes += (uint32_t)end;
    if (!whole) {
        return end;
    }
    struct bytes line = bytes_of(client->line, client->line_len);
    if (line.len > 0 && line.data[line.len - 1] == '\r') {
        line.len--;
    }
    client->line_len = 0;
    on_line(client, line);
    return end + 1;
}
