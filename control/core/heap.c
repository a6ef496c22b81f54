/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/heap.c: see heap.h. Pure. */
#include "control/core/heap.h"

#include "control/core/mem.h"

static void place(struct control *c, size_t i, struct delivery *d)
{
    c->heap[i] = d;
    d->heap_slot = (uint32_t)(i + 1);
}

static void rise(struct control *c, size_t i, struct delivery *d)
{
    while (i > 0 && c->heap[(i - 1) / 2]->due_ns > d->due_ns) {
        place(c, i, c->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(c, i, d);
}

static void sink(struct control *c, size_t i, struct delivery *d)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= c->heap_count) {
            break;
        }
        if (child + 1 < c->heap_count && c->heap[child + 1]->due_ns < c->heap[child]->due_ns) {
            child++;
        }
        if (c->heap[child]->due_ns >= d->due_ns) {
            break;
        }
        place(c, i, c->heap[child]);
        i = child;
    }
    place(c, i, d);
}

void heap_put(struct control *c, struct delivery *d)
{
    assert(d->heap_slot == 0 && c->heap_count < UINT32_MAX - 1);
    c->heap = mem_grow(c->heap, &c->heap_capacity, c->heap_count + 1, sizeof(struct delivery *));
    c->heap_count++;
    rise(c, c->heap_count - 1, d);
}

void heap_take(struct control *c, struct delivery *d)
{
    size_t i = d->heap_slot - 1;
    assert(d->heap_slot != 0 && i < c->heap_count && c->heap[i] == d);
    d->heap_slot = 0;
    struct delivery *last = c->heap[--c->heap_count];
    if (last == d) {
        return;
    }
    if (i > 0 && c->heap[(i - 1) / 2]->due_ns > last->due_ns) {
        rise(c, i, last);
    } else {
        sink(c, i, last);
    }
}
