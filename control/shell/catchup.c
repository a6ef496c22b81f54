/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/catchup.c: what a lane reads into the table: the checkpoint and the logs at a
 * start, the logs at an attach or after a gap, the list of segments.
 *
 *   start:   checkpoint ─▶ headers ─▶ message log ─▶ state log ─▶ jobs of the database
 *
 * Promise: one reading at a time, so that what is read comes in the log's order.
 */
#include "control/admin/resume.h"
#include "control/core/feed.h"
#include "control/core/image_load.h"
#include "control/core/mem.h"
#include "control/core/up.h"
#include "control/shell/parts.h"
#include "control/shell/scan.h"

#include "spool/checkpoint.h"

#include "common/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RELIST_NS (60 * UINT64_C(1000000000))

/* --- the start ------------------------------------------------------------------------------- */

struct start {
    struct work work;
    bool envelopes;
    bool found; /* a checkpoint */
    uint64_t state_pos;
    uint64_t older_state_pos;
    bool headers_damaged;
    int error;
    char doing[64];
    struct trouble trouble;
};

/* Some records of the checkpoint, handed to the loop as one part. */
struct piece {
    struct work work;
    unsigned percent; /* of the checkpoint, with this piece */
    size_t len;
    uint8_t data[];
};

static void fail(struct control *c, int error, const char *doing, const char *why)
{
    assert(error < 0);
    (void)snprintf(c->catchup.why, sizeof c->catchup.why, "%s: %s", doing, why);
    control_say(c, 3, "cannot recover: %s", c->catchup.why);
    c->catchup.recovered = error;
}

static bool piece_done(struct work *work, struct control *c)
{
    struct piece *piece = (struct piece *)work;
    if (c->catchup.recovered == 0 && !image_load(&c->core, bytes_of(piece->data, piece->len))) {
        fail(c, -EBADMSG, "reading the checkpoint", "its records say what cannot be");
    }
    progress_note(c, PROGRESS_CHECKPOINT, piece->percent, 100);
    mem_free(piece);
    return true;
}

static void piece_drop(struct work *work)
{
    struct piece *piece = (struct piece *)work;
    mem_free(piece);
}

static unsigned percent_of(uint64_t at, uint64_t of)
{
    return at < of ? (unsigned)(at * 100 / of) : 100;
}

/* Splits a block at the borders of records, so that the loop has little work with each part. `at`
 * bytes of `of` come before the block. */
static int send_block(struct work_tools *tools, struct bytes block, uint64_t at, uint64_t of)
{
    enum { PIECE_BYTES = 32 * 1024 };
    struct image_record record;
    struct cursor in = cursor_of(block);
    while (in.rest.len > 0) {
        struct bytes begin = in.rest;
        size_t len = 0;
        while (in.rest.len > 0 && len < PIECE_BYTES) {
            if (!image_record_decode(&in, &record)) {
                return -EBADMSG;
            }
            len = begin.len - in.rest.len;
        }
        struct piece *piece = mem_zalloc(sizeof *piece + len);
        piece->work.done = piece_done;
        piece->work.drop = piece_drop;
        piece->percent = percent_of(at + block.len - in.rest.len, of);
        piece->len = len;
        memcpy(piece->data, begin.data, len);
        if (!works_part(tools->works, &piece->work)) {
            return -ECANCELED;
        }
    }
    return 0;
}

