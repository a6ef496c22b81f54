/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_damage.c: what becomes unreadable is shown and kept, not overwritten. */
#include "tests/unit/control/fake.h"

#include "control/shell/parts.h"
#include "control/shell/snapshot.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct fake *f;
static uint64_t ids[24];
static uint32_t id_count;

static void set_up(void)
{
    f = fake_create();
    id_count = 0;
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(damage, .init = set_up, .fini = tear_down);

/* Makes mail until the log is in a later segment than `seq`. None of it comes through the ring. */
static void fill(uint64_t seq)
{
    struct fake_mail mail = {.sender = "a@from.test",
                             .count = 1,
                             .route = {1},
                             .rcpt = {"a@one.test"},
                             .padding = 200 * 1024};
    do {
        cr_assert_lt(id_count, 24);
        ids[id_count++] = fake_mail(f, &mail);
    } while (spool_pos_seq(f->last_commit_pos) <= seq);
}

static void deliver_all(void)
{
    for (uint32_t i = 0; i < id_count; i++) {
        fake_turn(f, 0);
        fake_state(f, ids[i], ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
    }
    fake_turn(f, 0);
}

static bool was_offered(uint64_t seq)
{
    cr_assert_leq(f->recycle_count, 64);
    for (uint32_t i = 0; i < f->recycle_count; i++) {
        if (f->recycle[i] == seq) {
            return true;
        }
    }
    return false;
}

/* Makes mail in two segments. One message's only record is damaged; all other mail is delivered. */
static uint64_t damage_one(void)
{
    (void)fake_simple(f, 1);
    uint64_t seq = spool_pos_seq(f->last_commit_pos);
    fake_damage_record(f, f->last_commit_pos);
    fill(seq);
    fill(seq + 1);
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    deliver_all();
    return seq;
}

/* True when status says so, at level 2. */
static bool is_said(const char *what)
{
    bool said = false;
    json_t *answer = fake_admin(f, "{'cmd':'status'}");
    size_t i;
    const json_t *problem;
    json_array_foreach(json_object_get(answer, "problems"), i, problem)
    {
        said |= strcmp(json_string_value(json_object_get(problem, "what")), what) == 0 &&
                json_integer_value(json_object_get(problem, "level")) == 2;
    }
    said &= fake_number(answer, "level") == 2;
    json_decref(answer);
    return said;
}

/* The segment of accepted mail that cannot be read is not free space. */
Test(damage, segment_of_an_unreadable_record_is_kept)
{
    uint64_t seq = damage_one();
    cr_assert_gt(fake_total(f, "damaged"), 0);
    cr_assert(is_said("damage"));
    cr_assert_eq(fake_total(f, "waiting") + fake_total(f, "in_flight"), 0);
    cr_assert_not(was_offered(seq));
    cr_assert(was_offered(seq + 1)); /* and only that one */
    for (int i = 0; i < 2; i++) {
        fake_restart_control(f, true); /* the log is not read again: the checkpoint has it */
        cr_assert_eq(fake_total(f, "damaged"), 0);
        cr_assert(is_said("damage"), "as long as its segment is kept");
        fake_forget_sent(f);
        fake_attach(f, NULL, 0);
        fake_turn(f, 10000);
        cr_assert_not(was_offered(seq));
        cr_assert(was_offered(seq + 1));
    }
}

/* A message whose first record is in a segment of its own, followed by two others. */
static uint64_t split_mail(uint64_t *id_out)
{
    struct spool_txn txn;
    uint64_t first_pos = fake_split_begin(f, 1, &txn);
    fill(spool_pos_seq(first_pos));
    fake_split_end(f, &txn);
    cr_assert_gt(spool_pos_seq(txn.last_pos), spool_pos_seq(first_pos));
    *id_out = txn.id;
    return spool_pos_seq(first_pos);
}

Test(damage, mail_with_an_unreadable_segment_header_is_not_taken_for_delivered)
{
    char state[32];
    uint64_t id;
    uint64_t seq = split_mail(&id);
    fake_damage_header(f, seq);
    fake_restart_control(f, false);
    cr_assert_str_eq(fake_state_of(f, id, state), "frozen");
    cr_assert_gt(fake_total(f, "damaged"), 0);
    fake_restart_control(f, true);
    cr_assert_str_eq(fake_state_of(f, id, state), "frozen");
    cr_assert_gt(fake_total(f, "damaged"), 0); /* this lasts: each start reports it */
}

Test(damage, mail_whose_first_segment_was_recycled_is_delivered)
{
    char state[32];
    uint64_t id;
    fake_remove_segment(f, split_mail(&id));
    fake_restart_control(f, false);
    cr_assert_str_eq(fake_state_of(f, id, state), "");
    cr_assert_eq(fake_total(f, "frozen"), 0);
    cr_assert_eq(fake_total(f, "damaged"), 0);
}

/* abi.h: the logs may be read up to where the writer says that they are durable. */
Test(damage, after_a_gap_only_what_is_durable_is_read)
{
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    f->deaf = true;
    uint64_t durable = fake_simple(f, 1);
    f->unpublished = true;
    uint64_t written = fake_simple(f, 1);
    f->deaf = false;
    uint64_t told = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, durable) && fake_was_sent(f, told));
    cr_assert_not(fake_was_sent(f, written));
    f->unpublished = false;
    f->number++; /* the next gap */
    (void)fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert_eq(fake_times_sent(f, written), 1);
    cr_assert_eq(fake_total(f, "accepted_rcpts"), 4);
}

