/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/conn.h: the inside of a worker: where net, tcp, smtp and spool are joined. Included by
 * the worker's own files only:
 *
 *   worker.c    the loop, attach, policy, commands from control, results of the writer
 *   relief.c    which connection gives up its message when memory or the spool is short
 *   server.c    a connection from outside
 *   intake.c    one message coming in: buffers to the spool, the commit
 *   delivery.c  one delivery going out: from DELIVER to a connection
 *   client.c    a connection to a next hop, pooled
 *   report.c    what became of a delivery
 *   records.c   the records of a delivery: in memory, or read; its body
 *   flights.c   which deliveries are under way; which messages loop
 *   submit.c    submissions to the writer
 *
 * A file calls only files below it in this list. When something below concerns a file above,
 * worker.c hands it up: it gives a result of the writer to the server or the delivery that waits
 * for it, and these tell their intake or records.
 *
 * Ownership: a server connection has at most one intake, a client connection at most one delivery.
 * An intake or a delivery outlives its connection while the spool has submissions of it.
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
    /* How many submissions a worker may have under way, and how many of them intake leaves alone,
     * so that deliveries and control's commands always find one. */
    SUBMISSIONS = 8192,
    SUBMISSIONS_RESERVE = 3072,
    /* How many large buffers intake leaves for deliveries to read into. Deliveries get this many in
     * any case, and more only while intake has plenty. */
    READ_RESERVE = 64,
    CLIENTS_MAX = 2 * LIMIT_DELIVERS_IN_FLIGHT, /* busy ones, and as many idle or quitting ones */
    /* The most records that a message can have: all are large but the first. */
    RECORDS_MAX = LIMIT_MESSAGE_BYTES / (LIMIT_CHUNK_LARGE_BYTES - 1024) + 2,
    /* One for each delivery. Only pages that a long message needs are ever touched. */
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
    struct tcp_conn *tcp; /* NULL after CLOSED */
    uint64_t deadline_ns;
    struct list link; /* all connections of the worker */
};

/* What the owner of a submission wants with its result. */
enum purpose {
    PURPOSE_INTAKE_RECORD, /* owner: struct intake */
    PURPOSE_INTAKE_COMMIT,
    PURPOSE_INTAKE_ABORT,
    PURPOSE_READ,    /* owner: struct delivery */
    PURPOSE_NOTHING, /* no owner waits: only control hears of it */
};

struct intake {
    struct smtp_transaction smtp;
    struct spool_txn spool;
    struct server_conn *server; /* NULL: the connection is gone, or has finished this message */
    struct buffer *buffer;      /* being filled */
    uint32_t under_way;         /* submissions that are not back yet */
    uint32_t total_bytes;
    bool loops;
    bool over;        /* aborted or committed: freed when nothing is under way */
    struct list link; /* in worker.aborting while there is no submission for its ABORT */
};

struct server_conn {
    struct conn conn;
    struct smtp_server smtp;
    struct intake *intake;
    uint64_t touched_ns;  /* when the peer last sent something that was taken */
    uint64_t begun_ns;    /* when MAIL of this transaction came */
    uint32_t client_slot; /* of the per-client count */
    bool awaiting_commit;
    bool wants_buffer; /* SMTP asked for a buffer, and there was none */
    bool stalled;      /* in worker.stalled */
    bool closing;      /* nothing more is read; SMTP's last replies are still sent */
    bool shut;         /* tcp_close was called */
    bool peer_fin;
    struct list stall_link;
};

enum delivery_step {
    DELIVERY_FIRST, /* the FIRST record is being found */
    DELIVERY_CHAIN, /* walking back from LAST */
    DELIVERY_READY, /* waits for its client connection to be ready */
    DELIVERY_SENDING,
    DELIVERY_REPORTING, /* results are known; reports go out when submissions are free */
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
    bool dead;       /* it has ended while a read is under way: freed when the read returns */
    bool fresh_only; /* a pooled connection failed before this delivery began: use a new one */
    bool damaged;
    bool starved; /* the next record is not in memory yet, so the delay is ours, not the hop's */
    bool first_is_large;      /* its FIRST record did not fit a small buffer */
    uint32_t body_left;       /* what LAST says, minus the records seen so far */
    uint8_t addresses_tried;  /* how many of the hop's addresses this attempt has tried */
    struct buffer *first;     /* pinned or owned: it holds the envelope */
    struct buffer *record;    /* the record being sent */
    struct spool_record view; /* what `record` says */
    size_t view_sent;
    uint32_t record_index; /* of the record that is being sent */
    uint32_t record_count;
    uint32_t chain_index; /* CHAIN: the record to look at next */
    uint64_t *position;   /* [record_count], when there is more than one */
    struct smtp_delivery smtp;
    uint8_t rcpt_index[LIMIT_RCPTS]; /* recipient n of `smtp` is this recipient of the delivery */
    struct smtp_rcpt_result result[LIMIT_RCPTS]; /* REPORTING */
    struct rcptset unreported;                   /* recipients of `smtp` */
    char text[LIMIT_REPLY_TEXT_BYTES + 1];
    struct list report_link; /* in worker.reporting */
    struct envelope envelope;
};

