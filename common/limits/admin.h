/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/admin.h: bounds: what an operator or a script may ask of control. */
#ifndef HOLDFAST_COMMON_LIMITS_ADMIN_H
#define HOLDFAST_COMMON_LIMITS_ADMIN_H

/* Connections of operators and their scripts; each may hold a frame in memory. */
#define LIMIT_ADMIN_CONNS 32
/* Of one user: so that there is room for another. */
#define LIMIT_ADMIN_CONNS_USER (LIMIT_ADMIN_CONNS / 2)
/* As small as the longest request that makes sense allows (shell/frame.c). */
#define LIMIT_ADMIN_REQUEST_BYTES (1 << 16)
/* Values in a request, its members and terms among them: the loop walks and frees them. */
#define LIMIT_ADMIN_REQUEST_VALUES 256
#define LIMIT_ADMIN_ANSWER_BYTES   (16 << 20)
/* Deliveries in one answer; escaped, text takes twice the bytes: within the frame. */
#define LIMIT_ADMIN_LIST       10000
#define LIMIT_ADMIN_LIST_BYTES (7 * 1024 * 1024)
#define LIMIT_ADMIN_BODY_BYTES (8 * 1024 * 1024)
#define LIMIT_ADMIN_AUDIT      10000
/* Holds waiting for their workers at once. */
#define LIMIT_ADMIN_FENCES 64

#endif
