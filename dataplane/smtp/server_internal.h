/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/server_internal.h: what the server's files share. See smtp.h for the contract.
 *
 *   server.c    the session: feed, hand-over of buffers and transactions
 *   command.c   lines, the table of verbs
 *   cmd_*.c     a verb each: check_* has no effects, apply_* acts
 *   body.c      DATA and BDAT content: the scanner and the gather buffer
 *   trace.c     the Received field
 *   answer.c    replies, mistakes, the end of a transaction
 *   address.c   paths, parameters, the parts of a line
 *
 * A file calls those below it in this list, never one above it. */
#ifndef HOLDFAST_DATAPLANE_SMTP_SERVER_INTERNAL_H
#define HOLDFAST_DATAPLANE_SMTP_SERVER_INTERNAL_H

#include "dataplane/smtp/address.h"
#include "dataplane/smtp/smtp.h"

enum server_flag {
    SERVER_ESMTP = 1 << 0,        /* EHLO, not HELO */
    SERVER_LINE_LONG = 1 << 1,    /* the command line outgrew its buffer: 500 at its CRLF */
    SERVER_LINE_REFUSED = 1 << 2, /* after the 500 for a bare LF: skip to CRLF in silence */
    SERVER_REFUSED = 1 << 3,      /* part of this transaction was refused: commands that the peer
                                     had pipelined after it get 503; that is no mistake of theirs */
    SERVER_BDAT_LAST = 1 << 4,
    SERVER_FIRST_BUFFER = 1 << 5, /* the envelope is still to be written */
    SERVER_CLOSE_AFTER = 1 << 6,  /* close once the pending commit is answered */
    SERVER_DEFERRED = 1 << 7,     /* the refusal was 4xx: commands that were pipelined after it must
                                     not get a 5xx, which a peer could take for its reply */
    SERVER_UNASKED = SERVER_REFUSED | SERVER_DEFERRED, /* MAIL clears both */
};

enum {
    /* Room in the output before a command is taken up: the longest reply (EHLO's, 355 with a host
     * name of 255) and a 421 behind it. */
    SERVER_REPLY_ROOM = 512,
};

/* What a check_* function found, for its apply_*. */
struct server_command {
    struct bytes arg;
    struct smtp_path path;
    uint64_t size; /* SIZE= of MAIL, octets of BDAT */
    bool eight_bit;
    bool last;
};

/* command.c */
size_t server_command_feed(struct smtp_server *server, struct bytes input);

/* answer.c */
enum smtp_server_state server_state_idle(const struct smtp_server *server);
/* Ends the transaction without a message: the caller gets back what it lent. */
void server_abort(struct smtp_server *server);
void server_close(struct smtp_server *server);
void server_reply(struct smtp_server *server, const char *text);
void server_reply_pieces(struct smtp_server *server, const char *const *piece, size_t count);
/* Writes a reply that refuses, and counts it. It may close the session: set the state before. */
void server_refuse(struct smtp_server *server, const char *text);
void server_mistake(struct smtp_server *server, unsigned weight);

/* body.c */
void server_body_begin(struct smtp_server *server, enum smtp_server_state state);
size_t server_data_feed(struct smtp_server *server, struct bytes input);
size_t server_bdat_feed(struct smtp_server *server, struct bytes input);
void server_body_reject(struct smtp_server *server, const char *reply);
void server_first_buffer(struct smtp_server *server);

/* trace.c */
enum { TRACE_FIXED_BYTES = 256 }; /* all of a Received field except the two names */
size_t trace_format(const struct smtp_server *server, uint8_t *out, size_t out_size);

/* cmd_*.c: each check_* returns NULL when the command may be applied, else the reply. */
#define VERB(name, states, handler)                                                                \
    const char *check_##handler(const struct smtp_server *server, struct bytes arg,                \
                                struct server_command *command_out);                               \
    void apply_##handler(struct smtp_server *server, const struct server_command *command);
#include "dataplane/smtp/verbs.def"
#undef VERB

/* Goes on with MAIL after a transaction was given, or refused. */
void server_mail_resume(struct smtp_server *server, struct smtp_transaction *txn);

#endif
