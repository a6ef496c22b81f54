/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/disk.c: sectors, names, and what a power loss leaves of them. See disk.h.
 *
 * Files are sparse arrays of pages; a page that is not there reads as zeros, durable or not. A page
 * keeps its durable bytes apart only while one of its sectors is dirty.
 */
#include "tests/sim/disk.h"

#include "tests/sim/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must_alloc(void *memory)
{
    assert(memory != NULL);
    return memory;
}

struct simdisk *simdisk_create(uint64_t seed, bool dsync)
{
    struct simdisk *disk = must_alloc(calloc(1, sizeof *disk));
    rng_init(&disk->rng, seed, RNG_DISK);
    disk->dsync = dsync;
    disk->faults.latency_min_ns = 20000;
    disk->faults.latency_max_ns = 2000000;
    return disk;
}

void simdisk_set_hook(struct simdisk *disk, simdisk_hook_fn hook, void *ctx)
{
    disk->hook = hook;
    disk->hook_ctx = ctx;
}

struct simdisk_faults *simdisk_faults(struct simdisk *disk)
{
    return &disk->faults;
}

uint64_t simdisk_op_count(const struct simdisk *disk)
{
    return disk->op_count;
}

uint64_t simdisk_error_count(const struct simdisk *disk)
{
    return disk->error_count;
}

/* --- names --------------------------------------------------------------------------------- */

static struct simdisk_name *name_entry(struct simdisk_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->entry[i].name, name) == 0) {
            return &names->entry[i];
        }
    }
    return NULL;
}

struct simdisk_inode *simdisk_find(const struct simdisk_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->entry[i].name, name) == 0) {
            return names->entry[i].inode;
        }
    }
    return NULL;
}

