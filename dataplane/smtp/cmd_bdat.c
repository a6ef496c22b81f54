/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_bdat.c: BDAT (RFC 3030): a chunk of known length.
 *
 * Promise: the octets of a chunk are never read as commands. They are consumed even when the chunk
 *          is refused. If their number is not known, the session closes.
 * Trap:    a chunk that is refused ends the transaction and drops its recipients. Each chunk behind
 *          it finds no transaction, and is answered 503 after its octets. */
#include "dataplane/smtp/server_internal.h"

const char *check_bdat(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    (void)command_out;
    command_out->arg = arg;
    return NULL;
}

/* chunk-size [SP "LAST"] */
static bool bdat_parse(struct bytes arg, uint64_t *size_out, bool *last_out)
{
    size_t len = bytes_index(arg, ' ');
    struct bytes rest = bytes_from(arg, len);
    while (rest.len > 0 && rest.data[0] == ' ') {
        rest = bytes_from(rest, 1);
    }
    *last_out = bytes_equal_nocase(rest, bytes_str("LAST"));
    bool overflow;
    return (rest.len == 0 || *last_out) &&
           smtp_number_parse(bytes_first(arg, len), size_out, &overflow);
}

void apply_bdat(struct smtp_server *server, const struct server_command *command)
{
    uint64_t size;
    bool last;
    if (!bdat_parse(command->arg, &size, &last)) {
        server_close(server);
        server_refuse(server, "501 5.5.4 BDAT size not understood, closing");
        return;
    }
    if (server->state == SMTP_SERVER_STATE_RCPT) {
        server_body_begin(server, SMTP_SERVER_STATE_BDAT);
    } else if (server->state != SMTP_SERVER_STATE_BDAT_NEXT) {
        bool refused =
            server->state == SMTP_SERVER_STATE_MAIL && (server->flags & SERVER_REFUSED) != 0;
        server_body_reject(server, refused ? "554 5.5.1 no valid recipients"
                                           : "503 5.5.1 MAIL and RCPT first");
    }
    server->state = SMTP_SERVER_STATE_BDAT;
    server->chunk_left = size;
    if (last) {
        server->flags |= SERVER_BDAT_LAST;
    }
    uint64_t have = server->total_bytes - server->trace_bytes;
    if (server->reject == NULL && size > server->env->message_bytes_max - have) {
        server_body_reject(server, "552 5.3.4 message too large");
    }
}
