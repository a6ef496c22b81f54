/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/relay.h: the relay under test: the real worker, writer, spool and control, with what
 * their main programs do around them (start, attach, policy), and functions to kill either process.
 *
 * Promise: a killed process executes nothing more, not even its clean-up. When it is killed inside
 *          a disk operation, longjmp leaves the stack.
 * Trap:    a killed process's memory is mostly leaked; one seed lives in a process of its own.
 */
#ifndef HOLDFAST_TESTS_SIM_RELAY_H
#define HOLDFAST_TESTS_SIM_RELAY_H

#include "common/counter_block.h"
#include "common/policy.h"
#include "control/control.h"
#include "dataplane/worker.h"
#include "dataplane/writer.h"
#include "tests/sim/campus.h"
#include "tests/sim/disk.h"
#include "tests/sim/mail.h"
#include "tests/sim/wire.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

enum relay_crash {
    RELAY_CRASH_NONE,
    RELAY_CRASH_DATAPLANE,
    RELAY_CRASH_CONTROL,
    RELAY_CRASH_BOTH,
    RELAY_CRASH_POWER, /* both, and the disk's cache is gone */
    RELAY_CRASH_COUNT,
};

enum relay_actor {
    RELAY_NOBODY,
    RELAY_DATAPLANE,
    RELAY_CONTROL,
};

struct relay {
    const struct campus *campus;
    struct simdisk *disk;
    struct wire *wire;
    struct mail_ledger *ledger;
    struct rng keys;
    struct rng rng; /* restart delays, order of turns */
    sqlite3 *db;
    uint64_t wall_base_ms;
    uint64_t restart_ns_max;

    struct {
        bool up;
        uint64_t start_ns; /* when to start it, while it is down */
        uint64_t errors_before;
        struct spool_io *io;
        struct spool_writer *spool;
        struct writer *writer;
        struct worker *worker;
        struct nic *nic;
        struct config *config;
        struct counters worker_counters;
        struct counters writer_counters;
        uint64_t fenced_until_ns; /* 0: not fenced; else when the fence ends */
    } dataplane;

    struct {
        bool up;
        uint64_t start_ns;
        uint64_t errors_before;
        struct spool_io *io;
        struct control *control;
        struct config *config;
        uint32_t start_count;
        uint32_t turn_count;
        bool dataplane_gone; /* killed, and control has not noticed yet */
        uint64_t notice_ns;
    } control;

    uint32_t removed;         /* routes that the configuration lacks now: a bit for each */
    uint64_t deaf_until_ns;   /* until then the up ring is full; 0: it is not */
    uint64_t heard_ns;        /* when control has certainly read what it missed */
    uint64_t paused_until_ns; /* until then control gets no turn */
    bool starved;             /* in its next turn it cannot open a file */
    struct {
        uint32_t percent;  /* of deliveries, until one is cursed; 0: none any more */
        uint64_t id;       /* the delivery that makes the dataplane fault each time */
        uint64_t fault_id; /* what the fault handler left for the next start */
        uint32_t strikes;
        uint32_t recorded;
        uint32_t budget; /* crashes that may still happen */
    } curse;
    struct {
        json_t *request;
        json_t *answer;
        bool hasty; /* the next client that releases may not wait for the answer */
    } ask;
    bool reloading;

    struct abi_attach *region; /* control's newest */
    uint64_t epoch;
    uint64_t hand_over_ns; /* when the dataplane takes it; 0: done, or none */
    uint8_t *policy_data;
    uint64_t policy_generation;
    const struct policy *policy;
    uint64_t reattach_ns;

    jmp_buf escape;
    enum relay_actor running;
    enum relay_crash crash;    /* the crash that will happen */
    uint32_t crash_ops_left;   /* before this disk operation; 0: none */
    uint32_t crash_turns_left; /* or after so many turns with work; 0: none */
    uint32_t crash_count;
};

struct relay *relay_create(uint64_t seed, const struct campus *campus, struct simdisk *disk,
                           struct wire *wire, struct mail_ledger *ledger);
/* Does what is due now. Returns true when some process had work. */
bool relay_turn(struct relay *relay);
uint64_t relay_next_ns(const struct relay *relay);
/* Crashes at the `ops`-th disk operation, or after `turns` turns with work (the other one is 0).
 * Nothing changes while a crash is already planned. */
void relay_arm(struct relay *relay, enum relay_crash crash, uint32_t ops, uint32_t turns);
bool relay_is_armed(const struct relay *relay);
void relay_disarm(struct relay *relay);
bool relay_is_up(const struct relay *relay);
struct control_time relay_time(const struct relay *relay);
const char *relay_crash_name(enum relay_crash crash);
/* relay_ask.c: an operator's request. NULL: control is not there, or crashed during it. */
json_t *relay_ask(struct relay *relay, const char *text);
/* The answer that was pending; NULL: it is not there yet. */
json_t *relay_answer(struct relay *relay, uint64_t token);
/* Gives control another configuration, without these routes. */
void relay_set_routes(struct relay *relay, uint32_t removed);
/* Until then the writer finds the up ring full. `paused`: control gets no turn either. */
void relay_deafen(struct relay *relay, uint64_t until_ns, bool paused);

#endif
