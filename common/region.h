/* SPDX-License-Identifier: BSD-3-Clause */
/* common/region.h: memory that two processes share: it has no name, and is handed over by
 * descriptor.
 *
 * Promise: a region that region_map gave can be read and written from end to end for as long as it
 *          is mapped: the kernel holds its maker, too, to the size.
 * Trap:    what is in it is the other process's word, to be checked like any input.
 *
 * A name in /dev/shm is anyone's to take first. What had been truncated behind our back ended us
 * with SIGBUS. A region is a memfd: nobody finds it, and its seals forbid another size.
 */
#ifndef HOLDFAST_COMMON_REGION_H
#define HOLDFAST_COMMON_REGION_H

#include "common/assert.h"

#include <stddef.h>
#include <stdint.h>

/* Makes a zeroed region of `size` bytes, mode 0600, sealed against another size. Some MiB at most:
 * no file system bounds it. `name` is for a person who looks into /proc. The descriptor is the
 * caller's, and need not outlive its sending. 0 or -errno. */
must_check int region_make(const char *name, size_t size, int *fd_out, void **mem_out);
/* Maps what another process handed over. -EPERM: it is not our user's alone, or not sealed.
 * -EPROTO: not of this size. 0 or -errno. */
must_check int region_map(int fd, size_t size, void **mem_out);
void region_unmap(void *mem, size_t size);

/* Sends `fd` with one word. 0 or -errno; -EAGAIN: not now. */
must_check int region_send(int socket_fd, uint64_t word, int fd);
/* Takes a word and the descriptor that came with it: the caller's now. 0 or -errno; -EAGAIN:
 * nothing there; -EPIPE: the other end is gone; -EPROTO: something else than that came. */
must_check int region_receive(int socket_fd, uint64_t *word_out, int *fd_out);

#endif
