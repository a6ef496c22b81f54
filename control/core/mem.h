/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/mem.h: memory of the control process.
 *
 * Promise: these never return NULL.
 * Trap:    out of memory ends the process. That is safe here: all that control knows is in the
 *          logs, the checkpoint and the policy database, and a restart reads it back.
 */
#ifndef HOLDFAST_CONTROL_CORE_MEM_H
#define HOLDFAST_CONTROL_CORE_MEM_H

#include <stddef.h>

void *mem_zalloc(size_t size);
/* Grows an array of `size`-byte elements to at least `count`; *capacity is in elements. */
void *mem_grow(void *array, size_t *capacity, size_t count, size_t size);
char *mem_copy_str(const char *str);
/* Zeroed memory of MEM_LENT_BYTES from the kernel. mem_return gives it back to the kernel, whereas
 * mem_free may keep it for the process. It is for much memory that is needed once, for a while. */
enum { MEM_LENT_BYTES = 65536 };
void *mem_lend(void);
void mem_return(void *mem);
void mem_free(void *mem);

#endif
