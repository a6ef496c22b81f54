/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/feature.h: the kinds of life a seed may have besides traffic, crashes, bad hops. Each
 * seed draws some of them; `sim --features` says which it may draw, `--force` which it must.
 *
 * Trap: a name here is what a person types to repeat a seed: the same seed with other features is
 *       another story.
 */
#ifndef HOLDFAST_TESTS_SIM_FEATURE_H
#define HOLDFAST_TESTS_SIM_FEATURE_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

enum feature {
    FEATURE_VOLUME = 1 << 0,  /* long messages, sent slowly, over few segments */
    FEATURE_HOLD = 1 << 1,    /* an operator holds mail and lets it go */
    FEATURE_RELEASE = 1 << 2, /* and releases frozen mail while processes fall */
    FEATURE_FAULT = 1 << 3,   /* a delivery that brings the dataplane down each time */
    FEATURE_LOOP = 1 << 4,    /* mail with too many Received fields */
    FEATURE_ROT = 1 << 5,     /* bits of a durable record flip, or another write hits it */
    FEATURE_DEAF = 1 << 6,    /* control sleeps, its ring is full */
    FEATURE_CLOCK = 1 << 7,   /* the wall clock jumps by hours */
    FEATURE_RELOAD = 1 << 8,  /* a route goes and comes back */
    FEATURE_ALL = (1 << 9) - 1,
    /* Less what shows a fault of the product that is known and not mended yet: now nothing. */
    FEATURE_DEFAULT = FEATURE_ALL,
};

/* Those of the list ("hold,release", "all", "none"). False: no such name. */
must_check bool feature_parse(const char *list, uint32_t *features_out);
/* Those of the seed. */
uint32_t feature_draw(uint64_t seed, uint32_t allowed, uint32_t forced);
/* What is printed of them; valid until the next call. */
const char *feature_text(uint32_t features);

#endif
