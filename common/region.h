/* SPDX-License-Identifier: BSD-3-Clause */
/* common/region.h: memory that two processes share: it has no name, and is handed over by
 * descriptor.
 *
 * Promise: a region that region_map gave can be read and written from end to end for as long as it
 *          is mapped: the kernel forbids everybody, its maker too, to change the size.
 * Trap:    its content is input from the other process, to be checked like any input.
 *
 * Why no file in /dev/shm: any user can take the name first, and whoever truncates the file ends
 * both processes by SIGBUS. A region is a memfd: it has no name, and its seals forbid another size.
 */
#ifndef HOLDFAST_COMMON_REGION_H
#define HOLDFAST_COMMON_REGION_H

#include "common/assert.h"

#include <stddef.h>
#include <stdint.h>

/* Makes a zeroed region of `size` bytes, mode 0600, sealed against another size. Keep it to some
 * MiB: no file system limits it. `name` is shown in /proc. The descriptor is the caller's, who may
 * close it after it was sent. 0 or -errno. */
must_check int region_make(const char *name, size_t size, int *fd_out, void **mem_out);
/* Maps a region that another process handed over. -EPERM: it is not our user's alone, or not
 * sealed. -EPROTO: it has another size. 0 or -errno. */
must_check int region_map(int fd, size_t size, void **mem_out);
void region_unmap(void *mem, size_t size);

/* Sends `fd` with one word. 0 or -errno; -EAGAIN: not now. */
must_check int region_send(int socket_fd, uint64_t word, int fd);
/* Receives a word and the descriptor that came with it, which is the caller's then. 0 or -errno;
 * -EAGAIN: nothing there; -EPIPE: the other end is gone; -EPROTO: something else came. */
must_check int region_receive(int socket_fd, uint64_t *word_out, int *fd_out);

#endif
