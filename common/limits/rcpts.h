/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/rcpts.h: bounds: recipients of a message. */
#ifndef HOLDFAST_COMMON_LIMITS_RCPTS_H
#define HOLDFAST_COMMON_LIMITS_RCPTS_H

/* At least 100 by RFC 5321 section 4.5.3.1.8; a recipient set is one 128-bit mask in the ABI. */
#define LIMIT_RCPTS 128

#endif
