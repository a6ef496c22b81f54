/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/writer.c: between the workers and the spool's writer. See writer.h.
 *
 *   worker ── submit ring ──▶ writer_turn ──▶ spool_writer_submit
 *   worker ◀── done ring ──── publish ◀────── spool_writer_turn (durable)
 *                               └──▶ up ring ──▶ control
 *
 * Promise: publish is called before the submission is given back. So control is told of a delivery
 *          before the sender can get its 250.
 * Trap:    a full up ring drops the message but uses its number up: that gap is how control knows
 *          that it must read the log.
 */
#include "dataplane/writer.h"

#include "common/counters.h"
#include "common/envelope_ring.h"
#include "common/limits/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The most submissions that one turn moves. It bounds the time between two looks at the disk. */
enum { SUBMITS_PER_TURN = 1024 };

struct port_rings {
    struct writer_port port; /* the worker's ends of the rings */
    struct ring_end submit;  /* the writer's end */
    struct ring_end done;
    struct ring *submit_ring;
    struct ring *done_ring;
};

struct writer {
    struct writer_settings settings;
    _Atomic(struct abi_attach *) region_wanted;
    _Atomic(struct abi_attach *) region_attached;
    _Atomic uint32_t spool_state;
    _Atomic uint32_t start_last;
    struct abi_attach *region;
    struct ring_end up;
    struct envelope_ring_end envelopes;
    uint64_t up_number;
    struct port_rings rings[LIMIT_WORKERS];
    uint8_t encoded[LIMIT_ENVELOPE_BYTES]; /* the envelope that is about to be put */
};

static struct ring *make_ring(struct ring_end *one, struct ring_end *other)
{
    size_t size = (ring_size(WRITER_QUEUE_SLOTS) + 63) & ~(size_t)63;
    struct ring *ring = aligned_alloc(64, size);
    if (ring != NULL) {
        ring_init(ring, WRITER_QUEUE_SLOTS);
        ring_open(one, ring, WRITER_QUEUE_SLOTS);
        ring_open(other, ring, WRITER_QUEUE_SLOTS);
    }
    return ring;
}

int writer_create(const struct writer_settings *settings, struct writer **writer_out)
{
    assert(settings->worker_count > 0 && settings->worker_count <= LIMIT_WORKERS);
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return -ENOMEM;
    }
    w->settings = *settings;
    atomic_store(&w->start_last, spool_writer_start_last(settings->spool));
    for (uint32_t i = 0; i < settings->worker_count; i++) {
        struct port_rings *r = &w->rings[i];
        r->submit_ring = make_ring(&r->port.submit, &r->submit);
        r->done_ring = make_ring(&r->done, &r->port.done);
        if (r->submit_ring == NULL || r->done_ring == NULL) {
            writer_destroy(w);
            return -ENOMEM;
        }
    }
    *writer_out = w;
    return 0;
}

void writer_destroy(struct writer *w)
{
    for (uint32_t i = 0; i < w->settings.worker_count; i++) {
        free(w->rings[i].submit_ring);
        free(w->rings[i].done_ring);
    }
    free(w);
}

struct writer_port *writer_port(struct writer *w, uint32_t worker)
{
    assert(worker < w->settings.worker_count);
    return &w->rings[worker].port;
}

void writer_attach(struct writer *w, struct abi_attach *region)
{
    atomic_store_explicit(&w->region_wanted, region, memory_order_release);
}

struct abi_attach *writer_attached(const struct writer *w)
{
    return atomic_load_explicit(&w->region_attached, memory_order_acquire);
}

enum abi_spool_state writer_spool_state(const struct writer *w)
{
    return (enum abi_spool_state)atomic_load_explicit(&w->spool_state, memory_order_relaxed);
}

uint32_t writer_start_last(const struct writer *w)
{
    return atomic_load_explicit(&w->start_last, memory_order_relaxed);
}

/* Puts one up message. Without room it is dropped, and its number is used up. */
static void up_put(struct writer *w, struct abi_up *up)
{
    if (w->region == NULL) {
        return;
    }
    up->number = w->up_number++;
    if (!ring_put(&w->up, up)) {
        counter_add(w->settings.counters, COUNTER_ring_dropped, 1);
    }
    atomic_store_explicit(&w->region->up_count, w->up_number, memory_order_release);
}

