/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/relief.c: when memory or the spool is short, a connection gives up its message with a
 * 421: while memory is short, the slowest one; while the spool is full, the one whose message is
 * the oldest of those that keep a segment.
 *
 * Promise: a client that waits for a commit is never chosen; nor, while only memory is short, one
 *          that sends at an honest pace.
 * Trap:    only one connection is chosen in each turn: what it gives back can be used only after
 *          its results have come.
 */
#include "dataplane/conn.h"

enum {
    /* While others wait for its buffer, a sender gives it up when it was silent this long, or when
     * it began this long ago and is slower than this on average. */
    RELIEF_SILENCE_MS = 2000,
    RELIEF_BYTES_PER_S = 16 * 1024,
};
static const uint64_t ns_per_ms = 1000000;

/* The use that a connection makes of what it holds: bytes per second, 0 for a silent one.
 * UINT64_MAX when it holds nothing that others need, or is too young or too fast to be chosen. */
static uint64_t use_of(const struct worker *w, const struct server_conn *c, bool of_buffers)
{
    bool holds =
        c->conn.kind == CONN_SERVER && c->intake != NULL && !c->awaiting_commit &&
        (!of_buffers || (c->intake->buffer != NULL && c->intake->buffer->class == BUFFER_LARGE));
    if (!holds || w->now_ns - c->begun_ns < RELIEF_SILENCE_MS * ns_per_ms) {
        return UINT64_MAX;
    }
    if (server_silent_ns(w, c) > RELIEF_SILENCE_MS * ns_per_ms) {
        return 0;
    }
    uint64_t rate = server_rate(w, c);
    return rate < RELIEF_BYTES_PER_S ? rate : UINT64_MAX;
}

/* Memory is short and connections wait for it. Of the connections that hold a large buffer (or a
 * transaction, when these are short), the slowest gives it back with a 421. */
static void relieve_memory(struct worker *w)
{
    struct server_conn *slowest = NULL;
    uint64_t least = UINT64_MAX;
    bool of_buffers =
        !list_is_empty(&w->stalled) && buffers_available(&w->buffers, BUFFER_LARGE) <= READ_RESERVE;
    if (!of_buffers && w->intakes.free_count > 0) {
        return;
    }
    for (struct list *l = w->conns.next; l != &w->conns; l = l->next) {
        struct server_conn *c = list_entry(l, struct server_conn, conn.link);
        uint64_t use = use_of(w, c, of_buffers);
        if (use < least) {
            slowest = c;
            least = use;
        }
    }
    if (slowest != NULL) {
        server_deadline(w, slowest);
    }
}

/* The spool is full. Of the messages under way that keep a segment from being freed, the oldest is
 * given up. All of them would be answered 452 in any case. */
static void relieve_spool(struct worker *w)
{
    struct server_conn *oldest = NULL;
    if (writer_spool_state(w->settings.writer) != ABI_SPOOL_FULL) {
        return;
    }
    for (struct list *l = w->conns.next; l != &w->conns; l = l->next) {
        struct server_conn *c = list_entry(l, struct server_conn, conn.link);
        bool keeps = c->conn.kind == CONN_SERVER && c->intake != NULL && !c->awaiting_commit &&
                     c->intake->spool.record_count > 0;
        if (keeps && (oldest == NULL || c->intake->smtp.id < oldest->intake->smtp.id)) {
            oldest = c;
        }
    }
    if (oldest != NULL) {
        server_deadline(w, oldest);
    }
}

void relief_turn(struct worker *w)
{
    relieve_memory(w);
    relieve_spool(w);
}
