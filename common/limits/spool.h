/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/spool.h: bounds: files and pins of the spool. */
#ifndef HOLDFAST_COMMON_LIMITS_SPOOL_H
#define HOLDFAST_COMMON_LIMITS_SPOOL_H

#define LIMIT_SEGMENTS 65536
/* Outcomes must always find room, also on a full volume: the state log is bounded only so that a
 * fault cannot eat the disk. 4 GiB are 15 million outcomes since the checkpoint before last. */
#define LIMIT_STATE_SEGMENTS 64
/* One for each segment in which an open transaction has a record: 10 000 open transactions in six
 * segments each. */
#define LIMIT_PINS 65536

#endif
