/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/test_writer.c: between workers, a true spool on a disk, and the up ring.
 *
 * The region is a fresh one for each attach, as control makes it (abi.h); `up` is control's end. */
#include "dataplane/writer.h"

#include "common/crc32c.h"
#include "common/id.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 2, RECORD_BYTES = 4096, BODY_BYTES = 1000, NOTE_TYPE = ABI_UP_ATTEMPT };

static char dir[] = "/var/tmp/holdfast-writer-XXXXXX"; /* O_DIRECT: not on a tmpfs */
static struct spool_io *io;
static struct spool_writer *spool;
static struct writer *writer;
static struct counters counters;
static uint32_t doorbells;
static struct ring_end up;

static void ring_doorbell(void *ctx)
{
    cr_assert_eq(ctx, &doorbells);
    doorbells++;
}

static void make(void)
{
    const struct spool_settings spool_settings = {
        .segment_bytes = 1 << 20, .segments_max = 6, .state_segment_bytes = 1 << 20};
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(spool_io_create(dir, "pwritev2", -1, false, &io), 0);
    cr_assert_eq(spool_writer_open(io, &spool_settings, &spool), 0);
    const struct writer_settings settings = {.spool = spool,
                                             .worker_count = WORKERS,
                                             .counters = &counters,
                                             .doorbell = ring_doorbell,
                                             .doorbell_ctx = &doorbells};
    cr_assert_eq(writer_create(&settings, &writer), 0);
}

static void unmake(void)
{
    writer_destroy(writer);
    spool_writer_close(spool);
    io->ops->destroy(io);
    DIR *d = opendir(dir);
    cr_assert_not_null(d);
    const struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') {
            cr_assert_eq(unlinkat(dirfd(d), entry->d_name, 0), 0);
        }
    }
    closedir(d);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(writer, .init = make, .fini = unmake, .timeout = 60);

static struct abi_attach *make_region(void)
{
    size_t size = abi_attach_size(WORKERS);
    struct abi_attach *region = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    cr_assert_not_null(region);
    memset(region, 0, size);
    struct ring *ring = (struct ring *)((uint8_t *)region + abi_up_offset());
    ring_init(ring, LIMIT_RING_UP_SLOTS);
    ring_open(&up, ring, LIMIT_RING_UP_SLOTS);
    return region;
}

/* --- submissions ------------------------------------------------------------------------------ */

static struct submission *make_submission(enum spool_submit_kind kind, uint32_t worker)
{
    struct submission *s = calloc(1, sizeof *s);
    cr_assert_not_null(s);
    s->spool.kind = kind;
    s->worker = worker;
    return s;
}

/* A message of one record, for the routes 100, 101, ... with 1, 2, ... recipients. */
static struct submission *make_commit(uint64_t counter, uint32_t worker, uint32_t route_count)
{
    struct submission *s = make_submission(SPOOL_SUBMIT_COMMIT, worker);
    struct envelope e = {.received_ms = 5000 + counter,
                         .sender = bytes_str("s@x.example"),
                         .rcpt_count = (uint16_t)route_count};
    for (uint32_t i = 0; i < route_count; i++) {
        e.rcpt[i] = (struct envelope_rcpt){
            .route_id = 100 + i, .route_index = (uint8_t)i, .address = bytes_str("r@y.example")};
        s->delivery[i].route_id = 100 + i;
        s->delivery[i].rcpt_count = (uint16_t)(i + 1);
    }
    s->delivery_count = route_count;
    s->spool.txn = calloc(1, sizeof *s->spool.txn);
    s->spool.buffer = aligned_alloc(SPOOL_BLOCK_BYTES, RECORD_BYTES);
    cr_assert(s->spool.txn != NULL && s->spool.buffer != NULL);
    s->spool.txn->id = id_make(spool_writer_start(spool), counter, 0);
    s->spool.txn->record_count = 1;
    memset(s->spool.buffer, 'x', RECORD_BYTES);
    s->spool.buffer_size = RECORD_BYTES;
    uint8_t *payload = s->spool.buffer + spool_record_prefix(0);
    size_t envelope_bytes = envelope_encode(&e, payload, 2048);
    cr_assert_gt(envelope_bytes, 0);
    s->spool.envelope_bytes = (uint32_t)envelope_bytes;
    s->spool.body_bytes = BODY_BYTES;
    s->spool.total_bytes = BODY_BYTES;
    s->spool.body_crc = crc32c(0, payload, envelope_bytes + BODY_BYTES);
    s->spool.received_ms = e.received_ms;
    return s;
}

