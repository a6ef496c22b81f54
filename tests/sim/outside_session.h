/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/outside_session.h: what outside.c (sessions, time) and outside_smtp.c (dialogue)
 * share. */
#ifndef HOLDFAST_TESTS_SIM_OUTSIDE_SESSION_H
#define HOLDFAST_TESTS_SIM_OUTSIDE_SESSION_H

#include "tests/sim/outside.h"

enum {
    OUTSIDE_SESSIONS_MAX = 16,
    OUTSIDE_EXPECT_MAX = 64,
    OUTSIDE_LINE_MAX = 2048,
};

/* What the next reply answers. */
enum outside_expect {
    OUTSIDE_EXPECT_BANNER,
    OUTSIDE_EXPECT_EHLO,
    OUTSIDE_EXPECT_MAIL,
    OUTSIDE_EXPECT_RCPT,
    OUTSIDE_EXPECT_DATA,
    OUTSIDE_EXPECT_DOT,
    OUTSIDE_EXPECT_BDAT,
    OUTSIDE_EXPECT_BDAT_LAST,
    OUTSIDE_EXPECT_RSET,
    OUTSIDE_EXPECT_QUIT,
};

struct outside_session {
    struct outside *outside;
    struct tcp_conn *conn; /* NULL: free */
    bool closing;
    bool pipelines;
    bool chunks; /* BDAT instead of DATA */
    bool slow;
    bool abandons;  /* gives up this message at offset abandon_at of the output */
    bool empty_dot; /* DATA went through without a recipient: only a dot follows */
    bool mail_failed;
    bool has_end; /* the output ends with the end of data */
    uint32_t messages_left;
    struct mail *mail;
    uint32_t rcpts_sent;
    uint32_t rcpts_answered;
    uint32_t rcpts_accepted;
    enum outside_expect expect[OUTSIDE_EXPECT_MAX]; /* a queue */
    uint32_t expect_first;
    uint32_t expect_count;
    uint8_t *out;
    size_t out_len;
    size_t out_cap;
    size_t out_sent;
    size_t abandon_at;
    uint64_t pace_ns; /* a slow session sends nothing before this time */
    uint64_t deadline_ns;
    char line[OUTSIDE_LINE_MAX];
    size_t line_len;
};

struct outside {
    struct node *node;
    struct mail_ledger *ledger;
    struct rng rng;
    struct ip_endpoint relay;
    struct outside_plan plan;
    bool healed;
    uint32_t left;     /* messages not yet accepted and not under way */
    uint32_t failures; /* in a row, since a message was accepted */
    uint64_t next_session_ns;
    struct outside_session session[OUTSIDE_SESSIONS_MAX];
};

struct outside_session *outside_session_begin(struct outside *outside);
void outside_session_fail(struct outside_session *session);
void outside_session_drop(struct outside_session *session, bool reset);
void outside_session_patience(struct outside_session *session);
/* outside_smtp.c */
void outside_session_start(struct outside_session *session);
void outside_session_input(struct outside_session *session, struct bytes input);
/* Sends what the connection and the session's pace allow. */
void outside_session_flush(struct outside_session *session);

#endif
