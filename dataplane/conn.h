/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/conn.h: the inside of a worker: where net, tcp, smtp and spool are joined. Included by
 * the worker's own files only:
 *
 *   worker.c    the loop, attach, policy, commands from control, results of the writer
 *   relief.c    connections that give back what others wait for
 *   server.c    a connection from outside
 *   intake.c    one message coming in: buffers to the spool, the commit
 *   delivery.c  one delivery going out: from DELIVER to a connection
 *   client.c    a connection to a next hop, pooled
 *   report.c    what became of a delivery
 *   records.c   the records of a delivery: in memory, or read; its body
 *   flights.c   which deliveries are under way; which messages loop
 *   submit.c    submissions to the writer
 *
 * A file calls those below it in this list, never one above it. What happens below and concerns a
 * file above is handed up by worker.c: a result of the writer goes to the server or the delivery
 * that it is for, and these tell their intake or records.
 *
 * Ownership: a server connection has at most one intake, a client connection at most one delivery.
 * An intake or a delivery outlives its connection while the spool has work of it.
 */
#ifndef HOLDFAST_DATAPLANE_CONN_H
#define HOLDFAST_DATAPLANE_CONN_H

#include "common/id.h"
#include "common/limits/chunk.h"
#include "common/limits/message.h"
#include "common/limits/rcpts.h"
#include "common/limits/reply.h"
#include "common/limits/ring.h"
#include "common/list.h"
#include "dataplane/buffers.h"
#include "dataplane/net/net.h"
#include "dataplane/peers.h"
#include "dataplane/pool.h"
#include "dataplane/smtp/smtp.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp_shell.h"
#include "dataplane/worker.h"

enum {
    /* Submissions a worker may have under way; what intake leaves alone, so that deliveries and
     * control's commands always find one. */
    SUBMISSIONS = 8192,
    SUBMISSIONS_RESERVE = 3072,
    /* Large buffers intake leaves for deliveries to read into; so many they get in any case, more
     * only while intake has plenty. */
    READ_RESERVE = 64,
    CLIENTS_MAX = 2 * LIMIT_DELIVERS_IN_FLIGHT, /* busy ones, and as many idle or quitting */
    /* Records in a message at most: all large but the first. */
    RECORDS_MAX = LIMIT_MESSAGE_BYTES / (LIMIT_CHUNK_LARGE_BYTES - 1024) + 2,
    /* One for each delivery: pages that are touched only as far as a message is long. */
    RECORD_LISTS = LIMIT_DELIVERS_IN_FLIGHT,
    DELIVERY_HASH_SLOTS = 4096,
    HOP_SLOTS = 1024,
    LOOP_SLOTS = 4096,
};
_Static_assert((int)SUBMISSIONS <= (int)WRITER_QUEUE_SLOTS,
               "every submission has a slot on its way back");
_Static_assert(SUBMISSIONS_RESERVE >= 2 * LIMIT_DELIVERS_IN_FLIGHT + 64, "attach and outcomes");
_Static_assert(DELIVERY_HASH_SLOTS >= 2 * LIMIT_DELIVERS_IN_FLIGHT, "the table never fills");

enum conn_kind {
    CONN_SERVER,
    CONN_CLIENT,
};

struct conn {
    enum conn_kind kind;
    struct tcp_conn *tcp; /* NULL once CLOSED was seen */
    uint64_t deadline_ns;
    struct list link; /* all connections of the worker */
};

/* What the owner of a submission wants of its result. */
enum purpose {
    PURPOSE_INTAKE_RECORD, /* owner: struct intake */
    PURPOSE_INTAKE_COMMIT,
    PURPOSE_INTAKE_ABORT,
    PURPOSE_READ,    /* owner: struct delivery */
    PURPOSE_NOTHING, /* fire and forget: control hears of it */
};

struct intake {
    struct smtp_transaction smtp;
    struct spool_txn spool;
    struct server_conn *server; /* NULL: the connection is gone, or this message is finished */
    struct buffer *buffer;      /* being filled */
    uint32_t under_way;         /* submissions out */
    uint32_t total_bytes;
    bool loops;
    bool over;        /* aborted or committed: freed when nothing is under way */
    struct list link; /* in worker.aborting while there is no submission for its ABORT */
};

struct server_conn {
    struct conn conn;
    struct smtp_server smtp;
    struct intake *intake;
    uint64_t touched_ns;  /* when the peer last sent something that we took */
    uint64_t begun_ns;    /* MAIL of this transaction */
    uint32_t client_slot; /* of the per-client count */
    bool awaiting_commit;
    bool wants_buffer; /* SMTP asked for one and there was none */
    bool stalled;      /* in worker.stalled */
    bool closing;      /* nothing more is read; what SMTP has to say goes out first */
    bool shut;         /* tcp_close was called */
    bool peer_fin;
    struct list stall_link;
};

