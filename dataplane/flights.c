/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/flights.c: which deliveries are under way, by id; and which messages were found
 * looping.
 *
 * Promise: a delivery is in the table from its beginning to delivery_free.
 * Trap:    a later looping message may overwrite the note of an earlier one. Then the earlier one
 *          is sent to its hop once more, and is found looping when it comes back.
 */
#include "dataplane/conn.h"

_Static_assert(DELIVERY_HASH_SLOTS == 1 << 12 && LOOP_SLOTS == 1 << 12, "hashes keep 12 bits");

static struct delivery **hash_slot(struct worker *w, uint64_t id)
{
    uint64_t at = id * UINT64_C(0x9e3779b97f4a7c15) >> 52;
    while (w->in_flight[at] != NULL && w->in_flight[at]->id != id) {
        at = (at + 1) % DELIVERY_HASH_SLOTS;
    }
    return &w->in_flight[at];
}

struct delivery *flights_find(struct worker *w, uint64_t id)
{
    return *hash_slot(w, id);
}

void flights_add(struct worker *w, struct delivery *d)
{
    struct delivery **slot = hash_slot(w, d->id);
    assert(*slot == NULL && w->in_flight_count < LIMIT_DELIVERS_IN_FLIGHT);
    *slot = d;
    w->in_flight_count++;
}

/* Removes the entry and moves the rest of its cluster up (linear probing without tombstones). */
void flights_remove(struct worker *w, const struct delivery *d)
{
    struct delivery **slot = hash_slot(w, d->id);
    assert(*slot == d && w->in_flight_count > 0);
    *slot = NULL;
    w->in_flight_count--;
    size_t at = (size_t)(slot - w->in_flight);
    for (;;) {
        at = (at + 1) % DELIVERY_HASH_SLOTS;
        struct delivery *moved = w->in_flight[at];
        if (moved == NULL) {
            return;
        }
        w->in_flight[at] = NULL;
        *hash_slot(w, moved->id) = moved;
    }
}

/* --- messages that loop --------------------------------------------------------------------- */

static uint64_t *loop_slot(struct worker *w, uint64_t id)
{
    return &w->loop_id[id_message(id) * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}

void loops_note(struct worker *w, uint64_t id)
{
    *loop_slot(w, id) = id_message(id);
}

void loops_pardon(struct worker *w, uint64_t id)
{
    if (loops_has(w, id)) {
        *loop_slot(w, id) = 0;
    }
}

bool loops_has(struct worker *w, uint64_t id)
{
    return *loop_slot(w, id) == id_message(id);
}
