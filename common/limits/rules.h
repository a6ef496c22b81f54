/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/rules.h: bounds: rules and their selections. */
#ifndef HOLDFAST_COMMON_LIMITS_RULES_H
#define HOLDFAST_COMMON_LIMITS_RULES_H

/* Terms of a selection. A list of more addresses is split into several requests. */
#define LIMIT_SELECT_TERMS 32
/* Rules: more than a person can keep in view; `bench/run rules` measures what so many cost. */
#define LIMIT_RULES 1024

#endif
