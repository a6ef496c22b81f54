/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_log.c: control follows the logs through the ring: gaps, repetitions,
 * restarts, checkpoints, recycling. */
#include "tests/unit/control/fake.h"

#include "control/core/core.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

FAKE_SUITE(log);

static void delivered(uint64_t id)
{
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
}

/* abi.h: control, seeing the gap, reads the logs from where it stood. */
Test(log, dropped_entries_are_read_from_the_logs)
{
    uint64_t first = fake_simple(f, 1);
    f->deaf = true;
    uint64_t lost = fake_simple(f, 1);
    delivered(first);
    f->deaf = false;
    uint64_t last = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, lost) && fake_was_sent(f, last));
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 3);
    cr_assert_eq(fake_total(f, "delivered_rcpts"), 1);
    cr_assert_eq(fake_times_sent(f, first), 0);
}

Test(log, the_last_entries_dropped_are_noticed_by_their_count)
{
    f->deaf = true;
    uint64_t lost = fake_simple(f, 1);
    f->deaf = false;
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, lost));
    cr_assert_not(control_wants_attach(f->control));
    for (int i = 0; i < 10; i++) {
        fake_turn(f, 2000); /* noticed once, not in each turn */
    }
    cr_assert_not(control_wants_attach(f->control));
}

Test(log, the_end_of_the_set_in_flight_dropped_is_noticed)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_rings(f);
    fake_put(f, (struct abi_up){.type = ABI_UP_HELLO,
                                .hello = {.message_pos = spool_writer_message_pos(f->writer),
                                          .state_pos = spool_writer_state_pos(f->writer),
                                          .start = spool_writer_start(f->writer),
                                          .credits = f->credits}});
    f->deaf = true;
    fake_put(f, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = id}});
    fake_put(f, (struct abi_up){.type = ABI_UP_INFLIGHT_END});
    f->deaf = false;
    fake_turn(f, 2000);
    cr_assert(control_wants_attach(f->control));
}

static void allow_files(bool allowed)
{
    static struct rlimit before;
    struct rlimit none = {.rlim_cur = 3};
    if (!allowed) {
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        none.rlim_max = before.rlim_max;
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, allowed ? &before : &none), 0);
}

/* What was in the gap is unknown: no segment may be freed, and nothing behind the gap be
 * applied. */
Test(log, a_gap_that_cannot_be_read_stops_everything_until_an_attach_reads_it)
{
    const struct fake_mail mail = {.sender = "a@from.test",
                                   .count = 1,
                                   .route = {1},
                                   .rcpt = {"a@one.test"},
                                   .padding = 200 * 1024};
    uint64_t lost[6]; /* more than a segment */
    f->deaf = true;
    for (int i = 0; i < 6; i++) {
        lost[i] = fake_mail(f, &mail);
    }
    f->deaf = false;
    uint64_t behind = fake_simple(f, 2);
    allow_files(false);
    fake_turn(f, 0);
    allow_files(true);
    for (int i = 0; i < 2100; i++) { /* more than control remembers one by one */
        (void)fake_simple(f, 3);
        if (i % 500 == 0) {
            fake_turn(f, 0);
        }
    }
    fake_turn(f, 2000);
    cr_assert_not(fake_was_sent(f, behind));
    cr_assert_eq(f->recycle_count, 0);
    cr_assert(control_wants_attach(f->control));
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, behind));
    cr_assert_eq(f->recycle_count, 0);
    char state[32];
    for (int i = 0; i < 6; i++) {
        cr_assert_neq(fake_state_of(f, lost[i], state)[0], '\0');
    }
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 2107);
}

/* The last message about an attempt is in no log. Only a new attach tells. */
Test(log, a_lost_attempt_is_settled_by_a_new_attach)
{
    uint64_t id = fake_simple(f, 1);
    uint64_t other = fake_simple(f, 1);
    fake_turn(f, 0);
    f->deaf = true;
    fake_attempt(f, id, OUTCOME_CONNECTION_LOST, ABI_FLAG_LAST);
    f->deaf = false;
    fake_simple(f, 2);
    fake_turn(f, 2000);
    cr_assert(control_wants_attach(f->control));
    cr_assert_eq(fake_times_sent(f, id), 1);
    fake_attach(f, &other, 1);
    fake_turn(f, 0);
    cr_assert_not(control_wants_attach(f->control));
    cr_assert_eq(fake_times_sent(f, id), 2);
    cr_assert_eq(fake_times_sent(f, other), 1);
}

