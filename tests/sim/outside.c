/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/outside.c: the sessions of the clients: when they begin, wait, give up. The dialogue is
 * in outside_smtp.c. See outside.h.
 */
#include "tests/sim/outside_session.h"

#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ns_per_ms = 1000000;
/* RFC 5321 section 4.5.3.2 asks clients to wait for minutes. */
static const uint64_t reply_ns_max = UINT64_C(300000000000);

static void schedule(struct outside *o)
{
    uint64_t gap = rng_spread(&o->rng, ns_per_ms, o->plan.session_gap_ns_max);
    /* Senders back off; these up to a minute and more. */
    unsigned doublings = o->failures / 8 < 7 ? o->failures / 8 : 7;
    uint64_t backoff = doublings == 0 ? 0 : rng_below(&o->rng, (ns_per_ms * 1000) << doublings);
    o->next_session_ns = trace.now_ns + gap + backoff;
}

struct outside_session *outside_session_begin(struct outside *o)
{
    for (int i = 0; i < OUTSIDE_SESSIONS_MAX; i++) {
        struct outside_session *s = &o->session[i];
        if (s->conn == NULL) {
            uint8_t *out = s->out; /* its memory is kept */
            size_t out_cap = s->out_cap;
            memset(s, 0, sizeof *s);
            s->out = out;
            s->out_cap = out_cap;
            s->outside = o;
            return s;
        }
    }
    return NULL;
}

static void open_session(struct outside *o)
{
    struct outside_session *s = outside_session_begin(o);
    if (s == NULL) {
        return;
    }
    struct ip_endpoint local = {.addr = o->node->addr};
    if (tcp_connect(o->node->tcp, &local, &o->relay, s, trace.now_ns, &s->conn) != 0) {
        s->conn = NULL;
        return;
    }
    s->messages_left = (uint32_t)rng_range(&o->rng, 1, 5);
    s->pipelines = rng_percent(&o->rng, 50);
    s->chunks = rng_percent(&o->rng, 30);
    s->slow = !o->healed && rng_percent(&o->rng, o->plan.slow_percent);
    s->deadline_ns = trace.now_ns + reply_ns_max;
    outside_session_start(s);
}

/* The session's message is not accepted: it goes back into the plan. */
void outside_session_fail(struct outside_session *s)
{
    if (s->mail != NULL && !s->abandons) {
        s->outside->left++;
        s->outside->failures++;
    }
    s->mail = NULL;
}

void outside_session_drop(struct outside_session *s, bool reset)
{
    if (s->conn == NULL || s->closing) {
        return;
    }
    s->closing = true;
    outside_session_fail(s);
    if (reset) {
        tcp_abort(s->conn);
    } else {
        tcp_close(s->conn);
    }
}

void outside_session_patience(struct outside_session *s)
{
    s->deadline_ns = trace.now_ns + reply_ns_max;
}

static void input(struct outside_session *s)
{
    struct bytes got = tcp_peek(s->conn);
    while (got.len > 0) {
        outside_session_input(s, got);
        tcp_consume(s->conn, got.len);
        got = tcp_peek(s->conn);
    }
}

static void on_event(void *ctx, const struct tcp_event *event)
{
    struct outside *o = ctx;
    struct outside_session *s = event->user;
    if (s == NULL) {
        return; /* it was closed before we knew of it */
    }
    assert(s->outside == o && s->conn == event->conn);
    if ((event->kinds & TCP_EVENT_READABLE) != 0) {
        input(s);
    }
    if ((event->kinds & TCP_EVENT_CLOSED) != 0) {
        outside_session_fail(s);
        s->conn = NULL;
        return;
    }
    if ((event->kinds & TCP_EVENT_FIN) != 0) {
        outside_session_drop(s, false);
        return;
    }
    outside_session_flush(s);
}

static uint64_t on_turn(void *ctx)
{
    struct outside *o = ctx;
    uint32_t open = 0;
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < OUTSIDE_SESSIONS_MAX; i++) {
        struct outside_session *s = &o->session[i];
        if (s->conn == NULL) {
            continue;
        }
        open++;
        if (trace.now_ns >= s->deadline_ns) {
            trace_say("client: gives up waiting");
            outside_session_fail(s);
            s->closing = true;
            s->deadline_ns = UINT64_MAX;
            tcp_abort(s->conn);
            continue;
        }
        outside_session_flush(s);
        next = s->deadline_ns < next ? s->deadline_ns : next;
        if (s->out_sent < s->out_len && s->pace_ns > trace.now_ns) {
            next = s->pace_ns < next ? s->pace_ns : next;
        }
    }
    if (o->left > 0 && open < o->plan.sessions_max) {
        if (trace.now_ns >= o->next_session_ns) {
            open_session(o);
            schedule(o);
        }
        next = o->next_session_ns < next ? o->next_session_ns : next;
    }
    return next;
}

struct outside *outside_create(struct node *node, struct mail_ledger *ledger, struct rng *rng,
                               const struct ip_endpoint *relay, const struct outside_plan *plan)
{
    assert(plan->sessions_max <= OUTSIDE_SESSIONS_MAX);
    struct outside *o = calloc(1, sizeof *o);
    assert(o != NULL);
    o->node = node;
    o->ledger = ledger;
    o->rng = *rng;
    o->relay = *relay;
    o->plan = *plan;
    o->left = plan->message_count;
    node->event = on_event;
    node->turn = on_turn;
    node->ctx = o;
    schedule(o);
    node->app_next_ns = o->next_session_ns;
    return o;
}

void outside_heal(struct outside *o)
{
    o->healed = true;
    o->plan.abandon_percent = 0;
    o->plan.slow_percent = 0;
    for (int i = 0; i < OUTSIDE_SESSIONS_MAX; i++) {
        o->session[i].slow = false;
    }
}

bool outside_is_done(const struct outside *o)
{
    if (o->left > 0) {
        return false;
    }
    for (int i = 0; i < OUTSIDE_SESSIONS_MAX; i++) {
        if (o->session[i].conn != NULL) {
            return false;
        }
    }
    return true;
}

void outside_add(struct outside *o, uint32_t message_count)
{
    o->left += message_count;
    schedule(o);
    o->node->app_next_ns = o->next_session_ns;
}

uint32_t outside_left(const struct outside *o)
{
    return o->left;
}
