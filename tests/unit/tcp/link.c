/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/link.c: see link.h. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Checks the checksum in the plain way of RFC 1071, not with the stack's own code. */
static bool checksum_is_good(const struct ip_addr *src, const struct ip_addr *dst,
                             const uint8_t *data, size_t len)
{
    uint32_t sum = 6 + (uint32_t)len;
    unsigned from = ip_is_v4(src) ? 12 : 0;
    for (unsigned i = from; i < 16; i += 2) {
        sum += get_be16(src->octet + i);
        sum += get_be16(dst->octet + i);
    }
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum == 0xffff;
}

uint32_t link_random(struct link *link, uint32_t below)
{
    /* xorshift64* */
    link->random ^= link->random >> 12;
    link->random ^= link->random << 25;
    link->random ^= link->random >> 27;
    return (uint32_t)((link->random * UINT64_C(2685821657736338717)) >> 33) % below;
}

uint8_t link_pattern(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16));
}

const uint8_t *link_text(uint64_t offset, size_t len)
{
    static uint8_t text[LINK_PACKET_BYTES];
    cr_assert_leq(len, sizeof text);
    for (size_t i = 0; i < len; i++) {
        text[i] = link_pattern(offset + i);
    }
    return text;
}

struct tcp_settings link_settings(void)
{
    return (struct tcp_settings){
        .conn_count_max = 64,
        .time_wait_count_max = 64,
        .block_count = 1024,
        .receive_window_bytes = 65535,
        .send_buffer_bytes = 65536,
        .mss_bytes = 1460,
        .isn_key = {.k0 = 0x0123456789abcdef, .k1 = 0xfedcba9876543210},
    };
}

struct link *link_create(uint64_t seed, const struct tcp_settings *settings)
{
    struct link *link = calloc(1, sizeof *link);
    cr_assert_not_null(link);
    link->random = seed * 2 + 1;
    link->now_ns = TCP_NS_PER_S * 1000;
    link->delay_ns = 5 * TCP_NS_PER_MS;
    for (unsigned i = 0; i < 2; i++) {
        struct link_end *end = &link->end[i];
        end->link = link;
        end->index = i;
        end->addr = ip_from_v4((const uint8_t[]){10, 0, 0, (uint8_t)(i + 1)});
        struct tcp_settings own = *settings;
        own.isn_key.k0 += i;
        cr_assert_eq(tcp_stack_create(&own, end, &end->stack), 0);
        struct ip_endpoint local = {.port = HOST_PORT};
        cr_assert_eq(tcp_listen(end->stack, &local), 0);
    }
    return link;
}

void link_destroy(struct link *link)
{
    for (unsigned i = 0; i < link->queue_count; i++) {
        free(link->queue[i]);
    }
    tcp_stack_destroy(link->end[0].stack);
    tcp_stack_destroy(link->end[1].stack);
    free(link);
}

static void link_push(struct link *link, unsigned to, const uint8_t *data, size_t len)
{
    if (link->queue_count == LINK_QUEUE_MAX) {
        return;
    }
    struct link_packet *packet = malloc(sizeof *packet);
    cr_assert_not_null(packet);
    uint64_t jitter = link->jitter_ns == 0 ? 0 : link_random(link, (uint32_t)link->jitter_ns);
    packet->due_ns = link->now_ns + link->delay_ns + jitter;
    packet->number = link->number++;
    packet->to = to;
    packet->len = len;
    memcpy(packet->data, data, len);
    if (link_random(link, 1000) < link->corrupt_permille) {
        packet->data[link_random(link, (uint32_t)len)] ^= (uint8_t)(1u << link_random(link, 8));
        link->corrupted++;
    }
    link->queue[link->queue_count++] = packet;
}

