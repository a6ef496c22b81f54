/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/fault.c: the fault handler. See fault.h.
 *
 * Trap: this is a signal handler: it makes only async-signal-safe calls, on memory prepared
 *       before. */
#include "dataplane/fault.h"

#include "common/config.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* The kernel's signal frame takes up to 11 KiB with all registers of today (AVX-512, AMX). The
 * handler itself needs hardly anything. */
enum { HANDLER_STACK_BYTES = 64 * 1024 };

static char fault_path[CONFIG_PATH_SIZE + 16];
static const struct worker *fault_worker;
static _Thread_local bool is_worker;

static void make_path(const char *dir, char out[CONFIG_PATH_SIZE + 16])
{
    int len = snprintf(out, CONFIG_PATH_SIZE + 16, "%s/fault", dir);
    assert(len > 0 && len < CONFIG_PATH_SIZE + 16);
}

static void on_fault(int number)
{
    static const char line[] = "holdfast-dataplane: fault, see the core; no mail is lost by it\n";
    ssize_t said = write(STDERR_FILENO, line, sizeof line - 1);
    (void)said;
    uint64_t id = is_worker ? worker_current_delivery(fault_worker) : 0;
    if (id != 0) {
        int fd = open(fault_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0) {
            ssize_t written = write(fd, &id, sizeof id);
            (void)written; /* nothing more can be done here */
            (void)fsync(fd);
            close(fd);
        }
    }
    (void)raise(number); /* SA_RESETHAND: this time it ends the process */
}

void fault_init(const char *dir, const struct worker *worker)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    make_path(dir, fault_path);
    fault_worker = worker;
    struct sigaction action = {.sa_handler = on_fault,
                               .sa_flags = (int)(SA_RESETHAND | SA_ONSTACK)};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        int r = sigaction(numbers[i], &action, NULL);
        assert(r == 0);
    }
}

void fault_enter_thread(void)
{
    /* Never given back: it lives as long as its thread, and so as the process. Whole pages, because
     * the address sanitizer unmaps the stack of a thread that ends. */
    void *memory = mmap(NULL, HANDLER_STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    assert(memory != MAP_FAILED && sysconf(_SC_MINSIGSTKSZ) <= HANDLER_STACK_BYTES / 2);
    stack_t stack = {.ss_sp = memory, .ss_size = HANDLER_STACK_BYTES};
    int r = sigaltstack(&stack, NULL);
    assert(r == 0);
}

void fault_enter_worker(void)
{
    fault_enter_thread();
    is_worker = true;
}

int fault_read(const char *dir, uint64_t *id_out)
{
    char path[CONFIG_PATH_SIZE + 16];
    make_path(dir, path);
    *id_out = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ELOOP) {
        (void)unlink(path); /* a link is not a file of ours */
        return 0;
    }
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    uint64_t id = 0;
    ssize_t len = read(fd, &id, sizeof id);
    int r = len < 0 ? -errno : 0;
    close(fd);
    if (len == (ssize_t)sizeof id) {
        *id_out = id;
    }
    return r;
}

void fault_clear(const char *dir)
{
    char path[CONFIG_PATH_SIZE + 16];
    make_path(dir, path);
    (void)unlink(path);
}
