/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/uring.c: operations through io_uring; the only file that knows liburing.
 *
 * One ring without a polling thread: docs/decisions/0004-writer-ring.md has the figures. It is made
 * disabled and enabled by the thread that submits first, whoever opened the spool.
 *
 * Promise: submit does not wait for the device, as far as the kernel allows that: what would block
 *          goes to io-wq, whose workers stay on the configured CPU.
 * Trap:    one thread at a time submits. After a fault the main thread submits one record before
 *          the writer's thread runs.
 */
#include "spool/disk.h"

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>

/* More than the writer ever has under way: two batches, two preparations, and its reads. */
enum { RING_ENTRIES = 256 };

struct uring {
    struct io_uring ring;
    bool enabled;
    uint32_t under_way;
};

static struct uring *uring_of(struct spool_io *io)
{
    return ((struct disk *)io)->backend;
}

static int enable(struct disk *d, struct uring *u)
{
    /* io_uring_enable_rings is declared but not exported by liburing.so 2.3. */
    int err = io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (err < 0) {
        return err;
    }
    u->enabled = true;
    if (d->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((unsigned)d->cpu, &set);
        /* If this fails (an old kernel), workers run on any CPU: slower, but not wrong. */
        (void)io_uring_register_iowq_aff(&u->ring, sizeof set, &set);
    }
    return 0;
}

static void prepare(struct io_uring_sqe *sqe, struct spool_io_op *op)
{
    switch (op->kind) {
    case SPOOL_IO_WRITE:
        io_uring_prep_writev(sqe, op->file, op->iov, op->iov_count, op->offset);
        sqe->rw_flags = op->durable ? RWF_DSYNC : 0;
        break;
    case SPOOL_IO_READ:
        io_uring_prep_readv(sqe, op->file, op->iov, op->iov_count, op->offset);
        break;
    case SPOOL_IO_SYNC:
        io_uring_prep_fsync(sqe, op->file, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(sqe, op);
}

static int uring_submit(struct spool_io *io, struct spool_io_op *op)
{
    struct uring *u = uring_of(io);
    assert(op->iov_count <= SPOOL_IO_IOV_MAX);
    if (!u->enabled) {
        int err = enable((struct disk *)io, u);
        if (err < 0) {
            return err;
        }
    }
    if (u->under_way == RING_ENTRIES) {
        return -EAGAIN;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe == NULL) {
        return -EAGAIN;
    }
    prepare(sqe, op);
    u->under_way++;
    int submitted = io_uring_submit(&u->ring);
    /* After -EAGAIN, -EBUSY or -EINTR the entry stays in the queue and goes with the next call. */
    assert(submitted >= 0 || submitted == -EAGAIN || submitted == -EBUSY || submitted == -EINTR);
    return 0;
}

static struct spool_io_op *uring_reap(struct spool_io *io, bool wait)
{
    struct uring *u = uring_of(io);
    struct spool_io_op *head = NULL;
    struct spool_io_op **tail = &head;
    if (u->under_way == 0) {
        return NULL;
    }
    if (io_uring_sq_ready(&u->ring) > 0) {
        (void)io_uring_submit(&u->ring);
    }
    /* The kernel cannot finish what it has not taken yet: waiting for that could last for ever. */
    wait = wait && io_uring_sq_ready(&u->ring) == 0;
    struct io_uring_cqe *cqe;
    int err = wait ? io_uring_wait_cqe(&u->ring, &cqe) : io_uring_peek_cqe(&u->ring, &cqe);
    while (err == 0) {
        struct spool_io_op *op = io_uring_cqe_get_data(cqe);
        op->result = cqe->res;
        op->next = NULL;
        *tail = op;
        tail = &op->next;
        io_uring_cqe_seen(&u->ring, cqe);
        assert(u->under_way > 0);
        u->under_way--;
        err = io_uring_peek_cqe(&u->ring, &cqe);
    }
    return head;
}

static const char *uring_name(struct spool_io *io)
{
    (void)io;
    return "io_uring";
}

static void uring_destroy(struct spool_io *io)
{
    struct uring *u = uring_of(io);
    io_uring_queue_exit(&u->ring);
    free(u);
    disk_fini((struct disk *)io);
}

static const struct spool_io_ops uring_ops = {
    .open = disk_open,
    .close = disk_close,
    .size = disk_size,
    .lock = disk_lock,
    .rename = disk_rename,
    .remove = disk_remove,
    .sync_dir = disk_sync_dir,
    .list = disk_list,
    .pread = disk_pread,
    .pwrite = disk_pwrite,
    .sync = disk_sync,
    .write_out = disk_write_out,
    .submit = uring_submit,
    .reap = uring_reap,
    .dsync = disk_dsync,
    .name = uring_name,
    .random = disk_random,
    .space = disk_space,
    .destroy = uring_destroy,
};

int uring_attach(struct disk *d)
{
    struct uring *u = calloc(1, sizeof *u);
    if (u == NULL) {
        return -ENOMEM;
    }
    /* These flags need Linux 6.0; an older kernel refuses them. */
    unsigned flags =
        IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    int err = io_uring_queue_init(RING_ENTRIES, &u->ring, flags);
    if (err == -EINVAL) {
        err = io_uring_queue_init(RING_ENTRIES, &u->ring, IORING_SETUP_R_DISABLED);
    }
    if (err < 0) {
        free(u);
        return err;
    }
    d->backend = u;
    d->io.ops = &uring_ops;
    return 0;
}
