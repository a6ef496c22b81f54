/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/eal_args.c: the EAL's command line. See eal_args.h.
 *
 * Memory. Hugepages are taken with --in-memory. It uses no files, so a killed process keeps no
 * pages from the next one, and no hugetlbfs mount is needed. net_memif is the exception: it needs
 * the EAL's multi-process channel, which --in-memory switches off; there the files are unlinked as
 * soon as they are mapped (--huge-unlink=always). Without hugepages --no-shconf does the same;
 * --no-huge and --in-memory do not go together in 22.11.
 *
 * CPUs. lcore 0 is the main thread on service_cpu, lcore 1 the worker on its CPU. With this mapping
 * both may be the same CPU, and CPUs above RTE_MAX_LCORE work, too.
 *
 * net_af_packet. Its transmit function waits in poll(-1) for a free slot when its ring is full. The
 * ring fills only while the kernel still holds our frames, most of all in a queueing discipline:
 * behind one of 100 Mb/s the worker was slowed to wire speed. So the queueing discipline is
 * bypassed (a full device then drops frames, and TCP sends them again), and the ring is large: 4096
 * slots of 2 KiB each way, 16 MiB of kernel memory for each port. Arguments that the configuration
 * gives are kept.
 */
#include "dataplane/net/eal_args.h"

#include "common/config.h"
#include "common/trouble.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATH_SIZE = 320 };

static const char *const af_packet_defaults[] = {
    "blocksz=65536",
    "framesz=2048",
    "framecnt=4096",
    "qdisc_bypass=1",
};

__attribute__((format(printf, 2, 3))) static int refuse(char error_out[CONFIG_ERROR_SIZE],
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error_out, CONFIG_ERROR_SIZE, format, args);
    va_end(args);
    return -EINVAL;
}

/* --- devices --------------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool eal_device_is_virtual(const char *device)
{
    return starts_with(device, "net_");
}

bool eal_device_name(const char *device, char name_out[EAL_DEVICE_NAME_SIZE])
{
    size_t len = strcspn(device, ",");
    /* "03:00.0" is short for a device of domain 0. */
    bool add_domain = !eal_device_is_virtual(device) && len == strlen("00:00.0");
    size_t domain_len = add_domain ? strlen("0000:") : 0;
    if (len == 0 || len + domain_len >= EAL_DEVICE_NAME_SIZE) {
        return false;
    }
    memcpy(name_out, "0000:", domain_len);
    memcpy(name_out + domain_len, device, len);
    name_out[domain_len + len] = '\0';
    return true;
}

static bool is_pci(const char *name)
{
    static const char shape[] = "xxxx:xx:xx.x";
    if (strlen(name) != strlen(shape)) {
        return false;
    }
    for (size_t i = 0; shape[i] != '\0'; i++) {
        bool fits = shape[i] == 'x' ? isxdigit((unsigned char)name[i]) != 0 : name[i] == shape[i];
        if (!fits) {
            return false;
        }
    }
    return true;
}

bool eal_device_value(const char *device, const char *key, char *out, size_t out_size)
{
    size_t key_len = strlen(key);
    for (const char *at = strchr(device, ','); at != NULL; at = strchr(at, ',')) {
        at++;
        if (strncmp(at, key, key_len) == 0 && at[key_len] == '=') {
            at += key_len + 1;
            size_t len = strcspn(at, ",");
            if (len >= out_size) {
                return false;
            }
            memcpy(out, at, len);
            out[len] = '\0';
            return true;
        }
    }
    return false;
}

static int check_kernel_interface(const struct config_interface *interface,
                                  char error_out[CONFIG_ERROR_SIZE])
{
    char iface[CONFIG_TEXT_SIZE];
    if (!eal_device_value(interface->device, "iface", iface, sizeof iface)) {
        return refuse(error_out, "interface \"%s\": device \"%s\" lacks \",iface=NAME\"",
                      interface->name, interface->device);
    }
    if (if_nametoindex(iface) == 0) {
        return refuse(error_out, "interface \"%s\": this machine has no network interface \"%s\"",
                      interface->name, iface);
    }
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return refuse(error_out,
                      "interface \"%s\": opening a packet socket: %s: start as root, "
                      "privileges are dropped afterwards",
                      interface->name, trouble_meaning(-errno));
    }
    close(fd);
    return 0;
}

static int check_device(const struct config_interface *interface, char error_out[CONFIG_ERROR_SIZE])
{
    char name[EAL_DEVICE_NAME_SIZE];
    if (!eal_device_name(interface->device, name)) {
        return refuse(error_out, "interface \"%s\": device \"%s\" has no usable name",
                      interface->name, interface->device);
    }
    if (starts_with(name, "net_af_packet") || starts_with(name, "net_af_xdp")) {
        return check_kernel_interface(interface, error_out);
    }
    if (eal_device_is_virtual(name)) {
        return 0;
    }
    if (!is_pci(name)) {
        return refuse(error_out,
                      "interface \"%s\": device \"%s\" is neither a PCI address nor "
                      "one of DPDK's virtual devices (net_...)",
                      interface->name, interface->device);
    }
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", name);
    if (access(path, F_OK) != 0) {
        return refuse(error_out, "interface \"%s\": there is no PCI device %s", interface->name,
                      name);
    }
    return 0;
}

