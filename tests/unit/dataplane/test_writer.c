/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_writer.c: what the writer tells control, when, and in which order. */
#include "tests/unit/dataplane/bed.h"

#include "common/counters.h"
#include "common/envelope_ring.h"
#include "common/limits/address.h"
#include "common/limits/ring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

TestSuite(writer, .init = bed_make, .fini = bed_unmake, .timeout = 60);

/* --- what is told ----------------------------------------------------------------------------- */

Test(writer, a_commit_is_told_for_each_delivery)
{
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    struct submission *s = bed_make_commit(77, 1, 3);
    bed_give(s);
    bed_run();
    cr_assert_eq(bed_take_back(1), s);
    cr_assert_eq(s->spool.result, SPOOL_RESULT_OK);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    for (uint32_t i = 0; i < 3; i++) {
        struct abi_up message = bed_next_up();
        cr_assert_eq(message.type, ABI_UP_COMMIT);
        cr_assert_eq(message.number, 1 + i);
        cr_assert_eq(message.commit.id, s->spool.txn->id | i);
        cr_assert_eq(message.commit.commit_pos, s->spool.pos);
        cr_assert_eq(message.commit.first_pos, s->spool.pos, "one record is both");
        cr_assert_eq(message.commit.received_ms, 5077);
        cr_assert_eq(message.commit.route_id, 100 + i);
        cr_assert_eq(message.commit.rcpt_count, i + 1);
        cr_assert_eq(message.commit.body_bytes, BED_BODY_BYTES);
    }
    bed_no_more_up();
    bed_discard(s);
    free(region);
}

/* What the envelope ring holds for a COMMIT is what the spool's FIRST record holds. */
static void assert_envelope(const struct envelope_ring_end *end, const struct abi_up *message,
                            const struct submission *s)
{
    static uint8_t copy[LIMIT_ENVELOPE_BYTES];
    const uint8_t *written = s->spool.buffer + spool_record_prefix(0);
    cr_assert_eq(message->type, ABI_UP_COMMIT);
    cr_assert_eq(message->commit.envelope_bytes, s->spool.envelope_bytes);
    cr_assert(
        envelope_ring_get(end, message->commit.envelope_at, message->commit.envelope_bytes, copy));
    cr_assert_eq(memcmp(copy, written, s->spool.envelope_bytes), 0);
}

/* abi.h: one copy of the envelope for all deliveries of a message, while control wants them. */
Test(writer, a_commit_comes_with_its_envelope)
{
    struct abi_attach *region = bed_make_region();
    struct envelope_ring_end end;
    envelope_ring_open(&end, abi_envelope_ring(region));
    writer_attach(bed.writer, region);
    bed_give(bed_make_commit_with_envelope(1, 0, 1));
    cr_assert_eq(bed_finish(), 1);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    cr_assert_eq(bed_next_up().commit.envelope_bytes, 0, "nobody asked for it");
    atomic_store(&region->envelopes_wanted, 1);
    uint32_t at[2] = {0};
    for (uint64_t n = 0; n < 2; n++) {
        struct submission *s = bed_make_commit_with_envelope(2 + n, 1, 3);
        bed_give(s);
        bed_run();
        cr_assert_eq(bed_take_back(1), s);
        for (uint32_t i = 0; i < 3; i++) {
            struct abi_up message = bed_next_up();
            assert_envelope(&end, &message, s);
            cr_assert(i == 0 || message.commit.envelope_at == at[n], "all share one copy");
            at[n] = message.commit.envelope_at;
        }
        bed_discard(s);
    }
    cr_assert_neq(at[0], at[1]);
    bed_give(bed_make_commit(4, 0, 1));
    cr_assert_eq(bed_finish(), 1);
    cr_assert_eq(bed_next_up().commit.envelope_bytes, 0, "the writer was given none");
    bed_no_more_up();
    free(region);
}

