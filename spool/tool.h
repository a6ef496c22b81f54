/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/tool.h: what an operator may ask of a spool's files, without a daemon: list, verify,
 * export.
 *
 * Promise: these only read. They work on a spool that is damaged, in use by a daemon or on a
 *          read-only mount, and go on after whatever they find bad.
 * Trap:    it keeps one entry in memory for each delivery that has a state record.
 */
#ifndef HOLDFAST_SPOOL_TOOL_H
#define HOLDFAST_SPOOL_TOOL_H

#include "common/trouble.h"
#include "spool/spool.h"

/* What the state log says of one delivery: (message, route). */
struct spool_tool_delivery {
    uint64_t id;
    uint32_t route_id;
    uint16_t rcpt_count;
    struct rcptset delivered;
    struct rcptset frozen;
    bool has_state; /* `last` is set */
    struct spool_state_entry last;
};

/* A committed message. Everything is borrowed until the callback returns. */
struct spool_tool_item {
    uint64_t id;
    uint64_t commit_pos;
    uint64_t first_pos;
    uint64_t received_ms;
    uint32_t body_bytes;
    bool has_envelope; /* false: its FIRST record is damaged or gone, so `deliveries` is empty */
    const struct envelope *envelope;
    uint32_t delivery_count;
    const struct spool_tool_delivery *delivery;
};

/* What somebody else knows of a delivery, since its state records may be gone. What the state log
 * still says replaces it. */
struct spool_tool_hint {
    bool is_done; /* every recipient is delivered */
    struct rcptset delivered;
    struct rcptset frozen;
};
/* Returns false when nothing is known. */
typedef bool (*spool_tool_hint_fn)(void *ctx, uint64_t id, uint64_t commit_pos,
                                   struct spool_tool_hint *hint_out);
/* For list, verify and export on this reader. hint NULL: there is nobody to ask. A failing call
 * writes into trouble (may be NULL) what it was doing, and with what. */
struct spool_tool_source {
    struct spool_reader *reader;
    struct trouble *trouble;
    spool_tool_hint_fn hint;
    void *hint_ctx;
};

/* When it returns non-zero, the call stops and returns that. */
typedef int (*spool_tool_item_fn)(void *ctx, const struct spool_tool_item *item);

/* Calls fn for every committed message in the order of the log. 0, fn's return, or -errno. */
must_check int spool_tool_list(const struct spool_tool_source *source, spool_tool_item_fn fn,
                               void *ctx);

struct spool_tool_counts {
    uint64_t segments;
    uint64_t records;
    uint64_t messages;
    uint64_t states;
    uint64_t body_bytes; /* of whole messages */
    uint64_t damaged;    /* places where the log should be good and is not */
    uint64_t torn;       /* unacknowledged ends: normal after a crash */
    uint64_t broken;     /* messages of which a record is damaged or gone */
};

/* Called for every bad place: in a log, or in a message that is not whole (then `id` is set). */
typedef void (*spool_tool_bad_fn)(void *ctx, uint64_t pos, uint64_t id, const char *why);

/* Reads everything. Returns damaged + broken, at most INT_MAX, or -errno. `bad` may be NULL.
 * A message whose earlier records were recycled counts as broken only while the state log does
 * not say that all of its recipients are delivered. */
must_check int spool_tool_verify(const struct spool_tool_source *source,
                                 struct spool_tool_counts *counts_out, spool_tool_bad_fn bad,
                                 void *ctx);

/* Writes every whole message into the existing directory: <id>.eml, the bytes as stored, and
 * <id>.json, its envelope and deliveries. Never overwrites: -EEXIST. *exported_out counts; a
 * message that is not whole is skipped and told to `bad` (may be NULL). 0 or -errno. */
must_check int spool_tool_export(const struct spool_tool_source *source, const char *dir,
                                 uint64_t *exported_out, spool_tool_bad_fn bad, void *ctx);

#endif