bool tcp_emit(void *shell, const struct tcp_segment_out *segment)
{
    struct link_end *end = shell;
    struct link *link = end->link;
    if (end->emit_fails_percent > 0 && link_random(link, 100) < end->emit_fails_percent) {
        return false;
    }
    uint8_t data[LINK_PACKET_BYTES];
    size_t payload_len = segment->payload[0].len + segment->payload[1].len;
    cr_assert_leq(tcp_header_bytes(segment) + payload_len, sizeof data);
    cr_assert_leq(payload_len, 1460, "no segment beyond the MSS");
    size_t len = tcp_segment_write(segment, data);
    cr_assert(
        checksum_is_good(&segment->tuple->local_addr, &segment->tuple->remote_addr, data, len));
    end->emitted++;
    end->data_segments += payload_len > 0 ? 1 : 0;
    end->pure_acks += payload_len == 0 && segment->flags == TCP_FLAG_ACK ? 1 : 0;
    if (end->hold) {
        cr_assert_lt(end->out_count, LINK_OUT_MAX);
        unsigned i = end->out_count++;
        memcpy(end->out_payload[i], data, len);
        cr_assert(tcp_segment_parse(bytes_of(end->out_payload[i], len), &end->out[i]));
        return true;
    }
    if (link->cut || link_random(link, 1000) < link->loss_permille) {
        return true;
    }
    link_push(link, 1 - end->index, data, len);
    if (link_random(link, 1000) < link->duplicate_permille) {
        link_push(link, 1 - end->index, data, len);
    }
    return true;
}

/* --- the application -------------------------------------------------------------------------- */

struct link_app *link_app_of(struct link_end *end, struct tcp_conn *conn)
{
    for (unsigned i = end->app_count; i-- > 0;) {
        if (end->app[i].conn == conn && !end->app[i].closed) {
            return &end->app[i];
        }
    }
    return NULL;
}

static struct link_app *app_add(struct link_end *end, struct tcp_conn *conn)
{
    if (end->app_count == LINK_CONNS_MAX) {
        end->app_count = 0; /* tests with many connections keep no account of each */
    }
    struct link_app *app = &end->app[end->app_count++];
    *app = end->preset;
    app->conn = conn;
    tcp_conn_set_user(conn, app);
    return app;
}

void link_write(struct link_app *app)
{
    uint8_t data[3000];
    while (app->to_write > 0) {
        size_t len = app->to_write < sizeof data ? (size_t)app->to_write : sizeof data;
        for (size_t i = 0; i < len; i++) {
            data[i] = link_pattern(app->written + i);
        }
        size_t space = tcp_write_space(app->conn);
        size_t taken = tcp_write(app->conn, data, len);
        cr_assert_eq(taken, space < len ? space : len, "tcp_write takes what tcp_write_space said");
        app->written += taken;
        app->to_write -= taken;
        if (taken < len) {
            return;
        }
    }
    if (app->close_when_written) {
        app->close_when_written = false;
        tcp_close(app->conn);
    }
}

static void app_read(struct link *link, struct link_app *app)
{
    struct bytes b;
    while ((b = tcp_peek(app->conn)).len > 0) {
        size_t len = app->crumbs ? 1 + link_random(link, (uint32_t)b.len) : b.len;
        for (size_t i = 0; i < len; i++) {
            app->wrong_byte |= b.data[i] != link_pattern(app->read + i);
        }
        tcp_consume(app->conn, len);
        app->read += len;
        if (app->crumbs && link_random(link, 4) == 0) {
            return; /* the rest waits in the stack */
        }
    }
}

static void app_event(struct link_end *end, const struct tcp_event *event)
{
    struct link_app *app = event->user;
    if (app == NULL) {
        cr_assert((event->kinds & TCP_EVENT_OPENED) != 0, "a passive connection begins by OPENED");
        app = app_add(end, event->conn);
    }
    cr_assert(!app->closed || app->conn != event->conn, "CLOSED is the last event");
    app->seen |= event->kinds;
    app->opened |= (event->kinds & TCP_EVENT_OPENED) != 0;
    app->readable_count += (event->kinds & TCP_EVENT_READABLE) != 0 ? 1 : 0;
    if ((event->kinds & TCP_EVENT_CLOSED) != 0) {
        app->closed = true;
        return;
    }
    if (!app->lazy) {
        app_read(end->link, app);
    }
    if ((event->kinds & (TCP_EVENT_OPENED | TCP_EVENT_WRITABLE)) != 0) {
        link_write(app);
    }
    if ((event->kinds & TCP_EVENT_FIN) != 0) {
        app->fin = true;
        if (app->close_on_fin) {
            if (!app->lazy) {
                app->crumbs = false;
                app_read(end->link, app);
            }
            tcp_close(app->conn);
        }
    }
}

