/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/up.c: the consumer of the up ring. Pure.
 *
 *   HELLO ─▶ the shell reads both logs up to its positions ─▶ INFLIGHT… ─▶ INFLIGHT_END ─▶ running
 *   a missing number ─▶ the shell reads both logs from where we stand; then, if something was under
 *                       way, a new attach is wanted
 *
 * Promise: what the ring says is checked before it is believed. Nonsense is dropped and noted. At
 *          worst it makes us read the logs.
 * Trap:    a dropped entry may have been the last word about an attempt, which no log holds. Only
 *          a new attach, with its set of deliveries under way, settles that.
 */
#include "control/core/up.h"

#include "control/core/apply.h"
#include "control/core/feed.h"

#include "common/id.h"
#include "common/limits/message.h"
#include "common/limits/ring.h"

enum { UP_PER_TURN = 512 }; /* entries; each costs about a microsecond */

static void wrong(struct core *c, const struct abi_up *up, const char *what)
{
    notes_add(&c->notes, NOTE_RING_ENTRY, what, up->number, up->type);
}

/* --- reading the logs ------------------------------------------------------------------------ */

static void wish_logs(struct core *c, uint64_t message_to, uint64_t state_to, bool for_hello)
{
    struct attach *a = &c->attach;
    assert(!a->reading && a->phase != ATTACH_NONE);
    a->reading = true;
    a->for_hello = for_hello;
    c->wishes.logs.wanted = true;
    c->wishes.logs.ticket = a->ticket;
    c->wishes.logs.message_to = message_to;
    c->wishes.logs.state_to = state_to;
}

/* Entries below `number` were dropped. Both logs are read as far as they are durable. What is newer
 * comes through the ring, or is in the next gap. The state log's position is loaded first: then the
 * message log's is not below the mail that those state records are about. */
static void read_gap(struct core *c, uint64_t number)
{
    struct attach *a = &c->attach;
    assert(number > a->number);
    notes_add(&c->notes, NOTE_RING_GAP, NULL, number - a->number, 0);
    a->number = number;
    uint64_t state_to = atomic_load_explicit(&a->region->durable_state_pos, memory_order_acquire);
    uint64_t message_to =
        atomic_load_explicit(&a->region->durable_message_pos, memory_order_acquire);
    wish_logs(c, message_to, state_to, false);
    assert(a->reading && c->wishes.logs.ticket == a->ticket);
}

void up_logs_read(struct core *c, uint64_t ticket, int error)
{
    struct attach *a = &c->attach;
    if (ticket != a->ticket || !a->reading) {
        return; /* the answer is for an earlier attach: what was read is applied, no more */
    }
    assert(a->region != NULL && a->phase != ATTACH_NONE);
    a->reading = false;
    if (error != 0) {
        notes_add(&c->notes, NOTE_LOGS_UNREAD,
                  a->for_hello ? "at attach" : "after dropped ring entries", (uint64_t)-error, 0);
        /* Nothing is sent while a part of the logs is unread, and no entry behind a gap is
         * believed. Another attach reads the logs from where they were last known whole. */
        a->phase = ATTACH_HELLO;
        a->wanted_again = true;
        return;
    }
    if (a->for_hello) {
        assert(a->phase == ATTACH_HELLO);
        liveness_advance(&c->journal.liveness, a->hello_message_pos);
        a->ends_left = a->worker_count;
        a->phase = ATTACH_INFLIGHT;
        return;
    }
    if (c->flights.count > 0 || a->phase != ATTACH_RUNNING) {
        a->wanted_again = true;
    }
    outbox_fences_again(&c->outbox, a, false);
}

/* --- entries --------------------------------------------------------------------------------- */

/* The log ends before what we have applied of it: the headers of its newest segments cannot be
 * read. Other mail will come at those positions. A difference of one segment is harmless: we may
 * have read a batch that was not durable yet. */
