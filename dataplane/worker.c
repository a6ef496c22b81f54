/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/worker.c: the loop of one worker. The order of a turn:
 *
 *   policy, attach ─▶ results of the spool ─▶ commands of control ─▶ frames in ─▶ TCP events
 *                 ─▶ timers ─▶ stalled connections ─▶ segments and frames out
 *
 * Promise: no step blocks or makes a system call; each is bounded by a burst.
 * Trap:    results come before frames, so that buffers return before new ones are asked for.
 */
#include "dataplane/conn.h"

#include "common/config.h"
#include "common/counters.h"
#include "common/limits/intake.h"

#include <errno.h>
#include <stdlib.h>

enum {
    DOWN_BURST = 64,
    SCAN_INTERVAL_MS = 250, /* deadlines are seconds: a quarter late does not matter */
    RECEIVE_WINDOW_BYTES = 256 * 1024,
    SEND_BUFFER_BYTES = 256 * 1024,
    BLOCK_BYTES = 2048, /* of TCP's pool: a full Ethernet segment */
    TIME_WAITS = 65536,
};
static const uint64_t ns_per_ms = 1000000;

static enum smtp_rcpt_verdict lookup(void *ctx, struct bytes address, uint32_t *route_id_out)
{
    struct worker *w = ctx;
    if (w->policy == NULL) {
        return SMTP_RCPT_UNTRUSTED;
    }
    switch (policy_lookup(w->policy, address, route_id_out)) {
    case POLICY_ACCEPT:
        return SMTP_RCPT_ACCEPT;
    case POLICY_UNKNOWN_USER:
        return SMTP_RCPT_UNKNOWN;
    case POLICY_NOT_RELAYED:
        return SMTP_RCPT_NOT_OURS;
    case POLICY_GRACE:
        return SMTP_RCPT_UNTRUSTED;
    }
    assert(!"every verdict is handled above");
    return SMTP_RCPT_UNTRUSTED;
}

/* --- making and ending ---------------------------------------------------------------------- */

static int create_net(struct worker *w)
{
    struct net_interface interface[LIMIT_INTERFACES];
    const struct config *config = w->config;
    const uint32_t *port = w->settings.interface_port;
    for (uint32_t i = 0; i < config->interface_count; i++) {
        interface[i] = (struct net_interface){.port = port == NULL ? i : port[i],
                                              .addr = config->interface[i].addr,
                                              .prefix_bits = config->interface[i].prefix_bits,
                                              .gateway = config->interface[i].gateway};
    }
    return net_create(w->settings.nic, interface, config->interface_count, w->counters, &w->net);
}

static int create_tcp(struct worker *w)
{
    uint32_t connections = w->config->limits.connections;
    uint16_t mtu = 1500;
    for (uint32_t i = 0; i < nic_port_count(w->settings.nic); i++) {
        uint16_t port_mtu = nic_mtu(w->settings.nic, i);
        mtu = port_mtu < mtu ? port_mtu : mtu;
    }
    struct tcp_settings settings = {
        /* Room for both kinds of connections, so that intake cannot starve deliveries; and a third
         * more, which may be half-open. */
        .conn_count_max = (connections + CLIENTS_MAX) / 3 * 4,
        .time_wait_count_max = TIME_WAITS,
        .block_count = w->settings.buffer_mib * (1024 * 1024 / BLOCK_BYTES) / 2,
        .receive_window_bytes = RECEIVE_WINDOW_BYTES,
        .send_buffer_bytes = SEND_BUFFER_BYTES,
        .mss_bytes = (uint16_t)(mtu - 40),
        .isn_key = w->settings.key,
    };
    w->tcp_shell.net = w->net;
    int r = tcp_stack_create(&settings, &w->tcp_shell, &w->tcp);
    for (uint32_t i = 0; r == 0 && i < w->config->listen_count; i++) {
        r = tcp_listen(w->tcp, &w->config->listen[i]);
    }
    return r;
}

