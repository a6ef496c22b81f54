/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/up.c: the consumer of the up ring.
 *
 *   HELLO ─▶ read both logs up to its positions ─▶ INFLIGHT… ─▶ INFLIGHT_END ─▶ running
 *   a missing number ─▶ read both logs from where we stand, ask workers again, want a new attach
 *
 * Promise: what the ring says is checked before it is believed; nonsense is dropped and counted,
 *          and can at worst make us read the log.
 * Trap:    a dropped entry may have been the last word about an attempt, which no log holds. Only
 *          a new attach, with its set of deliveries under way, settles that.
 */
#include "control/core/index.h"

#include "spool/extent.h"

#include <string.h>

static void wrong(struct control *c, const struct abi_up *up, const char *what)
{
    control_say(c, 4, "ring: entry %llu (type %u) ignored: %s", (unsigned long long)up->number,
                up->type, what);
}

/* Up messages below `number` were dropped. Both logs are read, as far as they are durable: what is
 * newer comes through the ring, or is in the next gap. The state log's bound first: what it holds
 * speaks of mail that the other's then covers. */
static void read_gap(struct control *c, uint64_t number)
{
    struct attach *a = &c->attach;
    control_say(c, 6, "ring: %llu entries were dropped, reading the logs",
                (unsigned long long)(number - a->number));
    a->number = number;
    uint64_t state_pos = atomic_load_explicit(&a->region->durable_state_pos, memory_order_acquire);
    uint64_t message_pos =
        atomic_load_explicit(&a->region->durable_message_pos, memory_order_acquire);
    int r = catchup_messages(c, message_pos);
    if (r == 0) {
        r = catchup_states(c, state_pos);
    }
    if (r < 0) {
        /* What the gap held is not known: nothing behind it may be believed, and no segment be
         * offered, until an attach has read the logs from where they were last known whole. */
        control_say(c, 3, "cannot read the logs after dropped ring entries: %s", strerror(-r));
        a->phase = ATTACH_HELLO;
    }
    if (c->in_flight > 0 || a->phase != ATTACH_RUNNING) {
        a->wanted_again = true;
    }
    for (struct list *l = c->fences.next; l != &c->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        fence->unsent = fence->waiting; /* its answers may be among the dropped */
    }
}

/* The log ends before what we have applied of it: headers of its newest segments are unreadable.
 * What comes now at those positions is other mail. One segment's difference is none: we may have
 * read a batch that is not durable yet. */
static void look_back(struct control *c, struct seen *seen, const char *log, uint64_t pos)
{
    if (spool_pos_seq(seen_top(seen)) <= spool_pos_seq(pos) + 1) {
        return;
    }
    control_say(c, 3, "%s ends at %llu:%u, but was known to reach %llu:%u: segments are unreadable",
                log, (unsigned long long)spool_pos_seq(pos), spool_pos_offset(pos),
                (unsigned long long)spool_pos_seq(seen_top(seen)),
                spool_pos_offset(seen_top(seen)));
    c->totals.damaged++;
    seen_lower(seen, pos);
}

static void take_hello(struct control *c, const struct abi_up *up)
{
    struct attach *a = &c->attach;
    if (a->phase != ATTACH_HELLO) {
        wrong(c, up, "a second HELLO");
        return;
    }
    a->start = up->hello.start;
    uint32_t most = LIMIT_DELIVERS_IN_FLIGHT * a->worker_count;
    a->credits = up->hello.credits < most ? up->hello.credits : most;
    look_back(c, &c->messages, "message log", up->hello.message_pos);
    look_back(c, &c->states, "state log", up->hello.state_pos);
    int r = catchup_messages(c, up->hello.message_pos);
    if (r == 0) {
        r = catchup_states(c, up->hello.state_pos);
    }
    if (r < 0) {
        /* Not attached then: nothing is sent on half the truth; another attach tries again. */
        control_say(c, 3, "cannot read the logs at attach: %s", strerror(-r));
        a->wanted_again = true;
        return;
    }
    liveness_advance(&c->liveness, up->hello.message_pos);
    down_list_segments(c);
    a->ends_left = a->worker_count;
    a->phase = ATTACH_INFLIGHT;
}

static void take_inflight(struct control *c, const struct abi_up *up)
{
    if (c->attach.phase != ATTACH_INFLIGHT) {
        wrong(c, up, "INFLIGHT out of place");
        return;
    }
    struct flight *flight = map_find(&c->flights, up->inflight.id);
    if (flight != NULL) {
        flight->confirmed = true;
        return;
    }
    struct delivery *d = index_find(c, up->inflight.id);
    if (d != NULL) {
        delivery_lift(c, d);
    }
    (void)flight_begin(c, up->inflight.id, d, routes_find_hop(c, up->inflight.hop_id));
    if (d != NULL) {
        d->last_hop_id = up->inflight.hop_id;
        delivery_settle(c, d);
    }
}

