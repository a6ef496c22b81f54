/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/wishes.h: what the core wants from the shell. The shell looks after each turn, does
 * it beside the loop, and answers by the calls in feed.h.
 *
 * Trap: a wish stays until it is answered or taken back; the shell remembers what is under way. */
#ifndef HOLDFAST_CONTROL_CORE_WISHES_H
#define HOLDFAST_CONTROL_CORE_WISHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wishes {
    struct {
        bool wanted;
        uint64_t ticket; /* of the attach */
        uint64_t message_to;
        uint64_t state_to;
    } logs;               /* read both logs up to these positions */
    bool segments;        /* list the segments of the message log */
    uint64_t *done_reply; /* state positions whose reply nobody needs any more */
    size_t done_reply_count;
    size_t done_reply_capacity;
};

#endif
