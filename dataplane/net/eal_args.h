/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/eal_args.h: makes the EAL's command line from the configuration, and checks before
 * that whether the configuration fits this machine.
 *
 * Promise: this file uses no DPDK. A configuration that is refused here does not start the EAL.
 * Trap:    the EAL permutes argv; free what eal_args_build made through the struct, not argv.
 */
#ifndef HOLDFAST_DATAPLANE_NET_EAL_ARGS_H
#define HOLDFAST_DATAPLANE_NET_EAL_ARGS_H

#include "common/assert.h"
#include "common/config_fwd.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EAL_ARG_COUNT = 64,
    EAL_ARG_SIZE = CONFIG_TEXT_SIZE + 128,
    EAL_DEVICE_NAME_SIZE = 64, /* RTE_DEV_NAME_MAX_LEN */
    /* With less, not even one port has its buffers and the EAL its tables. */
    EAL_MEMORY_MIB_MIN = 64,
    /* The lcore ids we use, whatever CPUs they are on. */
    EAL_LCORE_MAIN = 0,
    EAL_LCORE_WORKER = 1,
};

struct eal_args {
    char text[EAL_ARG_COUNT][EAL_ARG_SIZE];
    char *argv[EAL_ARG_COUNT + 1];
    int argc;
};

/* -EINVAL with a line in error_out: this machine does not have such CPUs, memory or devices. */
must_check int eal_args_check(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
/* -E2BIG when the configuration asks for more arguments than there is room for. */
must_check int eal_args_build(const struct config *config, struct eal_args *args_out);
/* What DPDK calls the device: "net_af_packet0", or a PCI address with its domain. */
must_check bool eal_device_name(const char *device, char name_out[EAL_DEVICE_NAME_SIZE]);
/* The value of key in "name,key=value,...": false when it is absent or longer than `out`. */
must_check bool eal_device_value(const char *device, const char *key, char *out, size_t out_size);
bool eal_device_is_virtual(const char *device);
/* Two interfaces may share a device. The EAL gets it only once: true for the second one. */
bool eal_device_is_repeated(const struct config *config, uint32_t index);

#endif
