/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/relay.c: turns, crashes, and what the two processes exchange. relay_start.c starts
 * them. See relay.h.
 *
 *   each round:  start what is due ─▶ housekeeping (attach, policy) ─▶ writer, worker, control in
 *                any order ─▶ strike, if a crash was counted down
 */
#include "tests/sim/relay_parts.h"

#include "control/core/check.h"
#include "control/shell/parts.h"
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_TURNS = 64 }; /* of control, from one core_check to the next */

static const char *const crash_names[RELAY_CRASH_COUNT] = {
    "none", "dataplane killed", "control killed", "both killed", "power lost",
};

const char *relay_crash_name(enum relay_crash crash)
{
    assert(crash < RELAY_CRASH_COUNT);
    return crash_names[crash];
}

struct control_time relay_time(const struct relay *r)
{
    return (struct control_time){.now_ns = trace.now_ns,
                                 .wall_ms = r->wall_base_ms + trace.now_ns / 1000000};
}

bool relay_is_up(const struct relay *r)
{
    return r->dataplane.up && r->control.up;
}

/* --- killing ------------------------------------------------------------------------------- */

static uint64_t restart_time(struct relay *r)
{
    return trace.now_ns + rng_spread(&r->rng, 1000000, r->restart_ns_max);
}

static void kill_dataplane(struct relay *r, bool power)
{
    if (r->dataplane.io != NULL) {
        simdisk_process_kill(r->dataplane.io, power);
    }
    if (r->dataplane.nic != NULL) {
        wire_unplug(r->dataplane.nic);
    }
    if (r->dataplane.worker != NULL) {
        worker_destroy(r->dataplane.worker); /* only memory */
    }
    if (r->dataplane.writer != NULL) {
        writer_destroy(r->dataplane.writer);
    }
    r->dataplane.io = NULL;
    r->dataplane.nic = NULL;
    r->dataplane.spool = NULL;
    r->dataplane.worker = NULL;
    r->dataplane.writer = NULL;
    r->dataplane.up = false;
    r->dataplane.start_ns = restart_time(r);
    r->dataplane.fenced_until_ns = 0;
    r->hand_over_ns = 0;
    r->control.dataplane_gone = true;
    r->control.notice_ns = trace.now_ns + rng_spread(&r->rng, 1000000, UINT64_C(2000000000));
    mail_note_crash(r->ledger);
}

/* SQLite keeps what was committed; a transaction that was open dies with its process. */
static void clear_db(sqlite3 *db)
{
    sqlite3_stmt *statement;
    while ((statement = sqlite3_next_stmt(db, NULL)) != NULL) {
        sqlite3_finalize(statement);
    }
    if (sqlite3_get_autocommit(db) == 0) {
        int result = sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        assert(result == SQLITE_OK);
    }
}

static void kill_control(struct relay *r, bool power)
{
    if (r->control.io != NULL) {
        simdisk_process_kill(r->control.io, power);
    }
    clear_db(r->db);
    r->control.io = NULL;
    r->control.control = NULL; /* its memory is gone with the process: it is leaked */
    r->control.up = false;
    r->control.start_ns = restart_time(r);
    r->control.dataplane_gone = false;
}

void relay_strike(struct relay *r, enum relay_crash crash)
{
    trace_event(0x40, crash, 0);
    trace_say("---- %s ----", relay_crash_name(crash));
    r->crash_count++;
    r->crash_ops_left = r->crash_turns_left = 0;
    r->crash = RELAY_CRASH_NONE;
    if (crash != RELAY_CRASH_CONTROL) {
        kill_dataplane(r, crash == RELAY_CRASH_POWER);
    }
    if (crash != RELAY_CRASH_DATAPLANE) {
        kill_control(r, crash == RELAY_CRASH_POWER);
    }
    if (crash == RELAY_CRASH_POWER) {
        simdisk_power_loss(r->disk);
    }
}

void relay_arm(struct relay *r, enum relay_crash crash, uint32_t ops, uint32_t turns)
{
    assert(crash != RELAY_CRASH_NONE && (ops > 0) != (turns > 0) && !relay_is_armed(r));
    r->crash = crash;
    r->crash_ops_left = ops;
    r->crash_turns_left = turns;
}

bool relay_is_armed(const struct relay *r)
{
    return r->crash != RELAY_CRASH_NONE;
}

void relay_disarm(struct relay *r)
{
    r->crash = RELAY_CRASH_NONE;
    r->crash_ops_left = r->crash_turns_left = 0;
}

static bool kills(enum relay_crash crash, enum relay_actor actor)
{
    return (actor == RELAY_DATAPLANE && crash != RELAY_CRASH_CONTROL) ||
           (actor == RELAY_CONTROL && crash != RELAY_CRASH_DATAPLANE);
}

