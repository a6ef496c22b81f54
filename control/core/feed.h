/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/feed.h: how the shell hands in what the core wished for, or what it found by itself
 * in files: facts of the logs, lists, envelopes.
 *
 * Promise: facts are checked here as those of the ring are: nothing a disk says decides an
 *          assertion.
 */
#ifndef HOLDFAST_CONTROL_CORE_FEED_H
#define HOLDFAST_CONTROL_CORE_FEED_H

#include "control/core/apply.h"

#include "common/limits/message.h"

/* Could that be a delivery? Its positions are in order, and no further apart than the largest
 * message may be. Its recipients and its index are within their limits. */
must_check bool feed_is_message(const struct life_facts *fact);

/* The deliveries of a message, as its envelope says. `message`: what they have in common.
 * Returns how many. */
struct feed_facts {
    struct life_facts fact[LIMIT_ROUTES_PER_MESSAGE];
};
size_t feed_facts(const struct life_facts *message, const struct envelope *envelope,
                  struct feed_facts *out);

/* A record of the message log was read, and all of its deliveries are applied or need not be. */
void feed_message_seen(struct core *core, uint64_t pos);
/* A record of the state log, as its fields are on disk. false: this program does not know it. */
must_check bool feed_state(struct core *core, const struct state_fact *fact);
/* A place that should be good is damaged. Returns true when that was not known before. */
bool feed_damage(struct core *core, bool messages, uint64_t pos);
/* Segment `seq` holds damage: it is kept for a person. */
void feed_pin(struct core *core, uint64_t seq);
/* A log is read in order, and all below `pos` is applied. */
void feed_floor(struct core *core, bool messages, uint64_t pos);

/* A segment that there is (wishes.segments). */
void feed_segment(struct core *core, uint64_t seq);

/* Deliveries whose envelope the rules have to see: fills at most `max`, marks them asked for.
 * Returns how many. */
struct feed_ask {
    uint64_t id;
    uint64_t first_pos;
};
size_t feed_take_unjudged(struct core *core, struct feed_ask *out, size_t max);
/* The envelope, as it is encoded; empty: it cannot be read. */
void feed_envelope(struct core *core, uint64_t id, struct bytes encoded);
/* The envelope of mail that could not be read (life_is_unreadable) was read again; empty: it still
 * cannot be read. true: its true deliveries are there now, frozen. false as well while one of them
 * is under way. */
bool feed_restored(struct core *core, uint64_t id, struct bytes encoded);
/* The envelope could not be read from the disk just now: it is asked for again later. */
void feed_envelope_again(struct core *core, uint64_t id);

#endif
