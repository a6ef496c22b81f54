/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/eal.h: starts DPDK and opens the ports: what main and the worker need from DPDK,
 * without its headers.
 *
 *      nic_eal_init ─▶ nic_create ─▶ nic_launch(worker)
 *          ... nic_join ─▶ nic_destroy ─▶ nic_eal_cleanup
 *
 * Promise: a failure gives one line that says what to change; the EAL's own lines come before it.
 * Trap:    the EAL can be started once in a process; the calling thread becomes its main lcore and
 *          is pinned to service_cpu, and so are threads it makes afterwards. Call it before other
 *          threads exist and before privileges are dropped.
 */
#ifndef HOLDFAST_DATAPLANE_NET_EAL_H
#define HOLDFAST_DATAPLANE_NET_EAL_H

#include "common/assert.h"
#include "common/config_fwd.h"

#include <stddef.h>
#include <stdint.h>

struct nic;

must_check int nic_eal_init(const struct config *config, char error_out[CONFIG_ERROR_SIZE]);
void nic_eal_cleanup(void);

/* Opens a port for each device of config->interface. -EINVAL, -ENODEV, -ENOMEM or the driver's
 * -errno, with a line in error_out. */
must_check int nic_create(const struct config *config, struct nic **nic_out,
                          char error_out[CONFIG_ERROR_SIZE]);
/* Stops the ports. No frame of theirs may be used after this. */
void nic_destroy(struct nic *nic);
/* The port of config->interface[interface]; interfaces with the same device share one. */
uint32_t nic_port_of(const struct nic *nic, uint32_t interface);

/* Runs `run` on the worker's CPU, which must be the configured one: -EINVAL otherwise, -EBUSY when
 * it runs already. */
must_check int nic_launch(uint32_t lcore, int (*run)(void *), void *arg);
/* Waits until `run` returns; gives its result. */
int nic_join(void);

/* Time by the TSC: ns since some start, never backwards. Only after nic_eal_init. */
uint64_t nic_now_ns(void);
uint64_t nic_cycles(void);

/* Zeroed memory from the EAL (hugepages, where configured), which is never freed; NULL when there
 * is none left. `align` is a power of two. */
void *nic_memory(size_t bytes, size_t align);

#endif
