/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/admin.h: bounds: what an operator or a script may ask of control. */
#ifndef HOLDFAST_COMMON_LIMITS_ADMIN_H
#define HOLDFAST_COMMON_LIMITS_ADMIN_H

/* Connections of operators and their scripts; each may hold a frame in memory. */
#define LIMIT_ADMIN_CONNS 32
/* Of one user: so that there is room for another. */
#define LIMIT_ADMIN_CONNS_USER    (LIMIT_ADMIN_CONNS / 2)
#define LIMIT_ADMIN_REQUEST_BYTES (1 << 20)
#define LIMIT_ADMIN_ANSWER_BYTES  (16 << 20)
/* Deliveries in one answer; escaped, text takes twice the bytes: within the frame. */
#define LIMIT_ADMIN_LIST       10000
#define LIMIT_ADMIN_LIST_BYTES (7 * 1024 * 1024)
#define LIMIT_ADMIN_BODY_BYTES (8 * 1024 * 1024)
#define LIMIT_ADMIN_AUDIT      10000
/* Holds waiting for their workers at once. */
#define LIMIT_ADMIN_FENCES 64

#endif
