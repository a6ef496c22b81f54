/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/tcp.h: the whole public surface of our TCP (RFC 9293).
 *
 * TCP is a pure core: (stack, segment or time) -> segments to send and events to handle. It reads
 * no clock, allocates nothing after tcp_stack_create, and knows no packet buffer. One stack belongs
 * to one worker and its thread.
 *
 *   worker:  tcp_input(segment)        for each arrived segment ──▶ events
 *            tcp_tick(now)             timers ──▶ events
 *            while tcp_next_event()    handle: peek/consume, write, close
 *            tcp_output(now)           sends all that is due, through tcp_emit()
 *
 * Promise: the bytes a peer's application wrote are handed out once, in order, or the connection
 *          ends with a RESET or TIMEOUT event. Bytes that the caller wrote are kept until the peer
 *          has acknowledged them.
 * Trap:    peeked bytes may lie in the caller's packet: they are good until tcp_input_done() of
 *          that packet. After TCP_EVENT_CLOSED a connection's pointer is dead.
 */
#ifndef HOLDFAST_DATAPLANE_TCP_TCP_H
#define HOLDFAST_DATAPLANE_TCP_TCP_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/ip.h"
#include "common/siphash.h"

#include <stdbool.h>
#include <stdint.h>

struct tcp_stack;
struct tcp_conn;

struct tcp_settings {
    uint32_t conn_count_max;
    uint32_t time_wait_count_max;
    uint32_t block_count;          /* 2 KiB blocks for send queues and reassembly, shared by all */
    uint32_t receive_window_bytes; /* per connection at most */
    uint32_t send_buffer_bytes;    /* per connection at most */
    uint16_t mss_bytes;            /* of our links: MTU - 40 */
    struct siphash_key isn_key;    /* RFC 6528; also keys the flow table */
    uint32_t time_wait_ms;         /* 0: the default, 2 MSL = 60 s */
    uint32_t min_rto_ms;           /* 0: 200, as kernels do; RFC 6298 says 1 s: decision 0007 */
    uint32_t give_up_ms;           /* no progress for so long: TIMEOUT (R2); 0: 300 s */
    uint32_t connect_give_up_ms;   /* the same for a handshake; 0: 30 s */
    uint32_t linger_ms;            /* wait for the peer's FIN after ours is acknowledged; 0: 30 s */
};

must_check int tcp_stack_create(const struct tcp_settings *settings, void *shell,
                                struct tcp_stack **stack_out);
void tcp_stack_destroy(struct tcp_stack *stack);

/* --- in -------------------------------------------------------------------------------------- */

struct tcp_tuple {
    struct ip_addr local_addr;
    struct ip_addr remote_addr;
    uint16_t local_port;
    uint16_t remote_port;
};

/* Accepts SYNs to this address (zero: any of ours) and port. Returns 0, -ENOSPC, -EADDRINUSE. */
must_check int tcp_listen(struct tcp_stack *stack, const struct ip_endpoint *local);
/* Stops (or resumes) answering new SYNs without touching established connections. */
void tcp_set_accepting(struct tcp_stack *stack, bool accepting);

/* Takes one segment: TCP header and payload. The caller has verified its checksum, and that it is
 * addressed to us; all else in it may be hostile. Its memory must stay until tcp_input_done. */
void tcp_input(struct tcp_stack *stack, const struct ip_addr *src, const struct ip_addr *dst,
               struct bytes segment, uint64_t now_ns);
/* Call after the events of the last tcp_input are handled. What was not consumed of its segment is
 * copied aside, or, where no memory is left for it, not acknowledged. */
void tcp_input_done(struct tcp_stack *stack);
/* Says that the peer cannot be reached (no neighbour). A connection in SYN_SENT ends with
 * TCP_EVENT_UNREACHABLE; in every other state nothing happens. */
void tcp_conn_unreachable(struct tcp_conn *conn);
/* The same, where ICMP says so of a segment of ours with that sequence number (RFC 5927). */
void tcp_unreachable(struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t seq);
/* Runs the timers that are due. */
void tcp_tick(struct tcp_stack *stack, uint64_t now_ns);
/* When tcp_tick wants to run next; UINT64_MAX: never. The time may be too early, never too late. */
uint64_t tcp_next_timer_ns(const struct tcp_stack *stack);

/* --- events ---------------------------------------------------------------------------------- */

enum tcp_event_kind {
    TCP_EVENT_OPENED = 1 << 0,      /* ESTABLISHED, whoever opened */
    TCP_EVENT_READABLE = 1 << 1,    /* new bytes to peek */
    TCP_EVENT_WRITABLE = 1 << 2,    /* send space grew after a tcp_write fell short */
    TCP_EVENT_FIN = 1 << 3,         /* the peer sends no more; bytes before it come first */
    TCP_EVENT_SENT = 1 << 4,        /* all that was written is acknowledged */
    TCP_EVENT_REFUSED = 1 << 5,     /* RST in answer to our SYN; CLOSED comes with it */
    TCP_EVENT_UNREACHABLE = 1 << 6, /* CLOSED comes with it */
    TCP_EVENT_RESET = 1 << 7,       /* the peer reset it; CLOSED comes with it */
    TCP_EVENT_TIMEOUT = 1 << 8,     /* given up after retransmissions; CLOSED comes with it */
    TCP_EVENT_CLOSED = 1 << 9,      /* last event: the connection object is free after this */
};

