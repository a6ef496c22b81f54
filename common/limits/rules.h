/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/rules.h: bounds: rules and their selections. */
#ifndef HOLDFAST_COMMON_LIMITS_RULES_H
#define HOLDFAST_COMMON_LIMITS_RULES_H

/* Terms of a selection: more is a list, and belongs into several requests. */
#define LIMIT_SELECT_TERMS 32
/* Rules: a person has to oversee them; each costs a match per delivery. */
#define LIMIT_RULES 1024

#endif
