/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/server.c: a connection from outside. TCP's bytes go to the SMTP server, its replies go
 * back, its messages go into intakes.
 *
 * Promise: input is consumed only while everything that it may ask for is there: a submission, room
 *          for replies, fewer than the bounded number of records at the disk. Otherwise it stays in
 *          TCP, and the window closes.
 * Trap:    a connection is freed only by its CLOSED event. Until then its pump may be called at any
 *          time.
 */
#include "dataplane/conn.h"

#include "common/config.h"
#include "common/counters.h"
#include "common/limits/intake.h"
#include "common/siphash.h"

#include <stdio.h>

static const uint64_t ns_per_ms = 1000000;

static uint32_t client_slot(const struct worker *w, const struct ip_addr *client)
{
    return (uint32_t)siphash(&w->settings.key, client->octet, sizeof client->octet) % PEERS_SLOTS;
}

static void touch(struct worker *w, struct server_conn *c)
{
    uint32_t ms = smtp_server_in_body(&c->smtp) ? w->config->limits.data_timeout_ms
                                                : w->config->limits.command_timeout_ms;
    c->conn.deadline_ns = w->now_ns + ms * ns_per_ms;
    c->touched_ns = w->now_ns;
}

uint64_t server_silent_ns(const struct worker *w, const struct server_conn *c)
{
    return w->now_ns > c->touched_ns ? w->now_ns - c->touched_ns : 0;
}

uint64_t server_rate(const struct worker *w, const struct server_conn *c)
{
    uint64_t ms = (w->now_ns - c->begun_ns) / ns_per_ms;
    return c->smtp.total_bytes * UINT64_C(1000) / (ms + 1);
}

bool server_is_overdue(const struct worker *w, const struct server_conn *c)
{
    uint64_t ms = w->config->limits.transaction_timeout_ms +
                  c->smtp.total_bytes * UINT64_C(1000) / LIMIT_SENDER_BYTES_PER_S;
    return c->intake != NULL && !c->awaiting_commit && !c->closing &&
           w->now_ns - c->begun_ns > ms * ns_per_ms;
}

/* There is no room for a session: says so in one segment and closes (RFC 5321 section 3.8). */
static void refuse(struct worker *w, struct tcp_conn *tcp, const char *reason)
{
    char line[LIMIT_DOMAIN_BYTES + 64];
    int len = snprintf(line, sizeof line, "421 4.3.2 %s %s\r\n", w->config->hostname, reason);
    assert(len > 0 && (size_t)len < sizeof line);
    counter_add(w->counters, COUNTER_smtp_refused_busy, 1);
    (void)tcp_write(tcp, line, (size_t)len);
    tcp_close(tcp);
}

static const char *refusal(const struct worker *w, uint32_t slot)
{
    if (w->draining) {
        return "closing down, try again";
    }
    if (writer_spool_state(w->settings.writer) == ABI_SPOOL_FENCED) {
        return "storage trouble, try again later";
    }
    if (!peers_may_enter(&w->peers, slot, w->config->limits.connections_per_client)) {
        return "too many connections from you";
    }
    return NULL;
}

void server_open(struct worker *w, struct tcp_conn *tcp, uint32_t kinds)
{
    const struct ip_addr *client = &tcp_conn_tuple(tcp)->remote_addr;
    uint32_t slot = client_slot(w, client);
    const char *why = refusal(w, slot);
    struct server_conn *c = why == NULL ? pool_take(&w->servers) : NULL;
    if (c == NULL) {
        refuse(w, tcp, why != NULL ? why : "too busy, try again later");
        return;
    }
    *c = (struct server_conn){.conn = {.kind = CONN_SERVER, .tcp = tcp},
                              .client_slot = slot,
                              .peer_fin = (kinds & TCP_EVENT_FIN) != 0};
    list_init(&c->stall_link);
    peers_enter(&w->peers, slot);
    w->server_count++;
    counter_add(w->counters, COUNTER_smtp_connections, 1);
    list_init(&c->conn.link);
    list_append(&w->conns, &c->conn.link);
    tcp_conn_set_user(tcp, &c->conn);
    smtp_server_init(&c->smtp, &w->smtp_env, client);
    touch(w, c);
    server_pump(w, c);
}

