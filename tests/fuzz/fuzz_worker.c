/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_worker.c: next hops that do anything, and the worker that delivers to them.
 *
 * Target functions: client.c, delivery.c, report.c and smtp/client*.c behind TCP and the network.
 *
 * Input: steps of one command byte and its arguments:
 *   0..63     control asks to deliver mail command % 3, if it is not under way: hop, attempt
 *   64..127   a connection (one byte, 0: the newest) says reply command % 32 of the list below
 *   128..159  it says bytes: connection, how many, the bytes
 *   160..191  1 << command % 32 / 2 ms pass
 *   192..255  by command % 8: a connection is closed, or reset; a hop's mood; honest hops for half
 *             a second; a frame leaves a hop's card as it is (hop, what is put right in it, length,
 *             bytes); two minutes pass; the wire loses, doubles and swaps frames; it does not
 *
 * Promise: no assertion falls. Each attempt is reported to its end, each recipient once. What a hop
 *          gets as a body is a message of the spool. With honest hops all of it is delivered.
 */
#include "tests/fuzz/hop_bed.h"
#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(delivered), MARK(delivered_in_part), MARK(user_unknown), MARK(policy), MARK(tempfail),    \
        MARK(greeting_refused), MARK(invalid_reply), MARK(refused), MARK(timeout), MARK(lost),     \
        MARK(lost_at_dot), MARK(unreachable), MARK(said_bytes), MARK(closed), MARK(reset),         \
        MARK(frame), MARK(reused), MARK(faults), MARK(settled)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    INPUT_MAX = 2048,
    STEPS_MAX = 96,
    ATTEMPTS_MAX = 40,
    HONEST_MS = 500,
    LONG_MS = 120000,
    FRAME_BYTES_MIN = 60
};

static const char *const replies[32] = {
    "220 hop\r\n",
    "250 good\r\n",
    "354 go on\r\n",
    "250-hop\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1000000\r\n",
    "250-hop\r\n250 SIZE 10\r\n",
    "221 bye\r\n",
    "421 4.3.2 later\r\n",
    "450 4.2.1 wait\r\n",
    "451 4.7.1 grey\r\n",
    "452 4.5.3 too many\r\n",
    "550 5.1.1 who\r\n",
    "550 5.7.1 no\r\n",
    "550 nobody\r\n",
    "552 5.3.4 big\r\n",
    "554 5.6.0 content\r\n",
    "554 no\r\n",
    "500 what\r\n",
    "502 5.5.1 not here\r\n",
    "250 2.1.0 good\r\n250 2.1.5 good\r\n354 go on\r\n",
    "250 good\r\n250 good\r\n550 5.1.1 who\r\n354 go on\r\n",
    "220 hop\r\n250 hop\r\n250 good\r\n250 good\r\n354 go on\r\n250 taken\r\n",
    "199 what\r\n",
    "600 what\r\n",
    "250",
    "-",
    "\r\n",
    "250\n",
    "2500 what\r\n",
    "250-a\r\n354 b\r\n",
    "250 \xff\xfe\x01\x1b[2J\r\n",
    "SSH-2.0-x\r\n",
    "250 "
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
};

struct world {
    struct hop_bed bed;
    struct rcptset left[HOP_BED_MAILS]; /* of the attempt: not reported yet */
    bool busy[HOP_BED_MAILS];
    uint32_t attempts;
};

/* --- control --------------------------------------------------------------------------------- */

static void note_outcome(const struct abi_up *up)
{
    REACH_IF(up->outcome == OUTCOME_DELIVERED, delivered);
    REACH_IF(up->outcome == OUTCOME_DELIVERED && (up->flags & ABI_FLAG_LAST) == 0,
             delivered_in_part);
    REACH_IF(up->outcome == OUTCOME_USER_UNKNOWN, user_unknown);
    REACH_IF(up->outcome == OUTCOME_POLICY, policy);
    REACH_IF(up->outcome == OUTCOME_REPLY_4XX, tempfail);
    REACH_IF(up->outcome == OUTCOME_GREETING_4XX || up->outcome == OUTCOME_GREETING_5XX,
             greeting_refused);
    REACH_IF(up->outcome == OUTCOME_REPLY_INVALID, invalid_reply);
    REACH_IF(up->outcome == OUTCOME_CONNECT_REFUSED, refused);
    REACH_IF(up->outcome == OUTCOME_CONNECT_TIMEOUT, timeout);
    REACH_IF(up->outcome == OUTCOME_CONNECT_UNREACHABLE, unreachable);
    REACH_IF(up->outcome == OUTCOME_CONNECTION_LOST, lost);
    REACH_IF(up->outcome == OUTCOME_DOT_LOST, lost_at_dot);
}

/* Each report names recipients that were asked for and not reported before; the last one, the
 * rest. */
static void take_report(struct world *w, const struct abi_up *up)
{
    unsigned mail = 0;
    while (w->bed.commit[mail].commit.id != up->state.id) {
        mail++;
        assert(mail < HOP_BED_MAILS);
    }
    assert(w->busy[mail] && !rcptset_is_empty(&up->state.rcpts));
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) {
        if (rcptset_has(&up->state.rcpts, i)) {
            assert(rcptset_has(&w->left[mail], i));
            rcptset_remove(&w->left[mail], i);
        }
    }
    bool last = (up->flags & ABI_FLAG_LAST) != 0;
    assert(last == rcptset_is_empty(&w->left[mail]));
    w->busy[mail] = !last;
    note_outcome(up);
}

static void read_up(struct world *w)
{
    struct abi_up up;
    while (ring_take(&lane.up, &up)) {
        if (up.type == ABI_UP_STATE || up.type == ABI_UP_ATTEMPT) {
            take_report(w, &up);
        }
    }
}

