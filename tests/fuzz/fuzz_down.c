/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_down.c: what a control that says anything puts into the memory that it shares
 * with the dataplane.
 *
 * Target functions: the worker's commands (worker.c, delivery.c, records.c, flights.c, report.c),
 * the writer's reads and recycling behind them, the rings' ends (ring.c, envelope_ring.c).
 *
 * Input: steps of one command byte and its arguments:
 *   0..127    an entry of type command % 8: kind, outcome, flags, attempt, mail, what is done to
 *             its positions, recipients, hop, each in one byte (a DELIVER), or the same bytes as
 *             numbers of segments (RECYCLE, STATE_RECYCLE) and a token (FENCE)
 *   128..159  an entry as it is, 64 bytes
 *   160..191  honest hops for 1 << command % 32 / 2 ms
 *   192..255  by command % 8: the hops reset their connections, are silent, are there again; a
 *             control attaches afresh; the dataplane is killed and starts again; a byte of the
 *             region or of a ring's head is changed (place, value); two mails more come in; the up
 *             ring is read
 *
 * Promise: no assertion falls. Each delivery that begins ends. A hop gets whole messages of the
 *          spool. Who sends mail in the end is served.
 */
#include "common/envelope_ring.h"
#include "tests/fuzz/hop_bed.h"
#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(delivered), MARK(damaged), MARK(deferred), MARK(repeated), MARK(from_disk),               \
        MARK(from_memory), MARK(several_records), MARK(refused), MARK(state_told),                 \
        MARK(fence_answered), MARK(inflight_told), MARK(recycled), MARK(unknown_type),             \
        MARK(head_changed), MARK(garbage_taken), MARK(restarted), MARK(envelope_put), MARK(served)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 2048, STEPS_MAX = 64, MAILS_MAX = 4, RESTARTS_MAX = 3 };

struct world {
    struct hop_bed bed;
    unsigned mails;
    unsigned restarts;
    bool garbled; /* a ring's head is not what it was */
};

static void put(struct world *w, const struct abi_down *down)
{
    if (!w->garbled) {
        REACH_IF(down->type == 0 || down->type > ABI_DOWN_FENCE, unknown_type);
        bool room = ring_put(&lane.down, down);
        assert(room); /* the worker has taken those before */
    }
}

/* --- entries --------------------------------------------------------------------------------- */

static uint64_t changed(uint64_t pos, uint64_t other, uint8_t how)
{
    switch (how % 8) {
    case 1:
        return other;
    case 2:
        return pos + 512;
    case 3:
        return pos + (UINT64_C(1) << 32);
    case 4:
        return pos + how;
    case 5:
        return how / 8;
    case 6:
        return UINT64_MAX - how / 8;
    default:
        return pos;
    }
}

static void fill_deliver(const struct world *w, struct abi_down *down, struct cursor *c)
{
    uint8_t mail = cursor_u8(c);
    uint8_t how = cursor_u8(c);
    const struct abi_up *commit = &w->bed.commit[mail % HOP_BED_MAILS];
    const struct abi_up *other = &w->bed.commit[mail / 4 % HOP_BED_MAILS];
    down->deliver.id = commit->commit.id + mail / 16;
    down->deliver.first_pos = changed(commit->commit.first_pos, other->commit.first_pos, how % 8);
    down->deliver.commit_pos =
        changed(commit->commit.commit_pos, other->commit.commit_pos, how / 8);
    down->deliver.rcpts.word[0] = cursor_u8(c);
    down->deliver.rcpts.word[1] = down->deliver.rcpts.word[0] >> 6;
    uint8_t hop = cursor_u8(c);
    down->deliver.hop_id = hop < 128 ? lane.hop_config[hop % LANE_HOPS].id : hop;
    down->deliver.route_id = commit->commit.route_id;
}

static void fill_recycle(const struct world *w, struct abi_down *down, struct cursor *c)
{
    uint64_t seq = (w->bed.commit[0].commit.first_pos >> 32) + cursor_u8(c);
    uint8_t seq_how = cursor_u8(c);
    uint64_t seen_pos = (uint64_t)cursor_u8(c) << 32;
    uint8_t seen_how = cursor_u8(c);
    down->recycle.seq = changed(seq, 1, seq_how);
    down->recycle.seen_pos = changed(seen_pos, 0, seen_how);
}

static void step_entry(struct world *w, uint8_t command, struct cursor *c)
{
    struct abi_down down = {.type = command % 8};
    down.kind = cursor_u8(c);
    down.outcome = cursor_u8(c);
    down.flags = cursor_u8(c);
    down.attempt = cursor_u8(c);
    switch (down.type) {
    case ABI_DOWN_DELIVER:
        fill_deliver(w, &down, c);
        break;
    case ABI_DOWN_STATE:
        down.state.id = w->bed.commit[cursor_u8(c) % HOP_BED_MAILS].commit.id;
        down.state.rcpts.word[0] = cursor_u8(c);
        break;
    case ABI_DOWN_RECYCLE:
    case ABI_DOWN_STATE_RECYCLE:
        fill_recycle(w, &down, c);
        break;
    case ABI_DOWN_FENCE:
        down.fence.token = cursor_u8(c);
        break;
    default:
        break;
    }
    put(w, &down);
}

