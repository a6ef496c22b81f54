/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_image.c: an image is of one moment, and what is loaded is checked. */
#include "tests/unit/control/lab.h"

#include "control/core/feed.h"
#include "control/core/image_load.h"
#include "control/core/mem.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 300 };

static struct lab *lab;
static uint64_t id[COUNT];

static void set_up(void)
{
    lab = lab_create();
    lab_attach(lab);
}

static void tear_down(void)
{
    lab_destroy(lab);
}

TestSuite(image, .init = set_up, .fini = tear_down);

static struct core *load(const uint8_t *data, size_t len, bool *good_out)
{
    struct core *core = lab_core(lab);
    *good_out = image_load(core, bytes_of(data, len));
    return core;
}

/* A core with what an image of now says. */
static struct core *reload(void)
{
    size_t len;
    bool good;
    image_begin(&lab->core, 0);
    uint8_t *data = lab_image(lab, &len);
    struct core *core = load(data, len, &good);
    cr_assert(good && image_loaded(core));
    mem_free(data);
    return core;
}

static void fill(void)
{
    for (int i = 0; i < COUNT; i++) {
        id[i] = lab_commit(lab, 1 + i % 2, 1 + i % 3);
    }
    lab_turn(lab, 0);
}

/* While it is taken mail ends, freezes, fails and comes. */
Test(image, is_of_one_moment)
{
    size_t len;
    bool good;
    fill();
    uint64_t accepted = lab->core.journal.accepted_rcpts;
    for (int round = 0; round < 2; round++) {
        size_t count = lab->core.index.count;
        uint64_t delivered = lab->core.journal.delivered_rcpts;
        image_begin(&lab->core, 0);
        for (int i = round; i < COUNT; i += 5) {
            (void)image_step(&lab->core, 0);
            lab_log(lab, id[i], ABI_STATE_OUTCOME, i % 2 == 0 ? OUTCOME_DELIVERED : OUTCOME_POLICY,
                    7);
            struct life_facts fact = lab_facts(lab, 1, 2);
            cr_assert_eq(apply_commit(&lab->core, &fact, NULL, false), APPLY_NEW);
        }
        uint8_t *data = lab_image(lab, &len);
        struct core *core = load(data, len, &good);
        cr_assert(good && image_loaded(core));
        cr_assert_eq(core->index.count, count);
        cr_assert_eq(core->journal.accepted_rcpts, accepted);
        cr_assert_eq(core->journal.delivered_rcpts, delivered);
        for (int i = round; i < COUNT; i += 5) {
            const struct delivery *d = index_find(&core->index, id[i]);
            cr_assert_not_null(d);
            cr_assert_eq(delivery_waiting_count(d), 1u + (unsigned)i % 3);
        }
        accepted = lab->core.journal.accepted_rcpts;
        lab_core_destroy(core);
        mem_free(data);
    }
}

Test(image, what_was_seen_is_seen)
{
    struct life_facts fact = lab_facts(lab, 1, 2);
    lab_put_commit(lab, &fact);
    lab_turn(lab, 0);
    (void)lab_commit(lab, 1, 2);
    lab_turn(lab, 0);
    lab_log(lab, fact.id, ABI_STATE_OUTCOME, OUTCOME_DELIVERED, 3);
    struct core *core = reload();
    cr_assert_eq(apply_commit(core, &fact, NULL, false), APPLY_KNOWN);
    cr_assert_eq(core->index.count, 1);
    cr_assert(seen_has(&core->journal.states, (UINT64_C(1) << 32) + 1024 * lab->state_count, 0));
    lab_core_destroy(core);
}

