/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits.h: every bound that something from outside can push against (a peer, a next hop, a
 * disk, a configuration, an operator's request), each with its reason; what one bound promises
 * another is a static assertion at the end. Bounds that an operator may set lower are defaults in
 * config; these are the ceilings. What a module decides about its own pace alone (bursts, ticks,
 * caches) stands at its head; what a protocol or a format fixes, beside its encoder. */
#ifndef HOLDFAST_COMMON_LIMITS_H
#define HOLDFAST_COMMON_LIMITS_H

/* --- addresses and lines (RFC 5321 section 4.5.3.1) --- */
/* Path with its brackets: 4.5.3.1.3. Without them an address has at most 254. */
#define LIMIT_ADDRESS_BYTES    254
#define LIMIT_DOMAIN_BYTES     255
#define LIMIT_LOCAL_PART_BYTES 64
/* Command line: 512 (4.5.3.1.4) plus what extensions add (SIZE 26, BODY 17, and room). */
#define LIMIT_COMMAND_LINE_BYTES 1024
/* Reply line of a next hop: 512 (4.5.3.1.5); longer ones are cut, not refused. */
#define LIMIT_REPLY_LINE_BYTES 512
/* What we keep of a hop's reply, cleaned: enough for code, status and a sentence. */
#define LIMIT_REPLY_TEXT_BYTES 200
/* Lines in one reply of a hop; a hop that sends more is broken. */
#define LIMIT_REPLY_LINES 64
/* Received fields before a message counts as looping; RFC 5321 section 6.3 asks for at least 100,
 * campus mail has a dozen at most, and a frozen loop is easily released. */
#define LIMIT_RECEIVED_LINES 100
/* Of them, those that say "by" this relay: forwarding may bring a message back a few times. */
#define LIMIT_RECEIVED_OWN 10

/* --- TCP and below --- */
/* Connections from outside: the ceiling of limits.connections. */
#define LIMIT_CONNECTIONS 1000000
/* Addresses times ports that a relay listens on. */
#define LIMIT_LISTENERS 16u
/* Half-open connections may take this part of the table: a SYN flood leaves the rest alone. */
#define LIMIT_TCP_HALF_OPEN_SHARE 4u
/* Holes that are kept track of per connection; more is an attack (SegmentSmack), not a path. */
#define LIMIT_TCP_RANGES 32u
/* A peer that asks for less makes us burn CPU on headers (CVE-2019-11479). */
#define LIMIT_TCP_MSS_MIN_BYTES 88u
/* Challenge ACKs per connection and second: RFC 5961 section 7 asks for a limit; one per
 * connection, not global, leaks nothing to a third party (CVE-2016-5696). */
#define LIMIT_TCP_CHALLENGES_PER_S 8u
/* RSTs, TIME_WAIT ACKs between two calls of tcp_output: some bursts of segments. */
#define LIMIT_TCP_REPLIES 256u
/* Duplicate ACKs owed at once: one per segment of a burst; three already start a recovery. */
#define LIMIT_TCP_DUP_ACKS_DUE 32u
/* Echo replies: enough for people and monitors, too few to be a load. */
#define LIMIT_ICMP_ECHOES_PER_S 2000
#define LIMIT_ICMP_ECHOES_BURST 200

/* --- an SMTP session --- */
/* Mistakes before 421: Postfix's hard limit, generous to a peer's bug, dear to a guesser. */
#define LIMIT_SMTP_MISTAKES 20
/* What a bare LF in a command line counts: nobody honest goes on after four. */
#define LIMIT_SMTP_BARE_LF_WEIGHT 5
/* 503s for what was pipelined behind a refusal: all RCPTs and chunks of a large message. */
#define LIMIT_SMTP_FOLLOWS (4 * LIMIT_RCPTS)

/* --- messages --- */
/* At least 100 by RFC 5321 section 4.5.3.1.8; a recipient set is one 128-bit mask in the ABI. */
#define LIMIT_RCPTS 128
/* Routes in one message: the index has 4 bits in an id. */
#define LIMIT_ROUTES_PER_MESSAGE 15
/* Ceiling of the configured size limit: the length of a message is kept in 32 bits. */
#define LIMIT_MESSAGE_BYTES (1u << 30)
/* Envelope as encoded in the spool: all recipients, sender, client, HELO. */
#define LIMIT_ENVELOPE_BYTES (40 * 1024)

/* --- names in configuration --- */
#define LIMIT_NAME_BYTES     32
#define LIMIT_ROUTES         1024
#define LIMIT_HOPS           1024
#define LIMIT_DOMAINS        65536
#define LIMIT_HOP_ADDRESSES  8
#define LIMIT_HOPS_PER_ROUTE 4
#define LIMIT_INTERFACES     8
/* MTU: what every host must take (RFC 791), and what a frame buffer holds. */
#define LIMIT_MTU_MIN_BYTES 576
#define LIMIT_MTU_MAX_BYTES 1500
#define LIMIT_WORKERS       16

/* A transaction may take limits.transaction_timeout, and a second more for each so many bytes that
 * came: 50 MB at the pace of a modem pass, a byte now and then does not pin a segment for ever. */
#define LIMIT_SENDER_BYTES_PER_S 1000

/* Messages coming in at once; and record buffers of one that may wait for the disk: beyond, its
 * window closes. */
#define LIMIT_INTAKES        2048
#define LIMIT_INTAKE_RECORDS 8

/* --- gather buffers --- */
/* Most mail fits the small one; the rest moves on in large chunks. */
#define LIMIT_CHUNK_SMALL_BYTES (4 * 1024)
#define LIMIT_CHUNK_LARGE_BYTES (64 * 1024)

/* --- spool --- */
#define LIMIT_SEGMENTS 65536
/* Outcomes must always find room, also on a full volume: the state log is bounded only so that a
 * fault cannot eat the disk. 4 GiB are 15 million outcomes since the checkpoint before last. */
#define LIMIT_STATE_SEGMENTS 64
/* One for each segment in which an open transaction has a record: 10 000 open transactions in six
 * segments each. */
#define LIMIT_PINS 65536

/* --- policy snapshots --- */
#define LIMIT_POLICY_BYTES (1 << 30)
#define LIMIT_POLICY_SLOTS (1 << 23)

/* --- operators --- */
/* Connections of operators and their scripts; each may hold a frame in memory. */
#define LIMIT_ADMIN_CONNS         32
#define LIMIT_ADMIN_REQUEST_BYTES (1 << 20)
#define LIMIT_ADMIN_ANSWER_BYTES  (16 << 20)
/* Deliveries in one answer; escaped, text takes twice the bytes: within the frame. */
#define LIMIT_ADMIN_LIST       10000
#define LIMIT_ADMIN_LIST_BYTES (7 * 1024 * 1024)
#define LIMIT_ADMIN_BODY_BYTES (8 * 1024 * 1024)
#define LIMIT_ADMIN_AUDIT      10000
/* Holds waiting for their workers at once. */
#define LIMIT_ADMIN_FENCES 64
/* Terms of a selection: more is a list, and belongs into several requests. */
#define LIMIT_SELECT_TERMS 32
/* Rules: a person has to oversee them; each costs a match per delivery. */
#define LIMIT_RULES 1024

/* --- rings --- */
#define LIMIT_RING_UP_SLOTS   16384
#define LIMIT_RING_DOWN_SLOTS 4096
/* Envelopes that go with the up ring: as many as it has slots, at 256 bytes each (names, one or two
 * recipients). Envelopes that are longer fill it earlier; control then reads some from the disk. */
#define LIMIT_ENVELOPE_RING_BYTES (4 * 1024 * 1024)
/* Deliveries that control may have under way at a worker: fewer than a ring holds, so that every
 * credit has a slot. */
#define LIMIT_DELIVERS_IN_FLIGHT 1024

_Static_assert(LIMIT_DELIVERS_IN_FLIGHT * 2 <= LIMIT_RING_DOWN_SLOTS, "credits fit the ring");
_Static_assert((LIMIT_RING_UP_SLOTS & (LIMIT_RING_UP_SLOTS - 1)) == 0, "ring masks");
_Static_assert((LIMIT_RING_DOWN_SLOTS & (LIMIT_RING_DOWN_SLOTS - 1)) == 0, "ring masks");
_Static_assert(LIMIT_RCPTS % 64 == 0, "recipient masks are whole words");
_Static_assert(LIMIT_ENVELOPE_BYTES >= LIMIT_RCPTS * (LIMIT_ADDRESS_BYTES + 8) + 2048,
               "an envelope at all its bounds fits");
_Static_assert(LIMIT_ENVELOPE_BYTES + 4096 <= LIMIT_CHUNK_LARGE_BYTES,
               "the first record of a message always has room for its envelope");

#endif
