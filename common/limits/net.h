/* SPDX-License-Identifier: BSD-3-Clause */
/* common/limits/net.h: bounds: interfaces and what answers below TCP. */
#ifndef HOLDFAST_COMMON_LIMITS_NET_H
#define HOLDFAST_COMMON_LIMITS_NET_H

/* Echo replies: enough for people and monitors, too few to be a load. */
#define LIMIT_ICMP_ECHOES_PER_S 2000
#define LIMIT_ICMP_ECHOES_BURST 200
#define LIMIT_INTERFACES        8
/* MTU: what every host must take (RFC 791), and what a frame buffer holds. */
#define LIMIT_MTU_MIN_BYTES 576
#define LIMIT_MTU_MAX_BYTES 1500

#endif
