/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/schedule.h: the deliveries that wait for a time or a turn.
 *
 *   heap ── due ──▶ route->ready ──▶ active routes take turns (send.h)
 *              └──▶ suspects: those that go alone
 *
 * A delivery that waits or is under way has a struct live; all others do without.
 *
 * Promise: putting in and taking out cost the logarithm of how many wait, never a walk.
 * Trap:    a struct live is in one place at most: the heap, a ready list, the suspects, the
 *          unjudged.
 */
#ifndef HOLDFAST_CONTROL_CORE_SCHEDULE_H
#define HOLDFAST_CONTROL_CORE_SCHEDULE_H

#include "control/core/delivery.h"
#include "control/core/routes.h"

#include "common/list.h"

struct flight;

struct live {
    uint64_t due_ns; /* next attempt; passed: now */
    struct list node;
    struct delivery *delivery;
    struct flight *flight; /* NULL: it waits */
    uint32_t index;        /* its own */
    uint32_t heap_place;   /* 1-based; 0: not in the heap */
    uint32_t success_mark; /* poison: the hop's successes when it last lost us at the dot */
    uint32_t held_rule;    /* the rule that held it until it was lifted; 0: none */
};

enum {
    SCHEDULE_SLAB_LIVES = 1024,
    SCHEDULE_PAGE_PLACES = 1024,
};

struct schedule {
    struct live **slab;
    size_t slab_count;
    size_t slab_capacity;
    struct list free;
    size_t live_count;
    struct live ***heap_page; /* by the heap's places, in pages of equal length */
    size_t page_count;
    size_t page_capacity;
    size_t heap_count;
    struct list active;   /* routes with something ready, in turn */
    struct list suspects; /* struct live: the dataplane faulted over them */
    struct list unjudged; /* struct live: the rules have to see their envelope first */
};

void schedule_init(struct schedule *s);
void schedule_fini(struct schedule *s);
/* For that delivery, which has none; due now. */
struct live *schedule_take(struct schedule *s, struct delivery *d);
void schedule_give(struct schedule *s, struct delivery *d);
/* Of a delivery that waits or is under way. */
struct live *schedule_live(const struct schedule *s, const struct delivery *d);
/* It waits, from now on in its place: by time, or ready. */
void schedule_wait(struct schedule *s, struct live *l, struct route *route, uint64_t now_ns);
/* It waits until the rules have seen its envelope. */
void schedule_wait_judgement(struct schedule *s, struct live *l);
/* Takes it out of whatever it waits in. */
void schedule_drop(struct schedule *s, struct live *l, struct route *route);
/* The first whose time has come, taken out of the heap. NULL: none. */
struct live *schedule_take_due(struct schedule *s, uint64_t now_ns);
/* When the first of the heap is due; UINT64_MAX when it is empty. */
uint64_t schedule_next_ns(const struct schedule *s);

#endif
