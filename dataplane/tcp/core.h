/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/core.h: what the files of this folder share: objects, limits, and the functions
 * that they call of one another.
 *
 *   input       RFC 9293 section 3.10.7, in its order
 *   ack         the fifth step of that section: the acknowledgement field
 *   tick        what happens when a timer is due
 *   stack       create, listen, turns
 *   conn        the caller's verbs
 *   port        the port of a connection that we open
 *   output      what one connection sends when tcp_output comes to it
 *   receive     RFC 9293 section 3.10.7.4, steps 7 and 8; the window that we advertise
 *   timewait    TIME_WAIT, 56 bytes each
 *   recovery    RTO, congestion window, fast retransmit
 *   timer       all timers are listed and set here
 *   object      connection objects, events
 *   reassembly  received bytes that the application has not read
 *   scoreboard  what the peer says it holds (SACK)
 *   leaves      segment: headers and options; queue: sent bytes that are not acknowledged, and
 *               bytes to send; wheel: where timers wait; table: the flow table; number: ISN,
 *               timestamps, ports; reply: segments that no connection sends; ranges: lists of
 *               ranges; block: the pool of 2 KiB blocks
 *
 * A file calls those below it in this list, never one above it; of the leaves, reply calls segment.
 *
 * Trap: tcp_conn_end frees a connection that the caller never saw. After a call that may end a
 *       connection, look at its state before you go on. */
#ifndef HOLDFAST_DATAPLANE_TCP_CORE_H
#define HOLDFAST_DATAPLANE_TCP_CORE_H

#include "common/limits/tcp.h"
#include "common/list.h"
#include "dataplane/tcp/tcp.h"

#include <stdalign.h>

/* One block holds a full Ethernet segment, so a segment's payload lies in two blocks at most. */
#define TCP_BLOCK_BYTES 2048u
/* RFC 9293 section 3.7.1: 536 without an MSS option; 1220 for IPv6. */
#define TCP_MSS_DEFAULT_V4 536u
#define TCP_MSS_DEFAULT_V6 1220u
/* Bytes of the timestamps option with its padding (RFC 7323 appendix A). */
#define TCP_TIMESTAMPS_BYTES 12u
/* Blocks in a SACK option at most (RFC 2018 section 3). */
#define TCP_SACKS_MAX 4u
/* RFC 7323 section 2.3. */
#define TCP_WSCALE_MAX 14u
/* Counters of RFC 6056 algorithm 4. */
#define TCP_PORT_COUNTERS 64u
#define TCP_PORT_FIRST    32768u
#define TCP_PORT_COUNT    32768u

/* So many connections that wait for blocks are looked at in one turn. */
#define TCP_WAKES_MAX 16u

#define TCP_NS_PER_MS UINT64_C(1000000)
#define TCP_NS_PER_S  UINT64_C(1000000000)
/* RFC 9293 section 3.8.6.3 allows 500 ms; interactive SMTP wants less. */
#define TCP_DELAYED_ACK_NS (40 * TCP_NS_PER_MS)
/* RFC 6298 section 2: first RTO 1 s; a maximum of at least 60 s. */
#define TCP_RTO_FIRST_NS       (1000 * TCP_NS_PER_MS)
#define TCP_RTO_MAX_NS         (60 * TCP_NS_PER_S)
#define TCP_RTO_MIN_DEFAULT_MS 200u
/* RFC 8985 section 7.2 has 10 ms as a usual floor of the probe timeout. */
#define TCP_EARLY_MIN_US         10000u
#define TCP_KEEP_ALIVE_ASKED_MIN 3u /* one lost question must not end a connection */
#define TCP_TIME_WAIT_DEFAULT_MS 60000u
/* RFC 9293 section 3.8.3 wants R2 of at least 100 s. */
#define TCP_GIVE_UP_DEFAULT_MS 300000u
#define TCP_CONNECT_DEFAULT_MS 30000u
#define TCP_LINGER_DEFAULT_MS  30000u
/* RFC 7323 section 5.5: a timestamp that was noted so long ago proves nothing. */
#define TCP_TS_RECENT_AGE_MAX_MS (24u * 24 * 3600 * 1000)

