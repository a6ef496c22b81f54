/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/smtp.h: SMTP as pure state machines: the server that takes mail from outside
 * (RFC 5321, with PIPELINING 2920, SIZE 1870, 8BITMIME 6152, CHUNKING 3030, ENHANCEDSTATUSCODES
 * 2034) and the client that gives it to a next hop (SMTP, LMTP 2033).
 *
 * Promise: end of data is CRLF.CRLF and nothing else; a message with a bare CR or LF is refused
 *          after its true end. A 250 to the end of data is produced only by
 *          smtp_server_committed(SMTP_COMMIT_OK).
 * Trap:    sessions get what they need (buffers, transactions, time) only by actions and arguments.
 *          Views that they return are valid until the next call.
 */
#ifndef HOLDFAST_DATAPLANE_SMTP_SMTP_H
#define HOLDFAST_DATAPLANE_SMTP_SMTP_H

#include "common/abi.h"
#include "common/assert.h"
#include "common/bytes.h"
#include "common/envelope.h"
#include "common/ip.h"
#include "common/limits/address.h"
#include "common/limits/rcpts.h"
#include "common/limits/reply.h"
#include "common/limits/smtp.h"
#include "common/outcome.h"
#include "common/rcptset.h"

#include <stdbool.h>
#include <stdint.h>

/* --- server ---------------------------------------------------------------------------------- */

enum smtp_rcpt_verdict {
    SMTP_RCPT_ACCEPT,    /* route_id_out is set */
    SMTP_RCPT_UNKNOWN,   /* 550 5.1.1 */
    SMTP_RCPT_NOT_OURS,  /* 550 5.7.1 relaying denied */
    SMTP_RCPT_UNTRUSTED, /* 451 4.3.0: no table, or gone from it lately */
};

/* What all sessions of a worker share. It outlives them. */
struct smtp_server_env {
    const char *hostname;
    uint32_t message_bytes_max;
    uint32_t rcpts_max;
    enum smtp_rcpt_verdict (*lookup)(void *ctx, struct bytes address, uint32_t *route_id_out);
    void *lookup_ctx;
};

/* The memory of one transaction, from MAIL to its end. The caller gives it from a pool. */
struct smtp_transaction {
    uint64_t id;              /* message id, set by the caller */
    struct envelope envelope; /* views point into text */
    uint32_t text_used;
    uint8_t text[LIMIT_RCPTS * LIMIT_ADDRESS_BYTES + LIMIT_ADDRESS_BYTES + LIMIT_DOMAIN_BYTES];
};

/* Where body bytes are written: from `data + len` up to `cap`. The session unstuffs dots, counts,
 * and computes the CRC-32C of all that it writes there. It begins the first buffer of a message
 * with the encoded envelope and our Received field. */
struct smtp_gather {
    uint8_t *data;
    size_t cap;
    size_t len;
    uint32_t envelope_bytes; /* how many of len, in the first buffer */
    uint32_t crc;            /* of data[0 .. len) */
};

enum smtp_server_action {
    SMTP_SERVER_MORE,   /* input is consumed: call again with more */
    SMTP_SERVER_OUTPUT, /* little room is left for replies: drain smtp_server_output, feed again */
    SMTP_SERVER_TRANSACTION, /* MAIL: smtp_server_give_transaction, then feed on */
    SMTP_SERVER_BUFFER,      /* body begins or goes on: smtp_server_give_buffer, then feed on */
    SMTP_SERVER_CHUNK,       /* the buffer is full: smtp_server_take_buffer, then feed on */
    SMTP_SERVER_COMMIT,      /* the message is complete: smtp_server_take_buffer, make it durable,
                                smtp_server_committed. Input waits meanwhile. */
    SMTP_SERVER_ABORT,       /* the transaction is over without a message: take back buffer and
                                transaction; feed on */
    SMTP_SERVER_CLOSE,       /* drain the output, then close */
};

