/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/reply.h: bounds: what is kept of a hop's reply. */
#ifndef HOLDFAST_COMMON_LIMITS_REPLY_H
#define HOLDFAST_COMMON_LIMITS_REPLY_H

/* What we keep of a hop's reply, cleaned: enough for code, status and a sentence. */
#define LIMIT_REPLY_TEXT_BYTES 200

#endif
