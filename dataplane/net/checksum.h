/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/checksum.h: the internet checksum (RFC 1071).
 *
 * Promise: checksum_finish over data that includes a right checksum is 0.
 * Trap:    only the last piece of a sum may have an odd length.
 */
#ifndef HOLDFAST_DATAPLANE_NET_CHECKSUM_H
#define HOLDFAST_DATAPLANE_NET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds `len` bytes to a running sum that began with 0. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
/* The complement of the folded sum, in host order: store it with put_be16. */
uint16_t checksum_finish(uint64_t sum);

#endif