static struct submission *make_state(uint64_t id, uint32_t worker)
{
    struct submission *s = make_submission(SPOOL_SUBMIT_STATE, worker);
    s->spool.state.id = id;
    s->spool.state.rcpts = rcptset_first(2);
    s->spool.state.time_ms = 4711;
    s->spool.state.hop_id = 9;
    s->spool.state.kind = ABI_STATE_OUTCOME;
    s->spool.state.outcome = OUTCOME_DELIVERED;
    s->spool.state.phase = ABI_PHASE_DOT;
    s->spool.state.code = 250;
    s->spool.user.flags = ABI_FLAG_LAST;
    return s;
}

static struct submission *make_note(uint64_t token, uint32_t worker)
{
    struct submission *s = make_submission(SPOOL_SUBMIT_NOTE, worker);
    s->spool.user.type = NOTE_TYPE;
    s->spool.user.state.id = token;
    return s;
}

static void give(struct submission *s)
{
    struct ring_slot slot = {{0}};
    memcpy(slot.data, &s, sizeof s);
    cr_assert(ring_put(&writer_port(writer, s->worker)->submit, &slot));
}

static struct submission *take_back(uint32_t worker)
{
    struct ring_slot slot;
    struct submission *s = NULL;
    if (ring_take(&writer_port(writer, worker)->done, &slot)) {
        memcpy(&s, slot.data, sizeof s);
        cr_assert_eq(s->worker, worker, "given back to the worker it is of");
    }
    return s;
}

static void discard(struct submission *s)
{
    if (s->spool.txn != NULL) {
        free(s->spool.txn);
        free(s->spool.buffer);
    }
    free(s);
}

static void run(void)
{
    for (uint32_t turns = 0; !writer_idle(writer); turns++) {
        cr_assert_lt(turns, 1000000);
        writer_turn(writer, true);
    }
}

/* Runs until idle and frees what came back. Returns how many of these were OK. */
static uint32_t finish(void)
{
    uint32_t ok = 0;
    run();
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct submission *s;
        while ((s = take_back(i)) != NULL) {
            ok += s->spool.result == SPOOL_RESULT_OK;
            discard(s);
        }
    }
    return ok;
}

static struct abi_up next_up(void)
{
    struct abi_up message;
    cr_assert(ring_take(&up, &message), "the up ring is empty");
    return message;
}

static void no_more_up(void)
{
    cr_assert(ring_is_empty(&up));
}

/* --- attaching -------------------------------------------------------------------------------- */

/* abi.h: the first message in every ring, with the ends from which everything comes through it. */
Test(writer, hello_comes_first_with_the_durable_ends)
{
    give(make_commit(1, 0, 1));
    give(make_state(id_make(1, 1, 0), 0));
    cr_assert_eq(finish(), 2);
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    cr_assert_null(writer_attached(writer), "not before its HELLO is in the ring");
    writer_turn(writer, false);
    cr_assert_eq(writer_attached(writer), region);
    struct abi_up hello = next_up();
    cr_assert_eq(hello.type, ABI_UP_HELLO);
    cr_assert_eq(hello.number, 0);
    cr_assert_eq(hello.hello.message_pos, spool_writer_message_pos(spool));
    cr_assert_eq(hello.hello.state_pos, spool_writer_state_pos(spool));
    cr_assert_eq(hello.hello.start, spool_writer_start(spool));
    cr_assert_eq(hello.hello.credits, LIMIT_DELIVERS_IN_FLIGHT);
    no_more_up();
    give(make_commit(2, 0, 1));
    give(make_state(id_make(1, 2, 0), 0));
    cr_assert_eq(finish(), 2);
    for (int i = 0; i < 2; i++) { /* the two logs are not ordered among each other */
        struct abi_up message = next_up();
        if (message.type == ABI_UP_COMMIT) {
            cr_assert_geq(message.commit.commit_pos, hello.hello.message_pos);
        } else {
            cr_assert_eq(message.type, ABI_UP_STATE);
            cr_assert_geq(message.state.state_pos, hello.hello.state_pos);
        }
    }
    free(region);
}

Test(writer, without_a_region_nothing_is_counted_as_dropped)
{
    give(make_commit(1, 0, 1));
    cr_assert_eq(finish(), 1);
    cr_assert_eq(counter_get(&counters, COUNTER_ring_dropped), 0);
    cr_assert_eq(doorbells, 0);
}

/* Whatever the moment of an attach: below HELLO's position it is for the log, from there on it
 * comes through the ring; nothing is missed, nothing told twice in one ring. */