static int create_pools(struct worker *w)
{
    uint32_t connections = w->config->limits.connections;
    uint32_t intakes = connections < LIMIT_INTAKES ? connections : LIMIT_INTAKES;
    int r = buffers_init(&w->buffers, w->settings.buffer_mib, w->settings.memory);
    r = r < 0 ? r : pool_init(&w->submissions, sizeof(struct submission), SUBMISSIONS, 64, NULL);
    r = r < 0 ? r : pool_init(&w->intakes, sizeof(struct intake), intakes, 64, NULL);
    r = r < 0 ? r : pool_init(&w->servers, sizeof(struct server_conn), connections, 64, NULL);
    r = r < 0 ? r : pool_init(&w->clients, sizeof(struct client_conn), CLIENTS_MAX, 64, NULL);
    r = r < 0 ? r
              : pool_init(&w->deliveries, sizeof(struct delivery), 2 * LIMIT_DELIVERS_IN_FLIGHT, 64,
                          NULL);
    r = r < 0 ? r
              : pool_init(&w->record_lists, RECORDS_MAX * sizeof(uint64_t), RECORD_LISTS, 64, NULL);
    return r;
}

int worker_create(const struct worker_settings *settings, struct worker **worker_out)
{
    struct worker *w = aligned_alloc(64, (sizeof *w + 63) & ~(size_t)63);
    if (w == NULL) {
        return -ENOMEM;
    }
    memset(w, 0, sizeof *w);
    w->settings = *settings;
    w->ids = settings->ids;
    w->config = settings->config;
    w->counters = settings->counters;
    w->port = writer_port(settings->writer, settings->index);
    w->smtp_env = (struct smtp_server_env){.hostname = w->config->hostname,
                                           .message_bytes_max = w->config->limits.message_bytes,
                                           .rcpts_max = w->config->limits.rcpts,
                                           .lookup = lookup,
                                           .lookup_ctx = w};
    list_init(&w->conns);
    list_init(&w->stalled);
    list_init(&w->aborting);
    list_init(&w->reporting);
    for (int i = 0; i < HOP_SLOTS; i++) {
        list_init(&w->idle[i]);
    }
    int r = create_pools(w);
    r = r < 0 ? r : create_net(w);
    r = r < 0 ? r : create_tcp(w);
    if (r < 0) {
        worker_destroy(w);
        return r;
    }
    *worker_out = w;
    return 0;
}

void worker_destroy(struct worker *w)
{
    if (w->tcp != NULL) {
        tcp_stack_destroy(w->tcp);
    }
    if (w->net != NULL) {
        net_destroy(w->net);
    }
    buffers_fini(&w->buffers);
    struct pool *pools[] = {&w->submissions, &w->intakes,    &w->servers,
                            &w->clients,     &w->deliveries, &w->record_lists};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        pool_fini(pools[i]);
    }
    free(w);
}

/* --- what other threads ask ----------------------------------------------------------------- */

void worker_set_policy(struct worker *w, const struct policy *policy)
{
    atomic_store_explicit(&w->policy_wanted, policy, memory_order_release);
}

const struct policy *worker_policy(const struct worker *w)
{
    return atomic_load_explicit(&w->policy_used, memory_order_acquire);
}

void worker_attach(struct worker *w, struct abi_attach *region)
{
    atomic_store_explicit(&w->region_wanted, region, memory_order_release);
}

struct abi_attach *worker_attached(const struct worker *w)
{
    return atomic_load_explicit(&w->region_used, memory_order_acquire);
}

void worker_drain(struct worker *w)
{
    atomic_store_explicit(&w->drain_wanted, true, memory_order_relaxed);
}

void worker_abandon(struct worker *w)
{
    atomic_store_explicit(&w->abandon_wanted, true, memory_order_relaxed);
}

bool worker_is_drained(const struct worker *w)
{
    return atomic_load_explicit(&w->drained, memory_order_acquire);
}

uint64_t worker_current_delivery(const struct worker *w)
{
    return atomic_load_explicit(&w->current_delivery, memory_order_relaxed);
}

