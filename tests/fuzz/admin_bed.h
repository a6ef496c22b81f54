/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/admin_bed.h: the whole of control with its admin socket, a small spool in memory, a
 * database in memory, a clock of its own, clients, and a dataplane that answers when it is told to.
 *
 * Promise: the same calls do the same again. No byte of the spool changes from one bed to the next.
 * Trap:    one bed at a time: shell_time is here, for control's server. After ADMIN_BED_SLEEP_MS
 *          control would write a checkpoint into the spool.
 */
#ifndef HOLDFAST_TESTS_FUZZ_ADMIN_BED_H
#define HOLDFAST_TESTS_FUZZ_ADMIN_BED_H

#include "control/control.h"
#include "control/shell/shell.h"

#include "common/bytes.h"

enum {
    ADMIN_BED_CLIENTS = 3,
    ADMIN_BED_DELIVERIES = 9, /* see the list in admin_bed.c: waiting, held, frozen, an orphan */
    ADMIN_BED_FLIGHTS_MAX = 64,
};

/* 40 days */
#define ADMIN_BED_SLEEP_MS (UINT64_C(40) * 86400 * 1000)

struct admin_bed {
    sqlite3 *db;
    struct control *control;
    struct server *server;
    struct place place;
    int epoll_fd;
    struct abi_attach *region; /* NULL: no dataplane is attached */
    struct ring_end up;
    struct ring_end down;
    uint64_t number;
    uint64_t state_pos; /* of the next state record that the dataplane says it wrote */
    uint64_t flight[ADMIN_BED_FLIGHTS_MAX];
    uint32_t flight_count;
    struct admin_bed_client {
        int fd; /* -1: not connected */
        uint8_t *got;
        size_t got_len;
        size_t got_capacity;
    } client[ADMIN_BED_CLIENTS];
};

/* Control has recovered, and has a rule, id 1, that holds what `bad@held.test` sends. */
void admin_bed_init(struct admin_bed *bed);
void admin_bed_fini(struct admin_bed *bed);
/* Control ends without a word, and starts again on the same spool and database. Clients and
 * dataplane are gone. */
void admin_bed_restart(struct admin_bed *bed);

/* One round of control's loop. */
void admin_bed_turn(struct admin_bed *bed);
/* Rounds and works until nothing is to do. */
void admin_bed_rest(struct admin_bed *bed);
void admin_bed_sleep(uint64_t ms);

void admin_bed_attach(struct admin_bed *bed);
void admin_bed_detach(struct admin_bed *bed);
/* The dataplane takes its commands: fences are answered, state records written, deliveries kept. */
void admin_bed_answer(struct admin_bed *bed);
/* The dataplane gives up on all that it delivers: the hop refused. */
void admin_bed_fail(struct admin_bed *bed);

/* Sends at once; what finds no room is lost, with the connection. */
void admin_bed_send(struct admin_bed *bed, unsigned client, struct bytes bytes);
void admin_bed_hang_up(struct admin_bed *bed, unsigned client);
/* A complete frame that came for the client: a new reference, NULL: there is none. */
json_t *admin_bed_hear(struct admin_bed *bed, unsigned client);

#endif