struct client_conn {
    struct conn conn;
    struct smtp_client smtp;
    struct delivery *delivery;
    uint32_t hop_id;
    uint32_t delivery_count; /* deliveries begun on this connection */
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
/* Sends a message to control when everything submitted before it is durable. The caller has checked
 * that a submission is free. */
void submission_note(struct worker *w, const struct abi_up *up);

/* intake.c */
struct intake *intake_begin(struct worker *w, struct server_conn *server);
/* Gives the buffer for the next bytes, with room for at least `wanted`. false: there is none
 * now. */
must_check bool intake_buffer(struct worker *w, struct intake *in, size_t wanted,
                              uint8_t **data_out, size_t *cap_out);
void intake_chunk(struct worker *w, struct intake *in, const struct smtp_gather *gather);
void intake_commit(struct worker *w, struct intake *in, const struct smtp_gather *gather,
                   uint32_t total_bytes, bool loops);
/* The connection gives up a message that is not committed. */
void intake_abort(struct worker *w, struct intake *in);
/* A submission came back: its buffer goes to the cache, and a commit is counted. The intake stays
 * until intake_free_if_over, even when it is over. */
void intake_result(struct worker *w, struct submission *s);
enum smtp_commit intake_commit_result(enum spool_result result);
void intake_free_if_over(struct worker *w, struct intake *in);
/* Sends those ABORTs for which there was no submission before. */
void intake_abort_waiting(struct worker *w);

/* server.c */
void server_open(struct worker *w, struct tcp_conn *tcp, uint32_t kinds);
void server_event(struct worker *w, struct server_conn *c, uint32_t kinds);
void server_pump(struct worker *w, struct server_conn *c);
void server_deadline(struct worker *w, struct server_conn *c);
/* For how long the peer has sent nothing that was taken. */
uint64_t server_silent_ns(const struct worker *w, const struct server_conn *c);
/* Bytes per second of the message that is coming in, since its MAIL. */
uint64_t server_rate(const struct worker *w, const struct server_conn *c);
/* True when the message that is coming in takes longer than any honest one. */
bool server_is_overdue(const struct worker *w, const struct server_conn *c);
void server_pump_stalled(struct worker *w);
/* A submission of an intake came back. Its connection goes on, if it still exists. */
void server_result(struct worker *w, struct submission *s);

/* client.c */
/* Gives the delivery a connection: a pooled one or a new one. */
void client_assign(struct worker *w, struct delivery *d);
void client_event(struct worker *w, struct client_conn *c, uint32_t kinds);
void client_pump(struct worker *w, struct client_conn *c);
void client_deadline(struct worker *w, struct client_conn *c);
/* Gives up the connection's delivery before its dot was sent (damage, an unreadable spool, the
 * shutdown). After the dot the outcome is DOT_LOST, whatever `why` says. */
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
/* The message was found looping. Until control has frozen it, no delivery of it begins. */
void loops_note(struct worker *w, uint64_t id);
/* A person released the message: it may be tried again. */
void loops_pardon(struct worker *w, uint64_t id);
bool loops_has(struct worker *w, uint64_t id);

/* records.c */
enum record_found { RECORD_FOUND, RECORD_LATER, RECORD_DAMAGED, RECORD_NO_ROOM };
/* Finds the record at pos, pins and verifies it (FOUND), or begins to read it (LATER). */
enum record_found record_find(struct worker *w, struct delivery *d, uint64_t pos,
                              struct buffer **buffer_out, struct spool_record *record_out);
void record_unpin(struct worker *w, struct buffer *b);
/* The read of submission s is over. false: its delivery is over, too, and is freed now. */
must_check bool record_read_end(struct worker *w, const struct submission *s);
/* Sets the delivery back to READY. The hop has answered nothing of it, so another connection can
 * take it. */
void delivery_rewind(struct worker *w, struct delivery *d);
/* The next body bytes to send; empty when there are none now (a read is under way, or all was
 * sent). */
struct bytes delivery_peek(struct worker *w, struct delivery *d);
void delivery_consume(struct delivery *d, size_t len);
/* TCP has the whole body: lets go of the records. */
void delivery_sent(struct worker *w, struct delivery *d);
/* Frees a delivery whose results are reported and which has no client. */
void delivery_free(struct worker *w, struct delivery *d);

/* report.c */
/* Reports the client's result for each recipient, and frees the delivery. */
void delivery_finish(struct worker *w, struct delivery *d, const struct smtp_client *client);
/* Reports the same result for all recipients. */
void delivery_fail_all(struct worker *w, struct delivery *d, const struct smtp_rcpt_result *result,
                       const char *text);
/* Does the same for an outcome of this relay. */
void delivery_fail(struct worker *w, struct delivery *d, enum outcome outcome, enum abi_phase phase,
                   const char *text);

/* Sends those reports for which there was no submission before. */
void delivery_report_waiting(struct worker *w);
/* Reports a DELIVER that could not begin. */
void delivery_refuse(struct worker *w, const struct abi_down *down, enum outcome outcome);

/* relief.c */
/* While memory or the spool is short and others wait, one connection gives up its message. */
void relief_turn(struct worker *w);

#endif
