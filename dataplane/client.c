/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/client.c: a connection to a next hop. It is opened for a delivery, and kept for some
 * time for the next one.
 *
 *   connecting ──OPENED──▶ SMTP greeting ──READY──▶ delivery ──DONE──▶ idle ──▶ next or QUIT
 *
 * Promise: every delivery that was assigned ends in delivery_finish or delivery_fail, once.
 * Trap:    when the hop has closed a pooled connection meanwhile, that is not a failure of the hop:
 *          the delivery is tried again on a new connection before anything is reported.
 */
#include "dataplane/conn.h"

#include "common/config.h"
#include "common/counters.h"

static const uint64_t ns_per_ms = 1000000;

enum { QUIT_TIMEOUT_MS = 5000, WIRE_CHUNK_BYTES = 8192 };

static void set_deadline(struct worker *w, struct client_conn *c)
{
    const struct policy_hop *hop = &c->delivery->hop;
    uint32_t ms = hop->command_timeout_ms;
    if (!c->open) {
        ms = hop->connect_timeout_ms;
    } else if (smtp_client_phase(&c->smtp) == ABI_PHASE_BODY) {
        ms = hop->data_timeout_ms;
    } else if (smtp_client_phase(&c->smtp) == ABI_PHASE_DOT) {
        ms = hop->dot_timeout_ms;
    }
    c->conn.deadline_ns = w->now_ns + ms * ns_per_ms;
}

static void leave_pool(struct client_conn *c)
{
    if (c->idle) {
        c->idle = false;
        list_remove(&c->idle_link);
    }
}

static void client_free(struct worker *w, struct client_conn *c)
{
    assert(c->conn.tcp == NULL && c->delivery == NULL);
    leave_pool(c);
    list_remove(&c->conn.link);
    pool_give(&w->clients, c);
}

static void quit(struct worker *w, struct client_conn *c)
{
    leave_pool(c);
    c->quitting = true;
    c->conn.deadline_ns = w->now_ns + QUIT_TIMEOUT_MS * ns_per_ms;
    smtp_client_quit(&c->smtp);
    client_pump(w, c);
}

static void go_idle(struct worker *w, struct client_conn *c)
{
    if (w->draining || c->delivery_count >= c->messages_max || c->idle_timeout_ms == 0) {
        quit(w, c);
        return;
    }
    c->idle = true;
    c->conn.deadline_ns = w->now_ns + c->idle_timeout_ms * ns_per_ms;
    list_append(&w->idle[c->hop_id % HOP_SLOTS], &c->idle_link);
}

/* Finds a pooled connection to an address and port that the policy has for the hop now. */
static struct client_conn *find_idle(struct worker *w, const struct policy_hop *hop)
{
    struct list *head = &w->idle[hop->id % HOP_SLOTS];
    for (struct list *l = head->next; l != head; l = l->next) {
        struct client_conn *c = list_entry(l, struct client_conn, idle_link);
        const struct tcp_tuple *tuple = tcp_conn_tuple(c->conn.tcp);
        if (c->hop_id != hop->id || tuple->remote_port != hop->port) {
            continue;
        }
        for (uint32_t i = 0; i < hop->address_count; i++) {
            if (ip_equal(&tuple->remote_addr, &hop->address[i])) {
                return c;
            }
        }
    }
    return NULL;
}

static void attach(struct worker *w, struct client_conn *c, struct delivery *d)
{
    c->delivery = d;
    d->client = c;
    c->delivery_count++;
    c->messages_max = d->hop.messages_per_connection_max;
    c->idle_timeout_ms = d->hop.idle_timeout_ms;
    set_deadline(w, c);
}

/* Finds the next address of the hop to which there is a route, beginning with the attempt's own. */
static bool find_address(struct worker *w, struct delivery *d, struct ip_addr *local_out,
                         struct ip_addr *remote_out)
{
    while (d->addresses_tried < d->hop.address_count) {
        *remote_out = d->hop.address[d->attempt % d->hop.address_count];
        if (net_source_for(w->net, remote_out, local_out)) {
            return true;
        }
        d->addresses_tried++;
        d->attempt++;
    }
    return false;
}

