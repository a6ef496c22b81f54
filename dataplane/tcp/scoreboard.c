/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/scoreboard.c: what the peer says it holds beyond snd_una (RFC 2018), and what
 * follows from that for loss recovery (RFC 6675).
 *
 *      snd_una      hole_nxt                lost edge             snd_max
 *         |  holes,    |   holes to be        |  holes that may       |
 *         |  resent    |   resent             |  be still on the way  |
 *
 * The ranges lie in a block that exists only while there are ranges. Where no block is free, or the
 * peer has no SACK, recovery.c works as NewReno.
 *
 * Promise: the scoreboard only decides what to send again. Bytes are freed by cumulative ACKs
 *          alone; the second RTO in a row forgets all, since the peer may take back what it said
 *          (RFC 2018 section 8).
 * Trap:    a SACK option is the peer's claim: each block is checked against what was sent.
 */
#include "dataplane/tcp/core.h"

static struct tcp_ranges *scoreboard_of(const struct tcp_conn *conn)
{
    if (conn->scoreboard == 0) {
        return NULL;
    }
    return (struct tcp_ranges *)(void *)tcp_block_data(conn->stack, conn->scoreboard);
}

void tcp_scoreboard_clear(struct tcp_conn *conn)
{
    if (conn->scoreboard != 0) {
        tcp_block_give(conn->stack, conn->scoreboard);
        conn->scoreboard = 0;
    }
}

/* Returns true when the block told something new. */
static bool scoreboard_add(struct tcp_conn *conn, const struct tcp_range *sack)
{
    /* A block at or below snd_una is old news or a D-SACK (RFC 2883); beyond snd_max, a lie. */
    if (!seq_before(conn->snd_una, sack->start) || !seq_before(sack->start, sack->end) ||
        seq_before(conn->snd_max, sack->end)) {
        return false;
    }
    if (conn->scoreboard == 0) {
        conn->scoreboard = tcp_block_take(conn->stack, TCP_BLOCK_AHEAD);
        if (conn->scoreboard == 0) {
            return false;
        }
        scoreboard_of(conn)->count = 0;
    }
    struct tcp_ranges *ranges = scoreboard_of(conn);
    uint32_t len = sack->end - sack->start;
    if (tcp_ranges_bytes(ranges, sack->start, sack->end) == len ||
        !tcp_ranges_fit(ranges, sack->start, sack->end)) {
        return false;
    }
    tcp_ranges_add(ranges, sack->start, sack->end);
    return true;
}

bool tcp_scoreboard_take(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    struct tcp_ranges *ranges = scoreboard_of(conn);
    if (ranges != NULL) {
        tcp_ranges_trim(ranges, conn->snd_una);
    }
    bool news = false;
    for (uint32_t i = 0; i < segment->sack_count && conn->has_sack; i++) {
        news |= scoreboard_add(conn, &segment->sack[i]);
    }
    ranges = scoreboard_of(conn);
    if (ranges != NULL && ranges->count == 0) {
        tcp_scoreboard_clear(conn);
    }
    return news;
}

/* RFC 6675 section 4, IsLost: before this edge all that the peer does not hold is lost. */
static uint32_t scoreboard_lost_edge(const struct tcp_conn *conn, const struct tcp_ranges *ranges)
{
    uint32_t bytes = 0;
    for (uint32_t i = ranges->count; i-- > 0;) {
        bytes += ranges->range[i].end - ranges->range[i].start;
        if (bytes > 2u * conn->mss || ranges->count - i >= 3) {
            return ranges->range[i].start;
        }
    }
    return conn->snd_una;
}

bool tcp_scoreboard_is_lost(const struct tcp_conn *conn)
{
    const struct tcp_ranges *ranges = scoreboard_of(conn);
    return ranges != NULL && seq_before(conn->snd_una, scoreboard_lost_edge(conn, ranges));
}

bool tcp_scoreboard_is_relost(const struct tcp_conn *conn)
{
    const struct tcp_ranges *ranges = scoreboard_of(conn);
    return ranges != NULL &&
           seq_before(conn->resent_max + 2u * conn->mss, ranges->range[ranges->count - 1].end);
}

/* RFC 6675 section 4, SetPipe. */
uint32_t tcp_scoreboard_pipe(const struct tcp_conn *conn)
{
    const struct tcp_ranges *ranges = scoreboard_of(conn);
    uint32_t una = conn->snd_una;
    uint32_t resent = seq_later(conn->hole_nxt, una);
    if (ranges == NULL) {
        return conn->snd_max - una;
    }
    uint32_t edge = scoreboard_lost_edge(conn, ranges);
    uint32_t on_the_way = conn->snd_max - edge - tcp_ranges_bytes(ranges, edge, conn->snd_max);
    return on_the_way + resent - una - tcp_ranges_bytes(ranges, una, resent);
}

/* RFC 6675 section 4, NextSeg rules 1 and 3. */
bool tcp_scoreboard_hole(const struct tcp_conn *conn, bool any, struct tcp_range *hole_out)
{
    const struct tcp_ranges *ranges = scoreboard_of(conn);
    if (ranges == NULL) {
        return false;
    }
    uint32_t edge =
        any ? ranges->range[ranges->count - 1].start : scoreboard_lost_edge(conn, ranges);
    uint32_t seq = seq_later(conn->hole_nxt, conn->snd_una);
    for (uint32_t i = 0; i < ranges->count && seq_before(seq, edge); i++) {
        const struct tcp_range *range = &ranges->range[i];
        if (seq_before(seq, range->start)) {
            *hole_out = (struct tcp_range){.start = seq, .end = range->start};
            return true;
        }
        seq = seq_later(seq, range->end);
    }
    return false;
}

struct tcp_range tcp_scoreboard_skip(const struct tcp_conn *conn, uint32_t seq)
{
    const struct tcp_ranges *ranges = scoreboard_of(conn);
    struct tcp_range free = {.start = seq, .end = seq + TCP_BLOCK_BYTES};
    for (uint32_t i = 0; ranges != NULL && i < ranges->count; i++) {
        const struct tcp_range *range = &ranges->range[i];
        if (seq_before(free.start, range->start)) {
            if (seq_before(range->start, free.end)) {
                free.end = range->start;
            }
            break;
        }
        if (seq_before(free.start, range->end)) {
            free.start = range->end;
            free.end = range->end + TCP_BLOCK_BYTES;
        }
    }
    return free;
}