Test(image, times_survive_and_a_clock_that_was_set_back_makes_nobody_wait)
{
    uint64_t one = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    (void)lab_state(lab, one, ABI_STATE_OUTCOME, OUTCOME_REPLY_4XX, 1, ABI_FLAG_LAST);
    lab_turn(lab, 0);
    struct core *core = reload();
    uint64_t due_ns = schedule_live(&core->schedule, index_find(&core->index, one))->due_ns;
    cr_assert_gt(due_ns, core->now.now_ns);
    lab_core_destroy(core);
    size_t len;
    image_begin(&lab->core, 0);
    uint8_t *data = lab_image(lab, &len);
    core = lab_core(lab);
    core->now.wall_ms -= UINT64_C(86400) * 365 * 1000;
    cr_assert(image_load(core, bytes_of(data, len)));
    due_ns = schedule_live(&core->schedule, index_find(&core->index, one))->due_ns;
    cr_assert_leq(due_ns, core->now.now_ns + UINT64_C(60000) * 1000000);
    lab_core_destroy(core);
    mem_free(data);
}

/* No record is split: a reader takes one piece after the other. */
Test(image, a_piece_that_is_full_can_be_taken_and_read_while_the_rest_is_encoded)
{
    enum { MANY = 3000 };
    struct core *core = lab_core(lab);
    size_t pieces = 0;
    for (int i = 0; i < MANY; i++) {
        (void)lab_commit(lab, 1, 3);
        lab_turn(lab, 0);
    }
    image_begin(&lab->core, 0);
    cr_assert_null(image_take(&lab->core.image), "it is not full yet");
    bool whole = false;
    while (!whole || lab->core.image.out != NULL) {
        whole = whole || image_step(&lab->core, 1);
        struct image_piece *piece = image_take(&lab->core.image);
        if (piece != NULL) {
            cr_assert(whole || IMAGE_PIECE_BYTES - piece->len < IMAGE_RECORD_BYTES_MAX);
            cr_assert(image_load(core, bytes_of(piece->bytes, piece->len)));
            image_give(&lab->core.image, piece);
            pieces++;
        }
    }
    cr_assert_gt(pieces, 2);
    cr_assert(image_loaded(core));
    cr_assert_eq(core->index.count, MANY);
    cr_assert_leq(lab->core.image.spare_count, 2, "a piece is used again");
    lab_core_destroy(core);
}

Test(image, carries_what_its_mail_and_its_logs_have)
{
    struct journal *j = &lab->core.journal;
    uint64_t one = lab_commit(lab, 1, 1);
    lab_turn(lab, 0);
    struct delivery *d = lab_find(lab, one);
    d->attempts = 5;
    d->faults = 1;
    d->dot_losses = 1;
    j->message_damage_top = 11;
    j->state_damage_top = 12;
    j->possible_duplicates = 13;
    j->told_seq = 1;
    seen_raise(&j->messages, (UINT64_C(2) << 32) + 4096);
    seen_raise(&j->states, (UINT64_C(1) << 32) + 4096);
    seen_add(&j->states, (UINT64_C(1) << 32) + 8192, SEEN_ALL);
    struct core *core = reload();
    const struct journal *k = &core->journal;
    d = index_find(&core->index, one);
    cr_assert(d->attempts == 5 && d->faults == 1 && d->dot_losses == 1);
    cr_assert(k->message_damage_top == 11 && k->state_damage_top == 12);
    cr_assert(k->possible_duplicates == 13 && k->told_seq == 1);
    cr_assert_eq(k->messages.floor, (UINT64_C(2) << 32) + 4096);
    cr_assert_eq(k->states.floor, (UINT64_C(1) << 32) + 4096);
    cr_assert(seen_has(&k->states, (UINT64_C(1) << 32) + 8192, 0));
    cr_assert_eq(lab->core.image.message_pos, j->messages.floor, "all before it is in the image");
    cr_assert_eq(lab->core.image.state_pos, j->states.floor);
    lab_core_destroy(core);
}

/* The rules of the database are there before the image is. */
static struct core *reload_with(const char *term)
{
    size_t len;
    image_begin(&lab->core, 0);
    uint8_t *data = lab_image(lab, &len);
    struct core *core = lab_core(lab);
    (void)lab_rule(core, 1, term);
    cr_assert(image_load(core, bytes_of(data, len)));
    mem_free(data);
    return core;
}