static void open_new(struct worker *w, struct delivery *d)
{
    struct ip_endpoint local = {.port = 0};
    struct ip_endpoint remote = {.port = d->hop.port};
    if (!find_address(w, d, &local.addr, &remote.addr)) {
        delivery_fail(w, d, OUTCOME_CONNECT_UNREACHABLE, ABI_PHASE_CONNECT, "no route to the hop");
        return;
    }
    struct client_conn *c = pool_take(&w->clients);
    if (c == NULL) {
        delivery_fail(w, d, OUTCOME_NO_RESOURCE, ABI_PHASE_CONNECT, "no free connection here");
        return;
    }
    *c = (struct client_conn){.conn = {.kind = CONN_CLIENT}, .hop_id = d->hop.id};
    list_init(&c->idle_link);
    int r = tcp_connect(w->tcp, &local, &remote, &c->conn, w->now_ns, &c->conn.tcp);
    if (r < 0) {
        pool_give(&w->clients, c);
        delivery_fail(w, d, OUTCOME_NO_RESOURCE, ABI_PHASE_CONNECT, "no free port or memory here");
        return;
    }
    counter_add(w->counters, COUNTER_client_connections, 1);
    list_init(&c->conn.link);
    list_append(&w->conns, &c->conn.link);
    attach(w, c, d);
}

void client_assign(struct worker *w, struct delivery *d)
{
    struct client_conn *c = d->fresh_only ? NULL : find_idle(w, &d->hop);
    if (c == NULL) {
        open_new(w, d);
        return;
    }
    leave_pool(c);
    counter_add(w->counters, COUNTER_client_reuses, 1);
    attach(w, c, d);
    client_pump(w, c);
}

static struct delivery *detach(struct client_conn *c)
{
    struct delivery *d = c->delivery;
    c->delivery = NULL;
    if (d != NULL) {
        d->client = NULL;
    }
    return d;
}

/* The results of the delivery are known: reports them. */
static void finish(struct worker *w, struct client_conn *c)
{
    struct delivery *d = detach(c);
    if (d->step == DELIVERY_SENDING) {
        delivery_finish(w, d, &c->smtp);
    } else { /* the greeting failed: the hop said nothing about this delivery */
        delivery_fail_all(w, d, &c->smtp.broken, c->smtp.text);
    }
}

/* True for a stale pooled connection: the hop has answered nothing of this delivery yet. */
static bool may_try_again(const struct client_conn *c)
{
    enum abi_phase phase = c->smtp.state == SMTP_CLIENT_STATE_BROKEN
                               ? (enum abi_phase)c->smtp.broken.phase
                               : smtp_client_phase(&c->smtp);
    return c->delivery_count > 1 && !c->delivery->fresh_only &&
           (phase == ABI_PHASE_NONE || phase == ABI_PHASE_MAIL);
}

/* The connection is over: decides what happens to its delivery. */
static void end_delivery(struct worker *w, struct client_conn *c, enum outcome why)
{
    if (c->delivery == NULL) {
        return;
    }
    if (!c->open) {
        struct delivery *d = detach(c);
        /* RFC 5321 section 5.1: every address is tried before the attempt counts as failed. */
        if (++d->addresses_tried < d->hop.address_count) {
            d->attempt++;
            open_new(w, d);
        } else {
            delivery_fail(w, d, why, ABI_PHASE_CONNECT, "");
        }
        return;
    }
    if (c->delivery->damaged) {
        struct delivery *d = detach(c);
        smtp_client_lost(&c->smtp, why);
        delivery_fail(w, d, OUTCOME_DAMAGED, ABI_PHASE_BODY, "spool record damaged");
        return;
    }
    if (may_try_again(c)) {
        struct delivery *d = detach(c);
        smtp_client_lost(&c->smtp, why);
        delivery_rewind(w, d);
        d->fresh_only = true;
        open_new(w, d);
        return;
    }
    smtp_client_lost(&c->smtp, why);
    finish(w, c);
}