/* Reads the newest checkpoint. 0, with the positions from which to read the logs; or -errno. */
static int load_checkpoint(struct start *s, struct work_tools *tools, uint64_t *message_pos_out,
                           uint64_t *state_pos_out)
{
    struct spool_checkpoint_reader *reader;
    struct bytes block;
    *message_pos_out = *state_pos_out = 0;
    int r = spool_checkpoint_open(tools->io, &reader, message_pos_out, state_pos_out,
                                  &s->older_state_pos);
    if (r == -ENOENT) {
        return 0; /* a new spool, or one without a checkpoint: read all logs */
    }
    if (r < 0) {
        return r;
    }
    s->found = true;
    s->state_pos = *state_pos_out;
    uint64_t of = spool_checkpoint_bytes(reader);
    uint64_t at = 0;
    while ((r = spool_checkpoint_next(reader, &block)) > 0) {
        r = send_block(tools, block, at, of);
        at += block.len;
        if (r < 0) {
            break;
        }
    }
    spool_checkpoint_close(reader);
    return r;
}

static void start_run(struct work *work, struct work_tools *tools)
{
    struct start *s = (struct start *)work;
    uint64_t message_pos;
    uint64_t state_pos;
    struct trouble *before = tools->io->trouble;
    tools->io->trouble = &s->trouble;
    snprintf(s->doing, sizeof s->doing, "reading the checkpoint");
    s->error = load_checkpoint(s, tools, &message_pos, &state_pos);
    if (s->error == 0) {
        snprintf(s->doing, sizeof s->doing, "reading the segments' headers");
        s->error = scan_headers(tools, &s->headers_damaged);
    }
    if (s->headers_damaged) {
        scan_say(tools, 3, "message log: a segment's header is damaged, what is in it is unknown");
    }
    if (s->error == 0) {
        snprintf(s->doing, sizeof s->doing, "reading the message log");
        s->error = scan_messages(tools, message_pos, UINT64_MAX, s->envelopes);
    }
    if (s->error == 0) {
        snprintf(s->doing, sizeof s->doing, "reading the state log");
        s->error = scan_states(tools, state_pos, UINT64_MAX);
    }
    tools->io->trouble = before;
}

static bool start_done(struct work *work, struct control *c)
{
    struct start *s = (struct start *)work;
    c->catchup.under_way = false;
    if (c->catchup.recovered == 0 && s->error != 0) {
        fail(c, s->error, s->doing, trouble_text(&s->trouble, s->error));
    } else if (c->catchup.recovered == 0 && s->found && !image_loaded(&c->core)) {
        fail(c, -EBADMSG, "reading the checkpoint", "it has no end");
    }
    if (c->catchup.recovered == 0) {
        c->core.journal.damaged += s->headers_damaged;
        liveness_advance(&c->core.journal.liveness, seen_top(&c->core.journal.messages));
        c->saver.state_pos = s->state_pos;
        c->saver.older_state_pos = s->older_state_pos;
        /* A spool with a checkpoint counts as one that was in use: then its policy database must
         * not be missing (setup.h). So the first checkpoint is written at once. */
        c->saver.wanted = !s->found;
        c->catchup.recovered = 1;
        notes_add(&c->core.notes, NOTE_RECOVERED, NULL, c->core.index.count, 0);
        resume_jobs(c);
    }
    mem_free(s);
    return true;
}

static void start_drop(struct work *work)
{
    struct start *start = (struct start *)work;
    mem_free(start);
}

void catchup_recover(struct control *c)
{
    assert(!c->catchup.under_way && c->catchup.recovered == 0);
    struct start *s = mem_zalloc(sizeof *s);
    s->work =
        (struct work){.lane = WORK_LOGS, .run = start_run, .done = start_done, .drop = start_drop};
    s->envelopes = book_envelope_count(c->core.rules.book) > 0;
    c->catchup.under_way = true;
    progress_note(c, PROGRESS_CHECKPOINT, 0, 100);
    works_submit(&c->works, &s->work);
}

/* --- an attach, a gap ------------------------------------------------------------------------ */

struct reading {
    struct work work;
    uint64_t ticket;
    uint64_t message_from;
    uint64_t message_to;
    uint64_t state_from;
    uint64_t state_to;
    bool envelopes;
    int error;
};

