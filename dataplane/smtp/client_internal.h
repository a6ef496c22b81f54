/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/client_internal.h: what the client's files share. See smtp.h for the contract.
 *
 *   client.c           the session: feed, begin, lost, quit
 *   client_reply.c     replies in: lines, and what they do in each state
 *   client_body.c      the message on its way out
 *   client_envelope.c  commands out, results of recipients
 *   reply.c            the class of a reply that refuses
 *
 * A file calls those below it in this list, never one above it. */
#ifndef HOLDFAST_DATAPLANE_SMTP_CLIENT_INTERNAL_H
#define HOLDFAST_DATAPLANE_SMTP_CLIENT_INTERNAL_H

#include "common/limits/smtp.h"
#include "dataplane/smtp/smtp.h"

enum client_capability {
    CLIENT_PIPELINING = 1 << 0,
    CLIENT_SIZE = 1 << 1,
    CLIENT_8BITMIME = 1 << 2,
    CLIENT_ENHANCED = 1 << 3,
};

enum client_flag {
    CLIENT_STOP = 1 << 0,     /* no further command of this delivery is to be sent */
    CLIENT_LONE_DOT = 1 << 1, /* 354 although no recipient was accepted: RFC 2920 section 3.1 */
    CLIENT_DRAINED = 1 << 2,  /* some of this delivery's output was sent */
    CLIENT_STALE = 1 << 3,    /* a reply had begun before this delivery began */
    CLIENT_UNSENT = 1 << 4,   /* smtp_client_set_unsent */
};

enum {
    /* The longest command: MAIL FROM:<254> SIZE=10 digits BODY=8BITMIME, CRLF. */
    CLIENT_COMMAND_ROOM = 320,
    /* Bytes of one reply, line ends included. A longer one breaks the connection. */
    CLIENT_REPLY_BYTES_MAX = LIMIT_REPLY_LINES * LIMIT_REPLY_LINE_BYTES,
};

/* client_envelope.c */
void client_command(struct smtp_client *client, const char *verb, struct bytes arg,
                    const char *end);
/* Sends what may be sent now. Ends the envelope when everything was answered. */
void client_advance(struct smtp_client *client);
/* The number of commands of the delivery: MAIL, RCPTs and DATA. */
unsigned client_command_count(const struct smtp_client *client);
/* Gives this result to every recipient that has none. */
void client_settle(struct smtp_client *client, struct smtp_rcpt_result result);
/* Keeps the reply's text for those recipients about which it decides; returns its number for
 * smtp_rcpt_result.text. */
uint8_t client_text_keep(struct smtp_client *client);
/* All results are known. `clean`: the hop can take the next MAIL without RSET. */
void client_finish(struct smtp_client *client, bool clean);
void client_break(struct smtp_client *client, enum outcome outcome, enum abi_phase phase,
                  uint16_t code);
/* True when some recipient was accepted at RCPT and has no result. */
bool client_has_open_rcpt(const struct smtp_client *client);

/* client_reply.c */
size_t client_reply_feed(struct smtp_client *client, struct bytes input);
/* The hop does not speak SMTP: settles the delivery and breaks the connection. */
void client_invalid(struct smtp_client *client);

#endif
