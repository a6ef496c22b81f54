/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/address.h: bounds: parts of an address (RFC 5321 section 4.5.3.1). */
#ifndef HOLDFAST_COMMON_LIMITS_ADDRESS_H
#define HOLDFAST_COMMON_LIMITS_ADDRESS_H

/* Path with its brackets: 4.5.3.1.3. Without them an address has at most 254. */
#define LIMIT_ADDRESS_BYTES    254
#define LIMIT_DOMAIN_BYTES     255
#define LIMIT_LOCAL_PART_BYTES 64

#endif
