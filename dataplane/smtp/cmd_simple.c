/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_simple.c: the verbs without arguments or state of their own: RSET, NOOP, QUIT,
 * HELP (RFC 5321 sections 4.1.1.5 to 4.1.1.10). */
#include "dataplane/smtp/server_internal.h"

const char *check_rset(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)command_out;
    return arg.len > 0 ? "501 5.5.4 RSET takes no argument" : NULL; /* section 4.1.1 */
}

void apply_rset(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    server_abort(server);
    server->reject = NULL;
    server->state = server_state_idle(server);
    server->flags &= (uint16_t)~SERVER_UNASKED;
    server_reply(server, "250 2.0.0 ok");
}

const char *check_noop(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)arg;
    (void)command_out;
    return NULL; /* an argument is allowed and ignored: section 4.1.1.9 */
}

void apply_noop(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    server_reply(server, "250 2.0.0 ok");
}

const char *check_quit(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)command_out;
    return arg.len > 0 ? "501 5.5.4 QUIT takes no argument" : NULL; /* section 4.1.1 */
}

void apply_quit(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    const char *reply[] = {"221 2.0.0 ", server->env->hostname, " closing"};
    server_reply_pieces(server, reply, 3);
    server_close(server);
}

const char *check_help(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)arg;
    (void)command_out;
    return NULL;
}

void apply_help(struct smtp_server *server, const struct server_command *command)
{
    (void)command;
    server_reply(server, "214 2.0.0 RFC 5321, with what EHLO lists");
}
