/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/campus.h: the configurations that control is measured with, and the names in them.
 *
 *   held0 .. held14      ─▶ store-held        a rule holds what goes there
 *   frozen0 .. frozen14  ─▶ store-refusing    550 to everything
 *   live                 ─▶ store-live        takes everything
 *   people               ─▶ store-live        its listed recipients are what a reload has to read
 */
#ifndef HOLDFAST_BENCH_CONTROL_CAMPUS_H
#define HOLDFAST_BENCH_CONTROL_CAMPUS_H

#include "common/assert.h"
#include "common/config.h"
#include "common/limits/message.h"

#include <stdint.h>

enum {
    CAMPUS_ROUTES = LIMIT_ROUTES_PER_MESSAGE, /* of a group: one message may go to all of them */
    CAMPUS_DOMAINS = 4,                       /* domains of each route of a group */
    CAMPUS_SENDERS = 1000,
    CAMPUS_SEGMENTS_MAX = 4096,
    CAMPUS_LCORE = 1, /* the CPU of the dataplane's thread; control stays off it, as in the relay */
    CAMPUS_PATH_SIZE = 160,
};

enum campus_group {
    CAMPUS_HELD,
    CAMPUS_FROZEN,
    CAMPUS_LIVE,
    CAMPUS_GROUP_COUNT,
};

/* The durable ids that control gave to the names. */
struct campus {
    uint32_t route_id[CAMPUS_GROUP_COUNT][CAMPUS_ROUTES]; /* live: the first alone */
    uint32_t live_hop_id;
};

const char *campus_group_name(enum campus_group group);
/* "s12@from.example", "d1.frozen3.campus.example". Return out. */
const char *campus_sender(uint64_t number, char *out, size_t out_size);
const char *campus_domain(enum campus_group group, uint32_t route, uint64_t number, char *out,
                          size_t out_size);
/* Writes the configuration <dir>/<name>; its spool and state are in <dir>. 0 or -errno. */
must_check int campus_write(const char *dir, const char *name, uint32_t recipients,
                            uint32_t segment_mib);
/* Reads the ids from a configuration to which control has given them. */
void campus_read(const struct config *config, struct campus *campus_out);

#endif