static void reading_run(struct work *work, struct work_tools *tools)
{
    struct reading *reading = (struct reading *)work;
    reading->error =
        scan_messages(tools, reading->message_from, reading->message_to, reading->envelopes);
    if (reading->error == 0) {
        reading->error = scan_states(tools, reading->state_from, reading->state_to);
    }
}

static bool reading_done(struct work *work, struct control *c)
{
    struct reading *reading = (struct reading *)work;
    c->catchup.under_way = false;
    up_logs_read(&c->core, reading->ticket, reading->error);
    mem_free(reading);
    return true;
}

static void reading_drop(struct work *work)
{
    struct reading *reading = (struct reading *)work;
    mem_free(reading);
}

static void read_logs(struct control *c)
{
    struct wishes *w = &c->core.wishes;
    struct reading *reading = mem_zalloc(sizeof *reading);
    reading->work = (struct work){
        .lane = WORK_LOGS, .run = reading_run, .done = reading_done, .drop = reading_drop};
    reading->ticket = w->logs.ticket;
    reading->message_from = c->core.journal.messages.floor;
    reading->message_to = w->logs.message_to;
    reading->state_from = c->core.journal.states.floor;
    reading->state_to = w->logs.state_to;
    reading->envelopes = book_envelope_count(c->core.rules.book) > 0;
    w->logs.wanted = false;
    c->catchup.under_way = true;
    works_submit(&c->works, &reading->work);
}

/* --- segments -------------------------------------------------------------------------------- */

struct listing {
    struct work work;
    uint64_t *seq;
    size_t count;
    size_t capacity;
    int error;
};

static int note_segment(void *ctx, uint64_t seq)
{
    struct listing *listing = ctx;
    listing->seq =
        mem_grow(listing->seq, &listing->capacity, listing->count + 1, sizeof *listing->seq);
    listing->seq[listing->count++] = seq;
    return 0;
}

static void listing_run(struct work *work, struct work_tools *tools)
{
    struct listing *listing = (struct listing *)work;
    struct spool_reader *reader;
    listing->error = spool_reader_open(tools->io, &reader);
    if (listing->error == 0) {
        listing->error = spool_list_segments(reader, note_segment, listing);
        spool_reader_close(reader);
    }
}

static bool listing_done(struct work *work, struct control *c)
{
    struct listing *listing = (struct listing *)work;
    c->catchup.listing = false;
    for (size_t i = 0; i < listing->count; i++) {
        feed_segment(&c->core, listing->seq[i]);
    }
    if (listing->error < 0) {
        control_say(c, 3, "cannot list the segments of the spool: %s",
                    trouble_meaning(listing->error));
    }
    mem_free(listing->seq);
    mem_free(listing);
    return true;
}

static void listing_drop(struct work *work)
{
    struct listing *listing = (struct listing *)work;
    mem_free(listing->seq);
    mem_free(listing);
}

static void list_segments(struct control *c)
{
    struct listing *listing = mem_zalloc(sizeof *listing);
    listing->work = (struct work){
        .lane = WORK_LOGS, .run = listing_run, .done = listing_done, .drop = listing_drop};
    c->core.wishes.segments = false;
    c->catchup.listing = true;
    c->catchup.relist_ns = c->core.now.now_ns + RELIST_NS;
    works_submit(&c->works, &listing->work);
}

bool catchup_turn(struct control *c)
{
    bool started = false;
    if (c->catchup.recovered != 1 || c->catchup.under_way) {
        return false;
    }
    if (c->core.wishes.logs.wanted) {
        read_logs(c);
        started = true;
    }
    bool running = c->core.attach.phase == ATTACH_RUNNING;
    if (running && !c->catchup.listing && c->core.now.now_ns >= c->catchup.relist_ns) {
        liveness_restart(&c->core.journal.liveness);
        c->core.wishes.segments = true;
    }
    if (c->core.wishes.segments && !c->catchup.listing) {
        list_segments(c);
        started = true;
    }
    return started;
}
