/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/outbox.c: see outbox.h. Pure. */
#include "control/core/outbox.h"

#include "control/core/mem.h"
#include "common/limits/ring.h"

enum { OFFERS_PER_TURN = 64 }; /* a burst of emptied segments must not fill the ring */

#define OFFER_AGAIN_NS (5 * UINT64_C(1000000000))

void outbox_init(struct outbox *o)
{
    *o = (struct outbox){0};
    list_init(&o->unsent);
    list_init(&o->fences);
}

static void free_map(struct map *map)
{
    size_t at = 0;
    for (struct pending *p = map_next(map, &at); p != NULL; p = map_next(map, &at)) {
        mem_free(p);
    }
    map_fini(map);
}

static void free_fence(struct outbox *o, struct fence *fence)
{
    assert(o->fence_count > 0);
    list_remove(&fence->node);
    mem_free(fence);
    o->fence_count--;
}

void outbox_fini(struct outbox *o)
{
    free_map(&o->releases);
    free_map(&o->freezes);
    while (!list_is_empty(&o->fences)) {
        free_fence(o, list_entry(o->fences.next, struct fence, node));
    }
    assert(o->fence_count == 0);
}

/* --- state commands ------------------------------------------------------------------------- */

static const struct map *map_of(const struct outbox *o, enum abi_state_kind kind)
{
    assert(kind == ABI_STATE_RELEASE || kind == ABI_STATE_FREEZE);
    return kind == ABI_STATE_RELEASE ? &o->releases : &o->freezes;
}

struct pending *outbox_find(const struct outbox *o, uint64_t id, enum abi_state_kind kind)
{
    return map_find(map_of(o, kind), id);
}

void outbox_add(struct outbox *o, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                const struct rcptset *rcpts)
{
    assert(id != 0 && !rcptset_is_empty(rcpts));
    struct pending *p = outbox_find(o, id, kind);
    if (p != NULL) {
        assert(p->kind == kind && p->sent == list_is_empty(&p->node));
        rcptset_union(&p->rcpts, rcpts);
        return; /* if it is under way, what its record leaves over goes again */
    }
    p = mem_zalloc(sizeof *p);
    p->id = id;
    p->kind = (uint8_t)kind;
    p->outcome = (uint8_t)outcome;
    p->rcpts = *rcpts;
    map_put((struct map *)map_of(o, kind), id, p);
    assert(outbox_find(o, id, kind) == p && !p->sent);
    list_append(&o->unsent, &p->node);
    assert(outbox_next(o) != NULL || o->sent_count >= OUTBOX_OUTSTANDING);
}

void outbox_forget(struct outbox *o, struct pending *p)
{
    uint64_t id = p->id;
    struct map *map = (struct map *)map_of(o, (enum abi_state_kind)p->kind);
    void *was = map_remove(map, p->id);
    assert(was == p);
    if (p->sent) {
        assert(o->sent_count > 0);
        o->sent_count--;
    }
    list_remove(&p->node);
    mem_free(p);
    assert(map_find(map, id) == NULL);
}

bool outbox_done(struct outbox *o, uint64_t id, enum abi_state_kind kind,
                 const struct rcptset *rcpts)
{
    struct pending *p = outbox_find(o, id, kind);
    if (p == NULL) {
        return true;
    }
    rcptset_subtract(&p->rcpts, rcpts);
    if (rcptset_is_empty(&p->rcpts)) {
        outbox_forget(o, p);
        return true;
    }
    if (p->sent) {
        assert(o->sent_count > 0);
        p->sent = false;
        o->sent_count--;
        list_append(&o->unsent, &p->node);
    }
    assert(!p->sent && !list_is_empty(&p->node)); /* what is left goes again */
    return false;
}

struct pending *outbox_next(const struct outbox *o)
{
    if (o->sent_count >= OUTBOX_OUTSTANDING || list_is_empty(&o->unsent)) {
        return NULL;
    }
    struct pending *p = list_entry(o->unsent.next, struct pending, node);
    assert(!p->sent && !rcptset_is_empty(&p->rcpts));
    return p;
}

bool outbox_send(struct outbox *o, struct attach *attach, struct pending *p)
{
    assert(!p->sent && !rcptset_is_empty(&p->rcpts));
    struct abi_down down = {.type = ABI_DOWN_STATE,
                            .kind = p->kind,
                            .outcome = p->outcome,
                            .state = {.id = p->id, .rcpts = p->rcpts}};
    if (!attach_put(attach, 0, &down)) {
        return false;
    }
    p->sent = true;
    o->sent_count++;
    assert(o->sent_count <= OUTBOX_OUTSTANDING);
    list_remove(&p->node);
    return true;
}

static void resend(struct outbox *o, struct map *map)
{
    size_t at = 0;
    for (struct pending *p = map_next(map, &at); p != NULL; p = map_next(map, &at)) {
        if (p->sent) {
            p->sent = false;
            list_append(&o->unsent, &p->node);
        }
    }
}

