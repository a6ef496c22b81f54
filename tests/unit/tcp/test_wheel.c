/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/tcp/test_wheel.c: the parts without a connection: wheel, table, queue. */
#include "tests/unit/tcp/link.h"

#include <criterion/criterion.h>

/* A node fires at its tick: not before, and at the first pop that reaches it. */
Test(wheel, fires_in_time)
{
    static struct tcp_wheel wheel;
    static struct tcp_wheel_node node[2000];
    static uint64_t want[2000];
    struct link dice = {.random = 12345};
    for (unsigned round = 0; round < 20; round++) {
        tcp_wheel_init(&wheel);
        wheel.tick = round * UINT64_C(0x3fffff37);
        uint64_t now = wheel.tick;
        for (unsigned i = 0; i < 2000; i++) {
            static const uint32_t reach[] = {3, 70, 5000, 300000, 20000000, 900000000};
            want[i] = now + 1 + link_random(&dice, reach[link_random(&dice, 6)]);
            node[i] = (struct tcp_wheel_node){0};
            list_init(&node[i].link);
            tcp_wheel_set(&wheel, &node[i], want[i]);
        }
        for (unsigned i = 0; i < 2000; i += 5) {
            tcp_wheel_clear(&wheel, &node[i]);
            if (i % 2 == 0) {
                want[i] = now + 1 + link_random(&dice, 100000);
                tcp_wheel_set(&wheel, &node[i], want[i]);
            } else {
                want[i] = 0;
            }
        }
        unsigned fired = 0;
        uint64_t next;
        while ((next = tcp_wheel_next(&wheel)) != UINT64_MAX) {
            cr_assert_geq(next, now);
            uint64_t before = now;
            now = next + link_random(&dice, 3);
            struct tcp_wheel_node *due;
            while ((due = tcp_wheel_pop(&wheel, now)) != NULL) {
                unsigned i = (unsigned)(due - node);
                cr_assert_leq(want[i], now, "not early");
                cr_assert_gt(want[i], before, "not late");
                want[i] = 0;
                fired++;
            }
        }
        cr_assert_eq(fired, 1800);
    }
}

Test(wheel, far_away_comes_early_and_can_be_set_again)
{
    static struct tcp_wheel wheel;
    tcp_wheel_init(&wheel);
    struct tcp_wheel_node node = {0};
    list_init(&node.link);
    uint64_t want = UINT64_C(1) << 40;
    tcp_wheel_set(&wheel, &node, want);
    unsigned times = 0;
    uint64_t now = 0;
    while (now < want) {
        now = tcp_wheel_next(&wheel);
        cr_assert_leq(now, want);
        if (tcp_wheel_pop(&wheel, now) != NULL && now < want) {
            tcp_wheel_set(&wheel, &node, want);
        }
        cr_assert_lt(++times, 100000u);
    }
    cr_assert_eq(now, want);
}

/* Adding and removing at random against a plain list. */
Test(table, find_add_remove)
{
    struct tcp_settings settings = link_settings();
    settings.conn_count_max = 500;
    struct link *link = link_create(1, &settings);
    struct tcp_stack *stack = link->end[0].stack;
    static struct tcp_conn *conn[500];
    for (unsigned i = 0; i < 50000; i++) {
        uint32_t which = link_random(link, 500);
        struct tcp_tuple tuple = {.local_port = 25, .remote_port = (uint16_t)(1 + which)};
        uint32_t ref = tcp_table_find(stack, (uint32_t)tcp_tuple_hash(stack, &tuple), &tuple);
        if (conn[which] == NULL) {
            cr_assert_eq(ref, 0);
            conn[which] = tcp_conn_begin(stack, &tuple);
            cr_assert_not_null(conn[which]);
            conn[which]->state = TCP_STATE_ESTABLISHED;
        } else {
            cr_assert_eq(&stack->conns[ref - 1], conn[which]);
            tcp_conn_end(conn[which], 0);
            conn[which] = NULL;
        }
    }
    link_destroy(link);
}

/* Slices at random places show what was appended. */
Test(queue, slices)
{
    struct tcp_settings settings = link_settings();
    struct link *link = link_create(2, &settings);
    struct tcp_stack *stack = link->end[0].stack;
    struct tcp_queue queue = {0};
    uint64_t start = 0;
    uint64_t end = 0;
    for (unsigned i = 0; i < 20000; i++) {
        if (queue.bytes < 60000) {
            uint8_t data[3000];
            uint32_t len = link_random(link, sizeof data);
            for (uint32_t k = 0; k < len; k++) {
                data[k] = link_pattern(end + k);
            }
            cr_assert_eq(tcp_queue_append(stack, &queue, bytes_of(data, len)), len);
            end += len;
        }
        uint32_t offset = link_random(link, queue.bytes + 1);
        uint32_t len = min_u32(link_random(link, 1461), queue.bytes - offset);
        struct bytes piece[2];
        tcp_queue_slice(stack, &queue, offset, len, piece);
        cr_assert_eq(piece[0].len + piece[1].len, len);
        for (uint32_t k = 0; k < len; k++) {
            uint8_t byte = k < piece[0].len ? piece[0].data[k] : piece[1].data[k - piece[0].len];
            cr_assert_eq(byte, link_pattern(start + offset + k));
        }
        uint32_t drop = link_random(link, min_u32(queue.bytes, 3500) + 1);
        tcp_queue_drop(stack, &queue, drop);
        start += drop;
        cr_assert_eq(queue.bytes, end - start);
    }
    tcp_queue_drop(stack, &queue, queue.bytes);
    cr_assert_eq(stack->blocks_free, settings.block_count);
    link_destroy(link);
}