static void take_policy(struct worker *w)
{
    const struct policy *wanted = atomic_load_explicit(&w->policy_wanted, memory_order_acquire);
    if (wanted != w->policy) {
        w->policy = wanted;
        atomic_store_explicit(&w->policy_used, wanted, memory_order_release);
    }
}

/* A new control first hears what is in flight. Only then are its commands taken. */
static void take_region(struct worker *w)
{
    struct abi_attach *wanted = atomic_load_explicit(&w->region_wanted, memory_order_acquire);
    if (wanted == w->region || w->submissions.free_count < w->in_flight_count + 2) {
        return;
    }
    w->region = wanted;
    if (wanted != NULL) {
        uint32_t index = w->settings.index;
        ring_open(&w->down, (struct ring *)((uint8_t *)wanted + abi_down_offset(index)),
                  LIMIT_RING_DOWN_SLOTS);
        for (uint32_t i = 0; i < DELIVERY_HASH_SLOTS; i++) {
            if (w->in_flight[i] != NULL) {
                struct abi_up up = {.type = ABI_UP_INFLIGHT};
                up.inflight.id = w->in_flight[i]->id;
                up.inflight.hop_id = w->in_flight[i]->hop.id;
                submission_note(w, &up);
            }
        }
        struct abi_up end = {.type = ABI_UP_INFLIGHT_END};
        submission_note(w, &end);
    }
    atomic_store_explicit(&w->region_used, wanted, memory_order_release);
}

/* --- results of the writer ------------------------------------------------------------------ */

/* Hands finished submissions to their owners. Returns how many. */
static uint32_t results(struct worker *w)
{
    uint32_t count = 0;
    struct ring_slot slot;
    while (ring_take(&w->port->done, &slot)) {
        struct submission *s;
        memcpy(&s, slot.data, sizeof s);
        assert(s != NULL && s->worker == w->settings.index);
        count++;
        switch ((enum purpose)s->purpose) {
        case PURPOSE_INTAKE_RECORD:
        case PURPOSE_INTAKE_COMMIT:
        case PURPOSE_INTAKE_ABORT:
            server_result(w, s);
            break;
        case PURPOSE_READ:
            delivery_read_done(w, s);
            break;
        case PURPOSE_NOTHING:
            break;
        }
        pool_give(&w->submissions, s);
    }
    return count;
}

/* --- commands of control -------------------------------------------------------------------- */

static void state_command(struct worker *w, const struct abi_down *down)
{
    struct submission *s = submission_take(w, 0);
    assert(s != NULL); /* commands() has checked */
    if (down->kind == ABI_STATE_RELEASE) {
        loops_pardon(w, down->state.id);
    }
    s->spool.state.id = down->state.id;
    s->spool.state.rcpts = down->state.rcpts;
    s->spool.state.kind = down->kind;
    s->spool.state.outcome = down->outcome;
    s->spool.state.time_ms = w->wall_ms;
    submission_send(w, s, SPOOL_SUBMIT_STATE, NULL, PURPOSE_NOTHING);
}

static void recycle_command(struct worker *w, const struct abi_down *down,
                            enum spool_submit_kind kind)
{
    struct submission *s = submission_take(w, 0);
    assert(s != NULL);
    s->spool.seq = down->recycle.seq;
    s->spool.seen_pos = down->recycle.seen_pos;
    submission_send(w, s, kind, NULL, PURPOSE_NOTHING);
}

static void command(struct worker *w, const struct abi_down *down)
{
    struct abi_up up = {.type = ABI_UP_FENCE};
    switch (down->type) { /* from another process: it may have any value */
    case ABI_DOWN_DELIVER:
        delivery_begin(w, down);
        break;
    case ABI_DOWN_STATE:
        if ((down->kind == ABI_STATE_RELEASE || down->kind == ABI_STATE_FREEZE) &&
            outcome_valid(down->outcome)) {
            state_command(w, down);
        }
        break;
    case ABI_DOWN_RECYCLE:
        recycle_command(w, down, SPOOL_SUBMIT_RECYCLE);
        break;
    case ABI_DOWN_STATE_RECYCLE:
        recycle_command(w, down, SPOOL_SUBMIT_STATE_RECYCLE);
        break;
    case ABI_DOWN_FENCE:
        up.fence.token = down->fence.token;
        up.fence.worker = w->settings.index;
        submission_note(w, &up);
        break;
    default:
        break;
    }
}

