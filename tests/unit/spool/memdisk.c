/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/memdisk.c: see memdisk.h. A file is two images, what a reader sees and what is
 * durable, and a mark for each sector in which they may differ. */
#include "tests/unit/spool/memdisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, PHYSICAL = 4096, FILES_MAX = 512, NAME_SIZE = 40, IN_FLIGHT_MAX = 512 };

struct image {
    uint8_t *now;
    uint8_t *durable;
    uint8_t *dirty; /* by sector */
    bool broken;    /* 4096 bytes of it */
    uint64_t broken_at;
    size_t cap;
    size_t size;
    size_t durable_size;
    bool used;
    bool locked;
};

struct name {
    char text[NAME_SIZE];
    int file; /* -1: none */
};

struct memdisk {
    struct spool_io io;
    struct image file[FILES_MAX];
    struct name now[FILES_MAX];
    struct name durable[FILES_MAX];
    struct spool_io_op *in_flight[IN_FLIGHT_MAX];
    uint32_t in_flight_count;
    uint64_t random;
    uint64_t operations;
    uint64_t crash_at; /* 0: never */
    uint64_t syncs;
    uint64_t limit;
    bool tells_space;
    uint32_t fail_count[3];
    int fail_err[3];
    uint32_t shorten; /* the write to be cut, from 1; 0: none */
    bool off;
    bool dsync;
};

static struct memdisk *disk_of(struct spool_io *io)
{
    return (struct memdisk *)io;
}

static uint64_t next_random(struct memdisk *d)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return d->random;
}

/* Counts a changing operation. 0: go ahead; 1: the power goes during it; 2: there is no power. */
static int count_operation(struct memdisk *d)
{
    if (d->off) {
        return 2;
    }
    d->operations++;
    if (d->crash_at != 0 && d->operations >= d->crash_at) {
        d->off = true;
        return 1;
    }
    return 0;
}

static int injected(struct memdisk *d, enum spool_io_kind kind)
{
    if (d->fail_count[kind] == 0) {
        return 0;
    }
    d->fail_count[kind]--;
    return -d->fail_err[kind];
}

/* What a write of `len` bytes reports: less, if this is the one to be cut. */
static int64_t reported(struct memdisk *d, int64_t len)
{
    bool cut = d->shorten > 0 && --d->shorten == 0;
    return cut && len > SECTOR ? len - SECTOR : len;
}

static int find_name(const struct name *names, const char *text)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (names[i].file >= 0 && strcmp(names[i].text, text) == 0) {
            return i;
        }
    }
    return -1;
}

static int set_name(struct name *names, const char *text, int file)
{
    int at = find_name(names, text);
    for (int i = 0; at < 0 && i < FILES_MAX; i++) {
        at = names[i].file < 0 ? i : -1;
    }
    if (at < 0) {
        return -ENOSPC;
    }
    strncpy(names[at].text, text, NAME_SIZE - 1);
    names[at].file = file;
    return 0;
}

static int mem_open(struct spool_io *io, const char *name, bool create, bool direct)
{
    (void)direct;
    struct memdisk *d = disk_of(io);
    int at = find_name(d->now, name);
    if (at >= 0) {
        return d->now[at].file;
    }
    if (!create) {
        return -ENOENT;
    }
    if (count_operation(d) != 0) {
        return -EIO;
    }
    for (int i = 0; i < FILES_MAX; i++) {
        if (!d->file[i].used) {
            free(d->file[i].now);
            free(d->file[i].durable);
            free(d->file[i].dirty);
            d->file[i] = (struct image){.used = true};
            int err = set_name(d->now, name, i);
            return err == 0 ? i : err;
        }
    }
    return -EMFILE;
}

static void mem_close(struct spool_io *io, int file)
{
    disk_of(io)->file[file].locked = false; /* only the writer locks, and it closes once */
}

static int64_t mem_size(struct spool_io *io, int file)
{
    return (int64_t)disk_of(io)->file[file].size;
}

static int mem_lock(struct spool_io *io, int file)
{
    struct image *f = &disk_of(io)->file[file];
    if (f->locked) {
        return -EWOULDBLOCK;
    }
    f->locked = true;
    return 0;
}

static int mem_rename(struct spool_io *io, const char *from, const char *to)
{
    struct memdisk *d = disk_of(io);
    int at = find_name(d->now, from);
    int power = count_operation(d);
    if (at < 0 || power == 2) {
        return at < 0 ? -ENOENT : -EIO;
    }
    int file = d->now[at].file;
    d->now[at].file = -1;
    int err = set_name(d->now, to, file);
    return power == 1 ? -EIO : err;
}

