/* SPDX-License-Identifier: BSD-3-Clause */
/* common/abi.h: everything that crosses between the dataplane and control through memory.
 *
 * Two regions of memory without a name, handed over by descriptor (common/region.h) through a
 * socket of the dataplane's, <run_dir>/attach:
 *   root    made by the dataplane at each start, given to a control that connects: says that
 *           the dataplane is there, and which rings it uses.
 *   attach  made by control at each attach, with fresh rings: a ring whose producer was killed
 *           half-way must never be used again. Sent with its epoch. If the dataplane does not take
 *           it, control makes another one.
 *
 *      writer thread ──── up ring ────▶ control        what is durable, in the log's order
 *      writer thread ─ envelope ring ─▶ control        envelopes of COMMITs, while there is room
 *      worker n      ◀── down ring n ── control        DELIVER and other commands, by credits
 *
 * Promise: the log is the truth. Up messages carry consecutive numbers; a message that found the
 *          ring full is dropped, its number is not reused, and control, seeing the gap, reads the
 *          logs from where it stood. Losing the whole ring loses nothing.
 * Trap:    each side treats the other's words as input: bounded and checked, never trusted as an
 *          index or a pointer.
 */
#ifndef HOLDFAST_COMMON_ABI_H
#define HOLDFAST_COMMON_ABI_H

#include "common/ip.h"
#include "common/rcptset.h"
#include "common/ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ABI_MAGIC_ROOT   UINT64_C(0x3130746f6f726668) /* "hfroot01" */
#define ABI_MAGIC_ATTACH UINT64_C(0x3130686374616668) /* "hfatch01" */

enum { ABI_VERSION = 4, ABI_COUNTERS_MAX = 128 };

/* --- up: from the dataplane's writer thread to control ------------------------------------- */

enum abi_up_type {
    /* The first message of every ring. The logs are durable up to these positions. What becomes
     * durable later comes through the ring; what was durable before has to be read from the
     * logs. */
    ABI_UP_HELLO = 1,
    /* After HELLO, from each worker: one for each delivery that is under way there, then
     * INFLIGHT_END. */
    ABI_UP_INFLIGHT,
    ABI_UP_INFLIGHT_END,
    /* A delivery is durable in the message log. Its message was answered 250, or is about to be. */
    ABI_UP_COMMIT,
    /* A state record is durable in the state log. */
    ABI_UP_STATE,
    /* An attempt ended and left no state record: a hop's trouble, or ours. */
    ABI_UP_ATTEMPT,
    /* The answer to ABI_DOWN_FENCE: that worker has handled all commands that were queued before
     * it. */
    ABI_UP_FENCE,
    /* A segment of the message log was taken into the free list. */
    ABI_UP_RECYCLED,
};

/* Kinds of state records, in the ring and in the state log. Append only. */
enum abi_state_kind {
    /* What became of `rcpts` of a delivery at an attempt: `outcome` with the hop's reply. */
    ABI_STATE_OUTCOME = 1,
    /* Frozen recipients go back to waiting: an operator's release. */
    ABI_STATE_RELEASE,
    /* Waiting recipients are frozen with class `outcome`, by control or an operator. */
    ABI_STATE_FREEZE,
    /* The dataplane faulted while it handled this delivery. */
    ABI_STATE_FAULT,
};

enum abi_flag {
    /* The last message about this attempt: the credit that the attempt used is free again. */
    ABI_FLAG_LAST = 1 << 0,
    /* The attempt sent the final dot, and no reply to it was seen. */
    ABI_FLAG_AFTER_DOT = 1 << 1,
    /* DELIVER: one probe of a hop whose breaker is open, or a suspect tried alone. */
    ABI_FLAG_PROBE = 1 << 2,
};

/* The SMTP phase in which an outcome arose. */
enum abi_phase {
    ABI_PHASE_NONE,
    ABI_PHASE_CONNECT,
    ABI_PHASE_BANNER,
    ABI_PHASE_EHLO,
    ABI_PHASE_MAIL,
    ABI_PHASE_RCPT,
    ABI_PHASE_DATA,
    ABI_PHASE_BODY,
    ABI_PHASE_DOT,
};

struct abi_up {
    uint64_t number; /* consecutive from 0 in each ring; a dropped message has one too */
    uint8_t type;    /* enum abi_up_type */
    uint8_t kind;    /* STATE: enum abi_state_kind */
    uint8_t outcome; /* STATE, ATTEMPT: enum outcome */
    uint8_t phase;   /* STATE, ATTEMPT: enum abi_phase */
    uint16_t code;   /* STATE, ATTEMPT: the hop's reply code, 0 without one */
    uint16_t flags;  /* enum abi_flag */
    union {
        struct {
            uint64_t message_pos; /* durable end of the message log */
            uint64_t state_pos;   /* durable end of the state log */
            uint32_t start;       /* the dataplane's start number */
            uint32_t credits;     /* deliveries it will have under way at most */
        } hello;
        struct {
            uint64_t id; /* delivery */
            uint32_t hop_id;
        } inflight;
        struct {
            uint64_t id;          /* delivery */
            uint64_t commit_pos;  /* the LAST record of the message */
            uint64_t first_pos;   /* the FIRST record: holds the envelope */
            uint64_t received_ms; /* wall clock, since 1970 */
            uint32_t route_id;
            uint32_t body_bytes;
            uint16_t rcpt_count; /* recipients of this delivery */
            /* The message's envelope in the envelope ring, one for all its deliveries. 0 bytes:
             * none, because the ring is full or no envelope was wanted; it is to be read from the
             * FIRST record. */
            uint16_t envelope_bytes;
            uint32_t envelope_at;
        } commit;
        struct {
            uint64_t id;        /* delivery */
            uint64_t state_pos; /* the record, for its reply text; ATTEMPT: 0 */
            struct rcptset rcpts;
            uint64_t time_ms;
            uint32_t hop_id;
            uint32_t reserved;
        } state;
        struct {
            uint64_t token;
            uint32_t worker;
        } fence;
        struct {
            uint64_t seq;
            uint64_t free_count;
        } recycled;
    };
};
_Static_assert(sizeof(struct abi_up) == RING_SLOT_BYTES, "one slot");

