/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/lane.h: a whole worker with its writer, spool and wire, between a client and
 * next hops that the test plays word by word; the test is control, too.
 *
 *   peer (client) ══ wire ══ worker, writer, spool in memory ══ wire ══ peer (hop)
 *                                 │ up       ▲ down
 *                                 └─ test ───┘
 *
 * Promise: time passes only in lane_run and in what waits for something; nothing is random but the
 *          disk's order of completions.
 * Trap:    one lane at a time.
 */
#ifndef HOLDFAST_TESTS_UNIT_DATAPLANE_LANE_H
#define HOLDFAST_TESTS_UNIT_DATAPLANE_LANE_H

#include "common/config.h"
#include "common/counters.h"
#include "common/policy.h"
#include "dataplane/conn.h"
#include "spool/format.h"
#include "tests/sim/node.h"
#include "tests/unit/spool/memdisk.h"

enum {
    LANE_HOPS = 3,
    LANE_PEERS = 256, /* those beyond are reset */
    LANE_PEER_BYTES = 1 << 18,
    LANE_POLICIES = 64,
    LANE_HOP_PORT = 2525,
    /* Ids of hops: the first two use the same slot of the pool of idle connections. */
    LANE_HOP_ID = 1,
    LANE_ROUTE_ID = 100,
};

struct peer {
    struct node *node;
    struct tcp_conn *tcp; /* NULL: it has ended */
    bool opened;
    bool accepted; /* lane_accept has returned it */
    bool fin;
    uint8_t in[LANE_PEER_BYTES];
    size_t in_len;
    size_t in_read;
};

struct lane {
    struct memdisk *disk;
    struct spool_writer *spool;
    struct writer *writer;
    struct worker *worker;
    struct counters worker_counters;
    struct counters writer_counters;
    struct config config;
    struct config_hop hop_config[LANE_HOPS];
    struct config_route route_config[2];
    struct wire *wire;
    struct node *client;
    struct node *hop[LANE_HOPS];
    struct peer *peer[LANE_PEERS];
    uint32_t peer_count;
    struct rng keys;
    void *policy[LANE_POLICIES]; /* an old one may be in use */
    uint32_t policy_count;
    struct abi_attach *region;
    struct ring_end up;
    struct ring_end down;
    bool writer_sleeps; /* the writer's thread gets no turn */
};
extern struct lane lane;

/* d0.example goes by route 100 to hop 0, d1.example by 101 to hop 1. Hop 2 has two addresses; the
 * first is hop 1's. */
void lane_make(void);
/* Frees all of it: another lane may be made. */
void lane_unmake(void);
/* Kills the dataplane and starts it again: then nothing is in memory. */
void lane_restart(void);
/* Publishes the policy of the present configuration. */
void lane_publish(void);
/* A fresh control attaches. */
void lane_attach(void);
void lane_run(uint64_t ms);

/* --- peers --- */
struct peer *lane_connect(void);
struct peer *lane_connect_to(uint16_t port);
/* The next connection to a hop that was not given out; it must come. */
struct peer *lane_accept(uint32_t hop);
/* How many connections were made to the hop so far. */
uint32_t lane_connections(uint32_t hop);
void peer_say(struct peer *peer, const char *text);
void peer_write(struct peer *peer, const void *data, size_t len);
/* Numbered lines of 64 bytes, of at least so many bytes together. */
enum { PEER_FILL_BYTES = 64 };
void peer_fill(struct peer *peer, size_t bytes);
void peer_fill_line(uint32_t number, char out[PEER_FILL_BYTES]);
/* Waits for the next line. Valid until the next call. */
const char *peer_line(struct peer *peer);
/* Checks that the next reply or command begins like this. */
void peer_expect(struct peer *peer, const char *words);
/* Skips lines up to this one. */
void peer_skip_to(struct peer *peer, const char *line);
/* Checks that no line is there, or comes within so many ms. */
void peer_silent(struct peer *peer, uint64_t ms);
/* Plays a hop up to READY. */
void peer_greet(struct peer *peer);
/* Plays a hop that takes a message with this many recipients, up to the dot. */
void peer_take(struct peer *peer, uint32_t rcpt_count);

/* --- mail --- */
/* Plays a client up to the reply to DATA. `rcpts` are separated by blanks. */
struct peer *lane_begin_mail(const char *rcpts);
/* Sends a message that is accepted, and returns its first COMMIT. body_bytes 0: one line. */
struct abi_up lane_mail(const char *rcpts, size_t body_bytes);

/* --- control --- */
/* Waits for the next message of the type, and skips others. */
struct abi_up lane_up(enum abi_up_type type);
/* Checks that no message of the type is there, or comes within so many ms. */
void lane_no_up(enum abi_up_type type, uint64_t ms);
void lane_down(const struct abi_down *down);
void lane_deliver(const struct abi_up *commit, struct rcptset rcpts, uint32_t hop);
/* Checks that the attempt ended with this outcome. Returns the last message about it. */
struct abi_up lane_outcome(enum outcome outcome);

/* --- the spool --- */
/* Changes the header of a record in memory, and makes its checksums right again. */
void lane_patch(uint64_t pos, void (*change)(struct format_record *record));

#endif
