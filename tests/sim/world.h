/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/world.h: the world of one seed: the relay, its campus, the outside, and the troubles.
 *
 *   trouble     clients send their plans; hops, wire, disk and both processes have their troubles
 *   healed      everything works again; clients finish, frozen mail is released
 *   judgement   every accepted message arrived, nothing is left behind, nothing was made up
 *
 * Promise: deterministic: the trace's hash is a function of the seed.
 * Trap:    one world in a process, since the trace is one.
 */
#ifndef HOLDFAST_TESTS_SIM_WORLD_H
#define HOLDFAST_TESTS_SIM_WORLD_H

#include "tests/sim/campus.h"
#include "tests/sim/hop.h"
#include "tests/sim/operator.h"
#include "tests/sim/outside.h"
#include "tests/sim/relay.h"

#include <stdbool.h>
#include <stdint.h>

enum { WORLD_CLIENTS_MAX = 2, WORLD_NODES_MAX = CAMPUS_HOPS_MAX + WORLD_CLIENTS_MAX };

struct world {
    uint64_t seed;
    struct rng rng; /* the scenario's */
    struct campus campus;
    struct simdisk *disk;
    struct wire *wire;
    struct mail_ledger *ledger;
    struct relay *relay;
    uint32_t client_count;
    struct outside *client[WORLD_CLIENTS_MAX];
    struct hop *hop[CAMPUS_HOPS_MAX];
    uint32_t node_count;
    struct node *node[WORLD_NODES_MAX];
    struct operator operator;
    uint64_t steps;

    /* what befalls them */
    uint64_t trouble_end_ns;
    uint64_t next_mood_ns;
    uint64_t mood_ns_max;
    uint64_t next_weather_ns; /* of wire and disk */
    uint64_t next_crash_ns;
    uint64_t crash_gap_ns_max;
    uint32_t crashes_left;
    bool calm_wire;
    bool disk_errors;
    bool healed;
};

/* `allowed`, `forced`: see feature_draw. */
struct world *world_create(uint64_t seed, uint32_t allowed, uint32_t forced);
/* scenario.c: chooses how bad it gets, and does the next thing. */
void scenario_plan(struct world *world);
void scenario_turn(struct world *world);
uint64_t scenario_next_ns(const struct world *world);
void scenario_heal(struct world *world);
/* world.c: goes to the next time at which some part has something to do. false: nothing moves any
 * more. */
bool world_step(struct world *world);
void world_run(struct world *world);
/* judge.c */
/* True when control is there and has taken all messages. */
bool judge_knows_all(struct world *world);
void judge_presence(struct world *world);
bool judge_is_over(struct world *world);
void judge_release(struct world *world);
void judge_final(struct world *world);

#endif