static void end_events(struct link_end *end)
{
    struct tcp_event event;
    while (tcp_next_event(end->stack, &event)) {
        app_event(end, &event);
    }
}

void link_turn(struct link_end *end)
{
    tcp_tick(end->stack, end->link->now_ns);
    end_events(end);
    tcp_output(end->stack, end->link->now_ns);
}

struct link_app *link_connect(struct link *link, uint16_t local_port)
{
    struct link_end *end = &link->end[0];
    struct ip_endpoint local = {.addr = end->addr, .port = local_port};
    struct ip_endpoint remote = {.addr = link->end[1].addr, .port = HOST_PORT};
    struct tcp_conn *conn;
    if (tcp_connect(end->stack, &local, &remote, NULL, link->now_ns, &conn) != 0) {
        return NULL;
    }
    struct link_app preset = end->preset;
    end->preset = (struct link_app){0};
    struct link_app *app = app_add(end, conn);
    end->preset = preset;
    tcp_output(end->stack, link->now_ns);
    return app;
}

/* --- time ------------------------------------------------------------------------------------- */

static struct link_packet *link_take_first(struct link *link, uint64_t due_ns)
{
    unsigned first = LINK_QUEUE_MAX;
    for (unsigned i = 0; i < link->queue_count; i++) {
        const struct link_packet *p = link->queue[i];
        const struct link_packet *best = first == LINK_QUEUE_MAX ? NULL : link->queue[first];
        if (p->due_ns <= due_ns && (best == NULL || p->due_ns < best->due_ns ||
                                    (p->due_ns == best->due_ns && p->number < best->number))) {
            first = i;
        }
    }
    if (first == LINK_QUEUE_MAX) {
        return NULL;
    }
    struct link_packet *packet = link->queue[first];
    link->queue[first] = link->queue[--link->queue_count];
    return packet;
}

static void link_deliver(struct link *link, struct link_packet *packet)
{
    struct link_end *to = &link->end[packet->to];
    struct link_end *from = &link->end[1 - packet->to];
    if (checksum_is_good(&from->addr, &to->addr, packet->data, packet->len)) {
        /* An exact copy, so that the sanitizer sees a read past the end. */
        uint8_t *copy = malloc(packet->len);
        cr_assert_not_null(copy);
        memcpy(copy, packet->data, packet->len);
        tcp_input(to->stack, &from->addr, &to->addr, bytes_of(copy, packet->len), link->now_ns);
        end_events(to);
        tcp_input_done(to->stack);
        free(copy);
    }
    link_turn(to);
}

static uint64_t link_next_ns(const struct link *link)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < link->queue_count; i++) {
        next = link->queue[i]->due_ns < next ? link->queue[i]->due_ns : next;
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t timer = tcp_next_timer_ns(link->end[i].stack);
        next = timer < next ? timer : next;
    }
    bool retry =
        !list_is_empty(&link->end[0].stack->dirty) || !list_is_empty(&link->end[1].stack->dirty);
    if (retry && next > link->now_ns + 100000) {
        next = link->now_ns + 100000; /* tcp_emit had failed */
    }
    return next;
}

bool link_run(struct link *link, uint64_t until_ns)
{
    link_turn(&link->end[0]);
    link_turn(&link->end[1]);
    for (;;) {
        uint64_t next = link_next_ns(link);
        if (next > until_ns) {
            link->now_ns = until_ns > link->now_ns && next != UINT64_MAX ? until_ns : link->now_ns;
            return next == UINT64_MAX;
        }
        link->now_ns = next > link->now_ns ? next : link->now_ns;
        struct link_packet *packet;
        while ((packet = link_take_first(link, link->now_ns)) != NULL) {
            link_deliver(link, packet);
            free(packet);
        }
        link_turn(&link->end[0]);
        link_turn(&link->end[1]);
    }
}

