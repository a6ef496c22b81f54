/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/index.h: the deliveries in memory: found by id, listed by route, summed by state. */
#ifndef HOLDFAST_CONTROL_CORE_INDEX_H
#define HOLDFAST_CONTROL_CORE_INDEX_H

#include "control/core/core.h"

struct delivery *index_find(const struct control *c, uint64_t id);
/* A new delivery, all of its recipients waiting, lifted: settle it. The id must be new. */
struct delivery *index_add(struct control *c, uint64_t id, uint64_t first_pos, uint64_t commit_pos,
                           uint32_t route_id, unsigned rcpt_count);
void index_fini(struct control *c);
/* Some delivery of that message is in the index. */
bool index_has_message(const struct control *c, uint64_t id);
/* No delivery of that message is known at another place: a message has one. */
bool index_agrees(const struct control *c, uint64_t id, uint64_t first_pos, uint64_t commit_pos);

/* Takes it out of queues and sums, before a change. */
void delivery_lift(struct control *c, struct delivery *d);
/* Puts it where it belongs now; removes it (and frees it) when it is complete. */
void delivery_settle(struct control *c, struct delivery *d);
void delivery_set_rcpt(struct delivery *d, unsigned i, enum rcpt_state state);
struct rcptset delivery_rcpts(const struct delivery *d, enum rcpt_state state);
/* The class shown for the whole: of its first frozen, else first waiting, recipient. */
enum outcome delivery_class(const struct delivery *d, unsigned *rcpt_out);

#endif
