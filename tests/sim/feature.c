/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/feature.c: see feature.h. */
#include "tests/sim/feature.h"

#include "tests/sim/rng.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t percent; /* of the seeds */
} table[] = {
    {"volume", 40}, {"hold", 30}, {"release", 40}, {"fault", 25},  {"loop", 25},
    {"rot", 20},    {"deaf", 25}, {"clock", 25},   {"reload", 30},
};

enum { COUNT = sizeof table / sizeof table[0] };
_Static_assert(FEATURE_ALL == (1 << COUNT) - 1, "each feature has a name");

bool feature_parse(const char *list, uint32_t *features_out)
{
    uint32_t features = 0;
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        uint32_t found = len == 3 && strncmp(list, "all", len) == 0 ? FEATURE_ALL : 0;
        bool known = found != 0 || (len == 4 && strncmp(list, "none", len) == 0);
        for (uint32_t i = 0; i < COUNT && !known; i++) {
            known = strlen(table[i].name) == len && strncmp(list, table[i].name, len) == 0;
            found = known ? 1u << i : 0;
        }
        if (!known) {
            return false;
        }
        features |= found;
        list += len + (list[len] == ',');
    }
    *features_out = features;
    return true;
}

uint32_t feature_draw(uint64_t seed, uint32_t allowed, uint32_t forced)
{
    struct rng rng;
    uint32_t features = 0;
    rng_init(&rng, seed, RNG_FEATURES);
    bool plain = rng_percent(&rng, 20);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (rng_percent(&rng, table[i].percent) && !plain) {
            features |= 1u << i;
        }
    }
    return (features & allowed) | forced;
}

const char *feature_text(uint32_t features)
{
    static char text[160];
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < COUNT; i++) {
        if ((features >> i & 1) != 0) {
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len > 0 ? "," : "",
                                    table[i].name);
        }
    }
    return len > 0 ? text : "none";
}