static int mem_remove(struct spool_io *io, const char *name)
{
    struct memdisk *d = disk_of(io);
    int at = find_name(d->now, name);
    if (at < 0) {
        return -ENOENT;
    }
    int power = count_operation(d);
    if (power != 2) {
        d->now[at].file = -1;
    }
    return power == 0 ? 0 : -EIO;
}

static int mem_sync_dir(struct spool_io *io)
{
    struct memdisk *d = disk_of(io);
    if (count_operation(d) != 0) {
        return -EIO;
    }
    memcpy(d->durable, d->now, sizeof d->now);
    return 0;
}

static int mem_list(struct spool_io *io, int (*fn)(void *ctx, const char *name), void *ctx)
{
    struct memdisk *d = disk_of(io);
    for (int i = 0; i < FILES_MAX; i++) {
        int err = d->now[i].file >= 0 ? fn(ctx, d->now[i].text) : 0;
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int64_t mem_pread(struct spool_io *io, int file, void *buf, size_t len, uint64_t offset)
{
    const struct image *f = &disk_of(io)->file[file];
    if (offset >= f->size) {
        return 0;
    }
    if (f->broken && offset < f->broken_at + PHYSICAL && f->broken_at < offset + len) {
        return -EIO;
    }
    size_t n = len < f->size - offset ? len : (size_t)(f->size - offset);
    memcpy(buf, f->now + offset, n);
    return (int64_t)n;
}

static uint64_t total_bytes(const struct memdisk *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < FILES_MAX; i++) {
        sum += d->file[i].used ? d->file[i].size : 0;
    }
    return sum;
}

static int grow(struct memdisk *d, struct image *f, size_t size)
{
    if (size > f->size && d->limit != 0 && total_bytes(d) + (size - f->size) > d->limit) {
        return -ENOSPC;
    }
    if (size > f->cap) {
        size_t cap = (size + (1 << 20) - 1) & ~(size_t)((1 << 20) - 1);
        f->now = realloc(f->now, cap);
        f->durable = realloc(f->durable, cap);
        f->dirty = realloc(f->dirty, cap / SECTOR);
        memset(f->now + f->cap, 0, cap - f->cap);
        memset(f->durable + f->cap, 0, cap - f->cap);
        memset(f->dirty + f->cap / SECTOR, 0, (cap - f->cap) / SECTOR);
        f->cap = cap;
    }
    f->size = size > f->size ? size : f->size;
    return 0;
}

static int64_t put(struct memdisk *d, struct image *f, const void *buf, size_t len, uint64_t offset)
{
    int err = grow(d, f, (size_t)offset + len);
    if (err != 0) {
        return err;
    }
    memcpy(f->now + offset, buf, len);
    for (size_t s = offset / SECTOR; s < (offset + len + SECTOR - 1) / SECTOR; s++) {
        f->dirty[s] = 1;
    }
    return (int64_t)len;
}

static int64_t mem_pwrite(struct spool_io *io, int file, const void *buf, size_t len,
                          uint64_t offset)
{
    struct memdisk *d = disk_of(io);
    int err = injected(d, SPOOL_IO_WRITE);
    int power = err == 0 ? count_operation(d) : 2;
    if (power == 2) {
        return err != 0 ? err : -EIO;
    }
    int64_t n = put(d, &d->file[file], buf, len, offset);
    return power == 1 ? -EIO : reported(d, n);
}

static bool sector_in_flight(const struct memdisk *d, int file, size_t sector)
{
    for (uint32_t i = 0; i < d->in_flight_count; i++) {
        const struct spool_io_op *op = d->in_flight[i];
        if (op->kind != SPOOL_IO_WRITE || op->file != file) {
            continue;
        }
        size_t len = 0;
        for (uint32_t k = 0; k < op->iov_count; k++) {
            len += op->iov[k].iov_len;
        }
        if (sector * SECTOR >= op->offset && sector * SECTOR < op->offset + len) {
            return true;
        }
    }
    return false;
}

static void make_durable(struct memdisk *d, int file)
{
    struct image *f = &d->file[file];
    for (size_t s = 0; s < f->cap / SECTOR; s++) {
        if (f->dirty[s] && !sector_in_flight(d, file, s)) {
            memcpy(f->durable + s * SECTOR, f->now + s * SECTOR, SECTOR);
            f->dirty[s] = 0;
        }
    }
    f->durable_size = f->size;
}

static int mem_sync(struct spool_io *io, int file)
{
    struct memdisk *d = disk_of(io);
    int err = injected(d, SPOOL_IO_SYNC);
    if (err != 0 || count_operation(d) != 0) {
        return err != 0 ? err : -EIO;
    }
    d->syncs++;
    make_durable(d, file);
    return 0;
}

static int64_t perform_write(struct memdisk *d, struct spool_io_op *op)
{
    int64_t sum = 0;
    int err = injected(d, SPOOL_IO_WRITE);
    int power = err == 0 ? count_operation(d) : 2;
    if (power == 2) {
        return err != 0 ? err : -EIO;
    }
    for (uint32_t i = 0; i < op->iov_count; i++) {
        assert((uintptr_t)op->iov[i].iov_base % SECTOR == 0 && op->iov[i].iov_len % SECTOR == 0);
        int64_t n = put(d, &d->file[op->file], op->iov[i].iov_base, op->iov[i].iov_len,
                        op->offset + (uint64_t)sum);
        if (n < 0) {
            return n;
        }
        sum += n;
    }
    return power == 1 ? -EIO : reported(d, sum);
}

static int mem_submit(struct spool_io *io, struct spool_io_op *op)
{
    struct memdisk *d = disk_of(io);
    if (d->in_flight_count == IN_FLIGHT_MAX || next_random(d) % 16 == 0) {
        return -EAGAIN; /* sometimes without a reason: callers must handle it */
    }
    switch (op->kind) {
    case SPOOL_IO_WRITE:
        op->result = perform_write(d, op);
        break;
    case SPOOL_IO_READ:
        op->result = injected(d, SPOOL_IO_READ);
        if (op->result == 0) {
            op->result =
                mem_pread(io, op->file, op->iov[0].iov_base, op->iov[0].iov_len, op->offset);
        }
        break;
    case SPOOL_IO_SYNC:
        op->result = mem_sync(io, op->file);
        break;
    }
    d->in_flight[d->in_flight_count++] = op;
    return 0;
}

/* Finishes some of the operations that are under way, in any order. */
static struct spool_io_op *mem_reap(struct spool_io *io, bool wait)
{
    struct memdisk *d = disk_of(io);
    struct spool_io_op *head = NULL;
    uint32_t wanted = (uint32_t)(next_random(d) % 4) + (wait ? 1 : 0);
    while (wanted-- > 0 && d->in_flight_count > 0) {
        uint32_t i = (uint32_t)(next_random(d) % d->in_flight_count);
        struct spool_io_op *op = d->in_flight[i];
        d->in_flight[i] = d->in_flight[--d->in_flight_count];
        if (op->kind == SPOOL_IO_WRITE && op->durable && op->result > 0) {
            make_durable(d, op->file);
        }
        op->next = head;
        head = op;
    }
    return head;
}

static bool mem_dsync(struct spool_io *io)
{
    return disk_of(io)->dsync;
}

static const char *mem_name(struct spool_io *io)
{
    (void)io;
    return "memory";
}

static void mem_destroy(struct spool_io *io)
{
    memdisk_destroy(disk_of(io));
}

static int64_t mem_space(struct spool_io *io)
{
    const struct memdisk *d = disk_of(io);
    if (!d->tells_space) {
        return -ENOSYS;
    }
    uint64_t used = total_bytes(d);
    return d->limit > used ? (int64_t)(d->limit - used) : 0;
}

static const struct spool_io_ops mem_ops = {
    .open = mem_open,
    .close = mem_close,
    .size = mem_size,
    .lock = mem_lock,
    .rename = mem_rename,
    .remove = mem_remove,
    .sync_dir = mem_sync_dir,
    .list = mem_list,
    .pread = mem_pread,
    .pwrite = mem_pwrite,
    .sync = mem_sync,
    .submit = mem_submit,
    .reap = mem_reap,
    .dsync = mem_dsync,
    .name = mem_name,
    .space = mem_space,
    .destroy = mem_destroy,
};

struct memdisk *memdisk_create(uint64_t seed)
{
    struct memdisk *d = calloc(1, sizeof *d);
    assert(d != NULL);
    d->io.ops = &mem_ops;
    d->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < FILES_MAX; i++) {
        d->now[i].file = -1;
        d->durable[i].file = -1;
    }
    return d;
}

