/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/server.c: one SMTP session from outside, as a state machine.
 *
 * Promise: replies leave in the order of the commands; while a commit is pending no input is
 *          consumed. Only smtp_server_committed(SMTP_COMMIT_OK) writes the 250 of a message.
 * Trap:    `pending` is returned again and again, until the caller has done what it asks for.
 *
 *   GREETED ─EHLO─▶ READY ─MAIL─▶ MAIL ─RCPT─▶ RCPT ─DATA─▶ DATA ──CRLF.CRLF──▶ COMMIT ─▶ READY
 *                     ▲            ask: TRANSACTION  └─BDAT─▶ BDAT ⇄ BDAT_NEXT ──LAST──┘
 *                     └── RSET, EHLO, a refused body: ABORT hands back what was lent ──┘
 * In DATA and BDAT with `reject` set, the transaction has ended already, and the rest of the
 * body is drained. */
#include "dataplane/smtp/server_internal.h"

#include "common/crc32c.h"
#include "common/id.h"
#include "common/limits/message.h"

void smtp_server_init(struct smtp_server *server, const struct smtp_server_env *env,
                      const struct ip_addr *client)
{
    assert(env->hostname != NULL && strlen(env->hostname) <= LIMIT_DOMAIN_BYTES);
    assert(env->rcpts_max <= LIMIT_RCPTS && env->message_bytes_max <= LIMIT_MESSAGE_BYTES);
    memset(server, 0, offsetof(struct smtp_server, line));
    server->env = env;
    server->client = *client;
    server->state = SMTP_SERVER_STATE_GREETED;
    server->pending = SMTP_SERVER_MORE;
    const char *banner[] = {"220 ", env->hostname, " ESMTP"};
    server_reply_pieces(server, banner, 3);
}

/* What the caller has to do first; MORE when there is nothing. */
static enum smtp_server_action pending_action(struct smtp_server *server)
{
    if (server->pending == SMTP_SERVER_ABORT && server->txn == NULL &&
        server->gather.data == NULL) {
        server->pending = SMTP_SERVER_MORE;
    }
    if (server->pending == SMTP_SERVER_MORE && server->state == SMTP_SERVER_STATE_CLOSED) {
        return SMTP_SERVER_CLOSE;
    }
    return (enum smtp_server_action)server->pending;
}

/* Takes one step: a command line, or a piece of the body. Returns how much it consumed. */
static size_t step(struct smtp_server *server, struct bytes input)
{
    switch (server->state) {
    case SMTP_SERVER_STATE_GREETED:
    case SMTP_SERVER_STATE_READY:
        assert(server->txn == NULL); /* it was taken back after the last message */
        return server_command_feed(server, input);
    case SMTP_SERVER_STATE_MAIL:
    case SMTP_SERVER_STATE_RCPT:
    case SMTP_SERVER_STATE_BDAT_NEXT:
        return server_command_feed(server, input);
    case SMTP_SERVER_STATE_DATA:
        return server_data_feed(server, input);
    case SMTP_SERVER_STATE_BDAT:
        return server_bdat_feed(server, input);
    case SMTP_SERVER_STATE_COMMIT:
    case SMTP_SERVER_STATE_CLOSED:
    case SMTP_SERVER_STATE_COUNT:
        break;
    }
    assert(false);
    return 0;
}

/* True when something can be done with `left` bytes of input. */
static bool has_work(const struct smtp_server *server, size_t left)
{
    if (server->state == SMTP_SERVER_STATE_COMMIT) {
        return false;
    }
    return left > 0 || (server->state == SMTP_SERVER_STATE_BDAT && server->chunk_left == 0);
}

enum smtp_server_action smtp_server_feed(struct smtp_server *server, struct bytes input,
                                         uint64_t wall_ms, size_t *consumed_out)
{
    server->wall_ms = wall_ms;
    size_t used = 0;
    enum smtp_server_action action = pending_action(server);
    while (action == SMTP_SERVER_MORE && has_work(server, input.len - used)) {
        if (sizeof server->out - server->out_len < SERVER_REPLY_ROOM) {
            action = SMTP_SERVER_OUTPUT;
            break;
        }
        used += step(server, bytes_from(input, used));
        assert(used <= input.len);
        action = pending_action(server);
    }
    *consumed_out = used;
    return action;
}

struct bytes smtp_server_output(const struct smtp_server *server)
{
    return bytes_of(server->out, server->out_len);
}

void smtp_server_output_sent(struct smtp_server *server, size_t len)
{
    assert(len <= server->out_len);
    server->out_len = (uint16_t)(server->out_len - len);
    memmove(server->out, server->out + len, server->out_len);
}

void smtp_server_give_transaction(struct smtp_server *server, struct smtp_transaction *txn)
{
    assert(server->pending == SMTP_SERVER_TRANSACTION && server->txn == NULL);
    assert(server->line_len > 0);
    server->pending = SMTP_SERVER_MORE;
    server_mail_resume(server, txn);
    server->line_len = 0;
}

