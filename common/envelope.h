/* SPDX-License-Identifier: BSD-3-Clause */
/* common/envelope.h: the envelope of a message as it lies in the spool's FIRST record.
 *
 * Length-prefixed fields, so that nothing a peer said can end a field early:
 *   u8 version=1, u8 flags, u16 rcpt_count, u64 received_ms, 16 bytes client address,
 *   u16 len + helo, u16 len + sender (without brackets; empty is <>),
 *   rcpt_count × { u32 route_id, u8 route_index, u16 len + address }.   All little-endian.
 * Recipients keep the order of RCPT; a delivery's recipient n is the n-th with its route_index.
 */
#ifndef HOLDFAST_COMMON_ENVELOPE_H
#define HOLDFAST_COMMON_ENVELOPE_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/ip.h"
#include "common/limits/rcpts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum envelope_flag {
    ENVELOPE_8BITMIME = 1 << 0, /* MAIL said BODY=8BITMIME */
};

struct envelope_rcpt {
    uint32_t route_id;
    uint8_t route_index; /* 0 .. LIMIT_ROUTES_PER_MESSAGE-1, without gaps, in order of appearance */
    struct bytes address;
};

/* A decoded envelope borrows its byte views from what it was decoded from. */
struct envelope {
    uint8_t flags;
    uint64_t received_ms;
    struct ip_addr client;
    struct bytes helo;
    struct bytes sender;
    uint16_t rcpt_count;
    struct envelope_rcpt rcpt[LIMIT_RCPTS];
};

/* Writes at most out_size bytes. Returns the length, or 0 when it does not fit. */
must_check size_t envelope_encode(const struct envelope *envelope, uint8_t *out, size_t out_size);
/* Checks every bound. false when b is not exactly one envelope. */
must_check bool envelope_decode(struct bytes b, struct envelope *envelope_out);
/* The number of recipients with that route index. */
unsigned envelope_route_rcpts(const struct envelope *envelope, unsigned route_index);
/* The number of routes. Every route_index is less than this. */
unsigned envelope_route_count(const struct envelope *envelope);

#endif
