/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/hop_bed.h: a lane (tests/unit/dataplane/lane.h) with mail in its spool, and next hops
 * that answer as they should when they are told to.
 *
 * Promise: the same calls do the same again. What comes to a hop up to its dot is a message of the
 *          spool, byte for byte behind our Received field, or the bed asserts.
 */
#ifndef HOLDFAST_TESTS_FUZZ_HOP_BED_H
#define HOLDFAST_TESTS_FUZZ_HOP_BED_H

#include "tests/unit/dataplane/lane.h"

enum {
    /* One record and one recipient; one record and two routes, the first with two recipients; some
     * records, so that they are read one by one. */
    HOP_BED_MAILS = 3,
    HOP_BED_RCPTS_MAX = 2,
};

struct hop_bed {
    struct abi_up commit[HOP_BED_MAILS];
    uint32_t crc[HOP_BED_MAILS]; /* of what the client sent as each body */
    struct hop_bed_talk {
        bool greeted;
        bool in_body;
        bool dot;     /* the dot of a message has come */
        bool said;    /* something was said to it after that */
        size_t bytes; /* of the body so far */
        uint32_t crc; /* of its lines behind our Received field */
    } talk[LANE_PEERS];
    uint32_t taken; /* messages that honest hops took */
};

void hop_bed_init(struct hop_bed *bed);
void hop_bed_fini(struct hop_bed *bed);
/* Reads what the relay said to its hops, and notes it. With `honest`, what it waits for is
 * answered. */
void hop_bed_hear(struct hop_bed *bed, bool honest);
/* Time passes, with honest hops. */
void hop_bed_play(struct hop_bed *bed, uint64_t ms);
/* Honest hops until nothing is under way any more, within half an hour of the relay's. */
void hop_bed_settle(struct hop_bed *bed);
/* Bytes to the relay, as far as there is room. */
void hop_bed_say(struct hop_bed *bed, uint32_t peer, struct bytes bytes);

#endif
