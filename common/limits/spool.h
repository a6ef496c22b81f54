/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/spool.h: bounds: files and pins of the spool. */
#ifndef HOLDFAST_COMMON_LIMITS_SPOOL_H
#define HOLDFAST_COMMON_LIMITS_SPOOL_H

#define LIMIT_SEGMENTS 65536
/* Outcomes must always find room, also on a full volume: the state log has a bound only so that a
 * fault cannot fill the disk. With spool.state_segment's default of 8 MiB they are 512 MiB, which
 * hold about 1.9 million outcomes since the checkpoint before the last one. */
#define LIMIT_STATE_SEGMENTS 64
/* There is a pin for each segment in which an open transaction has a record: enough for 10 000 open
 * transactions with six segments each. */
#define LIMIT_PINS 65536

#endif