Test(log, the_same_entry_twice_changes_nothing)
{
    uint64_t id = fake_simple(f, 1);
    struct abi_up commit = {.type = ABI_UP_COMMIT,
                            .commit = {.id = id,
                                       .commit_pos = f->last_commit_pos,
                                       .first_pos = f->last_commit_pos,
                                       .route_id = 1,
                                       .rcpt_count = 1}};
    fake_put(f, commit);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 1);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_USER_UNKNOWN, 1, ABI_FLAG_LAST, "no");
    fake_turn(f, 0);
    uint64_t frozen_pos = f->last_state_pos;
    fake_state(f, id, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0, "");
    struct abi_up again = {.type = ABI_UP_STATE,
                           .kind = ABI_STATE_OUTCOME,
                           .outcome = OUTCOME_USER_UNKNOWN,
                           .flags = ABI_FLAG_LAST,
                           .state = {.id = id, .state_pos = frozen_pos}};
    again.state.rcpts.word[0] = 1;
    fake_put(f, again);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "frozen"), 0);
    cr_assert_eq(fake_times_sent(f, id), 2);
    delivered(id);
    fake_put(f, commit); /* delivered long ago: not again */
    fake_turn(f, 0);
    cr_assert_eq(fake_times_sent(f, id), 2);
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 1);
}

/* A new control first hears what is in flight. */
Test(log, restart_without_a_checkpoint_reads_everything_and_sends_nothing_twice)
{
    uint64_t running = fake_simple(f, 1);
    uint64_t done = fake_simple(f, 1);
    uint64_t frozen = fake_simple(f, 2);
    fake_turn(f, 0);
    delivered(done);
    fake_state(f, frozen, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "not you");
    fake_turn(f, 0);
    fake_restart_control(f, false);
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 3);
    cr_assert_eq(fake_total(f, "delivered_rcpts"), 1);
    cr_assert_eq(fake_total(f, "frozen"), 1);
    fake_forget_sent(f);
    fake_attach(f, &running, 1);
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 0);
    cr_assert_eq(fake_total(f, "in_flight"), 1);
    delivered(running);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "delivered_rcpts"), 2);
}

Test(log, checkpoint_and_the_logs_behind_it_are_the_table)
{
    struct fake_mail mail = {.sender = "a@from.test",
                             .count = 3,
                             .route = {1, 1, 2},
                             .rcpt = {"a@one.test", "b@one.test", "c@two.test"}};
    uint64_t id = fake_mail(f, &mail);
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_USER_UNKNOWN, 2, 0, "nobody of that name");
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST, "later");
    fake_turn(f, 0);
    fake_restart_control(f, true);
    uint64_t later = fake_simple(f, 1);
    fake_restart_control(f, false);
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 4);
    cr_assert_eq(fake_total(f, "waiting_rcpts"), 3);
    cr_assert_eq(fake_total(f, "frozen_rcpts"), 1);
    fake_forget_sent(f);
    fake_attach(f, NULL, 0);
    fake_turn(f, 60000);
    cr_assert(fake_was_sent(f, id) && fake_was_sent(f, id | 1) && fake_was_sent(f, later));
    json_t *status = fake_admin(f, "{'cmd':'status'}");
    json_t *frozen = json_array_get(json_object_get(status, "frozen"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(frozen, "class")), "user_unknown");
    cr_assert_str_eq(json_string_value(json_object_get(frozen, "sample_reply")),
                     "nobody of that name");
    json_decref(status);
}

/* A checkpoint between the two COMMITs of one message must not lose the second. */
Test(log, checkpoint_in_the_middle_of_a_message_loses_nothing)
{
    struct fake_mail mail = {
        .sender = "a@from.test", .count = 2, .route = {1, 2}, .rcpt = {"a@one.test", "b@two.test"}};
    f->deaf = true;
    uint64_t id = fake_mail(f, &mail);
    f->deaf = false;
    f->number -= 2;
    fake_put(f, (struct abi_up){.type = ABI_UP_COMMIT,
                                .commit = {.id = id,
                                           .commit_pos = f->last_commit_pos,
                                           .first_pos = f->last_commit_pos,
                                           .received_ms = f->time.wall_ms,
                                           .route_id = 1,
                                           .rcpt_count = 1}});
    fake_turn(f, 0);
    delivered(id);
    fake_turn(f, 0);
    fake_restart_control(f, true);
    cr_assert_eq(fake_total(f, "waiting"), 1);
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 2);
    fake_forget_sent(f);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(f->deliver_count, 1);
    cr_assert_eq(f->deliver[0].deliver.id, id | 1);
}