static void deliver(struct world *w, unsigned mail, uint8_t hop, uint8_t attempt)
{
    if (w->busy[mail] || w->attempts == ATTEMPTS_MAX) {
        return;
    }
    const struct abi_up *commit = &w->bed.commit[mail];
    struct abi_down down = {.type = ABI_DOWN_DELIVER, .attempt = attempt};
    w->left[mail] = rcptset_first(commit->commit.rcpt_count);
    w->busy[mail] = true;
    w->attempts++;
    down.deliver.id = commit->commit.id;
    down.deliver.first_pos = commit->commit.first_pos;
    down.deliver.commit_pos = commit->commit.commit_pos;
    down.deliver.rcpts = w->left[mail];
    down.deliver.hop_id = lane.hop_config[hop % LANE_HOPS].id;
    down.deliver.route_id = commit->commit.route_id;
    lane_down(&down);
}

/* --- hops ------------------------------------------------------------------------------------ */

/* The newest connection but `back`. false: there is none to a hop. */
static bool find_peer(uint8_t back, uint32_t *peer_out)
{
    uint32_t left = back % 8;
    for (uint32_t n = lane.peer_count; n > 0; n--) {
        if (lane.peer[n - 1]->node != lane.client && left-- == 0) {
            *peer_out = n - 1;
            return lane.peer[n - 1]->tcp != NULL;
        }
    }
    return false;
}

static void say(struct world *w, uint8_t back, struct bytes bytes)
{
    uint32_t n;
    if (find_peer(back, &n)) {
        hop_bed_say(&w->bed, n, bytes);
    }
}

static void step_bytes(struct world *w, struct cursor *c)
{
    uint8_t back = cursor_u8(c);
    uint8_t len = cursor_u8(c);
    struct bytes bytes = cursor_take(c, len);
    say(w, back, bytes);
    REACH_IF(bytes.len > 0, said_bytes);
}

static void step_end(uint8_t back, bool abort)
{
    uint32_t n;
    if (!find_peer(back, &n)) {
        return;
    }
    if (abort) {
        tcp_abort(lane.peer[n]->tcp);
        REACH(reset);
    } else {
        tcp_close(lane.peer[n]->tcp);
        REACH(closed);
    }
}

/* A frame as it is, but for what the second byte asks to put right: the addresses of Ethernet. */
static void step_frame(struct cursor *c)
{
    struct node *node = lane.hop[cursor_u8(c) % LANE_HOPS];
    uint8_t right = cursor_u8(c);
    struct bytes bytes = cursor_take(c, cursor_u8(c));
    struct nic_frame frame;
    if (bytes.len == 0 || !nic_take(node->nic, 0, &frame)) {
        return;
    }
    memset(frame.data, 0, FRAME_BYTES_MIN);
    memcpy(frame.data, bytes.data, bytes.len);
    if ((right & 1) != 0) {
        nic_mac(lane.worker->settings.nic, 0, frame.data);
        nic_mac(node->nic, 0, frame.data + NIC_MAC_BYTES);
    }
    frame.len = (uint16_t)(bytes.len > FRAME_BYTES_MIN ? bytes.len : FRAME_BYTES_MIN);
    nic_send_take(node->nic, &frame);
    nic_flush(node->nic);
    REACH(frame);
}

static void set_faults(bool on)
{
    struct wire_faults *faults = wire_faults(lane.wire);
    faults->loss_ppm = on ? 100000 : 0;
    faults->duplicate_ppm = on ? 100000 : 0;
    faults->reorder_ppm = on ? 100000 : 0;
    faults->corrupt_ppm = on ? 20000 : 0;
    REACH_IF(on, faults);
}

static void step_hop(struct world *w, uint8_t command, struct cursor *c)
{
    switch (command % 8) {
    case 0:
    case 1:
        step_end(cursor_u8(c), command % 8 == 1);
        break;
    case 2: {
        uint8_t how = cursor_u8(c);
        lane.hop[how % LANE_HOPS]->mood = (enum node_mood)(how / 4 % 4);
        break;
    }
    case 3:
        hop_bed_play(&w->bed, HONEST_MS);
        break;
    case 4:
        step_frame(c);
        break;
    case 5:
        lane_run(LONG_MS);
        break;
    default:
        set_faults(command % 8 == 6);
        break;
    }
}

static void step(struct world *w, struct cursor *c)
{
    uint8_t command = cursor_u8(c);
    if (command < 64) {
        uint8_t hop = cursor_u8(c);
        deliver(w, command % HOP_BED_MAILS, hop, cursor_u8(c));
    } else if (command < 128) {
        say(w, cursor_u8(c), bytes_str(replies[command % 32]));
    } else if (command < 160) {
        step_bytes(w, c);
    } else if (command < 192) {
        lane_run(UINT64_C(1) << command % 32 / 2);
    } else {
        step_hop(w, command, c);
    }
    lane_run(2);
    hop_bed_hear(&w->bed, false);
    read_up(w);
}

/* What is under way ends; then honest hops take all of it. */
static void settle(struct world *w)
{
    set_faults(false);
    hop_bed_settle(&w->bed);
    lane_run(100);
    read_up(w);
    uint32_t before = w->bed.taken;
    for (unsigned mail = 0; mail < HOP_BED_MAILS; mail++) {
        assert(!w->busy[mail]);
        w->attempts = 0;
        deliver(w, mail, 0, 0);
    }
    hop_bed_settle(&w->bed);
    lane_run(100);
    read_up(w);
    assert(w->bed.taken == before + HOP_BED_MAILS);
    REACH_IF(lane.worker_counters.value[COUNTER_client_reuses] > 0, reused);
    REACH(settled);
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
    settle(w);
    hop_bed_fini(&w->bed);
    return 0;
}