static uint32_t commands(struct worker *w)
{
    uint32_t count = 0;
    struct abi_down down;
    /* Each command makes at most one submission at once. */
    while (w->region != NULL && count < DOWN_BURST && w->submissions.free_count > 1 &&
           ring_take(&w->down, &down)) {
        command(w, &down);
        count++;
    }
    return count;
}

/* --- network -------------------------------------------------------------------------------- */

static void events(struct worker *w)
{
    struct tcp_event event;
    while (tcp_next_event(w->tcp, &event)) {
        struct conn *conn = event.user;
        if (conn == NULL) {
            if ((event.kinds & TCP_EVENT_OPENED) == 0 || (event.kinds & TCP_EVENT_CLOSED) != 0) {
                continue; /* refused at the banner, or gone before it was accepted */
            }
            server_open(w, event.conn, event.kinds);
        } else if (conn->kind == CONN_SERVER) {
            server_event(w, (struct server_conn *)conn, event.kinds);
        } else {
            client_event(w, (struct client_conn *)conn, event.kinds);
        }
    }
}

static void input(struct worker *w, const struct nic_frame *frame)
{
    struct net_packet packet;
    struct tcp_tuple tuple;
    switch (net_input(w->net, frame, w->now_ns, &packet)) {
    case NET_HANDLED:
        break;
    case NET_TCP:
        tcp_input(w->tcp, &packet.src, &packet.dst, packet.segment, w->now_ns);
        events(w);
        tcp_input_done(w->tcp);
        break;
    case NET_UNREACHABLE:
        tuple = (struct tcp_tuple){.local_addr = packet.src,
                                   .remote_addr = packet.dst,
                                   .local_port = packet.ports[0],
                                   .remote_port = packet.ports[1]};
        tcp_unreachable(w->tcp, &tuple, packet.seq);
        break;
    }
}

/* Connections from outside stay below their limit; the rest of the table is for deliveries.
 * Half-open ones do not count, because a flood of SYNs would shut all others out. They evict each
 * other. */
static void set_accepting(struct worker *w)
{
    struct tcp_stats stats;
    tcp_stack_stats(w->tcp, &stats);
    uint32_t outgoing = w->clients.count - w->clients.free_count;
    uint32_t open = stats.conn_count - stats.half_open_count;
    bool accepting = open < w->config->limits.connections + outgoing;
    tcp_set_accepting(w->tcp, accepting && !w->draining);
}

static uint32_t frames_in(struct worker *w)
{
    uint32_t total = 0;
    struct nic_frame frame[NIC_BURST];
    for (uint32_t port = 0; port < nic_port_count(w->settings.nic); port++) {
        uint32_t count = nic_receive(w->settings.nic, port, frame);
        for (uint32_t i = 0; i < count; i++) {
            input(w, &frame[i]);
            nic_release(w->settings.nic, &frame[i]);
        }
        total += count;
    }
    return total;
}

/* The neighbour does not answer: the connects that wait for it fail. */
static void unreachable(struct worker *w)
{
    struct ip_addr dst;
    while (net_next_unreachable(w->net, &dst)) {
        for (struct list *l = w->conns.next; l != &w->conns; l = l->next) {
            struct conn *conn = list_entry(l, struct conn, link);
            if (conn->kind == CONN_CLIENT && conn->tcp != NULL &&
                ip_equal(&tcp_conn_tuple(conn->tcp)->remote_addr, &dst)) {
                tcp_conn_unreachable(conn->tcp);
            }
        }
    }
}

/* --- time ----------------------------------------------------------------------------------- */