/* --- down: from control to a worker -------------------------------------------------------- */

enum abi_down_type {
    ABI_DOWN_DELIVER = 1,
    /* Write a state record (kind RELEASE or FREEZE); answered by ABI_UP_STATE once durable. */
    ABI_DOWN_STATE,
    /* Control needs nothing more in segment `seq`. It says so having read all before seen_pos. */
    ABI_DOWN_RECYCLE,
    /* A durable checkpoint covers the state log below segment `seq`. */
    ABI_DOWN_STATE_RECYCLE,
    ABI_DOWN_FENCE,
};

struct abi_down {
    uint8_t type;    /* enum abi_down_type */
    uint8_t kind;    /* STATE: enum abi_state_kind */
    uint8_t outcome; /* STATE FREEZE: its class */
    uint8_t reserved;
    uint16_t flags;   /* enum abi_flag */
    uint16_t attempt; /* DELIVER: how many attempts came before; it picks the hop's address */
    union {
        struct {
            uint64_t id; /* delivery */
            uint64_t commit_pos;
            uint64_t first_pos;
            struct rcptset rcpts; /* those to deliver to now */
            uint32_t hop_id;
            uint32_t route_id;
        } deliver;
        struct {
            uint64_t id;
            struct rcptset rcpts;
        } state;
        struct {
            uint64_t seq;
            uint64_t seen_pos;
        } recycle;
        struct {
            uint64_t token;
        } fence;
        uint8_t pad[56];
    };
};
_Static_assert(sizeof(struct abi_down) == RING_SLOT_BYTES, "one slot");

/* --- regions ------------------------------------------------------------------------------- */

/* The maker of a region stores `magic` last, with release. Whoever loads it with acquire and finds
 * the right value sees all other fields as the maker wrote them. */
struct abi_root {
    _Atomic uint64_t magic;
    uint32_t version;
    uint32_t layout_hash;
    uint32_t start; /* the dataplane's start number: a change means another run */
    uint32_t pid;
    uint32_t worker_count;
    uint32_t reserved;
    /* Written by the dataplane, as all fields above. */
    alignas(64) _Atomic uint64_t heartbeat_ns; /* CLOCK_MONOTONIC */
    _Atomic uint64_t attached_epoch;           /* rings in use */
};

struct envelope_ring;

struct abi_attach {
    _Atomic uint64_t magic;
    uint32_t version;
    uint32_t layout_hash;
    uint64_t epoch;
    uint32_t worker_count;
    uint32_t reserved;
    alignas(64) _Atomic uint64_t control_heartbeat_ns;
    /* The number of the newest policy snapshot in the state directory. Written by control. */
    _Atomic uint64_t policy_published;
    /* 1: control is about to sleep. After each put, the writer thread exchanges 0 in, and rings the
     * doorbell if it finds 1. Control exchanges 1 in, then looks at the ring once more. The later
     * of the two exchanges sees all that came before the earlier one: either the writer finds the
     * 1, or control finds the message. A plain load and store would not guarantee that. */
    _Atomic uint32_t control_sleeping;
    /* Written by control: not 0 while it wants the envelope of each COMMIT. Both sides use relaxed
     * order: the flag orders nothing else, and a COMMIT without its envelope only costs a read from
     * the disk. */
    _Atomic uint32_t envelopes_wanted;
    alignas(64) _Atomic uint64_t policy_adopted; /* by the dataplane: every worker has it */
    _Atomic uint32_t spool_state;                /* enum abi_spool_state */
    /* The logs may be read up to these positions. Written by the writer, before the up messages
     * about what lies there. */
    _Atomic uint64_t durable_message_pos;
    _Atomic uint64_t durable_state_pos;
    /* How many up messages have a number. Written by the writer, after each message. A consumer
     * that finds the ring empty and has counted fewer has missed the last ones. */
    _Atomic uint64_t up_count;
    /* Written by the dataplane. The index is the counter's place in counters.def. */
    alignas(64) _Atomic uint64_t counter[ABI_COUNTERS_MAX];
    /* Behind it lie the up ring at abi_up_offset(), the envelope ring at abi_envelope_offset(), and
     * the down rings at abi_down_offset(worker). */
};

enum abi_spool_state {
    ABI_SPOOL_OK,
    ABI_SPOOL_FULL,   /* no free segment: 452 */
    ABI_SPOOL_FENCED, /* an I/O error: 421, only a restart through recovery helps */
};

/* Bytes from the region's start to the up ring, to the envelope ring, to a worker's down ring, and
 * to its end. */
size_t abi_up_offset(void);
size_t abi_envelope_offset(void);
size_t abi_down_offset(uint32_t worker);
size_t abi_attach_size(uint32_t worker_count);

/* Puts all rings, empty, into a region of abi_attach_size(worker_count) bytes. */
void abi_attach_init_rings(struct abi_attach *region, uint32_t worker_count);
/* The envelope ring of a region. */
struct envelope_ring *abi_envelope_ring(struct abi_attach *region);

/* A number that changes when any of the layouts above does. */
uint32_t abi_layout_hash(void);

#endif
