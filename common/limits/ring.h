/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/ring.h: bounds: rings between the processes, and who stands at their ends. */
#ifndef HOLDFAST_COMMON_LIMITS_RING_H
#define HOLDFAST_COMMON_LIMITS_RING_H

#define LIMIT_WORKERS         16
#define LIMIT_RING_UP_SLOTS   16384
#define LIMIT_RING_DOWN_SLOTS 4096
/* Envelopes that go with the up ring: as many as it has slots, at 256 bytes each (names, one or two
 * recipients). Envelopes that are longer fill it earlier; control then reads some from the disk. */
#define LIMIT_ENVELOPE_RING_BYTES (4 * 1024 * 1024)
/* Deliveries that control may have under way at a worker: fewer than a ring holds, so that every
 * credit has a slot. */
#define LIMIT_DELIVERS_IN_FLIGHT 1024

#endif
