/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/core.c: the core as a whole: making it, one turn, attaching, letting go. Pure. */
#include "control/core/core.h"

#include "control/core/apply.h"
#include "control/core/life.h"
#include "control/core/mem.h"
#include "control/core/rounds.h"
#include "control/core/send.h"
#include "control/core/up.h"
#include "common/limits/ring.h"

void core_init(struct core *c, const struct siphash_key *key, struct control_time now)
{
    *c = (struct core){.now = now};
    routes_init(&c->routes);
    rules_init(&c->rules, key);
    schedule_init(&c->schedule);
    flight_init(&c->flights);
    outbox_init(&c->outbox);
    assert(c->attach.phase == ATTACH_NONE && c->index.count == 0 && c->routes.route_count == 1);
}

void core_fini(struct core *c)
{
    flight_fini(&c->flights);
    schedule_fini(&c->schedule);
    index_fini(&c->index);
    outbox_fini(&c->outbox);
    image_fini(&c->image);
    journal_fini(&c->journal);
    rules_fini(&c->rules);
    routes_fini(&c->routes);
    mem_free(c->wishes.done_reply);
    assert(c->index.slab_count == 0 && c->image.out == NULL);
}

void core_configure(struct core *c, const struct config *config)
{
    assert(config->route_count == 0 || config->hop_count > 0);
    c->retry_first_ms = config->retry.first_ms;
    c->retry_max_ms = config->retry.max_ms;
    routes_configure(&c->routes, config);
    rounds_resettle(c);
    assert(c->rounds.resettling && c->rounds.resettle_slot == 0);
}

bool core_turn(struct core *c)
{
    c->newest_wall_ms = c->newest_wall_ms > c->now.wall_ms ? c->newest_wall_ms : c->now.wall_ms;
    assert(c->attach.phase == ATTACH_NONE || c->attach.region != NULL);
    struct attach *a = &c->attach;
    bool worked = a->phase != ATTACH_NONE && up_turn(c);
    worked = send_turn(c) || worked;
    if (a->phase == ATTACH_RUNNING && !a->reading) {
        worked = send_commands(c) || worked;
        worked = outbox_turn(&c->outbox, a, &c->journal, c->now.now_ns) || worked;
    } else if (a->phase == ATTACH_INFLIGHT) {
        worked = outbox_offer_states(&c->outbox, a) || worked;
    }
    assert(c->newest_wall_ms >= c->now.wall_ms && c->flights.count == c->flights.by_id.count);
    return rounds_turn(c) || worked;
}

uint64_t core_next_ns(const struct core *c)
{
    uint64_t next_ns = send_next_ns(c);
    uint64_t rounds_ns = rounds_next_ns(c);
    next_ns = rounds_ns < next_ns ? rounds_ns : next_ns;
    if (c->attach.phase == ATTACH_RUNNING && c->outbox.offer_ns < next_ns) {
        next_ns = c->outbox.offer_ns;
    }
    assert(next_ns <= schedule_next_ns(&c->schedule)); /* what is due is not slept over */
    return next_ns;
}

void core_attach(struct core *c, struct abi_attach *region, uint32_t worker_count)
{
    assert(region != NULL && worker_count > 0 && worker_count <= LIMIT_WORKERS);
    struct attach *a = &c->attach;
    uint64_t ticket = a->ticket + 1;
    *a = (struct attach){.phase = ATTACH_HELLO,
                         .region = region,
                         .worker_count = worker_count,
                         .ticket = ticket,
                         .since_ns = c->now.now_ns};
    char *base = (char *)region;
    ring_open(&a->up, (struct ring *)(base + abi_up_offset()), LIMIT_RING_UP_SLOTS);
    envelope_ring_open(&a->envelopes, abi_envelope_ring(region));
    for (uint32_t w = 0; w < worker_count; w++) {
        ring_open(&a->down[w], (struct ring *)(base + abi_down_offset(w)), LIMIT_RING_DOWN_SLOTS);
    }
    for (struct list *n = c->flights.all.next; n != &c->flights.all; n = n->next) {
        struct flight *flight = list_entry(n, struct flight, node);
        flight->confirmed = false;
        flight->worker = FLIGHT_WORKER_UNKNOWN;
    }
    c->wishes.logs.wanted = false;
    flight_forget_ended(&c->flights);
    outbox_fences_again(&c->outbox, a, true);
    outbox_resend_all(&c->outbox);
    assert(c->outbox.sent_count == 0 && a->phase == ATTACH_HELLO);
    c->outbox.recycle_seq = c->journal.told_seq; /* a RECYCLE may be lost with the last ring */
    atomic_store_explicit(&region->policy_published, c->policy_generation, memory_order_release);
}

void core_detach(struct core *c)
{
    if (c->attach.phase == ATTACH_NONE) {
        return;
    }
    c->attach = (struct attach){.phase = ATTACH_NONE, .ticket = c->attach.ticket + 1};
    c->wishes.logs.wanted = false;
    while (!list_is_empty(&c->flights.all)) {
        struct flight *flight = list_entry(c->flights.all.next, struct flight, node);
        if (flight->delivery != NULL) {
            flight_note_cut(&c->flights, flight);
        }
        apply_flight_gone(c, flight);
    }
    assert(c->flights.count == 0 && c->attach.region == NULL);
    outbox_resend_all(&c->outbox);
    assert(c->outbox.sent_count == 0 && !c->attach.reading && c->suspects.alone_id == 0);
    notes_add(&c->notes, NOTE_DETACHED, NULL, 0, 0);
}