/* --- checks ---------------------------------------------------------------------------------- */

static int check_cpu(const char *key, uint32_t cpu, char error_out[CONFIG_ERROR_SIZE])
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return refuse(error_out, "dataplane.%s: reading the CPU affinity: %s", key,
                      trouble_meaning(-errno));
    }
    if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed)) {
        return 0;
    }
    unsigned first = 0;
    while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &allowed)) {
        first++;
    }
    unsigned last = CPU_SETSIZE - 1;
    while (last > first && !CPU_ISSET(last, &allowed)) {
        last--;
    }
    return refuse(error_out, "dataplane.%s = %u: this process may use %d CPUs of %u to %u", key,
                  cpu, CPU_COUNT(&allowed), first, last);
}

int eal_args_check(const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    assert(config->interface_count <= LIMIT_INTERFACES);
    int rc = check_cpu("lcore", config->dataplane.lcore, error_out);
    if (rc == 0) {
        rc = check_cpu("service_cpu", config->dataplane.service_cpu, error_out);
    }
    if (rc != 0) {
        return rc;
    }
    if (config->dataplane.memory_mib < EAL_MEMORY_MIB_MIN) {
        return refuse(error_out, "dataplane.memory = %u MiB is too small: at least %d MiB",
                      config->dataplane.memory_mib, EAL_MEMORY_MIB_MIN);
    }
    if (config->interface_count == 0) {
        return refuse(error_out, "no interfaces are configured");
    }
    for (uint32_t i = 0; i < config->interface_count && rc == 0; i++) {
        rc = check_device(&config->interface[i], error_out);
    }
    return rc;
}

/* --- the command line ------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static bool add(struct eal_args *args, const char *format,
                                                      ...)
{
    if (args->argc >= EAL_ARG_COUNT) {
        return false;
    }
    char *text = args->text[args->argc];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(text, EAL_ARG_SIZE, format, list);
    va_end(list);
    if (len < 0 || len >= EAL_ARG_SIZE) {
        return false;
    }
    args->argv[args->argc] = text;
    args->argc++;
    return true;
}

static bool add_vdev(struct eal_args *args, const char *device)
{
    char text[EAL_ARG_SIZE];
    int len = snprintf(text, sizeof text, "%s", device);
    for (size_t i = 0; starts_with(device, "net_af_packet") &&
                       i < sizeof af_packet_defaults / sizeof *af_packet_defaults;
         i++) {
        char key[32];
        char value[CONFIG_TEXT_SIZE];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(af_packet_defaults[i], "="),
                 af_packet_defaults[i]);
        if (!eal_device_value(device, key, value, sizeof value) && len < (int)sizeof text) {
            len += snprintf(text + len, sizeof text - (size_t)len, ",%s", af_packet_defaults[i]);
        }
    }
    return len < (int)sizeof text && add(args, "--vdev=%s", text);
}

bool eal_device_is_repeated(const struct config *config, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(config->interface[i].device, config->interface[index].device) == 0) {
            return true;
        }
    }
    return false;
}

static bool add_memory(struct eal_args *args, const struct config *config, bool memif)
{
    bool ok = add(args, "-m") && add(args, "%u", config->dataplane.memory_mib);
    ok = ok && add(args, "--file-prefix=holdfast-%s", config->instance);
    if (!config->dataplane.hugepages) {
        ok = ok && add(args, "--no-huge") && add(args, "--iova-mode=va");
        return ok && (memif || add(args, "--no-shconf"));
    }
    return ok && add(args, memif ? "--huge-unlink=always" : "--in-memory");
}

int eal_args_build(const struct config *config, struct eal_args *args_out)
{
    memset(args_out, 0, sizeof *args_out);
    bool memif = false;
    bool pci = false;
    for (uint32_t i = 0; i < config->interface_count; i++) {
        memif = memif || starts_with(config->interface[i].device, "net_memif");
        pci = pci || !eal_device_is_virtual(config->interface[i].device);
    }
    bool ok = add(args_out, "holdfast-dataplane") &&
              add(args_out, "--lcores=%d@%u,%d@%u", EAL_LCORE_MAIN, config->dataplane.service_cpu,
                  EAL_LCORE_WORKER, config->dataplane.lcore) &&
              add(args_out, "--main-lcore=%d", EAL_LCORE_MAIN) &&
              add_memory(args_out, config, memif) && add(args_out, "--no-telemetry") &&
              add(args_out, "--log-level=error");
    if (ok && !pci) {
        ok = add(args_out, "--no-pci");
    }
    for (uint32_t i = 0; ok && i < config->interface_count; i++) {
        const char *device = config->interface[i].device;
        if (eal_device_is_repeated(config, i)) {
            continue;
        }
        ok = eal_device_is_virtual(device) ? add_vdev(args_out, device)
                                           : add(args_out, "-a") && add(args_out, "%s", device);
    }
    for (uint32_t i = 0; ok && i < config->dataplane.eal_arg_count; i++) {
        ok = add(args_out, "%s", config->dataplane.eal_arg[i]);
    }
    return ok ? 0 : -E2BIG;
}
