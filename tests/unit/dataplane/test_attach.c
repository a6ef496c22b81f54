/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_attach.c: up rings: how they begin, their bounds, a sleeping reader. */
#include "tests/unit/dataplane/bed.h"

#include "common/counters.h"
#include "common/limits/ring.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(attach, .init = bed_make, .fini = bed_unmake, .timeout = 60);

/* --- attaching -------------------------------------------------------------------------------- */

/* abi.h: the first message in every ring, with the ends from which everything comes through it. */
Test(attach, hello_comes_first_with_the_durable_ends)
{
    bed_give(bed_make_commit(1, 0, 1));
    bed_give(bed_make_state(id_make(1, 1, 0), 0));
    cr_assert_eq(bed_finish(), 2);
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    cr_assert_null(writer_attached(bed.writer), "not before its HELLO is in the ring");
    writer_turn(bed.writer, false);
    cr_assert_eq(writer_attached(bed.writer), region);
    struct abi_up hello = bed_next_up();
    cr_assert_eq(hello.type, ABI_UP_HELLO);
    cr_assert_eq(hello.number, 0);
    cr_assert_eq(hello.hello.message_pos, spool_writer_message_pos(bed.spool));
    cr_assert_eq(hello.hello.state_pos, spool_writer_state_pos(bed.spool));
    cr_assert_eq(atomic_load(&region->durable_message_pos), hello.hello.message_pos);
    cr_assert_eq(atomic_load(&region->durable_state_pos), hello.hello.state_pos);
    cr_assert_eq(hello.hello.start, spool_writer_start(bed.spool));
    cr_assert_eq(hello.hello.credits, LIMIT_DELIVERS_IN_FLIGHT);
    bed_no_more_up();
    bed_give(bed_make_commit(2, 0, 1));
    bed_give(bed_make_state(id_make(1, 2, 0), 0));
    cr_assert_eq(bed_finish(), 2);
    for (int i = 0; i < 2; i++) { /* the two logs are not in order to each other */
        struct abi_up message = bed_next_up();
        if (message.type == ABI_UP_COMMIT) {
            cr_assert_geq(message.commit.commit_pos, hello.hello.message_pos);
        } else {
            cr_assert_eq(message.type, ABI_UP_STATE);
            cr_assert_geq(message.state.state_pos, hello.hello.state_pos);
        }
    }
    free(region);
}

Test(attach, without_a_region_nothing_is_counted_as_dropped)
{
    bed_give(bed_make_commit(1, 0, 1));
    cr_assert_eq(bed_finish(), 1);
    cr_assert_eq(counter_get(&bed.counters, COUNTER_ring_dropped), 0);
    cr_assert_eq(bed.doorbells, 0);
}

/* Whenever the attach comes: what is before HELLO's positions is read from the log, and what
 * follows comes through the ring. Nothing is missed, and nothing comes twice in one ring. */
Test(attach, hello_parts_the_log_from_the_ring_at_any_moment)
{
    enum { COMMITS = 400 };
    static uint64_t pos[COMMITS];
    uint64_t from = 0;
    struct abi_attach *region = NULL;
    uint64_t hello_pos = UINT64_MAX;
    uint32_t told = 0;
    bool seen[COMMITS] = {false};
    while (from < COMMITS) {
        uint64_t burst = 1 + from % 7;
        for (uint64_t i = 0; i < burst && from < COMMITS; i++, from++) {
            bed_give(bed_make_commit(from, from % BED_WORKERS, 1));
        }
        if (region == NULL && from > COMMITS / 2) {
            writer_turn(bed.writer, false); /* some are now under way, not durable */
            bed_give(bed_make_commit(COMMITS, 0, 1));
            region = bed_make_region();
            writer_attach(bed.writer, region);
        }
        writer_turn(bed.writer, from % 3 == 0);
    }
    bed_run();
    for (uint32_t worker = 0; worker < BED_WORKERS; worker++) {
        struct submission *s;
        while ((s = bed_take_back(worker)) != NULL) {
            uint64_t counter = bed_counter(s->spool.txn->id);
            cr_assert_eq(s->spool.result, SPOOL_RESULT_OK);
            if (counter < COMMITS) {
                pos[counter] = s->spool.pos;
            }
            bed_discard(s);
        }
    }
    struct abi_up message;
    while (ring_take(&bed.up, &message)) {
        cr_assert_eq(message.number, told++);
        if (message.type == ABI_UP_HELLO) {
            hello_pos = message.hello.message_pos;
        } else {
            uint64_t counter = bed_counter(message.commit.id);
            cr_assert_geq(message.commit.commit_pos, hello_pos);
            cr_assert(counter == COMMITS || !seen[counter]);
            seen[counter % COMMITS] |= counter < COMMITS;
        }
    }
    for (uint32_t i = 0; i < COMMITS; i++) {
        cr_assert_eq(seen[i], pos[i] >= hello_pos, "commit %u", i);
    }
    free(region);
}

