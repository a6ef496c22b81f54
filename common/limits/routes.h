/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/routes.h: bounds: routes, hops and domains. */
#ifndef HOLDFAST_COMMON_LIMITS_ROUTES_H
#define HOLDFAST_COMMON_LIMITS_ROUTES_H

#define LIMIT_ROUTES         1024
#define LIMIT_HOPS           1024
#define LIMIT_DOMAINS        65536
#define LIMIT_HOP_ADDRESSES  8
#define LIMIT_HOPS_PER_ROUTE 4

#endif
