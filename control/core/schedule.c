/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/schedule.c: see schedule.h. Pure.
 *
 * The heap is binary and knows each one's place, so that any can be taken out.
 */
#include "control/core/schedule.h"

#include "control/core/mem.h"

void schedule_init(struct schedule *s)
{
    *s = (struct schedule){0};
    list_init(&s->free);
    list_init(&s->active);
    list_init(&s->suspects);
    list_init(&s->unjudged);
}

void schedule_fini(struct schedule *s)
{
    for (size_t i = 0; i < s->slab_count; i++) {
        mem_free(s->slab[i]);
    }
    mem_free(s->slab);
    for (size_t i = 0; i < s->page_count; i++) {
        mem_free(s->heap_page[i]);
    }
    mem_free(s->heap_page);
}

static void add_slab(struct schedule *s)
{
    s->slab = mem_grow(s->slab, &s->slab_capacity, s->slab_count + 1, sizeof(struct live *));
    assert(list_is_empty(&s->free));
    struct live *slab = mem_zalloc(SCHEDULE_SLAB_LIVES * sizeof *slab);
    size_t first = s->slab_count * SCHEDULE_SLAB_LIVES;
    assert(first + SCHEDULE_SLAB_LIVES < UINT32_MAX);
    s->slab[s->slab_count++] = slab;
    for (size_t i = 0; i < SCHEDULE_SLAB_LIVES; i++) {
        slab[i].index = (uint32_t)(first + i);
        list_append(&s->free, &slab[i].node);
    }
    assert(!list_is_empty(&s->free) && s->live_count == first);
}

struct live *schedule_take(struct schedule *s, struct delivery *d)
{
    assert(d->id != 0);
    if (list_is_empty(&s->free)) {
        add_slab(s);
    }
    struct live *l = list_entry(s->free.next, struct live, node);
    assert(l->delivery == NULL);
    list_remove(&l->node);
    *l = (struct live){.index = l->index, .delivery = d};
    list_init(&l->node);
    d->live = l->index;
    assert(schedule_live(s, d) == l);
    s->live_count++;
    return l;
}

struct live *schedule_live(const struct schedule *s, const struct delivery *d)
{
    assert(d->live / SCHEDULE_SLAB_LIVES < s->slab_count);
    struct live *l = &s->slab[d->live / SCHEDULE_SLAB_LIVES][d->live % SCHEDULE_SLAB_LIVES];
    assert(l->delivery == d);
    return l;
}

void schedule_give(struct schedule *s, struct delivery *d)
{
    struct live *l = schedule_live(s, d);
    assert(l->heap_place == 0 && list_is_empty(&l->node) && l->flight == NULL);
    assert(s->live_count > 0);
    l->delivery = NULL;
    list_append(&s->free, &l->node);
    d->live = 0;
    s->live_count--;
}

/* The heap lies in pages: it grows without a copy of what is in it. */
static struct live **heap_at(const struct schedule *s, size_t i)
{
    assert(i / SCHEDULE_PAGE_PLACES < s->page_count);
    return &s->heap_page[i / SCHEDULE_PAGE_PLACES][i % SCHEDULE_PAGE_PLACES];
}

static void add_page(struct schedule *s)
{
    assert(s->heap_count == s->page_count * SCHEDULE_PAGE_PLACES);
    s->heap_page =
        mem_grow(s->heap_page, &s->page_capacity, s->page_count + 1, sizeof(struct live **));
    s->heap_page[s->page_count++] = mem_zalloc(SCHEDULE_PAGE_PLACES * sizeof(struct live *));
}

static void place(struct schedule *s, size_t i, struct live *l)
{
    assert(i < s->heap_count);
    *heap_at(s, i) = l;
    l->heap_place = (uint32_t)(i + 1);
}

static void rise(struct schedule *s, size_t i, struct live *l)
{
    while (i > 0 && (*heap_at(s, (i - 1) / 2))->due_ns > l->due_ns) {
        place(s, i, *heap_at(s, (i - 1) / 2));
        i = (i - 1) / 2;
    }
    place(s, i, l);
    assert(i == 0 || (*heap_at(s, (i - 1) / 2))->due_ns <= l->due_ns);
}

