/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_entries.c: what the up ring says is checked before it is believed, and
 * what it dropped is made up for. */
#include "tests/unit/control/lab.h"

#include "control/core/feed.h"

#include "common/limits/ring.h"

#include <criterion/criterion.h>
#include <string.h>

static struct lab *lab;

static void set_up(void)
{
    lab = lab_create();
    lab_attach(lab);
}

static void tear_down(void)
{
    lab_destroy(lab);
}

TestSuite(entries, .init = set_up, .fini = tear_down);

/* --- entries that cannot be ------------------------------------------------------------------ */

Test(entries, a_second_hello_begins_nothing)
{
    lab_put(lab, (struct abi_up){.type = ABI_UP_HELLO, .hello = {.start = 7, .credits = 1}});
    lab_turn(lab, 0);
    cr_assert_eq(lab->core.attach.phase, ATTACH_RUNNING);
    cr_assert_eq(lab->core.attach.start, 1);
    cr_assert_eq(lab->core.attach.credits, 64);
}

Test(entries, a_state_record_in_no_place_is_not_believed)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    lab_state_at(lab, 0, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_not_null(lab_find(lab, id));
    cr_assert_eq(lab->core.journal.delivered_rcpts, 0);
}

Test(entries, an_unknown_outcome_is_not_believed)
{
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    (void)lab_state(lab, id, ABI_STATE_OUTCOME, (enum outcome)200, 1, ABI_FLAG_LAST);
    lab_attempt(lab, id, (enum outcome)200, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_eq(lab_find(lab, id)->state, DELIVERY_IN_FLIGHT);
}

/* An attempt has no place in the log, whatever the entry says: the record there still counts. */
Test(entries, an_attempt_takes_no_place_in_the_log)
{
    const uint64_t pos = (UINT64_C(1) << 32) + 4096;
    uint64_t id = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    lab_put(lab, (struct abi_up){.type = ABI_UP_ATTEMPT,
                                 .outcome = OUTCOME_CONNECTION_LOST,
                                 .state = {.id = id, .state_pos = pos, .rcpts = {{1}}}});
    lab_turn(lab, 0);
    lab_state_at(lab, pos, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    cr_assert_null(lab_find(lab, id));
    cr_assert_eq(lab->core.journal.delivered_rcpts, 1);
}

/* The room of each envelope is given back: far more of them come than the ring holds. */
Test(entries, envelopes_are_given_back)
{
    uint8_t bytes[LIMIT_ENVELOPE_BYTES];
    memset(bytes, 'x', sizeof bytes);
    for (uint64_t put = 0; put < 3 * (uint64_t)LIMIT_ENVELOPE_RING_BYTES; put += sizeof bytes) {
        struct life_facts fact = lab_facts(lab, 1, 1);
        struct abi_up up = {.type = ABI_UP_COMMIT,
                            .commit = {.id = fact.id,
                                       .commit_pos = fact.commit_pos,
                                       .first_pos = fact.first_pos,
                                       .received_ms = fact.received_ms,
                                       .route_id = 1,
                                       .envelope_bytes = sizeof bytes,
                                       .rcpt_count = 1}};
        uint32_t at;
        cr_assert(envelope_ring_put(&lab->envelopes, bytes_of(bytes, sizeof bytes), &at));
        up.commit.envelope_at = at;
        lab_put(lab, up);
        lab_turn(lab, 0);
    }
}

/* --- gaps and attaches ----------------------------------------------------------------------- */

/* The entry behind a gap comes after what the logs say of the gap, and is not forgotten. */
Test(entries, the_entry_behind_a_gap_waits_for_the_logs)
{
    (void)lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    lab->number++;
    uint64_t behind = lab_commit(lab, 1, 1);
    lab->unread = true;
    lab_turn(lab, 0);
    lab_turn(lab, 1000);
    cr_assert(lab->core.attach.reading);
    cr_assert_null(lab_find(lab, behind));
    lab->unread = false;
    lab_turn(lab, 0);
    cr_assert_not_null(lab_find(lab, behind));
}

static uint32_t fences_sent(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lab->sent_count; i++) {
        count += lab->sent[i].type == ABI_DOWN_FENCE;
    }
    return count;
}

/* Its answer may be among the dropped entries. */
Test(entries, a_fence_is_asked_again_behind_a_gap)
{
    uint64_t token = outbox_fence(&lab->core.outbox, &lab->core.attach);
    lab_turn(lab, 0);
    cr_assert_eq(fences_sent(), 1);
    lab->number++;
    lab_put(lab, (struct abi_up){.type = ABI_UP_RECYCLED, .recycled = {.seq = 99}});
    lab_turn(lab, 0);
    cr_assert_eq(fences_sent(), 2);
    lab_put(lab, (struct abi_up){.type = ABI_UP_FENCE, .fence = {.token = token, .worker = 0}});
    lab_turn(lab, 0);
    cr_assert(outbox_fence_passed(&lab->core.outbox, &lab->core.attach, token));
}

/* A flight that the dataplane still has goes on; one that it has not is sent anew. */
Test(entries, what_is_under_way_at_an_attach_goes_on)
{
    uint64_t goes_on = lab_commit(lab, 1, 1);
    uint64_t gone = lab_commit(lab, 2, 1);
    lab_turn(lab, 0);
    cr_assert(lab_times_sent(lab, goes_on) == 1 && lab_times_sent(lab, gone) == 1);
    lab->sent_count = 0;
    lab_hello(lab, 1, 64);
    lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {goes_on, .hop_id = 1}});
    lab_ends(lab);
    lab_turn(lab, 5000);
    cr_assert_eq(lab_times_sent(lab, goes_on), 0);
    cr_assert_eq(lab_find(lab, goes_on)->state, DELIVERY_IN_FLIGHT);
    cr_assert_eq(lab_times_sent(lab, gone), 1);
}

/* --- damage ---------------------------------------------------------------------------------- */

Test(entries, damage_behind_damage_is_said)
{
    const uint64_t pos = (UINT64_C(3) << 32) + 4096;
    cr_assert(feed_damage(&lab->core, true, pos));
    cr_assert_not(feed_damage(&lab->core, true, pos));
    cr_assert(feed_damage(&lab->core, true, pos + 1));
    cr_assert(feed_damage(&lab->core, false, pos), "each log has its own");
    cr_assert_eq(lab->core.journal.damaged, 3);
}

/* Segments count from 1: damage of a header has no place. */
Test(entries, no_segment_is_kept_for_damage_in_no_place)
{
    struct liveness *l = &lab->core.journal.liveness;
    size_t count = l->count;
    cr_assert(feed_damage(&lab->core, true, 7));
    cr_assert_eq(l->count, count);
    cr_assert(feed_damage(&lab->core, true, UINT64_C(9) << 32));
    cr_assert_gt(l->count, count);
}

/* Mail that is done may have been alone in the segments that the log was read through. */
Test(entries, segments_before_what_was_read_are_offered)
{
    struct core *c = &lab->core;
    uint64_t seq = 0;
    feed_message_seen(c, (UINT64_C(2) << 32) + 4096);
    feed_message_seen(c, (UINT64_C(4) << 32) + 4096);
    cr_assert(liveness_offer(&c->journal.liveness, c->now.now_ns, 1000, &seq));
    cr_assert_eq(seq, 2);
    cr_assert(liveness_offer(&c->journal.liveness, c->now.now_ns, 1000, &seq));
    cr_assert_eq(seq, 3);
    cr_assert_not(liveness_offer(&c->journal.liveness, c->now.now_ns, 1000, &seq), "it is open");
}
