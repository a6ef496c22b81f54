/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/writer.h: what stands between the workers and the spool's writer: takes their
 * submissions from SPSC rings, runs the spool's turns, tells control over the up ring what became
 * durable, and gives the submissions back.
 *
 * Promise: an up message about something durable is put only after it is durable, and before the
 *          worker hears of it, in the log's order. The first message in every new ring is HELLO.
 * Trap:    one thread (the volume's writer thread) calls writer_turn; the others only set what the
 *          next turn picks up.
 */
#ifndef HOLDFAST_DATAPLANE_WRITER_H
#define HOLDFAST_DATAPLANE_WRITER_H

#include "common/abi.h"
#include "common/limits/message.h"
#include "spool/spool.h"

#include <stdbool.h>
#include <stdint.h>

/* Submissions of one worker under way at most: each has a slot in both rings. */
enum { WRITER_QUEUE_SLOTS = 16384 };

/* A submission as the worker makes it: the spool's part first, then what control is to hear. */
struct submission {
    struct spool_submit spool;
    uint32_t worker;
    void *owner;      /* the worker's */
    uint32_t purpose; /* the worker's */
    /* COMMIT: one up message for each delivery. The envelope is borrowed until the submission is
     * given back; the owner does not alter it meanwhile. NULL: control reads it from the log. */
    const struct envelope *envelope;
    uint32_t delivery_count;
    struct {
        uint32_t route_id;
        uint16_t rcpt_count;
    } delivery[LIMIT_ROUTES_PER_MESSAGE];
};

/* The worker's two ends; made by writer_create, one for each worker. */
struct writer_port {
    struct ring_end submit; /* worker puts */
    struct ring_end done;   /* worker takes */
};

struct counters;
struct writer;

struct writer_settings {
    struct spool_writer *spool; /* borrowed */
    uint32_t worker_count;
    struct counters *counters; /* the writer's own */
    /* Wakes control; NULL: nobody to wake. */
    void (*doorbell)(void *ctx);
    void *doorbell_ctx;
};

must_check int writer_create(const struct writer_settings *settings, struct writer **writer_out);
void writer_destroy(struct writer *writer);
struct writer_port *writer_port(struct writer *writer, uint32_t worker);

/* Use this region's up ring from the next turn on; NULL: none. Any thread. */
void writer_attach(struct writer *writer, struct abi_attach *region);
/* The region whose HELLO has been put; the caller may hand it to the workers now. Any thread. */
struct abi_attach *writer_attached(const struct writer *writer);
enum abi_spool_state writer_spool_state(const struct writer *writer);
/* The last start number that new ids may have. Any thread. */
uint32_t writer_start_last(const struct writer *writer);

/* One turn. `wait`: may sleep for a disk completion. Returns true when there was work. */
bool writer_turn(struct writer *writer, bool wait);
/* Nothing submitted is unfinished. The writer's thread only. */
bool writer_idle(struct writer *writer);

#endif
