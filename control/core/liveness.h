/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/liveness.h: which segments of the message log still hold mail that control needs.
 *
 * A message is live while one of its deliveries is; it keeps every segment between its first and
 * its last record. A sealed segment without live messages is offered to the writer, which decides
 * with its own count (open transactions, running reads) and answers ABI_UP_RECYCLED when it did.
 *
 * A segment in which something is damaged is pinned: what cannot be read may be mail, so it is kept
 * for a person, for ever.
 *
 * Promise: a segment with a live message, or a pinned one, is never offered.
 * Trap:    control does not know of mail that it has not read yet: an offer says how far it has
 *          read.
 */
#ifndef HOLDFAST_CONTROL_CORE_LIVENESS_H
#define HOLDFAST_CONTROL_CORE_LIVENESS_H

#include "common/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct liveness_segment {
    uint64_t seq;
    uint64_t live;       /* messages */
    bool exists;         /* listed, or holds a commit that we saw: may be offered */
    bool pinned;         /* holds damage: never offered */
    uint64_t offered_ns; /* 0: not offered on this attach */
};

struct liveness {
    struct liveness_segment *segment; /* ascending by seq */
    size_t count;
    size_t capacity;
    uint64_t newest_seq; /* of the newest position known: this one and later are open */
    bool dirty;          /* there may be something to offer */
};

void liveness_fini(struct liveness *live);
/* Forgets what exists and what was offered (a new attach lists anew); live counts stay. */
void liveness_restart(struct liveness *live);
void liveness_message_add(struct liveness *live, uint64_t first_pos, uint64_t last_pos);
void liveness_message_remove(struct liveness *live, uint64_t first_pos, uint64_t last_pos);
/* false: it was pinned before. */
bool liveness_pin(struct liveness *live, uint64_t seq);
/* How many segments are kept because of damage. */
size_t liveness_pinned_count(const struct liveness *live);
/* The log reaches `pos` now: every segment before its own is sealed. */
void liveness_advance(struct liveness *live, uint64_t pos);
void liveness_segment_exists(struct liveness *live, uint64_t seq);
/* The writer took it. false when it holds live mail or damage: a contradiction worth an alarm. */
must_check bool liveness_segment_recycled(struct liveness *live, uint64_t seq);
/* The next segment to offer, at most once in `again_ns` each. false: none now. */
must_check bool liveness_offer(struct liveness *live, uint64_t now_ns, uint64_t again_ns,
                               uint64_t *seq_out);

#endif
