/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/tcp.h: bounds: connections, and the work and memory that a peer may cost TCP. */
#ifndef HOLDFAST_COMMON_LIMITS_TCP_H
#define HOLDFAST_COMMON_LIMITS_TCP_H

/* Connections from outside: the ceiling of limits.connections. */
#define LIMIT_CONNECTIONS 1000000
/* Addresses times ports that a relay listens on. */
#define LIMIT_LISTENERS 16u
/* Half-open connections may take a quarter of the table: a flood of SYNs leaves the rest. */
#define LIMIT_TCP_HALF_OPEN_SHARE 4u
/* Holes that are kept track of per connection; more is an attack (SegmentSmack), not a path. */
#define LIMIT_TCP_RANGES 32u
/* A peer that asks for less makes us spend CPU on headers (CVE-2019-11479). */
#define LIMIT_TCP_MSS_MIN_BYTES 88u
/* Challenge ACKs per connection and second: RFC 5961 section 7 asks for a limit. A limit for each
 * connection, not for all together, tells nothing to a third party (CVE-2016-5696). */
#define LIMIT_TCP_CHALLENGES_PER_S 8u
/* RSTs and ACKs of TIME_WAIT that may wait for the next tcp_output: some bursts of segments. */
#define LIMIT_TCP_REPLIES 256u
/* Duplicate ACKs that we may owe at once: one for each segment of a burst. Three are enough to
 * start a recovery. */
#define LIMIT_TCP_DUP_ACKS_DUE 32u

#endif