static void look_back(struct core *c, struct seen *seen, const char *log, uint64_t pos)
{
    if (seen_top(seen) >> 32 <= (pos >> 32) + 1) {
        return;
    }
    notes_add(&c->notes, NOTE_LOG_SHORT, log, pos, 0);
    c->journal.damaged++;
    seen_lower(seen, pos);
    assert(seen_top(seen) <= pos);
}

static void take_hello(struct core *c, const struct abi_up *up)
{
    struct attach *a = &c->attach;
    if (a->phase != ATTACH_HELLO) {
        wrong(c, up, "a second HELLO");
        return;
    }
    a->start = up->hello.start;
    uint32_t most = LIMIT_DELIVERS_IN_FLIGHT * a->worker_count;
    a->credits = up->hello.credits < most ? up->hello.credits : most;
    a->hello_message_pos = up->hello.message_pos;
    look_back(c, &c->journal.messages, "message log", up->hello.message_pos);
    look_back(c, &c->journal.states, "state log", up->hello.state_pos);
    liveness_restart(&c->journal.liveness);
    c->wishes.segments = true;
    wish_logs(c, up->hello.message_pos, up->hello.state_pos, true);
    assert(a->phase == ATTACH_HELLO && a->reading && a->credits <= most);
}

static void take_inflight(struct core *c, const struct abi_up *up)
{
    if (c->attach.phase != ATTACH_INFLIGHT) {
        wrong(c, up, "INFLIGHT out of place");
        return;
    }
    struct flight *flight = flight_find(&c->flights, up->inflight.id);
    if (flight != NULL) {
        flight->confirmed = true;
        return;
    }
    if (flight_has_ended(&c->flights, up->inflight.id)) {
        return;
    }
    if (c->flights.count >= (size_t)LIMIT_DELIVERS_IN_FLIGHT * c->attach.worker_count) {
        wrong(c, up, "more INFLIGHT than credits");
        return;
    }
    struct delivery *d = index_find(&c->index, up->inflight.id);
    struct live *l = d == NULL ? NULL : life_lift(c, d);
    struct hop *hop = routes_find_hop(&c->routes, up->inflight.hop_id);
    (void)flight_begin(&c->flights, up->inflight.id, l, hop, seen_top(&c->journal.states),
                       c->now.now_ns);
    if (d != NULL) {
        d->hop = hop == NULL ? 0 : hop->index;
        (void)life_settle(c, d);
    }
    assert(flight_find(&c->flights, up->inflight.id) != NULL);
}

/* The dataplane has told all that is under way. What it did not tell waits again. */
static void take_inflight_end(struct core *c, const struct abi_up *up)
{
    struct attach *a = &c->attach;
    if (a->phase != ATTACH_INFLIGHT) {
        wrong(c, up, "INFLIGHT_END out of place");
        return;
    }
    assert(a->ends_left > 0);
    if (--a->ends_left > 0) {
        return; /* each worker tells its own */
    }
    struct list *next;
    for (struct list *n = c->flights.all.next; n != &c->flights.all; n = next) {
        next = n->next;
        struct flight *flight = list_entry(n, struct flight, node);
        if (!flight->confirmed) {
            apply_flight_gone(c, flight);
        }
    }
    assert(a->ends_left == 0 && !a->reading);
    flight_forget_ended(&c->flights);
    c->journal.possible_duplicates += flight_count_cut(&c->flights, &c->index);
    a->phase = ATTACH_RUNNING;
    notes_add(&c->notes, NOTE_ATTACHED, NULL, a->start, c->flights.count);
}

