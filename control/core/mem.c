/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/mem.c: allocation that ends the process when it fails. See mem.h. */
#include "control/core/mem.h"

#include "common/assert.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *mem_zalloc(size_t size)
{
    assert(size > 0);
    void *mem = calloc(1, size);
    assert(mem != NULL);
    return mem;
}

void *mem_grow(void *array, size_t *capacity, size_t count, size_t size)
{
    assert(size > 0);
    if (count <= *capacity) {
        return array;
    }
    size_t grown = *capacity < 16 ? 16 : *capacity;
    while (grown < count) {
        grown *= 2;
    }
    void *mem = reallocarray(array, grown, size);
    assert(mem != NULL);
    *capacity = grown;
    assert(*capacity >= count);
    return mem;
}

char *mem_copy_str(const char *str)
{
    char *copy = strdup(str);
    assert(copy != NULL);
    return copy;
}

void *mem_lend(void)
{
    void *mem =
        mmap(NULL, MEM_LENT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(mem != MAP_FAILED);
    return mem;
}

void mem_return(void *mem)
{
    assert(mem != NULL);
    int r = munmap(mem, MEM_LENT_BYTES);
    assert(r == 0);
}

void mem_free(void *mem)
{
    free(mem);
}
