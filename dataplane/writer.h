/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/writer.h: the writer thread's work. It takes the workers' submissions from SPSC rings,
 * runs the spool's turns, tells control over the up ring what became durable, and gives the
 * submissions back.
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

/* The most submissions that one worker may have under way. Each has a slot in both rings. */
enum { WRITER_QUEUE_SLOTS = 16384 };

/* A submission as the worker makes it: first the spool's part, then what control has to hear. */
struct submission {
    struct spool_submit spool;
    uint32_t worker;
    void *owner;      /* used by the worker only */
    uint32_t purpose; /* used by the worker only */
    /* COMMIT: one up message for each delivery. The envelope is borrowed until the submission is
     * given back; the owner does not alter it meanwhile. NULL: control reads it from the log. */
    const struct envelope *envelope;
    uint32_t delivery_count;
    struct {
        uint32_t route_id;
        uint16_t rcpt_count;
    } delivery[LIMIT_ROUTES_PER_MESSAGE];
};

/* The worker's two ends of the rings. writer_create makes them, one for each worker. */
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

/* Any thread: use this region's up ring from the next turn on; NULL: none. */
void writer_attach(struct writer *writer, struct abi_attach *region);
/* Any thread: the region whose HELLO has been put. The caller may give it to the workers now. */
struct abi_attach *writer_attached(const struct writer *writer);
enum abi_spool_state writer_spool_state(const struct writer *writer);
/* Any thread: the last start number that new ids may have. */
uint32_t writer_start_last(const struct writer *writer);

/* One turn. `wait`: may sleep for a disk completion. Returns true when there was work. */
bool writer_turn(struct writer *writer, bool wait);
/* The writer's thread only: true when no submission is unfinished. */
bool writer_idle(struct writer *writer);

#endif
