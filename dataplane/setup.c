/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/setup.c: CPU placement, service manager, doorbell. See setup.h. */
#include "dataplane/setup.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

void setup_pin_thread(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void setup_notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

struct doorbell {
    int fd;
    struct sockaddr_un addr;
};

struct doorbell *doorbell_create(const struct place *place)
{
    struct doorbell *d = calloc(1, sizeof *d);
    assert(d != NULL);
    d->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(d->fd >= 0);
    place_address(place, "doorbell", &d->addr);
    return d;
}

void doorbell_ring(void *doorbell)
{
    struct doorbell *d = doorbell;
    /* When nobody is bound there, or the buffer is full, control is not asleep or will soon look by
     * itself. */
    (void)sendto(d->fd, "", 1, 0, (const struct sockaddr *)&d->addr, sizeof d->addr);
}