/* An envelope at all its bounds: some 125 of them fill the envelope ring. */
static void lengthen(struct submission *s)
{
    static char address[LIMIT_ADDRESS_BYTES + 1];
    struct envelope *e = (struct envelope *)s->envelope;
    memset(address, 'a', LIMIT_ADDRESS_BYTES);
    for (uint32_t i = 0; i < LIMIT_RCPTS; i++) {
        e->rcpt[i] = (struct envelope_rcpt){.address = bytes_str(address)};
    }
    e->rcpt_count = LIMIT_RCPTS;
}

/* Commits a message with a long envelope and returns what control hears of it. */
static struct abi_up commit_long(uint64_t n)
{
    struct submission *s = bed_make_commit_with_envelope(n, 0, 1);
    lengthen(s);
    bed_give(s);
    cr_assert_eq(bed_finish(), 1);
    struct abi_up message = bed_next_up();
    cr_assert_eq(message.type, ABI_UP_COMMIT);
    cr_assert_eq(message.commit.id, id_make(spool_writer_start(bed.spool), n, 0));
    return message;
}

/* A control that releases no envelope still hears of each COMMIT, in the end without its envelope.
 * When control releases some, envelopes come again. */
Test(writer, a_full_envelope_ring_holds_up_no_commit)
{
    struct abi_attach *region = bed_make_region();
    struct envelope_ring_end end;
    envelope_ring_open(&end, abi_envelope_ring(region));
    atomic_store(&region->envelopes_wanted, 1);
    writer_attach(bed.writer, region);
    writer_turn(bed.writer, false);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    struct abi_up last = commit_long(1);
    struct abi_up message = last;
    uint64_t n = 1;
    while (message.commit.envelope_bytes > 0) {
        last = message;
        message = commit_long(++n);
    }
    cr_assert_eq(n - 1, LIMIT_ENVELOPE_RING_BYTES / ((last.commit.envelope_bytes + 7u) & ~7u));
    envelope_ring_release(&end, last.commit.envelope_at, last.commit.envelope_bytes);
    message = commit_long(++n);
    cr_assert_gt(message.commit.envelope_bytes, 0);
    cr_assert_neq(message.commit.envelope_at, last.commit.envelope_at, "the last one is in use");
    free(region);
}

/* Nothing would ever release the envelope of a COMMIT that was dropped. */
Test(writer, a_dropped_commit_leaves_no_envelope)
{
    enum { AT_ONCE = 1000 };
    struct abi_attach *region = bed_make_region();
    atomic_store(&region->envelopes_wanted, 1);
    writer_attach(bed.writer, region);
    for (uint64_t i = 0; i < LIMIT_RING_UP_SLOTS - 1; i++) {
        bed_give(bed_make_note(i, 0));
        if (i % AT_ONCE == 0) {
            bed_finish();
        }
    }
    bed_finish();
    cr_assert_eq(counter_get(&bed.counters, COUNTER_ring_dropped), 0, "full, HELLO included");
    bed_give(bed_make_commit_with_envelope(1, 0, 1));
    cr_assert_eq(bed_finish(), 1);
    cr_assert_eq(counter_get(&bed.counters, COUNTER_ring_dropped), 1);
    for (uint32_t i = 0; i < LIMIT_RING_UP_SLOTS; i++) {
        (void)bed_next_up();
    }
    bed_give(bed_make_commit_with_envelope(2, 0, 1));
    cr_assert_eq(bed_finish(), 1);
    struct abi_up message = bed_next_up();
    cr_assert_gt(message.commit.envelope_bytes, 0);
    cr_assert_eq(message.commit.envelope_at, 0, "the dropped one took no room");
    free(region);
}

