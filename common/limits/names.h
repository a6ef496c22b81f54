/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/names.h: bounds: names in the configuration. */
#ifndef HOLDFAST_COMMON_LIMITS_NAMES_H
#define HOLDFAST_COMMON_LIMITS_NAMES_H

#define LIMIT_NAME_BYTES 32

#endif