void outbox_resend_all(struct outbox *o)
{
    resend(o, &o->releases);
    resend(o, &o->freezes);
    o->sent_count = 0;
    assert(list_is_empty(&o->unsent) == (o->releases.count + o->freezes.count == 0));
}

/* --- fences ---------------------------------------------------------------------------------- */

static struct fence *find_fence(const struct outbox *o, uint64_t token)
{
    for (struct list *l = o->fences.next; l != &o->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        assert(fence->token != 0 && fence->token <= o->fence_token);
        if (fence->token == token) {
            return fence;
        }
    }
    return NULL;
}

uint64_t outbox_fence(struct outbox *o, const struct attach *attach)
{
    struct fence *fence = mem_zalloc(sizeof *fence);
    fence->token = ++o->fence_token;
    fence->waiting = attach->phase == ATTACH_NONE ? 0 : attach_workers(attach);
    assert(fence->token != 0 && find_fence(o, fence->token) == NULL);
    fence->unsent = fence->waiting;
    list_append(&o->fences, &fence->node);
    o->fence_count++;
    assert(attach->phase == ATTACH_NONE || fence->waiting != 0);
    return fence->token;
}

bool outbox_fence_passed(struct outbox *o, const struct attach *attach, uint64_t token)
{
    struct fence *fence = find_fence(o, token);
    if (fence == NULL) {
        return true;
    }
    if (fence->waiting != 0 && attach->phase != ATTACH_NONE) {
        return false;
    }
    free_fence(o, fence);
    assert(find_fence(o, token) == NULL);
    return true;
}

void outbox_fence_answer(struct outbox *o, uint64_t token, uint32_t worker)
{
    struct fence *fence = find_fence(o, token);
    if (fence != NULL && worker < LIMIT_WORKERS) {
        fence->waiting &= ~(1u << worker);
    }
}

void outbox_fences_again(struct outbox *o, const struct attach *attach, bool fresh)
{
    assert(attach->phase != ATTACH_NONE);
    for (struct list *l = o->fences.next; l != &o->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        if (fresh) {
            fence->waiting = attach_workers(attach);
        }
        fence->unsent = fence->waiting; /* on a gap: its answers may be among the dropped */
        assert((fence->unsent & ~attach_workers(attach)) == 0);
    }
}

static bool send_fences(struct outbox *o, struct attach *attach)
{
    bool worked = false;
    assert(attach->phase == ATTACH_RUNNING);
    for (struct list *l = o->fences.next; l != &o->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        for (uint32_t w = 0; w < attach->worker_count; w++) {
            struct abi_down down = {.type = ABI_DOWN_FENCE, .fence = {.token = fence->token}};
            if ((fence->unsent >> w & 1) != 0 && attach_put(attach, w, &down)) {
                fence->unsent &= ~(1u << w);
                worked = true;
            }
        }
    }
    return worked;
}

/* --- offers ---------------------------------------------------------------------------------- */

static bool send_offers(struct outbox *o, struct attach *attach, struct journal *journal,
                        uint64_t now_ns)
{
    if (now_ns >= o->offer_ns) {
        journal->liveness.dirty = true; /* what the writer did not take yet is offered again */
        o->offer_ns = now_ns + OFFER_AGAIN_NS;
    }
    uint64_t seq;
    int sent = 0;
    while (sent < OFFERS_PER_TURN && ring_free(&attach->down[0]) > LIMIT_DELIVERS_IN_FLIGHT &&
           liveness_offer(&journal->liveness, now_ns, OFFER_AGAIN_NS, &seq)) {
        struct abi_down down = {.type = ABI_DOWN_RECYCLE,
                                .recycle = {.seq = seq, .seen_pos = seen_top(&journal->messages)}};
        bool put = attach_put(attach, 0, &down);
        assert(put); /* there was room a line before */
        sent++;
    }
    assert(sent <= OFFERS_PER_TURN && o->offer_ns > now_ns);
    return sent > 0;
}

bool outbox_offer_states(struct outbox *o, struct attach *attach)
{
    struct abi_down down = {.type = ABI_DOWN_STATE_RECYCLE, .recycle = {.seq = o->recycle_seq}};
    if (o->recycle_seq == 0 || !attach_put(attach, 0, &down)) {
        return false;
    }
    assert(attach->phase >= ATTACH_INFLIGHT);
    o->recycle_seq = 0;
    return true;
}

bool outbox_turn(struct outbox *o, struct attach *attach, struct journal *journal, uint64_t now_ns)
{
    assert(attach->phase == ATTACH_RUNNING);
    bool worked = send_fences(o, attach);
    worked = send_offers(o, attach, journal, now_ns) || worked;
    assert(o->offer_ns > now_ns && o->sent_count <= OUTBOX_OUTSTANDING);
    return outbox_offer_states(o, attach) || worked;
}
