/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/relations.c: what one bound promises another, as static assertions. No code.
 *
 * This folder has every bound that something from outside can push against (a peer, a next hop, a
 * disk, a configuration, an operator's request), each with its reason. A bound that an operator may
 * set lower has its default in the configuration; here is its ceiling. A pace that a module sets
 * for itself (bursts, ticks, caches) stands at the module's head. What a protocol or a format
 * fixes stands beside its encoder.
 *
 * Promise: a file is rebuilt only for the bounds it uses. A header of this folder does not include
 *          another for a relation's sake, and nobody includes a header of which he names no bound.
 */
#include "common/limits/address.h"
#include "common/limits/admin.h"
#include "common/limits/chunk.h"
#include "common/limits/message.h"
#include "common/limits/rcpts.h"
#include "common/limits/ring.h"

_Static_assert(LIMIT_DELIVERS_IN_FLIGHT * 2 <= LIMIT_RING_DOWN_SLOTS, "credits fit the ring");
_Static_assert((LIMIT_RING_UP_SLOTS & (LIMIT_RING_UP_SLOTS - 1)) == 0, "ring masks");
_Static_assert((LIMIT_RING_DOWN_SLOTS & (LIMIT_RING_DOWN_SLOTS - 1)) == 0, "ring masks");
_Static_assert(LIMIT_RCPTS % 64 == 0, "recipient masks are whole words");
_Static_assert(LIMIT_ENVELOPE_BYTES >= LIMIT_RCPTS * (LIMIT_ADDRESS_BYTES + 8) + 2048,
               "an envelope at all its bounds fits");
_Static_assert(LIMIT_ENVELOPE_BYTES + 4096 <= LIMIT_CHUNK_LARGE_BYTES,
               "the first record of a message always has room for its envelope");
_Static_assert(LIMIT_ADMIN_LIST_BYTES * 2 < LIMIT_ADMIN_ANSWER_BYTES,
               "a list, escaped, fits its frame");
