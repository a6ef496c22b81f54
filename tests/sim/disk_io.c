/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/disk_io.c: spool/io.h over the simulated disk: one process's files, locks and
 * operations under way. See disk.h.
 *
 * Synchronous calls take no simulated time, but each is a point where the process may be killed.
 */
#include "tests/sim/disk.h"

#include "common/crc32c.h"
#include "tests/sim/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pending {
    struct spool_io_op *op;
    struct simdisk_inode *inode;
    uint64_t due_ns;
    struct simdisk_sync sync;
    struct pending *next;
};

struct file {
    struct simdisk_inode *inode;
    bool direct;
};

struct process {
    struct spool_io io;
    struct simdisk *disk;
    bool dead;
    char name[16];
    bool starved;
    struct file file[SIMDISK_FILES_MAX];
    struct pending *pending;
    uint32_t pending_count;
    uint32_t pending_max;
};

static struct process *process_of(struct spool_io *io)
{
    return (struct process *)io;
}

static struct file *file_of(struct process *p, int file)
{
    assert(file >= 0 && file < SIMDISK_FILES_MAX && p->file[file].inode != NULL);
    return &p->file[file];
}

/* Every operation begins here. It may not return. */
static void operation(struct process *p, uint32_t tag, uint64_t a, uint64_t b)
{
    if (p->dead) {
        return;
    }
    p->disk->op_count++;
    trace_event(tag, a, b);
    if (p->disk->hook != NULL) {
        p->disk->hook(p->disk->hook_ctx, &p->io);
    }
}

static bool fails(struct process *p, uint32_t ppm)
{
    if (ppm == 0 || !rng_ppm(&p->disk->rng, ppm)) {
        return false;
    }
    p->disk->error_count++;
    trace_event(0xd1, p->disk->error_count, 0);
    trace_say("disk: EIO for %s", p->name);
    return true;
}

static bool lacks_space(struct process *p, const struct simdisk_inode *inode, uint64_t end)
{
    if (!p->disk->faults.no_space || end <= inode->size) {
        return false;
    }
    p->disk->error_count++;
    return true;
}

static int sim_open(struct spool_io *io, const char *name, bool create, bool direct)
{
    struct process *p = process_of(io);
    operation(p, 0xd2, strlen(name), create);
    if (p->dead) {
        return -EIO;
    }
    if (!create && p->starved) {
        p->disk->error_count++;
        trace_say("disk: EMFILE for %s", p->name);
        return -EMFILE;
    }
    struct simdisk_inode *inode = simdisk_find(&p->disk->current, name);
    if (inode == NULL && create) {
        if (p->disk->faults.no_space) {
            p->disk->error_count++;
            return -ENOSPC;
        }
        inode = simdisk_create_name(p->disk, name);
    }
    if (inode == NULL) {
        return -ENOENT;
    }
    for (int i = 0; i < SIMDISK_FILES_MAX; i++) {
        if (p->file[i].inode == NULL) {
            p->file[i] = (struct file){.inode = inode, .direct = direct};
            return i;
        }
    }
    return -EMFILE;
}

static void sim_close(struct spool_io *io, int file)
{
    struct process *p = process_of(io);
    operation(p, 0xd3, (uint64_t)file, 0);
    if (p->dead) {
        return;
    }
    struct file *f = file_of(p, file);
    for (const struct pending *q = p->pending; q != NULL; q = q->next) {
        assert(q->op->file != file); /* closed with an operation under way */
    }
    if (f->inode->locked_by == io) {
        f->inode->locked_by = NULL;
    }
    f->inode = NULL;
}

static int64_t sim_size(struct spool_io *io, int file)
{
    struct process *p = process_of(io);
    return p->dead ? -EIO : (int64_t)file_of(p, file)->inode->size;
}

static int sim_lock(struct spool_io *io, int file)
{
    struct process *p = process_of(io);
    operation(p, 0xd4, (uint64_t)file, 0);
    if (p->dead) {
        return -EIO;
    }
    struct simdisk_inode *inode = file_of(p, file)->inode;
    if (inode->locked_by != NULL && inode->locked_by != io) {
        return -EWOULDBLOCK;
    }
    inode->locked_by = io;
    return 0;
}