Test(log, garbage_in_the_ring_is_ignored)
{
    fake_put(f, (struct abi_up){.type = 99});
    fake_put(f, (struct abi_up){.type = ABI_UP_COMMIT, .commit = {.id = 5, .rcpt_count = 0}});
    fake_put(f, (struct abi_up){.type = ABI_UP_COMMIT,
                                .commit = {.id = 16, .rcpt_count = 1, .commit_pos = UINT64_MAX}});
    fake_put(f, (struct abi_up){.type = ABI_UP_STATE, .kind = 77, .outcome = 200});
    fake_put(f, (struct abi_up){.type = ABI_UP_STATE,
                                .kind = ABI_STATE_OUTCOME,
                                .outcome = OUTCOME_DELIVERED,
                                .state = {.id = 12345, .state_pos = 4096}});
    fake_put(f, (struct abi_up){.type = ABI_UP_FENCE, .fence = {.token = 1, .worker = 4000}});
    fake_put(f, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = 1}});
    fake_turn(f, 0);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id));
}

static struct abi_up commit_at(uint64_t id, uint64_t first_pos, uint64_t commit_pos)
{
    return (struct abi_up){.type = ABI_UP_COMMIT,
                           .commit = {.id = id,
                                      .first_pos = first_pos,
                                      .commit_pos = commit_pos,
                                      .received_ms = f->time.wall_ms,
                                      .route_id = 1,
                                      .rcpt_count = 1}};
}

static uint64_t place_in(uint64_t seq)
{
    return seq << 32 | 1 << 20;
}

/* A message has one place. A second place, from a hostile ring or a forged log, is reported and
 * ignored. When the message ends, the place that was counted first is the one that is
 * subtracted. */
Test(log, a_second_place_for_a_message_is_ignored_and_said)
{
    uint64_t id = id_make(900, 7, 0);
    fake_put(f, commit_at(id, place_in(1), place_in(2)));
    fake_turn(f, 0);
    json_int_t damaged = fake_total(f, "damaged");
    fake_put(f, commit_at(id | 1, place_in(1), place_in(3)));
    fake_put(f, commit_at(id | 2, place_in(2), place_in(2)));
    fake_put(f, commit_at(id, place_in(4), place_in(4)));
    fake_put(f, commit_at(id | 3, place_in(1), place_in(2)));
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "damaged"), damaged + 3);
    cr_assert_eq(fake_total(f, "waiting") + fake_total(f, "in_flight"), 2);
    for (unsigned i = 0; i < 4; i++) {
        fake_state(f, id | i, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "");
        fake_turn(f, 0);
    }
    cr_assert_eq(fake_total(f, "waiting") + fake_total(f, "in_flight"), 0);
}

/* Each of these would be thousands of millions of segments to count, or none at all. */
Test(log, commits_in_places_that_cannot_be_are_ignored)
{
    uint64_t id = id_make(900, 8, 0);
    fake_put(f, commit_at(id, place_in(1), place_in(UINT32_MAX)));
    fake_put(f, commit_at(id, place_in(1), place_in(1 + (1 << 16))));
    fake_put(f, commit_at(id, 0, place_in(1)));
    fake_put(f, commit_at(id, place_in(2), place_in(1)));
    fake_put(f, commit_at(id, place_in(1), place_in(1) + 1));
    fake_put(f, commit_at(0, place_in(1), place_in(1)));
    fake_put(f, commit_at(id | 15, place_in(1), place_in(1)));
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "waiting") + fake_total(f, "in_flight"), 0);
    fake_put(f, commit_at(id, place_in(1), place_in(1 << 16)));
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "waiting") + fake_total(f, "in_flight"), 1, "as far as it can be");
}

/* A segment is free only when control's count of live mail in it is zero. A frozen message keeps
 * its segment for ever. An empty sealed segment is offered together with how far control has
 * read. */
