/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/image.c: taking an image. See image.h; loading one is in image_load.c. Pure. */
#include "control/core/core.h"

void image_keep_free(struct image_keep *keep)
{
    while (keep != NULL) {
        struct image_keep *next = keep->next;
        mem_return(keep);
        keep = next;
    }
}

static void pieces_free(struct image_piece *piece)
{
    while (piece != NULL) {
        struct image_piece *next = piece->next;
        mem_return(piece);
        piece = next;
    }
}

void image_fini(struct image *image)
{
    mem_free(image->saved);
    image_keep_free(image->keep);
    pieces_free(image->out);
    pieces_free(image->spare);
    *image = (struct image){0};
}

/* A new last piece. */
static struct image_piece *begin_piece(struct image *image)
{
    struct image_piece *piece = image->spare;
    if (piece != NULL) {
        image->spare = piece->next;
        image->spare_count--;
    } else {
        piece = mem_lend();
    }
    piece->next = NULL;
    piece->len = 0;
    if (image->out_last == NULL) {
        image->out = piece;
    } else {
        image->out_last->next = piece;
    }
    image->out_last = piece;
    image->out_count++;
    assert(image->out != NULL && image->spare_count <= IMAGE_SPARE_MAX);
    return piece;
}

static void put(struct image *image, const struct image_record *record)
{
    struct image_piece *piece = image->out_last;
    _Static_assert(sizeof *piece == MEM_LENT_BYTES, "a piece is one loan");
    _Static_assert((int)IMAGE_RECORD_BYTES_MAX <= (int)IMAGE_PIECE_BYTES,
                   "a record has room in a piece");
    assert(image->active && (image->out == NULL) == (piece == NULL));
    if (piece == NULL || IMAGE_PIECE_BYTES - piece->len < IMAGE_RECORD_BYTES_MAX) {
        piece = begin_piece(image);
    }
    piece->len += image_record_encode(record, piece->bytes + piece->len);
    assert(piece->len <= IMAGE_PIECE_BYTES);
}

static void put_seen(struct image *image, uint8_t log, const struct seen *seen)
{
    assert(log <= 1 && image->out != NULL); /* behind the head */
    for (size_t i = 0; i < seen->count; i++) {
        struct image_record record = {.kind = IMAGE_SEEN};
        record.seen.log = log;
        record.seen.pos = seen->entry[i].pos;
        record.seen.mask = seen->entry[i].mask;
        put(image, &record);
    }
}

static void put_head(struct core *c)
{
    struct image *image = &c->image;
    const struct journal *j = &c->journal;
    struct image_record record;
    assert(image->out == NULL && image->deliveries == 0);
    record.kind = IMAGE_HEAD;
    record.head.version = IMAGE_VERSION;
    record.head.accepted_rcpts = j->accepted_rcpts;
    record.head.delivered_rcpts = j->delivered_rcpts;
    record.head.possible_duplicates = j->possible_duplicates;
    record.head.message_damage_top = j->message_damage_top;
    record.head.state_damage_top = j->state_damage_top;
    record.head.message_floor = j->messages.floor;
    record.head.state_floor = j->states.floor;
    record.head.told_seq = j->told_seq;
    put(image, &record);
    for (size_t i = 0; i < c->rules.count; i++) {
        record.kind = IMAGE_RULE;
        record.rule.id = c->rules.rule[i]->id;
        if (c->rules.rule[i]->in_force) {
            put(image, &record);
        }
    }
    put_seen(image, 0, &j->messages);
    put_seen(image, 1, &j->states);
    for (size_t i = 0; i < j->liveness.count; i++) {
        record.kind = IMAGE_PIN;
        record.pin.seq = j->liveness.segment[i].seq;
        if (j->liveness.segment[i].pinned) {
            put(image, &record);
        }
    }
    assert(image->out != NULL && image->cursor == 0);
}

