/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/policy.h: bounds: a policy snapshot. */
#ifndef HOLDFAST_COMMON_LIMITS_POLICY_H
#define HOLDFAST_COMMON_LIMITS_POLICY_H

#define LIMIT_POLICY_BYTES (1 << 30)
#define LIMIT_POLICY_SLOTS (1 << 23)

#endif
