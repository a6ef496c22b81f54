/* SPDX-License-Identifier: BSD-3-Clause */
/* common/shm.h: POSIX shared memory, made or opened, with owner and mode. */
#ifndef HOLDFAST_COMMON_SHM_H
#define HOLDFAST_COMMON_SHM_H

#include "common/assert.h"

#include <stddef.h>

/* Makes a zeroed region of `size` bytes, mode 0600; an old one of that name is removed first.
 * Returns 0 or -errno. */
must_check int shm_make(const char *name, size_t size, void **mem_out);
/* Maps an existing region; -EPROTO when it is smaller than `size`. Returns 0 or -errno. */
must_check int shm_attach(const char *name, size_t size, void **mem_out);
void shm_detach(void *mem, size_t size);
/* Removes the name; mappings stay. A name that is gone is fine. */
void shm_remove(const char *name);

#endif