enum delivery_step {
    DELIVERY_FIRST, /* the FIRST record is being found */
    DELIVERY_CHAIN, /* walking back from LAST */
    DELIVERY_READY, /* waits for its client connection to be ready */
    DELIVERY_SENDING,
    DELIVERY_REPORTING, /* results are in; reports go out as submissions are free */
};

struct delivery {
    uint64_t id;
    uint64_t commit_pos;
    uint64_t first_pos;
    struct rcptset rcpts;
    struct policy_hop hop;
    uint32_t route_id;
    uint16_t attempt;
    uint16_t flags;
    enum delivery_step step;
    struct client_conn *client;
    uint64_t read_pos; /* of the record that was read from the disk last */
    bool read_under_way;
    bool dead;       /* finished while a read is under way: freed when it returns */
    bool fresh_only; /* a pooled connection failed it before it began: use a new one */
    bool damaged;
    bool starved; /* the next record is not in memory yet: what is slow is our disk or memory */
    bool first_is_large;      /* its FIRST record did not fit a small buffer */
    uint32_t body_left;       /* of what LAST says, less the records looked at */
    uint8_t addresses_tried;  /* of the hop, at this attempt */
    struct buffer *first;     /* pinned or owned: the envelope lies in it */
    struct buffer *record;    /* the record being sent */
    struct spool_record view; /* of `record` */
    size_t view_sent;
    uint32_t record_index; /* being sent */
    uint32_t record_count;
    uint32_t chain_index; /* CHAIN: the record to look at next */
    uint64_t *position;   /* [record_count], when there is more than one */
    struct smtp_delivery smtp;
    uint8_t rcpt_index[LIMIT_RCPTS]; /* recipient n of smtp is this one of the delivery */
    struct smtp_rcpt_result result[LIMIT_RCPTS]; /* REPORTING */
    struct rcptset unreported;                   /* of smtp's recipients */
    char text[LIMIT_REPLY_TEXT_BYTES + 1];
    struct list report_link; /* in worker.reporting */
    struct envelope envelope;
};

struct client_conn {
    struct conn conn;
    struct smtp_client smtp;
    struct delivery *delivery;
    uint32_t hop_id;
    uint32_t delivery_count; /* begun on this connection */
    uint32_t idle_timeout_ms;
    uint32_t messages_max;
    bool open;
    bool idle;
    bool quitting;
    struct list idle_link; /* in worker.idle[hop] */
};

struct worker {
    struct worker_settings settings;
    const struct config *config;
    struct counters *counters;
    struct net *net;
    struct tcp_stack *tcp;
    struct tcp_shell tcp_shell;
    struct writer_port *port;
    struct smtp_server_env smtp_env;
    uint64_t now_ns;
    uint64_t wall_ms;
    struct id_source ids;

    struct buffers buffers;
    struct pool submissions;
    struct pool intakes;
    struct pool servers;
    struct pool clients;
    struct pool deliveries;
    struct pool record_lists;

    struct list conns;
    struct list stalled;
    struct list aborting;
    struct list reporting;
    struct list idle[HOP_SLOTS];
    struct delivery *in_flight[DELIVERY_HASH_SLOTS];
    uint32_t in_flight_count;
    uint32_t large_held; /* large buffers that deliveries read into or have pinned */
    uint32_t server_count;
    uint64_t next_scan_ns;
    struct peers peers;
    uint64_t loop_id[LOOP_SLOTS]; /* messages frozen for looping, by loop_slot */

    const struct policy *policy;
    _Atomic(const struct policy *) policy_wanted;
    _Atomic(const struct policy *) policy_used;
    struct abi_attach *region;
    _Atomic(struct abi_attach *) region_wanted;
    _Atomic(struct abi_attach *) region_used;
    struct ring_end down;
    _Atomic bool drain_wanted;
    _Atomic bool abandon_wanted;
    _Atomic bool drained;
    bool draining;
    _Atomic uint64_t current_delivery;
};

/* submit.c */
/* NULL when fewer than `reserve` would be left. */
must_check struct submission *submission_take(struct worker *w, uint32_t reserve);
void submission_send(struct worker *w, struct submission *s, enum spool_submit_kind kind,
                     void *owner, enum purpose purpose);
/* A message to control that is put when everything submitted before it is durable. The caller saw
 * to it that a submission is free. */
void submission_note(struct worker *w, const struct abi_up *up);

/* intake.c */
struct intake *intake_begin(struct worker *w, struct server_conn *server);
/* The buffer for the next bytes, with at least `wanted` of room; false: none now. */
must_check bool intake_buffer(struct worker *w, struct intake *in, size_t wanted,
                              uint8_t **data_out, size_t *cap_out);
