/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/peers.h: how many connections each client has: limits.connections_per_client.
 *
 * Promise: a client is never let past its limit, however many connections there are in all.
 * Trap:    clients whose addresses have the same hash share a count. The key of the hash is secret,
 *          so nobody can choose with whom to share. A limit below some dozens is too strict.
 */
#ifndef HOLDFAST_DATAPLANE_PEERS_H
#define HOLDFAST_DATAPLANE_PEERS_H

#include "common/assert.h"
#include "common/limits/tcp.h"

#include <stdbool.h>
#include <stdint.h>

enum { PEERS_SLOTS = 65536 };

/* The count of one slot may reach the number of all connections. */
struct peers {
    uint32_t count[PEERS_SLOTS];
};
_Static_assert(LIMIT_CONNECTIONS <= UINT32_MAX, "a slot counts every connection there may be");

static inline bool peers_may_enter(const struct peers *peers, uint32_t slot, uint32_t most)
{
    assert(slot < PEERS_SLOTS);
    return peers->count[slot] < most;
}

static inline void peers_enter(struct peers *peers, uint32_t slot)
{
    assert(slot < PEERS_SLOTS && peers->count[slot] < LIMIT_CONNECTIONS);
    peers->count[slot]++;
}

static inline void peers_leave(struct peers *peers, uint32_t slot)
{
    assert(slot < PEERS_SLOTS && peers->count[slot] > 0);
    peers->count[slot]--;
}

#endif