static int sim_rename(struct spool_io *io, const char *from, const char *to)
{
    struct process *p = process_of(io);
    operation(p, 0xd5, strlen(from), strlen(to));
    trace_say("disk: %s renames %s to %s", p->name, from, to);
    return p->dead ? -EIO : simdisk_rename_name(p->disk, from, to);
}

static int sim_remove(struct spool_io *io, const char *name)
{
    struct process *p = process_of(io);
    operation(p, 0xd6, strlen(name), 0);
    trace_say("disk: %s removes %s", p->name, name);
    return p->dead ? -EIO : simdisk_remove_name(p->disk, name);
}

static int sim_sync_dir(struct spool_io *io)
{
    struct process *p = process_of(io);
    operation(p, 0xd7, 0, 0);
    if (p->dead || fails(p, p->disk->faults.sync_eio_ppm)) {
        return -EIO;
    }
    simdisk_sync_names(p->disk);
    return 0;
}

static int sim_list(struct spool_io *io, int (*fn)(void *ctx, const char *name), void *ctx)
{
    struct process *p = process_of(io);
    operation(p, 0xd8, 0, 0);
    if (p->dead) {
        return -EIO;
    }
    static struct simdisk_names names; /* fn may change the directory */
    names = p->disk->current;
    for (size_t i = 0; i < names.count; i++) {
        int result = fn(ctx, names.entry[i].name);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

/* As O_DIRECT wants it: memory, offset and length in whole sectors. */
static bool aligned(const struct file *f, const void *memory, size_t len, uint64_t offset)
{
    return !f->direct || ((uintptr_t)memory % SIMDISK_SECTOR_BYTES == 0 &&
                          len % SIMDISK_SECTOR_BYTES == 0 && offset % SIMDISK_SECTOR_BYTES == 0);
}

static int64_t sim_pread(struct spool_io *io, int file, void *buf, size_t len, uint64_t offset)
{
    struct process *p = process_of(io);
    if (p->dead) {
        return -EIO;
    }
    const struct file *f = file_of(p, file);
    if (!aligned(f, buf, len, offset)) {
        return -EINVAL;
    }
    if (offset >= f->inode->size) {
        return 0;
    }
    size_t n = f->inode->size - offset < len ? f->inode->size - offset : len;
    simdisk_inode_read(f->inode, buf, n, offset);
    return (int64_t)n;
}

static int64_t sim_pwrite(struct spool_io *io, int file, const void *buf, size_t len,
                          uint64_t offset)
{
    struct process *p = process_of(io);
    operation(p, 0xd9, offset, len);
    if (p->dead || fails(p, p->disk->faults.write_eio_ppm)) {
        return -EIO;
    }
    struct file *f = file_of(p, file);
    if (!aligned(f, buf, len, offset)) {
        return -EINVAL;
    }
    if (lacks_space(p, f->inode, offset + len)) {
        return -ENOSPC;
    }
    simdisk_inode_write(p->disk, f->inode, buf, len, offset);
    return (int64_t)len;
}

static int sim_sync(struct spool_io *io, int file)
{
    struct process *p = process_of(io);
    operation(p, 0xda, (uint64_t)file, 0);
    if (p->dead) {
        return -EIO;
    }
    struct simdisk_inode *inode = file_of(p, file)->inode;
    struct simdisk_sync sync;
    simdisk_sync_begin(inode, &sync);
    bool bad = fails(p, p->disk->faults.sync_eio_ppm);
    simdisk_sync_end(p->disk, inode, &sync, bad ? 50 : 100);
    return bad ? -EIO : 0;
}

/* --- operations under way -------------------------------------------------------------------- */

static size_t op_bytes(const struct spool_io_op *op)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < op->iov_count; i++) {
        sum += op->iov[i].iov_len;
    }
    return sum;
}

static void trace_write(const struct process *p, const struct spool_io_op *op)
{
    trace_event(0xdb, op->offset, op_bytes(op));
    trace_say("disk: %s writes %zu at %llx of file %d", p->name, op_bytes(op),
              (unsigned long long)op->offset, op->file);
}