void memdisk_destroy(struct memdisk *d)
{
    for (int i = 0; i < FILES_MAX; i++) {
        free(d->file[i].now);
        free(d->file[i].durable);
        free(d->file[i].dirty);
    }
    free(d);
}

struct spool_io *memdisk_io(struct memdisk *d)
{
    return &d->io;
}

static void make_garbage(struct memdisk *d, uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)next_random(d);
    }
}

/* The device reads, changes and writes a physical sector as a whole: it may spoil all of it. */
static void tear_physical(struct memdisk *d, struct image *f)
{
    for (size_t at = 0; at + PHYSICAL <= f->cap; at += PHYSICAL) {
        bool dirty = memchr(f->dirty + at / SECTOR, 1, PHYSICAL / SECTOR) != NULL;
        if (dirty && next_random(d) % 4 == 0) {
            make_garbage(d, f->durable + at, PHYSICAL);
            memset(f->dirty + at / SECTOR, 0, PHYSICAL / SECTOR);
        }
    }
}

static void crash_file(struct memdisk *d, struct image *f)
{
    bool grew = f->size != f->durable_size && next_random(d) % 2 == 0;
    f->size = grew ? f->size : f->durable_size;
    tear_physical(d, f);
    for (size_t s = 0; s < f->cap / SECTOR; s++) {
        if (f->dirty[s]) {
            switch (next_random(d) % 3) {
            case 0:
                break; /* old */
            case 1:
                memcpy(f->durable + s * SECTOR, f->now + s * SECTOR, SECTOR);
                break;
            default:
                make_garbage(d, f->durable + s * SECTOR, SECTOR);
            }
            f->dirty[s] = 0;
        }
    }
    memset(f->durable + f->size, 0, f->cap - f->size);
    memcpy(f->now, f->durable, f->cap);
    f->durable_size = f->size;
    f->locked = false;
}

