/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/kernel.h: an interface of the kernel that a port of ours reads along with it.
 *
 * Promise: what would make two answer the same peer is said at the start, in one line: another
 *          relay on the interface, or the kernel with our address on it.
 * Trap:    it looks once. An address that the kernel gets later is not seen.
 */
#ifndef HOLDFAST_DATAPLANE_NET_KERNEL_H
#define HOLDFAST_DATAPLANE_NET_KERNEL_H

#include "common/assert.h"
#include "common/config_fwd.h"

/* -EADDRINUSE when the kernel has interface->addr on `iface`. */
must_check int kernel_address_check(const struct config_interface *interface, const char *iface,
                                    char error_out[CONFIG_ERROR_SIZE]);
/* Takes `iface` until this process ends; -EADDRINUSE when another has it. */
must_check int kernel_interface_take(const struct config_interface *interface, const char *iface,
                                     char error_out[CONFIG_ERROR_SIZE]);

#endif
