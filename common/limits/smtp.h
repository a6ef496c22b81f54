/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/smtp.h: bounds: lines, mistakes and loops that an SMTP session bears. */
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
/* Of them, those that say "by" this relay: forwarding may bring a message back a few times. */
#define LIMIT_RECEIVED_OWN 10
/* Mistakes before 421: Postfix's hard limit, generous to a peer's bug, dear to a guesser. */
#define LIMIT_SMTP_MISTAKES 20
/* What a bare LF in a command line counts: nobody honest goes on after four. */
#define LIMIT_SMTP_BARE_LF_WEIGHT 5
/* 503s for what was pipelined behind a refusal: all RCPTs and chunks of a large message. */
#define LIMIT_SMTP_FOLLOWS (4 * LIMIT_RCPTS)

#endif