/* --- the hand-written peer -------------------------------------------------------------------- */

void peer_input(struct peer *peer, const void *segment, size_t len)
{
    struct link *link = peer->link;
    struct link_end *end = &link->end[0];
    uint8_t *copy = malloc(len > 0 ? len : 1);
    cr_assert_not_null(copy);
    memcpy(copy, segment, len);
    tcp_input(end->stack, &link->end[1].addr, &end->addr, bytes_of(copy, len), link->now_ns);
    end_events(end);
    tcp_input_done(end->stack);
    free(copy);
    link_turn(end);
}

void peer_send_options(struct peer *peer, uint8_t flags, const uint8_t *options, size_t option_len,
                       const void *payload, size_t len)
{
    uint8_t data[LINK_PACKET_BYTES] = {0};
    put_be16(data, peer->port);
    put_be16(data + 2, HOST_PORT);
    put_be32(data + 4, peer->seq);
    put_be32(data + 8, peer->ack);
    data[12] = (uint8_t)((20 + option_len) / 4 << 4);
    data[13] = flags;
    put_be16(data + 14, peer->window);
    if (option_len > 0) {
        memcpy(data + 20, options, option_len);
    }
    if (len > 0) {
        memcpy(data + 20 + option_len, payload, len);
    }
    peer_input(peer, data, 20 + option_len + len);
}

void peer_send(struct peer *peer, uint8_t flags, const void *payload, size_t len)
{
    uint8_t options[12] = {1, 1, 8, 10};
    put_be32(options + 4, peer->ts_value);
    put_be32(options + 8, peer->ts_echo);
    peer_send_options(peer, flags, options, peer->timestamps ? sizeof options : 0, payload, len);
}

struct link_app *peer_open(struct peer *peer, struct link *link)
{
    struct link_end *end = &link->end[0];
    peer->link = link;
    peer->port = peer->port == 0 ? PEER_PORT : peer->port;
    peer->window = peer->window == 0 ? 60000 : peer->window;
    peer->seq = peer->seq == 0 ? 5000 : peer->seq;
    end->hold = true;
    peer_clear(peer);
    unsigned before = end->app_count;
    static const uint8_t scale[4] = {1, 3, 3, 0}; /* RFC 7323 section 2.2 */
    if (peer->scales) {
        peer_send_options(peer, TCP_FLAG_SYN, scale, sizeof scale, NULL, 0);
    } else {
        peer_send(peer, TCP_FLAG_SYN, NULL, 0);
    }
    cr_assert_eq(peer_count(peer), 1);
    const struct tcp_segment *reply = peer_last(peer);
    cr_assert_eq(reply->flags, TCP_FLAG_SYN | TCP_FLAG_ACK);
    cr_assert_eq(reply->ack, peer->seq + 1);
    peer->seq++;
    peer->ack = reply->seq + 1;
    peer->ts_echo = reply->ts_value;
    peer_send(peer, TCP_FLAG_ACK, NULL, 0);
    cr_assert_eq(end->app_count, before + 1);
    peer_clear(peer);
    return &end->app[before];
}

const struct tcp_segment *peer_last(const struct peer *peer)
{
    const struct link_end *end = &peer->link->end[0];
    cr_assert_gt(end->out_count, 0, "something was sent");
    return &end->out[end->out_count - 1];
}

unsigned peer_count(const struct peer *peer)
{
    return peer->link->end[0].out_count;
}

void peer_clear(struct peer *peer)
{
    peer->link->end[0].out_count = 0;
}

void peer_wait(struct peer *peer, uint64_t ns)
{
    struct link *link = peer->link;
    uint64_t end_ns = link->now_ns + ns;
    for (;;) {
        uint64_t next = tcp_next_timer_ns(link->end[0].stack);
        if (next > end_ns) {
            break;
        }
        link->now_ns = next > link->now_ns ? next : link->now_ns;
        link_turn(&link->end[0]);
    }
    link->now_ns = end_ns;
    link_turn(&link->end[0]);
}
