/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/pending.c: commands that become state records: RELEASE by an operator, FREEZE by
 * our own judgement. Sent a bounded number at a time, again after each attach, done when the
 * record is seen in the state log.
 *
 * Promise: a release that an operator was told of is in the policy database until its record is
 *          durable in the state log; a crash of either process between repeats it, never loses it.
 */
#include "control/core/index.h"
#include "control/core/mem.h"
#include "control/shell/store.h"

#include <stdlib.h>

static struct map *map_of(struct control *c, enum abi_state_kind kind)
{
    assert(kind == ABI_STATE_RELEASE || kind == ABI_STATE_FREEZE);
    return kind == ABI_STATE_RELEASE ? &c->releases : &c->freezes;
}

void pending_add(struct control *c, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                 const struct rcptset *rcpts)
{
    struct map *map = map_of(c, kind);
    struct pending *p = map_find(map, id);
    if (p != NULL) {
        rcptset_union(&p->rcpts, rcpts);
        return; /* if it is under way, what its record leaves over goes again */
    }
    p = mem_zalloc(sizeof *p);
    p->id = id;
    p->kind = (uint8_t)kind;
    p->outcome = (uint8_t)outcome;
    p->rcpts = *rcpts;
    map_put(map, id, p);
    list_append(&c->pendings, &p->node);
}

static void forget(struct control *c, struct pending *p)
{
    struct map *map = map_of(c, (enum abi_state_kind)p->kind);
    void *was = map_remove(map, p->id);
    assert(was == p);
    if (p->sent) {
        assert(c->pendings_sent > 0);
        c->pendings_sent--;
    }
    list_remove(&p->node);
    if (p->kind == ABI_STATE_RELEASE) {
        store_release_done(c->store, p->id);
    }
    free(p);
}

void pending_done(struct control *c, uint64_t id, enum abi_state_kind kind,
                  const struct rcptset *rcpts)
{
    struct pending *p = map_find(map_of(c, kind), id);
    if (p == NULL) {
        return;
    }
    rcptset_subtract(&p->rcpts, rcpts);
    if (rcptset_is_empty(&p->rcpts)) {
        forget(c, p);
        return;
    }
    if (p->sent) {
        p->sent = false;
        c->pendings_sent--;
        list_append(&c->pendings, &p->node);
    }
}

static void resend(struct control *c, struct map *map)
{
    size_t at = 0;
    for (struct pending *p = map_next(map, &at); p != NULL; p = map_next(map, &at)) {
        if (p->sent) {
            p->sent = false;
            list_append(&c->pendings, &p->node);
        }
    }
}

void pending_resend_all(struct control *c)
{
    resend(c, &c->releases);
    resend(c, &c->freezes);
    c->pendings_sent = 0;
}

/* There is nothing (left) to do for it. */
static void drop(struct control *c, struct pending *p, struct delivery *d)
{
    bool release = p->kind == ABI_STATE_RELEASE;
    forget(c, p);
    if (d == NULL) {
        return;
    }
    delivery_lift(c, d);
    d->releasing = d->releasing && !release;
    d->freezing = d->freezing && release;
    delivery_settle(c, d);
}

bool pending_turn(struct control *c)
{
    bool worked = false;
    while (c->pendings_sent < CONTROL_STATES_OUTSTANDING && !list_is_empty(&c->pendings)) {
        struct pending *p = list_entry(c->pendings.next, struct pending, node);
        struct delivery *d = index_find(c, p->id);
        struct rcptset now = {{0}};
        if (d != NULL) {
            now = delivery_rcpts(d, p->kind == ABI_STATE_RELEASE ? RCPT_FROZEN : RCPT_WAITING);
            struct rcptset gone = p->rcpts;
            rcptset_subtract(&gone, &now);
            rcptset_subtract(&p->rcpts, &gone);
        }
        if (d == NULL || rcptset_is_empty(&p->rcpts)) {
            drop(c, p, d);
            continue;
        }
        struct abi_down down = {.type = ABI_DOWN_STATE,
                                .kind = p->kind,
                                .outcome = p->outcome,
                                .state = {.id = p->id, .rcpts = p->rcpts}};
        if (!down_put(c, 0, &down)) {
            break;
        }
        p->sent = true;
        c->pendings_sent++;
        list_remove(&p->node);
        worked = true;
    }
    return worked;
}

static void fini(struct map *map)
{
    size_t at = 0;
    for (struct pending *p = map_next(map, &at); p != NULL; p = map_next(map, &at)) {
        free(p);
    }
    map_fini(map);
}

void pending_fini(struct control *c)
{
    fini(&c->releases);
    fini(&c->freezes);
}