void memdisk_crash(struct memdisk *d)
{
    /* Names: all changes since the last sync of the directory, or none; journals keep order. */
    if (next_random(d) % 2 == 0) {
        memcpy(d->durable, d->now, sizeof d->now);
    }
    memcpy(d->now, d->durable, sizeof d->now);
    for (int i = 0; i < FILES_MAX; i++) {
        bool named = false;
        for (int k = 0; k < FILES_MAX; k++) {
            named |= d->now[k].file == i;
        }
        d->file[i].used = named;
        if (named && d->file[i].cap > 0) {
            crash_file(d, &d->file[i]);
        }
        d->file[i].locked = false;
    }
    d->in_flight_count = 0;
    d->off = false;
    d->crash_at = 0;
    memset(d->fail_count, 0, sizeof d->fail_count);
}

void memdisk_crash_at(struct memdisk *d, uint64_t operation)
{
    d->crash_at = operation == 0 ? 0 : d->operations + operation;
}

uint64_t memdisk_operations(const struct memdisk *d)
{
    return d->operations;
}

void memdisk_fail(struct memdisk *d, enum spool_io_kind kind, uint32_t count, int err)
{
    d->fail_count[kind] = count;
    d->fail_err[kind] = err;
}

void memdisk_shorten(struct memdisk *d, uint32_t skip)
{
    d->shorten = skip + 1;
}

void memdisk_break(struct memdisk *d, const char *name, uint64_t offset)
{
    int at = find_name(d->now, name);
    assert(at >= 0);
    struct image *f = &d->file[d->now[at].file];
    f->broken = true;
    f->broken_at = offset / PHYSICAL * PHYSICAL;
}

void memdisk_tell_space(struct memdisk *d)
{
    d->tells_space = true;
}

void memdisk_limit(struct memdisk *d, uint64_t bytes)
{
    d->limit = bytes;
}

void memdisk_set_dsync(struct memdisk *d, bool dsync)
{
    d->dsync = dsync;
}

uint64_t memdisk_syncs(const struct memdisk *d)
{
    return d->syncs;
}

uint8_t *memdisk_file(struct memdisk *d, const char *name, size_t *len_out)
{
    int at = find_name(d->now, name);
    if (at < 0) {
        return NULL;
    }
    *len_out = d->file[d->now[at].file].size;
    return d->file[d->now[at].file].now;
}

void memdisk_keep(struct memdisk *d)
{
    memcpy(d->durable, d->now, sizeof d->now);
    for (int i = 0; i < FILES_MAX; i++) {
        if (d->file[i].used && d->file[i].cap > 0) {
            memcpy(d->file[i].durable, d->file[i].now, d->file[i].cap);
            memset(d->file[i].dirty, 0, d->file[i].cap / SECTOR);
            d->file[i].durable_size = d->file[i].size;
        }
    }
}