Test(writer, hello_parts_the_log_from_the_ring_at_any_moment)
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
            give(make_commit(from, from % WORKERS, 1));
        }
        if (region == NULL && from > COMMITS / 2) {
            writer_turn(writer, false); /* some are now under way, not durable */
            give(make_commit(COMMITS, 0, 1));
            region = make_region();
            writer_attach(writer, region);
        }
        writer_turn(writer, from % 3 == 0);
    }
    run();
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        struct submission *s;
        while ((s = take_back(worker)) != NULL) {
            uint64_t counter = (s->spool.txn->id >> ID_INDEX_BITS) % (UINT64_C(1) << 20);
            cr_assert_eq(s->spool.result, SPOOL_RESULT_OK);
            if (counter < COMMITS) {
                pos[counter] = s->spool.pos;
            }
            discard(s);
        }
    }
    struct abi_up message;
    while (ring_take(&up, &message)) {
        cr_assert_eq(message.number, told++);
        if (message.type == ABI_UP_HELLO) {
            hello_pos = message.hello.message_pos;
        } else {
            uint64_t counter = (message.commit.id >> ID_INDEX_BITS) % (UINT64_C(1) << 20);
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

/* pitfall 8: fresh rings at every attach; numbers begin anew, the old ring is left alone. */
Test(writer, another_attach_begins_anew)
{
    struct abi_attach *first = make_region();
    struct ring_end first_up = up;
    writer_attach(writer, first);
    give(make_note(1, 0));
    cr_assert_eq(finish(), 1);
    struct abi_attach *second = make_region();
    writer_attach(writer, second);
    give(make_note(2, 0));
    cr_assert_eq(finish(), 1);
    cr_assert_eq(writer_attached(writer), second);
    struct abi_up message = next_up();
    cr_assert(message.type == ABI_UP_HELLO && message.number == 0);
    message = next_up();
    cr_assert(message.type == NOTE_TYPE && message.number == 1 && message.state.id == 2);
    no_more_up();
    up = first_up;
    cr_assert_eq(next_up().type, ABI_UP_HELLO);
    cr_assert_eq(next_up().state.id, 1);
    no_more_up();
    writer_attach(writer, NULL);
    give(make_note(3, 0));
    cr_assert_eq(finish(), 1);
    cr_assert_null(writer_attached(writer));
    free(first); /* ASan: no one writes there any more */
    free(second);
}

/* --- what is told ----------------------------------------------------------------------------- */

Test(writer, a_commit_is_told_for_each_delivery)
{
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    struct submission *s = make_commit(77, 1, 3);
    give(s);
    run();
    cr_assert_eq(take_back(1), s);
    cr_assert_eq(s->spool.result, SPOOL_RESULT_OK);
    cr_assert_eq(next_up().type, ABI_UP_HELLO);
    for (uint32_t i = 0; i < 3; i++) {
        struct abi_up message = next_up();
        cr_assert_eq(message.type, ABI_UP_COMMIT);
        cr_assert_eq(message.number, 1 + i);
        cr_assert_eq(message.commit.id, s->spool.txn->id | i);
        cr_assert_eq(message.commit.commit_pos, s->spool.pos);
        cr_assert_eq(message.commit.first_pos, s->spool.pos, "one record is both");
        cr_assert_eq(message.commit.received_ms, 5077);
        cr_assert_eq(message.commit.route_id, 100 + i);
        cr_assert_eq(message.commit.rcpt_count, i + 1);
        cr_assert_eq(message.commit.body_bytes, BODY_BYTES);
    }
    no_more_up();
    discard(s);
    free(region);
}

Test(writer, a_state_is_told_with_its_position)
{
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    uint64_t id = id_make(1, 5, 2);
    struct submission *s = make_state(id, 0);
    give(s);
    run();
    cr_assert_eq(take_back(0), s);
    cr_assert_eq(next_up().type, ABI_UP_HELLO);
    struct abi_up message = next_up();
    cr_assert_eq(message.type, ABI_UP_STATE);
    cr_assert_eq(message.kind, ABI_STATE_OUTCOME);
    cr_assert_eq(message.outcome, OUTCOME_DELIVERED);
    cr_assert_eq(message.phase, ABI_PHASE_DOT);
    cr_assert_eq(message.code, 250);
    cr_assert_eq(message.flags, ABI_FLAG_LAST, "the credit is free again");
    cr_assert_eq(message.state.id, id);
    cr_assert_eq(message.state.state_pos, s->spool.pos);
    cr_assert_eq(rcptset_count(&message.state.rcpts), 2);
    cr_assert_eq(message.state.time_ms, 4711);
    cr_assert_eq(message.state.hop_id, 9);
    discard(s);
    free(region);
}

/* A NOTE is told when all that was submitted before it is durable, so it comes behind that in the
 * ring, whichever of the two logs it went to. */
Test(writer, notes_keep_their_place)
{
    enum { ROUNDS = 300 };
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        give(i % 2 == 0 ? make_commit(i, 0, 1) : make_state(id_make(1, i, 0), 0));
        give(make_note(i, 0));
        if (i % 5 == 0) {
            writer_turn(writer, false);
        }
    }
    cr_assert_eq(finish(), ROUNDS * 2);
    cr_assert_eq(next_up().type, ABI_UP_HELLO);
    bool told[ROUNDS] = {false};
    uint64_t note = 0;
    for (uint64_t number = 1; number <= ROUNDS * 2; number++) {
        struct abi_up message = next_up();
        cr_assert_eq(message.number, number, "numbers are consecutive");
        if (message.type == NOTE_TYPE) {
            cr_assert_eq(message.state.id, note, "in the order they were given");
            for (uint64_t i = 0; i <= note; i++) {
                cr_assert(told[i], "note %lu before record %lu", (unsigned long)note,
                          (unsigned long)i);
            }
            note++;
        } else {
            uint64_t id = message.type == ABI_UP_COMMIT ? message.commit.id : message.state.id;
            uint64_t counter = id >> ID_INDEX_BITS & ((UINT64_C(1) << ID_COUNTER_BITS) - 1);
            cr_assert_lt(counter, ROUNDS);
            told[counter] = true;
        }
    }
    no_more_up();
    free(region);
}

/* The log's order: later in the ring is later in the log. */
Test(writer, commits_are_told_in_the_order_of_the_log)
{
    enum { COMMITS = 200 };
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    for (uint64_t i = 0; i < COMMITS; i++) {
        give(make_commit(i, i % WORKERS, 1));
    }
    cr_assert_eq(finish(), COMMITS);
    cr_assert_eq(next_up().type, ABI_UP_HELLO);
    uint64_t last = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        struct abi_up message = next_up();
        cr_assert_gt(message.commit.commit_pos, last);
        last = message.commit.commit_pos;
    }
    no_more_up();
    free(region);
}