static void server_free(struct worker *w, struct server_conn *c)
{
    assert(c->conn.tcp == NULL);
    if (c->intake != NULL) {
        if (c->awaiting_commit) {
            c->intake->server = NULL; /* the intake goes on without its connection */
        } else {
            intake_abort(w, c->intake);
        }
    }
    if (c->stalled) {
        list_remove(&c->stall_link);
    }
    assert(w->server_count > 0);
    peers_leave(&w->peers, c->client_slot);
    w->server_count--;
    list_remove(&c->conn.link);
    pool_give(&w->servers, c);
}

/* Sends the replies that there are. true when TCP has taken all of them. */
static bool flush(struct server_conn *c)
{
    struct bytes out = smtp_server_output(&c->smtp);
    while (out.len > 0) {
        size_t sent = tcp_write(c->conn.tcp, out.data, out.len);
        if (sent == 0) {
            return false;
        }
        smtp_server_output_sent(&c->smtp, sent);
        out = smtp_server_output(&c->smtp);
    }
    return true;
}

static void stall(struct worker *w, struct server_conn *c)
{
    if (!c->stalled) {
        c->stalled = true;
        list_append(&w->stalled, &c->stall_link);
    }
}

/* True when SMTP may be fed: everything that it may ask for can be given. */
static bool may_feed(struct worker *w, struct server_conn *c)
{
    if (c->awaiting_commit) {
        return false;
    }
    if (c->intake != NULL && c->intake->under_way >= LIMIT_INTAKE_RECORDS) {
        return false; /* the next result calls the pump again */
    }
    if (w->submissions.free_count <= SUBMISSIONS_RESERVE) {
        stall(w, c);
        return false;
    }
    if (c->wants_buffer) {
        uint8_t *data;
        size_t cap;
        assert(c->intake != NULL);
        if (!intake_buffer(w, c->intake, smtp_server_buffer_wanted(&c->smtp), &data, &cap)) {
            stall(w, c);
            return false;
        }
        c->wants_buffer = false;
        smtp_server_give_buffer(&c->smtp, data, cap);
    }
    return true;
}

static void begin_transaction(struct worker *w, struct server_conn *c)
{
    assert(c->intake == NULL);
    c->intake = intake_begin(w, c);
    c->begun_ns = w->now_ns;
    smtp_server_give_transaction(&c->smtp, c->intake == NULL ? NULL : &c->intake->smtp);
}

static void drop_transaction(struct worker *w, struct server_conn *c)
{
    (void)smtp_server_take_buffer(&c->smtp);
    (void)smtp_server_take_transaction(&c->smtp);
    c->wants_buffer = false;
    if (c->intake != NULL) {
        intake_abort(w, c->intake);
        c->intake = NULL;
    }
}

static void commit(struct worker *w, struct server_conn *c)
{
    struct smtp_gather gather = smtp_server_take_buffer(&c->smtp);
    c->awaiting_commit = true;
    intake_commit(w, c->intake, &gather, c->smtp.total_bytes, smtp_server_loops(&c->smtp));
}

/* Does what SMTP asked for. false: stop pumping. */
static bool act(struct worker *w, struct server_conn *c, enum smtp_server_action action)
{
    struct smtp_gather gather;
    switch (action) {
    case SMTP_SERVER_MORE:
    case SMTP_SERVER_OUTPUT:
        return true;
    case SMTP_SERVER_TRANSACTION:
        begin_transaction(w, c);
        return true;
    case SMTP_SERVER_BUFFER:
        c->wants_buffer = true;
        return true;
    case SMTP_SERVER_CHUNK:
        gather = smtp_server_take_buffer(&c->smtp);
        intake_chunk(w, c->intake, &gather);
        return true;
    case SMTP_SERVER_COMMIT:
        commit(w, c);
        return false;
    case SMTP_SERVER_ABORT:
        drop_transaction(w, c);
        return true;
    case SMTP_SERVER_CLOSE:
        c->closing = true;
        return false;
    }
    assert(!"every action is handled above");
    return false;
}

