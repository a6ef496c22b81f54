/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/delivery_state.c: see delivery_state.h. */
#include "control/core/delivery_state.h"

#include "common/assert.h"

#include <stdbool.h>

const char *delivery_state_text(enum delivery_state state)
{
    switch (state) {
    case DELIVERY_WAITING:
        return "waiting";
    case DELIVERY_IN_FLIGHT:
        return "in_flight";
    case DELIVERY_FROZEN:
        return "frozen";
    case DELIVERY_HELD:
        return "held";
    case DELIVERY_ORPHAN:
        return "orphan";
    case DELIVERY_STATE_COUNT:
        break;
    }
    assert(false);
    return "";
}
