/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_fault.c: a child faults; the next start reads which delivery the child
 * was handling.
 *
 * The worker here is this file's: it is only asked for its current delivery. */
#include "dataplane/fault.h"

#include "dataplane/worker.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker {
    uint64_t current;
};

uint64_t worker_current_delivery(const struct worker *worker)
{
    return worker->current;
}

static char dir[] = "/tmp/holdfast-fault-XXXXXX";
static char path[64];

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/fault", dir);
}

static void remove_dir(void)
{
    (void)unlink(path);
    cr_assert_eq(rmdir(dir), 0, "nothing else is left behind");
}

TestSuite(fault, .init = make_dir, .fini = remove_dir);

static void fail_assertion(void)
{
    volatile int one = 1;
    assert(one == 2);
}

static void abort_plainly(void)
{
    abort();
}

static void raise_segv(void)
{
    (void)raise(SIGSEGV);
}

static void raise_bus(void)
{
    (void)raise(SIGBUS);
}

static void raise_fpe(void)
{
    (void)raise(SIGFPE);
}

static void raise_ill(void)
{
    (void)raise(SIGILL);
}

static volatile int no_end = 1;

/* Recurses deeper, and does something after each return so that the compiler makes no loop of
 * it. */
__attribute__((noinline)) static int go_deeper(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    int below = no_end != 0 ? go_deeper(depth + 1) : 0;
    return below + room[0];
}

static void overflow_stack(void)
{
    no_end += go_deeper(0);
}

static void *overflow_in_worker(void *arg)
{
    fault_enter_worker();
    overflow_stack();
    return arg;
}

/* As on an lcore: a thread that somebody else made. */
static void overflow_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, overflow_in_worker, NULL) == 0) {
        (void)pthread_join(thread, NULL);
    }
}

static void be_killed(void)
{
    (void)raise(SIGKILL);
}

static void be_terminated(void)
{
    (void)raise(SIGTERM);
}

/* Makes a child that installs the handlers, handles delivery `current`, and ends by `fault`, in the
 * worker's thread or in another one. Returns its signal. */
static int thread_faults(uint64_t current, void (*fault)(void), bool in_worker)
{
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        const struct rlimit no_core = {0};
        struct worker worker = {.current = current};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGTERM, SIG_DFL);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDERR_FILENO);
        fault_init(dir, &worker);
        if (in_worker) {
            fault_enter_worker();
        }
        fault();
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status), "it must die of its fault, not live on");
    return WTERMSIG(status);
}

static int child_faults(uint64_t current, void (*fault)(void))
{
    return thread_faults(current, fault, true);
}

static uint64_t read_back(void)
{
    uint64_t id = 1;
    cr_assert_eq(fault_read(dir, &id), 0);
    return id;
}

/* In a crash loop, each fault of our own names the delivery under way. */
Test(fault, every_fault_of_ours_names_the_delivery)
{
    static const struct {
        void (*fault)(void);
        int number;
    } cases[] = {
        {fail_assertion, SIGABRT}, {abort_plainly, SIGABRT}, {raise_segv, SIGSEGV},
        {raise_bus, SIGBUS},       {raise_fpe, SIGFPE},      {raise_ill, SIGILL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t id = UINT64_C(0x123456789abcdef0) + i;
        cr_assert_eq(child_faults(id, cases[i].fault), cases[i].number);
        cr_assert_eq(read_back(), id);
        fault_clear(dir);
        cr_assert_eq(read_back(), 0);
    }
}

/* When the worker's stack overflows, the handler needs a stack of its own. */
Test(fault, an_overflow_of_the_stack_names_the_delivery)
{
    cr_assert_eq(child_faults(4711, overflow_stack), SIGSEGV);
    cr_assert_eq(read_back(), 4711);
    fault_clear(dir);
    cr_assert_eq(thread_faults(4712, overflow_thread, false), SIGSEGV);
    cr_assert_eq(read_back(), 4712);
}

/* The file is written only in its own place, even when somebody put a link there. */
Test(fault, a_link_in_its_place_is_not_followed)
{
    char target[64];
    snprintf(target, sizeof target, "%s/target", dir);
    cr_assert_eq(symlink(target, path), 0);
    cr_assert_eq(child_faults(1, abort_plainly), SIGABRT);
    cr_assert_neq(access(target, F_OK), 0);
    cr_assert_eq(read_back(), 0, "nor read");
    cr_assert_eq(child_faults(2, abort_plainly), SIGABRT);
    cr_assert_eq(read_back(), 2, "it is gone");
}

/* Being killed or stopped says nothing about any mail. */
Test(fault, being_killed_names_nothing)
{
    cr_assert_eq(child_faults(77, be_killed), SIGKILL);
    cr_assert_eq(read_back(), 0);
    cr_assert_eq(child_faults(77, be_terminated), SIGTERM);
    cr_assert_eq(read_back(), 0);
}

Test(fault, a_fault_outside_of_any_delivery_names_nothing)
{
    cr_assert_eq(child_faults(0, abort_plainly), SIGABRT);
    cr_assert_eq(read_back(), 0);
    cr_assert_neq(access(path, F_OK), 0);
}

/* The writer's or the housekeeping thread's fault is not that of the mail under way. */
Test(fault, a_fault_in_another_thread_names_nothing)
{
    cr_assert_eq(thread_faults(77, abort_plainly, false), SIGABRT);
    cr_assert_eq(read_back(), 0);
    cr_assert_neq(access(path, F_OK), 0);
}

/* The file of an earlier fault that nobody cleared is replaced, not appended to. */
Test(fault, the_last_fault_counts)
{
    cr_assert_eq(child_faults(1, abort_plainly), SIGABRT);
    cr_assert_eq(child_faults(2, abort_plainly), SIGABRT);
    cr_assert_eq(read_back(), 2);
}

Test(fault, the_file_is_ours_alone)
{
    struct stat st;
    cr_assert_eq(child_faults(1, abort_plainly), SIGABRT);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
}

/* The file of a process that was dying may be short: it names no delivery, and is no error. */
Test(fault, a_torn_file_names_nothing)
{
    for (size_t len = 0; len < sizeof(uint64_t); len++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", len), (ssize_t)len);
        close(fd);
        cr_assert_eq(read_back(), 0, "length %zu", len);
    }
}

Test(fault, nothing_there_is_no_error)
{
    cr_assert_eq(read_back(), 0);
    fault_clear(dir);
}
