/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/flight.c: deliveries under way, and what they hold: a credit, a place at the hop.
 *
 * Promise: one flight per delivery at most, so DELIVER is never sent twice for what is under way.
 *          What was under way when the dataplane went is counted, unless the log or the next one
 *          knows its end: the hop may have it already.
 */
#include "control/core/index.h"
#include "control/core/mem.h"

#include <stdlib.h>

struct flight *flight_begin(struct control *c, uint64_t id, struct delivery *d, struct hop *hop)
{
    assert(d == NULL || (d->flight == NULL && d->id == id));
    struct flight *flight = mem_zalloc(sizeof *flight);
    flight->id = id;
    flight->delivery = d;
    flight->hop = hop;
    flight->worker = UINT32_MAX;
    flight->confirmed = true;
    flight->begun_pos = seen_top(&c->states);
    map_put(&c->flights, id, flight);
    c->in_flight++;
    if (hop != NULL) {
        hop->in_flight++;
    }
    if (d != NULL) {
        d->flight = flight;
        flight->open = delivery_rcpts(d, RCPT_WAITING);
    }
    return flight;
}

void flight_end(struct control *c, struct flight *flight)
{
    assert(c->in_flight > 0);
    void *was = map_remove(&c->flights, flight->id);
    assert(was == flight);
    c->in_flight--;
    if (flight->hop != NULL) {
        assert(flight->hop->in_flight > 0);
        flight->hop->in_flight--;
        if (flight->probe) {
            /* A probe whose end told nothing of the hop leaves the breaker open. */
            struct breaker *b = &flight->hop->breaker;
            breaker_probe_cancel(b, c->now.now_ns, b->probe_interval_ns);
        }
    }
    if (flight->worker < c->attach.worker_count) {
        assert(c->attach.in_flight[flight->worker] > 0);
        c->attach.in_flight[flight->worker]--;
    }
    if (flight->delivery != NULL) {
        flight->delivery->flight = NULL;
    }
    if (c->alone_id == flight->id) {
        c->alone_id = 0;
        c->alone_next_ns = c->now.now_ns + CONTROL_ALONE_PAUSE_NS;
    }
    free(flight);
}

static void note_cut(struct control *c, const struct flight *flight)
{
    c->cut = mem_grow(c->cut, &c->cut_capacity, c->cut_count + 1, sizeof *c->cut);
    c->cut[c->cut_count++] = (struct cut){.id = flight->id, .begun_pos = flight->begun_pos};
}

static bool heard_since(const struct delivery *d, uint64_t begun_pos)
{
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        if (d->rcpt[i].state_pos >= begun_pos && d->rcpt[i].state_pos != 0) {
            return true;
        }
    }
    return false;
}

void flight_count_cut(struct control *c)
{
    for (size_t i = 0; i < c->cut_count; i++) {
        const struct delivery *d = index_find(c, c->cut[i].id);
        if (d != NULL && d->flight == NULL && !heard_since(d, c->cut[i].begun_pos)) {
            c->totals.possible_duplicates++;
        }
    }
    c->cut_count = 0;
}

/* The other side is gone, or starts anew and will say what is under way: everything waits. */
void flight_forget_all(struct control *c)
{
    size_t count = 0;
    struct flight **list = mem_zalloc((c->flights.count + 1) * sizeof(struct flight *));
    size_t at = 0;
    for (struct flight *f = map_next(&c->flights, &at); f != NULL; f = map_next(&c->flights, &at)) {
        list[count++] = f;
    }
    for (size_t i = 0; i < count; i++) {
        struct delivery *d = list[i]->delivery;
        if (d != NULL) {
            note_cut(c, list[i]);
            delivery_lift(c, d);
        }
        flight_end(c, list[i]);
        if (d != NULL) {
            d->due_ns = c->now.now_ns;
            delivery_settle(c, d);
        }
    }
    free(list);
    assert(c->in_flight == 0);
}