/* Called before each disk operation. A crash of the running process leaves its stack. */
static void at_disk_op(void *ctx, struct spool_io *io)
{
    struct relay *r = ctx;
    (void)io;
    if (r->crash_ops_left == 0 || r->running == RELAY_NOBODY || --r->crash_ops_left > 0) {
        return;
    }
    enum relay_crash crash = r->crash;
    enum relay_actor running = r->running;
    relay_strike(r, crash);
    if (kills(crash, running)) {
        longjmp(r->escape, 1);
    }
}

bool relay_run(struct relay *r, enum relay_actor actor, bool (*fn)(struct relay *relay))
{
    r->running = actor;
    if (setjmp(r->escape) != 0) {
        r->running = RELAY_NOBODY;
        return true;
    }
    bool work = fn(r);
    r->running = RELAY_NOBODY;
    return work;
}

/* --- between the processes ------------------------------------------------------------------- */

static struct abi_attach *make_region(struct relay *r)
{
    size_t size = abi_attach_size(1);
    struct abi_attach *region = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    assert(region != NULL);
    memset(region, 0, sizeof *region);
    region->magic = ABI_MAGIC_ATTACH;
    region->version = ABI_VERSION;
    region->layout_hash = abi_layout_hash();
    region->epoch = ++r->epoch;
    region->worker_count = 1;
    abi_attach_init_rings(region, 1);
    return region;
}

/* Control notices a dead dataplane, and asks a living one to attach. */
static bool control_house(struct relay *r)
{
    struct control *c = r->control.control;
    if (r->control.dataplane_gone && trace.now_ns >= r->control.notice_ns) {
        r->control.dataplane_gone = false;
        trace_say("control: sees that the dataplane is gone");
        control_detach(c);
    }
    bool wants = !r->control.dataplane_gone &&
                 (!control_is_attached(c) || control_wants_attach(c)) && r->hand_over_ns == 0;
    if (wants && r->dataplane.up && trace.now_ns >= r->reattach_ns) {
        r->region = make_region(r);
        atomic_store(&r->region->policy_published, r->policy_generation);
        control_attach(c, r->region, 1);
        r->hand_over_ns = trace.now_ns + rng_spread(&r->rng, 100000, 100000000);
        r->reattach_ns = trace.now_ns + UINT64_C(1000000000);
        trace_say("control: asks to attach, epoch %" PRIu64, r->epoch);
        return true;
    }
    return false;
}

static void take_policy(struct relay *r)
{
    size_t len;
    uint64_t generation;
    const void *data = control_policy(r->control.control, &len, &generation);
    if (data == NULL || generation == r->policy_generation) {
        return;
    }
    uint8_t *copy = aligned_alloc(64, (len + 63) & ~(size_t)63);
    assert(copy != NULL);
    memcpy(copy, data, len);
    r->policy = policy_verify(copy, len);
    assert(r->policy != NULL);
    r->policy_data = copy; /* the old one may still be in use, so it stays */
    r->policy_generation = generation;
    trace_say("policy: generation %" PRIu64, generation);
}

/* What the dataplane's main thread does. */
static bool dataplane_house(struct relay *r)
{
    bool work = false;
    struct worker *worker = r->dataplane.worker;
    if (r->policy != NULL && worker_policy(worker) != r->policy) {
        worker_set_policy(worker, r->policy);
    }
    if (r->region != NULL && r->policy != NULL && worker_policy(worker) == r->policy) {
        atomic_store(&r->region->policy_adopted, r->policy_generation);
    }
    if (r->hand_over_ns != 0 && trace.now_ns >= r->hand_over_ns) {
        writer_attach(r->dataplane.writer, r->region);
        if (writer_attached(r->dataplane.writer) == r->region) {
            worker_attach(worker, r->region);
            r->hand_over_ns = 0;
        }
        work = true;
    }
    if (writer_spool_state(r->dataplane.writer) == ABI_SPOOL_FENCED) {
        if (r->dataplane.fenced_until_ns == 0) {
            trace_say("dataplane: the spool is fenced");
            r->dataplane.fenced_until_ns =
                trace.now_ns + rng_spread(&r->rng, 1000000, UINT64_C(5000000000));
        } else if (trace.now_ns >= r->dataplane.fenced_until_ns) {
            relay_strike(r, RELAY_CRASH_DATAPLANE);
        }
    }
    return work;
}

/* --- turns --------------------------------------------------------------------------------- */

static bool turn_writer(struct relay *r)
{
    return writer_turn(r->dataplane.writer, false);
}

static bool turn_worker(struct relay *r)
{
    return worker_turn(r->dataplane.worker, trace.now_ns, relay_time(r).wall_ms);
}

/* A turn of the loop, then some works of the lanes. Now and then, does everything in its core
 * agree? */
static bool turn_control_once(struct relay *r)
{
    bool worked = control_turn(r->control.control, relay_time(r));
    if (++r->control.turn_count % CHECK_TURNS == 0) {
        core_check(&r->control.control->core);
    }
    for (uint64_t n = rng_below(&r->rng, 4); n > 0; n--) {
        worked = control_work(r->control.control) || worked;
    }
    return worked || works_busy(control_works(r->control.control));
}

