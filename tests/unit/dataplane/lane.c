/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/lane.c: see lane.h. */
#include "tests/unit/dataplane/lane.h"

#include "tests/sim/trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { RELAY_OCTET = 9, CLIENT_OCTET = 1, HOP_OCTET = 20, PATIENCE_MS = 20000 };

struct lane lane;

static const uint64_t ns_per_ms = 1000000;
static const struct spool_settings spool_settings = {
    .segment_bytes = 1 << 20, .segments_max = 6, .state_segment_bytes = 1 << 20};

/* --- peers ----------------------------------------------------------------------------------- */

static struct peer *add_peer(struct node *node, struct tcp_conn *tcp)
{
    cr_assert_lt(lane.peer_count, LANE_PEERS);
    struct peer *p = calloc(1, sizeof *p);
    cr_assert_not_null(p);
    p->node = node;
    p->tcp = tcp;
    lane.peer[lane.peer_count++] = p;
    return p;
}

static void read_all(struct peer *p)
{
    struct bytes got = tcp_peek(p->tcp);
    while (got.len > 0) {
        cr_assert_leq(got.len, sizeof p->in - p->in_len);
        memcpy(p->in + p->in_len, got.data, got.len);
        p->in_len += got.len;
        tcp_consume(p->tcp, got.len);
        got = tcp_peek(p->tcp);
    }
}

static void on_event(void *ctx, const struct tcp_event *event)
{
    struct peer *p = event->user;
    if (p == NULL && lane.peer_count == LANE_PEERS) {
        tcp_abort(event->conn);
        return;
    }
    if (p == NULL) {
        p = add_peer(ctx, event->conn);
        tcp_conn_set_user(event->conn, p);
    }
    p->opened |= (event->kinds & TCP_EVENT_OPENED) != 0;
    p->fin |= (event->kinds & TCP_EVENT_FIN) != 0;
    if ((event->kinds & TCP_EVENT_CLOSED) != 0) {
        p->tcp = NULL;
        p->fin = true;
        return;
    }
    read_all(p);
    if (p->fin) {
        tcp_close(p->tcp);
    }
}

static struct node *make_node(uint8_t octet)
{
    struct node *node = node_create(lane.wire, &lane.keys, octet, 1500, 32);
    node->event = on_event;
    node->ctx = node;
    return node;
}

/* --- time ------------------------------------------------------------------------------------ */

static uint64_t next_ns(void)
{
    uint64_t next = worker_next_ns(lane.worker);
    uint64_t wire = wire_next_ns(lane.wire);
    next = wire < next ? wire : next;
    struct node *const nodes[] = {lane.client, lane.hop[0], lane.hop[1], lane.hop[2]};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        uint64_t at = node_next_ns(nodes[i]);
        next = at < next ? at : next;
    }
    return next;
}

static void step(void)
{
    wire_deliver(lane.wire);
    for (int rounds = 0; rounds < 3; rounds++) {
        worker_turn(lane.worker, trace.now_ns, trace.now_ns / ns_per_ms);
        if (!lane.writer_sleeps) {
            writer_turn(lane.writer, true);
        }
    }
    node_turn(lane.client);
    for (uint32_t i = 0; i < LANE_HOPS; i++) {
        node_turn(lane.hop[i]);
    }
}

static void run_until_ns(uint64_t end_ns)
{
    step();
    uint64_t next = next_ns();
    uint64_t soon = trace.now_ns + ns_per_ms / 10;
    next = next > soon ? next : soon;
    /* A writer with work goes on without being woken. */
    if (!lane.writer_sleeps && !writer_idle(lane.writer)) {
        next = soon;
    }
    trace.now_ns = next < end_ns ? next : end_ns;
}

void lane_run(uint64_t ms)
{
    uint64_t end_ns = trace.now_ns + ms * ns_per_ms;
    while (trace.now_ns < end_ns) {
        run_until_ns(end_ns);
    }
    step();
}

/* --- making ---------------------------------------------------------------------------------- */