static void sink(struct schedule *s, size_t i, struct live *l)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_count) {
            break;
        }
        struct live *earlier = *heap_at(s, child);
        if (child + 1 < s->heap_count && (*heap_at(s, child + 1))->due_ns < earlier->due_ns) {
            earlier = *heap_at(s, ++child);
        }
        if (earlier->due_ns >= l->due_ns) {
            break;
        }
        place(s, i, earlier);
        i = child;
    }
    place(s, i, l);
    assert(2 * i + 1 >= s->heap_count || (*heap_at(s, 2 * i + 1))->due_ns >= l->due_ns);
    assert(2 * i + 2 >= s->heap_count || (*heap_at(s, 2 * i + 2))->due_ns >= l->due_ns);
}

static void heap_put(struct schedule *s, struct live *l)
{
    assert(l->heap_place == 0 && s->heap_count < UINT32_MAX - 1);
    if (s->heap_count == s->page_count * SCHEDULE_PAGE_PLACES) {
        add_page(s);
    }
    s->heap_count++;
    rise(s, s->heap_count - 1, l);
    assert(l->heap_place != 0 && *heap_at(s, l->heap_place - 1) == l);
}

static void heap_take(struct schedule *s, struct live *l)
{
    size_t i = l->heap_place - 1;
    assert(l->heap_place != 0 && i < s->heap_count && *heap_at(s, i) == l);
    l->heap_place = 0;
    struct live *last = *heap_at(s, --s->heap_count);
    if (last == l) {
        return;
    }
    if (i > 0 && (*heap_at(s, (i - 1) / 2))->due_ns > last->due_ns) {
        rise(s, i, last);
    } else {
        sink(s, i, last);
    }
    assert(*heap_at(s, last->heap_place - 1) == last);
}

static void make_ready(struct schedule *s, struct live *l, struct route *route)
{
    assert(list_is_empty(&l->node) && l->heap_place == 0);
    if (l->delivery->faults > 0) {
        list_append(&s->suspects, &l->node);
        return;
    }
    if (list_is_empty(&route->ready)) {
        list_append(&s->active, &route->active_node);
    }
    list_append(&route->ready, &l->node);
    assert(!list_is_empty(&route->active_node));
}

void schedule_wait(struct schedule *s, struct live *l, struct route *route, uint64_t now_ns)
{
    assert(l->flight == NULL && l->heap_place == 0);
    if (l->due_ns > now_ns) {
        heap_put(s, l);
    } else {
        make_ready(s, l, route);
    }
    assert((l->heap_place != 0) == list_is_empty(&l->node));
}

void schedule_wait_judgement(struct schedule *s, struct live *l)
{
    assert(list_is_empty(&l->node) && l->heap_place == 0 && l->delivery->unjudged);
    list_append(&s->unjudged, &l->node);
    assert(l->flight == NULL);
}

void schedule_drop(struct schedule *s, struct live *l, struct route *route)
{
    if (l->heap_place != 0) {
        heap_take(s, l);
    }
    assert(l->heap_place == 0 && l->delivery != NULL);
    if (list_is_empty(&l->node)) {
        return;
    }
    list_remove(&l->node);
    if (list_is_empty(&route->ready) && !list_is_empty(&route->active_node)) {
        list_remove(&route->active_node);
    }
    assert(list_is_empty(&route->ready) == list_is_empty(&route->active_node));
}

struct live *schedule_take_due(struct schedule *s, uint64_t now_ns)
{
    if (s->heap_count == 0 || (*heap_at(s, 0))->due_ns > now_ns) {
        return NULL;
    }
    struct live *l = *heap_at(s, 0);
    assert(l->due_ns <= now_ns && l->flight == NULL);
    heap_take(s, l);
    assert(l->heap_place == 0 && l->delivery != NULL && list_is_empty(&l->node));
    return l;
}

uint64_t schedule_next_ns(const struct schedule *s)
{
    return s->heap_count == 0 ? UINT64_MAX : (*heap_at(s, 0))->due_ns;
}
