/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_up.c: what a dataplane that says anything puts into the up ring.
 *
 * Target functions: up_turn and all that it applies (apply.c, life.c, flight.c, hopside.c,
 * outbox.c, liveness.c), up_logs_read, core_attach, core_detach.
 *
 * Input: steps of one command byte and its arguments:
 *   0..127    an entry of type command % 10: kind, outcome, phase, flags, the step of its number
 *             (signed, 0: the next), then id, first segment, first block, segments and blocks to
 *             the last, route, recipients, each in one byte
 *   128..159  an entry as it is: type and 56 bytes; its number is right
 *   160..191  time passes, 1 << command % 32 / 2 ms
 *   192..255  by command % 8: logs read, logs unread, attach, detach, the policy is adopted, the
 *             durable positions grow, an envelope goes into its ring and with the next COMMIT, the
 *             down ring is read
 *
 * Promise: no assertion falls; commands that control sends are ones that it may send.
 */
#include "control/core/mem.h"
#include "control/core/up.h"

#include "common/id.h"
#include "spool/format.h"
#include "tests/fuzz/core_bed.h"
#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(hello), MARK(running), MARK(inflight_unknown), MARK(gap), MARK(logs_unread),              \
        MARK(entry_refused), MARK(delivery_known), MARK(delivery_gone), MARK(sent), MARK(frozen),  \
        MARK(held_by_sender), MARK(held_by_route), MARK(orphan), MARK(wants_attach),               \
        MARK(detached), MARK(recycled), MARK(message_twice), MARK(down_recycle), MARK(image_taken)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct core core;
    struct abi_attach *region;
    struct ring_end up;
    struct ring_end down;
    struct envelope_ring_end envelopes;
    uint64_t number;
    uint32_t envelope_at;
    uint16_t envelope_bytes;
    size_t known;
};

static void world_attach(struct world *w)
{
    static struct abi_attach *region;
    size_t bytes = abi_attach_size(1);
    if (region == NULL) {
        region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert(region != MAP_FAILED);
    }
    memset(region, 0, sizeof *region);
    abi_attach_init_rings(region, 1);
    char *base = (char *)region;
    w->region = region;
    ring_open(&w->up, (struct ring *)(base + abi_up_offset()), LIMIT_RING_UP_SLOTS);
    ring_open(&w->down, (struct ring *)(base + abi_down_offset(0)), LIMIT_RING_DOWN_SLOTS);
    envelope_ring_open(&w->envelopes, abi_envelope_ring(region));
    w->number = 0;
    w->envelope_bytes = 0;
    core_attach(&w->core, region, 1);
}

static void read_down(struct world *w)
{
    struct abi_down down;
    while (w->region != NULL && ring_take(&w->down, &down)) {
        assert(down.type >= ABI_DOWN_DELIVER && down.type <= ABI_DOWN_FENCE);
        REACH_IF(down.type == ABI_DOWN_RECYCLE, down_recycle);
        if (down.type == ABI_DOWN_DELIVER) {
            assert(down.deliver.first_pos <= down.deliver.commit_pos && down.deliver.hop_id != 0);
            assert(id_message(down.deliver.id) != 0);
            REACH(sent);
        }
    }
}

static void world_turn(struct world *w)
{
    struct core *c = &w->core;
    for (unsigned i = 0; i < 16 && core_turn(c); i++) {
    }
    for (uint32_t i = 0; i < c->notes.count; i++) {
        REACH_IF(c->notes.note[i].kind == NOTE_RING_ENTRY, entry_refused);
        REACH_IF(c->notes.note[i].kind == NOTE_RING_GAP, gap);
        REACH_IF(c->notes.note[i].kind == NOTE_MESSAGE_TWICE, message_twice);
    }
    notes_clear(&c->notes);
    REACH_IF(c->attach.phase == ATTACH_INFLIGHT, hello);
    REACH_IF(c->attach.phase == ATTACH_RUNNING, running);
    REACH_IF(c->attach.wanted_again, wants_attach);
    REACH_IF(c->index.count > w->known, delivery_known);
    REACH_IF(c->index.count < w->known, delivery_gone);
    w->known = c->index.count;
}

static void put(struct world *w, struct abi_up *up, int8_t step)
{
    w->number += (uint64_t)(int64_t)step;
    up->number = w->number++;
    if (w->region != NULL && ring_put(&w->up, up)) {
        atomic_store(&w->region->up_count, w->number);
    }
    world_turn(w);
}

static uint64_t position(uint8_t segment, uint8_t block)
{
    return (uint64_t)segment << 32 | (FORMAT_SEGMENT_START + block * 512u);
}

static uint64_t take_id(struct cursor *c)
{
    uint8_t id = cursor_u8(c);
    return id_make(1, id / 4, id % 4);
}

static void fill_commit(struct world *w, struct abi_up *up, struct cursor *c)
{
    up->commit.id = take_id(c);
    uint8_t segment = cursor_u8(c);
    uint8_t block = cursor_u8(c);
    uint8_t more = cursor_u8(c);
    up->commit.first_pos = position(segment, block);
    up->commit.commit_pos = position((uint8_t)(segment + more / 64), (uint8_t)(block + more % 64));
    up->commit.received_ms = w->core.now.wall_ms;
    up->commit.body_bytes = 1000;
    up->commit.route_id = cursor_u8(c);
    up->commit.rcpt_count = cursor_u8(c);
    up->commit.envelope_at = w->envelope_at;
    up->commit.envelope_bytes = w->envelope_bytes;
}

