/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/slotset.c: see slotset.h. Pure. */
#include "control/core/slotset.h"

#include "control/core/mem.h"

#include "common/assert.h"

enum { PAGE_SLOTS = 4096, PAGE_WORDS = PAGE_SLOTS / 64 };

struct slotset_page {
    uint32_t count;
    uint64_t word[PAGE_WORDS];
};

void slotset_fini(struct slotset *set)
{
    for (size_t i = 0; i < set->page_count; i++) {
        mem_free(set->page[i]);
    }
    mem_free(set->page);
    *set = (struct slotset){0};
}

static struct slotset_page *page_of(const struct slotset *set, uint32_t slot)
{
    return slot / PAGE_SLOTS < set->page_count ? set->page[slot / PAGE_SLOTS] : NULL;
}

bool slotset_has(const struct slotset *set, uint32_t slot)
{
    const struct slotset_page *page = page_of(set, slot);
    return page != NULL && (page->word[slot % PAGE_SLOTS / 64] >> (slot % 64) & 1) != 0;
}

void slotset_add(struct slotset *set, uint32_t slot)
{
    size_t at = slot / PAGE_SLOTS;
    if (slotset_has(set, slot)) {
        return;
    }
    set->page = mem_grow(set->page, &set->page_capacity, at + 1, sizeof(struct slotset_page *));
    while (set->page_count <= at) {
        set->page[set->page_count++] = NULL;
    }
    if (set->page[at] == NULL) {
        set->page[at] = mem_zalloc(sizeof(struct slotset_page));
    }
    set->page[at]->word[slot % PAGE_SLOTS / 64] |= UINT64_C(1) << (slot % 64);
    set->page[at]->count++;
    set->count++;
    assert(slotset_has(set, slot) && set->page[at]->count <= PAGE_SLOTS);
    assert(set->count >= set->page[at]->count && slot < slotset_end(set));
}

void slotset_remove(struct slotset *set, uint32_t slot)
{
    if (!slotset_has(set, slot)) {
        return;
    }
    struct slotset_page *page = page_of(set, slot);
    assert(page->count > 0 && set->count > 0);
    page->word[slot % PAGE_SLOTS / 64] &= ~(UINT64_C(1) << (slot % 64));
    set->count--;
    if (--page->count == 0) {
        mem_free(page);
        set->page[slot / PAGE_SLOTS] = NULL;
    }
    assert(!slotset_has(set, slot) && set->page_count <= set->page_capacity);
}

uint32_t slotset_end(const struct slotset *set)
{
    return (uint32_t)(set->page_count * PAGE_SLOTS);
}

uint32_t slotset_next(const struct slotset *set, uint32_t *slot, uint32_t *budget)
{
    uint32_t end = slotset_end(set);
    while (*slot<end && * budget> 0) {
        const struct slotset_page *page = page_of(set, *slot);
        (*budget)--;
        if (page == NULL) {
            *slot = (*slot / PAGE_SLOTS + 1) * PAGE_SLOTS;
            continue;
        }
        uint64_t word = page->word[*slot % PAGE_SLOTS / 64] >> (*slot % 64);
        if (word == 0) {
            *slot = (*slot / 64 + 1) * 64;
            continue;
        }
        uint32_t found = *slot + (uint32_t)__builtin_ctzll(word);
        assert(found < end && slotset_has(set, found));
        assert(found >= *slot && set->count > 0);
        *slot = found + 1;
        return found;
    }
    return UINT32_MAX;
}
