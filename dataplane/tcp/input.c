/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/input.c: a segment arrives (RFC 9293 section 3.10.7), in the order of the RFC:
 *
 *   section 3.10.7.1   CLOSED: RST          input_listen
 *   section 3.10.7.2   LISTEN               input_listen
 *   section 3.10.7.3   SYN_SENT             input_syn_sent
 *   section 3.10.7.4   all others           input_synchronized
 *       1 sequence number    input_sequence, after PAWS (RFC 7323 section 5.3)
 *       2 RST                input_reset (RFC 5961 section 3)
 *       4 SYN                input_syn (RFC 5961 section 4)
 *       5 ACK                ack.c
 *       7, 8 text, FIN       receive.c
 * Step 3, security compartments, is left out; step 6, urgent data, too: urgent bytes are taken as
 * any other bytes.
 *
 * Promise: nothing that a stranger sends without seeing our segments ends or changes a connection.
 * Trap:    any step may end the connection. After a step that returned false, and after
 *          tcp_ack_take, look at the state before you go on.
 */
#include "dataplane/tcp/core.h"

/* RFC 9293 section 3.10.7.4 (MUST-57) and section 3.9.2.3: no TCP with a group, or with oneself
 * (the LAND attack). */
static bool input_address_ok(const struct ip_addr *src, const struct ip_addr *dst)
{
    const struct ip_addr *both[] = {src, dst};
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *octet = both[i]->octet;
        if (ip_is_zero(both[i]) || octet[0] == 0xff) {
            return false;
        }
        /* 224/4 and the reserved 240/4 with the broadcast address; 0/8 */
        if (ip_is_v4(both[i]) && (octet[12] >= 224 || octet[12] == 0)) {
            return false;
        }
    }
    return !ip_equal(src, dst);
}

/* --- CLOSED and LISTEN ------------------------------------------------------------------------ */

static void input_make_room(struct tcp_stack *stack)
{
    uint32_t limit = max_u32(stack->settings.conn_count_max / LIMIT_TCP_HALF_OPEN_SHARE, 1);
    if (stack->half_open_count >= limit) {
        /* The oldest has had the most time to answer. */
        tcp_conn_end(list_entry(stack->half_open.next, struct tcp_conn, half_open), 0);
    }
}

static void input_accept(struct tcp_stack *stack, const struct tcp_tuple *tuple,
                         const struct tcp_segment *segment, uint32_t iss_min)
{
    input_make_room(stack);
    struct tcp_conn *conn = tcp_conn_begin(stack, tuple);
    if (conn == NULL) {
        return;
    }
    conn->state = TCP_STATE_SYN_RECEIVED;
    conn->is_passive = true;
    tcp_conn_init_options(conn, segment);
    conn->iss = tcp_initial_seq(stack, tuple);
    if (iss_min != 0 && seq_before(conn->iss, iss_min)) {
        conn->iss = iss_min; /* RFC 6191 section 2 */
    }
    conn->snd_una = conn->iss;
    conn->snd_nxt = conn->iss;
    conn->snd_max = conn->iss;
    tcp_conn_set_half_open(conn, true);
    tcp_conn_dirty(conn);
}

static void input_listen(struct tcp_stack *stack, const struct tcp_tuple *tuple,
                         const struct tcp_segment *segment, uint32_t iss_min)
{
    uint8_t flags = segment->flags;
    if ((flags & TCP_FLAG_RST) != 0) {
        return;
    }
    if (tcp_listener_find(stack, &tuple->local_addr, tuple->local_port) == NULL ||
        (flags & TCP_FLAG_ACK) != 0) {
        tcp_reply_reset(stack, tuple, segment);
        return;
    }
    if ((flags & TCP_FLAG_SYN) == 0 || (flags & TCP_FLAG_FIN) != 0) {
        return;
    }
    if (stack->is_accepting) {
        input_accept(stack, tuple, segment, iss_min);
    }
}

/* --- SYN_SENT --------------------------------------------------------------------------------- */

static void input_syn_sent(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    struct tcp_stack *stack = conn->stack;
    bool has_ack = (segment->flags & TCP_FLAG_ACK) != 0;
    if (has_ack && (seq_upto(segment->ack, conn->iss) || seq_before(conn->snd_max, segment->ack))) {
        tcp_reply_reset(stack, &conn->tuple, segment);
        return;
    }
    if ((segment->flags & TCP_FLAG_RST) != 0) {
        if (has_ack) {
            stack->stats.resets_received++;
            tcp_conn_end(conn, TCP_EVENT_REFUSED);
        }
        return;
    }
    if ((segment->flags & TCP_FLAG_SYN) == 0) {
        return;
    }
    tcp_conn_init_options(conn, segment);
    if (!has_ack) { /* simultaneous open: section 3.5, figure 7 */
        conn->state = TCP_STATE_SYN_RECEIVED;
        conn->snd_nxt = conn->iss;
        tcp_conn_dirty(conn);
        return;
    }
    tcp_conn_established(conn);
    if (!tcp_ack_take(conn, segment)) {
        return;
    }
    tcp_conn_ack_now(conn);
}

