/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/sync.c: operations done at once with pwritev2: where io_uring is forbidden, for readers.
 *
 * Promise: the results are those of io_uring; but submit blocks until the operation is over.
 * Trap:    the caller's thread sleeps meanwhile: the writer has a thread of its own for that.
 */
#include "spool/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct queue {
    struct spool_io_op *head;
    struct spool_io_op **tail;
};

static struct queue *queue_of(struct spool_io *io)
{
    return ((struct disk *)io)->backend;
}

static int64_t perform(const struct spool_io_op *op)
{
    int64_t n = 0;
    do {
        switch (op->kind) {
        case SPOOL_IO_WRITE:
            n = pwritev2(op->file, op->iov, (int)op->iov_count, (off_t)op->offset,
                         op->durable ? RWF_DSYNC : 0);
            break;
        case SPOOL_IO_READ:
            n = preadv(op->file, op->iov, (int)op->iov_count, (off_t)op->offset);
            break;
        case SPOOL_IO_SYNC:
            n = fdatasync(op->file);
            break;
        }
        /* A sync is not repeated: its error may be gone the second time. */
    } while (n < 0 && errno == EINTR && op->kind != SPOOL_IO_SYNC);
    return n < 0 ? -errno : n;
}

static int sync_submit(struct spool_io *io, struct spool_io_op *op)
{
    struct queue *q = queue_of(io);
    assert(op->file >= 0);
    op->result = perform(op);
    op->next = NULL;
    *q->tail = op;
    q->tail = &op->next;
    return 0;
}

static struct spool_io_op *sync_reap(struct spool_io *io, bool wait)
{
    (void)wait;
    struct queue *q = queue_of(io);
    struct spool_io_op *done = q->head;
    q->head = NULL;
    q->tail = &q->head;
    return done;
}

static const char *sync_name(struct spool_io *io)
{
    (void)io;
    return "pwritev2";
}

static void sync_destroy(struct spool_io *io)
{
    free(queue_of(io));
    disk_fini((struct disk *)io);
}

static const struct spool_io_ops sync_ops = {
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
    .submit = sync_submit,
    .reap = sync_reap,
    .dsync = disk_dsync,
    .name = sync_name,
    .random = disk_random,
    .space = disk_space,
    .destroy = sync_destroy,
};

int sync_attach(struct disk *d)
{
    struct queue *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return -ENOMEM;
    }
    q->tail = &q->head;
    d->backend = q;
    d->io.ops = &sync_ops;
    return 0;
}
