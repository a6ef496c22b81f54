/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/hop.c: a next hop's connections and moods. The dialogue is in hop_smtp.c. See hop.h. */
#include "tests/sim/hop_conn.h"

#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a server waits: RFC 5321 section 4.5.3.2.7. */
static const uint64_t command_ns_max = UINT64_C(300000000000);

static const char *const stage_names[HOP_STAGE_COUNT + 1] = {
    "banner", "EHLO", "MAIL", "RCPT", "DATA", "body", "dot", "any stage",
};

static const char *const trouble_names[HOP_TROUBLE_COUNT + 1] = {
    "none",    "4xx",     "5xx",  "close", "reset",    "hang",
    "endless", "garbage", "slow", "extra", "anything",
};

const char *hop_trouble_name(enum hop_trouble trouble)
{
    assert(trouble <= HOP_TROUBLE_COUNT);
    return trouble_names[trouble];
}

const char *hop_mood_text(const struct hop_mood *mood, char out[80])
{
    static const char *const net[] = {"up", "refusing", "silent", "off"};
    if (mood->net != NODE_UP) {
        snprintf(out, 80, "%s", net[mood->net]);
    } else if (mood->percent == 0) {
        snprintf(out, 80, "well");
    } else {
        snprintf(out, 80, "%s at %s, %" PRIu32 " %%", trouble_names[mood->trouble],
                 stage_names[mood->stage], mood->percent);
    }
    return out;
}

struct hop_mood hop_mood_random(struct rng *rng)
{
    struct hop_mood mood = {.net = NODE_UP};
    switch (rng_below(rng, 8)) {
    case 0:
    case 1:
        break;
    case 2:
        mood.net = (enum node_mood)rng_range(rng, NODE_REFUSING, NODE_OFF);
        break;
    case 3:
        mood.stage = HOP_STAGE_COUNT;
        mood.trouble = HOP_TROUBLE_COUNT;
        mood.percent = (uint32_t)rng_range(rng, 2, 30);
        break;
    default:
        mood.stage = (enum hop_stage)rng_below(rng, HOP_STAGE_COUNT);
        mood.trouble = (enum hop_trouble)rng_range(rng, 1, HOP_TROUBLE_COUNT);
        mood.percent = rng_percent(rng, 50) ? 100 : (uint32_t)rng_range(rng, 5, 80);
        break;
    }
    return mood;
}

/* --- connections --------------------------------------------------------------------------- */

void hop_conn_close(struct hop_conn *c, bool reset)
{
    c->state = HOP_STATE_DEAF;
    c->babbles = false;
    if (reset) {
        tcp_abort(c->conn);
    } else {
        tcp_close(c->conn);
    }
}

static void babble(struct hop_conn *c)
{
    static const char line[] = "250-and another thing: this reply will never come to an end\r\n";
    while (c->babbles && tcp_write_space(c->conn) >= sizeof line) {
        (void)tcp_write(c->conn, line, sizeof line - 1);
    }
}

void hop_conn_flush(struct hop_conn *c)
{
    if (c->conn == NULL || trace.now_ns < c->answer_ns) {
        return;
    }
    size_t sent = c->out_len == 0 ? 0 : tcp_write(c->conn, c->out, c->out_len);
    memmove(c->out, c->out + sent, c->out_len - sent);
    c->out_len -= sent;
    if (c->out_len == 0 && c->quit) {
        c->quit = false;
        hop_conn_close(c, false);
        return;
    }
    babble(c);
}

static void end(struct hop_conn *c)
{
    for (uint32_t i = 0; i < c->copy_count; i++) {
        mail_copy_lost(c->hop->ledger, c->copy[i]);
    }
    free(c->body);
    c->conn = NULL;
}

static void acknowledged(struct hop_conn *c)
{
    if (c->out_len > 0 || tcp_unsent(c->conn) > 0) {
        return;
    }
    for (uint32_t i = 0; i < c->copy_count; i++) {
        mail_copy_acked(c->hop->ledger, c->copy[i]);
    }
    c->copy_count = 0;
}

