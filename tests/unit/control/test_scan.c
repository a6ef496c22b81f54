/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_scan.c: what the shell reads of logs and envelopes, and how far it counts
 * as read. */
#include "tests/unit/control/fake.h"

#include "control/shell/parts.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct fake *f;

static void set_up(void)
{
    f = fake_create();
}

static void tear_down(void)
{
    fake_destroy(f);
}

TestSuite(scan, .init = set_up, .fini = tear_down);

static uint64_t floor_of_messages(void)
{
    return f->control->core.journal.messages.floor;
}

/* A place that is not good may be a batch under way: what lies there is read again, or comes
 * through the ring, whatever lies behind it. */
Test(scan, floor_stays_below_the_first_place_that_is_not_good)
{
    (void)fake_simple(f, 1);
    uint64_t first = f->last_commit_pos;
    (void)fake_simple(f, 1);
    uint64_t bad = f->last_commit_pos;
    (void)fake_simple(f, 1);
    (void)fake_simple(f, 1);
    fake_damage_record(f, bad);
    fake_restart_control(f, false);
    cr_assert_eq(fake_total(f, "waiting"), 3);
    cr_assert_gt(floor_of_messages(), first);
    cr_assert_leq(floor_of_messages(), bad);
}

/* Also in the middle of a long reading. */
Test(scan, floor_of_a_long_log_stays_below_it_too)
{
    uint64_t bad = 0;
    for (int i = 0; i < 700; i++) {
        (void)fake_simple(f, 1);
        bad = i == 200 ? f->last_commit_pos : bad;
    }
    fake_damage_record(f, bad);
    fake_restart_control(f, false);
    cr_assert_eq(fake_total(f, "waiting"), 699);
    cr_assert_leq(floor_of_messages(), bad);
}

Test(scan, floor_of_a_good_log_is_behind_its_last_record)
{
    (void)fake_simple(f, 1);
    (void)fake_simple(f, 1);
    fake_restart_control(f, false);
    cr_assert_eq(floor_of_messages(), f->last_commit_pos + 1);
}

/* One of a message's two COMMITs is dropped. */
Test(scan, gap_between_two_commits_of_a_message)
{
    struct fake_mail mail = {
        .sender = "a@from.test", .count = 2, .route = {1, 2}, .rcpt = {"a@one.test", "b@two.test"}};
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
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
    f->number++;
    (void)fake_simple(f, 1);
    fake_turn(f, 0);
    cr_assert(fake_was_sent(f, id | 1));
}

Test(scan, half_a_checkpoint_is_refused)
{
    enum { END_BYTES = 9 };
    uint64_t positions[3];
    void *blob;
    size_t len;
    (void)fake_simple(f, 1);
    cr_assert_eq(control_checkpoint(f->control, f->time), 0);
    cr_assert_eq(spool_checkpoint_load(f->control_io, &positions[0], &positions[1], &positions[2],
                                       &blob, &len),
                 0);
    cr_assert_gt(len, END_BYTES);
    cr_assert_eq(spool_checkpoint_save(f->control_io, positions[0], positions[1],
                                       bytes_of(blob, len - END_BYTES)),
                 0);
    free(blob);
    fake_restart_control(f, false);
    cr_assert_eq(f->recovered, -EBADMSG);
}

/* --- envelopes for the rules ------------------------------------------------------------------ */

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

static void attach_with_hold(void)
{
    fake_attach(f, NULL, 0);
    fake_turn(f, 0);
    f->echo = true;
    json_decref(
        fake_admin(f, "{'cmd':'hold','select':['sender=x@from.test'],'reason':'compromised'}"));
    fake_turn(f, 0);
    cr_assert_eq(rules_in_force(&f->control->core.rules), 1);
}

Test(scan, mail_whose_envelope_cannot_be_read_is_held)
{
    char state[32];
    attach_with_hold();
    uint64_t good = fake_simple(f, 1);
    uint64_t bad = fake_simple(f, 1);
    fake_damage_record(f, f->last_commit_pos);
    fake_turn(f, 0);
    fake_turn(f, 1000);
    cr_assert(fake_was_sent(f, good));
    cr_assert_not(fake_was_sent(f, bad));
    cr_assert_str_eq(fake_state_of(f, bad, state), "held");
}

/* The disk gives nothing now: it is asked again, for each of them. */
Test(scan, mail_waits_while_its_envelope_cannot_be_asked)
{
    attach_with_hold();
    uint64_t id = fake_simple(f, 1);
    allow_files(false);
    fake_turn(f, 0);
    allow_files(true);
    cr_assert_not(fake_was_sent(f, id));
    fake_turn(f, 1000);
    cr_assert(fake_was_sent(f, id));
    for (int i = 0; i < 8; i++) {
        id = fake_simple(f, 2);
        fake_turn(f, 0);
        fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 1, ABI_FLAG_LAST, "ok");
        fake_turn(f, 0);
        cr_assert(fake_was_sent(f, id), "mail %d", i);
    }
}
