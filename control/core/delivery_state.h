/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/delivery_state.h: where a delivery stands, as the operator says it. */
#ifndef HOLDFAST_CONTROL_CORE_DELIVERY_STATE_H
#define HOLDFAST_CONTROL_CORE_DELIVERY_STATE_H

enum delivery_state {
    DELIVERY_WAITING,
    DELIVERY_IN_FLIGHT,
    DELIVERY_FROZEN,
    DELIVERY_HELD,
    DELIVERY_ORPHAN,
    DELIVERY_STATE_COUNT,
};

const char *delivery_state_text(enum delivery_state state);

#endif