void intake_chunk(struct worker *w, struct intake *in, const struct smtp_gather *gather);
void intake_commit(struct worker *w, struct intake *in, const struct smtp_gather *gather,
                   uint32_t total_bytes, bool loops);
/* The connection lets go of a message that is not committed. */
void intake_abort(struct worker *w, struct intake *in);
/* A submission came back: its buffer goes to the cache, a commit is counted. The intake stays, also
 * when it is over, until intake_free_if_over. */
void intake_result(struct worker *w, struct submission *s);
enum smtp_commit intake_commit_result(enum spool_result result);
void intake_free_if_over(struct worker *w, struct intake *in);
/* Goes on with aborts that found no submission. */
void intake_abort_waiting(struct worker *w);

/* server.c */
void server_open(struct worker *w, struct tcp_conn *tcp, uint32_t kinds);
void server_event(struct worker *w, struct server_conn *c, uint32_t kinds);
void server_pump(struct worker *w, struct server_conn *c);
void server_deadline(struct worker *w, struct server_conn *c);
/* How long the peer has sent nothing that we took. */
uint64_t server_silent_ns(const struct worker *w, const struct server_conn *c);
/* Bytes per second of the message under way, since its MAIL. */
uint64_t server_rate(const struct worker *w, const struct server_conn *c);
/* The message under way takes longer than any honest one. */
bool server_is_overdue(const struct worker *w, const struct server_conn *c);
void server_pump_stalled(struct worker *w);
/* A submission of an intake came back. Its connection goes on, if there still is one. */
void server_result(struct worker *w, struct submission *s);

/* client.c */
/* Gives the delivery a connection: a pooled one or a new one. */
void client_assign(struct worker *w, struct delivery *d);
void client_event(struct worker *w, struct client_conn *c, uint32_t kinds);
void client_pump(struct worker *w, struct client_conn *c);
void client_deadline(struct worker *w, struct client_conn *c);
/* Gives up the connection's delivery before its dot has left (damage, an unreadable spool, the
 * shutdown); past it, whatever `why` says, it is DOT_LOST. */
void client_abort(struct worker *w, struct client_conn *c, enum outcome why);

/* delivery.c */
void delivery_begin(struct worker *w, const struct abi_down *down);
/* A read for a delivery came back. */
void delivery_read_done(struct worker *w, struct submission *s);

/* flights.c */
/* NULL: it is not under way. */
struct delivery *flights_find(struct worker *w, uint64_t id);
void flights_add(struct worker *w, struct delivery *d);
void flights_remove(struct worker *w, const struct delivery *d);
/* The message was found looping. Control is about to freeze it; until then, no delivery of it is
 * begun. */
void loops_note(struct worker *w, uint64_t id);
/* A person released the message: it may be tried again. */
void loops_pardon(struct worker *w, uint64_t id);
bool loops_has(struct worker *w, uint64_t id);

/* records.c */
enum record_found { RECORD_FOUND, RECORD_LATER, RECORD_DAMAGED, RECORD_NO_ROOM };
/* The record at pos, pinned and verified (FOUND); or a read for it is under way (LATER). */
enum record_found record_find(struct worker *w, struct delivery *d, uint64_t pos,
                              struct buffer **buffer_out, struct spool_record *record_out);
void record_unpin(struct worker *w, struct buffer *b);
/* The read that s asked for is over. false: so is its delivery, which is freed now. */
must_check bool record_read_end(struct worker *w, const struct submission *s);
/* Back to READY: nothing of it was said yet, another connection will. */
void delivery_rewind(struct worker *w, struct delivery *d);
/* The next body bytes to send; empty: none now (a read is under way, or all was sent). */
struct bytes delivery_peek(struct worker *w, struct delivery *d);
void delivery_consume(struct delivery *d, size_t len);
/* All of the body is in TCP: no record need stay for it. */
void delivery_sent(struct worker *w, struct delivery *d);
/* Its results are told, its client is gone. */
void delivery_free(struct worker *w, struct delivery *d);

/* report.c */
/* Reports the client's result for each recipient, and frees the delivery. */
void delivery_finish(struct worker *w, struct delivery *d, const struct smtp_client *client);
/* The same result for all. */
void delivery_fail_all(struct worker *w, struct delivery *d, const struct smtp_rcpt_result *result,
                       const char *text);
/* The same, with an outcome of ours. */
void delivery_fail(struct worker *w, struct delivery *d, enum outcome outcome, enum abi_phase phase,
                   const char *text);

/* Goes on with reports that found no submission. */
void delivery_report_waiting(struct worker *w);
/* A DELIVER could not even begin. */
void delivery_refuse(struct worker *w, const struct abi_down *down, enum outcome outcome);

/* relief.c */
/* Where memory or the spool is short and others wait, one connection gives up its message. */
void relief_turn(struct worker *w);

#endif