/* Published before the up messages about it, so that control may read this far when it sees a
 * gap. */
static void publish_positions(struct writer *w)
{
    if (w->region != NULL) {
        atomic_store_explicit(&w->region->durable_message_pos,
                              spool_writer_message_pos(w->settings.spool), memory_order_release);
        atomic_store_explicit(&w->region->durable_state_pos,
                              spool_writer_state_pos(w->settings.spool), memory_order_release);
    }
}

static void wake_control(struct writer *w)
{
    if (w->region == NULL || w->settings.doorbell == NULL) {
        return;
    }
    if (atomic_exchange(&w->region->control_sleeping, 0) != 0) { /* not a load first: see abi.h */
        w->settings.doorbell(w->settings.doorbell_ctx);
    }
}

static void take_region(struct writer *w)
{
    struct abi_attach *wanted = atomic_load_explicit(&w->region_wanted, memory_order_acquire);
    if (wanted == w->region) {
        return;
    }
    w->region = wanted;
    w->up_number = 0;
    if (wanted != NULL) {
        ring_open(&w->up, (struct ring *)((uint8_t *)wanted + abi_up_offset()),
                  LIMIT_RING_UP_SLOTS);
        envelope_ring_open(&w->envelopes, abi_envelope_ring(wanted));
        struct abi_up hello = {.type = ABI_UP_HELLO};
        publish_positions(w);
        hello.hello.message_pos = spool_writer_message_pos(w->settings.spool);
        hello.hello.state_pos = spool_writer_state_pos(w->settings.spool);
        hello.hello.start = spool_writer_start(w->settings.spool);
        hello.hello.credits = LIMIT_DELIVERS_IN_FLIGHT;
        up_put(w, &hello);
        atomic_store_explicit(&wanted->spool_state, spool_writer_state(w->settings.spool),
                              memory_order_relaxed);
        wake_control(w);
    }
    atomic_store_explicit(&w->region_attached, wanted, memory_order_release);
}

static uint32_t take_submissions(struct writer *w)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < w->settings.worker_count; i++) {
        struct ring_slot slot;
        while (taken < SUBMITS_PER_TURN && ring_take(&w->rings[i].submit, &slot)) {
            struct submission *s;
            memcpy(&s, slot.data, sizeof s);
            assert(s != NULL && s->worker == i);
            spool_writer_submit(w->settings.spool, &s->spool);
            taken++;
        }
    }
    return taken;
}

/* Puts the envelope of a message into the ring beside the up ring, while control asks for
 * envelopes. Returns its length, or 0: then control has to read it from the log. When the up ring
 * has no room for the COMMIT, no envelope is put, since nothing would ever release it. */
static uint16_t put_envelope(struct writer *w, const struct submission *s, uint32_t *at_out)
{
    assert(s->spool.result == SPOOL_RESULT_OK && s->delivery_count > 0);
    if (w->region == NULL || s->envelope == NULL || ring_free(&w->up) == 0 ||
        atomic_load_explicit(&w->region->envelopes_wanted, memory_order_relaxed) == 0) {
        return 0;
    }
    size_t len = envelope_encode(s->envelope, w->encoded, sizeof w->encoded);
    assert(len > 0 && len <= LIMIT_ENVELOPE_BYTES);
    if (!envelope_ring_put(&w->envelopes, bytes_of(w->encoded, len), at_out)) {
        return 0;
    }
    return (uint16_t)len;
}

static void publish_commit(struct writer *w, const struct submission *s)
{
    uint32_t envelope_at = 0;
    uint16_t envelope_bytes = put_envelope(w, s, &envelope_at);
    for (uint32_t i = 0; i < s->delivery_count; i++) {
        struct abi_up up = {.type = ABI_UP_COMMIT};
        up.commit.id = s->spool.txn->id | i;
        up.commit.commit_pos = s->spool.pos;
        up.commit.first_pos = s->spool.txn->first_pos;
        up.commit.received_ms = s->spool.received_ms;
        up.commit.route_id = s->delivery[i].route_id;
        up.commit.body_bytes = s->spool.total_bytes;
        up.commit.rcpt_count = s->delivery[i].rcpt_count;
        up.commit.envelope_bytes = envelope_bytes;
        up.commit.envelope_at = envelope_at;
        up_put(w, &up);
    }
}

