/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/save.c: checkpoints. A lane writes an image of the table (core/image.h) while the
 * loop takes it, so that the next start reads only what came after it.
 *
 *   loop:  image_begin ─▶ some chunks in each turn ─▶ pieces ─▶ end ─▶ state segments may go
 *   lane:                      begin, append … ─▶ finish, replies of frozen mail kept
 *
 * Promise: the state log below the older checkpoint is freed only when the next one is durable, and
 *          the replies of mail that is still frozen are in the policy database before that.
 *          The lane rests for most of the time, except while the checkpoint is behind: while the
 *          table changes faster than its image is written, or the state log grows long.
 * Trap:    while the lane is slow, no further slots are encoded, except those that are about to
 *          change.
 */
#include "control/core/mem.h"
#include "control/shell/look.h"
#include "control/shell/parts.h"
#include "control/shell/store.h"

#include "spool/checkpoint.h"
#include "common/limits/reply.h"
#include "common/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    CHUNKS_PER_TURN = 4,
    PIECES_PER_TURN = 4,
    /* State segments between checkpoints at most; the log has 64 files. */
    CHECKPOINT_SEGMENTS = 4,
    /* For each so many deliveries the interval grows by itself once: writing the table stays a
     * small share of the work. */
    DELIVERIES_PER_INTERVAL = 200000,
    UNDER_WAY_MAX = IMAGE_SPARE_MAX, /* pieces */
    /* From here on the lane hurries: pieces that wait for it, state segments since the last one. */
    HURRY_PIECES = IMAGE_SPARE_MAX,
    HURRY_SEGMENTS = 4 * CHECKPOINT_SEGMENTS,
};

/* The least time between two checkpoints that are written because of state segments. */
#define CHECKPOINT_PAUSE_NS (UINT64_C(200) * 1000000)

/* --- pieces ---------------------------------------------------------------------------------- */

struct piece {
    struct work work;
    struct saver *saver; /* only its `writer` is used here: it belongs to the lane */
    struct image_piece *data;
    bool first;
};

static void piece_run(struct work *work, struct work_tools *tools)
{
    struct piece *piece = (struct piece *)work;
    struct saver *s = piece->saver;
    if (piece->first && spool_checkpoint_begin(tools->io, &s->writer) < 0) {
        s->writer = NULL;
    }
    if (s->writer != NULL) {
        int r = spool_checkpoint_append(s->writer, bytes_of(piece->data->bytes, piece->data->len));
        (void)r; /* the writer keeps the error, and finish returns it */
    }
}

static bool piece_done(struct work *work, struct control *c)
{
    struct piece *piece = (struct piece *)work;
    assert(c->saver.pieces_under_way > 0);
    c->saver.pieces_under_way--;
    image_give(&c->core.image, piece->data);
    mem_free(piece);
    return true;
}

static void piece_drop(struct work *work)
{
    struct piece *piece = (struct piece *)work;
    mem_return(piece->data);
    mem_free(piece);
}

static void send_piece(struct control *c, struct image_piece *data)
{
    struct piece *piece = mem_zalloc(sizeof *piece);
    piece->work =
        (struct work){.lane = WORK_SAVE, .run = piece_run, .done = piece_done, .drop = piece_drop};
    piece->saver = &c->saver;
    piece->data = data;
    piece->first = c->saver.piece_count++ == 0;
    c->saver.pieces_under_way++;
    works_submit(&c->works, &piece->work);
}

/* true: there are none left. */
static bool send_pieces(struct control *c, uint32_t max)
{
    for (; max > 0; max--) {
        struct image_piece *data = image_take(&c->core.image);
        if (data == NULL) {
            return true;
        }
        send_piece(c, data);
    }
    return false;
}

/* --- the end of one -------------------------------------------------------------------------- */

struct finish {
    struct work work;
    struct saver *saver;
    uint64_t message_pos;
    uint64_t state_pos;
    int error;
};

static void finish_run(struct work *work, struct work_tools *tools)
{
    struct finish *finish = (struct finish *)work;
    struct saver *s = finish->saver;
    (void)tools;
    finish->error = -EIO;
    if (s->writer != NULL) {
        finish->error = spool_checkpoint_finish(s->writer, finish->message_pos, finish->state_pos);
    }
    s->writer = NULL;
}

struct keep {
    struct work work;
    uint64_t below_seq;
    struct image_keep *page;
    int error;
    char text[128];
};

static int keep_all(struct keep *keep, struct work_tools *tools)
{
    char text[LIMIT_REPLY_TEXT_BYTES + 1];
    int r = store_begin(tools->store);
    for (const struct image_keep *page = keep->page; page != NULL; page = page->next) {
        for (uint32_t i = 0; i < page->count && r == 0; i++) {
            if (look_reply(tools, page->pos[i], text, sizeof text) > 0) {
                r = store_reply_add(tools->store, page->pos[i], text);
            }
        }
    }
    r = r == 0 ? store_commit(tools->store) : r;
    if (r < 0) {
        snprintf(keep->text, sizeof keep->text, "%s", store_error(tools->store));
        store_rollback(tools->store);
    }
    return r;
}

static void keep_run(struct work *work, struct work_tools *tools)
{
    struct keep *keep = (struct keep *)work;
    keep->error = keep_all(keep, tools);
    image_keep_free(keep->page); /* here, because there may be millions */
    keep->page = NULL;
}

static bool keep_done(struct work *work, struct control *c)
{
    struct keep *keep = (struct keep *)work;
    if (keep->error < 0) { /* the state segments stay until the replies can be kept */
        control_say(c, 4, "replies of frozen mail cannot be kept: %s", keep->text);
    } else {
        c->core.journal.told_seq = keep->below_seq;
        c->core.outbox.recycle_seq = keep->below_seq;
    }
    c->saver.under_way = false;
    mem_free(keep);
    return true;
}