static void deadline(struct worker *w, struct conn *conn)
{
    bool is_due = w->now_ns >= conn->deadline_ns;
    if (conn->tcp == NULL) {
        return;
    }
    if (conn->kind == CONN_SERVER) {
        struct server_conn *c = (struct server_conn *)conn;
        if (is_due || server_is_overdue(w, c)) {
            server_deadline(w, c);
        }
    } else if (is_due) {
        client_deadline(w, (struct client_conn *)conn);
    }
}

static void figures(struct worker *w)
{
    struct tcp_stats stats;
    tcp_stack_stats(w->tcp, &stats);
    counter_set(w->counters, COUNTER_tcp_accepted, stats.accepted);
    counter_set(w->counters, COUNTER_tcp_connected, stats.connected);
    counter_set(w->counters, COUNTER_tcp_retransmits, stats.retransmits);
    counter_set(w->counters, COUNTER_tcp_resets_sent, stats.resets_sent);
    counter_set(w->counters, COUNTER_tcp_resets_received, stats.resets_received);
    counter_set(w->counters, COUNTER_tcp_no_memory, stats.no_memory);
    counter_set(w->counters, COUNTER_connections_now, stats.conn_count);
    counter_set(w->counters, COUNTER_tx_dropped, nic_tx_dropped(w->settings.nic));
}

static void begin_drain(struct worker *w)
{
    w->draining = true;
    for (struct list *l = w->conns.next; l != &w->conns; l = l->next) {
        struct conn *conn = list_entry(l, struct conn, link);
        if (conn->kind == CONN_CLIENT && ((struct client_conn *)conn)->idle) {
            conn->deadline_ns = 0;
        } else if (conn->kind == CONN_SERVER &&
                   smtp_server_is_idle(&((struct server_conn *)conn)->smtp)) {
            conn->deadline_ns = 0;
        }
    }
}

/* Looks at every connection's deadline, a few times a second. */
static void scan(struct worker *w)
{
    if (w->now_ns < w->next_scan_ns) {
        return;
    }
    w->next_scan_ns = w->now_ns + SCAN_INTERVAL_MS * ns_per_ms;
    if (atomic_load_explicit(&w->drain_wanted, memory_order_relaxed)) {
        begin_drain(w);
    }
    bool abandon = atomic_load_explicit(&w->abandon_wanted, memory_order_relaxed);
    for (struct list *l = w->conns.next, *next; l != &w->conns; l = next) {
        struct conn *conn = list_entry(l, struct conn, link);
        next = l->next; /* a deadline closes; CLOSED comes later: l stays linked */
        if (conn->kind == CONN_CLIENT && conn->tcp != NULL) {
            client_pump(w, (struct client_conn *)conn); /* it may have found no buffer */
            if (abandon) {
                client_abort(w, (struct client_conn *)conn, OUTCOME_CANCELLED);
            }
        }
        deadline(w, conn);
    }
    relief_turn(w);
    figures(w);
    bool drained = w->draining && list_is_empty(&w->conns) && w->in_flight_count == 0 &&
                   w->submissions.free_count == w->submissions.count;
    atomic_store_explicit(&w->drained, drained, memory_order_release);
}

uint64_t worker_next_ns(const struct worker *w)
{
    uint64_t timer = tcp_next_timer_ns(w->tcp);
    return timer < w->next_scan_ns ? timer : w->next_scan_ns;
}

bool worker_turn(struct worker *w, uint64_t now_ns, uint64_t wall_ms)
{
    w->now_ns = now_ns;
    w->wall_ms = wall_ms;
    w->tcp_shell.now_ns = now_ns;
    take_policy(w);
    take_region(w);
    uint32_t work = results(w);
    intake_abort_waiting(w);
    delivery_report_waiting(w);
    work += commands(w);
    set_accepting(w);
    work += frames_in(w);
    net_tick(w->net, now_ns);
    unreachable(w);
    tcp_tick(w->tcp, now_ns);
    events(w);
    scan(w);
    server_pump_stalled(w);
    tcp_output(w->tcp, now_ns);
    nic_flush(w->settings.nic);
    return work > 0;
}
