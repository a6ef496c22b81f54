/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/smtp.h: bounds: lines, mistakes and loops in an SMTP session. */
#ifndef HOLDFAST_COMMON_LIMITS_SMTP_H
#define HOLDFAST_COMMON_LIMITS_SMTP_H

#include "common/limits/rcpts.h"

/* Command line: 512 (4.5.3.1.4) plus what extensions add (SIZE 26, BODY 17, and room). */
#define LIMIT_COMMAND_LINE_BYTES 1024
/* Reply line of a next hop: 512 (4.5.3.1.5); longer ones are cut, not refused. */
#define LIMIT_REPLY_LINE_BYTES 512
/* Lines in one reply of a hop; a hop that sends more is broken. */
#define LIMIT_REPLY_LINES 64
/* Received fields before a message counts as looping; RFC 5321 section 6.3 asks for at least 100,
 * campus mail has a dozen at most, and a frozen loop is easily released. */
#define LIMIT_RECEIVED_LINES 100
/* Received fields that say "by" this relay: forwarding may bring a message back a few times. */
#define LIMIT_RECEIVED_OWN 10
/* Mistakes before 421: as Postfix's hard limit. A peer with a bug stays below it; who guesses
 * addresses has to connect again and again. */
#define LIMIT_SMTP_MISTAKES 20
/* A bare LF in a command line counts as so many mistakes: the fourth one ends the session. */
#define LIMIT_SMTP_BARE_LF_WEIGHT 5
/* 503s that count as no mistake, for commands that were pipelined after a refused one: enough for
 * all RCPTs and chunks of a large message. */
#define LIMIT_SMTP_FOLLOWS (4 * LIMIT_RCPTS)

#endif
