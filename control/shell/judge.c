/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/judge.c: reads envelopes for the rules, of deliveries whose COMMIT came without
 * one: the envelope ring was full, or no rule asked for envelopes then and one does now.
 *
 * Promise: a delivery that the rules have not judged is not sent. One whose envelope cannot be read
 *          counts as matched. Such mail waits for no operator's list: it is read in another lane.
 */
#include "control/core/feed.h"
#include "control/core/mem.h"
#include "control/shell/look.h"
#include "control/shell/parts.h"

#include <errno.h>
#include <string.h>

enum { BATCH = 64, BATCHES_MAX = 4 };

#define AGAIN_NS UINT64_C(500000000) /* after a read failed */

struct batch {
    struct work work;
    size_t count;
    struct {
        struct feed_ask ask;
        bool unknown; /* the read failed: asked again */
        uint8_t *encoded;
        size_t len;
    } item[BATCH];
};

static void batch_run(struct work *work, struct work_tools *tools)
{
    struct batch *batch = (struct batch *)work;
    for (size_t i = 0; i < batch->count; i++) {
        struct bytes encoded;
        int r = look_envelope(tools, batch->item[i].ask.id, batch->item[i].ask.first_pos, &encoded);
        batch->item[i].unknown = r < 0 && r != -EBADMSG;
        if (r == 0 && encoded.len > 0) {
            batch->item[i].encoded = mem_zalloc(encoded.len);
            batch->item[i].len = encoded.len;
            memcpy(batch->item[i].encoded, encoded.data, encoded.len);
        }
    }
}

static bool batch_done(struct work *work, struct control *c)
{
    struct batch *batch = (struct batch *)work;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->item[i].unknown) {
            feed_envelope_again(&c->core, batch->item[i].ask.id);
            c->judging.again_ns = c->core.now.now_ns + AGAIN_NS;
        } else {
            feed_envelope(&c->core, batch->item[i].ask.id,
                          bytes_of(batch->item[i].encoded, batch->item[i].len));
        }
        mem_free(batch->item[i].encoded);
    }
    c->judging.under_way--;
    mem_free(batch);
    return true;
}

static void batch_drop(struct work *work)
{
    struct batch *batch = (struct batch *)work;
    for (size_t i = 0; i < batch->count; i++) {
        mem_free(batch->item[i].encoded);
    }
    mem_free(batch);
}

static bool is_waiting(const struct control *c)
{
    return c->judging.under_way < BATCHES_MAX && !list_is_empty(&c->core.schedule.unjudged);
}

bool judge_turn(struct control *c)
{
    if (!is_waiting(c) || c->core.now.now_ns < c->judging.again_ns) {
        return false;
    }
    struct feed_ask ask[BATCH];
    struct batch *batch = mem_zalloc(sizeof *batch);
    batch->work =
        (struct work){.lane = WORK_LOGS, .run = batch_run, .done = batch_done, .drop = batch_drop};
    batch->count = feed_take_unjudged(&c->core, ask, BATCH);
    for (size_t i = 0; i < batch->count; i++) {
        batch->item[i].ask = ask[i];
    }
    assert(batch->count > 0);
    c->judging.under_way++;
    works_submit(&c->works, &batch->work);
    return true;
}

uint64_t judge_next_ns(const struct control *c)
{
    return is_waiting(c) ? c->judging.again_ns : UINT64_MAX;
}