void image_begin(struct core *c, uint64_t keep_below_seq)
{
    struct image *image = &c->image;
    assert(!image->active && image->out == NULL && image->keep == NULL);
    image->chunk_count = index_slots(&c->index) / IMAGE_CHUNK_SLOTS;
    image->saved = mem_grow(image->saved, &image->saved_capacity, image->chunk_count + 1,
                            sizeof *image->saved);
    while (image->saved_count < image->chunk_count) {
        image->saved[image->saved_count++] = 0;
    }
    assert(image->saved_count >= image->chunk_count);
    image->active = true;
    image->epoch++;
    image->cursor = 0;
    image->deliveries = 0;
    image->message_pos = c->journal.messages.floor;
    image->state_pos = c->journal.states.floor;
    image->keep_below_seq = keep_below_seq;
    c->journal.dirty = false;
    assert(image->epoch > 0); /* 0 in `saved` is: never */
    put_head(c);
}

/* The reply of a frozen recipient is kept when its segment is given back. */
static void keep_reply(struct core *c, const struct rcpt *rcpt)
{
    struct image *image = &c->image;
    uint64_t seq = rcpt->state_pos >> 32;
    assert(image->active);
    if (rcpt->state != RCPT_FROZEN || rcpt->state_pos == 0 || seq >= image->keep_below_seq ||
        seq < c->journal.told_seq) {
        return;
    }
    struct image_keep *page = image->keep;
    if (page == NULL || page->count == IMAGE_KEEP_POSITIONS) {
        _Static_assert(sizeof *page == MEM_LENT_BYTES, "a page is one loan");
        page = mem_lend();
        page->next = image->keep;
        image->keep = page;
    }
    page->pos[page->count++] = rcpt->state_pos;
    assert(image->keep == page && page->count <= IMAGE_KEEP_POSITIONS);
}

static uint64_t due_wall_ms(const struct core *c, const struct delivery *d)
{
    assert(d->id != 0);
    if (d->state == DELIVERY_HELD && c->newest_wall_ms > c->now.wall_ms &&
        rules_hold_by_age(&c->rules, d->live)) {
        return c->newest_wall_ms; /* the clock by which its rule judged its age */
    }
    if (d->state != DELIVERY_WAITING && d->state != DELIVERY_IN_FLIGHT) {
        return c->now.wall_ms;
    }
    uint64_t due_ns = schedule_live(&c->schedule, d)->due_ns;
    uint64_t left_ns = due_ns > c->now.now_ns ? due_ns - c->now.now_ns : 0;
    return c->now.wall_ms + left_ns / 1000000;
}

static void put_rules(const struct core *c, const struct delivery *d, uint32_t slot,
                      struct image_record *record)
{
    record->delivery.rule_count = 0;
    for (size_t i = 0; d->noted && i < c->rules.count; i++) {
        const struct rule *rule = c->rules.rule[i];
        if (!rule->in_force || !slotset_has(&rule->noted, slot)) {
            continue;
        }
        assert(rule->asks_envelope && rule->id < RULES_PLANNED);
        if (record->delivery.rule_count == IMAGE_RULES_MAX) {
            record->delivery.unjudged = true; /* more than have room: it is judged again */
            break;
        }
        record->delivery.rule[record->delivery.rule_count++] = rule->id;
    }
}