static bool turn_control(struct relay *r)
{
    if (!r->starved) {
        return turn_control_once(r);
    }
    /* Control wants to read what it missed, and cannot, in this turn or the first one that wants
     * to. */
    uint64_t before = simdisk_error_count(r->disk);
    simdisk_process_starve(r->control.io, true);
    bool worked = turn_control_once(r);
    simdisk_process_starve(r->control.io, false);
    r->starved = simdisk_error_count(r->disk) == before;
    return worked;
}

static bool turn_one(struct relay *r, uint64_t which)
{
    switch (which) {
    case 0:
        return r->dataplane.up && relay_run(r, RELAY_DATAPLANE, turn_writer);
    case 1:
        if (r->dataplane.up && relay_curse(r)) {
            return true;
        }
        return r->dataplane.up && relay_run(r, RELAY_DATAPLANE, turn_worker);
    default:
        return r->control.up && r->paused_until_ns == 0 &&
               relay_run(r, RELAY_CONTROL, turn_control);
    }
}

static bool start_due(struct relay *r)
{
    bool work = false;
    if (!r->dataplane.up && trace.now_ns >= r->dataplane.start_ns) {
        (void)relay_run(r, RELAY_DATAPLANE, relay_start_dataplane);
        work = true;
    }
    if (!r->control.up && trace.now_ns >= r->control.start_ns) {
        (void)relay_run(r, RELAY_CONTROL, relay_start_control);
        work = true;
    }
    return work;
}

bool relay_turn(struct relay *r)
{
    bool work = start_due(r);
    relay_listen(r);
    if (r->control.up && r->paused_until_ns == 0) {
        take_policy(r);
        work |= relay_run(r, RELAY_CONTROL, control_house);
    }
    if (r->dataplane.up) {
        work |= dataplane_house(r);
    }
    uint64_t first = rng_below(&r->rng, 3);
    uint64_t step = rng_range(&r->rng, 1, 2);
    bool turned = false;
    for (uint64_t i = 0; i < 3; i++) {
        turned |= turn_one(r, (first + i * step) % 3);
    }
    if (turned && r->crash_turns_left > 0 && --r->crash_turns_left == 0) {
        relay_strike(r, r->crash);
    }
    return work || turned;
}

static void earlier(uint64_t *next, uint64_t candidate)
{
    *next = candidate < *next ? candidate : *next;
}

uint64_t relay_next_ns(const struct relay *r)
{
    uint64_t next = UINT64_MAX;
    if (r->dataplane.up) {
        earlier(&next, worker_next_ns(r->dataplane.worker));
        earlier(&next, simdisk_next_ns(r->dataplane.io));
        earlier(&next, r->hand_over_ns != 0 ? r->hand_over_ns : UINT64_MAX);
        earlier(&next, wire_nic_has_frames(r->dataplane.nic) ? 0 : UINT64_MAX);
        earlier(&next,
                r->dataplane.fenced_until_ns != 0 ? r->dataplane.fenced_until_ns : UINT64_MAX);
    } else {
        earlier(&next, r->dataplane.start_ns);
    }
    earlier(&next, r->deaf_until_ns != 0 ? r->deaf_until_ns : UINT64_MAX);
    if (r->control.up && r->paused_until_ns == 0) {
        earlier(&next, control_next_ns(r->control.control));
        earlier(&next, works_busy(control_works(r->control.control)) ? 0 : UINT64_MAX);
        earlier(&next, simdisk_next_ns(r->control.io));
        earlier(&next, r->control.dataplane_gone ? r->control.notice_ns : UINT64_MAX);
        earlier(&next, r->reattach_ns > trace.now_ns ? r->reattach_ns : UINT64_MAX);
    } else if (!r->control.up) {
        earlier(&next, r->control.start_ns);
    }
    return next;
}

struct relay *relay_create(uint64_t seed, const struct campus *campus, struct simdisk *disk,
                           struct wire *wire, struct mail_ledger *ledger)
{
    struct relay *r = calloc(1, sizeof *r);
    assert(r != NULL);
    rng_init(&r->keys, seed, RNG_KEYS);
    rng_init(&r->rng, seed, RNG_CRASHES);
    r->campus = campus;
    r->disk = disk;
    r->wire = wire;
    r->ledger = ledger;
    r->wall_base_ms = UINT64_C(1700000000000);
    r->restart_ns_max = UINT64_C(10000000000);
    r->control.start_ns = rng_below(&r->rng, 1000000);
    r->dataplane.start_ns = rng_below(&r->rng, 1000000);
    int result = sqlite3_open(":memory:", &r->db);
    assert(result == SQLITE_OK);
    simdisk_set_hook(disk, at_disk_op, r);
    return r;
}
