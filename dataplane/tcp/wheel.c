/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/wheel.c: the hierarchical timer wheel (Varghese and Lauck 1987), 1 ms ticks.
 *
 *      level 0: 64 slots of 1 ms    level 1: 64 of 64 ms    level 2: 64 of 4 s    ...    12 days
 *
 * A node's level is the highest group of six bits in which its tick differs from the wheel's, so
 * a node comes down a level at most four times, and everything in a level fires before anything in
 * the next one. A bitmap per level finds the next used slot without looking at the others.
 *
 * Promise: set and clear are O(1); nothing fires before its tick unless that is more than 12 days
 *          ahead.
 * Trap:    a node that was popped no longer waits; its owner looks at the true deadline and sets
 *          the node again.
 */
#include "dataplane/tcp/core.h"

#define WHEEL_BITS 6
#define WHEEL_SPAN (UINT64_C(1) << (WHEEL_BITS * TCP_WHEEL_LEVELS))
/* The top level is a ring: with two slots left free, a node that is set never lands in the current
 * slot. */
#define WHEEL_REACH (WHEEL_SPAN - (UINT64_C(2) << (WHEEL_BITS * (TCP_WHEEL_LEVELS - 1))))

void tcp_wheel_init(struct tcp_wheel *wheel)
{
    *wheel = (struct tcp_wheel){0};
    list_init(&wheel->due);
    for (unsigned level = 0; level < TCP_WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < TCP_WHEEL_SLOTS; slot++) {
            list_init(&wheel->slot[level][slot]);
        }
    }
}

void tcp_wheel_clear(struct tcp_wheel *wheel, struct tcp_wheel_node *node)
{
    if (node->tick == 0) {
        return;
    }
    list_remove(&node->link);
    if (!node->is_due && list_is_empty(&wheel->slot[node->level][node->slot])) {
        wheel->used[node->level] &= ~(UINT64_C(1) << node->slot);
    }
    node->tick = 0;
    node->is_due = false;
}

static void wheel_place(struct tcp_wheel *wheel, struct tcp_wheel_node *node)
{
    uint64_t differing = (wheel->tick ^ node->tick) | (TCP_WHEEL_SLOTS - 1);
    unsigned level = (63u - (unsigned)__builtin_clzll(differing)) / WHEEL_BITS;
    if (level >= TCP_WHEEL_LEVELS) {
        level = TCP_WHEEL_LEVELS - 1;
    }
    unsigned slot = (unsigned)(node->tick >> (WHEEL_BITS * level)) % TCP_WHEEL_SLOTS;
    node->level = (uint8_t)level;
    node->slot = (uint8_t)slot;
    node->is_due = false;
    list_append(&wheel->slot[level][slot], &node->link);
    wheel->used[level] |= UINT64_C(1) << slot;
}

void tcp_wheel_set(struct tcp_wheel *wheel, struct tcp_wheel_node *node, uint64_t tick)
{
    tcp_wheel_clear(wheel, node);
    if (tick <= wheel->tick) {
        tick = wheel->tick + 1;
    }
    if (tick - wheel->tick > WHEEL_REACH) {
        tick = wheel->tick + WHEEL_REACH;
    }
    node->tick = tick;
    wheel_place(wheel, node);
}

/* The first used slot: lower levels come before higher ones. */
static bool wheel_first(const struct tcp_wheel *wheel, unsigned *level_out, unsigned *slot_out,
                        uint64_t *tick_out)
{
    for (unsigned level = 0; level < TCP_WHEEL_LEVELS; level++) {
        uint64_t used = wheel->used[level];
        if (used == 0) {
            continue;
        }
        unsigned shift = WHEEL_BITS * level;
        unsigned now = (unsigned)(wheel->tick >> shift) % TCP_WHEEL_SLOTS;
        uint64_t turned = now == 0 ? used : (used >> now) | (used << (TCP_WHEEL_SLOTS - now));
        unsigned ahead = (unsigned)__builtin_ctzll(turned);
        *level_out = level;
        *slot_out = (now + ahead) % TCP_WHEEL_SLOTS;
        *tick_out = ((wheel->tick >> shift) + ahead) << shift;
        return true;
    }
    return false;
}

struct tcp_wheel_node *tcp_wheel_pop(struct tcp_wheel *wheel, uint64_t tick)
{
    while (list_is_empty(&wheel->due)) {
        unsigned level;
        unsigned slot;
        uint64_t first;
        if (!wheel_first(wheel, &level, &slot, &first) || first > tick) {
            wheel->tick = tick > wheel->tick ? tick : wheel->tick;
            return NULL;
        }
        wheel->tick = first > wheel->tick ? first : wheel->tick;
        struct list *head = &wheel->slot[level][slot];
        wheel->used[level] &= ~(UINT64_C(1) << slot);
        while (!list_is_empty(head)) {
            struct tcp_wheel_node *node = list_entry(head->next, struct tcp_wheel_node, link);
            list_remove(&node->link);
            if (node->tick <= wheel->tick) {
                node->is_due = true;
                list_append(&wheel->due, &node->link);
            } else {
                wheel_place(wheel, node);
            }
        }
    }
    struct tcp_wheel_node *node = list_entry(wheel->due.next, struct tcp_wheel_node, link);
    tcp_wheel_clear(wheel, node);
    return node;
}

uint64_t tcp_wheel_next(const struct tcp_wheel *wheel)
{
    if (!list_is_empty(&wheel->due)) {
        return wheel->tick;
    }
    unsigned level;
    unsigned slot;
    uint64_t first;
    return wheel_first(wheel, &level, &slot, &first) ? first : UINT64_MAX;
}