static bool flush(struct client_conn *c)
{
    struct bytes out = smtp_client_output(&c->smtp);
    while (out.len > 0) {
        size_t sent = tcp_write(c->conn.tcp, out.data, out.len);
        if (sent == 0) {
            return false;
        }
        smtp_client_output_sent(&c->smtp, sent);
        out = smtp_client_output(&c->smtp);
    }
    return true;
}

/* Moves body bytes into TCP while it has room. */
static void push_body(struct worker *w, struct client_conn *c)
{
    uint8_t wire[WIRE_CHUNK_BYTES];
    while (!smtp_client_body_done(&c->smtp)) {
        size_t space = tcp_write_space(c->conn.tcp);
        struct bytes body = delivery_peek(w, c->delivery);
        if (c->delivery->damaged) {
            client_abort(w, c, OUTCOME_DAMAGED);
            return;
        }
        bool given_all = c->delivery->record_index >= c->delivery->record_count;
        if (space < 64) {
            tcp_want_writable(c->conn.tcp);
            return;
        }
        if (body.len == 0 && !given_all) {
            return; /* the end of the read calls the pump again */
        }
        size_t used = 0;
        size_t len = smtp_client_body(&c->smtp, body, wire,
                                      space < sizeof wire ? space : sizeof wire, &used);
        assert(used <= body.len);
        size_t written = tcp_write(c->conn.tcp, wire, len);
        assert(written == len); /* tcp_write_space promised it */
        delivery_consume(c->delivery, used);
        set_deadline(w, c);
        if (len == 0 && used == 0) {
            return;
        }
    }
    delivery_sent(w, c->delivery);
}

void client_abort(struct worker *w, struct client_conn *c, enum outcome why)
{
    leave_pool(c);
    end_delivery(w, c, why);
    if (c->conn.tcp != NULL) {
        c->quitting = true;
        tcp_abort(c->conn.tcp);
    }
}

static void ready(struct worker *w, struct client_conn *c)
{
    if (c->quitting || c->idle) {
        return;
    }
    struct delivery *d = c->delivery;
    if (d == NULL) {
        go_idle(w, c);
    } else if (writer_spool_state(w->settings.writer) == ABI_SPOOL_FENCED) {
        /* No outcome could be recorded, so the delivery does not begin. */
        delivery_fail(w, detach(c), OUTCOME_CANCELLED, ABI_PHASE_NONE, "storage trouble here");
    } else if (d->step == DELIVERY_READY) {
        d->step = DELIVERY_SENDING;
        smtp_client_begin(&c->smtp, &d->smtp);
        set_deadline(w, c);
    }
}

/* Does what SMTP asks. false: stop pumping. */
static bool act(struct worker *w, struct client_conn *c, enum smtp_client_action action)
{
    switch (action) {
    case SMTP_CLIENT_MORE:
        return true;
    case SMTP_CLIENT_READY:
        ready(w, c);
        return c->delivery != NULL;
    case SMTP_CLIENT_BODY:
        if (c->delivery != NULL) {
            push_body(w, c);
        }
        return !c->quitting;
    case SMTP_CLIENT_DONE:
        finish(w, c);
        return true;
    case SMTP_CLIENT_BROKEN:
        if (c->delivery != NULL && may_try_again(c)) {
            end_delivery(w, c, OUTCOME_CONNECTION_LOST);
        } else if (c->delivery != NULL) {
            finish(w, c);
        }
        leave_pool(c);
        if (!c->quitting) {
            c->quitting = true;
            (void)flush(c);
            tcp_close(c->conn.tcp);
            c->conn.deadline_ns = w->now_ns + QUIT_TIMEOUT_MS * ns_per_ms;
        }
        return false;
    }
    assert(!"every action is handled above");
    return false;
}

