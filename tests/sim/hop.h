/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/hop.h: a next hop: an SMTP or LMTP server on its own host, healthy or with troubles of
 * every kind.
 *
 * Promise: a message counts as taken when the hop has decided for 2xx, even if the answer never
 *          arrives. Every message that it read to its end is checked against the ledger.
 * Trap:    it uses no code of dataplane/smtp, so that a mistake there is not repeated here.
 */
#ifndef HOLDFAST_TESTS_SIM_HOP_H
#define HOLDFAST_TESTS_SIM_HOP_H

#include "tests/sim/mail.h"
#include "tests/sim/node.h"

#include <stdbool.h>
#include <stdint.h>

enum hop_stage {
    HOP_STAGE_BANNER,
    HOP_STAGE_EHLO,
    HOP_STAGE_MAIL,
    HOP_STAGE_RCPT,
    HOP_STAGE_DATA,
    HOP_STAGE_BODY,
    HOP_STAGE_DOT,
    HOP_STAGE_COUNT,
};

enum hop_trouble {
    HOP_TROUBLE_NONE,
    HOP_TROUBLE_4XX,
    HOP_TROUBLE_5XX,
    HOP_TROUBLE_CLOSE,   /* FIN without a reply */
    HOP_TROUBLE_RESET,   /* RST */
    HOP_TROUBLE_HANG,    /* says nothing more */
    HOP_TROUBLE_ENDLESS, /* a reply that never ends */
    HOP_TROUBLE_GARBAGE, /* not SMTP */
    HOP_TROUBLE_SLOW,    /* the right answer, late */
    HOP_TROUBLE_EXTRA,   /* a reply that nobody asked for, then the right answer */
    HOP_TROUBLE_COUNT,
};

/* How the hop behaves now: at `stage` (HOP_STAGE_COUNT: at any), `percent` of the answers are
 * trouble (HOP_TROUBLE_COUNT: of any kind). */
struct hop_mood {
    enum node_mood net;
    enum hop_stage stage;
    enum hop_trouble trouble;
    uint32_t percent;
};

struct hop;

struct hop *hop_create(struct node *node, struct mail_ledger *ledger, struct rng *rng,
                       uint32_t index, uint16_t port, bool lmtp);
void hop_set_mood(struct hop *hop, const struct hop_mood *mood);
/* From now on it works, for ever, and offers every extension. */
void hop_heal(struct hop *hop);
const char *hop_mood_text(const struct hop_mood *mood, char out[80]);
struct hop_mood hop_mood_random(struct rng *rng);

#endif
