/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/cmd_rcpt.c: RCPT TO (RFC 5321 section 4.1.1.3). The lookup decides who is ours.
 *
 * Promise: a 5xx comes only from the recipient table or the grammar. Where we are not sure, the
 *          reply is 4xx. The address is stored as it was spelled.
 * Trap:    the lookup may have effects (it may count), so it belongs to apply_rcpt. */
#include "dataplane/smtp/server_internal.h"

#include "common/limits/message.h"

const char *check_rcpt(const struct smtp_server *server, struct bytes arg,
                       struct server_command *command_out)
{
    (void)server;
    if (!bytes_equal_nocase(bytes_first(arg, 3), bytes_str("TO:"))) {
        return "501 5.5.4 RCPT TO:<address> is the syntax";
    }
    struct bytes rest = bytes_from(arg, 3);
    while (rest.len > 0 && rest.data[0] == ' ') { /* as in MAIL */
        rest = bytes_from(rest, 1);
    }
    enum smtp_path_verdict verdict = smtp_path_parse(rest, &command_out->path, &rest);
    switch (verdict) {
    case SMTP_PATH_OK:
        break;
    case SMTP_PATH_SYNTAX:
        return "501 5.1.3 bad recipient address syntax";
    case SMTP_PATH_TOO_LONG:
        return "501 5.1.3 recipient address too long";
    case SMTP_PATH_NOT_ASCII:
        return "553 5.6.7 recipient address is not ASCII";
    }
    if (command_out->path.kind == SMTP_PATH_NULL) {
        return "501 5.1.3 a recipient is required";
    }
    struct bytes keyword;
    struct bytes value;
    int param = smtp_param_take(&rest, &keyword, &value);
    if (param != 0) {
        return param > 0 ? "555 5.5.4 RCPT parameter not recognized"
                         : "501 5.5.4 bad RCPT parameter";
    }
    return NULL;
}

/* True when the recipient is known already: the same address on the same route is one recipient. */
static bool is_known(const struct envelope *envelope, struct bytes address, uint32_t route_id)
{
    for (unsigned i = 0; i < envelope->rcpt_count; i++) {
        const struct envelope_rcpt *rcpt = &envelope->rcpt[i];
        if (rcpt->route_id == route_id && bytes_equal(rcpt->address, address)) {
            return true;
        }
    }
    return false;
}

/* The route's index in this message. A new route gets the next index. */
static unsigned route_index(const struct envelope *envelope, uint32_t route_id)
{
    for (unsigned i = 0; i < envelope->rcpt_count; i++) {
        if (envelope->rcpt[i].route_id == route_id) {
            return envelope->rcpt[i].route_index;
        }
    }
    return envelope_route_count(envelope);
}

static void rcpt_refuse(struct smtp_server *server, const char *text)
{
    if (text[0] == '5') {
        server->tally.rejected_rcpts++;
    }
    server_refuse(server, text);
    server->flags |= SERVER_REFUSED;
}

static void rcpt_accept(struct smtp_server *server, struct bytes address, uint32_t route_id)
{
    struct smtp_transaction *txn = server->txn;
    struct envelope *envelope = &txn->envelope;
    if (is_known(envelope, address, route_id)) {
        server_reply(server, "250 2.1.5 recipient ok");
        return;
    }
    unsigned index = route_index(envelope, route_id);
    if (index >= LIMIT_ROUTES_PER_MESSAGE || envelope->rcpt_count >= server->env->rcpts_max) {
        rcpt_refuse(server, "452 4.5.3 too many recipients");
        return;
    }
    assert(address.len <= sizeof txn->text - txn->text_used);
    uint8_t *text = txn->text + txn->text_used;
    memcpy(text, address.data, address.len);
    txn->text_used += (uint32_t)address.len;
    envelope->rcpt[envelope->rcpt_count++] = (struct envelope_rcpt){
        .route_id = route_id,
        .route_index = (uint8_t)index,
        .address = bytes_of(text, address.len),
    };
    server->state = SMTP_SERVER_STATE_RCPT;
    server_reply(server, "250 2.1.5 recipient ok");
}

void apply_rcpt(struct smtp_server *server, const struct server_command *command)
{
    assert(server->txn != NULL);
    struct bytes address = command->path.address;
    uint8_t full[sizeof "postmaster@" + LIMIT_DOMAIN_BYTES];
    if (command->path.kind == SMTP_PATH_POSTMASTER) {
        /* Section 4.5.1: without a domain, the domain of this host is added. The lookup then
         * decides as for any other address. */
        size_t len = strlen(server->env->hostname);
        memcpy(full, address.data, address.len);
        full[address.len] = '@';
        memcpy(full + address.len + 1, server->env->hostname, len);
        address = bytes_of(full, address.len + 1 + len);
    }
    if (!smtp_mailbox_valid(address)) { /* a host name that is too long for the bare postmaster */
        rcpt_refuse(server, "550 5.1.1 no such recipient");
        return;
    }
    uint32_t route_id = 0;
    switch (server->env->lookup(server->env->lookup_ctx, address, &route_id)) {
    case SMTP_RCPT_ACCEPT:
        rcpt_accept(server, address, route_id);
        return;
    case SMTP_RCPT_UNKNOWN:
        rcpt_refuse(server, "550 5.1.1 no such recipient");
        return;
    case SMTP_RCPT_NOT_OURS:
        rcpt_refuse(server, "550 5.7.1 relaying denied");
        return;
    case SMTP_RCPT_UNTRUSTED:
        rcpt_refuse(server, "451 4.3.0 recipient cannot be checked now");
        return;
    }
}