Test(image, mail_that_a_rule_has_not_seen_is_unjudged)
{
    uint64_t judged = lab_mail_from(lab, "a@from.test", 1);
    struct core *core = reload_with("sender=x@from.test");
    cr_assert(index_find(&core->index, judged)->unjudged, "the rule is newer than the image");
    lab_core_destroy(core);
    (void)lab_rule(&lab->core, 1, "sender=x@from.test");
    uint64_t unjudged = lab_commit(lab, 1, 1);
    uint64_t held = lab_mail_from(lab, "x@from.test", 1);
    lab_turn(lab, 0);
    core = reload_with("sender=x@from.test");
    cr_assert_not(index_find(&core->index, judged)->unjudged);
    cr_assert(index_find(&core->index, unjudged)->unjudged);
    cr_assert_eq(index_find(&core->index, held)->state, DELIVERY_HELD);
    lab_core_destroy(core);
}

Test(image, mail_is_held_by_the_rule_that_matched_it_alone)
{
    (void)lab_rule(&lab->core, 1, "sender=a@from.test");
    (void)lab_rule(&lab->core, 2, "sender=b@from.test");
    uint64_t one = lab_mail_from(lab, "b@from.test", 1);
    size_t len;
    image_begin(&lab->core, 0);
    uint8_t *data = lab_image(lab, &len);
    struct core *core = lab_core(lab);
    const struct rule *other = lab_rule(core, 1, "sender=a@from.test");
    const struct rule *mine = lab_rule(core, 2, "sender=b@from.test");
    cr_assert(image_load(core, bytes_of(data, len)));
    struct delivery *d = index_find(&core->index, one);
    cr_assert(!d->unjudged && d->state == DELIVERY_HELD);
    cr_assert(slotset_has(&mine->noted, index_slot(&core->index, d)));
    cr_assert_not(slotset_has(&other->noted, index_slot(&core->index, d)));
    mem_free(data);
    lab_core_destroy(core);
}

Test(image, mail_that_more_rules_match_than_have_room_is_judged_again)
{
    struct core *core = lab_core(lab);
    size_t len;
    for (uint32_t i = 1; i <= IMAGE_RULES_MAX + 2; i++) {
        (void)lab_rule(&lab->core, i, "sender=a@from.test");
        (void)lab_rule(core, i, "sender=a@from.test");
    }
    uint64_t one = lab_mail_from(lab, "a@from.test", 1);
    image_begin(&lab->core, 0);
    uint8_t *data = lab_image(lab, &len);
    cr_assert(image_load(core, bytes_of(data, len)));
    cr_assert(index_find(&core->index, one)->unjudged);
    mem_free(data);
    lab_core_destroy(core);
}

/* --- hostile bytes ---------------------------------------------------------------------------- */

static uint8_t bytes[8 * IMAGE_RECORD_BYTES_MAX];
static size_t bytes_len;

static size_t append(const struct image_record *record)
{
    size_t at = bytes_len;
    bytes_len += image_record_encode(record, bytes + bytes_len);
    return at;
}

static void head(void)
{
    struct image_record record = {.kind = IMAGE_HEAD};
    record.head.version = IMAGE_VERSION;
    bytes_len = 0;
    (void)append(&record);
}

static size_t delivery(uint64_t which, uint64_t pos)
{
    struct image_record record = {.kind = IMAGE_DELIVERY};
    record.delivery.id = which;
    record.delivery.first_pos = record.delivery.commit_pos = pos;
    record.delivery.route_id = 1;
    record.delivery.rcpt_count = 1;
    return append(&record);
}

static size_t end(uint64_t count)
{
    struct image_record record = {.kind = IMAGE_END};
    record.end.deliveries = count;
    return append(&record);
}

static bool is_good(void)
{
    bool good;
    struct core *core = load(bytes, bytes_len, &good);
    lab_core_destroy(core);
    return good;
}

