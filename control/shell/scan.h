/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/scan.h: one log, read in a lane, handed to the core in parts. */
#ifndef HOLDFAST_CONTROL_SHELL_SCAN_H
#define HOLDFAST_CONTROL_SHELL_SCAN_H

#include "control/shell/works.h"

/* Reads the log from `from` to `to` (UINT64_MAX: to its end, and makes it durable). `envelopes`:
 * hands envelopes on, for the rules. 0; -ECANCELED: the process ends; -errno. */
must_check int scan_messages(struct work_tools *tools, uint64_t from, uint64_t to, bool envelopes);
must_check int scan_states(struct work_tools *tools, uint64_t from, uint64_t to);
/* Looks whether a file of the message log has an unreadable header. 0 or -errno. */
must_check int scan_headers(struct work_tools *tools, bool *damaged_out);
/* Sends a line for the operator's log from a lane. */
__attribute__((format(printf, 3, 4))) void scan_say(struct work_tools *tools, int level,
                                                    const char *format, ...);

#endif