struct tcp_event {
    struct tcp_conn *conn;
    uint32_t kinds; /* of enum tcp_event_kind */
    void *user;     /* as tcp_conn_set_user; NULL for a fresh passive connection */
};

/* The next connection with something to tell; false when there is none. Events of one connection
 * come merged; after the caller handled a CLOSED one, conn is invalid. */
bool tcp_next_event(struct tcp_stack *stack, struct tcp_event *event_out);

/* --- a connection ---------------------------------------------------------------------------- */

/* Active open. Where `local.port` is 0, a port is chosen (RFC 6056, keyed hash). Returns 0,
 * -EADDRNOTAVAIL (no port is free, or that one is in use), -ENOMEM. */
must_check int tcp_connect(struct tcp_stack *stack, const struct ip_endpoint *local,
                           const struct ip_endpoint *remote, void *user, uint64_t now_ns,
                           struct tcp_conn **conn_out);
void tcp_conn_set_user(struct tcp_conn *conn, void *user);
const struct tcp_tuple *tcp_conn_tuple(const struct tcp_conn *conn);
const char *tcp_conn_state_name(const struct tcp_conn *conn);

/* The next received bytes that lie together; empty when there are none now. Consume, then peek
 * again: what is buffered may lie in several pieces. */
struct bytes tcp_peek(struct tcp_conn *conn);
void tcp_consume(struct tcp_conn *conn, size_t len);

/* Sets after how long a silence the peer is asked for a sign of life, while nothing of ours is
 * unacknowledged (RFC 9293 section 3.8.4; 0: never, the default). A peer that forgot the connection
 * answers with RST. The connection ends with TIMEOUT when the peer was silent for give_up_ms and
 * answered none of at least three questions. */
void tcp_keep_alive(struct tcp_conn *conn, uint32_t interval_ms);

/* Bytes that tcp_write would take now. */
size_t tcp_write_space(const struct tcp_conn *conn);
/* Copies up to len bytes into the send queue; returns how many. */
size_t tcp_write(struct tcp_conn *conn, const void *data, size_t len);
/* Asks for WRITABLE when there is more space than now. A tcp_write that fell short asks too. */
void tcp_want_writable(struct tcp_conn *conn);
/* Bytes written and not yet acknowledged. */
size_t tcp_unsent(const struct tcp_conn *conn);

/* Closes in order: our FIN goes after what is queued. Bytes that were not consumed, and bytes that
 * still arrive, are acknowledged and discarded: so read to the end before you close on FIN. CLOSED
 * follows when both sides are done (TIME_WAIT lives in its own table), or, with a RST, after the
 * linger time. */
void tcp_close(struct tcp_conn *conn);
/* Ends the connection at once with a RST (none in SYN_SENT); CLOSED follows. */
void tcp_abort(struct tcp_conn *conn);

/* --- out ------------------------------------------------------------------------------------- */

/* A segment to send. Header fields in host order; payload in up to two pieces, borrowed. */
struct tcp_segment_out {
    const struct tcp_tuple *tuple;
    uint32_t seq;
    uint32_t ack;
    uint16_t window;    /* as it goes on the wire: scaled */
    uint8_t flags;      /* TCP_FLAG_* */
    uint8_t option_len; /* multiple of 4 */
    uint8_t option[40];
    struct bytes payload[2];
};

enum tcp_flag {
    TCP_FLAG_FIN = 0x01,
    TCP_FLAG_SYN = 0x02,
    TCP_FLAG_RST = 0x04,
    TCP_FLAG_PSH = 0x08,
    TCP_FLAG_ACK = 0x10,
    TCP_FLAG_URG = 0x20,
};

/* Emits what is due: replies, data the windows allow, acknowledgements. */
void tcp_output(struct tcp_stack *stack, uint64_t now_ns);

/* Bytes of TCP header and options of `segment`. */
static inline size_t tcp_header_bytes(const struct tcp_segment_out *segment)
{
    return 20u + segment->option_len;
}

/* Writes header, options and payload with the checksum (IPv4 or IPv6 pseudo-header) computed, and
 * returns the length; `out` has room for tcp_header_bytes + payload. */
size_t tcp_segment_write(const struct tcp_segment_out *segment, uint8_t *out);

/* The seam, resolved at link time: the shell (or a test) copies the segment and sends it. It
 * returns false when it has no buffer now; TCP tries again at the next tcp_output. */
bool tcp_emit(void *shell, const struct tcp_segment_out *segment);

/* --- figures --------------------------------------------------------------------------------- */

struct tcp_stats {
    uint64_t accepted;
    uint64_t connected;
    uint64_t retransmits;
    uint64_t resets_sent;
    uint64_t resets_received;
    uint64_t no_memory;
    uint32_t conn_count;
    uint32_t half_open_count; /* those of them whose SYN we answered, and that wait for the ACK */
    uint32_t time_wait_count;
};
void tcp_stack_stats(const struct tcp_stack *stack, struct tcp_stats *stats_out);

#endif
