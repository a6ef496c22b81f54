/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_ehlo.c: EHLO and HELO (RFC 5321 section 4.1.1.1): the client's name, and what
 * we offer. Either command drops a transaction that is under way (section 4.1.4).
 *
 * Promise: mail is not refused because of the name (section 4.1.4). Only a missing or too long name
 *          is a syntax error. What is kept of it is printable and has no special characters of a
 *          header. */
#include "dataplane/smtp/server_internal.h"

#include <stdio.h>

static struct bytes first_word(struct bytes arg)
{
    return bytes_first(arg, bytes_index(arg, ' '));
}

const char *check_ehlo(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    command_out->arg = first_word(arg);
    if (command_out->arg.len == 0 || command_out->arg.len > LIMIT_DOMAIN_BYTES) {
        return "501 5.5.4 a host name is required";
    }
    return NULL;
}

const char *check_helo(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    return check_ehlo(server, arg, command_out);
}

static void greet(struct smtp_server *server, struct bytes name)
{
    server_abort(server);
    server->state = SMTP_SERVER_STATE_READY;
    server->reject = NULL;
    server->flags &= (uint16_t) ~(SERVER_UNASKED | SERVER_ESMTP);
    server->helo_len = (uint16_t)bytes_copy_clean(name, server->helo, sizeof server->helo);
    for (unsigned i = 0; i < server->helo_len; i++) {
        if (strchr("()<>,;\\\"@", server->helo[i]) != NULL) {
            server->helo[i] = '?'; /* these have a meaning in a Received field */
        }
    }
}

void apply_helo(struct smtp_server *server, const struct server_command *command)
{
    greet(server, command->arg);
    const char *reply[] = {"250 ", server->env->hostname};
    server_reply_pieces(server, reply, 2);
}

void apply_ehlo(struct smtp_server *server, const struct server_command *command)
{
    greet(server, command->arg);
    server->flags |= SERVER_ESMTP;
    char size[24];
    (void)snprintf(size, sizeof size, "%u", server->env->message_bytes_max);
    const char *reply[] = {
        "250-",
        server->env->hostname,
        "\r\n250-PIPELINING\r\n250-SIZE ",
        size,
        "\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING",
    };
    server_reply_pieces(server, reply, sizeof reply / sizeof reply[0]);
}