/* What we believed under way and was not told is not: it waits again. */
static void take_inflight_end(struct control *c, const struct abi_up *up)
{
    if (c->attach.phase != ATTACH_INFLIGHT) {
        wrong(c, up, "INFLIGHT_END out of place");
        return;
    }
    assert(c->attach.ends_left > 0);
    if (--c->attach.ends_left > 0) {
        return; /* each worker tells its own */
    }
    size_t at = 0;
    struct list gone;
    list_init(&gone);
    for (struct flight *f = map_next(&c->flights, &at); f != NULL; f = map_next(&c->flights, &at)) {
        if (!f->confirmed) {
            list_append(&gone, &f->node);
        }
    }
    while (!list_is_empty(&gone)) {
        struct flight *f = list_entry(gone.next, struct flight, node);
        struct delivery *d = f->delivery;
        list_remove(&f->node);
        if (d != NULL) {
            delivery_lift(c, d);
            d->due_ns = c->now.now_ns;
        }
        flight_end(c, f);
        if (d != NULL) {
            delivery_settle(c, d);
        }
    }
    flight_count_cut(c);
    c->attach.phase = ATTACH_RUNNING;
    control_say(c, 6, "attached to dataplane start %u: %llu deliveries under way", c->attach.start,
                (unsigned long long)c->in_flight);
}

static void take_commit(struct control *c, const struct abi_up *up)
{
    struct commit_fact fact = {
        .id = up->commit.id,
        .commit_pos = up->commit.commit_pos,
        .first_pos = up->commit.first_pos,
        .received_ms = up->commit.received_ms,
        .route_id = up->commit.route_id,
        .body_bytes = up->commit.body_bytes,
        .rcpt_count = up->commit.rcpt_count,
    };
    if (!spool_commit_valid(fact.id, fact.first_pos, fact.commit_pos, fact.rcpt_count)) {
        wrong(c, up, "a COMMIT that cannot be");
        return;
    }
    (void)apply_commit(c, &fact);
    seen_trim(&c->messages);
}

static void take_state(struct control *c, const struct abi_up *up)
{
    struct state_fact fact = {
        .id = up->state.id,
        .pos = up->state.state_pos,
        .rcpts = up->state.rcpts,
        .time_ms = up->state.time_ms,
        .hop_id = up->state.hop_id,
        .code = up->code,
        .flags = up->flags,
        .kind = up->kind,
        .outcome = up->outcome,
        .phase = up->phase,
        .live = true,
    };
    if (!outcome_valid(up->outcome)) {
        wrong(c, up, "an unknown outcome");
        return;
    }
    if (up->type == ABI_UP_ATTEMPT) {
        fact.pos = 0;
        apply_attempt(c, &fact);
        return;
    }
    if (up->kind < ABI_STATE_OUTCOME || up->kind > ABI_STATE_FAULT || fact.pos == 0) {
        wrong(c, up, "an unknown state record");
        return;
    }
    apply_state(c, &fact);
    seen_trim(&c->states);
}

static void take_fence(struct control *c, const struct abi_up *up)
{
    for (struct list *l = c->fences.next; l != &c->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        if (fence->token == up->fence.token && up->fence.worker < LIMIT_WORKERS) {
            fence->waiting &= ~(1u << up->fence.worker);
        }
    }
}

static void take(struct control *c, const struct abi_up *up)
{
    switch ((enum abi_up_type)up->type) {
    case ABI_UP_HELLO:
        take_hello(c, up);
        return;
    case ABI_UP_INFLIGHT:
        take_inflight(c, up);
        return;
    case ABI_UP_INFLIGHT_END:
        take_inflight_end(c, up);
        return;
    case ABI_UP_COMMIT:
        take_commit(c, up);
        return;
    case ABI_UP_STATE:
    case ABI_UP_ATTEMPT:
        take_state(c, up);
        return;
    case ABI_UP_FENCE:
        take_fence(c, up);
        return;
    case ABI_UP_RECYCLED:
        c->attach.free_segments = up->recycled.free_count;
        if (!liveness_segment_recycled(&c->liveness, up->recycled.seq)) {
            control_say(c, 3, "segment %llu was recycled while mail in it is live",
                        (unsigned long long)up->recycled.seq);
            c->totals.damaged++;
        }
        return;
    }
    wrong(c, up, "unknown type");
}

/* The first entry of a ring has to be HELLO: before it nothing is known to be complete. */
static bool in_order(struct control *c, const struct abi_up *up)
{
    struct attach *a = &c->attach;
    if (up->number < a->number) {
        wrong(c, up, "a number that was there before");
        return false;
    }
    if (up->number > a->number) {
        read_gap(c, up->number);
    }
    a->number = up->number + 1;
    if (a->phase == ATTACH_HELLO && up->type != ABI_UP_HELLO) {
        a->wanted_again = true;
        return false;
    }
    return true;
}

bool up_turn(struct control *c)
{
    struct attach *a = &c->attach;
    struct abi_up up;
    int taken = 0;
    uint64_t count = atomic_load_explicit(&a->region->up_count, memory_order_acquire);
    while (taken < CONTROL_UP_PER_TURN && ring_take(&a->up, &up)) {
        taken++;
        if (in_order(c, &up)) {
            take(c, &up);
        }
    }
    /* The last entries may be dropped with none after them. */
    if (taken < CONTROL_UP_PER_TURN && a->phase != ATTACH_HELLO && count > a->number) {
        read_gap(c, count);
        return true;
    }
    return taken > 0;
}