/* --- the synchronized states ------------------------------------------------------------------ */

/* PAWS: RFC 7323 section 5.3, R1. A segment without timestamps is taken, although section 3.2 would
 * have it dropped: some peers leave them out of keep-alives, and PAWS does not defend against
 * forgery. */
static bool input_is_old(const struct tcp_conn *conn, const struct tcp_segment *segment)
{
    if (!conn->has_timestamps || !segment->has_timestamps || (segment->flags & TCP_FLAG_RST) != 0 ||
        !seq_before(segment->ts_value, conn->ts_recent)) {
        return false;
    }
    return tcp_clock_ms(conn->stack) - conn->ts_recent_ms < TCP_TS_RECENT_AGE_MAX_MS;
}

/* RFC 7323 section 4.3 (2). */
static void input_note_timestamp(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    if (conn->has_timestamps && segment->has_timestamps &&
        seq_upto(segment->seq, conn->last_ack_sent)) {
        conn->ts_recent = segment->ts_value;
        conn->ts_recent_ms = tcp_clock_ms(conn->stack);
    }
}

/* Section 3.10.7.4, first step, table 6. An empty segment may also lie at the right edge itself: a
 * peer that filled the window sends its ACKs from there. */
static bool input_is_acceptable(const struct tcp_conn *conn, uint32_t seq, uint32_t len)
{
    uint32_t window = seq_later(conn->rcv_adv, conn->rcv_nxt) - conn->rcv_nxt;
    if (len == 0) {
        return seq - conn->rcv_nxt <= window;
    }
    return seq - conn->rcv_nxt < window || seq + len - 1 - conn->rcv_nxt < window;
}

/* The SYN that made this half-open connection came again. Returns false when the segment is
 * dropped. */
static bool input_syn_again(struct tcp_conn *conn, struct tcp_segment *segment)
{
    if ((segment->flags & TCP_FLAG_ACK) != 0) {
        /* The SYN-ACK of a simultaneous open: only its ACK is new. */
        segment->flags &= (uint8_t) ~(TCP_FLAG_SYN | TCP_FLAG_FIN);
        segment->payload = bytes_first(segment->payload, 0);
        segment->seq++;
        return true;
    }
    conn->snd_nxt = conn->iss; /* our SYN-ACK was lost */
    tcp_conn_dirty(conn);
    return false;
}

/* First step. Returns false when the segment is dropped. May take away text and FIN that a closed
 * window has no room for. */
static bool input_sequence(struct tcp_conn *conn, struct tcp_segment *segment)
{
    bool syn = (segment->flags & TCP_FLAG_SYN) != 0;
    bool reset = (segment->flags & TCP_FLAG_RST) != 0;
    if (syn && !reset && conn->state == TCP_STATE_SYN_RECEIVED && segment->seq == conn->irs) {
        return input_syn_again(conn, segment);
    }
    uint32_t len = tcp_segment_length(segment);
    if (input_is_acceptable(conn, segment->seq, len)) {
        return true;
    }
    if (reset) {
        return false;
    }
    if (!syn && segment->seq == conn->rcv_nxt) {
        /* A probe of our closed window: its ACK is good (section 3.10.7.4; MUST-66). */
        segment->payload = bytes_first(segment->payload, 0);
        segment->flags &= (uint8_t)~TCP_FLAG_FIN;
        tcp_conn_ack_now(conn);
        return true;
    }
    if (len > 0 && !syn) {
        tcp_conn_ack_now(conn); /* a retransmission: our ACK was lost */
    } else {
        tcp_conn_challenge(conn);
    }
    return false;
}

/* Second step: RFC 5961 section 3.2. */
static void input_reset(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    if (segment->seq != conn->rcv_nxt) {
        tcp_conn_challenge(conn);
        return;
    }
    conn->stack->stats.resets_received++;
    bool refused = conn->state == TCP_STATE_SYN_RECEIVED && !conn->is_passive;
    tcp_conn_end(conn, refused ? TCP_EVENT_REFUSED : TCP_EVENT_RESET);
}

