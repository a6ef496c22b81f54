/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/replay.c: runs a fuzz target over the files of a corpus directory, as an ordinary
 * test. An input that once showed a fault stays in the corpus. The corpus has to reach every mark
 * of the target (reach.h). */
#include "tests/fuzz/reach.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 1 << 20 };

/* Runs one file. Returns 0 when it could be read. */
static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    uint8_t *read = malloc(INPUT_BYTES_MAX);
    size_t size = read == NULL ? 0 : fread(read, 1, INPUT_BYTES_MAX, file);
    /* A copy of the exact size, so that a sanitizer sees a read behind its end. */
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data != NULL && read != NULL) {
        memcpy(data, read, size);
        printf("%s: %zu bytes\n", path, size);
        (void)fflush(stdout);
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    int failed = data == NULL || read == NULL || ferror(file) != 0;
    free(data);
    free(read);
    (void)fclose(file);
    return failed;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        fprintf(stderr, "usage: %s corpus-directory\n", argv[0]);
        return 2;
    }
    unsigned count = 0;
    int failed = 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char path[4096];
        if (entry->d_name[0] != '.') {
            (void)snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
            failed |= replay(path);
            count++;
        }
    }
    (void)closedir(dir);
    printf("%u inputs\n", count);
    size_t missing = reach_print();
    if (missing > 0) {
        fprintf(stderr, "the corpus leaves %zu of %zu marks at zero\n", missing, reach_table_count);
    }
    return failed != 0 || count == 0 || missing > 0;
}