static void fill_config(void)
{
    static char domain[2][16] = {"d0.example", "d1.example"};
    static char *domain_list[2];
    struct config *c = &lane.config;
    config_defaults(c);
    c->interface_count = 1;
    c->listen_count = 1;
    (void)snprintf(c->hostname, sizeof c->hostname, "mx.example");
    config_interface_defaults(&c->interface[0]);
    c->interface[0].addr = node_addr(RELAY_OCTET);
    c->interface[0].prefix_bits = 120;
    c->listen[0] = (struct ip_endpoint){.addr = node_addr(RELAY_OCTET), .port = 25};
    c->limits.message_bytes = 1 << 20;
    c->limits.rcpts = 100;
    c->limits.connections = 16;
    c->limits.connections_per_client = 8;
    c->limits.command_timeout_ms = 300000;
    c->limits.data_timeout_ms = 180000;
    c->limits.transaction_timeout_ms = 600000;
    c->hop_count = LANE_HOPS;
    c->hop = lane.hop_config;
    c->route_count = 2;
    c->route = lane.route_config;
    for (uint32_t i = 0; i < LANE_HOPS; i++) {
        struct config_hop *h = &lane.hop_config[i];
        config_hop_defaults(h);
        h->id = LANE_HOP_ID + i * HOP_SLOTS;
        h->address_count = 1;
        (void)snprintf(h->name, sizeof h->name, "hop%u", i);
        h->address[0] = node_addr((uint8_t)(HOP_OCTET + (i == 2 ? 1 : i)));
        h->port = LANE_HOP_PORT;
        h->protocol = CONFIG_PROTOCOL_SMTP;
        h->connection_count_max = 4;
        h->messages_per_connection_max = 100;
        h->connect_timeout_ms = 20000;
        h->command_timeout_ms = 30000;
        h->data_timeout_ms = 40000;
        h->dot_timeout_ms = 120000;
        h->idle_timeout_ms = 60000;
    }
    lane.hop_config[2].address[1] = node_addr(HOP_OCTET + 2);
    lane.hop_config[2].address_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        struct config_route *r = &lane.route_config[i];
        domain_list[i] = domain[i];
        config_route_defaults(r);
        r->id = LANE_ROUTE_ID + i;
        r->domain_count = 1;
        r->domain = &domain_list[i];
        r->hop_count = 1;
        (void)snprintf(r->name, sizeof r->name, "route%u", i);
        r->hop_index[0] = i;
    }
}

static void start(void)
{
    cr_assert_eq(spool_writer_open(memdisk_io(lane.disk), &spool_settings, &lane.spool), 0);
    const struct writer_settings writer = {
        .spool = lane.spool, .worker_count = 1, .counters = &lane.writer_counters};
    cr_assert_eq(writer_create(&writer, &lane.writer), 0);
    uint8_t mac[NIC_MAC_BYTES];
    node_mac(RELAY_OCTET, mac);
    const struct worker_settings worker = {.config = &lane.config,
                                           .ids = {.start = spool_writer_start(lane.spool)},
                                           .nic = wire_plug(lane.wire, mac, 1500),
                                           .writer = lane.writer,
                                           .counters = &lane.worker_counters,
                                           .key = {.k0 = 1, .k1 = 2},
                                           .buffer_mib = 32};
    cr_assert_eq(worker_create(&worker, &lane.worker), 0);
}

static void stop(void)
{
    wire_unplug(lane.worker->settings.nic);
    worker_destroy(lane.worker);
    writer_destroy(lane.writer);
    spool_writer_close(lane.spool);
}

void lane_publish(void)
{
    static uint64_t generation;
    void *data;
    size_t len;
    cr_assert_eq(policy_build(&lane.config, ++generation, NULL, 0, &data, &len), 0);
    uint8_t *copy = aligned_alloc(64, (len + 63) & ~(size_t)63);
    cr_assert_not_null(copy);
    cr_assert_lt(lane.policy_count, LANE_POLICIES);
    lane.policy[lane.policy_count++] = copy;
    memcpy(copy, data, len);
    free(data);
    const struct policy *policy = policy_verify(copy, len);
    cr_assert_not_null(policy);
    worker_set_policy(lane.worker, policy);
}

void lane_attach(void)
{
    size_t size = (abi_attach_size(1) + 4095) & ~(size_t)4095;
    void *before = lane.region;
    lane.region = aligned_alloc(4096, size);
    cr_assert_not_null(lane.region);
    memset(lane.region, 0, size);
    struct ring *up = (struct ring *)((uint8_t *)lane.region + abi_up_offset());
    struct ring *down = (struct ring *)((uint8_t *)lane.region + abi_down_offset(0));
    ring_init(up, LIMIT_RING_UP_SLOTS);
    ring_init(down, LIMIT_RING_DOWN_SLOTS);
    ring_open(&lane.up, up, LIMIT_RING_UP_SLOTS);
    ring_open(&lane.down, down, LIMIT_RING_DOWN_SLOTS);
    writer_attach(lane.writer, lane.region);
    lane_run(1);
    cr_assert_eq(writer_attached(lane.writer), lane.region);
    worker_attach(lane.worker, lane.region);
    lane_run(1);
    cr_assert_eq(worker_attached(lane.worker), lane.region);
    free(before);
}

