/* SPDX-License-Identifier: BSD-3-Clause */
/* common/assert.h: assertions that stay on in release builds.
 *
 * Promise: a bug stops the process before it can acknowledge anything further; nothing that was
 *          answered 250 depends on memory, so stopping is always safe.
 * Trap:    bytes from a peer, a disk or a file never decide an assertion. They are checked with
 *          ordinary code and get an ordinary answer.
 */
#ifndef HOLDFAST_COMMON_ASSERT_H
#define HOLDFAST_COMMON_ASSERT_H

#undef assert
#define assert(expr) ((expr) ? (void)0 : assert_failed(#expr, __FILE__, __LINE__, __func__))

/* Prints one line to standard error and aborts. */
_Noreturn void assert_failed(const char *expr, const char *file, int line, const char *func);

#define must_check __attribute__((warn_unused_result))

#endif