static void step_raw(struct world *w, struct cursor *c)
{
    struct bytes raw = cursor_take(c, sizeof(struct abi_down));
    if (raw.len == sizeof(struct abi_down)) {
        struct abi_down down;
        memcpy(&down, raw.data, sizeof down);
        put(w, &down);
    }
}

/* --- the rest of control --------------------------------------------------------------------- */

/* Where another process could write, slots of the rings aside: those are entries. */
static void change_region(struct world *w, struct cursor *c)
{
    uint8_t *base = (uint8_t *)lane.region;
    uint8_t *const place[] = {base, base + abi_up_offset(), base + abi_down_offset(0),
                              (uint8_t *)abi_envelope_ring(lane.region)};
    uint8_t which = cursor_u8(c);
    uint8_t at = cursor_u8(c);
    uint8_t *byte = which % 4 == 0 ? base + at % sizeof(struct abi_attach)
                                   : place[which % 4] + at % sizeof(struct ring);
    w->garbled |= which % 4 == 1 || which % 4 == 2;
    *byte = cursor_u8(c);
    REACH(head_changed);
}

static void read_up(const struct world *w)
{
    struct abi_up up;
    while (!w->garbled && ring_take(&lane.up, &up)) {
        REACH_IF(up.type == ABI_UP_FENCE, fence_answered);
        REACH_IF(up.type == ABI_UP_INFLIGHT, inflight_told);
        REACH_IF(up.type == ABI_UP_STATE, state_told);
        REACH_IF(up.type == ABI_UP_RECYCLED, recycled);
        REACH_IF(up.type == ABI_UP_ATTEMPT && up.outcome == OUTCOME_CANCELLED, refused);
        REACH_IF(up.type == ABI_UP_STATE && up.outcome == OUTCOME_DAMAGED, damaged);
        REACH_IF(up.type == ABI_UP_COMMIT && up.commit.envelope_bytes > 0, envelope_put);
    }
}

static void attach(struct world *w)
{
    lane_attach();
    w->garbled = false;
}

/* Who has mail is served, or told to come again: a hostile control may have filled the spool. */
static void send_mail(void)
{
    struct peer *p = lane_begin_mail("a@d0.example");
    peer_say(p, "Subject: y\r\n\r\n.\r\n");
    const char *line = peer_line(p);
    assert(strncmp(line, "250", 3) == 0 || strncmp(line, "452", 3) == 0);
    REACH_IF(line[0] == '2', served);
    peer_say(p, "QUIT\r\n");
    lane_run(10);
}

static void reset_hops(void)
{
    for (uint32_t i = 0; i < lane.peer_count; i++) {
        if (lane.peer[i]->node != lane.client && lane.peer[i]->tcp != NULL) {
            tcp_abort(lane.peer[i]->tcp);
        }
    }
    lane_run(1);
}

static void note_counters(void)
{
    const struct counters *c = &lane.worker_counters;
    REACH_IF(c->value[COUNTER_delivered_rcpts] > 0, delivered);
    REACH_IF(c->value[COUNTER_deferred_attempts] > 0, deferred);
    REACH_IF(c->value[COUNTER_delivers_repeated] > 0, repeated);
    REACH_IF(c->value[COUNTER_spool_cache_misses] > 0, from_disk);
    REACH_IF(c->value[COUNTER_spool_cache_hits] > 0, from_memory);
    REACH_IF(c->value[COUNTER_delivers] > 0 &&
                 lane.worker->record_lists.free_count < lane.worker->record_lists.count,
             several_records);
}

static void step_control(struct world *w, uint8_t command, struct cursor *c)
{
    switch (command % 8) {
    case 0:
        reset_hops();
        break;
    case 1:
    case 2:
        for (int i = 0; i < LANE_HOPS; i++) {
            lane.hop[i]->mood = command % 8 == 1 ? NODE_SILENT : NODE_UP;
        }
        break;
    case 3:
        attach(w);
        break;
    case 4:
        if (w->restarts++ < RESTARTS_MAX) {
            lane_restart();
            w->garbled = false;
            REACH(restarted);
        }
        break;
    case 5:
        change_region(w, c);
        break;
    case 6:
        if (w->mails++ < MAILS_MAX) {
            send_mail();
        }
        break;
    default:
        read_up(w);
        break;
    }
}

static void step(struct world *w, struct cursor *c)
{
    uint64_t before = lane.worker_counters.value[COUNTER_delivers];
    uint8_t command = cursor_u8(c);
    if (command < 128) {
        step_entry(w, command, c);
    } else if (command < 160) {
        step_raw(w, c);
    } else if (command < 192) {
        hop_bed_play(&w->bed, UINT64_C(1) << command % 32 / 2);
    } else {
        step_control(w, command, c);
    }
    lane_run(1);
    hop_bed_hear(&w->bed, false);
    REACH_IF(w->garbled && lane.worker_counters.value[COUNTER_delivers] > before, garbage_taken);
    note_counters();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct world *w = &world;
    if (size > INPUT_MAX) {
        return 0;
    }
    world = (struct world){0};
    hop_bed_init(&w->bed);
    struct cursor c = cursor_of(bytes_of(data, size));
    for (int i = 0; i < STEPS_MAX && c.rest.len > 0 && !c.failed; i++) {
        step(w, &c);
    }
    read_up(w);
    attach(w); /* an honest one: no more commands come */
    hop_bed_settle(&w->bed);
    note_counters();
    read_up(w);
    send_mail();
    hop_bed_fini(&w->bed);
    return 0;
}