static void publish_state(struct writer *w, const struct spool_submit *s)
{
    struct abi_up up = s->user;
    up.type = ABI_UP_STATE;
    up.kind = s->state.kind;
    up.outcome = s->state.outcome;
    up.phase = s->state.phase;
    up.code = s->state.code;
    up.state.id = s->state.id;
    up.state.state_pos = s->pos;
    up.state.rcpts = s->state.rcpts;
    up.state.time_ms = s->state.time_ms;
    up.state.hop_id = s->state.hop_id;
    up_put(w, &up);
}

/* Tells control what it has to know of a finished submission. */
static void publish(struct writer *w, struct submission *s)
{
    if (s->spool.result != SPOOL_RESULT_OK) {
        return;
    }
    switch (s->spool.kind) {
    case SPOOL_SUBMIT_COMMIT:
        publish_commit(w, s);
        break;
    case SPOOL_SUBMIT_STATE:
        publish_state(w, &s->spool);
        break;
    case SPOOL_SUBMIT_NOTE:
        up_put(w, &s->spool.user);
        break;
    case SPOOL_SUBMIT_RECORD:
    case SPOOL_SUBMIT_ABORT:
    case SPOOL_SUBMIT_READ:
    case SPOOL_SUBMIT_RECYCLE:
    case SPOOL_SUBMIT_STATE_RECYCLE:
        break;
    }
}

/* Tells control of segments that are in the free list now, and that it may forget. */
static void publish_recycled(struct writer *w)
{
    uint64_t seq;
    while (spool_writer_take_recycled(w->settings.spool, &seq)) {
        struct abi_up up = {.type = ABI_UP_RECYCLED};
        up.recycled.seq = seq;
        up.recycled.free_count = spool_writer_free_segments(w->settings.spool);
        up_put(w, &up);
    }
}

static uint32_t give_back(struct writer *w, struct spool_submit *done)
{
    uint32_t count = 0;
    while (done != NULL) {
        struct submission *s = (struct submission *)done;
        done = done->next;
        publish(w, s);
        struct ring_slot slot = {{0}};
        memcpy(slot.data, &s, sizeof s);
        bool room = ring_put(&w->rings[s->worker].done, &slot);
        assert(room); /* the worker has at most WRITER_QUEUE_SLOTS submissions under way */
        count++;
    }
    return count;
}

static void publish_figures(struct writer *w)
{
    struct spool_writer_stats stats;
    spool_writer_stats(w->settings.spool, &stats);
    counter_set(w->settings.counters, COUNTER_spool_batches, stats.batches);
    counter_set(w->settings.counters, COUNTER_spool_bytes, stats.message_bytes);
    counter_set(w->settings.counters, COUNTER_spool_errors, stats.io_errors);
    counter_set(w->settings.counters, COUNTER_spool_full, stats.full);
    counter_set(w->settings.counters, COUNTER_segments_free,
                spool_writer_free_segments(w->settings.spool));
    enum abi_spool_state state = spool_writer_state(w->settings.spool);
    atomic_store_explicit(&w->spool_state, state, memory_order_relaxed);
    atomic_store_explicit(&w->start_last, spool_writer_start_last(w->settings.spool),
                          memory_order_relaxed);
    if (w->region != NULL) {
        atomic_store_explicit(&w->region->spool_state, state, memory_order_relaxed);
    }
}

bool writer_turn(struct writer *w, bool wait)
{
    take_region(w);
    uint64_t up_before = w->up_number;
    uint32_t taken = take_submissions(w);
    struct spool_submit *done = spool_writer_turn(w->settings.spool, wait && taken == 0);
    if (done != NULL) {
        publish_positions(w);
    }
    uint32_t given = give_back(w, done);
    publish_recycled(w);
    if (w->up_number != up_before) {
        wake_control(w);
    }
    if (taken > 0 || given > 0 || spool_writer_state(w->settings.spool) != writer_spool_state(w)) {
        publish_figures(w);
    }
    return taken > 0 || given > 0;
}

bool writer_idle(struct writer *w)
{
    for (uint32_t i = 0; i < w->settings.worker_count; i++) {
        if (!ring_is_empty(&w->rings[i].submit)) {
            return false;
        }
    }
    return spool_writer_idle(w->settings.spool);
}
