/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/world.c: making a world and moving it from instant to instant. See world.h.
 *
 * Time jumps to the next thing that is due. While a part has work, time goes on by microseconds,
 * about what a turn of a loop takes.
 */
#include "tests/sim/world.h"

#include "tests/sim/feature.h"
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    STEPS_MAX = 40 * 1000 * 1000,
    LAST_MESSAGES = 3,
    BREACHES_MAX = 50, /* the run ends after so many */
};

static const uint64_t second_ns = 1000000000;
/* Simulated time: far longer than the longest backoff, breaker time and TCP timeout together. */
static const uint64_t heal_seconds_max = 6 * 3600;
/* Longer than a restart, an attach, and the last answers of a hop take. */
static const uint64_t fire_seconds = 60;

static void make_clients(struct world *w)
{
    struct rng rng;
    rng_init(&rng, w->seed, RNG_CLIENTS);
    w->client_count = (uint32_t)rng_range(&rng, 1, WORLD_CLIENTS_MAX);
    for (uint32_t i = 0; i < w->client_count; i++) {
        struct node *node =
            node_create(w->wire, &rng, (uint8_t)(CAMPUS_CLIENT_OCTET + i), w->campus.mtu, 32);
        struct outside_plan plan = {
            .message_count = (uint32_t)rng_spread(&rng, 5, 200),
            .sessions_max = (uint32_t)rng_range(&rng, 1, 12),
            .abandon_percent = rng_percent(&rng, 50) ? 10 : 0,
            .slow_percent = rng_percent(&rng, 30) ? 20 : 0,
        };
        if ((w->campus.features & FEATURE_VOLUME) != 0) {
            plan.message_count = (uint32_t)rng_range(&rng, 40, 120);
            plan.sessions_max = 12;
            plan.slow_percent = 40;
        }
        /* Either many at once, or spread over the time of trouble. A session sends about two. */
        plan.session_gap_ns_max = rng_percent(&rng, 30)
                                      ? rng_spread(&rng, 10000000, 3 * second_ns)
                                      : 4 * w->trouble_end_ns / plan.message_count;
        struct ip_endpoint relay = {.addr = node_addr(CAMPUS_RELAY_OCTET),
                                    .port = CAMPUS_SMTP_PORT};
        struct rng own = rng;
        own.s[0] ^= rng_u64(&rng);
        w->client[i] = outside_create(node, w->ledger, &own, &relay, &plan);
        w->node[w->node_count++] = node;
    }
}

static void make_hops(struct world *w)
{
    struct rng rng;
    rng_init(&rng, w->seed, RNG_HOPS);
    for (uint32_t i = 0; i < w->campus.hop_count; i++) {
        struct node *node =
            node_create(w->wire, &rng, (uint8_t)(CAMPUS_HOP_OCTET + i), w->campus.mtu, 64);
        struct rng own = rng;
        own.s[0] ^= rng_u64(&rng);
        w->hop[i] =
            hop_create(node, w->ledger, &own, i, w->campus.hop_port[i], w->campus.hop_lmtp[i]);
        w->node[w->node_count++] = node;
    }
}

struct world *world_create(uint64_t seed, uint32_t allowed, uint32_t forced)
{
    struct world *w = calloc(1, sizeof *w);
    assert(w != NULL);
    w->seed = seed;
    rng_init(&w->rng, seed, RNG_SCENARIO);
    campus_make(&w->campus, &w->rng, feature_draw(seed, allowed, forced));
    uint32_t features = w->campus.features;
    w->disk = simdisk_create(seed, rng_percent(&w->rng, 50));
    w->wire = wire_create(seed);
    w->ledger = mail_ledger_create(seed);
    w->ledger->route_count = w->campus.route_count;
    for (uint32_t i = 0; i < w->campus.route_count; i++) {
        w->ledger->route_hops[i] = w->campus.route_hops[i];
    }
    w->ledger->large_percent = rng_percent(&w->rng, 50) ? 10 : 30;
    w->ledger->huge_percent = (features & FEATURE_VOLUME) != 0 ? 50 : 0;
    w->ledger->loop_percent = (features & FEATURE_LOOP) != 0 ? 4 : 0;
    w->ledger->dot_timeout_ns = w->campus.dot_timeout_ms * UINT64_C(1000000);
    scenario_plan(w);
    operator_plan(w);
    make_clients(w);
    make_hops(w);
    w->relay = relay_create(seed, &w->campus, w->disk, w->wire, w->ledger);
    w->relay->curse.percent = (features & FEATURE_FAULT) != 0 ? 5 : 0;
    w->relay->curse.budget = 2;
    return w;
}

