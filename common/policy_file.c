/* SPDX-License-Identifier: BSD-3-Clause */
/* common/policy_file.c: the snapshot as a file: saved durably, mapped read-only.
 *
 * Promise: whoever opens policy.snap sees the old one whole or the new one whole, also after a
 *          power cut: temporary file, fsync, rename, fsync of the directory.
 * Trap:    the file is only ever replaced, never written in place: a mapping of the old one stays
 *          good until it is unmapped.
 */
#include "common/policy.h"

#include "common/policy_format.h"
#include "common/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLICY_FILE "policy.snap"
#define POLICY_TEMP "policy.snap.tmp"

static int write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int save_temp(int dir, const void *data, size_t len)
{
    (void)unlinkat(dir, POLICY_TEMP, 0); /* left by a run that was killed */
    int fd = openat(dir, POLICY_TEMP, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) {
        return -errno;
    }
    int r = write_all(fd, data, len);
    if (r == 0 && fsync(fd) < 0) {
        r = -errno;
    }
    if (close(fd) < 0 && r == 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlinkat(dir, POLICY_TEMP, 0);
    }
    return r;
}

int policy_save(const char *state_dir, const void *data, size_t len)
{
    assert(policy_verify(data, len) != NULL);
    int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return -errno;
    }
    int r = save_temp(dir, data, len);
    if (r == 0 && renameat(dir, POLICY_TEMP, dir, POLICY_FILE) < 0) {
        r = -errno;
        (void)unlinkat(dir, POLICY_TEMP, 0);
    }
    if (r == 0 && fsync(dir) < 0) {
        r = -errno;
    }
    close(dir);
    return r;
}

static int map_and_verify(int fd, size_t len, const struct policy **policy_out, void **data_out)
{
    /* MAP_POPULATE: the worker must not meet a page fault at its first RCPT. */
    void *data = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (data == MAP_FAILED) {
        return -errno;
    }
    *policy_out = policy_verify(data, len);
    if (*policy_out == NULL) {
        (void)munmap(data, len);
        return -EBADMSG;
    }
    *data_out = data;
    return 0;
}

int policy_load(const char *state_dir, const struct policy **policy_out, void **data_out,
                size_t *len_out, struct trouble *trouble)
{
    char path[CONFIG_PATH_SIZE + sizeof POLICY_FILE + 1];
    int n = snprintf(path, sizeof path, "%s/%s", state_dir, POLICY_FILE);
    if (n < 0 || (size_t)n >= sizeof path) {
        return trouble_begin(trouble, -ENAMETOOLONG, "%s: opening " POLICY_FILE, state_dir);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return trouble_begin(trouble, -errno, "%s: opening the policy snapshot", path);
    }
    struct stat st;
    int r = 0;
    if (fstat(fd, &st) < 0) {
        r = -errno;
    } else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct policy) ||
               st.st_size > LIMIT_POLICY_BYTES) {
        r = -EBADMSG;
    } else {
        *len_out = (size_t)st.st_size;
        r = map_and_verify(fd, *len_out, policy_out, data_out);
    }
    close(fd);
    return r < 0 ? trouble_begin(trouble, r, "%s: reading the policy snapshot", path) : 0;
}

void policy_unload(void *data, size_t len)
{
    int r = munmap(data, len);
    assert(r == 0);
}