void lane_make(void)
{
    trace_begin(1, false);
    trace.now_ns = UINT64_C(1000000000);
    lane.disk = memdisk_create(1);
    lane.wire = wire_create(1);
    rng_init(&lane.keys, 1, RNG_KEYS);
    lane.client = make_node(CLIENT_OCTET);
    for (uint32_t i = 0; i < LANE_HOPS; i++) {
        lane.hop[i] = make_node((uint8_t)(HOP_OCTET + i));
        node_listen(lane.hop[i], LANE_HOP_PORT);
        node_listen(lane.hop[i], LANE_HOP_PORT + 1);
    }
    fill_config();
    start();
    lane_publish();
    lane_attach();
}

void lane_restart(void)
{
    stop();
    start();
    lane_publish();
    lane_attach();
}

void lane_unmake(void)
{
    stop();
    memdisk_destroy(lane.disk);
    node_destroy(lane.client);
    for (uint32_t i = 0; i < LANE_HOPS; i++) {
        node_destroy(lane.hop[i]);
    }
    wire_destroy(lane.wire);
    for (uint32_t i = 0; i < lane.peer_count; i++) {
        free(lane.peer[i]);
    }
    for (uint32_t i = 0; i < lane.policy_count; i++) {
        free(lane.policy[i]);
    }
    free(lane.region);
    memset(&lane, 0, sizeof lane);
}

/* --- what peers do --------------------------------------------------------------------------- */

struct peer *lane_connect_to(uint16_t port)
{
    struct ip_endpoint local = {.addr = lane.client->addr};
    struct ip_endpoint relay = {.addr = node_addr(RELAY_OCTET), .port = port};
    struct peer *p = add_peer(lane.client, NULL);
    cr_assert_eq(tcp_connect(lane.client->tcp, &local, &relay, p, trace.now_ns, &p->tcp), 0);
    lane_run(50);
    return p;
}

struct peer *lane_connect(void)
{
    return lane_connect_to(25);
}

static bool is_of_hop(const struct peer *p, uint32_t hop)
{
    return p->node == lane.hop[hop];
}

uint32_t lane_connections(uint32_t hop)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lane.peer_count; i++) {
        count += is_of_hop(lane.peer[i], hop);
    }
    return count;
}

struct peer *lane_accept(uint32_t hop)
{
    for (int tries = 0; tries < PATIENCE_MS; tries++) {
        for (uint32_t i = 0; i < lane.peer_count; i++) {
            struct peer *p = lane.peer[i];
            if (is_of_hop(p, hop) && !p->accepted) {
                p->accepted = true;
                return p;
            }
        }
        lane_run(1);
    }
    cr_assert_fail("nobody connects to hop %u", hop);
    return NULL;
}

void peer_write(struct peer *p, const void *data, size_t len)
{
    const uint8_t *at = data;
    for (int tries = 0; len > 0; tries++) {
        cr_assert(p->tcp != NULL && tries < PATIENCE_MS, "the connection takes no more");
        size_t taken = tcp_write(p->tcp, at, len);
        at += taken;
        len -= taken;
        lane_run(1);
    }
}

void peer_say(struct peer *p, const char *text)
{
    peer_write(p, text, strlen(text));
}

void peer_fill_line(uint32_t number, char out[PEER_FILL_BYTES])
{
    memset(out, 'x', PEER_FILL_BYTES - 2);
    for (int i = 0; i < 8; i++) {
        out[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15];
    }
    memcpy(out + PEER_FILL_BYTES - 2, "\r\n", 2);
}

void peer_fill(struct peer *p, size_t bytes)
{
    char line[PEER_FILL_BYTES];
    for (uint32_t i = 0; (size_t)i * PEER_FILL_BYTES < bytes; i++) {
        peer_fill_line(i, line);
        peer_write(p, line, sizeof line);
    }
}

static bool take_line(struct peer *p, char out[1024])
{
    const uint8_t *begin = p->in + p->in_read;
    const uint8_t *lf = memchr(begin, '\n', p->in_len - p->in_read);
    if (lf == NULL) {
        return false;
    }
    size_t len = (size_t)(lf - begin);
    p->in_read += len + 1;
    len = len < 1023 ? len : 1023;
    memcpy(out, begin, len);
    out[len > 0 && out[len - 1] == '\r' ? len - 1 : len] = '\0';
    return true;
}

const char *peer_line(struct peer *p)
{
    static char line[1024];
    for (int tries = 0; !take_line(p, line); tries++) {
        cr_assert_lt(tries, PATIENCE_MS, "no line comes%s", p->fin ? ": the peer has ended" : "");
        lane_run(1);
    }
    return line;
}

void peer_expect(struct peer *p, const char *words)
{
    const char *line = peer_line(p);
    while (p->node == lane.client && strlen(line) > 3 && line[3] == '-') {
        line = peer_line(p);
    }
    cr_assert_eq(strncmp(line, words, strlen(words)), 0, "%s expected, not %s", words, line);
}

