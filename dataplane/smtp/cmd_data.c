/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_data.c: DATA (RFC 5321 section 4.1.1.4). After BDAT it is answered 503. RFC
 * 3030 section 2 leaves the state after that to the server: here the transaction is dropped. */
#include "dataplane/smtp/server_internal.h"

const char *check_data(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)command_out;
    if (arg.len > 0) {
        return "501 5.5.4 DATA takes no argument";
    }
    if (server->state == SMTP_SERVER_STATE_MAIL) {
        bool refused = (server->flags & SERVER_REFUSED) != 0;
        return refused ? "554 5.5.1 no valid recipients" : "503 5.5.1 RCPT first";
    }
    return NULL;
}

void apply_data(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    if (server->state == SMTP_SERVER_STATE_BDAT_NEXT) {
        server->reject = NULL;
        server->state = SMTP_SERVER_STATE_READY;
        server_abort(server);
        server_refuse(server, "503 5.5.1 DATA after BDAT");
        return;
    }
    assert(server->state == SMTP_SERVER_STATE_RCPT && server->txn->envelope.rcpt_count > 0);
    server_body_begin(server, SMTP_SERVER_STATE_DATA);
    server_reply(server, "354 end with CRLF.CRLF");
}