static void name_set(struct simdisk_names *names, const char *name, struct simdisk_inode *inode)
{
    struct simdisk_name *entry = name_entry(names, name);
    if (entry == NULL) {
        assert(names->count < SIMDISK_NAMES_MAX);
        entry = &names->entry[names->count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    entry->inode = inode;
}

static void name_drop(struct simdisk_names *names, const char *name)
{
    struct simdisk_name *entry = name_entry(names, name);
    if (entry != NULL) {
        size_t index = (size_t)(entry - names->entry);
        memmove(entry, entry + 1, (names->count - index - 1) * sizeof *entry);
        names->count--;
    }
}

static void change_apply(struct simdisk_names *names, const struct simdisk_change *change)
{
    switch (change->kind) {
    case SIMDISK_CHANGE_CREATE:
        name_set(names, change->name, change->inode);
        return;
    case SIMDISK_CHANGE_RENAME:
        name_set(names, change->to, change->inode);
        if (simdisk_find(names, change->name) == change->inode) {
            name_drop(names, change->name);
        }
        return;
    case SIMDISK_CHANGE_REMOVE:
        if (simdisk_find(names, change->name) == change->inode) {
            name_drop(names, change->name);
        }
        return;
    }
}

static void change_make(struct simdisk *disk, struct simdisk_change change)
{
    if (disk->change_count == SIMDISK_NAMES_MAX) {
        /* Now and then a journal commits by itself. */
        simdisk_sync_names(disk);
    }
    disk->change[disk->change_count++] = change;
    change_apply(&disk->current, &change);
}

struct simdisk_inode *simdisk_create_name(struct simdisk *disk, const char *name)
{
    struct simdisk_inode *inode = must_alloc(calloc(1, sizeof *inode));
    inode->number = ++disk->inode_count;
    inode->next = disk->inodes;
    disk->inodes = inode;
    struct simdisk_change change = {.kind = SIMDISK_CHANGE_CREATE, .inode = inode};
    snprintf(change.name, sizeof change.name, "%s", name);
    change_make(disk, change);
    return inode;
}

int simdisk_rename_name(struct simdisk *disk, const char *from, const char *to)
{
    struct simdisk_inode *inode = simdisk_find(&disk->current, from);
    if (inode == NULL) {
        return -ENOENT;
    }
    struct simdisk_change change = {.kind = SIMDISK_CHANGE_RENAME, .inode = inode};
    snprintf(change.name, sizeof change.name, "%s", from);
    snprintf(change.to, sizeof change.to, "%s", to);
    change_make(disk, change);
    return 0;
}

int simdisk_remove_name(struct simdisk *disk, const char *name)
{
    struct simdisk_inode *inode = simdisk_find(&disk->current, name);
    if (inode == NULL) {
        return -ENOENT;
    }
    struct simdisk_change change = {.kind = SIMDISK_CHANGE_REMOVE, .inode = inode};
    snprintf(change.name, sizeof change.name, "%s", name);
    change_make(disk, change);
    return 0;
}

void simdisk_sync_names(struct simdisk *disk)
{
    disk->durable = disk->current;
    disk->change_count = 0;
}

/* --- sectors ------------------------------------------------------------------------------- */

static struct simdisk_page *page_find(const struct simdisk_inode *inode, uint64_t index)
{
    return index < inode->page_count ? inode->page[index] : NULL;
}

static struct simdisk_page *page_make(struct simdisk_inode *inode, uint64_t index)
{
    if (index >= inode->page_count) {
        uint64_t count = index + 1 + index / 2;
        inode->page = must_alloc(realloc(inode->page, count * sizeof *inode->page));
        memset(inode->page + inode->page_count, 0,
               (count - inode->page_count) * sizeof *inode->page);
        inode->page_count = count;
    }
    if (inode->page[index] == NULL) {
        inode->page[index] = must_alloc(calloc(1, sizeof *inode->page[index]));
    }
    return inode->page[index];
}

static void page_list(struct simdisk_inode *inode, struct simdisk_page *page, uint64_t index)
{
    if (page->listed) {
        return;
    }
    if (inode->dirty_count == inode->dirty_cap) {
        inode->dirty_cap = inode->dirty_cap * 2 + 64;
        inode->dirty_page =
            must_alloc(realloc(inode->dirty_page, inode->dirty_cap * sizeof *inode->dirty_page));
    }
    page->listed = true;
    inode->dirty_page[inode->dirty_count++] = index;
}

/* Copies the durable bytes of the page before its current ones change. */
static void page_split(struct simdisk_page *page)
{
    if (page->durable == NULL) {
        page->durable = must_alloc(malloc(SIMDISK_PAGE_BYTES));
        memcpy(page->durable, page->current, SIMDISK_PAGE_BYTES);
    }
}

static void sector_clean(struct simdisk_page *page, unsigned sector)
{
    page->dirty &= (uint8_t) ~(1u << sector);
    if (page->dirty == 0) {
        free(page->durable);
        page->durable = NULL;
    }
}

void simdisk_inode_read(const struct simdisk_inode *inode, void *out, size_t len, uint64_t offset)
{
    uint8_t *to = out;
    while (len > 0) {
        size_t within = offset % SIMDISK_PAGE_BYTES;
        size_t n = SIMDISK_PAGE_BYTES - within < len ? SIMDISK_PAGE_BYTES - within : len;
        const struct simdisk_page *page = page_find(inode, offset / SIMDISK_PAGE_BYTES);
        if (page == NULL) {
            memset(to, 0, n);
        } else {
            memcpy(to, page->current + within, n);
        }
        to += n;
        offset += n;
        len -= n;
    }
}

static bool is_zero(const uint8_t *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

void simdisk_inode_write(struct simdisk *disk, struct simdisk_inode *inode, const void *data,
                         size_t len, uint64_t offset)
{
    const uint8_t *from = data;
    uint64_t end = offset + len;
    while (len > 0) {
        uint64_t index = offset / SIMDISK_PAGE_BYTES;
        size_t within = offset % SIMDISK_PAGE_BYTES;
        size_t n = SIMDISK_PAGE_BYTES - within < len ? SIMDISK_PAGE_BYTES - within : len;
        if (page_find(inode, index) != NULL || !is_zero(from, n)) {
            struct simdisk_page *page = page_make(inode, index);
            page_split(page);
            memcpy(page->current + within, from, n);
            for (size_t s = within / SIMDISK_SECTOR_BYTES;
                 s <= (within + n - 1) / SIMDISK_SECTOR_BYTES; s++) {
                page->dirty |= (uint8_t)(1u << s);
                page->version[s] = ++disk->version;
            }
            page_list(inode, page, index);
        }
        from += n;
        offset += n;
        len -= n;
    }
    if (end > inode->size) {
        inode->size = end;
    }
}

void simdisk_inode_misdirect(struct simdisk_inode *inode, uint64_t from, uint64_t to)
{
    uint8_t sector[SIMDISK_SECTOR_BYTES];
    assert(from % sizeof sector == 0 && to % sizeof sector == 0);
    simdisk_inode_read(inode, sector, sizeof sector, from);
    struct simdisk_page *page = page_make(inode, to / SIMDISK_PAGE_BYTES);
    memcpy(page->current + to % SIMDISK_PAGE_BYTES, sector, sizeof sector);
    if (page->durable != NULL) {
        memcpy(page->durable + to % SIMDISK_PAGE_BYTES, sector, sizeof sector);
    }
}

void simdisk_inode_rot(struct simdisk_inode *inode, uint64_t offset, unsigned bit)
{
    struct simdisk_page *page = page_make(inode, offset / SIMDISK_PAGE_BYTES);
    size_t within = offset % SIMDISK_PAGE_BYTES;
    page->current[within] ^= (uint8_t)(1u << bit);
    if (page->durable != NULL) {
        page->durable[within] ^= (uint8_t)(1u << bit);
    }
}

void simdisk_sync_begin(const struct simdisk_inode *inode, struct simdisk_sync *sync_out)
{
    *sync_out = (struct simdisk_sync){.size = inode->size};
    size_t room = inode->dirty_count * SIMDISK_SECTORS_PER_PAGE;
    if (room == 0) {
        return;
    }
    sync_out->snapshot = must_alloc(malloc(room * sizeof *sync_out->snapshot));
    for (size_t i = 0; i < inode->dirty_count; i++) {
        const struct simdisk_page *page = inode->page[inode->dirty_page[i]];
        for (unsigned s = 0; s < SIMDISK_SECTORS_PER_PAGE; s++) {
            if ((page->dirty >> s & 1) != 0) {
                struct simdisk_snapshot *snapshot = &sync_out->snapshot[sync_out->count++];
                snapshot->sector = inode->dirty_page[i] * SIMDISK_SECTORS_PER_PAGE + s;
                snapshot->version = page->version[s];
                memcpy(snapshot->data, page->current + s * SIMDISK_SECTOR_BYTES,
                       SIMDISK_SECTOR_BYTES);
            }
        }
    }
}

static void forget_clean_pages(struct simdisk_inode *inode)
{
    size_t kept = 0;
    for (size_t i = 0; i < inode->dirty_count; i++) {
        struct simdisk_page *page = inode->page[inode->dirty_page[i]];
        if (page->dirty != 0) {
            inode->dirty_page[kept++] = inode->dirty_page[i];
        } else {
            page->listed = false;
        }
    }
    inode->dirty_count = kept;
}

void simdisk_sync_end(struct simdisk *disk, struct simdisk_inode *inode, struct simdisk_sync *sync,
                      uint32_t percent)
{
    for (size_t i = 0; i < sync->count; i++) {
        const struct simdisk_snapshot *snapshot = &sync->snapshot[i];
        struct simdisk_page *page = inode->page[snapshot->sector / SIMDISK_SECTORS_PER_PAGE];
        unsigned s = snapshot->sector % SIMDISK_SECTORS_PER_PAGE;
        if ((page->dirty >> s & 1) == 0 || page->durable == NULL) {
            continue; /* another sync was faster */
        }
        size_t at = s * SIMDISK_SECTOR_BYTES;
        bool newest = page->version[s] == snapshot->version;
        if (percent == 100 || rng_percent(&disk->rng, percent)) {
            memcpy(page->durable + at, snapshot->data, SIMDISK_SECTOR_BYTES);
        } else if (newest) {
            memcpy(page->current + at, page->durable + at, SIMDISK_SECTOR_BYTES);
        }
        if (newest) {
            sector_clean(page, s);
        }
    }
    if (percent == 100 && sync->size > inode->durable_size) {
        inode->durable_size = sync->size;
    }
    forget_clean_pages(inode);
    free(sync->snapshot);
    *sync = (struct simdisk_sync){0};
}

/* --- power loss ---------------------------------------------------------------------------- */

/* Each sector becomes old or new. When the page is one sector to the device, it may be lost as a
 * whole. */
static void page_lose(struct simdisk *disk, struct simdisk_page *page)
{
    if (rng_percent(&disk->rng, 15)) {
        for (size_t i = 0; i < SIMDISK_PAGE_BYTES; i++) {
            page->current[i] = (uint8_t)rng_u64(&disk->rng);
        }
        return;
    }
    for (unsigned s = 0; s < SIMDISK_SECTORS_PER_PAGE; s++) {
        if ((page->dirty >> s & 1) != 0 && rng_percent(&disk->rng, 50)) {
            memcpy(page->current + s * SIMDISK_SECTOR_BYTES,
                   page->durable + s * SIMDISK_SECTOR_BYTES, SIMDISK_SECTOR_BYTES);
        }
    }
}

static void inode_lose(struct simdisk *disk, struct simdisk_inode *inode)
{
    for (size_t i = 0; i < inode->dirty_count; i++) {
        struct simdisk_page *page = inode->page[inode->dirty_page[i]];
        page_lose(disk, page);
        page->dirty = 0;
        page->listed = false;
        free(page->durable);
        page->durable = NULL;
    }
    inode->dirty_count = 0;
    if (inode->size > inode->durable_size && rng_percent(&disk->rng, 50)) {
        uint64_t size = rng_range(&disk->rng, inode->durable_size, inode->size);
        size &= ~(uint64_t)(SIMDISK_PAGE_BYTES - 1);
        inode->size = size > inode->durable_size ? size : inode->durable_size;
        for (uint64_t p = 0; p < inode->page_count; p++) {
            uint64_t from = p * SIMDISK_PAGE_BYTES;
            if (inode->page[p] != NULL && from + SIMDISK_PAGE_BYTES > inode->size) {
                uint64_t keep = inode->size > from ? inode->size - from : 0;
                memset(inode->page[p]->current + keep, 0, SIMDISK_PAGE_BYTES - keep);
            }
        }
    }
    inode->durable_size = inode->size;
    inode->locked_by = NULL;
}

/* Half of the time as with a journal: the first changes hold, up to some point. Else each by
 * itself. */
static void names_lose(struct simdisk *disk)
{
    bool journal = rng_percent(&disk->rng, 50);
    size_t prefix = rng_below(&disk->rng, disk->change_count + 1);
    for (size_t i = 0; i < disk->change_count; i++) {
        if (journal ? i < prefix : rng_percent(&disk->rng, 50)) {
            change_apply(&disk->durable, &disk->change[i]);
        }
    }
    disk->current = disk->durable;
    disk->change_count = 0;
}

void simdisk_power_loss(struct simdisk *disk)
{
    size_t dirty = 0;
    for (struct simdisk_inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
        dirty += inode->dirty_count;
        inode_lose(disk, inode);
    }
    trace_event(0xd0, dirty, disk->change_count);
    trace_say("disk: power loss: %zu dirty pages, %zu changes of names", dirty, disk->change_count);
    names_lose(disk);
}