void smtp_server_give_buffer(struct smtp_server *server, uint8_t *data, size_t cap)
{
    assert(server->gather.data == NULL);
    if (server->pending != SMTP_SERVER_BUFFER) { /* given up while a buffer was sought */
        server->gather = (struct smtp_gather){.data = data, .cap = cap};
        server_abort(server);
        return;
    }
    server->pending = SMTP_SERVER_MORE;
    if (data == NULL) {
        server_body_reject(server, "452 4.3.1 no room for the message now");
        return;
    }
    assert(cap >= smtp_server_buffer_wanted(server));
    server->gather = (struct smtp_gather){.data = data, .cap = cap};
    if ((server->flags & SERVER_FIRST_BUFFER) != 0) {
        server_first_buffer(server);
    }
}

struct smtp_gather smtp_server_take_buffer(struct smtp_server *server)
{
    struct smtp_gather taken = server->gather;
    server->gather = (struct smtp_gather){0};
    if (server->pending == SMTP_SERVER_CHUNK || server->pending == SMTP_SERVER_COMMIT) {
        assert(taken.data != NULL && taken.len > taken.envelope_bytes);
        taken.crc = crc32c(0, taken.data, taken.len);
        bool more = server->pending == SMTP_SERVER_CHUNK;
        server->pending = more ? SMTP_SERVER_BUFFER : SMTP_SERVER_MORE;
    }
    return taken;
}

struct smtp_transaction *smtp_server_take_transaction(struct smtp_server *server)
{
    struct smtp_transaction *taken = server->txn;
    server->txn = NULL;
    return taken;
}

void smtp_server_committed(struct smtp_server *server, enum smtp_commit result)
{
    assert(server->state == SMTP_SERVER_STATE_COMMIT && server->txn != NULL);
    assert(server->pending == SMTP_SERVER_MORE && server->gather.data == NULL);
    server->state = SMTP_SERVER_STATE_READY;
    char id[ID_TEXT_SIZE];
    const char *accepted[] = {"250 2.0.0 ", id_format(server->txn->id, id), " accepted"};
    switch (result) {
    case SMTP_COMMIT_OK:
        server_reply_pieces(server, accepted, 3);
        server->error_count = 0; /* a client whose mail is accepted does not guess commands */
        break;
    case SMTP_COMMIT_FULL:
        server_refuse(server, "452 4.3.1 no room for the message now");
        break;
    case SMTP_COMMIT_FAILED:
        server_refuse(server, "421 4.3.0 message not stored, closing");
        server->state = SMTP_SERVER_STATE_CLOSED;
        break;
    }
    if ((server->flags & SERVER_CLOSE_AFTER) != 0 && server->state != SMTP_SERVER_STATE_CLOSED) {
        server_reply(server, "421 4.3.2 closing");
        server->state = SMTP_SERVER_STATE_CLOSED;
    }
}

bool smtp_server_loops(const struct smtp_server *server)
{
    return server->received_count > LIMIT_RECEIVED_LINES ||
           server->received_own > LIMIT_RECEIVED_OWN;
}

void smtp_server_fail_body(struct smtp_server *server, enum smtp_commit result)
{
    assert(result != SMTP_COMMIT_OK);
    bool coming = smtp_server_in_body(server) || server->state == SMTP_SERVER_STATE_BDAT_NEXT;
    if (!coming) {
        return; /* the message is complete, and the commit's result will answer it; or it is over */
    }
    bool full = result == SMTP_COMMIT_FULL;
    server_body_reject(server, full ? "452 4.3.1 no room for the message now"
                                    : "421 4.3.0 message not stored, closing");
}

void smtp_server_timeout(struct smtp_server *server, const char *reason)
{
    if (server->state == SMTP_SERVER_STATE_CLOSED) {
        return;
    }
    if (server->state == SMTP_SERVER_STATE_COMMIT) {
        server->flags |= SERVER_CLOSE_AFTER;
        return;
    }
    const char *reply[] = {"421 4.4.2 ", server->env->hostname, " ", reason};
    server_reply_pieces(server, reply, 4);
    server_close(server);
}

struct smtp_server_tally smtp_server_take_tally(struct smtp_server *server)
{
    struct smtp_server_tally tally = server->tally;
    server->tally = (struct smtp_server_tally){0};
    return tally;
}

bool smtp_server_is_idle(const struct smtp_server *server)
{
    bool between =
        server->state == SMTP_SERVER_STATE_GREETED || server->state == SMTP_SERVER_STATE_READY;
    const uint16_t skip = SERVER_LINE_LONG | SERVER_LINE_REFUSED;
    return between && server->txn == NULL && server->line_len == 0 && (server->flags & skip) == 0;
}

bool smtp_server_in_body(const struct smtp_server *server)
{
    return server->state == SMTP_SERVER_STATE_DATA || server->state == SMTP_SERVER_STATE_BDAT;
}
