/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/lab.h: the pure core alone, before rings in memory. Nothing here is on a disk:
 * the log is what a test says it is. So a test may say what no honest dataplane would: a second
 * COMMIT, an outcome after the end, acknowledgements out of order.
 *
 * Two routes and two hops, ids 1 and 2; route n goes to hop n.
 */
#ifndef HOLDFAST_TESTS_UNIT_CONTROL_LAB_H
#define HOLDFAST_TESTS_UNIT_CONTROL_LAB_H

#include "control/core/apply.h"
#include "control/core/core.h"

#include "common/id.h"

enum { LAB_SENT_MAX = 8192 };

struct lab {
    struct core core;
    struct config config;
    struct config_hop hop[2];
    struct config_route route[2];
    uint32_t workers;
    struct abi_attach *region;
    struct ring_end up;
    struct ring_end down[LIMIT_WORKERS];
    struct envelope_ring_end envelopes;
    uint64_t number;      /* of the next entry */
    uint64_t counter;     /* of messages */
    uint64_t state_count; /* state records so far */
    bool unread;          /* the logs that the core wishes for are not read */
    struct abi_down sent[LAB_SENT_MAX];
    uint32_t sent_count;
};

struct lab *lab_create(void);
void lab_destroy(struct lab *lab);
/* Another core with the same configuration and clock, as after a restart. */
struct core *lab_core(const struct lab *lab);
void lab_core_destroy(struct core *core);

/* Rings and HELLO; with lab_turn and lab_ends the attach is complete. */
void lab_hello(struct lab *lab, uint32_t workers, uint32_t credits);
void lab_ends(struct lab *lab);
/* All of it, with one worker and nothing under way. */
void lab_attach(struct lab *lab);
void lab_put(struct lab *lab, struct abi_up up);
/* Turns the core until it rests, moving the clock by ms first; takes what it sent. */
void lab_turn(struct lab *lab, uint64_t ms);

/* The facts of the next message: one record, on that route. */
struct life_facts lab_facts(struct lab *lab, uint32_t route, uint16_t rcpts);
/* COMMIT through the ring, without an envelope. */
void lab_put_commit(struct lab *lab, const struct life_facts *fact);
uint64_t lab_commit(struct lab *lab, uint32_t route, uint16_t rcpts);
/* Applied with an envelope: all recipients <user@one.test> but the last, <last@one.test>. */
uint64_t lab_mail_from(struct lab *lab, const char *sender, uint16_t rcpts);
/* A new state record, told by the ring, for recipients as a mask. Returns its position. */
uint64_t lab_state(struct lab *lab, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                   uint64_t rcpts, uint16_t flags);
/* The same, at that position. */
void lab_state_at(struct lab *lab, uint64_t pos, uint64_t id, enum abi_state_kind kind,
                  enum outcome outcome, uint64_t rcpts, uint16_t flags);
/* As a log tells it: applied at once. */
void lab_log(struct lab *lab, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
             uint64_t rcpts);
void lab_attempt(struct lab *lab, uint64_t id, enum outcome outcome, uint64_t rcpts,
                 uint16_t flags);

/* The rest of an image that was begun, as one block, for the caller to free. */
uint8_t *lab_image(struct lab *lab, size_t *len_out);

struct delivery *lab_find(struct lab *lab, uint64_t id);
/* What went down since sent_count was set to 0. */
uint32_t lab_times_sent(const struct lab *lab, uint64_t id);
/* The last STATE command for it, NULL without one. */
const struct abi_down *lab_command(const struct lab *lab, uint64_t id);

/* In force under that id (0: planned): one term, as "sender=a@x". */
struct rule *lab_rule(struct core *core, uint32_t id, const char *term);

#endif
