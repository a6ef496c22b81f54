/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/scenario.c: how bad a seed's world is, and what happens next in it. See world.h.
 *
 * Trap: a scenario must have times in which something works, or nothing is in flight at the next
 *       crash. So moods change often, and about one in four is a good one.
 */
#include "tests/sim/world.h"

#include "tests/sim/trace.h"

#include <inttypes.h>

static const uint64_t ms = 1000000;

static void random_weather(struct world *w)
{
    struct rng *rng = &w->rng;
    struct wire_faults *wire = wire_faults(w->wire);
    *wire = (struct wire_faults){.delay_min_ns = rng_spread(rng, 10000, ms),
                                 .no_frame_ppm = rng_percent(rng, 20) ? 2000 : 0};
    wire->delay_max_ns = wire->delay_min_ns * rng_range(rng, 1, 8);
    if (!w->calm_wire && rng_percent(rng, 60)) {
        uint32_t worst = rng_percent(rng, 20) ? 150000 : 20000;
        wire->loss_ppm = (uint32_t)rng_below(rng, worst);
        wire->duplicate_ppm = (uint32_t)rng_below(rng, worst);
        wire->reorder_ppm = (uint32_t)rng_below(rng, worst);
        wire->corrupt_ppm = (uint32_t)rng_below(rng, worst);
    }
    struct simdisk_faults *disk = simdisk_faults(w->disk);
    *disk = (struct simdisk_faults){.latency_min_ns = rng_spread(rng, 10000, 2 * ms)};
    disk->latency_max_ns = disk->latency_min_ns * rng_range(rng, 1, 20);
    disk->stall_ppm = rng_percent(rng, 30) ? 5000 : 0;
    disk->stall_ns = rng_spread(rng, 10 * ms, 3000 * ms);
    if (w->disk_errors && rng_percent(rng, 50)) {
        disk->write_eio_ppm = rng_percent(rng, 50) ? 2000 : 0;
        disk->sync_eio_ppm = rng_percent(rng, 50) ? 2000 : 0;
        disk->no_space = rng_percent(rng, 30);
    }
    trace_say("weather: delay %" PRIu64 "-%" PRIu64 " us, loss %" PRIu32 " dup %" PRIu32
              " reorder %" PRIu32 " corrupt %" PRIu32 " ppm; disk %" PRIu64 "-%" PRIu64 " us%s%s",
              wire->delay_min_ns / 1000, wire->delay_max_ns / 1000, wire->loss_ppm,
              wire->duplicate_ppm, wire->reorder_ppm, wire->corrupt_ppm,
              disk->latency_min_ns / 1000, disk->latency_max_ns / 1000,
              disk->write_eio_ppm + disk->sync_eio_ppm > 0 ? ", EIO" : "",
              disk->no_space ? ", no space" : "");
}

void scenario_plan(struct world *w)
{
    struct rng *rng = &w->rng;
    w->trouble_end_ns = rng_spread(rng, 5000 * ms, 200000 * ms);
    w->mood_ns_max = rng_spread(rng, 1000 * ms, 60000 * ms);
    w->calm_wire = rng_percent(rng, 40);
    w->disk_errors = rng_percent(rng, 15);
    w->crashes_left = rng_percent(rng, 20) ? 0 : (uint32_t)rng_spread(rng, 1, 24);
    w->next_crash_ns = rng_below(rng, w->trouble_end_ns / 2);
    w->crash_gap_ns_max = 100 * ms + w->trouble_end_ns / (w->crashes_left + 1);
    w->next_mood_ns = rng_below(rng, w->mood_ns_max);
    random_weather(w);
    w->next_weather_ns = rng_spread(rng, 500 * ms, 60000 * ms);
    trace_say("scenario: trouble until %.1f s, %" PRIu32 " crashes%s%s",
              (double)w->trouble_end_ns / 1e9, w->crashes_left, w->calm_wire ? ", calm wire" : "",
              w->disk_errors ? ", disk errors" : "");
}

static void next_mood(struct world *w)
{
    struct hop_mood mood = hop_mood_random(&w->rng);
    hop_set_mood(w->hop[rng_below(&w->rng, w->campus.hop_count)], &mood);
    w->next_mood_ns = trace.now_ns + rng_spread(&w->rng, 200 * ms, w->mood_ns_max);
}

static void next_crash(struct world *w)
{
    struct rng *rng = &w->rng;
    w->next_crash_ns = trace.now_ns + rng_spread(rng, 10 * ms, w->crash_gap_ns_max);
    if (relay_is_armed(w->relay)) {
        return; /* the crash before has not happened yet */
    }
    enum relay_crash crash = (enum relay_crash)rng_range(rng, 1, RELAY_CRASH_COUNT - 1);
    bool by_op = rng_percent(rng, 60);
    relay_arm(w->relay, crash, by_op ? (uint32_t)rng_spread(rng, 1, 40) : 0,
              by_op ? 0 : (uint32_t)rng_spread(rng, 1, 500));
    w->crashes_left--;
}

void scenario_turn(struct world *w)
{
    if (w->healed) {
        return;
    }
    if (trace.now_ns >= w->trouble_end_ns) {
        scenario_heal(w);
        return;
    }
    if (trace.now_ns >= w->next_mood_ns) {
        next_mood(w);
    }
    if (trace.now_ns >= w->next_weather_ns) {
        random_weather(w);
        w->next_weather_ns = trace.now_ns + rng_spread(&w->rng, 500 * ms, 60000 * ms);
    }
    if (w->crashes_left > 0 && trace.now_ns >= w->next_crash_ns) {
        next_crash(w);
    }
}

uint64_t scenario_next_ns(const struct world *w)
{
    if (w->healed) {
        return UINT64_MAX;
    }
    uint64_t next = w->trouble_end_ns;
    next = w->next_mood_ns < next ? w->next_mood_ns : next;
    next = w->next_weather_ns < next ? w->next_weather_ns : next;
    if (w->crashes_left > 0 && w->next_crash_ns < next) {
        next = w->next_crash_ns;
    }
    return next;
}

void scenario_heal(struct world *w)
{
    trace_say("==== healed ====");
    trace_event(0x50, 0, 0);
    w->healed = true;
    *wire_faults(w->wire) = (struct wire_faults){.delay_min_ns = 50000, .delay_max_ns = 100000};
    *simdisk_faults(w->disk) =
        (struct simdisk_faults){.latency_min_ns = 20000, .latency_max_ns = 200000};
    relay_disarm(w->relay);
    operator_heal(w);
    for (uint32_t i = 0; i < w->campus.hop_count; i++) {
        hop_heal(w->hop[i]);
    }
    for (uint32_t i = 0; i < w->client_count; i++) {
        outside_heal(w->client[i]);
    }
}
