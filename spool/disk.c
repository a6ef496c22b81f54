/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/disk.c: see disk.h: the files of one directory, by plain POSIX calls.
 *
 * Promise: an error reaches the caller as it came; only EINTR and short transfers are continued.
 * Trap:    a read-only disk never creates, locks, renames or uses O_DIRECT: it works beside a
 *          running writer and on a read-only mount.
 */
#include "spool/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static struct disk *disk_of(struct spool_io *io)
{
    return (struct disk *)io;
}

static int fail_name(const struct spool_io *io, const char *doing, const char *name)
{
    return trouble_begin(io->trouble, -errno, "%s %s", doing, name);
}

/* Like fail_name, for an open file: the kernel knows its name. */
static int fail_file(const struct spool_io *io, const char *doing, int file)
{
    int err = -errno;
    char path[256] = "a file";
    if (io->trouble != NULL) {
        char link[48];
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        ssize_t len = readlink(link, path, sizeof path - 1);
        path[len > 0 ? len : 0] = '\0';
    }
    const char *slash = strrchr(path, '/');
    return trouble_begin(io->trouble, err, "%s %s", doing, slash == NULL ? path : slash + 1);
}

int disk_open(struct spool_io *io, const char *name, bool create, bool direct)
{
    struct disk *d = disk_of(io);
    if (d->read_only && create) {
        return -EROFS;
    }
    int flags = (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW;
    flags |= create ? O_CREAT : 0;
    if (direct && !d->read_only && !d->buffered) {
        int fd = openat(d->dir_fd, name, flags | O_DIRECT, 0600);
        if (fd >= 0 || errno != EINVAL) { /* EINVAL: a filesystem without O_DIRECT */
            return fd >= 0 ? fd : fail_name(io, "opening", name);
        }
    }
    int fd = openat(d->dir_fd, name, flags, 0600);
    return fd >= 0 ? fd : fail_name(io, "opening", name);
}

void disk_close(struct spool_io *io, int file)
{
    (void)io;
    assert(file >= 0);
    close(file);
}

int64_t disk_size(struct spool_io *io, int file)
{
    struct stat st;
    return fstat(file, &st) == 0 ? st.st_size : fail_file(io, "the size of", file);
}

int disk_lock(struct spool_io *io, int file)
{
    if (flock(file, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    return errno == EWOULDBLOCK
               ? trouble_say(io->trouble, -EWOULDBLOCK, "another process has it in use")
               : fail_file(io, "locking", file);
}

int disk_rename(struct spool_io *io, const char *from, const char *to)
{
    struct disk *d = disk_of(io);
    return renameat(d->dir_fd, from, d->dir_fd, to) == 0 ? 0 : fail_name(io, "renaming to", to);
}

int disk_remove(struct spool_io *io, const char *name)
{
    return unlinkat(disk_of(io)->dir_fd, name, 0) == 0 ? 0 : fail_name(io, "removing", name);
}

int disk_sync_dir(struct spool_io *io)
{
    return fsync(disk_of(io)->dir_fd) == 0 ? 0 : fail_name(io, "syncing", "the directory");
}

int disk_list(struct spool_io *io, int (*fn)(void *ctx, const char *name), void *ctx)
{
    int fd = openat(disk_of(io)->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int err = fail_name(io, "listing", "the directory");
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    int err = 0;
    while (err == 0) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            err = errno == 0 ? 0 : fail_name(io, "listing", "the directory");
            break;
        }
        if (entry->d_name[0] != '.') {
            err = fn(ctx, entry->d_name);
        }
    }
    closedir(dir);
    return err;
}

int64_t disk_pread(struct spool_io *io, int file, void *buf, size_t len, uint64_t offset)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(file, (uint8_t *)buf + got, len - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_file(io, "reading", file);
        }
        got += (size_t)n;
        if (n == 0 || got % 512 != 0) {
            break; /* the end of the file; O_DIRECT reads go on only at block boundaries */
        }
    }
    return (int64_t)got;
}

int64_t disk_pwrite(struct spool_io *io, int file, const void *buf, size_t len, uint64_t offset)
{
    size_t put = 0;
    while (put < len) {
        ssize_t n = pwrite(file, (const uint8_t *)buf + put, len - put, (off_t)(offset + put));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            return fail_file(io, "writing", file);
        }
        put += (size_t)n;
    }
    return (int64_t)put;
}

int disk_sync(struct spool_io *io, int file)
{
    return fsync(file) == 0 ? 0 : fail_file(io, "syncing", file);
}

void disk_write_out(struct spool_io *io, int file, uint64_t offset, uint64_t len)
{
    (void)io;
    assert(file >= 0);
    (void)sync_file_range(file, (off_t)offset, (off_t)len,
                          SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

bool disk_dsync(struct spool_io *io)
{
    return disk_of(io)->dsync;
}

int disk_random(struct spool_io *io, void *buf, size_t len)
{
    (void)io;
    assert(len <= 256); /* getrandom is not interrupted below that */
    return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -EIO;
}

int64_t disk_space(struct spool_io *io)
{
    struct statvfs fs;
    if (fstatvfs(disk_of(io)->dir_fd, &fs) != 0) {
        return -errno;
    }
    uint64_t bytes;
    bool overflow = __builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, &bytes);
    return overflow || bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

void disk_fini(struct disk *d)
{
    close(d->dir_fd);
    free(d);
}