static int sim_submit(struct spool_io *io, struct spool_io_op *op)
{
    struct process *p = process_of(io);
    operation(p, 0xdc, op->kind, op->offset);
    if (p->dead) {
        return -EIO;
    }
    if (p->pending_count >= p->pending_max) {
        return -EAGAIN;
    }
    assert(op->kind == SPOOL_IO_SYNC || op->iov_count > 0);
    struct pending *q = calloc(1, sizeof *q);
    assert(q != NULL);
    const struct simdisk_faults *f = &p->disk->faults;
    q->op = op;
    q->inode = file_of(p, op->file)->inode;
    q->due_ns = trace.now_ns + rng_spread(&p->disk->rng, f->latency_min_ns, f->latency_max_ns);
    if (f->stall_ppm > 0 && rng_ppm(&p->disk->rng, f->stall_ppm)) {
        q->due_ns += f->stall_ns;
    }
    if (op->kind == SPOOL_IO_SYNC) {
        simdisk_sync_begin(q->inode, &q->sync);
    } else if (op->kind == SPOOL_IO_WRITE) {
        trace_write(p, op);
    }
    struct pending **at = &p->pending;
    while (*at != NULL && (*at)->due_ns <= q->due_ns) {
        at = &(*at)->next;
    }
    q->next = *at;
    *at = q;
    p->pending_count++;
    return 0;
}

/* Writes the first `bytes` of the operation's memory. */
static void write_part(struct process *p, struct pending *q, size_t bytes)
{
    uint64_t offset = q->op->offset;
    for (uint32_t i = 0; i < q->op->iov_count && bytes > 0; i++) {
        size_t n = q->op->iov[i].iov_len < bytes ? q->op->iov[i].iov_len : bytes;
        simdisk_inode_write(p->disk, q->inode, q->op->iov[i].iov_base, n, offset);
        offset += n;
        bytes -= n;
    }
}

/* RWF_DSYNC makes only its own range durable. */
static void keep_range(struct simdisk_sync *sync, uint64_t offset, size_t bytes)
{
    size_t kept = 0;
    for (size_t i = 0; i < sync->count; i++) {
        uint64_t at = sync->snapshot[i].sector * SIMDISK_SECTOR_BYTES;
        if (at + SIMDISK_SECTOR_BYTES > offset && at < offset + bytes) {
            sync->snapshot[kept++] = sync->snapshot[i];
        }
    }
    sync->count = kept;
}

static int64_t perform_write(struct process *p, struct pending *q)
{
    size_t bytes = op_bytes(q->op);
    const struct file *f = file_of(p, q->op->file);
    for (uint32_t i = 0; i < q->op->iov_count; i++) {
        if (!aligned(f, q->op->iov[i].iov_base, q->op->iov[i].iov_len, q->op->offset)) {
            return -EINVAL;
        }
    }
    if (fails(p, p->disk->faults.write_eio_ppm)) {
        write_part(p, q,
                   rng_below(&p->disk->rng, bytes / SIMDISK_SECTOR_BYTES + 1) *
                       SIMDISK_SECTOR_BYTES);
        return -EIO;
    }
    if (lacks_space(p, q->inode, q->op->offset + bytes)) {
        return -ENOSPC;
    }
    write_part(p, q, bytes);
    if (q->op->durable) {
        struct simdisk_sync sync;
        simdisk_sync_begin(q->inode, &sync);
        keep_range(&sync, q->op->offset, bytes);
        simdisk_sync_end(p->disk, q->inode, &sync, 100);
    }
    return (int64_t)bytes;
}

static int64_t perform_read(struct process *p, struct pending *q)
{
    uint64_t offset = q->op->offset;
    int64_t sum = 0;
    for (uint32_t i = 0; i < q->op->iov_count; i++) {
        int64_t n =
            sim_pread(&p->io, q->op->file, q->op->iov[i].iov_base, q->op->iov[i].iov_len, offset);
        if (n < 0) {
            return n;
        }
        sum += n;
        offset += (uint64_t)n;
    }
    return sum;
}

static void perform(struct process *p, struct pending *q)
{
    switch (q->op->kind) {
    case SPOOL_IO_WRITE:
        q->op->result = perform_write(p, q);
        break;
    case SPOOL_IO_READ:
        q->op->result = perform_read(p, q);
        break;
    case SPOOL_IO_SYNC: {
        bool bad = fails(p, p->disk->faults.sync_eio_ppm);
        simdisk_sync_end(p->disk, q->inode, &q->sync, bad ? 50 : 100);
        q->op->result = bad ? -EIO : 0;
        break;
    }
    }
    trace_event(0xdd, q->op->kind, (uint64_t)q->op->result);
}

