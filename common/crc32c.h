/* SPDX-License-Identifier: BSD-3-Clause */
/* common/crc32c.h: CRC-32C (Castagnoli, RFC 3720 appendix B.4), the spool's checksum. */
#ifndef HOLDFAST_COMMON_CRC32C_H
#define HOLDFAST_COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over len bytes. Calls over consecutive pieces give the CRC of the
 * whole. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