static uint64_t next_ns(const struct world *w)
{
    uint64_t next = wire_next_ns(w->wire);
    uint64_t other = relay_next_ns(w->relay);
    next = other < next ? other : next;
    other = scenario_next_ns(w);
    next = other < next ? other : next;
    other = operator_next_ns(w);
    next = other < next ? other : next;
    for (uint32_t i = 0; i < w->node_count; i++) {
        other = node_next_ns(w->node[i]);
        next = other < next ? other : next;
    }
    return next;
}

bool world_step(struct world *w)
{
    if (++w->steps > STEPS_MAX || trace_breach_count() > BREACHES_MAX) {
        return false;
    }
    scenario_turn(w);
    operator_turn(w);
    wire_deliver(w->wire);
    for (uint32_t i = 0; i < w->node_count; i++) {
        if (node_next_ns(w->node[i]) <= trace.now_ns) {
            node_turn(w->node[i]);
        }
    }
    bool work = relay_turn(w->relay);
    uint64_t soon = trace.now_ns + rng_range(&w->rng, 1000, 20000);
    uint64_t next = next_ns(w);
    if (next == UINT64_MAX) {
        return false;
    }
    trace.now_ns = work || next < soon ? soon : next;
    return true;
}

/* Goes on until that time. */
static bool run_until(struct world *w, uint64_t until_ns)
{
    while (trace.now_ns < until_ns) {
        if (!world_step(w)) {
            trace_break(BREACH_OTHER, "no progress after %" PRIu64 " steps", w->steps);
            return false;
        }
    }
    return true;
}

/* Goes on until all mail has arrived, and releases what is frozen; for some hours at most. */
static bool run_to_rest(struct world *w)
{
    uint64_t end_ns = trace.now_ns + heal_seconds_max * second_ns;
    uint64_t wait_ns = second_ns;
    while (trace.now_ns < end_ns && !judge_is_over(w)) {
        if (!run_until(w, trace.now_ns + wait_ns)) {
            return false;
        }
        judge_presence(w);
        judge_release(w);
        wait_ns = wait_ns < 60 * second_ns ? wait_ns * 2 : wait_ns;
    }
    return true;
}

/* A release is answered, and then processes crash: it must be carried out all the same. */
static bool fire(struct world *w)
{
    if ((w->campus.features & FEATURE_RELEASE) == 0) {
        return true;
    }
    if (!run_until(w, trace.now_ns + fire_seconds * second_ns)) {
        return false;
    }
    if (!operator_release_under_fire(w)) {
        relay_disarm(w->relay);
        return true;
    }
    bool good = run_until(w, trace.now_ns + fire_seconds * second_ns);
    relay_disarm(w->relay);
    good = good && run_until(w, trace.now_ns + fire_seconds * second_ns);
    if (good && judge_knows_all(w)) {
        operator_check_released(w);
    }
    return good;
}

void world_run(struct world *w)
{
    while (!w->healed) {
        if (!run_until(w, trace.now_ns + second_ns)) {
            return;
        }
        judge_presence(w);
    }
    if (!fire(w) || !run_to_rest(w)) {
        return;
    }
    /* A segment is freed only when the log goes on: some more mail shows whether one leaks. */
    for (uint32_t i = 0; i < w->client_count; i++) {
        outside_add(w->client[i], LAST_MESSAGES);
    }
    /* Then come the things that follow the last outcome: recycling, checkpoints, idle
     * connections. */
    if (run_to_rest(w) && run_until(w, trace.now_ns + 60 * second_ns)) {
        judge_final(w);
    }
}
