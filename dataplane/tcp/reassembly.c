/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/reassembly.c: received bytes that the application has not read.
 *
 *      sequence space    |   block   |   block   |  (none)   |   block   |
 *      bytes              ....rrrrrrr rrrr....... ........... ..aaaa.....
 *                             ^ read      ^ rcv_nxt             ^ range[0]
 *
 * Blocks lie in the sequence space at multiples of their size, in whatever order the bytes arrive.
 * So each byte has one place: overlaps need no merging, and a window uses window / 2048 + 1 blocks
 * at most, however small the segments are. A list of at most LIMIT_TCP_RANGES ranges says which
 * bytes ahead of rcv_nxt have arrived; it has a block of its own, which exists only while there is
 * a hole.
 *
 * Promise: bytes before rcv_nxt never change; they are acknowledged.
 * Trap:    bytes ahead of a hole are not acknowledged, and are forgotten when blocks run out.
 */
#include "dataplane/tcp/core.h"

#define BLOCK_MASK (TCP_BLOCK_BYTES - 1)

static struct tcp_ranges *ranges_of(const struct tcp_conn *conn)
{
    if (conn->receive.ranges == 0) {
        return NULL;
    }
    return (struct tcp_ranges *)(void *)tcp_block_data(conn->stack, conn->receive.ranges);
}

static void ranges_clear(struct tcp_conn *conn)
{
    if (conn->receive.ranges != 0) {
        tcp_block_give(conn->stack, conn->receive.ranges);
        conn->receive.ranges = 0;
    }
}

/* The block that lies at `start`, a multiple of the block size; 0 when the pool has none. */
static uint32_t block_at(struct tcp_conn *conn, uint32_t start, enum tcp_block_use use)
{
    struct tcp_block *blocks = conn->stack->blocks;
    struct tcp_receive *receive = &conn->receive;
    uint32_t before = receive->tail;
    if (before != 0 && seq_before(start, blocks[before].seq)) {
        before = 0;
        for (uint32_t i = receive->head; i != 0 && seq_upto(blocks[i].seq, start);
             i = blocks[i].next) {
            before = i;
        }
    }
    if (before != 0 && blocks[before].seq == start) {
        return before;
    }
    uint32_t block = tcp_block_take(conn->stack, use);
    if (block == 0) {
        return 0;
    }
    blocks[block].seq = start;
    if (before == 0) {
        blocks[block].next = receive->head;
        receive->head = block;
    } else {
        blocks[block].next = blocks[before].next;
        blocks[before].next = block;
    }
    if (blocks[block].next == 0) {
        receive->tail = block;
    }
    return block;
}

uint32_t tcp_reassembly_store(struct tcp_conn *conn, uint32_t seq, struct bytes text,
                              enum tcp_block_use use)
{
    uint32_t done = 0;
    while (done < text.len) {
        uint32_t at = seq + done;
        uint32_t block = block_at(conn, at & ~BLOCK_MASK, use);
        if (block == 0) {
            break;
        }
        uint32_t offset = at & BLOCK_MASK;
        uint32_t len = min_u32((uint32_t)text.len - done, TCP_BLOCK_BYTES - offset);
        memcpy(tcp_block_data(conn->stack, block) + offset, text.data + done, len);
        done += len;
    }
    return done;
}

bool tcp_reassembly_keep(struct tcp_conn *conn, uint32_t seq, struct bytes text)
{
    assert(text.len > 0 && seq_before(conn->rcv_nxt, seq));
    if (conn->receive.ranges == 0) {
        conn->receive.ranges = tcp_block_take(conn->stack, TCP_BLOCK_AHEAD);
        if (conn->receive.ranges == 0) {
            return false;
        }
        ranges_of(conn)->count = 0;
    }
    struct tcp_ranges *ranges = ranges_of(conn);
    if (!tcp_ranges_fit(ranges, seq, seq + (uint32_t)text.len)) {
        return false;
    }
    uint32_t stored = tcp_reassembly_store(conn, seq, text, TCP_BLOCK_AHEAD);
    if (stored > 0) {
        tcp_ranges_add(ranges, seq, seq + stored);
        ranges->latest = seq;
    }
    if (ranges->count == 0) {
        ranges_clear(conn);
    }
    return stored == text.len;
}

