/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/down.c: what goes down to the workers besides deliveries: fences, state commands,
 * offers of segments. / */
#include "control/core/core.h"

#include <string.h>

enum { OFFERS_PER_TURN = 64 }; /* a burst of emptied segments must not fill the ring */

bool down_put(struct control *c, uint32_t worker, const struct abi_down *down)
{
    assert(c->attach.phase >= ATTACH_INFLIGHT && worker < c->attach.worker_count);
    return ring_put(&c->attach.down[worker], down);
}

uint32_t fence_all_workers(const struct control *c)
{
    assert(c->attach.worker_count <= LIMIT_WORKERS && LIMIT_WORKERS < 32);
    return (1u << c->attach.worker_count) - 1;
}

static bool send_fences(struct control *c)
{
    bool worked = false;
    for (struct list *l = c->fences.next; l != &c->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        for (uint32_t w = 0; w < c->attach.worker_count; w++) {
            struct abi_down down = {.type = ABI_DOWN_FENCE, .fence = {.token = fence->token}};
            if ((fence->unsent >> w & 1) != 0 && down_put(c, w, &down)) {
                fence->unsent &= ~(1u << w);
                worked = true;
            }
        }
    }
    return worked;
}

static bool send_offers(struct control *c)
{
    if (c->now.now_ns >= c->recycle_due_ns) {
        c->liveness.dirty = true; /* what the writer did not take yet is offered again */
        c->recycle_due_ns = c->now.now_ns + CONTROL_RECYCLE_AGAIN_NS;
    }
    uint64_t seq;
    int sent = 0;
    while (sent < OFFERS_PER_TURN && ring_free(&c->attach.down[0]) > LIMIT_DELIVERS_IN_FLIGHT &&
           liveness_offer(&c->liveness, c->now.now_ns, CONTROL_RECYCLE_AGAIN_NS, &seq)) {
        struct abi_down down = {.type = ABI_DOWN_RECYCLE,
                                .recycle = {.seq = seq, .seen_pos = seen_top(&c->messages)}};
        bool put = down_put(c, 0, &down);
        assert(put); /* there was room a line before */
        sent++;
    }
    return sent > 0;
}

static bool send_state_recycle(struct control *c)
{
    struct abi_down down = {.type = ABI_DOWN_STATE_RECYCLE,
                            .recycle = {.seq = c->checkpoint.recycle_seq}};
    if (c->checkpoint.recycle_seq == 0 || !down_put(c, 0, &down)) {
        return false;
    }
    c->checkpoint.recycle_seq = 0;
    return true;
}

bool down_turn(struct control *c)
{
    if (c->attach.phase == ATTACH_INFLIGHT) {
        /* A full state log keeps the end of the set in flight from coming: this makes room. */
        return send_state_recycle(c);
    }
    if (c->attach.phase != ATTACH_RUNNING) {
        return false;
    }
    bool worked = send_fences(c);
    worked = pending_turn(c) || worked;
    worked = send_offers(c) || worked;
    return send_state_recycle(c) || worked;
}

static int note_segment(void *ctx, uint64_t seq)
{
    struct control *c = ctx;
    liveness_segment_exists(&c->liveness, seq);
    return 0;
}

void down_list_segments(struct control *c)
{
    struct spool_reader *reader;
    int r = spool_reader_open(c->io, &reader);
    if (r == 0) {
        liveness_restart(&c->liveness);
        r = spool_list_segments(reader, note_segment, c);
        spool_reader_close(reader);
    }
    if (r < 0) {
        control_say(c, 3, "cannot list the segments of the spool: %s", strerror(-r));
    }
}
