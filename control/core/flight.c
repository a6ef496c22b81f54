/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/flight.c: see flight.h. Pure.
 *
 * The hop may already have what was under way when the dataplane went. It is counted as a possible
 * duplicate, unless the log tells its end, or it is still under way at the next attach.
 */
#include "control/core/flight.h"

#include "control/core/mem.h"

#include "common/limits/ring.h"

void flight_init(struct flights *flights)
{
    *flights = (struct flights){0};
    list_init(&flights->all);
}

void flight_fini(struct flights *flights)
{
    while (!list_is_empty(&flights->all)) {
        struct flight *flight = list_entry(flights->all.next, struct flight, node);
        list_remove(&flight->node);
        mem_free(flight);
    }
    map_fini(&flights->by_id);
    map_fini(&flights->ended);
    mem_free(flights->cut);
}

struct flight *flight_find(const struct flights *flights, uint64_t id)
{
    return map_find(&flights->by_id, id);
}

struct flight *flight_begin(struct flights *flights, uint64_t id, struct live *l, struct hop *hop,
                            uint64_t begun_pos, uint64_t now_ns)
{
    assert(l == NULL || (l->flight == NULL && l->delivery->id == id));
    struct flight *flight = mem_zalloc(sizeof *flight);
    flight->id = id;
    flight->hop = hop;
    flight->worker = FLIGHT_WORKER_UNKNOWN;
    flight->confirmed = true;
    flight->begun_pos = begun_pos;
    flight->begun_ns = now_ns;
    map_put(&flights->by_id, id, flight);
    list_append(&flights->all, &flight->node);
    assert(flights->count == flights->by_id.count - 1);
    flights->count++;
    if (hop != NULL) {
        hop->in_flight++;
        assert(hop->in_flight <= flights->count);
    }
    if (l != NULL) {
        l->flight = flight;
        flight->delivery = l->delivery;
        flight->open = delivery_rcpts(l->delivery, RCPT_WAITING);
    }
    assert(flight_find(flights, id) == flight && !list_is_empty(&flights->all));
    return flight;
}

void flight_note_ended(struct flights *flights, uint64_t id)
{
    enum { ENDED_MAX = LIMIT_DELIVERS_IN_FLIGHT * LIMIT_WORKERS };
    assert(flight_find(flights, id) == NULL);
    if (flights->ended.count < ENDED_MAX && !flight_has_ended(flights, id)) {
        map_put(&flights->ended, id, flights);
    }
}

bool flight_has_ended(const struct flights *flights, uint64_t id)
{
    return map_find(&flights->ended, id) != NULL;
}

void flight_forget_ended(struct flights *flights)
{
    map_fini(&flights->ended);
    assert(flights->ended.count == 0);
}

void flight_end(struct flights *flights, struct flight *flight, struct live *l, uint64_t now_ns)
{
    assert(flights->count > 0 && (l == NULL) == (flight->delivery == NULL));
    void *was = map_remove(&flights->by_id, flight->id);
    assert(was == flight);
    list_remove(&flight->node);
    assert(flights->count - 1 == flights->by_id.count);
    flights->count--;
    if (flight->hop != NULL) {
        assert(flight->hop->in_flight > 0);
        flight->hop->in_flight--;
        if (flight->probe) {
            /* A probe whose end told nothing of the hop leaves the breaker open. */
            struct breaker *b = &flight->hop->breaker;
            breaker_probe_cancel(b, now_ns, b->probe_interval_ns);
        }
    }
    if (l != NULL) {
        assert(l->flight == flight);
        l->flight = NULL;
    }
    mem_free(flight);
    assert(flights->count == flights->by_id.count);
}

void flight_note_cut(struct flights *flights, const struct flight *flight)
{
    assert(flight->delivery != NULL && flight->delivery->id == flight->id);
    flights->cut = mem_grow(flights->cut, &flights->cut_capacity, flights->cut_count + 1,
                            sizeof *flights->cut);
    flights->cut[flights->cut_count++] =
        (struct cut){.id = flight->id, .begun_pos = flight->begun_pos};
    assert(flights->cut_count <= flights->cut_capacity);
}

static bool heard_since(const struct delivery *d, uint64_t begun_pos)
{
    unsigned count = delivery_rcpt_count(d);
    assert(d->id != 0 && count > 0);
    for (unsigned i = 0; i < count; i++) {
        uint64_t pos = delivery_rcpt(d, i).state_pos;
        if (pos >= begun_pos && pos != 0) {
            return true;
        }
    }
    return false;
}

uint64_t flight_count_cut(struct flights *flights, const struct index *index)
{
    uint64_t count = 0;
    for (size_t i = 0; i < flights->cut_count; i++) {
        const struct delivery *d = index_find(index, flights->cut[i].id);
        count += d != NULL && flight_find(flights, d->id) == NULL &&
                 !heard_since(d, flights->cut[i].begun_pos);
    }
    assert(count <= flights->cut_count);
    flights->cut_count = 0;
    return count;
}

uint64_t flight_oldest_ns(const struct flights *flights, const struct hop *hop)
{
    uint64_t oldest_ns = 0;
    assert(hop != NULL && hop->in_flight <= flights->count);
    for (const struct list *n = flights->all.next; n != &flights->all; n = n->next) {
        const struct flight *flight = list_entry(n, struct flight, node);
        if (flight->hop == hop && (oldest_ns == 0 || flight->begun_ns < oldest_ns)) {
            oldest_ns = flight->begun_ns;
        }
    }
    return oldest_ns;
}