/* What is not durable is not told: reads, aborts, recycling, and anything that failed. */
Test(writer, only_what_is_durable_is_told)
{
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    struct submission *abort = make_commit(1, 0, 1);
    abort->spool.kind = SPOOL_SUBMIT_ABORT;
    give(abort);
    struct submission *read = make_commit(2, 0, 1);
    read->spool.kind = SPOOL_SUBMIT_READ;
    read->spool.pos = UINT64_C(999) << 32;
    give(read);
    give(make_submission(SPOOL_SUBMIT_RECYCLE, 0));
    give(make_submission(SPOOL_SUBMIT_STATE_RECYCLE, 0));
    run();
    uint32_t back = 0;
    struct submission *s;
    while ((s = take_back(0)) != NULL) {
        cr_assert(s != read || s->spool.result == SPOOL_RESULT_FAILED);
        back++;
        discard(s);
    }
    cr_assert_eq(back, 4);
    cr_assert_eq(next_up().type, ABI_UP_HELLO);
    no_more_up();
    free(region);
}

/* design section 6: full is an answer (452), told to workers and control, never a COMMIT. */
Test(writer, a_full_spool_tells_no_commit)
{
    enum { TRIES = 8000 }; /* of three blocks or so each: twice what six segments hold */
    struct abi_attach *region = make_region();
    uint32_t ok = 0;
    writer_attach(writer, region);
    for (uint64_t i = 0; i < TRIES; i++) {
        give(make_commit(i, 0, 1));
        ok += i % 100 == 99 ? finish() : 0;
    }
    cr_assert_gt(ok, 100);
    cr_assert_lt(ok, TRIES);
    cr_assert_eq(writer_spool_state(writer), ABI_SPOOL_FULL);
    cr_assert_eq(atomic_load(&region->spool_state), ABI_SPOOL_FULL);
    cr_assert_gt(counter_get(&counters, COUNTER_spool_full), 0);
    cr_assert_eq(counter_get(&counters, COUNTER_segments_free), 0);
    cr_assert_eq(next_up().type, ABI_UP_HELLO);
    for (uint32_t i = 0; i < ok; i++) {
        struct abi_up message = next_up();
        cr_assert_eq(message.type, ABI_UP_COMMIT);
        cr_assert_eq(message.number, 1 + i);
    }
    no_more_up();
    give(make_state(id_make(1, 1, 0), 0));
    cr_assert_eq(finish(), 1, "outcomes can still be recorded");
    free(region);
}