/* The headers of the newest segments are gone, and the dataplane has begun again at lower positions
 * than a checkpoint remembers. Mail at such positions is mail like any other. */
Test(damage, log_that_ends_before_what_is_known)
{
    uint64_t position = spool_writer_message_pos(f->writer);
    seen_raise(&f->control->core.journal.messages, position + (UINT64_C(5) << 32));
    seen_raise(&f->control->core.journal.states,
               spool_writer_state_pos(f->writer) + (UINT64_C(5) << 32));
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "damaged"), 2);
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id), "mail is not taken for mail that was seen");
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
    fake_turn(f, 0);
    cr_assert_eq(fake_total(f, "delivered_rcpts"), 1);
}

/* --- what others read of a checkpoint -------------------------------------------------------- */

struct others {
    struct snapshot_delivery delivery[8];
    uint32_t count;
};

static int take_other(void *ctx, const struct snapshot_delivery *delivery)
{
    struct others *o = ctx;
    cr_assert_lt(o->count, 8);
    o->delivery[o->count++] = *delivery;
    return 0;
}

/* The operator's command tells delivered from waiting mail by the checkpoint, while no daemon
 * runs. */
Test(damage, snapshot_names_what_is_not_done)
{
    fake_attach(f, NULL, 0);
    struct fake_mail mail = {.sender = "a@from.test",
                             .count = 3,
                             .route = {1, 1, 1},
                             .rcpt = {"a@one.test", "b@one.test", "c@one.test"}};
    uint64_t partly = fake_mail(f, &mail);
    uint64_t done = fake_simple(f, 2);
    uint64_t waits = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_state(f, done, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
    fake_state(f, partly, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, 0, "ok");
    fake_state(f, partly, ABI_STATE_OUTCOME, OUTCOME_POLICY, 2, ABI_FLAG_LAST, "no");
    fake_turn(f, 0);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    uint64_t positions[3];
    void *blob;
    size_t len;
    cr_assert_eq(spool_checkpoint_load(f->control_io, &positions[0], &positions[1], &positions[2],
                                       &blob, &len),
                 0);
    struct others o = {.count = 0};
    uint64_t floor;
    cr_assert_eq(snapshot_read(bytes_of(blob, len), &floor, take_other, &o), 0);
    cr_assert_eq(floor, f->control->core.journal.messages.floor);
    cr_assert_eq(o.count, 2);
    for (uint32_t i = 0; i < o.count; i++) {
        cr_assert(o.delivery[i].id == partly || o.delivery[i].id == waits);
        bool is_partly = o.delivery[i].id == partly;
        cr_assert_eq(o.delivery[i].done.word[0], is_partly ? 1 : 0);
        cr_assert_eq(o.delivery[i].frozen.word[0], is_partly ? 2 : 0);
    }
    for (size_t cut = 0; cut < len; cut++) { /* hostile: nothing is read beyond its end */
        uint8_t *part = malloc(cut + 1);
        memcpy(part, blob, cut);
        o.count = 0;
        (void)snapshot_read(bytes_of(part, cut), &floor, take_other, &o);
        free(part);
    }
    free(blob);
}

/* --- releases -------------------------------------------------------------------------------- */

static json_int_t number_of(const char *request, const char *key)
{
    json_t *answer = fake_admin(f, request);
    cr_assert(json_is_true(json_object_get(answer, "ok")), "%s",
              json_string_value(json_object_get(answer, "error")));
    json_int_t number = json_integer_value(json_object_get(answer, key));
    json_decref(answer);
    return number;
}

static uint64_t frozen_by_policy(void)
{
    uint64_t id = fake_simple(f, 1);
    fake_turn(f, 0);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "no");
    fake_turn(f, 0);
    return id;
}

