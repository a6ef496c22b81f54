/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_http.c: the methods of HTTP. A website can make a browser post to port 25,
 * with commands in the request's body. So we hang up before the body is read. */
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