enum tcp_state {
    TCP_STATE_CLOSED, /* ended: only its last event is left */
    TCP_STATE_SYN_SENT,
    TCP_STATE_SYN_RECEIVED,
    TCP_STATE_ESTABLISHED,
    TCP_STATE_FIN_WAIT_1,
    TCP_STATE_FIN_WAIT_2,
    TCP_STATE_CLOSE_WAIT,
    TCP_STATE_CLOSING,
    TCP_STATE_LAST_ACK,
};

/* --- sequence numbers (RFC 9293 section 3.4): modulo 2^32 ------------------------------------- */

static inline bool seq_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_upto(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_later(uint32_t a, uint32_t b)
{
    return seq_before(a, b) ? b : a;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* --- segment ---------------------------------------------------------------------------------- */

struct tcp_range {
    uint32_t start;
    uint32_t end;
};

struct tcp_segment {
    uint16_t src_port;
    uint16_t dst_port;
    uint32_t seq;
    uint32_t ack;
    uint16_t window; /* as on the wire */
    uint8_t flags;
    bool has_mss;
    bool has_wscale;
    bool has_timestamps;
    bool has_sack_permitted;
    uint8_t wscale;
    uint8_t sack_count;
    uint16_t mss;
    uint32_t ts_value;
    uint32_t ts_echo;
    struct tcp_range sack[TCP_SACKS_MAX]; /* as the peer says: unchecked */
    struct bytes payload;
};

/* False: shorter than its header says, or an option that overruns or has an impossible length. */
must_check bool tcp_segment_parse(struct bytes wire, struct tcp_segment *segment_out);
/* Sequence space that the segment takes: payload, SYN, FIN. */
uint32_t tcp_segment_length(const struct tcp_segment *segment);
void tcp_option_put_timestamps(struct tcp_segment_out *out, uint32_t value, uint32_t echo);
/* wscale NULL: window scaling is not offered. */
void tcp_option_put_syn(struct tcp_segment_out *out, uint16_t mss, const uint8_t *wscale,
                        bool sack_permitted);
/* Puts as many ranges as fit into what is left of the option space. */
void tcp_option_put_sack(struct tcp_segment_out *out, const struct tcp_range *range,
                         uint32_t count);

/* --- blocks: numbered from 1; 0 is none ------------------------------------------------------- */

struct tcp_block {
    uint32_t next;
    uint32_t seq; /* receive: sequence number of its first byte, a multiple of the block size */
};

/* What a block is for. The last blocks are kept for replies before bulk, and for bytes in order
 * before bytes ahead of a hole: see block.c. */
enum tcp_block_use {
    TCP_BLOCK_SEND_FIRST, /* the first block of a send queue: may take the very last one */
    TCP_BLOCK_SEND_MORE,
    TCP_BLOCK_IN_ORDER,
    TCP_BLOCK_AHEAD,
};

uint32_t tcp_block_take(struct tcp_stack *stack, enum tcp_block_use use); /* 0: none */
void tcp_block_give(struct tcp_stack *stack, uint32_t block);
uint8_t *tcp_block_data(const struct tcp_stack *stack, uint32_t block);
/* Blocks that `use` may take now. */
uint32_t tcp_blocks_open(const struct tcp_stack *stack, enum tcp_block_use use);
/* True when less than an eighth of the blocks is free: windows get small then. */
bool tcp_blocks_are_low(const struct tcp_stack *stack);

/* --- send queue ------------------------------------------------------------------------------- */

struct tcp_queue {
    uint32_t head; /* the first block; every block but the last is full */
    uint32_t tail;
    uint32_t head_offset;  /* bytes of the head that are acknowledged */
    uint32_t bytes;        /* in the queue, from head_offset on */
    uint32_t cursor;       /* the block that the last slice came from */
    uint32_t cursor_index; /* the place of that block in the chain */
};

size_t tcp_queue_append(struct tcp_stack *stack, struct tcp_queue *queue, struct bytes data);
void tcp_queue_drop(struct tcp_stack *stack, struct tcp_queue *queue, uint32_t len);
void tcp_queue_slice(struct tcp_stack *stack, struct tcp_queue *queue, uint32_t offset,
                     uint32_t len, struct bytes piece_out[2]);
/* How many bytes append would take now if only the pool limited it. */
size_t tcp_queue_room(const struct tcp_stack *stack, const struct tcp_queue *queue);

/* --- timer wheel ------------------------------------------------------------------------------ */

enum { TCP_WHEEL_LEVELS = 5, TCP_WHEEL_SLOTS = 64 };

struct tcp_wheel_node {
    struct list link;
    uint64_t tick; /* when it fires; 0: it does not wait */
    uint8_t level;
    uint8_t slot;
    bool is_due; /* in the due list */
};

struct tcp_wheel {
    uint64_t tick; /* everything up to here has fired */
    uint64_t used[TCP_WHEEL_LEVELS];
    struct list due;
    struct list slot[TCP_WHEEL_LEVELS][TCP_WHEEL_SLOTS];
};

void tcp_wheel_init(struct tcp_wheel *wheel);
/* The node fires at `tick`, or earlier when that is more than 12 days ahead. A node that waits
 * already is moved. */
void tcp_wheel_set(struct tcp_wheel *wheel, struct tcp_wheel_node *node, uint64_t tick);
void tcp_wheel_clear(struct tcp_wheel *wheel, struct tcp_wheel_node *node);
/* The next node due at `tick`, no longer waiting; NULL when there is none. */
struct tcp_wheel_node *tcp_wheel_pop(struct tcp_wheel *wheel, uint64_t tick);
/* The earliest tick at which pop has something to do; UINT64_MAX when empty. */
uint64_t tcp_wheel_next(const struct tcp_wheel *wheel);

/* --- connection ------------------------------------------------------------------------------- */

struct tcp_receive {
    uint32_t read; /* sequence number of the next byte for the application */
    uint32_t head; /* blocks by rising sequence number, with gaps */
    uint32_t tail;
    uint32_t ranges; /* a block with a struct tcp_ranges, while there are bytes ahead of a hole */
};

struct tcp_ranges {
    uint32_t count;
    uint32_t latest; /* receive: a sequence number in the range that grew last */
    struct tcp_range range[LIMIT_TCP_RANGES]; /* rising, disjoint, not adjacent */
};
_Static_assert(sizeof(struct tcp_ranges) <= TCP_BLOCK_BYTES, "the ranges live in a block");

struct tcp_conn {
    /* Line 0: what every segment touches. */
    alignas(64) struct tcp_tuple tuple;
    uint32_t rcv_nxt;
    uint32_t rcv_adv; /* right edge of the window that we advertised; never moves left */
    uint32_t snd_una;
    uint32_t snd_nxt; /* falls back to snd_una when the retransmission timer fires */
    uint32_t snd_max; /* one past the highest sequence number that was ever sent */
    uint32_t snd_wnd;
    uint8_t state; /* enum tcp_state */
    uint8_t snd_wscale;
    uint8_t rcv_wscale;
    uint8_t dup_acks; /* received in a row */
    /* Line 1: sending and acknowledging. */
    struct tcp_stack *stack;
    uint32_t snd_wl1;
    uint32_t snd_wl2;
    uint32_t snd_wnd_max;
    uint32_t cwnd;
    uint32_t ssthresh;
    uint32_t recover;    /* RFC 6582: recovery ends when this is acknowledged */
    uint32_t hole_nxt;   /* RFC 6675 HighRxt: holes before it were sent again */
    uint32_t resent_max; /* snd_max when the segment at snd_una was sent again */
    uint32_t scoreboard; /* a block with a struct tcp_ranges, while the peer reports any */
    uint32_t cwnd_acked; /* bytes acknowledged towards the next MSS in congestion avoidance */
    uint32_t ts_recent;
    uint32_t ts_recent_ms; /* when ts_recent was noted */
    uint32_t ts_offset;
    uint32_t last_ack_sent;
    uint16_t mss;             /* payload of a full segment */
    uint8_t segments_unacked; /* data segments received since the last ACK */
    uint8_t dup_acks_due;     /* duplicate ACKs that we owe the peer */
    uint8_t backoff;          /* doublings of the RTO */
    uint8_t challenge_count;
    bool has_timestamps : 1;
    bool is_passive : 1;
    bool is_announced : 1;  /* OPENED was handed out, or the caller connected */
    bool is_closed : 1;     /* by tcp_close: a FIN follows the queue; received bytes are dropped */
    bool is_syn_acked : 1;  /* our SYN is acknowledged */
    bool is_fin_acked : 1;  /* our FIN is acknowledged */
    bool is_fin_known : 1;  /* the peer's FIN lies at fin_seq */
    bool is_fin_taken : 1;  /* rcv_nxt is past the peer's FIN */
    bool is_ack_due : 1;    /* any segment that we send carries the ACK */
    bool is_resend_due : 1; /* fast retransmit of the segment at snd_una */
    bool is_probe_due : 1;
    bool is_keep_alive_due : 1;
    bool is_persisting : 1;  /* resend_ns is the persist timer, not the RTO */
    bool is_early : 1;       /* resend_ns is the early retransmit timer, before the RTO */
    bool is_early_spent : 1; /* the early timer fired since snd_una last moved */
    bool is_recovering : 1;  /* fast recovery */
    bool is_write_short : 1; /* the caller is to hear when there is space (WRITABLE) */
    bool is_timing : 1;      /* timed_seq was sent once, at timed_ns */
    bool is_half_open : 1;   /* in the stack's half_open list */
    bool has_wscale : 1;     /* the peer scales windows */
    bool has_sack : 1;       /* both sides speak it (RFC 2018) */
    /* Line 2: queues, lists, timers. */
    struct tcp_queue queue;
    struct tcp_receive receive;
    struct list ready; /* has events */
    struct list dirty; /* has something to send */
    struct list short_of_blocks;
    struct list half_open; /* also links the free objects */
    struct tcp_wheel_node wheel_node;
    uint64_t resend_ns; /* deadlines; 0: off. timer.c lists them. */
    uint64_t delayed_ack_ns;
    uint64_t linger_ns;
    uint64_t keep_alive_ns;
    uint64_t heard_ns;   /* last acceptable ACK, while keep_alive_ms is not 0 */
    uint64_t stalled_ns; /* since when there is no progress; 0: nothing waits for any */
    uint64_t sent_ns;    /* when data, SYN or FIN was last sent */
    uint64_t timed_ns;
    uint32_t timed_seq;
    uint32_t resent_ms; /* time of the last retransmission: an older echo measures nothing */
    uint32_t srtt_us;   /* 0: no sample yet */
    uint32_t rttvar_us;
    uint32_t rto_us;
    uint32_t iss;
    uint32_t irs;
    uint32_t fin_seq;
    uint32_t challenge_s;
    uint32_t keep_alive_ms;    /* 0: off */
    uint32_t keep_alive_asked; /* questions since heard_ns */
    uint32_t hash;
    uint32_t events;
    void *user;
};

/* --- TIME_WAIT -------------------------------------------------------------------------------- */

struct tcp_time_wait {
    struct tcp_tuple tuple;
    uint32_t snd_nxt;
    uint32_t rcv_nxt;
    uint32_t ts_recent;
    uint32_t expires_ms;
    bool has_timestamps;
    bool is_dead;      /* its pair was used again, or its time was over: it is passed over */
    bool is_restarted; /* its wait began anew: it goes round the ring once more */
};
_Static_assert(sizeof(struct tcp_time_wait) <= 56, "TIME_WAIT is small");

/* --- replies ---------------------------------------------------------------------------------- */

struct tcp_reply {
    struct tcp_tuple tuple;
    uint32_t seq;
    uint32_t ack;
    uint32_t ts_value;
    uint32_t ts_echo;
    uint16_t window;
    uint8_t flags;
    bool has_timestamps;
};

/* --- stack ------------------------------------------------------------------------------------ */

struct tcp_slot {
    uint32_t hash;
    uint32_t ref; /* 0: empty; conn index + 1, or TCP_REF_TIME_WAIT | index */
};
#define TCP_REF_TIME_WAIT UINT32_C(0x80000000)

struct tcp_stack {
    struct tcp_settings settings; /* defaults filled in */
    void *shell;
    uint64_t now_ns;
    bool is_started; /* the wheel knows the time */
    bool is_accepting;
    uint8_t rcv_wscale; /* what we offer */

    struct tcp_conn *conns;
    uint32_t conns_touched; /* objects below this were used before */
    uint32_t half_open_count;
    struct list free_conns;
    struct list half_open;
    struct list ready;
    struct list dirty;
    struct list short_of_blocks;
    struct tcp_conn *handed_out; /* the caller has its CLOSED event; the next call frees it */

    struct tcp_conn *in_place_conn; /* the connection whose bytes lie in the caller's segment */
    struct bytes in_place;

    struct tcp_slot *slots;
    uint32_t slot_mask;

    struct tcp_block *blocks;
    uint8_t *block_data;
    uint32_t blocks_free;
    uint32_t blocks_touched;
    uint32_t block_free_head;

    struct tcp_time_wait *time_waits; /* a ring, oldest first */
    uint32_t time_wait_head;
    uint32_t time_wait_used; /* dead ones included */

    struct ip_endpoint listener[LIMIT_LISTENERS];
    uint32_t listener_count;

    struct tcp_reply reply[LIMIT_TCP_REPLIES];
    uint32_t reply_head;
    uint32_t reply_count;

    uint16_t port_counter[TCP_PORT_COUNTERS];
    struct tcp_wheel wheel;
    struct tcp_stats stats;
    void *memory[5]; /* as allocated */
};

/* object.c */
void tcp_stack_set_now(struct tcp_stack *stack, uint64_t now_ns);
/* A fresh connection in the flow table. Where no object is free, the oldest half-open connection
 * is dropped for it; NULL when there is none of these either. */
struct tcp_conn *tcp_conn_begin(struct tcp_stack *stack, const struct tcp_tuple *tuple);
/* Ends the connection: it leaves all tables. The caller, if it knows the connection, gets the
 * events `kinds` and CLOSED. */
void tcp_conn_end(struct tcp_conn *conn, uint32_t kinds);
void tcp_conn_set_half_open(struct tcp_conn *conn, bool half_open);
void tcp_conn_event(struct tcp_conn *conn, uint32_t kinds);
/* Marks the connection for the next tcp_output. */
void tcp_conn_dirty(struct tcp_conn *conn);
/* Frees the connection whose CLOSED was handed out by the last tcp_next_event. */
void tcp_stack_reap(struct tcp_stack *stack);
void tcp_conn_ack_now(struct tcp_conn *conn);
void tcp_conn_reset(struct tcp_conn *conn); /* queues a RST; the caller ends the connection next */
uint16_t tcp_mss_own(const struct tcp_stack *stack, const struct tcp_tuple *tuple);
/* First sequence number in the send queue. */
uint32_t tcp_conn_queue_seq(const struct tcp_conn *conn);
/* The sequence number that a pure ACK or RST carries: snd_max, or the right edge of the peer's
 * window where that comes first. */
uint32_t tcp_conn_ack_seq(const struct tcp_conn *conn);
/* End of the bytes received in order: rcv_nxt without the FIN. */
static inline uint32_t tcp_conn_data_end(const struct tcp_conn *conn)
{
    return conn->is_fin_taken ? conn->rcv_nxt - 1 : conn->rcv_nxt;
}

/* stack.c */
/* Wakes connections that waited for blocks. */
void tcp_stack_wake(struct tcp_stack *stack);

/* table.c */
uint64_t tcp_tuple_hash(const struct tcp_stack *stack, const struct tcp_tuple *tuple);
/* 0 when it is not there. */
uint32_t tcp_table_find(const struct tcp_stack *stack, uint32_t hash,
                        const struct tcp_tuple *tuple);
void tcp_table_add(struct tcp_stack *stack, uint32_t hash, uint32_t ref);
void tcp_table_remove(struct tcp_stack *stack, uint32_t hash, uint32_t ref);
const struct tcp_tuple *tcp_table_tuple(const struct tcp_stack *stack, uint32_t ref);
const struct ip_endpoint *tcp_listener_find(const struct tcp_stack *stack,
                                            const struct ip_addr *addr, uint16_t port);

/* number.c */
uint32_t tcp_initial_seq(const struct tcp_stack *stack, const struct tcp_tuple *tuple);
uint32_t tcp_timestamp_offset(const struct tcp_stack *stack, const struct tcp_tuple *tuple);
/* Both are of a pair whose local port is still 0: see tcp_port_pick. */
uint32_t tcp_port_offset(const struct tcp_stack *stack, const struct tcp_tuple *tuple);
uint32_t tcp_port_counter(const struct tcp_stack *stack, const struct tcp_tuple *tuple);

/* port.c */
/* Picks tuple->local_port; false: all are taken. */
must_check bool tcp_port_pick(struct tcp_stack *stack, struct tcp_tuple *tuple);

static inline uint32_t tcp_clock_ms(const struct tcp_stack *stack)
{
    return (uint32_t)(stack->now_ns / TCP_NS_PER_MS);
}

/* conn.c */
void tcp_conn_init_options(struct tcp_conn *conn, const struct tcp_segment *syn);
/* Sends a challenge ACK, unless the rate limit is reached (RFC 5961 sections 3 to 5 and 7). */
void tcp_conn_challenge(struct tcp_conn *conn);
void tcp_conn_established(struct tcp_conn *conn);

/* ack.c: returns false when the segment is to be dropped. The connection may have ended. */
must_check bool tcp_ack_take(struct tcp_conn *conn, const struct tcp_segment *segment);
void tcp_ack_window(struct tcp_conn *conn, const struct tcp_segment *segment);

/* receive.c */
void tcp_receive_text(struct tcp_conn *conn, uint32_t seq, struct bytes text, bool fin);
void tcp_receive_fin_check(struct tcp_conn *conn);
/* The right edge of the window that would be promised now. */
uint32_t tcp_receive_edge(struct tcp_conn *conn);
void tcp_receive_window_update(struct tcp_conn *conn);
void tcp_receive_settle(struct tcp_stack *stack);

/* reassembly.c */
uint32_t tcp_reassembly_store(struct tcp_conn *conn, uint32_t seq, struct bytes text,
                              enum tcp_block_use use);
/* Keeps bytes ahead of a hole; false: dropped. */
bool tcp_reassembly_keep(struct tcp_conn *conn, uint32_t seq, struct bytes text);
/* Call after rcv_nxt moved: moves it on over the ranges that it has reached. */
void tcp_reassembly_join(struct tcp_conn *conn);
struct bytes tcp_reassembly_peek(const struct tcp_conn *conn);
void tcp_reassembly_consume(struct tcp_conn *conn, uint32_t len);
/* Forgets what lies ahead of the hole. That was never acknowledged, so the peer sends it again. */
void tcp_reassembly_forget(struct tcp_conn *conn);
void tcp_reassembly_clear(struct tcp_conn *conn);
/* The ranges that a SACK option is to say, the latest first (RFC 2018 section 4). Returns how many
 * there are. */
uint32_t tcp_reassembly_sacks(const struct tcp_conn *conn, struct tcp_range out[TCP_SACKS_MAX]);
/* End of the last range, or rcv_nxt. */
uint32_t tcp_reassembly_end(const struct tcp_conn *conn);

/* output.c: returns false when tcp_emit had no buffer; nothing is lost, the caller asks again. */
must_check bool tcp_conn_output(struct tcp_conn *conn);

/* ranges.c */
must_check bool tcp_ranges_fit(const struct tcp_ranges *ranges, uint32_t start, uint32_t end);
/* Asserts that the range fits: ask tcp_ranges_fit first. */
void tcp_ranges_add(struct tcp_ranges *ranges, uint32_t start, uint32_t end);
/* Drops the ranges that begin at or before seq. Returns seq, or the end of those ranges if that is
 * later. */
uint32_t tcp_ranges_trim(struct tcp_ranges *ranges, uint32_t seq);
/* Bytes of [start, end) that lie in ranges. */
uint32_t tcp_ranges_bytes(const struct tcp_ranges *ranges, uint32_t start, uint32_t end);

/* scoreboard.c */
void tcp_scoreboard_clear(struct tcp_conn *conn);
/* Call when snd_una has its new value. Returns true when the SACK blocks of the segment told
 * something new. */
bool tcp_scoreboard_take(struct tcp_conn *conn, const struct tcp_segment *segment);
/* True when the segment at snd_una is lost. */
bool tcp_scoreboard_is_lost(const struct tcp_conn *conn);
/* True when that segment was sent again and is lost again: bytes that were sent well after it have
 * arrived. */
bool tcp_scoreboard_is_relost(const struct tcp_conn *conn);
/* Bytes thought to be on the way. */
uint32_t tcp_scoreboard_pipe(const struct tcp_conn *conn);
/* The next hole to send again: a lost one, or, with `any`, one that may be on the way still.
 * Returns false when there is none. */
must_check bool tcp_scoreboard_hole(const struct tcp_conn *conn, bool any,
                                    struct tcp_range *hole_out);
/* The first stretch at or after seq that the peer does not hold. */
struct tcp_range tcp_scoreboard_skip(const struct tcp_conn *conn, uint32_t seq);

/* recovery.c */
void tcp_recovery_init(struct tcp_conn *conn);
void tcp_recovery_sample(struct tcp_conn *conn, uint64_t rtt_us);
void tcp_recovery_ack(struct tcp_conn *conn, uint32_t acked, uint32_t flight_before);
void tcp_recovery_dup_ack(struct tcp_conn *conn);
void tcp_recovery_timeout(struct tcp_conn *conn);
/* The early timer fired: no ACK for about two round trips. It counts as one loss; cwnd is not cut
 * to one segment, as after an RTO. */
void tcp_recovery_early(struct tcp_conn *conn);
void tcp_recovery_idle(struct tcp_conn *conn);
/* Bytes that the congestion window allows to send now, limited transmit included. */
uint32_t tcp_recovery_room(const struct tcp_conn *conn);

/* timer.c */
void tcp_timer_set(struct tcp_conn *conn, uint64_t *deadline, uint64_t at_ns);
/* Makes sure that the wheel comes to the connection at that time or before. */
void tcp_timer_wait(struct tcp_conn *conn, uint64_t at_ns);
uint64_t tcp_timer_rto_ns(const struct tcp_conn *conn);
/* The connection is given up after so long without progress. */
uint64_t tcp_timer_give_up_ns(const struct tcp_conn *conn);
void tcp_timer_resend(struct tcp_conn *conn);
/* Call after new data was sent: starts the RTO where none runs, or the early timer. */
void tcp_timer_sent(struct tcp_conn *conn);
void tcp_timer_persist(struct tcp_conn *conn);
/* Starts keep_alive_ns anew. */
void tcp_timer_keep_alive(struct tcp_conn *conn);

/* timewait.c */
/* Ends the connection, and puts its pair into the table of TIME_WAIT. */
void tcp_conn_time_wait(struct tcp_conn *conn);
/* Returns true when nothing more is to be done with the segment. False: the entry is gone, and the
 * segment is taken as if it had not been there; a connection that it opens has an initial sequence
 * number of at least *iss_min_out. */
bool tcp_time_wait_input(struct tcp_stack *stack, uint32_t index, const struct tcp_segment *segment,
                         uint32_t *iss_min_out);
void tcp_time_wait_expire(struct tcp_stack *stack);
uint64_t tcp_time_wait_next_ns(const struct tcp_stack *stack);
bool tcp_time_wait_is_live(const struct tcp_stack *stack, uint32_t index);
/* Frees the pair of an entry whose time is over. */
void tcp_time_wait_release(struct tcp_stack *stack, uint32_t index);

/* reply.c */
void tcp_reply_add(struct tcp_stack *stack, const struct tcp_reply *reply);
/* RST in answer to a segment that belongs nowhere (RFC 9293 section 3.10.7.1). */
void tcp_reply_reset(struct tcp_stack *stack, const struct tcp_tuple *tuple,
                     const struct tcp_segment *segment);
must_check bool tcp_reply_output(struct tcp_stack *stack);

#endif