/* Fourth step: RFC 5961 section 4.2; a half-open passive connection goes back to LISTEN. */
static void input_syn(struct tcp_conn *conn)
{
    if (conn->state == TCP_STATE_SYN_RECEIVED && conn->is_passive) {
        tcp_conn_end(conn, 0);
        return;
    }
    tcp_conn_challenge(conn);
}

/* Fifth step in SYN_RECEIVED. */
static bool input_syn_received(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    if (!seq_before(conn->snd_una, segment->ack) || seq_before(conn->snd_max, segment->ack)) {
        tcp_reply_reset(conn->stack, &conn->tuple, segment);
        return false;
    }
    tcp_conn_established(conn);
    /* The window of the SYN was not scaled, this one is: so it has to be taken. */
    conn->snd_wl1 = segment->seq - 1;
    return true;
}

static void input_synchronized(struct tcp_conn *conn, struct tcp_segment *segment)
{
    if (input_is_old(conn, segment)) {
        tcp_conn_ack_now(conn);
        return;
    }
    if (!input_sequence(conn, segment)) {
        return;
    }
    uint8_t flags = segment->flags;
    if ((flags & (TCP_FLAG_RST | TCP_FLAG_SYN | TCP_FLAG_ACK)) != TCP_FLAG_ACK) {
        if ((flags & TCP_FLAG_RST) != 0) {
            input_reset(conn, segment);
        } else if ((flags & TCP_FLAG_SYN) != 0) {
            input_syn(conn);
        }
        return; /* without ACK: dropped */
    }
    if (conn->state == TCP_STATE_SYN_RECEIVED && !input_syn_received(conn, segment)) {
        return;
    }
    if (!tcp_ack_take(conn, segment) || conn->state == TCP_STATE_CLOSED) {
        return;
    }
    input_note_timestamp(conn, segment);
    bool fin = (flags & TCP_FLAG_FIN) != 0;
    if (segment->payload.len > 0 || fin) {
        tcp_receive_text(conn, segment->seq, segment->payload, fin);
    }
}

/* The common case: ESTABLISHED, ACK (and PSH) only, in sequence, inside the window, not older than
 * what came before. Such a segment passes every check of input_synchronized. */
static bool input_is_plain(const struct tcp_conn *conn, const struct tcp_segment *segment)
{
    return conn->state == TCP_STATE_ESTABLISHED &&
           (segment->flags & ~TCP_FLAG_PSH) == TCP_FLAG_ACK && segment->seq == conn->rcv_nxt &&
           conn->rcv_adv - conn->rcv_nxt <= INT32_MAX &&
           segment->payload.len <= conn->rcv_adv - conn->rcv_nxt &&
           conn->has_timestamps == segment->has_timestamps &&
           (!conn->has_timestamps || seq_upto(conn->ts_recent, segment->ts_value));
}

static void input_plain(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    if (!tcp_ack_take(conn, segment)) {
        return;
    }
    input_note_timestamp(conn, segment);
    if (segment->payload.len > 0) {
        tcp_receive_text(conn, segment->seq, segment->payload, false);
    }
}

void tcp_input(struct tcp_stack *stack, const struct ip_addr *src, const struct ip_addr *dst,
               struct bytes wire, uint64_t now_ns)
{
    tcp_stack_set_now(stack, now_ns);
    tcp_receive_settle(stack);
    struct tcp_segment segment;
    if (!input_address_ok(src, dst) || !tcp_segment_parse(wire, &segment) ||
        segment.src_port == 0 || segment.dst_port == 0) {
        return;
    }
    struct tcp_tuple tuple = {
        .local_addr = *dst,
        .remote_addr = *src,
        .local_port = segment.dst_port,
        .remote_port = segment.src_port,
    };
    uint32_t ref = tcp_table_find(stack, (uint32_t)tcp_tuple_hash(stack, &tuple), &tuple);
    uint32_t iss_min = 0;
    if ((ref & TCP_REF_TIME_WAIT) != 0) {
        if (tcp_time_wait_input(stack, ref & ~TCP_REF_TIME_WAIT, &segment, &iss_min)) {
            return;
        }
        ref = 0;
    }
    if (ref == 0) {
        input_listen(stack, &tuple, &segment, iss_min);
        return;
    }
    struct tcp_conn *conn = &stack->conns[ref - 1];
    if (input_is_plain(conn, &segment)) {
        input_plain(conn, &segment);
    } else if (conn->state == TCP_STATE_SYN_SENT) {
        input_syn_sent(conn, &segment);
    } else {
        input_synchronized(conn, &segment);
    }
}