static void take_commit(struct core *c, const struct abi_up *up)
{
    uint8_t bytes[LIMIT_ENVELOPE_BYTES];
    struct envelope envelope;
    assert(c->attach.phase >= ATTACH_INFLIGHT && !c->attach.reading);
    struct life_facts fact = {
        .id = up->commit.id,
        .commit_pos = up->commit.commit_pos,
        .first_pos = up->commit.first_pos,
        .received_ms = up->commit.received_ms,
        .route_id = up->commit.route_id,
        .body_bytes = up->commit.body_bytes,
        .rcpt_count = up->commit.rcpt_count,
    };
    uint32_t len = up->commit.envelope_bytes;
    bool known = book_envelope_count(c->rules.book) > 0 && len > 0 &&
                 envelope_ring_get(&c->attach.envelopes, up->commit.envelope_at, len, bytes) &&
                 envelope_decode(bytes_of(bytes, len), &envelope);
    if (len > 0) {
        envelope_ring_release(&c->attach.envelopes, up->commit.envelope_at, len);
    }
    if (!feed_is_message(&fact)) {
        wrong(c, up, "a COMMIT that cannot be");
        return;
    }
    (void)apply_commit(c, &fact, known ? &envelope : NULL, false);
    seen_trim(&c->journal.messages);
}

static void take_state(struct core *c, const struct abi_up *up)
{
    assert(c->attach.phase >= ATTACH_INFLIGHT && !c->attach.reading);
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
    seen_trim(&c->journal.states);
    if (c->attach.phase == ATTACH_INFLIGHT && flight_find(&c->flights, fact.id) == NULL &&
        fact.kind == ABI_STATE_OUTCOME && (fact.flags & ABI_FLAG_LAST) != 0) {
        flight_note_ended(&c->flights, fact.id);
    }
}

static void take_recycled(struct core *c, const struct abi_up *up)
{
    assert(c->attach.phase >= ATTACH_INFLIGHT);
    if (!liveness_segment_recycled(&c->journal.liveness, up->recycled.seq)) {
        notes_add(&c->notes, NOTE_RECYCLED_LIVE, NULL, up->recycled.seq, 0);
        c->journal.damaged++;
    }
}

static void take(struct core *c, const struct abi_up *up)
{
    assert(!c->attach.reading && up->number + 1 == c->attach.number);
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
        outbox_fence_answer(&c->outbox, up->fence.token, up->fence.worker);
        return;
    case ABI_UP_RECYCLED:
        take_recycled(c, up);
        return;
    }
    wrong(c, up, "unknown type");
}

/* Returns true when the entry is the next one, and may be taken. The first entry of a ring has to
 * be HELLO: only HELLO says from where on the ring is complete. */
static bool in_order(struct core *c, const struct abi_up *up)
{
    struct attach *a = &c->attach;
    assert(!a->reading && !a->has_held);
    if (up->number < a->number) {
        wrong(c, up, "a number that was there before");
        return false;
    }
    if (a->phase == ATTACH_HELLO && up->type != ABI_UP_HELLO) {
        a->number = up->number + 1;
        a->wanted_again = true;
        return false;
    }
    if (up->number > a->number) {
        a->held = *up;
        a->has_held = true;
        read_gap(c, up->number);
        return false;
    }
    assert(up->number == a->number);
    a->number++;
    return true;
}

bool up_turn(struct core *c)
{
    struct attach *a = &c->attach;
    struct abi_up up;
    int taken = 0;
    assert(a->region != NULL && a->phase != ATTACH_NONE);
    uint64_t count = atomic_load_explicit(&a->region->up_count, memory_order_acquire);
    if (a->has_held && !a->reading) {
        a->has_held = false;
        taken++;
        if (in_order(c, &a->held)) {
            take(c, &a->held);
        }
    }
    while (!a->reading && taken < UP_PER_TURN && ring_take(&a->up, &up)) {
        taken++;
        if (in_order(c, &up)) {
            take(c, &up);
        }
    }
    /* The last entries may be dropped with none after them. */
    if (!a->reading && taken < UP_PER_TURN && a->phase != ATTACH_HELLO && count > a->number) {
        read_gap(c, count);
        return true;
    }
    assert(taken <= UP_PER_TURN && (!a->has_held || a->reading));
    return taken > 0;
}
