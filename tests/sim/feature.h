/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/feature.h: the kinds of life a seed may have besides traffic, crashes, bad hops. Each
 * seed draws some of them; `sim --features` says which it may draw, `--force` which it must.
 *
 * Trap: a person types these names to repeat a seed. The same seed with other features is another
 *       run.
 */
#ifndef HOLDFAST_TESTS_SIM_FEATURE_H
#define HOLDFAST_TESTS_SIM_FEATURE_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

enum feature {
    FEATURE_VOLUME = 1 << 0,  /* long messages, sent slowly, over few segments */
    FEATURE_HOLD = 1 << 1,    /* an operator holds mail and ends the hold */
    FEATURE_RELEASE = 1 << 2, /* an operator releases frozen mail while processes crash */
    FEATURE_FAULT = 1 << 3,   /* a delivery that makes the dataplane crash each time */
    FEATURE_LOOP = 1 << 4,    /* mail with too many Received fields */
    FEATURE_ROT = 1 << 5,     /* bits of a durable record flip, or another write hits it */
    FEATURE_DEAF = 1 << 6,    /* control sleeps, its ring is full */
    FEATURE_CLOCK = 1 << 7,   /* the wall clock jumps by hours */
    FEATURE_RELOAD = 1 << 8,  /* a route goes and comes back */
    FEATURE_ALL = (1 << 9) - 1,
    /* All but those that show a known fault which is not mended yet. There is none now. */
    FEATURE_DEFAULT = FEATURE_ALL,
};

/* Reads a list ("hold,release", "all", "none"). false: no such name. */
must_check bool feature_parse(const char *list, uint32_t *features_out);
/* The features of the seed. */
uint32_t feature_draw(uint64_t seed, uint32_t allowed, uint32_t forced);
/* Their names, to be printed; valid until the next call. */
const char *feature_text(uint32_t features);

#endif
