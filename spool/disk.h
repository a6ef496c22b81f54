/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/disk.h: what the two real disks share: everything but submit and reap.
 *
 * Promise: all calls here are the plain POSIX ones on one directory. Only EINTR and short transfers
 *          are retried.
 * Trap:    file numbers are file descriptors.
 */
#ifndef HOLDFAST_SPOOL_DISK_H
#define HOLDFAST_SPOOL_DISK_H

#include "spool/io.h"

struct disk {
    struct spool_io io; /* first member: the vtable's functions cast */
    int dir_fd;
    int cpu;
    bool read_only;
    bool dsync;
    bool buffered; /* without O_DIRECT, which would need larger blocks than ours */
    void *backend; /* memory of submit and reap */
};

int disk_open(struct spool_io *io, const char *name, bool create, bool direct);
void disk_close(struct spool_io *io, int file);
int64_t disk_size(struct spool_io *io, int file);
int disk_lock(struct spool_io *io, int file);
int disk_rename(struct spool_io *io, const char *from, const char *to);
int disk_remove(struct spool_io *io, const char *name);
int disk_sync_dir(struct spool_io *io);
int disk_list(struct spool_io *io, int (*fn)(void *ctx, const char *name), void *ctx);
int64_t disk_pread(struct spool_io *io, int file, void *buf, size_t len, uint64_t offset);
int64_t disk_pwrite(struct spool_io *io, int file, const void *buf, size_t len, uint64_t offset);
int disk_sync(struct spool_io *io, int file);
void disk_write_out(struct spool_io *io, int file, uint64_t offset, uint64_t len);
bool disk_dsync(struct spool_io *io);
int disk_random(struct spool_io *io, void *buf, size_t len);
int64_t disk_space(struct spool_io *io);
void disk_fini(struct disk *disk);

/* Each gives disk->io its vtable and disk->backend its memory. uring_attach returns -EPERM, -ENOSYS
 * or -EACCES where the kernel forbids io_uring. */
must_check int uring_attach(struct disk *disk);
must_check int sync_attach(struct disk *disk);

#endif
