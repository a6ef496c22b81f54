/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/flight.h: deliveries under way, and what they hold: a credit, a place at the hop.
 *
 * Promise: one flight for a delivery at most, so DELIVER is never sent twice for what is under way.
 * Trap:    a flight may live longer than its delivery, which is complete before the last word about
 *          the attempt has come.
 */
#ifndef HOLDFAST_CONTROL_CORE_FLIGHT_H
#define HOLDFAST_CONTROL_CORE_FLIGHT_H

#include "control/core/index.h"
#include "control/core/schedule.h"

#define FLIGHT_WORKER_UNKNOWN UINT32_MAX

struct flight {
    uint64_t id;
    struct list node;          /* of struct flights */
    struct delivery *delivery; /* NULL: complete, or unknown */
    struct hop *hop;           /* NULL: unknown */
    struct rcptset open;       /* sent down, nothing heard yet */
    uint32_t worker;           /* FLIGHT_WORKER_UNKNOWN: told by INFLIGHT, which does not say */
    uint32_t rule;             /* a hold found it under way; 0: none did */
    uint64_t begun_pos;        /* the state log then: what lies before is of an earlier attempt */
    uint64_t begun_ns;
    bool probe;
    bool alone;
    bool confirmed;   /* told by INFLIGHT on this attach, or begun on it */
    bool saw_message; /* outcomes so far, by scope */
    bool saw_hop;
    bool saw_self;
};

/* Under way when the dataplane went. */
struct cut {
    uint64_t id;
    uint64_t begun_pos;
};

struct flights {
    struct map by_id;
    struct list all;
    size_t count;
    struct map ended; /* see flight_note_ended; the values are not used */
    struct cut *cut;  /* until the next dataplane has said what is under way */
    size_t cut_count;
    size_t cut_capacity;
};

void flight_init(struct flights *flights);
void flight_fini(struct flights *flights);
struct flight *flight_find(const struct flights *flights, uint64_t id);
/* `l` and `hop` may be NULL: what is told under way is not known here. */
struct flight *flight_begin(struct flights *flights, uint64_t id, struct live *l, struct hop *hop,
                            uint64_t begun_pos, uint64_t now_ns);
/* `l`: of its delivery, NULL without one. Frees the flight. */
void flight_end(struct flights *flights, struct flight *flight, struct live *l, uint64_t now_ns);
/* The last word about an attempt has come on this attach before INFLIGHT did. The writer of the
 * dataplane tells control of a durable record, and only then gives it back to the worker. A worker
 * that attaches in between still counts the attempt, and its INFLIGHT comes after the last word.
 * flight_has_ended then tells that there is no flight to begin. A bounded number is noted. */
void flight_note_ended(struct flights *flights, uint64_t id);
bool flight_has_ended(const struct flights *flights, uint64_t id);
void flight_forget_ended(struct flights *flights);
/* It was under way when the dataplane went. */
void flight_note_cut(struct flights *flights, const struct flight *flight);
/* How many of those that were cut are not under way, and were not heard of since: the hop may have
 * them. To be called when both logs are read and the dataplane has told what is under way. Forgets
 * the cut ones. */
uint64_t flight_count_cut(struct flights *flights, const struct index *index);
/* When the oldest flight to that hop began; 0 without one. */
uint64_t flight_oldest_ns(const struct flights *flights, const struct hop *hop);

#endif
