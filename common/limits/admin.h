/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/admin.h: bounds: what an operator or a script may ask of control. */
#ifndef HOLDFAST_COMMON_LIMITS_ADMIN_H
#define HOLDFAST_COMMON_LIMITS_ADMIN_H

/* Connections of operators and their scripts; each may hold a frame in memory. */
#define LIMIT_ADMIN_CONNS 32
/* Connections of one user: fewer, so that there is room for another user. */
#define LIMIT_ADMIN_CONNS_USER (LIMIT_ADMIN_CONNS / 2)
/* No more than the longest request that makes sense needs (control/shell/frame.c). */
#define LIMIT_ADMIN_REQUEST_BYTES (1 << 16)
/* Values in a request, its members and terms included: control's loop walks and frees them. */
#define LIMIT_ADMIN_REQUEST_VALUES 256
#define LIMIT_ADMIN_ANSWER_BYTES   (16 << 20)
/* Deliveries in one answer, and bytes of their text: with escapes these become twice as many, and
 * still fit LIMIT_ADMIN_ANSWER_BYTES. */
#define LIMIT_ADMIN_LIST       10000
#define LIMIT_ADMIN_LIST_BYTES (7 * 1024 * 1024)
#define LIMIT_ADMIN_BODY_BYTES (8 * 1024 * 1024)
#define LIMIT_ADMIN_AUDIT      10000
/* Holds that wait for their workers at the same time. */
#define LIMIT_ADMIN_FENCES 64

#endif