enum smtp_server_state {
#define SMTP_SERVER_STATE(name, meaning) SMTP_SERVER_STATE_##name,
#include "dataplane/smtp/server_states.def"
#undef SMTP_SERVER_STATE
    SMTP_SERVER_STATE_COUNT,
};

enum { SMTP_OUTPUT_BYTES = 1024 };

/* What a session counted since it was last asked, for the counters of these names. */
struct smtp_server_tally {
    uint32_t protocol_errors;
    uint32_t rejected_rcpts;
    uint32_t tempfails;
};

/* One for each connection, idle ones too: kept below SMTP_SERVER_BYTES_MAX. */
struct smtp_server {
    const struct smtp_server_env *env;
    enum smtp_server_state state;
    struct ip_addr client;
    struct smtp_transaction *txn;
    struct smtp_gather gather;
    uint32_t total_bytes; /* of the message so far, without envelope, with Received */
    uint32_t trace_bytes; /* of these, our Received field */
    uint32_t received_count;
    uint32_t received_own;  /* of them, by this relay */
    uint64_t chunk_left;    /* BDAT octets still to come */
    uint64_t size_declared; /* SIZE of MAIL; 0 without */
    uint64_t wall_ms;
    const char *reject; /* not NULL: the body is drained, then answered with this */
    struct smtp_server_tally tally;
    uint16_t flags; /* enum server_flag */
    uint16_t error_count;
    uint16_t follow_count; /* 503s that only followed from a refusal */
    uint8_t body_match;    /* progress of the body scanner */
    uint8_t header_match;  /* progress of the Received counter */
    uint16_t mark_match;   /* and of " by HOSTNAME" in a Received field */
    uint8_t pending;       /* an action to hand out before anything else */
    uint16_t line_len;
    uint16_t helo_len;
    uint16_t out_len;
    uint8_t line[LIMIT_COMMAND_LINE_BYTES];
    char helo[LIMIT_DOMAIN_BYTES + 1];
    char out[SMTP_OUTPUT_BYTES];
};

enum { SMTP_SERVER_BYTES_MAX = 2560 };
_Static_assert(sizeof(struct smtp_server) <= SMTP_SERVER_BYTES_MAX, "100 000 idle ones fit");

/* Begins a session. The 220 greeting is in the output afterwards. */
void smtp_server_init(struct smtp_server *server, const struct smtp_server_env *env,
                      const struct ip_addr *client);
/* Consumes input up to the next action. `wall_ms` is the time of day for the Received field. With
 * empty input it goes on with what is pending. */
enum smtp_server_action smtp_server_feed(struct smtp_server *server, struct bytes input,
                                         uint64_t wall_ms, size_t *consumed_out);
/* The replies to send, in order; and a call to say that `len` bytes of them were sent. */
struct bytes smtp_server_output(const struct smtp_server *server);
void smtp_server_output_sent(struct smtp_server *server, size_t len);

/* After SMTP_SERVER_TRANSACTION. NULL: none free; MAIL is answered 452 4.3.1. */
void smtp_server_give_transaction(struct smtp_server *server, struct smtp_transaction *txn);
/* The least `cap` that the next smtp_server_give_buffer may have: envelope and Received field are
 * written into the first buffer in one piece. Never more than LIMIT_CHUNK_LARGE_BYTES. */
size_t smtp_server_buffer_wanted(const struct smtp_server *server);
/* After SMTP_SERVER_BUFFER. data NULL: there is none; the body is drained, and answered 452 4.3.1.
 * The buffer may come late: if the message was given up meanwhile (fail_body, timeout), ABORT gives
 * the buffer back. */
void smtp_server_give_buffer(struct smtp_server *server, uint8_t *data, size_t cap);
/* After CHUNK, COMMIT, ABORT: returns the buffer and what is in it; data NULL when there is none.
 * At CHUNK and COMMIT it holds at least one byte of the message, and crc is set. */
struct smtp_gather smtp_server_take_buffer(struct smtp_server *server);
/* After ABORT, or when COMMIT is answered: returns the transaction, for its pool; NULL when there
 * is none. */