/* --- the ring's bounds ------------------------------------------------------------------------ */

/* pitfall 6: the log is the truth. A full ring drops, but the gap in the numbers shows. */
Test(writer, a_full_ring_drops_but_numbers_go_on)
{
    enum { NOTES = LIMIT_RING_UP_SLOTS + 500, AT_ONCE = 1000 };
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    for (uint64_t i = 0; i < NOTES; i++) {
        give(make_note(i, i % WORKERS));
        if (i % AT_ONCE == 0) {
            finish();
        }
    }
    finish();
    cr_assert_eq(counter_get(&counters, COUNTER_ring_dropped), 501, "HELLO takes a slot too");
    for (uint64_t i = 0; i < LIMIT_RING_UP_SLOTS; i++) {
        cr_assert_eq(next_up().number, i);
    }
    no_more_up();
    give(make_note(4711, 0));
    cr_assert_eq(finish(), 1);
    struct abi_up message = next_up();
    cr_assert_eq(message.number, NOTES + 1, "the dropped ones used their numbers up");
    cr_assert_eq(message.state.id, 4711);
    free(region);
}

/* A dead or lying control may write anything into the ring's head: nothing stops, all come back. */
Test(writer, a_lying_control_stops_nothing)
{
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    for (uint32_t i = 0; i < 100; i++) {
        atomic_store(&up.ring->head, i * 0x12345677u);
        up.ring->slot_count = 3;
        give(make_commit(i, i % WORKERS, 1));
        cr_assert_eq(finish(), 1);
    }
    free(region);
}

/* abi.h: the doorbell rings once when control said that it sleeps, and not when it is awake. */
Test(writer, the_doorbell_rings_for_a_sleeper_only)
{
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    give(make_note(1, 0));
    finish();
    cr_assert_eq(doorbells, 0);
    atomic_store(&region->control_sleeping, 1);
    writer_turn(writer, false);
    cr_assert_eq(doorbells, 0, "there was nothing to tell");
    give(make_note(2, 0));
    finish();
    cr_assert_eq(doorbells, 1);
    cr_assert_eq(atomic_load(&region->control_sleeping), 0);
    give(make_note(3, 0));
    finish();
    cr_assert_eq(doorbells, 1);
    free(region);
}

/* --- against a worker's thread ---------------------------------------------------------------- */

static _Atomic bool stop;

static void *writer_thread(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        if (!writer_turn(writer, true)) {
            sched_yield();
        }
    }
    return NULL;
}

/* The sender acts on its 250 only after control could know: when a worker has its commit back, the
 * up message is there already. */
Test(writer, control_hears_before_the_worker)
{
    enum { COMMITS = 500 };
    pthread_t thread;
    struct abi_attach *region = make_region();
    writer_attach(writer, region);
    cr_assert_eq(pthread_create(&thread, NULL, writer_thread, NULL), 0);
    uint64_t told = 0;
    for (uint64_t i = 0; i < COMMITS; i++) {
        struct submission *s = make_commit(i, i % WORKERS, 1);
        struct submission *back;
        give(s);
        while ((back = take_back(s->worker)) == NULL) {
            sched_yield();
        }
        cr_assert_eq(back, s);
        cr_assert_eq(s->spool.result, SPOOL_RESULT_OK);
        struct abi_up message = next_up();
        if (message.type == ABI_UP_HELLO) {
            told++;
            message = next_up();
        }
        cr_assert_eq(message.number, told++);
        cr_assert_eq(message.commit.id, s->spool.txn->id);
        cr_assert_eq(message.commit.commit_pos, s->spool.pos);
        discard(s);
    }
    atomic_store(&stop, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    free(region);
}

Test(writer, spool_figures_are_counted)
{
    give(make_commit(1, 0, 1));
    finish();
    cr_assert_eq(counter_get(&counters, COUNTER_spool_batches), 1);
    cr_assert_gt(counter_get(&counters, COUNTER_spool_bytes), BODY_BYTES);
    cr_assert_eq(counter_get(&counters, COUNTER_spool_errors), 0);
    cr_assert_eq(counter_get(&counters, COUNTER_segments_free), spool_writer_free_segments(spool));
    cr_assert_eq(writer_spool_state(writer), ABI_SPOOL_OK);
}