static void step_entry(struct world *w, uint8_t command, struct cursor *c)
{
    struct abi_up up = {.type = command % 10, .code = 550};
    up.kind = cursor_u8(c);
    up.outcome = cursor_u8(c);
    up.phase = cursor_u8(c);
    up.flags = cursor_u8(c);
    int8_t step = (int8_t)cursor_u8(c);
    uint8_t segment;
    switch (up.type) {
    case ABI_UP_HELLO:
        up.hello.message_pos = position(cursor_u8(c), 0);
        up.hello.state_pos = position(cursor_u8(c), 0);
        up.hello.credits = cursor_u8(c);
        break;
    case ABI_UP_INFLIGHT:
        up.inflight.id = take_id(c);
        up.inflight.hop_id = cursor_u8(c);
        REACH_IF(index_find(&w->core.index, up.inflight.id) == NULL, inflight_unknown);
        break;
    case ABI_UP_COMMIT:
        fill_commit(w, &up, c);
        break;
    case ABI_UP_STATE:
    case ABI_UP_ATTEMPT:
        up.state.id = take_id(c);
        segment = cursor_u8(c);
        up.state.state_pos = position(segment, cursor_u8(c));
        up.state.rcpts.word[0] = cursor_u8(c);
        up.state.hop_id = cursor_u8(c);
        up.state.time_ms = w->core.now.wall_ms;
        break;
    case ABI_UP_FENCE:
        up.fence.token = cursor_u8(c);
        up.fence.worker = cursor_u8(c);
        break;
    case ABI_UP_RECYCLED:
        up.recycled.seq = cursor_u8(c);
        REACH(recycled);
        break;
    default:
        break;
    }
    put(w, &up, step);
}

static void step_raw(struct world *w, struct cursor *c)
{
    struct abi_up up = {.type = cursor_u8(c)};
    struct bytes raw = cursor_take(c, sizeof up - 8);
    if (raw.len == sizeof up - 8) {
        memcpy((uint8_t *)&up + 8, raw.data, raw.len);
        put(w, &up, 0);
    }
}

static void put_envelope(struct world *w, struct cursor *c)
{
    uint8_t encoded[LIMIT_ENVELOPE_BYTES];
    uint8_t how = cursor_u8(c);
    struct envelope e = {.received_ms = 1,
                         .helo = bytes_str("h"),
                         .sender = bytes_str((how & 1) != 0 ? "bad@held.test" : "a@b.test"),
                         .rcpt_count = 1};
    e.rcpt[0] = (struct envelope_rcpt){.route_id = 1, .address = bytes_str("u@one.test")};
    size_t len = envelope_encode(&e, encoded, sizeof encoded);
    if ((how & 2) != 0) {
        encoded[how % len] ^= how;
    }
    if (w->region != NULL &&
        envelope_ring_put(&w->envelopes, bytes_of(encoded, len), &w->envelope_at)) {
        w->envelope_bytes = (uint16_t)len;
    }
}

static void step_world(struct world *w, uint8_t command, struct cursor *c)
{
    struct core *core = &w->core;
    switch (command % 8) {
    case 0:
        up_logs_read(core, core->attach.ticket, 0);
        break;
    case 1:
        REACH_IF(core->attach.reading, logs_unread);
        up_logs_read(core, core->attach.ticket, -5);
        break;
    case 2:
        world_attach(w);
        break;
    case 3:
        core_detach(core);
        w->region = NULL;
        REACH(detached);
        break;
    case 4:
        if (w->region != NULL) {
            atomic_store(&w->region->policy_adopted, UINT64_MAX);
        }
        break;
    case 5:
        if (w->region != NULL) {
            atomic_store(&w->region->durable_message_pos, position(cursor_u8(c), 0));
            atomic_store(&w->region->durable_state_pos, position(cursor_u8(c), 0));
        }
        break;
    case 6:
        put_envelope(w, c);
        break;
    default:
        read_down(w);
        break;
    }
    world_turn(w);
}

static void look(const struct core *core)
{
    for (uint32_t slot = 0; slot < index_slots(&core->index); slot++) {
        const struct delivery *d = index_at(&core->index, slot);
        if (d->id != 0) {
            bool held = d->state == DELIVERY_HELD;
            REACH_IF(d->state == DELIVERY_FROZEN, frozen);
            REACH_IF(d->state == DELIVERY_ORPHAN, orphan);
            REACH_IF(held && d->live == CORE_BED_SENDER_RULE, held_by_sender);
            REACH_IF(held && d->live == CORE_BED_ROUTE_RULE, held_by_route);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) {
        return 0;
    }
    static struct world world;
    world = (struct world){0};
    struct world *w = &world;
    core_bed_init(&w->core);
    struct cursor c = cursor_of(bytes_of(data, size));
    while (c.rest.len > 0 && !c.failed) {
        uint8_t command = cursor_u8(&c);
        if (command < 128) {
            step_entry(w, command, &c);
        } else if (command < 160) {
            step_raw(w, &c);
        } else if (command < 192) {
            uint64_t ms = UINT64_C(1) << command % 32 / 2;
            w->core.now.now_ns += ms * 1000000;
            w->core.now.wall_ms += ms;
            world_turn(w);
        } else {
            step_world(w, command, &c);
        }
    }
    read_down(w);
    look(&w->core);
    size_t len;
    uint8_t *image = core_bed_image(&w->core, &len);
    REACH_IF(len > 0 && w->core.index.count > 0, image_taken);
    mem_free(image);
    core_detach(&w->core);
    core_fini(&w->core);
    return 0;
}
