/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_vrfy.c: VRFY and EXPN (RFC 5321 sections 3.5 and 7.3): we disclose no
 * addresses. 252 neither confirms nor denies one; lists are not expanded. */
#include "dataplane/smtp/server_internal.h"

const char *check_vrfy(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)command_out;
    return arg.len == 0 ? "501 5.5.4 VRFY needs a name" : NULL;
}

void apply_vrfy(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    server_reply(server, "252 2.0.0 not verified; send mail and see");
}

const char *check_expn(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)arg;
    (void)command_out;
    return "502 5.5.1 EXPN is not offered";
}

void apply_expn(struct smtp_server *server, const struct server_command *command)
{
    (void)server;
    (void)command;
    assert(false); /* check_expn always refuses it */
}
