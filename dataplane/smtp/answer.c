/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/answer.c: functions by which the server's other files change a session: replies,
 * refusals, the end of a transaction, the end of the session.
 *
 * Promise: a reply is one line and ends with CRLF, also when it had to be cut.
 * Trap:    server_refuse may close the session. So set the state that follows a refusal before you
 *          call it. */
#include "dataplane/smtp/server_internal.h"

enum smtp_server_state server_state_idle(const struct smtp_server *server)
{
    return server->helo_len > 0 ? SMTP_SERVER_STATE_READY : SMTP_SERVER_STATE_GREETED;
}

void server_abort(struct smtp_server *server)
{
    bool lent = server->txn != NULL || server->gather.data != NULL;
    server->pending = lent ? SMTP_SERVER_ABORT : SMTP_SERVER_MORE;
}

void server_close(struct smtp_server *server)
{
    server_abort(server);
    server->state = SMTP_SERVER_STATE_CLOSED;
}

void server_reply_pieces(struct smtp_server *server, const char *const *piece, size_t count)
{
    /* Two bytes stay free for the CRLF: a reply that does not fit is cut, never left open. */
    size_t room = sizeof server->out - server->out_len;
    assert(room >= 2);
    for (size_t i = 0; i < count; i++) {
        struct bytes text = bytes_first(bytes_str(piece[i]), room - 2);
        memcpy(server->out + server->out_len, text.data, text.len);
        server->out_len = (uint16_t)(server->out_len + text.len);
        room -= text.len;
    }
    memcpy(server->out + server->out_len, "\r\n", 2);
    server->out_len = (uint16_t)(server->out_len + 2);
    assert(server->out_len <= sizeof server->out);
}

void server_reply(struct smtp_server *server, const char *text)
{
    server_reply_pieces(server, &text, 1);
}

void server_mistake(struct smtp_server *server, unsigned weight)
{
    server->tally.protocol_errors++;
    server->error_count = (uint16_t)(server->error_count + weight);
    if (server->error_count >= LIMIT_SMTP_MISTAKES) {
        server_reply(server, "421 4.7.0 too many errors, closing");
        server_close(server);
    }
}

/* True for replies about syntax, sequence, parameters or line ends: then the peer's program is
 * wrong, not its recipient. */
static bool is_mistake(const char *text)
{
    return strncmp(text, "50", 2) == 0 || strncmp(text, "555", 3) == 0 ||
           strncmp(text, "550 5.6.", 8) == 0;
}

/* True when this reply only follows from an earlier command that was refused. */
static bool follows(const struct smtp_server *server, const char *text)
{
    bool says_so = strncmp(text, "503", 3) == 0 || strncmp(text, "554 5.5.1", 9) == 0;
    return (server->flags & SERVER_REFUSED) != 0 && says_so;
}

void server_refuse(struct smtp_server *server, const char *text)
{
    assert(text[0] == '4' || text[0] == '5');
    bool after = follows(server, text) && server->follow_count < LIMIT_SMTP_FOLLOWS;
    if (after && (server->flags & SERVER_DEFERRED) != 0) {
        server->follow_count++;
        server_reply(server, "451 4.3.0 not now: see the reply before");
        return;
    }
    server_reply(server, text);
    if (text[0] == '4') {
        server->tally.tempfails++;
        server->flags |= SERVER_DEFERRED;
    } else if (is_mistake(text)) {
        if (after) {
            server->follow_count++;
        } else {
            server_mistake(server, 1);
        }
    }
}
