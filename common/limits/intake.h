/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/intake.h: bounds: messages that are coming in. */
#ifndef HOLDFAST_COMMON_LIMITS_INTAKE_H
#define HOLDFAST_COMMON_LIMITS_INTAKE_H

/* A transaction may take limits.transaction_timeout, and one second more for each so many bytes
 * that came. So 50 MB at the pace of a modem pass, but a sender of a byte now and then cannot keep
 * a segment in use for ever. */
#define LIMIT_SENDER_BYTES_PER_S 1000
/* Messages that are coming in at the same time; and how many record buffers of one may wait for the
 * disk before its TCP window closes. */
#define LIMIT_INTAKES        2048
#define LIMIT_INTAKE_RECORDS 8

#endif
