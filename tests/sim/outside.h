/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/outside.h: SMTP clients outside, on one host. They send a plan of messages to the
 * relay, in every way that RFC 5321, 2920 and 3030 allow, and in some that they do not.
 *
 * Promise: a message counts as accepted only when its end of data was answered 250. Whatever was
 *          not accepted is sent again as a new message with a new id, until the plan is done.
 * Trap:    it uses no code of dataplane/smtp, so that a mistake there is not repeated here.
 */
#ifndef HOLDFAST_TESTS_SIM_OUTSIDE_H
#define HOLDFAST_TESTS_SIM_OUTSIDE_H

#include "common/ip.h"
#include "tests/sim/mail.h"
#include "tests/sim/node.h"

#include <stdbool.h>
#include <stdint.h>

struct outside_plan {
    uint32_t message_count;
    uint32_t sessions_max;       /* at a time */
    uint64_t session_gap_ns_max; /* between the beginnings of two sessions */
    uint32_t abandon_percent;    /* messages that are given up half-way on purpose */
    uint32_t slow_percent;       /* sessions that send a little at a time, with pauses */
};

struct outside;

struct outside *outside_create(struct node *node, struct mail_ledger *ledger, struct rng *rng,
                               const struct ip_endpoint *relay, const struct outside_plan *plan);
/* From now on: no message is given up, no session is slow. */
void outside_heal(struct outside *outside);
/* Every message of the plan was accepted, and no session is open. */
bool outside_is_done(const struct outside *outside);
/* Adds so many messages to the plan. */
void outside_add(struct outside *outside, uint32_t message_count);
uint32_t outside_left(const struct outside *outside);

#endif
