/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/rng.h: the simulator's only source of chance: xoshiro256** (Blackman and Vigna 2018),
 * one stream for each part, so that one more draw in a part changes nothing in another.
 *
 * Promise: the same seed and stream give the same numbers for ever.
 * Trap:    a stream belongs to one part; two parts that share one are coupled.
 */
#ifndef HOLDFAST_TESTS_SIM_RNG_H
#define HOLDFAST_TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rng_stream {
    RNG_SCENARIO,
    RNG_WIRE,
    RNG_DISK,
    RNG_CLIENTS,
    RNG_MAIL,
    RNG_HOPS,
    RNG_CRASHES,
    RNG_KEYS,
    RNG_FEATURES,
    RNG_OPERATOR,
};

struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *rng, uint64_t seed, enum rng_stream stream);
uint64_t rng_u64(struct rng *rng);
/* 0 .. n-1; n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);
/* lo .. hi, both included. */
uint64_t rng_range(struct rng *rng, uint64_t lo, uint64_t hi);
/* True in `ppm` of a million cases. */
bool rng_ppm(struct rng *rng, uint32_t ppm);
/* True in `percent` of a hundred cases. */
bool rng_percent(struct rng *rng, uint32_t percent);
/* lo .. hi, with about the same chance for every order of magnitude: for durations and sizes. lo >
 * 0. */
uint64_t rng_spread(struct rng *rng, uint64_t lo, uint64_t hi);
void rng_bytes(struct rng *rng, void *out, size_t len);

#endif