static void put_delivery(struct core *c, const struct delivery *d, uint32_t slot)
{
    struct image_record record; /* large: only what is encoded is set */
    const struct route *route = routes_at(&c->routes, d->route);
    const struct hop *hop = routes_hop_at(&c->routes, d->hop);
    assert(d->id != 0 && route != NULL && (hop != NULL || d->hop == 0));
    record.kind = IMAGE_DELIVERY;
    record.delivery.id = d->id;
    record.delivery.first_pos = d->first_pos;
    record.delivery.commit_pos = delivery_commit_pos(d);
    record.delivery.received_ms = d->received_ms;
    record.delivery.due_ms = due_wall_ms(c, d);
    record.delivery.route_id = route->id;
    record.delivery.hop_id = hop == NULL ? 0 : hop->id;
    record.delivery.body_bytes = d->body_bytes;
    record.delivery.held_rule = d->state == DELIVERY_HELD ? d->live : 0;
    record.delivery.attempts = d->attempts;
    record.delivery.faults = d->faults;
    record.delivery.dot_losses = d->dot_losses;
    record.delivery.unjudged = d->unjudged;
    record.delivery.rcpt_count = (uint16_t)delivery_rcpt_count(d);
    for (unsigned i = 0; i < record.delivery.rcpt_count; i++) {
        struct rcpt rcpt = delivery_rcpt(d, i);
        keep_reply(c, &rcpt);
        record.delivery.rcpt[i] = (struct image_rcpt){.state_pos = rcpt.state_pos,
                                                      .code = rcpt.code,
                                                      .state = rcpt.state,
                                                      .outcome = rcpt.outcome};
    }
    put_rules(c, d, slot, &record);
    put(&c->image, &record);
    c->image.deliveries++;
    assert(c->image.active &&
           c->image.deliveries <= (uint64_t)c->image.chunk_count * IMAGE_CHUNK_SLOTS);
}

static void save_chunk(struct core *c, uint32_t chunk)
{
    struct image *image = &c->image;
    uint64_t before = image->deliveries;
    assert(image->active && chunk < image->chunk_count && image->saved[chunk] != image->epoch);
    image->saved[chunk] = image->epoch;
    for (uint32_t i = 0; i < IMAGE_CHUNK_SLOTS; i++) {
        uint32_t slot = chunk * IMAGE_CHUNK_SLOTS + i;
        const struct delivery *d = index_at(&c->index, slot);
        if (d->id != 0) {
            put_delivery(c, d, slot);
        }
    }
    assert(image->deliveries - before <= IMAGE_CHUNK_SLOTS);
}

void image_touch(struct core *c, uint32_t slot)
{
    struct image *image = &c->image;
    uint32_t chunk = slot / IMAGE_CHUNK_SLOTS;
    if (image->active && chunk < image->chunk_count && image->saved[chunk] != image->epoch) {
        save_chunk(c, chunk);
    }
    assert(!image->active || chunk >= image->chunk_count || image->saved[chunk] == image->epoch);
}

bool image_step(struct core *c, uint32_t chunks)
{
    struct image *image = &c->image;
    assert(image->active);
    for (; chunks > 0 && image->cursor < image->chunk_count; chunks--) {
        if (image->saved[image->cursor] != image->epoch) {
            save_chunk(c, image->cursor);
        }
        image->cursor++;
    }
    if (image->cursor < image->chunk_count) {
        return false;
    }
    struct image_record record = {.kind = IMAGE_END};
    assert(image->cursor == image->chunk_count);
    record.end.deliveries = image->deliveries;
    put(image, &record);
    image->active = false;
    return true;
}

struct image_piece *image_take(struct image *image)
{
    struct image_piece *piece = image->out;
    if (piece == NULL || (image->active && piece->next == NULL)) {
        return NULL;
    }
    assert(piece->len > 0);
    image->out = piece->next;
    image->out_last = piece->next == NULL ? NULL : image->out_last;
    image->out_count--;
    assert(!image->active || image->out != NULL); /* the one that is being filled stays */
    return piece;
}

void image_give(struct image *image, struct image_piece *piece)
{
    if (image->spare_count == IMAGE_SPARE_MAX) {
        mem_return(piece);
        return;
    }
    piece->next = image->spare;
    image->spare = piece;
    image->spare_count++;
    assert(image->spare_count <= IMAGE_SPARE_MAX);
}

struct image_keep *image_take_keep(struct image *image)
{
    struct image_keep *keep = image->keep;
    assert(keep == NULL || (keep->count > 0 && keep->count <= IMAGE_KEEP_POSITIONS));
    image->keep = NULL;
    return keep;
}
