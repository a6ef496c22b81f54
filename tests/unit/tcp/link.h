/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/link.h: two TCP stacks joined by a bad link in virtual time, from one seed; or one
 * stack and a hand-written peer.
 *
 * Trap: an end's `hold` keeps what it emits in `out` for the test to read instead of sending it.
 */
#ifndef HOLDFAST_TESTS_UNIT_TCP_LINK_H
#define HOLDFAST_TESTS_UNIT_TCP_LINK_H

#include "dataplane/tcp/core.h"

enum {
    LINK_PACKET_BYTES = 2200,
    LINK_QUEUE_MAX = 4096,
    LINK_OUT_MAX = 1024,
    LINK_CONNS_MAX = 64,
};

struct link_packet {
    uint64_t due_ns;
    uint64_t number; /* packets of the same time arrive in the order of sending */
    unsigned to;
    size_t len;
    uint8_t data[LINK_PACKET_BYTES];
};

/* What the test's application does with one connection. */
struct link_app {
    struct tcp_conn *conn;
    uint64_t to_write; /* pattern bytes still to write */
    uint64_t written;
    uint64_t read; /* pattern bytes read and found right */
    uint32_t seen; /* events */
    uint32_t readable_count;
    bool close_when_written;
    bool close_on_fin;
    bool lazy;       /* does not read */
    bool crumbs;     /* consumes a few bytes at a time, and leaves a rest */
    bool wrong_byte; /* it read a byte that was not written */
    bool opened, fin, closed;
};

struct link_end {
    struct link *link;
    struct tcp_stack *stack;
    struct ip_addr addr;
    unsigned index;
    bool hold;
    unsigned emit_fails_percent;
    struct link_app app[LINK_CONNS_MAX];
    unsigned app_count;
    struct link_app preset; /* for accepted connections */
    uint64_t emitted;
    uint64_t pure_acks;
    uint64_t data_segments;
    /* held */
    struct tcp_segment out[LINK_OUT_MAX];
    uint8_t out_payload[LINK_OUT_MAX][LINK_PACKET_BYTES];
    unsigned out_count;
};

struct link {
    uint64_t now_ns;
    uint64_t random;
    uint64_t delay_ns;
    uint64_t jitter_ns; /* reorders */
    unsigned loss_permille, duplicate_permille, corrupt_permille;
    bool cut; /* nothing passes */
    uint64_t number;
    uint64_t corrupted;
    struct link_end end[2];
    struct link_packet *queue[LINK_QUEUE_MAX];
    unsigned queue_count;
};

struct tcp_settings link_settings(void);
struct link *link_create(uint64_t seed, const struct tcp_settings *settings);
void link_destroy(struct link *link);
uint32_t link_random(struct link *link, uint32_t below);
/* Connects end 0 to end 1, port 25. */
struct link_app *link_connect(struct link *link, uint16_t local_port);
struct link_app *link_app_of(struct link_end *end, struct tcp_conn *conn);
/* Runs until `until_ns`, or until there is nothing more to do (true). */
bool link_run(struct link *link, uint64_t until_ns);
/* Runs one end's events and output now. */
void link_turn(struct link_end *end);
void link_write(struct link_app *app);
uint8_t link_pattern(uint64_t offset);
/* Pattern bytes; good until the next call. */
const uint8_t *link_text(uint64_t offset, size_t len);

/* --- one stack (end 0) and a hand-written peer at 10.0.0.2:PEER_PORT -------------------------- */

enum { PEER_PORT = 2525, HOST_PORT = 25 };

struct peer {
    struct link *link;
    uint16_t port;
    uint32_t seq; /* next to send */
    uint32_t ack;
    uint16_t window;
    bool scales; /* asks for window scaling, its own by 0 */
    bool timestamps;
    uint32_t ts_value;
    uint32_t ts_echo;
};

/* Sends a segment as the peer: flags, its seq and ack, payload; events and output follow. */
void peer_send(struct peer *peer, uint8_t flags, const void *payload, size_t len);
/* With raw option bytes. */
void peer_send_options(struct peer *peer, uint8_t flags, const uint8_t *options, size_t option_len,
                       const void *payload, size_t len);
/* Handshake towards a listening end 0; returns its app. */
struct link_app *peer_open(struct peer *peer, struct link *link);
/* The last segment that was held, and how many were held since the last call of peer_clear. */
const struct tcp_segment *peer_last(const struct peer *peer);
unsigned peer_count(const struct peer *peer);
void peer_clear(struct peer *peer);
/* Passes time: timers, events, output of end 0. */
void peer_wait(struct peer *peer, uint64_t ns);
void peer_input(struct peer *peer, const void *segment, size_t len);

#endif