static void keep_drop(struct work *work)
{
    struct keep *keep = (struct keep *)work;
    image_keep_free(keep->page);
    mem_free(keep);
}

/* Copies the replies of frozen mail out of the state segments below, which will be recycled. */
static void keep_replies(struct control *c, uint64_t below_seq)
{
    struct keep *keep = mem_zalloc(sizeof *keep);
    keep->work =
        (struct work){.lane = WORK_STORE, .run = keep_run, .done = keep_done, .drop = keep_drop};
    keep->below_seq = below_seq;
    keep->page = image_take_keep(&c->core.image);
    works_submit(&c->works, &keep->work);
}

static void forget_run(struct work *work, struct work_tools *tools)
{
    struct keep *keep = (struct keep *)work;
    (void)tools;
    image_keep_free(keep->page);
    keep->page = NULL;
}

static bool forget_done(struct work *work, struct control *c)
{
    (void)c;
    keep_drop(work);
    return true;
}

/* Drops the list of replies that were to be kept: the state segments that have them stay. The lane
 * frees the list, because it may be long. */
static void drop_replies(struct control *c)
{
    struct image_keep *page = image_take_keep(&c->core.image);
    if (page == NULL) {
        return;
    }
    struct keep *keep = mem_zalloc(sizeof *keep);
    keep->work = (struct work){
        .lane = WORK_STORE, .run = forget_run, .done = forget_done, .drop = keep_drop};
    keep->page = page;
    works_submit(&c->works, &keep->work);
}

static bool finish_done(struct work *work, struct control *c)
{
    struct finish *finish = (struct finish *)work;
    struct saver *s = &c->saver;
    uint64_t below_seq = c->core.image.keep_below_seq;
    s->error = finish->error;
    s->under_way = false;
    if (finish->error < 0) {
        control_say(c, 3, "cannot save a checkpoint: %s", trouble_meaning(finish->error));
        c->core.journal.dirty = true;
    } else {
        s->older_state_pos = s->state_pos;
        s->state_pos = finish->state_pos;
        if (below_seq > c->core.journal.told_seq) {
            s->under_way = true;
            keep_replies(c, below_seq);
        }
    }
    drop_replies(c); /* after an error, or when they are kept already */
    mem_free(finish);
    return true;
}

static void finish_drop(struct work *work)
{
    struct finish *finish = (struct finish *)work;
    mem_free(finish);
}

static void send_finish(struct control *c)
{
    struct finish *finish = mem_zalloc(sizeof *finish);
    finish->work = (struct work){
        .lane = WORK_SAVE, .run = finish_run, .done = finish_done, .drop = finish_drop};
    finish->saver = &c->saver;
    finish->message_pos = c->core.image.message_pos;
    finish->state_pos = c->core.image.state_pos;
    works_submit(&c->works, &finish->work);
}

/* --- turns ----------------------------------------------------------------------------------- */

static uint64_t segments_since(const struct control *c)
{
    uint64_t newest = spool_pos_seq(seen_top(&c->core.journal.states));
    uint64_t saved = spool_pos_seq(c->saver.state_pos);
    return newest > saved ? newest - saved : 0;
}

static bool must_hurry(const struct control *c)
{
    return c->saver.ending || c->core.image.out_count >= HURRY_PIECES ||
           (c->saver.under_way && segments_since(c) >= HURRY_SEGMENTS);
}

static void begin(struct control *c)
{
    struct saver *s = &c->saver;
    uint64_t interval_ns = (uint64_t)c->config->control.checkpoint_interval_ms * 1000000;
    interval_ns += interval_ns * (c->core.index.count / DELIVERIES_PER_INTERVAL);
    s->due_ns = c->core.now.now_ns + interval_ns;
    s->tried_ns = c->core.now.now_ns;
    s->wanted = false;
    s->under_way = true;
    /* Once the new checkpoint is durable, the present one is the older one. */
    image_begin(&c->core, spool_pos_seq(s->state_pos));
    s->piece_count = 0;
    s->taking = true;
}

static bool is_due(const struct control *c)
{
    const struct saver *s = &c->saver;
    /* Every restart of the dataplane begins a segment of the state log, and only checkpoints free
     * such segments. So the number of segments makes a checkpoint due, too: a control that never
     * runs for a whole interval would otherwise let the log run full. */
    bool behind = segments_since(c) >= CHECKPOINT_SEGMENTS;
    behind = behind && c->core.now.now_ns >= s->tried_ns + CHECKPOINT_PAUSE_NS;
    return s->wanted || (c->core.journal.dirty && (c->core.now.now_ns >= s->due_ns || behind));
}

bool save_turn(struct control *c)
{
    struct saver *s = &c->saver;
    works_hurry(&c->works, must_hurry(c));
    bool ready = c->catchup.recovered == 1 && !c->catchup.under_way && !c->core.attach.reading;
    if (!s->under_way && ready && is_due(c)) {
        begin(c);
        return true;
    }
    if (!s->taking || s->pieces_under_way >= UNDER_WAY_MAX) {
        return false; /* in the second case the lane will wake the loop */
    }
    bool whole = !c->core.image.active || image_step(&c->core, CHUNKS_PER_TURN);
    if (send_pieces(c, PIECES_PER_TURN) && whole) {
        s->taking = false;
        send_finish(c);
    }
    return true;
}

uint64_t save_next_ns(const struct control *c)
{
    const struct saver *s = &c->saver;
    if (s->taking && s->pieces_under_way < UNDER_WAY_MAX) {
        return c->core.now.now_ns;
    }
    return !s->under_way && c->core.journal.dirty ? s->due_ns : UINT64_MAX;
}