struct smtp_transaction *smtp_server_take_transaction(struct smtp_server *server);

enum smtp_commit {
    SMTP_COMMIT_OK,     /* 250 2.0.0, with the id */
    SMTP_COMMIT_FULL,   /* 452 4.3.1 */
    SMTP_COMMIT_FAILED, /* 421 4.3.0, then close */
};
void smtp_server_committed(struct smtp_server *server, enum smtp_commit result);
/* The message loops: more than LIMIT_RECEIVED_LINES Received fields (RFC 5321 section 6.3). */
bool smtp_server_loops(const struct smtp_server *server);
/* The spool failed for this message while it is still coming in: ABORT is returned at the next
 * feed, then the body is drained and answered 452 or 421. When the message is complete (COMMIT) or
 * over, this does nothing: a commit behind a failed chunk must itself be answered by
 * smtp_server_committed, with something else than OK. */
void smtp_server_fail_body(struct smtp_server *server, enum smtp_commit result);
/* The peer was silent too long, or we shut down: puts a 421 into the output, then closes. While a
 * commit is pending, its answer comes first, and the 421 follows smtp_server_committed. ABORT at
 * the next feed gives back what the transaction held. */
void smtp_server_timeout(struct smtp_server *server, const char *reason);
/* Returns what was counted since the last call, and begins again from zero. */
struct smtp_server_tally smtp_server_take_tally(struct smtp_server *server);
/* True between commands, when nothing has begun: the session may be closed without losing work. */
bool smtp_server_is_idle(const struct smtp_server *server);
/* True when body octets come next (DATA, or a BDAT chunk). */
bool smtp_server_in_body(const struct smtp_server *server);

/* --- client ---------------------------------------------------------------------------------- */

/* What to deliver. Its views have to stay valid until the delivery is done. */
struct smtp_delivery {
    struct bytes sender;
    uint16_t rcpt_count;
    struct bytes rcpt[LIMIT_RCPTS];
    uint32_t body_bytes;
    bool eight_bit; /* needs 8BITMIME (RFC 6152) */
};

struct smtp_rcpt_result {
    uint8_t outcome; /* enum outcome; OUTCOME_NONE until known */
    uint8_t phase;   /* enum abi_phase */
    uint16_t code;
    uint8_t text; /* which reply decided: smtp_client_rcpt_text */
};

enum smtp_client_action {
    SMTP_CLIENT_MORE,   /* wait for the hop; send what smtp_client_output has */
    SMTP_CLIENT_READY,  /* nothing under way: smtp_client_begin or smtp_client_quit */
    SMTP_CLIENT_BODY,   /* push the body with smtp_client_body as send space allows */
    SMTP_CLIENT_DONE,   /* results are known; next READY (MORE during an RSET), or BROKEN */
    SMTP_CLIENT_BROKEN, /* the connection is of no further use: `broken` says why; results of a
                           delivery under way are in. Close or abort it. */
};

enum smtp_client_state {
#define SMTP_CLIENT_STATE(name, meaning) SMTP_CLIENT_STATE_##name,
#include "dataplane/smtp/client_states.def"
#undef SMTP_CLIENT_STATE
    SMTP_CLIENT_STATE_COUNT,
};

/* How many different reply texts of one delivery are kept. Hops send a handful. A recipient whose
 * text is not kept has its class and code only. */
enum { SMTP_CLIENT_TEXTS = 16 };