/* Each attach has fresh rings. Numbers begin again, and the old ring is not touched. */
Test(attach, another_attach_begins_anew)
{
    struct abi_attach *first = bed_make_region();
    struct ring_end first_up = bed.up;
    writer_attach(bed.writer, first);
    bed_give(bed_make_note(1, 0));
    cr_assert_eq(bed_finish(), 1);
    struct abi_attach *second = bed_make_region();
    writer_attach(bed.writer, second);
    bed_give(bed_make_note(2, 0));
    cr_assert_eq(bed_finish(), 1);
    cr_assert_eq(writer_attached(bed.writer), second);
    struct abi_up message = bed_next_up();
    cr_assert(message.type == ABI_UP_HELLO && message.number == 0);
    message = bed_next_up();
    cr_assert(message.type == BED_NOTE_TYPE && message.number == 1 && message.state.id == 2);
    bed_no_more_up();
    bed.up = first_up;
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    cr_assert_eq(bed_next_up().state.id, 1);
    bed_no_more_up();
    writer_attach(bed.writer, NULL);
    bed_give(bed_make_note(3, 0));
    cr_assert_eq(bed_finish(), 1);
    cr_assert_null(writer_attached(bed.writer));
    free(first); /* ASan: no one writes there any more */
    free(second);
}

/* --- the ring's bounds ------------------------------------------------------------------------ */

/* The log is the truth. A full ring drops messages, and the gap in the numbers shows it. */
Test(attach, a_full_ring_drops_but_numbers_go_on)
{
    enum { NOTES = LIMIT_RING_UP_SLOTS + 500, AT_ONCE = 1000 };
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    for (uint64_t i = 0; i < NOTES; i++) {
        bed_give(bed_make_note(i, i % BED_WORKERS));
        if (i % AT_ONCE == 0) {
            bed_finish();
        }
    }
    bed_finish();
    cr_assert_eq(counter_get(&bed.counters, COUNTER_ring_dropped), 501, "HELLO takes a slot too");
    cr_assert_eq(atomic_load(&region->up_count), NOTES + 1, "the dropped ones are counted");
    for (uint64_t i = 0; i < LIMIT_RING_UP_SLOTS; i++) {
        cr_assert_eq(bed_next_up().number, i);
    }
    bed_no_more_up();
    bed_give(bed_make_note(4711, 0));
    cr_assert_eq(bed_finish(), 1);
    struct abi_up message = bed_next_up();
    cr_assert_eq(message.number, NOTES + 1, "the dropped ones used their numbers up");
    cr_assert_eq(message.state.id, 4711);
    free(region);
}

/* A dead or hostile control may write anything into the ring's head: nothing stops, and all
 * submissions come back. */
Test(attach, a_lying_control_stops_nothing)
{
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    for (uint32_t i = 0; i < 100; i++) {
        atomic_store(&bed.up.ring->head, i * 0x12345677u);
        bed.up.ring->slot_count = 3;
        bed_give(bed_make_commit(i, i % BED_WORKERS, 1));
        cr_assert_eq(bed_finish(), 1);
    }
    free(region);
}

/* abi.h: the doorbell rings once when control said that it sleeps, and not when it is awake. */
Test(attach, the_doorbell_rings_for_a_sleeper_only)
{
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    bed_give(bed_make_note(1, 0));
    bed_finish();
    cr_assert_eq(bed.doorbells, 0);
    atomic_store(&region->control_sleeping, 1);
    writer_turn(bed.writer, false);
    cr_assert_eq(bed.doorbells, 0, "there was nothing to tell");
    bed_give(bed_make_note(2, 0));
    bed_finish();
    cr_assert_eq(bed.doorbells, 1);
    cr_assert_eq(atomic_load(&region->control_sleeping), 0);
    bed_give(bed_make_note(3, 0));
    bed_finish();
    cr_assert_eq(bed.doorbells, 1);
    free(region);
}
/* abi.h: the doorbell rings after the next put. HELLO is a put, and control may sleep already. */
Test(attach, hello_rings_the_doorbell)
{
    struct abi_attach *region = bed_make_region();
    atomic_store(&region->control_sleeping, 1);
    writer_attach(bed.writer, region);
    writer_turn(bed.writer, false);
    cr_assert_eq(bed.doorbells, 1);
    free(region);
}

/* A control that attaches to a full (or fenced) spool knows it at once, though no mail moves. */
Test(attach, hello_comes_with_the_spool_state)
{
    for (uint64_t i = 0; writer_spool_state(bed.writer) == ABI_SPOOL_OK; i++) {
        cr_assert_lt(i, 10000);
        bed_give(bed_make_commit(i, 0, 1));
        bed_finish();
    }
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    writer_turn(bed.writer, false);
    cr_assert_eq(writer_attached(bed.writer), region);
    cr_assert_eq(atomic_load(&region->spool_state), ABI_SPOOL_FULL);
    free(region);
}