void tcp_reassembly_join(struct tcp_conn *conn)
{
    struct tcp_ranges *ranges = ranges_of(conn);
    if (ranges == NULL) {
        return;
    }
    conn->rcv_nxt = tcp_ranges_trim(ranges, conn->rcv_nxt);
    if (ranges->count == 0) {
        ranges_clear(conn);
    }
}

uint32_t tcp_reassembly_sacks(const struct tcp_conn *conn, struct tcp_range out[TCP_SACKS_MAX])
{
    const struct tcp_ranges *ranges = ranges_of(conn);
    if (ranges == NULL) {
        return 0;
    }
    uint32_t count = 0;
    uint32_t latest = 0;
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (seq_upto(ranges->range[i].start, ranges->latest)) {
            latest = i;
        }
    }
    out[count++] = ranges->range[latest];
    for (uint32_t i = 0; i < ranges->count && count < TCP_SACKS_MAX; i++) {
        if (i != latest) {
            out[count++] = ranges->range[i];
        }
    }
    return count;
}

uint32_t tcp_reassembly_end(const struct tcp_conn *conn)
{
    const struct tcp_ranges *ranges = ranges_of(conn);
    return ranges == NULL ? conn->rcv_nxt : ranges->range[ranges->count - 1].end;
}

struct bytes tcp_reassembly_peek(const struct tcp_conn *conn)
{
    const struct tcp_receive *receive = &conn->receive;
    uint32_t len = tcp_conn_data_end(conn) - receive->read;
    if (len == 0) {
        return bytes_of(NULL, 0);
    }
    assert(receive->head != 0);
    assert(conn->stack->blocks[receive->head].seq == (receive->read & ~BLOCK_MASK));
    uint32_t offset = receive->read & BLOCK_MASK;
    return bytes_of(tcp_block_data(conn->stack, receive->head) + offset,
                    min_u32(len, TCP_BLOCK_BYTES - offset));
}

void tcp_reassembly_consume(struct tcp_conn *conn, uint32_t len)
{
    struct tcp_receive *receive = &conn->receive;
    assert(len <= tcp_conn_data_end(conn) - receive->read);
    receive->read += len;
    bool all = receive->read == tcp_conn_data_end(conn) && receive->ranges == 0;
    struct tcp_block *blocks = conn->stack->blocks;
    while (receive->head != 0 &&
           (all || seq_upto(blocks[receive->head].seq + TCP_BLOCK_BYTES, receive->read))) {
        uint32_t block = receive->head;
        receive->head = blocks[block].next;
        tcp_block_give(conn->stack, block);
    }
    if (receive->head == 0) {
        receive->tail = 0;
    }
}

void tcp_reassembly_forget(struct tcp_conn *conn)
{
    ranges_clear(conn);
    struct tcp_block *blocks = conn->stack->blocks;
    struct tcp_receive *receive = &conn->receive;
    uint32_t end = tcp_conn_data_end(conn);
    uint32_t kept = 0;
    uint32_t block = receive->head;
    while (block != 0 && receive->read != end && seq_before(blocks[block].seq, end)) {
        kept = block;
        block = blocks[block].next;
    }
    if (kept == 0) {
        receive->head = 0;
    } else {
        blocks[kept].next = 0;
    }
    receive->tail = kept;
    while (block != 0) {
        uint32_t next = blocks[block].next;
        tcp_block_give(conn->stack, block);
        block = next;
    }
}

void tcp_reassembly_clear(struct tcp_conn *conn)
{
    ranges_clear(conn);
    while (conn->receive.head != 0) {
        uint32_t block = conn->receive.head;
        conn->receive.head = conn->stack->blocks[block].next;
        tcp_block_give(conn->stack, block);
    }
    conn->receive.tail = 0;
}
