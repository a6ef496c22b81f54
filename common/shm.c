/* SPDX-License-Identifier: BSD-3-Clause */
/* common/shm.c: POSIX shared memory. See shm.h. */
#include "common/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map(int fd, size_t size, void **mem_out)
{
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        return -errno;
    }
    *mem_out = mem;
    return 0;
}

int shm_make(const char *name, size_t size, void **mem_out)
{
    assert(size > 0);
    (void)shm_unlink(name); /* what a killed run left */
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    /* posix_fallocate, not ftruncate: a full tmpfs must show here, not as SIGBUS later. */
    int r = -posix_fallocate(fd, 0, (off_t)size);
    if (r == 0) {
        r = map(fd, size, mem_out);
    }
    close(fd);
    if (r < 0) {
        (void)shm_unlink(name);
    }
    return r;
}

int shm_attach(const char *name, size_t size, void **mem_out)
{
    int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    struct stat st;
    int r = 0;
    if (fstat(fd, &st) < 0) {
        r = -errno;
    } else if (st.st_size < 0 || (size_t)st.st_size < size) {
        r = -EPROTO;
    } else {
        r = map(fd, size, mem_out);
    }
    close(fd);
    return r;
}

void shm_detach(void *mem, size_t size)
{
    int r = munmap(mem, size);
    assert(r == 0);
}

void shm_remove(const char *name)
{
    (void)shm_unlink(name);
}
