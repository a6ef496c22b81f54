/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_parts.c: the small parts by themselves: map, heap, seen, liveness,
 * breaker. */
#include "control/core/breaker.h"
#include "control/core/liveness.h"
#include "control/core/map.h"
#include "control/core/schedule.h"
#include "control/core/seen.h"
#include "control/core/select.h"
#include "control/admin/select_json.h"

#include <criterion/criterion.h>

Test(map, finds_what_was_put_and_only_that)
{
    struct map map = {0};
    static int value[5000];
    for (uint64_t i = 0; i < 5000; i++) {
        map_put(&map, i * 16, &value[i]);
    }
    for (uint64_t i = 0; i < 5000; i += 2) {
        cr_assert_eq(map_remove(&map, i * 16), &value[i]);
        cr_assert_null(map_remove(&map, i * 16));
    }
    for (uint64_t i = 0; i < 5000; i++) {
        cr_assert_eq(map_find(&map, i * 16), i % 2 == 0 ? NULL : (void *)&value[i]);
    }
    size_t at = 0;
    size_t count = 0;
    while (map_next(&map, &at) != NULL) {
        count++;
    }
    cr_assert_eq(count, 2500);
    map_fini(&map);
}

/* Enough for several pages of the heap. Each third one is taken out before its time. */
Test(heap, gives_in_order_of_time_what_is_in_it)
{
    enum { COUNT = 5000 };
    struct schedule s;
    static struct delivery delivery[COUNT];
    schedule_init(&s);
    for (uint64_t i = 0; i < COUNT; i++) {
        delivery[i].id = i + 1;
        struct live *l = schedule_take(&s, &delivery[i]);
        l->due_ns = 1 + i * 7919 % 4001;
        schedule_wait(&s, l, NULL, 0);
    }
    for (uint64_t i = 0; i < COUNT; i += 3) {
        schedule_drop(&s, schedule_live(&s, &delivery[i]), NULL);
    }
    uint64_t last_ns = 0;
    size_t count = 0;
    cr_assert_null(schedule_take_due(&s, 0));
    while (schedule_next_ns(&s) != UINT64_MAX) {
        struct live *l = schedule_take_due(&s, schedule_next_ns(&s));
        cr_assert_not_null(l);
        cr_assert_geq(l->due_ns, last_ns);
        cr_assert_neq((l->delivery->id - 1) % 3, 0, "it had been taken out");
        last_ns = l->due_ns;
        count++;
    }
    cr_assert_eq(count, COUNT - (COUNT + 2) / 3);
    schedule_fini(&s);
}

Test(seen, applies_each_position_once_in_any_order)
{
    struct seen seen = {0};
    seen_add(&seen, 100, 1);
    seen_add(&seen, 50, SEEN_ALL);
    cr_assert(seen_has(&seen, 100, 0) && !seen_has(&seen, 100, 1) && seen_has(&seen, 50, 7));
    cr_assert_eq(seen_top(&seen), 101);
    seen_add(&seen, 100, 4); /* another delivery of the same message */
    cr_assert(seen_has(&seen, 100, 0) && seen_has(&seen, 100, 2) && !seen_has(&seen, 100, 1));
    seen_raise(&seen, 60);
    cr_assert(seen_has(&seen, 10, 0));
    cr_assert_not(seen_has(&seen, 60, 0));
    seen_add(&seen, 10, 1);
    cr_assert_eq(seen.count, 1);
    for (uint64_t i = 0; i < 10000; i++) {
        seen_add(&seen, 1000 + i, SEEN_ALL);
        seen_trim(&seen);
    }
    cr_assert_leq(seen.count, 2 * SEEN_KEEP);
    seen_lower(&seen, 10990);
    cr_assert(seen_has(&seen, 10989, 0) && !seen_has(&seen, 10990, 0));
    seen_lower(&seen, 20);
    cr_assert(seen_has(&seen, 19, 0) && !seen_has(&seen, 20, 0) && seen.count == 0);
    seen_raise(&seen, 11000);
    cr_assert(seen_has(&seen, 1000, 0) && seen_has(&seen, 10999, 0) && !seen_has(&seen, 11000, 0));
    seen_fini(&seen);
}

#define POS(seq, offset) ((uint64_t)(seq) << 32 | (offset))

/* spool.h: a message lies in every segment between its first and last record. */
Test(liveness, message_keeps_all_its_segments)
{
    struct liveness live = {0};
    uint64_t seq;
    liveness_message_add(&live, POS(1, 8), POS(3, 8));
    liveness_advance(&live, POS(3, 8));
    for (uint64_t s = 1; s <= 4; s++) {
        liveness_segment_exists(&live, s);
    }
    liveness_advance(&live, POS(5, 0));
    cr_assert(liveness_offer(&live, 10, 100, &seq));
    cr_assert_eq(seq, 4);
    cr_assert_not(liveness_offer(&live, 10, 100, &seq));
    cr_assert_not(liveness_segment_recycled(&live, 2));
    cr_assert(liveness_segment_recycled(&live, 4));
    liveness_message_remove(&live, POS(1, 8), POS(3, 8));
    for (uint64_t s = 1; s <= 3; s++) {
        cr_assert(liveness_offer(&live, 10, 100, &seq));
        cr_assert_eq(seq, s);
    }
    cr_assert_not(liveness_offer(&live, 10, 100, &seq));
    live.dirty = true;
    cr_assert_not(liveness_offer(&live, 50, 100, &seq));
    live.dirty = true;
    cr_assert(liveness_offer(&live, 110, 100, &seq)); /* not answered: again */
    liveness_fini(&live);
}

Test(liveness, pinned_segment_is_never_offered)
{
    struct liveness live = {0};
    uint64_t seq;
    liveness_advance(&live, UINT64_C(1) << 32);
    cr_assert(liveness_pin(&live, 2));
    cr_assert_not(liveness_pin(&live, 2));
    liveness_advance(&live, UINT64_C(4) << 32);
    for (int attach = 0; attach < 2; attach++) {
        int offered = 0;
        while (liveness_offer(&live, 1, 1000, &seq)) {
            cr_assert_neq(seq, 2);
            offered++;
        }
        cr_assert_eq(offered, 2);
        cr_assert_not(liveness_segment_recycled(&live, 2));
        liveness_restart(&live);
        for (seq = 1; seq <= 4; seq++) {
            liveness_segment_exists(&live, seq);
        }
    }
    liveness_fini(&live);
}

Test(breaker, opens_probes_and_closes)
{
    struct breaker b = {.failures_max = 3, .probe_interval_ns = 100};
    cr_assert_not(breaker_fail(&b, 0, false, false));
    cr_assert_not(breaker_close(&b)); /* a reply in between starts the count again */
    cr_assert_not(breaker_fail(&b, 0, false, false));
    cr_assert_not(breaker_fail(&b, 0, false, false));
    cr_assert(breaker_fail(&b, 0, false, false));
    cr_assert(!breaker_may_probe(&b, 99) && breaker_may_probe(&b, 100));
    breaker_probe_begin(&b);
    cr_assert_not(breaker_may_probe(&b, 1000));
    cr_assert_not(breaker_fail(&b, 1000, false, false)); /* an older attempt, not the canary */
    cr_assert_eq(b.state, BREAKER_PROBING);
    cr_assert_not(breaker_fail(&b, 1000, false, true));
    cr_assert(!breaker_may_probe(&b, 1099) && breaker_may_probe(&b, 1100));
    cr_assert(breaker_close(&b));
    cr_assert(breaker_fail(&b, 0, true, false)); /* 5xx greeting */
}
