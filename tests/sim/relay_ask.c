/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/relay_ask.c: what happens to a running relay from outside: an operator's request,
 * another configuration, a control that sleeps while its ring is full, a delivery that makes the
 * dataplane fault. See relay.h.
 *
 * Trap: a full ring is simulated by a replaced ring_put, which says "full" for the writer's up ring
 *       without 16384 entries. HELLO always has room, as in any fresh ring.
 */
#include "tests/sim/relay_parts.h"

#include "common/id.h"
#include "common/limits/ring.h"
#include "tests/sim/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

bool __real_ring_put(struct ring_end *producer, const void *message);
bool __wrap_ring_put(struct ring_end *producer, const void *message);

static const struct ring *clogged; /* one seed in a process */

bool __wrap_ring_put(struct ring_end *producer, const void *message)
{
    if (clogged != NULL && producer->ring == clogged && producer->own > 0) {
        return false;
    }
    return __real_ring_put(producer, message);
}

/* Turns control until the answer is there, or until nothing more happens by itself: then the answer
 * stays pending. `hasty`: the client does not wait, and what was begun goes on without it. */
json_t *relay_await(struct relay *r, json_t *answer, bool hasty)
{
    struct control *c = r->control.control;
    const json_t *pending = json_object_get(answer, "pending");
    if (pending == NULL) {
        return answer;
    }
    uint64_t token = (uint64_t)json_integer_value(pending);
    if (hasty) {
        control_admin_forget(c, token);
        return answer;
    }
    for (bool worked = true; worked;) {
        worked = control_turn(c, relay_time(r));
        worked = control_work(c) || worked || works_busy(control_works(c));
        json_t *ready = control_admin_ready(c, token, relay_time(r));
        if (ready != NULL) {
            json_decref(answer);
            return ready;
        }
    }
    return answer;
}

/* --- operators ------------------------------------------------------------------------------- */

static bool ask(struct relay *r)
{
    static const struct control_peer peer = {.who = "operator", .may_act = true};
    struct control *c = r->control.control;
    r->ask.answer = control_admin(c, r->ask.request, &peer, relay_time(r));
    r->ask.answer = relay_await(r, r->ask.answer, r->ask.hasty && rng_percent(&r->rng, 40));
    return true;
}

json_t *relay_ask(struct relay *r, const char *text)
{
    if (!r->control.up) {
        return NULL;
    }
    r->ask.request = json_loads(text, 0, NULL);
    assert(r->ask.request != NULL);
    r->ask.answer = NULL;
    trace_event(0x43, 0, 0);
    (void)relay_run(r, RELAY_CONTROL, ask);
    json_decref(r->ask.request);
    return r->ask.answer;
}

json_t *relay_answer(struct relay *r, uint64_t token)
{
    return r->control.up ? control_admin_ready(r->control.control, token, relay_time(r)) : NULL;
}

static int load_config(void *ctx, struct config **config_out, char error[CONFIG_ERROR_SIZE])
{
    const struct relay *r = ctx;
    (void)error;
    *config_out = campus_config(r->campus, r->removed);
    return 0;
}

static void reloaded(void *ctx, struct config *config, const char *error)
{
    struct relay *r = ctx;
    r->reloading = false;
    if (error != NULL) {
        trace_break(BREACH_OTHER, "control does not take a configuration: %s", error);
    } else {
        r->control.config = config;
    }
}

static bool reload(struct relay *r)
{
    struct control *c = r->control.control;
    const struct control_reload request = {.load = load_config, .done = reloaded, .ctx = r};
    r->reloading = true;
    control_reload(c, &request, relay_time(r));
    while (r->reloading) {
        bool worked = control_turn(c, relay_time(r));
        (void)(control_work(c) || worked);
    }
    return true;
}

