/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_peers.c: connections of one client, as many as there may be. */
#include "dataplane/peers.h"

#include <criterion/criterion.h>

static struct peers peers;

/* limits.connections_per_client may be the whole of limits.connections. */
Test(peers, every_connection_may_be_of_one_client)
{
    for (uint32_t i = 0; i < LIMIT_CONNECTIONS; i++) {
        cr_assert(peers_may_enter(&peers, 7, LIMIT_CONNECTIONS), "connection %u", i);
        peers_enter(&peers, 7);
    }
    cr_assert_not(peers_may_enter(&peers, 7, LIMIT_CONNECTIONS));
    cr_assert_eq(peers.count[6] + peers.count[8], 0);
    for (uint32_t i = LIMIT_CONNECTIONS; i > 0; i--) {
        peers_leave(&peers, 7);
        cr_assert(peers_may_enter(&peers, 7, i));
        cr_assert_eq(peers_may_enter(&peers, 7, i - 1), false);
    }
    cr_assert_eq(peers.count[7], 0);
}

Test(peers, the_limit_is_met_and_no_more)
{
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(peers_may_enter(&peers, PEERS_SLOTS - 1, 3));
        peers_enter(&peers, PEERS_SLOTS - 1);
    }
    cr_assert_not(peers_may_enter(&peers, PEERS_SLOTS - 1, 3));
    cr_assert(peers_may_enter(&peers, 0, 3), "another client");
    peers_leave(&peers, PEERS_SLOTS - 1);
    cr_assert(peers_may_enter(&peers, PEERS_SLOTS - 1, 3));
}