Test(log, a_segment_is_offered_when_its_last_mail_is_gone_and_not_before)
{
    struct fake_mail mail = {.sender = "a@from.test",
                             .count = 1,
                             .route = {1},
                             .rcpt = {"a@one.test"},
                             .padding = 200 * 1024};
    uint64_t ids[12];
    for (int i = 0; i < 12; i++) {
        ids[i] = fake_mail(f, &mail);
    }
    uint64_t open_seq = spool_pos_seq(f->last_commit_pos);
    for (int i = 0; i < 12; i++) {
        fake_turn(f, 0);
        if (i == 0) {
            fake_state(f, ids[0], ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "no");
        } else {
            delivered(ids[i]);
        }
    }
    fake_turn(f, 0);
    cr_assert_gt(f->recycle_count, 0);
    uint64_t first_seq = UINT64_MAX;
    for (uint32_t i = 0; i < f->recycle_count; i++) {
        cr_assert_lt(f->recycle[i], open_seq);
        cr_assert_gt(f->recycle_seen[i], f->last_commit_pos);
        first_seq = f->recycle[i] < first_seq ? f->recycle[i] : first_seq;
    }
    f->echo = true;
    cr_assert(fake_ok(fake_admin(f, "{'cmd':'release','select':['all'],'reason':'fixed'}")));
    fake_forget_sent(f);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, ids[0]));
    cr_assert_eq(f->recycle_count, 0);
    delivered(ids[0]);
    fake_turn(f, 0);
    cr_assert_eq(f->recycle_count, 1);
    cr_assert_lt(f->recycle[0], first_seq);
    uint32_t offered = f->recycle_count;
    fake_turn(f, 1000);
    cr_assert_eq(f->recycle_count, offered); /* not again at once */
    fake_put(f, (struct abi_up){.type = ABI_UP_RECYCLED, .recycled = {.seq = f->recycle[0]}});
    uint64_t taken = f->recycle[0];
    fake_turn(f, 0);
    fake_forget_sent(f);
    fake_turn(f, 10000);
    for (uint32_t i = 0; i < f->recycle_count; i++) {
        cr_assert_neq(f->recycle[i], taken);
    }
    cr_assert_gt(f->recycle_count, 0); /* the others, which were not taken, are offered again */
}

/* The state log below the OLDER checkpoint may be freed; the replies of frozen mail must be
 * kept. */
Test(log, replies_of_frozen_mail_outlive_their_state_segment)
{
    uint64_t frozen = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_state(f, frozen, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "go away");
    uint64_t seq = spool_pos_seq(f->last_state_pos);
    for (int i = 0; spool_pos_seq(f->last_state_pos) <= seq + 1; i++) {
        fake_state(f, 4096, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, 0, "filling the log");
        cr_assert_lt(i, 100000);
    }
    fake_turn(f, 0);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    fake_turn(f, 0);
    cr_assert_leq(f->state_recycle, seq); /* the older one is of the start */
    fake_attach(f, NULL, 0);              /* what is durable now is known by its end */
    fake_turn(f, 0);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    fake_turn(f, 0);
    cr_assert_gt(f->state_recycle, seq);
    char text[256];
    sqlite3_stmt *statement;
    cr_assert_eq(sqlite3_prepare_v2(f->db, "SELECT text FROM replies", -1, &statement, NULL), 0);
    cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
    cr_assert_str_eq((const char *)sqlite3_column_text(statement, 0), "go away");
    sqlite3_finalize(statement);
    (void)text;
}

/* Lets that control recover: 1, or -errno. */
static int recover(struct control *c)
{
    int recovered;
    control_recover(c, f->time);
    while ((recovered = control_recovered(c)) == 0) {
        bool worked = control_turn(c, f->time);
        (void)(control_work(c) || worked);
    }
    return recovered;
}

/* A place in a checkpoint is checked like one from the ring, even when its checksum is good. Here
 * the first record is moved two thousand million segments away from the last. */
Test(log, a_checkpoint_with_a_message_in_no_place_is_refused)
{
    uint64_t message_pos;
    uint64_t state_pos;
    uint64_t older;
    void *blob;
    size_t len;
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    cr_assert_eq(
        spool_checkpoint_load(f->control_io, &message_pos, &state_pos, &older, &blob, &len), 0);
    uint8_t *place = memmem(blob, len, &id, sizeof id);
    cr_assert_not_null(place);
    memset(place + 16 + 4, 0x7f, 4); /* id, first_pos, commit_pos: its upper half */
    cr_assert_eq(spool_checkpoint_save(f->control_io, message_pos, state_pos, bytes_of(blob, len)),
                 0);
    free(blob);
    char error[CONFIG_ERROR_SIZE];
    struct control *c;
    cr_assert_eq(control_create(f->config, f->db, f->control_io, f->time, &c, error), 0);
    cr_assert_eq(recover(c), -EBADMSG);
    control_destroy(c);
}

Test(log, damaged_checkpoint_versions_are_refused)
{
    static const uint8_t odd[64] = {77};
    cr_assert_eq(spool_checkpoint_save(f->control_io, 0, 0, bytes_of(odd, sizeof odd)), 0);
    char error[CONFIG_ERROR_SIZE];
    struct control *c;
    cr_assert_eq(control_create(f->config, f->db, f->control_io, f->time, &c, error), 0);
    cr_assert_eq(recover(c), -EBADMSG);
    control_destroy(c);
}