void relay_set_routes(struct relay *r, uint32_t removed)
{
    r->removed = removed;
    trace_event(0x44, removed, 0);
    trace_say("configuration: without routes %" PRIx32, removed);
    if (r->control.up) {
        (void)relay_run(r, RELAY_CONTROL, reload);
    }
}

/* --- a control that does not listen ---------------------------------------------------------- */

void relay_deafen(struct relay *r, uint64_t until_ns, bool paused)
{
    struct abi_attach *region = r->dataplane.up ? writer_attached(r->dataplane.writer) : NULL;
    if (region != NULL) {
        clogged = (const struct ring *)((const uint8_t *)region + abi_up_offset());
    }
    r->deaf_until_ns = until_ns;
    r->starved = rng_percent(&r->rng, 30);
    r->paused_until_ns = paused ? until_ns : 0;
    trace_event(0x45, until_ns, paused);
    trace_say("control: %s, its ring is full, until %.3f s", paused ? "sleeps" : "is slow",
              (double)until_ns / 1e9);
}

void relay_listen(struct relay *r)
{
    if (r->deaf_until_ns != 0 && trace.now_ns >= r->deaf_until_ns) {
        clogged = NULL;
        r->deaf_until_ns = r->paused_until_ns = 0;
        r->heard_ns = trace.now_ns + (r->starved ? 5 : 1) * UINT64_C(1000000000);
        trace_say("control: its ring is free again");
    }
}

/* --- a delivery that makes the dataplane fault ----------------------------------------------- */

/* True when the worker will next take that delivery from its ring. */
static bool curse_is_next(struct relay *r)
{
    const struct abi_attach *region = worker_attached(r->dataplane.worker);
    if (region == NULL || r->curse.percent == 0) {
        return false;
    }
    const struct ring *ring = (const struct ring *)((const uint8_t *)region + abi_down_offset(0));
    uint32_t tail = atomic_load(&ring->tail);
    for (uint32_t i = atomic_load(&ring->head); i != tail; i++) {
        struct abi_down down;
        memcpy(&down, ring->slot[i & (LIMIT_RING_DOWN_SLOTS - 1)].data, sizeof down);
        if (down.type != ABI_DOWN_DELIVER) {
            continue;
        }
        if (r->curse.id == 0 && rng_percent(&r->rng, r->curse.percent)) {
            r->curse.id = down.deliver.id;
        }
        if (down.deliver.id == r->curse.id) {
            return true;
        }
    }
    return false;
}

bool relay_curse(struct relay *r)
{
    char id[ID_TEXT_SIZE];
    if (!curse_is_next(r)) {
        return false;
    }
    r->curse.strikes++;
    trace_say("dataplane: faults over delivery %s", id_format(r->curse.id, id));
    if (r->curse.budget == 0) {
        trace_break(BREACH_HELD, "delivery %s brought the dataplane down twice and is tried again",
                    id_format(r->curse.id, id));
    } else {
        r->curse.budget--;
    }
    r->curse.fault_id = r->curse.id; /* the fault handler's file, synced */
    relay_strike(r, RELAY_CRASH_DATAPLANE);
    return true;
}

int relay_record_fault(struct relay *r)
{
    if (r->curse.fault_id == 0) {
        return 0;
    }
    struct spool_submit s = {.kind = SPOOL_SUBMIT_STATE};
    s.state.id = r->curse.fault_id;
    s.state.kind = ABI_STATE_FAULT;
    s.state.outcome = OUTCOME_SUSPECT;
    s.state.time_ms = relay_time(r).wall_ms;
    spool_writer_submit(r->dataplane.spool, &s);
    for (int i = 0; i < 1000; i++) {
        if (spool_writer_turn(r->dataplane.spool, true) != NULL) {
            r->curse.fault_id = s.result == SPOOL_RESULT_OK ? 0 : r->curse.fault_id;
            r->curse.recorded += s.result == SPOOL_RESULT_OK;
            return s.result == SPOOL_RESULT_OK ? 0 : -EIO;
        }
    }
    return -ENOSPC;
}