static void accept_conn(struct hop *hop, struct tcp_conn *conn)
{
    struct hop_conn *c = NULL;
    for (int i = 0; i < HOP_CONNS_MAX && c == NULL; i++) {
        c = hop->conn[i].conn == NULL ? &hop->conn[i] : NULL;
    }
    if (c == NULL) {
        tcp_abort(conn);
        return;
    }
    memset(c, 0, sizeof *c);
    c->hop = hop;
    c->conn = conn;
    c->deadline_ns = trace.now_ns + command_ns_max;
    c->pipelining = hop->healed || rng_percent(&hop->rng, 70);
    c->chunking = hop->healed ? rng_percent(&hop->rng, 50) : rng_percent(&hop->rng, 40);
    c->eight_bit = hop->healed || rng_percent(&hop->rng, 90);
    c->size = rng_percent(&hop->rng, 60);
    tcp_conn_set_user(conn, c);
    trace_event(0x30, hop->index, 0);
    hop_conn_greet(c);
}

static void input(struct hop_conn *c)
{
    /* Input that comes while an answer is held back waits in TCP, and its window shrinks. */
    struct bytes got = tcp_peek(c->conn);
    while (got.len > 0 && trace.now_ns >= c->answer_ns) {
        c->deadline_ns = trace.now_ns + command_ns_max;
        size_t n = got.len < 512 ? got.len : 512;
        hop_conn_input(c, bytes_first(got, n));
        tcp_consume(c->conn, n);
        got = tcp_peek(c->conn);
    }
}

static void on_event(void *ctx, const struct tcp_event *event)
{
    struct hop *hop = ctx;
    struct hop_conn *c = event->user;
    if (c == NULL) {
        if ((event->kinds & TCP_EVENT_OPENED) == 0 || (event->kinds & TCP_EVENT_CLOSED) != 0) {
            return;
        }
        accept_conn(hop, event->conn);
        return;
    }
    if ((event->kinds & TCP_EVENT_SENT) != 0) {
        acknowledged(c);
    }
    if ((event->kinds & TCP_EVENT_CLOSED) != 0) {
        end(c);
        return;
    }
    c->heard_ns = (event->kinds & TCP_EVENT_READABLE) != 0 ? trace.now_ns : c->heard_ns;
    input(c);
    if ((event->kinds & TCP_EVENT_FIN) != 0) {
        hop_conn_close(c, false);
        return;
    }
    hop_conn_flush(c);
}

static uint64_t on_turn(void *ctx)
{
    struct hop *hop = ctx;
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < HOP_CONNS_MAX; i++) {
        struct hop_conn *c = &hop->conn[i];
        if (c->conn == NULL) {
            continue;
        }
        if (trace.now_ns >= c->deadline_ns) {
            c->deadline_ns = UINT64_MAX;
            hop_conn_close(c, true);
            continue;
        }
        if (c->answer_ns > trace.now_ns) {
            next = c->answer_ns < next ? c->answer_ns : next;
        } else if (c->answer_ns > 0) {
            c->answer_ns = 0;
            hop_conn_flush(c);
            input(c);
            hop_conn_flush(c);
        }
        next = c->deadline_ns < next ? c->deadline_ns : next;
    }
    return next;
}

struct hop *hop_create(struct node *node, struct mail_ledger *ledger, struct rng *rng,
                       uint32_t index, uint16_t port, bool lmtp)
{
    struct hop *hop = calloc(1, sizeof *hop);
    assert(hop != NULL);
    hop->node = node;
    hop->ledger = ledger;
    hop->rng = *rng;
    hop->index = index;
    hop->lmtp = lmtp;
    node->event = on_event;
    node->turn = on_turn;
    node->ctx = hop;
    node_listen(node, port);
    return hop;
}

void hop_set_mood(struct hop *hop, const struct hop_mood *mood)
{
    char text[80];
    if (hop->healed) {
        return;
    }
    hop->mood = *mood;
    hop->node->mood = mood->net;
    trace_event(0x31, hop->index, (uint64_t)mood->trouble);
    trace_say("hop %" PRIu32 ": %s", hop->index, hop_mood_text(mood, text));
}

void hop_heal(struct hop *hop)
{
    static const struct hop_mood well = {.net = NODE_UP};
    hop_set_mood(hop, &well);
    hop->healed = true;
}