void client_pump(struct worker *w, struct client_conn *c)
{
    bool more = c->open && c->conn.tcp != NULL;
    while (more) {
        atomic_store_explicit(&w->current_delivery, c->delivery == NULL ? 0 : c->delivery->id,
                              memory_order_relaxed);
        (void)flush(c);
        struct bytes input = tcp_peek(c->conn.tcp);
        size_t used = 0;
        /* A 250 while body bytes are still unacknowledged is the answer to something else. */
        smtp_client_set_unsent(&c->smtp, tcp_unsent(c->conn.tcp) > 0);
        uint32_t replies = c->smtp.reply_count;
        enum smtp_client_action action = smtp_client_feed(&c->smtp, input, &used);
        assert(used <= input.len);
        if (used > 0) {
            tcp_consume(c->conn.tcp, used);
        }
        if (replies != c->smtp.reply_count && c->delivery != NULL) {
            set_deadline(w, c); /* a whole reply: its bytes may drip for ever */
        }
        enum smtp_client_state before = c->smtp.state;
        bool moved = used > 0 || action == SMTP_CLIENT_DONE;
        more = act(w, c, action) && (moved || (action == SMTP_CLIENT_READY &&
                                               (before != c->smtp.state || c->smtp.done_pending)));
    }
    if (c->open && c->conn.tcp != NULL) {
        (void)flush(c);
    }
    atomic_store_explicit(&w->current_delivery, 0, memory_order_relaxed);
}

static enum outcome connect_outcome(uint32_t kinds)
{
    if ((kinds & TCP_EVENT_REFUSED) != 0) {
        return OUTCOME_CONNECT_REFUSED;
    }
    if ((kinds & TCP_EVENT_UNREACHABLE) != 0) {
        return OUTCOME_CONNECT_UNREACHABLE;
    }
    return (kinds & TCP_EVENT_TIMEOUT) != 0 ? OUTCOME_CONNECT_TIMEOUT : OUTCOME_CONNECTION_LOST;
}

void client_event(struct worker *w, struct client_conn *c, uint32_t kinds)
{
    if ((kinds & TCP_EVENT_OPENED) != 0 && !c->open && c->delivery != NULL) {
        c->open = true;
        smtp_client_init(&c->smtp, w->config->hostname,
                         c->delivery->hop.protocol == CONFIG_PROTOCOL_LMTP);
        /* A keep-alive notices a crashed hop while we wait for its reply, long before the ten
         * minutes are over. */
        tcp_keep_alive(c->conn.tcp, c->delivery->hop.keepalive_ms);
        set_deadline(w, c);
    }
    if ((kinds & TCP_EVENT_CLOSED) == 0) {
        client_pump(w, c);
    }
    bool over = (kinds & (TCP_EVENT_CLOSED | TCP_EVENT_FIN)) != 0;
    if (!over) {
        return;
    }
    leave_pool(c);
    end_delivery(w, c, c->open ? OUTCOME_CONNECTION_LOST : connect_outcome(kinds));
    if ((kinds & TCP_EVENT_CLOSED) != 0) {
        c->conn.tcp = NULL;
        client_free(w, c);
    } else if (!c->quitting || smtp_client_output(&c->smtp).len == 0) {
        c->quitting = true;
        tcp_close(c->conn.tcp);
        c->conn.deadline_ns = w->now_ns + QUIT_TIMEOUT_MS * ns_per_ms;
    }
}

void client_deadline(struct worker *w, struct client_conn *c)
{
    if (c->idle) {
        quit(w, c);
        return;
    }
    bool is_ours = c->delivery != NULL && c->delivery->starved && c->open &&
                   smtp_client_phase(&c->smtp) == ABI_PHASE_BODY;
    end_delivery(w, c, is_ours ? OUTCOME_NO_RESOURCE : OUTCOME_CONNECT_TIMEOUT);
    c->quitting = true;
    tcp_abort(c->conn.tcp);
}