void peer_skip_to(struct peer *p, const char *line)
{
    while (strcmp(peer_line(p), line) != 0) {
    }
}

void peer_silent(struct peer *p, uint64_t ms)
{
    lane_run(ms);
    char line[1024];
    cr_assert_not(take_line(p, line), "unexpected: %s", line);
}

void peer_greet(struct peer *p)
{
    peer_say(p, "220 hop\r\n");
    peer_expect(p, "EHLO");
    peer_say(p, "250 hop\r\n");
}

void peer_take(struct peer *p, uint32_t rcpt_count)
{
    peer_expect(p, "MAIL FROM");
    peer_say(p, "250 ok\r\n");
    for (uint32_t i = 0; i < rcpt_count; i++) {
        peer_expect(p, "RCPT TO");
        peer_say(p, "250 ok\r\n");
    }
    peer_expect(p, "DATA");
    peer_say(p, "354 go\r\n");
    peer_skip_to(p, ".");
}

/* --- mail ------------------------------------------------------------------------------------ */

struct peer *lane_begin_mail(const char *rcpts)
{
    char line[256];
    struct peer *p = lane_connect();
    peer_expect(p, "220");
    peer_say(p, "EHLO peer.example\r\nMAIL FROM:<a@b.example>\r\n");
    peer_expect(p, "250");
    peer_expect(p, "250");
    while (*rcpts != '\0') {
        size_t len = strcspn(rcpts, " ");
        (void)snprintf(line, sizeof line, "RCPT TO:<%.*s>\r\n", (int)len, rcpts);
        peer_say(p, line);
        peer_expect(p, "250");
        rcpts += len + (rcpts[len] == ' ');
    }
    peer_say(p, "DATA\r\n");
    peer_expect(p, "354");
    return p;
}

struct abi_up lane_mail(const char *rcpts, size_t body_bytes)
{
    struct peer *p = lane_begin_mail(rcpts);
    peer_say(p, "Subject: x\r\n\r\nbody\r\n");
    peer_fill(p, body_bytes);
    peer_say(p, ".\r\n");
    peer_expect(p, "250");
    peer_say(p, "QUIT\r\n");
    struct abi_up up = lane_up(ABI_UP_COMMIT);
    lane_run(100);
    return up;
}

/* --- control --------------------------------------------------------------------------------- */

struct abi_up lane_up(enum abi_up_type type)
{
    struct abi_up up;
    for (int tries = 0; tries < PATIENCE_MS; tries++) {
        while (ring_take(&lane.up, &up)) {
            if (up.type == type) {
                return up;
            }
        }
        lane_run(1);
    }
    cr_assert_fail("no up message of type %u", type);
    return up;
}

void lane_no_up(enum abi_up_type type, uint64_t ms)
{
    struct abi_up up;
    lane_run(ms);
    while (ring_take(&lane.up, &up)) {
        cr_assert_neq(up.type, type);
    }
}

void lane_down(const struct abi_down *down)
{
    cr_assert(ring_put(&lane.down, down));
}

void lane_deliver(const struct abi_up *commit, struct rcptset rcpts, uint32_t hop)
{
    struct abi_down down = {.type = ABI_DOWN_DELIVER};
    down.deliver.id = commit->commit.id;
    down.deliver.commit_pos = commit->commit.commit_pos;
    down.deliver.first_pos = commit->commit.first_pos;
    down.deliver.rcpts = rcpts;
    down.deliver.hop_id = lane.hop_config[hop].id;
    down.deliver.route_id = commit->commit.route_id;
    lane_down(&down);
}

struct abi_up lane_outcome(enum outcome outcome)
{
    struct abi_up up;
    for (int tries = 0; tries < 20 * PATIENCE_MS; tries++) {
        while (ring_take(&lane.up, &up)) {
            bool told = up.type == ABI_UP_ATTEMPT || up.type == ABI_UP_STATE;
            if (told && (up.flags & ABI_FLAG_LAST) != 0) {
                cr_assert_eq(up.outcome, outcome, "%s, not %s",
                             outcome_text((enum outcome)up.outcome), outcome_text(outcome));
                return up;
            }
        }
        lane_run(1);
    }
    cr_assert_fail("the attempt does not end");
    return up;
}

/* --- the spool ------------------------------------------------------------------------------- */

void lane_patch(uint64_t pos, void (*change)(struct format_record *record))
{
    struct format_record record;
    struct buffer *b = buffer_find(&lane.worker->buffers, pos);
    cr_assert_not_null(b);
    cr_assert(format_record_decode(bytes_of(b->data, b->size), &record));
    change(&record);
    format_record_encode(&record, b->data);
    buffer_unpin(&lane.worker->buffers, b);
}
