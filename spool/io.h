/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/io.h: the seam between the spool's logic and a disk.
 *
 * Three disks stand behind it: io_uring (uring.c, the only file that includes <liburing.h>),
 * plain pwritev2 (sync.c, where io_uring is forbidden, and for readers), and the simulated one of
 * the tests, which loses what was not synced.
 *
 * Promise: a write or sync that is reported done without error has the meaning of the same call on
 *          a POSIX file; nothing is retried behind the caller's back.
 * Trap:    writes are not ordered among themselves; only a sync issued after a write was reaped
 *          covers it.
 */
#ifndef HOLDFAST_SPOOL_IO_H
#define HOLDFAST_SPOOL_IO_H

#include "common/assert.h"
#include "common/trouble.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { SPOOL_IO_IOV_MAX = 256 };

enum spool_io_kind {
    SPOOL_IO_WRITE, /* iov at offset; all lengths and the offset multiples of the block size */
    SPOOL_IO_READ,
    SPOOL_IO_SYNC, /* fdatasync */
};

/* One operation. It lies in the caller's memory, and is the disk's until it is reaped. */
struct spool_io_op {
    enum spool_io_kind kind;
    int file;
    uint64_t offset;
    struct iovec iov[SPOOL_IO_IOV_MAX];
    uint32_t iov_count;
    bool durable;   /* WRITE: with RWF_DSYNC; only where ops->dsync says true */
    int64_t result; /* bytes, or -errno */
    struct spool_io_op *next;
};

struct spool_io {
    const struct spool_io_ops *ops;
    /* Where a failing call writes what it was doing, and with which file. NULL: nowhere. It may be
     * set only while a single thread uses this disk: at the start, and in tools. */
    struct trouble *trouble;
};

struct spool_io_ops {
    /* Opens a file of the spool directory by its plain name; makes it when `create`. Returns a
     * file number >= 0 or -errno. `direct`: for the logs (O_DIRECT). */
    int (*open)(struct spool_io *io, const char *name, bool create, bool direct);
    void (*close)(struct spool_io *io, int file);
    int64_t (*size)(struct spool_io *io, int file);
    int (*lock)(struct spool_io *io, int file); /* exclusive; -EWOULDBLOCK when somebody has it */
    int (*rename)(struct spool_io *io, const char *from, const char *to);
    int (*remove)(struct spool_io *io, const char *name);
    int (*sync_dir)(struct spool_io *io);
    /* Calls fn for every name in the directory. */
    int (*list)(struct spool_io *io, int (*fn)(void *ctx, const char *name), void *ctx);
    /* Synchronous: for the start, recovery, readers, checkpoints. Bytes or -errno. */
    int64_t (*pread)(struct spool_io *io, int file, void *buf, size_t len, uint64_t offset);
    int64_t (*pwrite)(struct spool_io *io, int file, const void *buf, size_t len, uint64_t offset);
    int (*sync)(struct spool_io *io, int file);
    /* Writes what was written there from the cache to the disk and waits for that; makes nothing
     * durable. Thus a large write goes to the disk in small parts, and others get the disk between
     * them. It is only advice: there is no error. Optional, as random is. */
    void (*write_out)(struct spool_io *io, int file, uint64_t offset, uint64_t len);
    /* Asynchronous. submit never blocks on the device; -EAGAIN when its queue is full. */
    int (*submit)(struct spool_io *io, struct spool_io_op *op);
    /* Finished operations, as a list. `wait`: waits for at least one, if any is under way. */
    struct spool_io_op *(*reap)(struct spool_io *io, bool wait);
    /* True when a durable write costs no extra flush (FUA, or no volatile cache). */
    bool (*dsync)(struct spool_io *io);
    const char *(*name)(struct spool_io *io);
    /* Fills buf with unpredictable bytes: the uuid of a new spool. Optional: NULL on a simulated
     * disk, whose spools then share one fixed uuid. */
    int (*random)(struct spool_io *io, void *buf, size_t len);
    /* How many bytes files may still grow by on this volume, or -errno. Optional, as random is. */
    int64_t (*space)(struct spool_io *io);
    void (*destroy)(struct spool_io *io);
};

/* The real disks. `kind`: "auto" (io_uring, else pwritev2), "io_uring", "pwritev2". `cpu`: where
 * io-wq workers may run, -1 for anywhere. Returns 0 or -errno. */
must_check int spool_io_create(const char *dir, const char *kind, int cpu, bool read_only,
                               struct spool_io **io_out);

#endif
