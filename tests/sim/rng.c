/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/rng.c: seeded chance. See rng.h. */
#include "tests/sim/rng.h"

#include "common/assert.h"

#include <string.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

void rng_init(struct rng *rng, uint64_t seed, enum rng_stream stream)
{
    uint64_t state = seed * UINT64_C(0x2545f4914f6cdd1d) + (uint64_t)stream + 1;
    for (int i = 0; i < 4; i++) {
        rng->s[i] = splitmix(&state);
    }
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
    assert(n > 0);
    return rng_u64(rng) % n; /* the bias is far below anything seen in a run */
}

uint64_t rng_range(struct rng *rng, uint64_t lo, uint64_t hi)
{
    assert(lo <= hi);
    return lo + rng_below(rng, hi - lo + 1);
}

bool rng_ppm(struct rng *rng, uint32_t ppm)
{
    return rng_below(rng, 1000000) < ppm;
}

bool rng_percent(struct rng *rng, uint32_t percent)
{
    return rng_below(rng, 100) < percent;
}

uint64_t rng_spread(struct rng *rng, uint64_t lo, uint64_t hi)
{
    assert(lo > 0 && lo <= hi);
    unsigned doublings = 0;
    while (lo << (doublings + 1) <= hi && doublings < 62) {
        doublings++;
    }
    uint64_t from = lo << rng_below(rng, doublings + 1u);
    uint64_t to = from * 2 < hi ? from * 2 : hi;
    return rng_range(rng, from, to);
}

void rng_bytes(struct rng *rng, void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        uint64_t word = rng_u64(rng);
        size_t n = len < sizeof word ? len : sizeof word;
        memcpy(at, &word, n);
        at += n;
        len -= n;
    }
}
