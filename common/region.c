/* SPDX-License-Identifier: BSD-3-Clause */
/* common/region.c: see region.h. */
#include "common/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static int map(int fd, size_t size, void **mem_out)
{
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        return -errno;
    }
    *mem_out = mem;
    return 0;
}

int region_make(const char *name, size_t size, int *fd_out, void **mem_out)
{
    assert(size > 0 && size <= INT64_MAX);
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -errno;
    }
    /* posix_fallocate takes the memory now; with ftruncate it would be taken at the first write. */
    int r = -posix_fallocate(fd, 0, (off_t)size);
    if (r == 0 && (fchmod(fd, 0600) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)) {
        r = -errno;
    }
    if (r == 0) {
        r = map(fd, size, mem_out);
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    *fd_out = fd;
    return 0;
}

int region_map(int fd, size_t size, void **mem_out)
{
    struct stat st;
    assert(size > 0 && size <= INT64_MAX);
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    /* Only a memfd has these seals: an ordinary file gives an error, a file of a tmpfs has none
     * set. A region whose owner or mode lets other users in is refused. */
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || st.st_uid != geteuid() ||
        (st.st_mode & 07777) != 0600) {
        return -EPERM;
    }
    return st.st_size == (off_t)size ? map(fd, size, mem_out) : -EPROTO;
}

void region_unmap(void *mem, size_t size)
{
    int r = munmap(mem, size);
    assert(r == 0);
}

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int region_send(int socket_fd, uint64_t word, int fd)
{
    union control control = {.bytes = {0}};
    struct iovec iov = {.iov_base = &word, .iov_len = sizeof word};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    assert(header != NULL && fd >= 0);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The one descriptor that came with a message, -1 without one. The kernel drops descriptors for
 * which there is no room. */
static int descriptor_of(struct msghdr *message)
{
    int fd = -1;
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof fd)) {
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    }
    return fd;
}

int region_receive(int socket_fd, uint64_t *word_out, int *fd_out)
{
    union control control;
    struct iovec iov = {.iov_base = word_out, .iov_len = sizeof *word_out};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    /* Not CMSG_SPACE: padding would be room for a second descriptor. */
    message.msg_controllen = CMSG_LEN(sizeof *fd_out);
    ssize_t len = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len <= 0) {
        return len == 0 || errno == ECONNRESET ? -EPIPE : -errno;
    }
    int fd = descriptor_of(&message);
    bool whole =
        len == (ssize_t)sizeof *word_out && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (!whole || fd < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -EPROTO;
    }
    *fd_out = fd;
    return 0;
}
