/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/intake.h: bounds: messages that are coming in. */
#ifndef HOLDFAST_COMMON_LIMITS_INTAKE_H
#define HOLDFAST_COMMON_LIMITS_INTAKE_H

/* A transaction may take limits.transaction_timeout, and a second more for each so many bytes that
 * came: 50 MB at the pace of a modem pass, a byte now and then does not pin a segment for ever. */
#define LIMIT_SENDER_BYTES_PER_S 1000
/* Messages coming in at once; and record buffers of one that may wait for the disk: beyond, its
 * window closes. */
#define LIMIT_INTAKES        2048
#define LIMIT_INTAKE_RECORDS 8

#endif
