/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits.h: every bound in the house, each with its reason; what one bound promises
 * another is a static assertion below it. Bounds that an operator may set lower are defaults in
 * config; these are the ceilings. */
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

/* --- gather buffers --- */
/* Most mail fits the small one; the rest moves on in large chunks. */
#define LIMIT_CHUNK_SMALL_BYTES (4 * 1024)
#define LIMIT_CHUNK_LARGE_BYTES (64 * 1024)

/* --- rings --- */
#define LIMIT_RING_UP_SLOTS   16384
#define LIMIT_RING_DOWN_SLOTS 4096
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
