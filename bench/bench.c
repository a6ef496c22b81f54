/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/bench.c: see bench.h. */
#include "bench/bench.h"

#include "common/assert.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

void bench_machine_print(void)
{
    char line[256] = "";
    char model[256] = "?";
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
            snprintf(model, sizeof model, "%.200s", strchr(line, ':') + 2);
            model[strcspn(model, "\n")] = '\0';
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    struct utsname u;
    bool known = uname(&u) == 0;
    printf("machine   %ld CPUs, %s; Linux %s\n", sysconf(_SC_NPROCESSORS_ONLN), model,
           known ? u.release : "?");
    printf("compiler  %s\n", __VERSION__);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    int err = clock_gettime(clock, &t);
    assert(err == 0);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_cycles(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *sample, size_t count)
{
    assert(count > 0);
    qsort(sample, count, sizeof *sample, compare);
    return count % 2 == 1 ? sample[count / 2] : (sample[count / 2 - 1] + sample[count / 2]) / 2;
}

uint32_t bench_option(int argc, char **argv, const char *name, uint32_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            char *end;
            unsigned long n = strtoul(argv[i + 1], &end, 10);
            if (*end != '\0' || n == 0 || n > 100000000) {
                fprintf(stderr, "%s: %s is not a number from 1 to 100000000\n", argv[0],
                        argv[i + 1]);
                exit(64);
            }
            return (uint32_t)n;
        }
    }
    return otherwise;
}