static struct spool_io_op *sim_reap(struct spool_io *io, bool wait)
{
    struct process *p = process_of(io);
    struct spool_io_op *done = NULL;
    struct spool_io_op **end = &done;
    while (!p->dead && p->pending != NULL &&
           (p->pending->due_ns <= trace.now_ns || (wait && done == NULL))) {
        struct pending *q = p->pending;
        p->pending = q->next;
        p->pending_count--;
        perform(p, q);
        q->op->next = NULL;
        *end = q->op;
        end = &q->op->next;
        free(q);
    }
    return done;
}

static bool sim_dsync(struct spool_io *io)
{
    return process_of(io)->disk->dsync;
}

static const char *sim_name(struct spool_io *io)
{
    (void)io;
    return "simulated";
}

static int sim_random(struct spool_io *io, void *buf, size_t len)
{
    rng_bytes(&process_of(io)->disk->rng, buf, len);
    return 0;
}

static void sim_destroy(struct spool_io *io)
{
    simdisk_process_kill(io, false);
}

static const struct spool_io_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .size = sim_size,
    .lock = sim_lock,
    .rename = sim_rename,
    .remove = sim_remove,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .sync = sim_sync,
    .submit = sim_submit,
    .reap = sim_reap,
    .dsync = sim_dsync,
    .name = sim_name,
    .random = sim_random,
    .destroy = sim_destroy,
};

struct spool_io *simdisk_process_begin(struct simdisk *disk, const char *name)
{
    struct process *p = calloc(1, sizeof *p);
    assert(p != NULL);
    p->io.ops = &sim_ops;
    p->disk = disk;
    p->pending_max = rng_percent(&disk->rng, 20) ? 4 : 64;
    snprintf(p->name, sizeof p->name, "%s", name);
    return &p->io;
}

/* A write whose process was killed: all of it happened, none, or some of its sectors. At a power
 * loss one of them may be torn. */
static void leave_write(struct process *p, struct pending *q, bool power)
{
    struct rng *rng = &p->disk->rng;
    size_t bytes = op_bytes(q->op);
    if (p->disk->faults.no_space && q->op->offset + bytes > q->inode->size) {
        return;
    }
    switch (rng_below(rng, 3)) {
    case 0:
        write_part(p, q, bytes);
        return;
    case 1:
        return;
    default:
        break;
    }
    size_t sectors = rng_below(rng, bytes / SIMDISK_SECTOR_BYTES + 1);
    write_part(p, q, sectors * SIMDISK_SECTOR_BYTES);
    if (power && sectors * SIMDISK_SECTOR_BYTES < bytes && rng_percent(rng, 50)) {
        uint8_t garbage[SIMDISK_SECTOR_BYTES];
        rng_bytes(rng, garbage, sizeof garbage);
        simdisk_inode_write(p->disk, q->inode, garbage, sizeof garbage,
                            q->op->offset + sectors * SIMDISK_SECTOR_BYTES);
    }
}

void simdisk_process_kill(struct spool_io *io, bool power)
{
    struct process *p = process_of(io);
    if (p->dead) {
        return;
    }
    while (p->pending != NULL) {
        struct pending *q = p->pending;
        p->pending = q->next;
        if (q->op->kind == SPOOL_IO_WRITE) {
            leave_write(p, q, power);
        } else if (q->op->kind == SPOOL_IO_SYNC && rng_percent(&p->disk->rng, 50)) {
            simdisk_sync_end(p->disk, q->inode, &q->sync, 100);
        } else {
            free(q->sync.snapshot);
        }
        free(q);
    }
    for (struct simdisk_inode *inode = p->disk->inodes; inode != NULL; inode = inode->next) {
        if (inode->locked_by == io) {
            inode->locked_by = NULL;
        }
    }
    p->dead = true;
}

void simdisk_process_starve(struct spool_io *io, bool starved)
{
    process_of(io)->starved = starved;
}

uint64_t simdisk_next_ns(const struct spool_io *io)
{
    const struct process *p = (const struct process *)io;
    return p->dead || p->pending == NULL ? UINT64_MAX : p->pending->due_ns;
}
