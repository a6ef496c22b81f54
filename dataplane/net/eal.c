/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/eal.c: DPDK's environment: start, lcores, time, memory. See eal.h. */
#include "dataplane/net/eal.h"

#include "common/config.h"
#include "dataplane/net/eal_args.h"
#include "dataplane/net/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#define NS_PER_SECOND UINT64_C(1000000000)

static uint32_t worker_cpu;
/* The EAL keeps pointers into its arguments as long as it lives. */
static struct eal_args *eal_args;
/* ns = cycles * ns_mult / 2^32 */
static uint64_t ns_mult;

/* What the kernel says of its huge pages of one size; 0 when it has none of that size. */
static uint64_t hugepages(const char *size, const char *what)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%s/%s", size, what);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    unsigned long long count = 0;
    if (fscanf(file, "%llu", &count) != 1) {
        count = 0;
    }
    fclose(file);
    return count;
}

/* The pages that are reserved and free, and those that the kernel would still try to find on
 * demand. */
static uint64_t hugepages_free(const char *size)
{
    uint64_t overcommit = hugepages(size, "nr_overcommit_hugepages");
    uint64_t surplus = hugepages(size, "surplus_hugepages");
    return hugepages(size, "free_hugepages") + (overcommit > surplus ? overcommit - surplus : 0);
}

/* Checked before the EAL starts, because the EAL's own message says less in more lines. */
static int check_hugepages(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    uint32_t wanted_mib = config->dataplane.memory_mib;
    uint64_t small = hugepages_free("2048kB");
    if (!config->dataplane.hugepages ||
        small * 2 + hugepages_free("1048576kB") * 1024 >= wanted_mib) {
        return 0;
    }
    snprintf(error_out, CONFIG_ERROR_SIZE,
             "dataplane.memory = %u MiB needs %u free 2048 kB hugepages and there are %llu: "
             "reserve them with \"sysctl vm.nr_hugepages=N\" or set dataplane.hugepages = false",
             wanted_mib, (wanted_mib + 1) / 2, (unsigned long long)small);
    return -ENOMEM;
}

static void explain_failure(const struct config *config, int eal_errno,
                            char error_out[CONFIG_ERROR_SIZE])
{
    if (geteuid() != 0) {
        snprintf(error_out, CONFIG_ERROR_SIZE,
                 "DPDK did not start (%s): start as root, privileges are dropped afterwards",
                 rte_strerror(eal_errno));
        return;
    }
    if (eal_errno == EINVAL && config->dataplane.eal_arg_count > 0) {
        snprintf(error_out, CONFIG_ERROR_SIZE,
                 "DPDK did not start: it does not know what dataplane.eal gives it");
        return;
    }
    snprintf(error_out, CONFIG_ERROR_SIZE,
             "DPDK did not start with %u MiB of %s (%s): its own lines above say why",
             config->dataplane.memory_mib, config->dataplane.hugepages ? "hugepages" : "memory",
             rte_strerror(eal_errno));
}

/* The server of net_memif binds a socket file, which a killed run leaves behind. Removes such a
 * file when nobody listens to it. An abstract socket (the default) leaves none. */
static void memif_socket_clean(const char *device)
{
    char value[CONFIG_TEXT_SIZE];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strncmp(device, "net_memif", strlen("net_memif")) != 0 ||
        !eal_device_value(device, "socket-abstract", value, sizeof value) ||
        strcmp(value, "no") != 0 ||
        !eal_device_value(device, "socket", addr.sun_path, sizeof addr.sun_path)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0 && errno == ECONNREFUSED) {
        (void)unlink(addr.sun_path); /* if that fails, the driver will say so */
    }
    close(fd);
}

/* Checks the kernel's interface under net_af_packet and net_af_xdp. */
static int check_kernel(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    int rc = 0;
    for (uint32_t i = 0; i < config->interface_count && rc == 0; i++) {
        const struct config_interface *interface = &config->interface[i];
        char iface[CONFIG_TEXT_SIZE];
        if (strncmp(interface->device, "net_af_", strlen("net_af_")) != 0 ||
            !eal_device_value(interface->device, "iface", iface, sizeof iface)) {
            continue;
        }
        rc = kernel_address_check(interface, iface, error_out);
        if (rc == 0 && !eal_device_is_repeated(config, i)) {
            rc = kernel_interface_take(interface, iface, error_out);
        }
    }
    return rc;
}

int nic_eal_init(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    int rc = eal_args_check(config, error_out);
    rc = rc == 0 ? check_kernel(config, error_out) : rc;
    rc = rc == 0 ? check_hugepages(config, error_out) : rc;
    if (rc != 0) {
        return rc;
    }
    assert(eal_args == NULL);
    struct eal_args *args = malloc(sizeof *args);
    if (args == NULL) {
        snprintf(error_out, CONFIG_ERROR_SIZE, "no memory");
        return -ENOMEM;
    }
    rc = eal_args_build(config, args);
    if (rc != 0) {
        snprintf(error_out, CONFIG_ERROR_SIZE, "dataplane.eal or a device: too many or too long");
        free(args);
        return rc;
    }
    eal_args = args;
    for (uint32_t i = 0; i < config->interface_count; i++) {
        memif_socket_clean(config->interface[i].device);
    }
    if (rte_eal_init(args->argc, args->argv) < 0) {
        explain_failure(config, rte_errno, error_out);
        return rte_errno > 0 ? -rte_errno : -EIO;
    }
    worker_cpu = config->dataplane.lcore;
    uint64_t hz = rte_get_tsc_hz();
    assert(hz > 0);
    ns_mult = (NS_PER_SECOND << 32) / hz;
    return 0;
}

void nic_eal_cleanup(void)
{
    if (rte_eal_cleanup() != 0) {
        fprintf(stderr, "holdfast-dataplane: DPDK did not clean up\n");
    }
    free(eal_args);
    eal_args = NULL;
}

int nic_launch(uint32_t lcore, int (*run)(void *), void *arg)
{
    if (lcore != worker_cpu || !rte_lcore_is_enabled(EAL_LCORE_WORKER)) {
        return -EINVAL;
    }
    return rte_eal_remote_launch(run, arg, EAL_LCORE_WORKER);
}

int nic_join(void)
{
    return rte_eal_wait_lcore(EAL_LCORE_WORKER);
}

uint64_t nic_now_ns(void)
{
    assert(ns_mult != 0);
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)rte_rdtsc() * ns_mult) >> 32);
}

uint64_t nic_cycles(void)
{
    return rte_rdtsc();
}

void *nic_memory(size_t bytes, size_t align)
{
    assert((align & (align - 1)) == 0);
    return rte_zmalloc(NULL, bytes, (unsigned)align);
}