/* A message of two records, the first of which, with its envelope, is damaged. */
static uint64_t damaged_envelope(void)
{
    char state[32];
    struct spool_txn txn;
    uint64_t first_pos = fake_split_begin(f, 1, &txn);
    fake_split_end(f, &txn);
    fake_damage_record(f, first_pos);
    fake_restart_control(f, false);
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    cr_assert_str_eq(fake_state_of(f, txn.id, state), "frozen");
    return txn.id;
}

/* An envelope that cannot be read: a release of everything leaves it, and says so. */
Test(damage, release_does_not_revive_what_cannot_be_read)
{
    static const char all[] = "{'cmd':'release','select':['state=frozen'],'reason':'x'}";
    char state[32];
    uint64_t damaged = damaged_envelope();
    f->echo = true;
    uint64_t policy = frozen_by_policy();
    fake_forget_sent(f);
    cr_assert_eq(
        number_of("{'cmd':'release','select':['class=damaged'],'dry_run':true}", "released"), 0);
    cr_assert_eq(
        number_of("{'cmd':'release','select':['class=damaged'],'dry_run':true}", "unreadable"), 1);
    cr_assert_eq(number_of(all, "released"), 1);
    fake_turn(f, 0);
    fake_turn(f, 120 * 1000);
    cr_assert(fake_was_sent(f, policy) && !fake_was_sent(f, damaged));
    cr_assert_str_eq(fake_state_of(f, damaged, state), "frozen");
    cr_assert_eq(number_of("{'cmd':'list','select':['class=damaged']}", "total"), 1);
    cr_assert(is_said("damaged"), "the operator sees why");
    fake_turn(f, 120 * 1000);
    json_t *jobs = fake_admin(f, "{'cmd':'jobs'}");
    cr_assert_eq(json_array_size(json_object_get(jobs, "jobs")), 0, "the release has an end");
    json_decref(jobs);
}

/* A RELEASE record that the log has already, of an earlier version: it revives nothing. */
Test(damage, release_record_does_not_revive_what_cannot_be_read)
{
    char state[32];
    uint64_t damaged = damaged_envelope();
    fake_state(f, damaged, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0, "");
    fake_turn(f, 1000);
    cr_assert_str_eq(fake_state_of(f, damaged, state), "frozen");
    cr_assert_eq(fake_total(f, "orphans"), 0);
    cr_assert(is_said("damaged"));
}

/* The bytes go bad while a release of it is under way: it is tried, its reader finds the damage,
 * and the release does not let it go again. */
Test(damage, release_under_way_lets_damaged_mail_go_once)
{
    char state[32];
    fake_attach(f, NULL, 0);
    uint64_t id = frozen_by_policy();
    fake_forget_sent(f);
    f->echo = false;
    cr_assert_eq(number_of("{'cmd':'release','select':['route=r1'],'reason':'x'}", "released"), 1);
    fake_turn(f, 0);
    cr_assert_not(fake_was_sent(f, id));
    fake_state(f, id, ABI_STATE_RELEASE, OUTCOME_NONE, 1, 0, "");
    fake_turn(f, 0);
    cr_assert_eq(fake_times_sent(f, id), 1);
    fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DAMAGED, 1, ABI_FLAG_LAST, "");
    f->echo = true;
    for (int i = 0; i < 5; i++) {
        fake_turn(f, 61 * 1000);
    }
    cr_assert_eq(fake_times_sent(f, id), 1);
    cr_assert_str_eq(fake_state_of(f, id, state), "frozen");
    cr_assert(is_said("damaged"));
}
