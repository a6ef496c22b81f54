/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/chunk.h: bounds: gather buffers. */
#ifndef HOLDFAST_COMMON_LIMITS_CHUNK_H
#define HOLDFAST_COMMON_LIMITS_CHUNK_H

/* Most messages fit one small buffer; longer ones go on in large buffers. */
#define LIMIT_CHUNK_SMALL_BYTES (4 * 1024)
#define LIMIT_CHUNK_LARGE_BYTES (64 * 1024)

#endif