static void count_mistakes(struct worker *w, struct server_conn *c)
{
    struct smtp_server_tally tally = smtp_server_take_tally(&c->smtp);
    counter_add(w->counters, COUNTER_smtp_protocol_errors, tally.protocol_errors);
    counter_add(w->counters, COUNTER_smtp_rejected_rcpts, tally.rejected_rcpts);
    counter_add(w->counters, COUNTER_smtp_tempfails, tally.tempfails);
}

void server_pump(struct worker *w, struct server_conn *c)
{
    bool more = true;
    while (more && c->conn.tcp != NULL && !c->closing && flush(c) && may_feed(w, c)) {
        struct bytes input = tcp_peek(c->conn.tcp);
        size_t used = 0;
        enum smtp_server_action action = smtp_server_feed(&c->smtp, input, w->wall_ms, &used);
        assert(used <= input.len);
        if (used > 0) {
            tcp_consume(c->conn.tcp, used);
            touch(w, c);
        }
        more = act(w, c, action);
        if (action == SMTP_SERVER_MORE && used == 0) {
            more = false;
            c->closing = c->peer_fin && input.len == 0 && !c->awaiting_commit;
        }
    }
    count_mistakes(w, c);
    if (c->closing && !c->awaiting_commit && c->intake != NULL) {
        /* SMTP gets no more input, so others may use its buffer and transaction. */
        intake_abort(w, c->intake);
        c->intake = NULL;
        c->wants_buffer = false;
    }
    if (c->conn.tcp != NULL && flush(c) && c->closing && !c->shut) {
        c->shut = true;
        tcp_close(c->conn.tcp);
    }
}

/* The message of this connection is durable, or will never be. */
static void committed(struct worker *w, struct server_conn *c, enum smtp_commit result)
{
    assert(c->awaiting_commit && c->intake != NULL);
    smtp_server_committed(&c->smtp, result);
    (void)smtp_server_take_transaction(&c->smtp);
    c->awaiting_commit = false;
    c->intake = NULL;
    touch(w, c);
    server_pump(w, c);
}

void server_result(struct worker *w, struct submission *s)
{
    struct intake *in = s->owner;
    struct server_conn *c = in->server; /* kept: a commit separates the two */
    enum smtp_commit result = intake_commit_result(s->spool.result);
    assert(c == NULL || c->intake == in);
    intake_result(w, s);
    if (s->purpose == PURPOSE_INTAKE_COMMIT) {
        if (c != NULL) {
            committed(w, c, result);
        }
    } else if (c != NULL) {
        /* A connection that already waits for its commit gets the answer from the commit. */
        if (result != SMTP_COMMIT_OK && !c->awaiting_commit) {
            smtp_server_fail_body(&c->smtp, result);
        }
        server_pump(w, c);
        return; /* the commit may have freed the intake */
    }
    intake_free_if_over(w, in);
}

void server_event(struct worker *w, struct server_conn *c, uint32_t kinds)
{
    c->peer_fin |= (kinds & TCP_EVENT_FIN) != 0;
    if ((kinds & TCP_EVENT_CLOSED) != 0) {
        c->conn.tcp = NULL;
        server_free(w, c);
        return;
    }
    server_pump(w, c);
}

void server_deadline(struct worker *w, struct server_conn *c)
{
    if (c->awaiting_commit) {
        touch(w, c); /* the disk was slow, not the peer */
        return;
    }
    if (c->closing) {
        tcp_abort(c->conn.tcp);
        return;
    }
    smtp_server_timeout(&c->smtp, w->draining ? "closing down, try again" : "timeout");
    c->closing = true;
    c->conn.deadline_ns = w->now_ns + 10000 * ns_per_ms;
    server_pump(w, c);
}

void server_pump_stalled(struct worker *w)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_is_empty(&w->stalled)) {
        struct list *link = w->stalled.next;
        list_remove(link);
        list_append(&waiting, link);
    }
    while (!list_is_empty(&waiting)) {
        struct server_conn *c = list_entry(waiting.next, struct server_conn, stall_link);
        list_remove(&c->stall_link);
        c->stalled = false;
        server_pump(w, c);
    }
}