Test(writer, a_state_is_told_with_its_position)
{
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    uint64_t id = id_make(1, 5, 2);
    struct submission *s = bed_make_state(id, 0);
    bed_give(s);
    bed_run();
    cr_assert_eq(bed_take_back(0), s);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    struct abi_up message = bed_next_up();
    cr_assert_eq(message.type, ABI_UP_STATE);
    cr_assert_eq(message.kind, ABI_STATE_OUTCOME);
    cr_assert_eq(message.outcome, OUTCOME_DELIVERED);
    cr_assert_eq(message.phase, ABI_PHASE_DOT);
    cr_assert_eq(message.code, 250);
    cr_assert_eq(message.flags, ABI_FLAG_LAST, "the credit is free again");
    cr_assert_eq(message.state.id, id);
    cr_assert_eq(message.state.state_pos, s->spool.pos);
    cr_assert_gt(atomic_load(&region->durable_state_pos), s->spool.pos);
    cr_assert_eq(rcptset_count(&message.state.rcpts), 2);
    cr_assert_eq(message.state.time_ms, 4711);
    cr_assert_eq(message.state.hop_id, 9);
    bed_discard(s);
    free(region);
}

/* A NOTE is told when all that was submitted before it is durable. So it comes behind that in the
 * ring, whichever log it was written to. */
Test(writer, notes_keep_their_place)
{
    enum { ROUNDS = 300 };
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        bed_give(i % 2 == 0 ? bed_make_commit(i, 0, 1) : bed_make_state(id_make(1, i, 0), 0));
        bed_give(bed_make_note(i, 0));
        if (i % 5 == 0) {
            writer_turn(bed.writer, false);
        }
    }
    cr_assert_eq(bed_finish(), ROUNDS * 2);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    bool told[ROUNDS] = {false};
    uint64_t note = 0;
    for (uint64_t number = 1; number <= ROUNDS * 2; number++) {
        struct abi_up message = bed_next_up();
        cr_assert_eq(message.number, number, "numbers are consecutive");
        if (message.type == BED_NOTE_TYPE) {
            cr_assert_eq(message.state.id, note, "in the order they were given");
            for (uint64_t i = 0; i <= note; i++) {
                cr_assert(told[i], "note %lu before record %lu", (unsigned long)note,
                          (unsigned long)i);
            }
            note++;
        } else {
            uint64_t id = message.type == ABI_UP_COMMIT ? message.commit.id : message.state.id;
            uint64_t counter = bed_counter(id);
            cr_assert_lt(counter, ROUNDS);
            told[counter] = true;
        }
    }
    bed_no_more_up();
    free(region);
}

/* Messages come in the ring in the order of the log. */
Test(writer, commits_are_told_in_the_order_of_the_log)
{
    enum { COMMITS = 200 };
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    for (uint64_t i = 0; i < COMMITS; i++) {
        bed_give(bed_make_commit(i, i % BED_WORKERS, 1));
    }
    cr_assert_eq(bed_finish(), COMMITS);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    uint64_t last = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        struct abi_up message = bed_next_up();
        cr_assert_gt(message.commit.commit_pos, last);
        last = message.commit.commit_pos;
    }
    bed_no_more_up();
    free(region);
}

/* What is not durable is not told: reads, aborts, recycling, and anything that failed. */
Test(writer, only_what_is_durable_is_told)
{
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    struct submission *abort = bed_make_commit(1, 0, 1);
    abort->spool.kind = SPOOL_SUBMIT_ABORT;
    bed_give(abort);
    struct submission *read = bed_make_commit(2, 0, 1);
    read->spool.kind = SPOOL_SUBMIT_READ;
    read->spool.pos = UINT64_C(999) << 32;
    bed_give(read);
    bed_give(bed_make_submission(SPOOL_SUBMIT_RECYCLE, 0));
    bed_give(bed_make_submission(SPOOL_SUBMIT_STATE_RECYCLE, 0));
    bed_run();
    uint32_t back = 0;
    struct submission *s;
    while ((s = bed_take_back(0)) != NULL) {
        cr_assert(s != read || s->spool.result != SPOOL_RESULT_OK);
        back++;
        bed_discard(s);
    }
    cr_assert_eq(back, 4);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    bed_no_more_up();
    free(region);
}

