/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/kernel.h: checks of a kernel interface whose frames both the kernel and one of our
 * ports see.
 *
 * Promise: when two would answer the same peer, the start says so in one line: another relay is on
 *          the interface, or the kernel has our address on it.
 * Trap:    the check runs once. An address that the kernel gets later is not noticed.
 */
#ifndef HOLDFAST_DATAPLANE_NET_KERNEL_H
#define HOLDFAST_DATAPLANE_NET_KERNEL_H

#include "common/assert.h"
#include "common/config_fwd.h"

/* -EADDRINUSE when the kernel has interface->addr on `iface`. */
must_check int kernel_address_check(const struct config_interface *interface, const char *iface,
                                    char error_out[CONFIG_ERROR_SIZE]);
/* Takes `iface` until this process ends; -EADDRINUSE when another process has it. */
must_check int kernel_interface_take(const struct config_interface *interface, const char *iface,
                                     char error_out[CONFIG_ERROR_SIZE]);

#endif
