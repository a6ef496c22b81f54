/* SPDX-License-Identifier: BSD-3-Clause */
/* control/flight.c: deliveries under way, and what they hold: a credit, a place at the hop.
 *
 * Promise: one flight per delivery at most, so DELIVER is never sent twice for what is under way.
 */
#include "control/index.h"
#include "control/mem.h"

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
