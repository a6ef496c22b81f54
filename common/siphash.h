/* SPDX-License-Identifier: BSD-3-Clause */
/* common/siphash.h: SipHash-2-4 (Aumasson and Bernstein 2012), the keyed hash for every table
 * whose keys a stranger may choose, and for initial sequence numbers (RFC 6528). */
#ifndef HOLDFAST_COMMON_SIPHASH_H
#define HOLDFAST_COMMON_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k0;
    uint64_t k1;
};

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);

#endif