struct smtp_client {
    const char *hostname;
    enum smtp_client_state state;
    bool lmtp;
    uint32_t capabilities; /* enum client_capability */
    uint64_t size_max;     /* as SIZE says; 0: no limit is known */
    uint16_t ehlo_refusal; /* 500 or 502: the session goes by HELO; 0: by EHLO */
    const struct smtp_delivery *delivery;
    /* The commands of a delivery, in order: 0 is MAIL, 1 to rcpt_count are RCPT, then DATA. */
    uint16_t command_sent; /* put into the output */
    uint16_t command_answered;
    uint16_t rcpt_accepted; /* 2xx to RCPT */
    uint16_t text_count;
    uint32_t body_left;
    uint8_t body_match;   /* the position of the body in a line */
    uint8_t literal_sent; /* bytes written of the final dot */
    uint16_t flags;       /* enum client_flag */
    bool done_pending;    /* DONE is to be returned next */
    struct smtp_rcpt_result result[LIMIT_RCPTS];
    struct smtp_rcpt_result broken;
    /* The text of the last reply that decided something, cleaned, without its code. For people. */
    char text[LIMIT_REPLY_TEXT_BYTES + 1];
    char rcpt_text[SMTP_CLIENT_TEXTS][LIMIT_REPLY_TEXT_BYTES + 1];
    uint32_t reply_count; /* whole replies so far */
    /* The reply that is being read. */
    uint16_t line_len;
    uint16_t reply_lines;
    uint16_t reply_code;
    uint16_t reply_text_len;
    uint32_t reply_bytes;
    char reply_text[LIMIT_REPLY_TEXT_BYTES + 1];
    uint8_t line[LIMIT_REPLY_LINE_BYTES];
    uint16_t out_len;
    char out[SMTP_OUTPUT_BYTES];
};

/* Call it when the connection is open: waits for the banner. */
void smtp_client_init(struct smtp_client *client, const char *hostname, bool lmtp);
/* Consumes the hop's bytes up to the next action. */
enum smtp_client_action smtp_client_feed(struct smtp_client *client, struct bytes input,
                                         size_t *consumed_out);
struct bytes smtp_client_output(const struct smtp_client *client);
/* Says that `len` bytes were sent. More commands may then be put in their place (pipelining). */
void smtp_client_output_sent(struct smtp_client *client, size_t len);
/* Only when READY. When a capability is missing (SIZE too small, 8BITMIME), every recipient gets
 * OUTCOME_SIZE or OUTCOME_CAPABILITY at once, and the next feed returns DONE. When the hop refused
 * EHLO, nobody knows what it can do: the outcome is OUTCOME_GREETING_5XX, and BROKEN, so that a new
 * connection asks again. */
void smtp_client_begin(struct smtp_client *client, const struct smtp_delivery *delivery);
/* While `unsent` is true, the caller knows of body bytes that the hop cannot have acknowledged. A
 * reply at the dot is then the reply to something else (OUTCOME_REPLY_INVALID, BROKEN), never
 * DELIVERED. It is false at first; set it before each feed in phase ABI_PHASE_DOT. */
void smtp_client_set_unsent(struct smtp_client *client, bool unsent);
/* Turns body bytes into what is sent (dots stuffed): reads from `body`, writes to `out`. Returns
 * the bytes written; *consumed_out is how many body bytes were used. After all body_bytes it writes
 * the final dot, and the client waits for the reply: smtp_client_body_done. */
size_t smtp_client_body(struct smtp_client *client, struct bytes body, uint8_t *out,
                        size_t out_size, size_t *consumed_out);
/* True when nothing more of the body has to be sent. */
bool smtp_client_body_done(const struct smtp_client *client);
/* The connection has ended (reset, FIN, timeout). Recipients without a result get
 * OUTCOME_CONNECTION_LOST or, after the dot, OUTCOME_DOT_LOST, by the phase. The action is
 * BROKEN. */
void smtp_client_lost(struct smtp_client *client, enum outcome outcome);
/* Only when READY. BROKEN follows the hop's reply, with `broken.outcome` OUTCOME_NONE. */
void smtp_client_quit(struct smtp_client *client);
/* The reply that decided about recipient `index`, cleaned, without its code. "" when none was kept:
 * a lost connection cut it off, or it was not among the first SMTP_CLIENT_TEXTS. Valid until the
 * next smtp_client_begin. */
const char *smtp_client_rcpt_text(const struct smtp_client *client, unsigned index);
enum abi_phase smtp_client_phase(const struct smtp_client *client);
const char *smtp_client_state_name(enum smtp_client_state state);

#endif
