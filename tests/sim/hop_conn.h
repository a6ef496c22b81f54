/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/hop_conn.h: what hop.c (connections, moods) and hop_smtp.c (dialogue) share. */
#ifndef HOLDFAST_TESTS_SIM_HOP_CONN_H
#define HOLDFAST_TESTS_SIM_HOP_CONN_H

#include "tests/sim/hop.h"

enum {
    HOP_CONNS_MAX = 64,
    HOP_LINE_MAX = 2048,
    HOP_OUT_MAX = 8192,
    HOP_COPIES_MAX = 1024, /* of one connection, 2xx not yet known to be acknowledged */
};

enum hop_state {
    HOP_STATE_COMMAND,
    HOP_STATE_DATA,
    HOP_STATE_DEAF, /* hangs, sends nonsense or is closing: input is thrown away */
};

struct hop_conn {
    struct hop *hop;
    struct tcp_conn *conn; /* NULL: free */
    enum hop_state state;
    bool greeted;
    bool babbles;
    bool garbled; /* it sent something that is no reply: what follows may be misunderstood */
    bool pipelining;
    bool chunking;
    bool eight_bit;
    bool size;
    bool quit;
    bool has_sender;
    bool break_in_body; /* the connection breaks when body_left bytes of the body have come */
    size_t break_at;
    enum hop_trouble body_trouble;
    uint64_t answer_ns; /* a slow answer: output waits until then */
    uint64_t deadline_ns;
    uint64_t begun_ns; /* MAIL of this transaction */
    uint64_t heard_ns; /* when the network last brought something */
    char sender[MAIL_ADDRESS_SIZE];
    uint32_t rcpt_count;
    char rcpt[MAIL_RCPTS_MAX][MAIL_ADDRESS_SIZE];
    uint8_t *body;
    size_t body_len;
    size_t body_cap;
    char line[HOP_LINE_MAX];
    size_t line_len;
    uint8_t out[HOP_OUT_MAX];
    size_t out_len;
    uint32_t copy[HOP_COPIES_MAX];
    uint32_t copy_count;
};

struct hop {
    struct node *node;
    struct mail_ledger *ledger;
    struct rng rng;
    uint32_t index;
    bool lmtp;
    bool healed;
    struct hop_mood mood;
    struct hop_conn conn[HOP_CONNS_MAX];
};

const char *hop_trouble_name(enum hop_trouble trouble);
void hop_conn_close(struct hop_conn *c, bool reset);
void hop_conn_flush(struct hop_conn *c);
/* hop_smtp.c */
void hop_conn_greet(struct hop_conn *c);
void hop_conn_input(struct hop_conn *c, struct bytes input);

#endif
