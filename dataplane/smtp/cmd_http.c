/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_http.c: the methods of HTTP. A browser that was made to post to port 25 puts
 * text of someone else's choice into the request's body: hang up before it is read. */
#include "dataplane/smtp/server_internal.h"

const char *check_http(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)arg;
    (void)command_out;
    return NULL;
}

void apply_http(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    server->tally.protocol_errors++;
    server_reply(server, "421 4.7.0 this is not a web server, closing");
    server_close(server);
}
