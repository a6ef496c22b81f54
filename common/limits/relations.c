/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/relations.c: how one bound depends on another, as static assertions; no code.
 *
 * This folder has every bound that something from outside can push against (a peer, a next hop, a
 * disk, a configuration, an operator's request), each with its reason. A bound that an operator may
 * set lower has its default in the configuration, and its ceiling here. A number that a module
 * chooses for itself (bursts, ticks, caches) is at the head of the module; a number that a protocol
 * or a format fixes is beside its encoder.
 *
 * Promise: a file is rebuilt only when bounds change that it uses. No header of this folder
 *          includes another one for a relation between the two, and no file includes a header of
 *          which it names no bound.
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