Test(image, what_cannot_be_is_refused)
{
    enum { RCPT_COUNT_AT = 63, RCPT_STATE_AT = 65 };
    const uint64_t pos = (UINT64_C(2) << 32) + (1 << 20);
    const uint64_t message = id_make(1, 1, 0);
    head();
    (void)delivery(message, pos);
    (void)delivery(message | 1, pos);
    (void)end(2);
    cr_assert(is_good());
    (void)end(2);
    cr_assert_not(is_good(), "after the end");
    head();
    (void)delivery(message, pos);
    (void)end(2);
    cr_assert_not(is_good(), "one is missing");
    head();
    (void)delivery(message, pos);
    (void)delivery(message | 1, pos + 4096);
    cr_assert_not(is_good(), "one message in two places");
    bytes_len = 0;
    (void)delivery(message, pos);
    cr_assert_not(is_good(), "no head");
    head();
    bytes[1]++;
    cr_assert_not(is_good(), "another version");
    head();
    struct image_record seen = {.kind = IMAGE_SEEN};
    seen.seen.log = 2;
    (void)append(&seen);
    cr_assert_not(is_good(), "a third log");
    head();
    size_t at = delivery(message, pos);
    bytes[at + RCPT_STATE_AT] = 77;
    cr_assert_not(is_good(), "a recipient in no state");
    bytes[at + RCPT_STATE_AT] = 0;
    bytes[at + RCPT_STATE_AT + 1] = 200;
    cr_assert_not(is_good(), "an outcome that is none");
    bytes[at + RCPT_STATE_AT + 1] = 0;
    cr_assert(is_good());
    memset(bytes + at + RCPT_COUNT_AT, 0xff, 2);
    bytes_len = sizeof bytes;
    cr_assert_not(is_good(), "more recipients than there can be");
}

/* More replies than a page has places: each is told once. */
Test(image, replies_of_frozen_mail_are_told_once_each)
{
    enum { FROZEN = 2 * IMAGE_KEEP_POSITIONS + 5 };
    static bool told[FROZEN];
    size_t len;
    size_t count = 0;
    for (int i = 0; i < FROZEN; i++) {
        uint64_t one = lab_commit(lab, 1, 1);
        lab_turn(lab, 0);
        lab_log(lab, one, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1);
    }
    uint64_t first = lab->state_count - FROZEN + 1;
    image_begin(&lab->core, 2);
    mem_free(lab_image(lab, &len));
    struct image_keep *keep = image_take_keep(&lab->core.image);
    cr_assert_null(image_take_keep(&lab->core.image));
    for (const struct image_keep *page = keep; page != NULL; page = page->next) {
        for (uint32_t i = 0; i < page->count; i++, count++) {
            uint64_t number = (page->pos[i] - (UINT64_C(1) << 32)) / 1024 - first;
            cr_assert_lt(number, FROZEN);
            cr_assert_not(told[number]);
            told[number] = true;
        }
    }
    cr_assert_eq(count, FROZEN);
    image_keep_free(keep);
}

/* The state segments from the first that is not told to the last that may go. */
Test(image, replies_of_segments_that_may_go_are_told)
{
    size_t len;
    uint64_t seqs = 0;
    for (uint64_t seq = 2; seq <= 5; seq++) {
        uint64_t one = lab_commit(lab, 1, 1);
        lab_turn(lab, 0);
        lab_state_at(lab, (seq << 32) + 4096, one, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1,
                     ABI_FLAG_LAST);
        lab_turn(lab, 0);
    }
    lab->core.journal.told_seq = 3;
    image_begin(&lab->core, 5);
    mem_free(lab_image(lab, &len));
    struct image_keep *keep = image_take_keep(&lab->core.image);
    cr_assert_not_null(keep);
    cr_assert_eq(keep->count, 2);
    for (uint32_t i = 0; i < keep->count; i++) {
        seqs |= UINT64_C(1) << (keep->pos[i] >> 32);
    }
    cr_assert_eq(seqs, 1 << 3 | 1 << 4);
    image_keep_free(keep);
}
