/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/message.h: bounds: a message and its envelope. */
#ifndef HOLDFAST_COMMON_LIMITS_MESSAGE_H
#define HOLDFAST_COMMON_LIMITS_MESSAGE_H

/* Routes in one message: the index has 4 bits in an id. */
#define LIMIT_ROUTES_PER_MESSAGE 15
/* Ceiling of the configured size limit: the length of a message is kept in 32 bits. */
#define LIMIT_MESSAGE_BYTES (1u << 30)
/* Envelope as encoded in the spool: all recipients, sender, client, HELO. */
#define LIMIT_ENVELOPE_BYTES (40 * 1024)

#endif