/* FULL is an answer (452). Workers and control are told, and there is no COMMIT. */
Test(writer, a_full_spool_tells_no_commit)
{
    enum { TRIES = 8000 }; /* of three blocks or so each: twice what six segments hold */
    struct abi_attach *region = bed_make_region();
    uint32_t ok = 0;
    writer_attach(bed.writer, region);
    for (uint64_t i = 0; i < TRIES; i++) {
        bed_give(bed_make_commit(i, 0, 1));
        ok += i % 100 == 99 ? bed_finish() : 0;
    }
    cr_assert_gt(ok, 100);
    cr_assert_lt(ok, TRIES);
    cr_assert_eq(writer_spool_state(bed.writer), ABI_SPOOL_FULL);
    cr_assert_eq(atomic_load(&region->spool_state), ABI_SPOOL_FULL);
    cr_assert_gt(counter_get(&bed.counters, COUNTER_spool_full), 0);
    cr_assert_eq(counter_get(&bed.counters, COUNTER_segments_free), 0);
    cr_assert_eq(bed_next_up().type, ABI_UP_HELLO);
    for (uint32_t i = 0; i < ok; i++) {
        struct abi_up message = bed_next_up();
        cr_assert_eq(message.type, ABI_UP_COMMIT);
        cr_assert_eq(message.number, 1 + i);
    }
    bed_no_more_up();
    bed_give(bed_make_state(id_make(1, 1, 0), 0));
    cr_assert_eq(bed_finish(), 1, "outcomes can still be recorded");
    free(region);
}

/* --- against a worker's thread ---------------------------------------------------------------- */

static _Atomic bool stop;

static void *writer_thread(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        if (!writer_turn(bed.writer, true)) {
            sched_yield();
        }
    }
    return NULL;
}

/* The sender can act on its 250 only when control can already know: when a worker gets its commit
 * back, the up message is in the ring. */
Test(writer, control_hears_before_the_worker)
{
    enum { COMMITS = 500 };
    pthread_t thread;
    struct abi_attach *region = bed_make_region();
    writer_attach(bed.writer, region);
    cr_assert_eq(pthread_create(&thread, NULL, writer_thread, NULL), 0);
    uint64_t told = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        struct submission *s = bed_make_commit(i, i % BED_WORKERS, 1);
        struct submission *back;
        bed_give(s);
        while ((back = bed_take_back(s->worker)) == NULL) {
            sched_yield();
        }
        cr_assert_eq(back, s);
        cr_assert_eq(s->spool.result, SPOOL_RESULT_OK);
        struct abi_up message = bed_next_up();
        if (message.type == ABI_UP_HELLO) {
            told++;
            message = bed_next_up();
        }
        cr_assert_eq(message.number, told++);
        cr_assert_eq(message.commit.id, s->spool.txn->id);
        cr_assert_eq(message.commit.commit_pos, s->spool.pos);
        cr_assert_gt(atomic_load(&region->durable_message_pos), s->spool.pos,
                     "control may read it");
        bed_discard(s);
    }
    atomic_store(&stop, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    free(region);
}

Test(writer, spool_figures_are_counted)
{
    bed_give(bed_make_commit(1, 0, 1));
    bed_finish();
    cr_assert_eq(counter_get(&bed.counters, COUNTER_spool_batches), 1);
    cr_assert_gt(counter_get(&bed.counters, COUNTER_spool_bytes), BED_BODY_BYTES);
    cr_assert_eq(counter_get(&bed.counters, COUNTER_spool_errors), 0);
    cr_assert_gt(counter_get(&bed.counters, COUNTER_segments_free), 0);
    cr_assert_eq(counter_get(&bed.counters, COUNTER_segments_free),
                 spool_writer_free_segments(bed.spool));
    cr_assert_eq(writer_spool_state(bed.writer), ABI_SPOOL_OK);
}
