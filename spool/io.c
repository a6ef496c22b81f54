/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/io.c: the real disk: its directory, what the device can do, how writes are submitted.
 *
 *   io.c ──▶ uring.c ─┬─▶ disk.c
 *       └──▶ sync.c ──┘
 *
 * Promise: with "auto", a kernel that forbids io_uring costs speed and nothing else.
 * Trap:    what the device can do is asked once, of sysfs. What is not found there counts as no.
 */
#include "spool/io.h"

#include "spool/disk.h"
#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Reads a one-line file of sysfs below the queue of the device; false when there is none. */
static bool queue_setting(dev_t dev, const char *setting, char *out, size_t size)
{
    static const char *const place[] = {"queue", "../queue"}; /* a disk, a partition */
    for (size_t i = 0; i < sizeof place / sizeof place[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s/%s", major(dev), minor(dev), place[i],
                 setting);
        FILE *f = fopen(path, "re");
        if (f != NULL) {
            bool got = fgets(out, (int)size, f) != NULL;
            fclose(f);
            return got;
        }
    }
    return false;
}

/* True when RWF_DSYNC costs no extra flush: the device has no volatile cache, or can write through
 * it (FUA). On other devices it is slow: 271 instead of 3 853 commits/s were measured. When in
 * doubt: false. */
static bool probe_dsync(int dir_fd)
{
    struct stat st;
    char cache[32];
    char fua[8];
    if (fstat(dir_fd, &st) != 0 || !queue_setting(st.st_dev, "write_cache", cache, sizeof cache)) {
        return false;
    }
    if (strncmp(cache, "write through", 13) == 0) {
        return true;
    }
    return queue_setting(st.st_dev, "fua", fua, sizeof fua) && fua[0] == '1';
}

/* True when the logs have to be written without O_DIRECT: records end at multiples of 512, and
 * O_DIRECT refuses that where the device's own blocks are larger. */
static bool probe_buffered(int dir_fd)
{
    struct stat st;
    char block[16];
    return fstat(dir_fd, &st) == 0 &&
           queue_setting(st.st_dev, "logical_block_size", block, sizeof block) &&
           strtoul(block, NULL, 10) > SPOOL_BLOCK_BYTES;
}

/* Every segment keeps its descriptor open: allows as many as this process can have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* where it is refused, open says EMFILE */
    }
}

/* Makes the directory's own name durable: whoever made the directory may not have synced its
 * parent. */
static int sync_parent(int dir_fd)
{
    int parent = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = parent >= 0 && fsync(parent) == 0 ? 0 : -errno;
    if (parent >= 0) {
        close(parent);
    }
    return err;
}

static int open_dir(const char *dir, bool read_only)
{
    bool made = !read_only && mkdir(dir, 0700) == 0;
    if (!read_only && !made && errno != EEXIST) {
        return -errno;
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int err = read_only ? 0 : sync_parent(fd);
    if (err == -EACCES && !made) {
        err = 0; /* the parent is another user's, and we may not read it: it was made long before */
    }
    if (err != 0) {
        close(fd);
        return err;
    }
    return fd;
}

static int attach(struct disk *d, const char *kind)
{
    if (strcmp(kind, "pwritev2") == 0) {
        return sync_attach(d);
    }
    int err = uring_attach(d);
    bool forbidden = err == -EPERM || err == -EACCES || err == -ENOSYS || err == -ENOMEM;
    return forbidden && strcmp(kind, "auto") == 0 ? sync_attach(d) : err;
}

int spool_io_create(const char *dir, const char *kind, int cpu, bool read_only,
                    struct spool_io **io_out)
{
    if (strcmp(kind, "auto") != 0 && strcmp(kind, "io_uring") != 0 &&
        strcmp(kind, "pwritev2") != 0) {
        return -EINVAL;
    }
    int dir_fd = open_dir(dir, read_only);
    if (dir_fd < 0) {
        return dir_fd;
    }
    struct disk *d = calloc(1, sizeof *d);
    if (d == NULL) {
        close(dir_fd);
        return -ENOMEM;
    }
    *d = (struct disk){.dir_fd = dir_fd, .cpu = cpu, .read_only = read_only};
    int err = attach(d, read_only ? "pwritev2" : kind);
    if (err != 0) {
        disk_fini(d);
        return err;
    }
    if (!read_only) {
        d->dsync = probe_dsync(dir_fd);
        d->buffered = probe_buffered(dir_fd);
        raise_file_limit();
    }
    *io_out = &d->io;
    return 0;
}
